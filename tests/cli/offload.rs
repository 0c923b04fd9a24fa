//! `seglift offload`

use crate::run::{Place, log};
use std::fs::{self, File};

#[test]
fn offload_prints_the_key_and_nothing_else() {
    let place = Place::new();
    place.write("0001.log", &log(100_000));
    let run = place.run(["offload", "0001.log", "--to", &place.uri()]).succeeds();
    let [key] = &run.lines()[..] else { panic!("{run:?}") };
    let uuid = key.strip_prefix("0001.log-").unwrap();
    assert!(uuid.len() == 36 && uuid.bytes().all(|c| c == b'-' || c.is_ascii_hexdigit()), "{key}");
    assert_eq!(run.text(), format!("{key}\n"));
    assert_eq!(place.files("tier"), [key.as_str()]);
}

#[test]
fn several_files_get_several_keys_and_a_missing_one_does_not_stop_the_others() {
    let place = Place::new();
    place.write("a", b"first");
    place.write("c", b"third");
    let run = place
        .run(["offload", "a", "b", "c", "--to", &place.uri(), "--prefix", "t/0/"])
        .ends(1)
        .complains("b: ");
    let keys = run.lines();
    assert_eq!(keys.iter().map(|key| &key[..6]).collect::<Vec<_>>(), ["t/0/a-", "t/0/c-"]);
    assert_eq!(place.run(["cat", &place.uri(), &keys[1]]).succeeds().out, b"third");
}

#[test]
fn one_key_for_several_files_is_a_wrong_command_line() {
    let place = Place::new();
    for name in ["a", "b"] {
        place.write(name, b"x");
    }
    place.run(["offload", "a", "b", "--to", &place.uri(), "--key", "k"]).ends(2).complains("--prefix");
    place.run(["offload", "a", "b", "--to", &place.uri(), "--attach", "n=a"]).ends(2).complains("--attach");
    place.run(["offload", "-", "-", "--to", &place.uri()]).ends(2);
    place.run(["offload", "a", "--to", &place.uri(), "--key", "../k"]).ends(2).complains("..");
    place.run(["offload", "a", "--to", "tape://drive"]).ends(2).complains("file:///");
    assert!(place.files("tier").is_empty());
}

#[test]
fn the_same_content_again_is_success_and_another_is_refused() {
    let place = Place::new();
    place.offload("k", &log(1000), &[]);
    let before = place.read("tier/k");
    place.write("same", &log(1000));
    place.write("other", &log(1001));
    let again = ["offload", "same", "--to", &place.uri(), "--key", "k", "--json"];
    assert_eq!(place.run(again).succeeds().json()[0]["existed"], true);
    place.run(["offload", "other", "--to", &place.uri(), "--key", "k"]).ends(5);
    place.run(["offload", "same", "--to", &place.uri(), "--key", "k", "--if-exists", "fail"]).ends(5);
    assert_eq!(place.read("tier/k"), before);
}

#[test]
fn standard_input_streams_into_an_object() {
    let place = Place::new();
    let bytes = log(20 << 20);
    let run = place.run_with(["offload", "-", "--to", &place.uri()], &bytes).succeeds();
    let [key] = &run.lines()[..] else { panic!("{run:?}") };
    assert!(key.starts_with("stdin-"));
    assert!(place.run(["cat", &place.uri(), key]).succeeds().out == bytes);
}

#[test]
fn empty_input_is_an_empty_segment() {
    let place = Place::new();
    place.run_with(["offload", "-", "--to", &place.uri(), "--key", "nothing"], b"").succeeds();
    place.offload("file", b"", &[]);
    for key in ["nothing", "file"] {
        assert!(place.run(["cat", &place.uri(), key]).succeeds().out.is_empty());
        place.run(["verify", &place.uri(), key]).succeeds();
    }
}

#[test]
fn without_a_codec_the_object_begins_with_the_segment() {
    let place = Place::new();
    let bytes = log(300_000);
    place.offload("plain", &bytes, &["--codec", "none"]);
    place.offload("packed", &bytes, &["--codec", "zstd"]);
    assert!(place.read("tier/plain").starts_with(&bytes));
    assert!(place.read("tier/packed").len() < bytes.len() / 2);
}

#[test]
fn attachments_and_metadata_travel_with_the_segment() {
    let place = Place::new();
    place.write("index", b"0123");
    place.offload("k", b"segment", &["--attach", "offsets=index", "--meta", "topic=a=b", "--offsets", "7-9"]);
    assert_eq!(place.run(["cat", &place.uri(), "k", "--attachment", "offsets"]).succeeds().out, b"0123");
    let stat = place.run(["stat", &place.uri(), "k", "--json"]).succeeds().json().remove(0);
    assert_eq!(stat["metadata"][0]["name"], "topic");
    assert_eq!(stat["metadata"][0]["value"], "a=b");
    assert_eq!(stat["attachments"][0]["name"], "offsets");
    assert_eq!(stat["attachments"][0]["bytes"], 4);
    assert_eq!((&stat["offsets"]["first"], &stat["offsets"]["last"]), (&7.into(), &9.into()));
    place.run(["cat", &place.uri(), "k", "--attachment", "other"]).ends(3);
}

