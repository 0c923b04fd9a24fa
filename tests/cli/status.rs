//! `seglift status`, with the command itself as the host.

use crate::run::{Place, Run, log};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    path::PathBuf,
    process::{Child, ChildStdin, Stdio},
    thread,
    time::{Duration, Instant},
};

/// An offload of standard input that goes on until its end, with a status socket.
struct Host {
    child: Child,
    input: ChildStdin,
    socket: PathBuf,
}

impl Host {
    fn start(place: &Place, uri: &str) -> Host {
        let socket = place.path("status");
        let setting = format!("status.socket={}", socket.display());
        let mut child = place
            .command(["offload", "-", "--to", uri, "--key", "k", "--codec", "none"])
            .args(["--set", "upload.part.size=1MiB", "--set", &setting])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&log(3 << 20)).unwrap();
        let host = Host { child, input, socket };
        host.until(place, |status| status["running"][0]["bytes_done"].as_u64() > Some(1 << 20));
        host
    }

    /// Waits until the host's status is as it should be.
    fn until(&self, place: &Place, is: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        loop {
            let run = place.run(["status", self.path(), "--json"]);
            if run.status == 0 && is(&run.json()[0]) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{run:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn path(&self) -> &str {
        self.socket.to_str().unwrap()
    }

    /// Ends the input.
    fn finish(self) -> Run {
        drop(self.input);
        self.child.wait_with_output().unwrap().into()
    }
}

/// Starts a command and waits for its first line.
fn waiting(place: &Place, arguments: &[&str]) -> (Child, String) {
    let mut child = place.command(arguments).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::with_capacity(1, child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    child.stdout = Some(out.into_inner());
    (child, line)
}

fn ended(child: Child) -> Run {
    child.wait_with_output().unwrap().into()
}

#[test]
fn the_status_of_another_process_is_shown_and_waited_for() {
    let place = Place::new();
    let host = Host::start(&place, &place.uri());
    let run = place.run(["status", host.path()]).succeeds();
    let lines = run.lines();
    assert!(lines[0].starts_with(&format!("process {}, seglift ", host.child.id())), "{lines:#?}");
    let line = lines.iter().find(|line| line.starts_with("running")).expect("it runs");
    assert!(line.contains("writer") && line.contains(" k ") && line.contains("MiB"), "{line}");
    assert!(run.text().contains(&place.uri()) && run.text().contains("closed"), "{lines:#?}");
    // The settings name the socket, too; and whoever looks does not become a host by that.
    let from_settings = |command: &[&str]| {
        place.command(command).env("SEGLIFT_STATUS_SOCKET", host.path()).output().map(Run::from).unwrap()
    };
    assert_eq!(from_settings(&["status", "--json"]).succeeds().json()[0]["running"][0]["what"], "k");
    from_settings(&["ls", &place.uri()]);
    let second = format!("status.socket={}", host.path());
    place.run(["ls", &place.uri(), "--set", &second]).ends(2).complains("(seglift) has it and lives");

    place
        .run(["status", host.path(), "--wait", "--deadline", "300ms"])
        .ends(7)
        .complains("the deadline passed");
    let (json, first) = waiting(&place, &["status", host.path(), "--wait", "--json"]);
    assert!(first.contains("\"running\":[{"), "{first}");
    let text = place.command(["status", host.path(), "--wait"]).spawn().unwrap();
    // It asks before the host ends: its first line comes at once, and the host takes its time.
    host.until(&place, |_| true);
    thread::sleep(Duration::from_millis(300));
    let path = host.socket.clone();
    host.finish().succeeds();
    let last = ended(json).succeeds().json().pop().unwrap();
    assert_eq!(
        (last["running"].as_array().map(Vec::len), last["succeeded"][0]["what"].as_str()),
        (Some(0), Some("k"))
    );
    let text = ended(text).succeeds();
    let success = text.lines().into_iter().find(|line| line.starts_with("success")).expect("it succeeded");
    assert!(success.contains(" k ") && success.contains("3.00 MiB"), "{success}");
    assert!(text.err.contains("nothing failed meanwhile"), "{}", text.err);
    assert!(!path.exists());
    place.run(["status", path.to_str().unwrap()]).ends(7).complains("no such socket");
}

#[cfg(feature = "testing")]
#[test]
fn waiting_fails_as_what_was_waited_for() {
    let place = Place::new();
    let host = Host::start(&place, &place.faulty("commit=1:PERMISSION_DENIED"));
    let (waits, _) = waiting(&place, &["status", host.path(), "--wait", "--json"]);
    host.finish().ends(8);
    let run = ended(waits).ends(8);
    let failed = run.json().pop().unwrap()["failed"][0].clone();
    assert_eq!((failed["code"].as_str(), failed["what"].as_str()), (Some("PERMISSION_DENIED"), Some("k")));
    assert!(run.err.contains("1 operation failed meanwhile"), "{}", run.err);
}

#[test]
fn a_failure_counts_that_the_host_has_forgotten_when_the_wait_ends() {
    let place = Place::new();
    let op = |id: u64, kind: &str, code: &str| json!({"id": id, "kind": kind, "what": "k", "code": code});
    let (old, lost) = (op(1, "offload", "CORRUPT"), op(2, "offload", "PERMISSION_DENIED"));
    let (other, read) = (op(3, "writer", ""), op(4, "read", "NOT_FOUND"));
    let lines = [
        json!({"running": [lost, other], "failed": [old], "failed_total": 1}),
        json!({"running": [other], "failed": [old, lost, read], "failed_total": 3}),
        json!({"running": [], "failed": [read], "failed_total": 3}),
    ];
    let host = UnixListener::bind(place.path("status")).unwrap();
    let answering = thread::spawn(move || {
        let (mut stream, _) = host.accept().unwrap();
        lines.iter().for_each(|line| writeln!(stream, "{line}").unwrap());
    });
    let run = place.run(["status", "status", "--wait"]).ends(8);
    assert!(run.err.contains("1 operation failed meanwhile"), "{}", run.err);
    answering.join().unwrap();
}

#[test]
fn a_host_that_dies_is_told_from_one_that_is_done() {
    let place = Place::new();
    let mut host = Host::start(&place, &place.uri());
    let (waits, _) = waiting(&place, &["status", host.path(), "--wait", "--json"]);
    host.child.kill().unwrap();
    host.child.wait().unwrap();
    let run = ended(waits).ends(7).complains("the host has ended");
    assert!(run.err.contains("1 operation running"), "{}", run.err);
    place.run(["status", host.path()]).ends(7).complains("the process that made it has ended");
    // Who comes next takes the dead one's place.
    let next = Host::start(&place, &place.uri());
    next.finish().succeeds();
}

#[test]
fn a_socket_that_is_none_or_nobodys_is_a_clear_error() {
    let place = Place::new();
    place.run(["status"]).ends(2).complains("SEGLIFT_STATUS_SOCKET");
    place.write("file", b"x");
    place.run(["status", "file"]).ends(7);
    let other = UnixListener::bind(place.path("other")).unwrap();
    let answering = thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
    });
    place.run(["status", "other"]).ends(2).complains("is no seglift");
    answering.join().unwrap();
}
