//! An offload that was killed, and the same command again.

use crate::{
    fake::{Fake, Kind, Manners, Reply},
    run::{Place, Run, log},
};
use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const PART: usize = 5 << 20;
/// Three parts and a rest, with what stands behind it.
const LEN: usize = 3 * PART + 1000;

fn offload(place: &Place, uri: &str, more: &[&str]) -> Command {
    let always = ["offload", "segment", "--to", uri, "--key", "k", "--codec", "none", "--resume", "--json"];
    let settings = ["--set", "upload.part.size=5MiB", "--set", "upload.concurrency=1"];
    place.command(always.iter().chain(&settings).chain(more))
}

/// Starts the command and kills it, with a signal that it cannot see, as soon as `now`.
fn kill(mut command: Command, now: impl Fn() -> bool) {
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    while !now() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not come so far");
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    assert_eq!(Run::from(child.wait_with_output().unwrap()).status, -9);
}

#[cfg(feature = "testing")]
#[test]
fn a_killed_offload_to_a_folder_goes_on_where_it_was() {
    let place = Place::new();
    place.write("segment", &log(LEN));
    let temporary = || fs::read_dir(place.path("tier")).unwrap().next().map(|entry| entry.unwrap().path());
    let arrived = || temporary().map_or(0, |path| fs::metadata(path).unwrap().len());
    kill(offload(&place, &place.faulty("part=3:stall"), &[]), || arrived() == 2 * PART as u64);
    assert_eq!(place.files("tier").len(), 1);
    assert!(place.path("segment.seglift-resume").exists());

    let run = Run::from(offload(&place, &place.uri(), &[]).output().unwrap()).succeeds();
    assert_eq!(run.json()[0]["resumed_bytes"], 2 * PART, "{run:?}");
    assert_eq!(place.files("tier"), ["k"]);
    assert!(!place.path("segment.seglift-resume").exists());
    place.run(["get", &place.uri(), "k", "-o", "back"]).succeeds();
    assert!(place.read("back") == log(LEN));
}

#[test]
fn a_killed_offload_to_a_service_of_s3_sends_only_the_parts_that_it_does_not_have() {
    let (place, fake) = (Place::new(), Fake::start(Manners::default()));
    place.write("segment", &log(LEN));
    let endpoint = format!("s3.endpoint={}", fake.endpoint());
    let credentials = ["--set", "s3.access.key=a", "--set", "s3.secret.key=b", "--set", &endpoint];
    let run = || offload(&place, "s3://bucket/tier", &credentials);
    // The first two are answered as they should be.
    (0..2).for_each(|_| fake.order(Kind::Part, Reply::Without("")));
    fake.order(Kind::Part, Reply::Silence);
    kill(run(), || fake.requests(Kind::Part).len() == 3);
    assert_eq!(fake.counts(), (0, 1));

    let ended = Run::from(run().output().unwrap()).succeeds();
    // The first part goes out again, so that nobody takes the upload for abandoned.
    assert_eq!(ended.json()[0]["resumed_bytes"], PART, "{ended:?}");
    let kinds = [Kind::Begin, Kind::Part, Kind::Commit, Kind::Abort].map(|kind| fake.requests(kind).len());
    assert_eq!(kinds, [1, 3 + 3, 1, 0]);
    assert_eq!(fake.counts(), (1, 0));
    assert!(fake.object("/bucket/tier/k").unwrap()[..LEN] == log(LEN)[..]);
    assert!(!place.path("segment.seglift-resume").exists());
}

#[test]
fn what_cannot_be_resumed_is_refused_before_anything_is_sent() {
    let place = Place::new();
    place.write("segment", &log(100));
    let uri = place.uri();
    // A key that is made up anew is never the same.
    place.run(["offload", "segment", "--to", &uri, "--resume"]).ends(2);
    place.run(["offload", "segment", "--to", &uri, "--key", "k", "--resume", "--records"]).ends(2);
    let run = place.run_with(["offload", "-", "--to", &uri, "--key", "k", "--resume"], b"a stream");
    run.ends(2).complains("--resume needs a file");
    // Somebody's file is not overwritten.
    place.write("mine", b"precious");
    let run = place.run(["offload", "segment", "--to", &uri, "--key", "k", "--resume=mine"]);
    run.ends(2).complains("cannot be the resume file");
    assert_eq!(place.read("mine"), b"precious");
    assert_eq!(place.files("tier"), [""; 0]);
}
