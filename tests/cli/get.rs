//! `seglift get`

use crate::run::{Place, log};
use std::{fs, os::unix::fs::PermissionsExt};

#[test]
fn a_segment_is_restored_under_its_name() {
    let place = Place::new();
    let bytes = log(9 << 20);
    place.offload("topic/0/seg", &bytes, &[]);
    let run = place.run(["get", &place.uri(), "topic/0/seg"]).succeeds();
    assert_eq!(run.text(), "seg\n");
    assert!(place.read("seg") == bytes);
    assert_eq!(place.files("."), ["seg", "tier/topic/0/seg"], "no temporary file is left");
}

#[test]
fn the_file_is_as_public_as_any_new_one() {
    let place = Place::new();
    place.offload("k", b"x", &[]);
    place.run(["get", &place.uri(), "k"]).succeeds();
    let plain = place.write("plain", b"x");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(place.path("k")), mode(plain));
}

#[test]
fn output_names_a_file_or_a_directory() {
    let place = Place::new();
    place.offload("t/k", b"one", &[]);
    place.offload("t/l", b"two", &[]);
    let get = |arguments: &[&str]| place.run([&["get", &place.uri()], arguments].concat()).succeeds();
    get(&["t/k", "-o", "named"]);
    get(&["t/k", "-o", "new/"]);
    get(&["t/k", "t/l", "-o", "both"]);
    assert_eq!(place.read("named"), b"one");
    assert_eq!(place.read("new/k"), b"one");
    assert_eq!(place.files("both"), ["k", "l"]);
}

#[test]
fn an_existing_file_is_replaced_only_by_force() {
    let place = Place::new();
    place.offload("k", b"restored", &[]);
    place.write("k", b"precious");
    place.run(["get", &place.uri(), "k"]).ends(5).complains("--force");
    assert_eq!(place.read("k"), b"precious");
    place.run(["get", &place.uri(), "k", "--force"]).succeeds();
    assert_eq!(place.read("k"), b"restored");
}

#[test]
fn a_folder_is_restored_with_its_paths() {
    let place = Place::new();
    for (key, text) in [("t/1/a", "a"), ("t/1/b/c", "c"), ("t/10/d", "d"), ("other", "o")] {
        place.offload(key, text.as_bytes(), &[]);
    }
    let run = place.run(["get", "--recursive", &place.uri(), "t/1", "-o", "out"]).succeeds();
    assert_eq!(place.files("out"), ["t/1/a", "t/1/b/c"]);
    assert_eq!(run.lines(), ["out/t/1/a", "out/t/1/b/c"]);
    place.run(["get", "--recursive", &place.uri(), "-o", "all"]).succeeds();
    assert_eq!(place.files("all"), ["other", "t/1/a", "t/1/b/c", "t/10/d"]);
    place.run(["get", "--recursive", &place.uri(), "t/2", "-o", "none"]).ends(3);
}

#[test]
fn a_damaged_segment_leaves_no_file_and_does_not_stop_the_others() {
    let place = Place::new();
    place.offload("bad", &log(600_000), &["--codec", "none"]);
    place.offload("good", b"good", &[]);
    place.damage("bad", 300_000);
    let run = place.run(["get", &place.uri(), "bad", "good", "-o", "out", "--json"]).ends(4);
    assert_eq!(place.files("out"), ["good"]);
    let [bad, good] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!((&bad["key"], &bad["error"]["code"]), (&"bad".into(), &"CORRUPT".into()));
    assert_eq!((&good["key"], &good["segment_bytes"]), (&"good".into(), &4.into()));
}

#[test]
fn records_are_restored_as_lines() {
    let place = Place::new();
    let offload = ["offload", "-", "--to", &place.uri(), "--key", "k", "--records", "--first-id", "5"];
    place.run_with(offload, b"one\ntwo\n").succeeds();
    place.run(["get", &place.uri(), "k"]).succeeds();
    assert_eq!(place.read("k"), b"one\ntwo\n");
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_that_names_it() {
    let place = Place::new();
    place.offload("k", b"x", &[]);
    place.write("file", b"no directory");
    place.run(["get", &place.uri(), "k", "-o", "file/k"]).ends(1).complains("file/k");
}