#[test]
fn every_line_is_a_record() {
    let place = Place::new();
    place.write("lines", b"zero\n\ntwo\r\nlast without newline");
    let to = place.uri();
    place.run(["offload", "lines", "--to", &to, "--key", "k", "--records", "--first-id", "10"]).succeeds();
    assert_eq!(place.run(["cat", &to, "k"]).succeeds().out, b"zero\n\ntwo\r\nlast without newline\n");
    assert_eq!(place.run(["cat", &to, "k", "--records", "11-12"]).succeeds().out, b"\ntwo\r\n");
    assert_eq!(place.run(["cat", &to, "k", "--records", "0-10"]).succeeds().out, b"zero\n");
    let stat = place.run(["stat", &to, "k", "--json"]).succeeds().json().remove(0);
    assert_eq!(stat["records"]["count"], 4);
    assert_eq!((&stat["records"]["first_id"], &stat["records"]["last_id"]), (&10.into(), &13.into()));
}

#[test]
fn repeating_an_offload_of_records_finds_the_same_content() {
    let place = Place::new();
    let arguments = ["offload", "-", "--to", &place.uri(), "--key", "k", "--records", "--json"];
    place.run_with(arguments, b"a\nb\n").succeeds();
    assert_eq!(place.run_with(arguments, b"a\nb\n").succeeds().json()[0]["existed"], true);
    place.run_with(arguments, b"a\nc\n").ends(5);
}

#[test]
fn a_receipt_is_one_json_object_and_so_is_a_failure() {
    let place = Place::new();
    place.write("a", &log(5000));
    let run = place.run(["offload", "a", "missing", "--to", &place.uri(), "--json", "--quiet"]).ends(1);
    let [receipt, failure] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!(receipt["segment_bytes"], 5000);
    assert_eq!(
        receipt["object_bytes"],
        fs::metadata(place.path("tier").join(receipt["key"].as_str().unwrap())).unwrap().len()
    );
    assert_eq!(receipt["crc64nvme"].as_str().unwrap().len(), 16);
    assert_eq!((&receipt["codec"], &receipt["mode"]), (&"zstd".into(), &"bytes".into()));
    assert_eq!(failure["file"], "missing");
    assert_eq!(failure["error"]["code"], "SOURCE_FAILED");
}

#[test]
fn a_directory_and_a_pipe_are_told_apart() {
    let place = Place::new();
    place.run(["offload", "tier", "--to", &place.uri()]).ends(1).complains("directory");
    let fifo = place.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let child = place.command(["offload", "fifo", "--to", &place.uri(), "--key", "k"]).spawn().unwrap();
    fs::write(&fifo, b"through a pipe").unwrap();
    crate::run::Run::from(child.wait_with_output().unwrap()).succeeds();
    assert_eq!(place.run(["cat", &place.uri(), "k"]).succeeds().out, b"through a pipe");
}

#[test]
fn a_key_that_cannot_be_printed_is_an_error() {
    let place = Place::new();
    place.write("a", b"x");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = place.command(["offload", "a", "--to", &place.uri()]).stdout(full).output().unwrap();
    crate::run::Run::from(output).ends(1).complains("standard output");
    assert_eq!(place.files("tier").len(), 1, "what was committed stays");
}

#[test]
fn quiet_leaves_nothing_but_the_key() {
    let place = Place::new();
    place.write("a", b"x");
    let run = place.run(["offload", "a", "--to", &place.uri(), "--quiet"]).succeeds();
    assert_eq!((run.lines().len(), run.err.as_str()), (1, ""));
}

#[cfg(feature = "testing")]
#[test]
fn an_exit_status_says_why_the_store_refused() {
    let place = Place::new();
    place.write("a", b"x");
    for (script, status) in [
        ("put=*:UNAVAILABLE&begin=*:UNAVAILABLE", 7),
        ("put=*:THROTTLED&begin=*:THROTTLED", 7),
        ("put=*:PERMISSION_DENIED&begin=*:PERMISSION_DENIED", 8),
        ("put=*:UNAUTHENTICATED&begin=*:UNAUTHENTICATED", 8),
        ("put=*:NO_SPACE&begin=*:NO_SPACE", 1),
        ("put=*:unknown&commit=*:unknown&get=*:UNAVAILABLE&head=*:UNAVAILABLE", 6),
    ] {
        let limits = ["--set", "deadline.offload=2s"];
        let to = place.faulty(script);
        let run = place.run(["offload", "a", "--to", &to, "--key", "k"].iter().chain(&limits)).ends(status);
        assert!(run.out.is_empty() && run.err.contains("hint: "), "{script}: {run:?}");
    }
}
