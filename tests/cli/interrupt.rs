//! Ctrl-C

use crate::run::{Place, Run, log};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::Write,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits until `done`, at most ten seconds.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what} did not happen");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_interrupted_stream_leaves_nothing_in_the_store() {
    for (kind, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = Place::new();
        let small_parts = ["--set", "upload.part.size=1MiB", "--codec", "none"];
        let offload = ["offload", "-", "--to", &place.uri(), "--key", "k"];
        let mut child =
            place.command(offload.iter().chain(&small_parts)).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&log(10 << 20)).unwrap();
        until("the upload", || !place.files("tier").is_empty());
        signal(&child, kind);
        let run = Run::from(child.wait_with_output().unwrap()).ends(status);
        assert_eq!(place.files("tier"), [""; 0], "{run:?}");
        assert!(run.out.is_empty());
    }
}

#[test]
fn an_interrupt_while_waiting_for_input_ends_at_once() {
    let place = Place::new();
    let mut child =
        place.command(["offload", "-", "--to", &place.uri()]).stdin(Stdio::piped()).spawn().unwrap();
    let _open = child.stdin.take().unwrap();
    thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    signal(&child, Signal::INT);
    Run::from(child.wait_with_output().unwrap()).ends(130);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_interrupt_frees_a_write_that_nobody_reads() {
    let place = Place::new();
    place.offload("k", &log(8 << 20), &[]);
    let mut child = place.command(["cat", &place.uri(), "k"]).spawn().unwrap();
    let _unread = child.stdout.take().unwrap();
    thread::sleep(Duration::from_millis(500));
    signal(&child, Signal::INT);
    until("the end", || child.try_wait().unwrap().is_some());
    Run::from(child.wait_with_output().unwrap()).ends(130);
}

#[cfg(feature = "testing")]
#[test]
fn an_interrupted_restore_leaves_no_file() {
    let place = Place::new();
    place.offload("k", &log(8 << 20), &["--codec", "none"]);
    // The tail comes, the data does not.
    let child = place.command(["get", &place.faulty("get=2+:stall"), "k", "-o", "out/"]).spawn().unwrap();
    until("the temporary file", || place.path("out").exists() && !place.files("out").is_empty());
    signal(&child, Signal::INT);
    Run::from(child.wait_with_output().unwrap()).ends(130);
    assert_eq!(place.files("out"), [""; 0]);
}
