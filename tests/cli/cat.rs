//! `seglift cat`

use crate::run::{Place, Run, log};
use std::{fs::File, io::Read, process::Stdio};

#[test]
fn a_segment_comes_back_by_either_form_of_its_address() {
    let place = Place::new();
    let bytes = log(1_000_000);
    place.offload("topic/0/seg", &bytes, &[]);
    let joined = format!("{}/topic/0/seg", place.uri());
    assert!(place.run(["cat", &joined]).succeeds().out == bytes);
    assert!(place.run(["cat", &place.uri(), "topic/0/seg"]).succeeds().out == bytes);
    let folder = format!("{}/topic", place.uri());
    assert!(place.run(["cat", &folder, "0/seg"]).succeeds().out == bytes);
}

#[test]
fn a_range_includes_both_ends() {
    let place = Place::new();
    let bytes = log(1_000_000);
    place.offload("k", &bytes, &[]);
    let range = |text: &str| place.run(["cat", &place.uri(), "k", "--range", text]);
    assert_eq!(range("0-0").succeeds().out, &bytes[..1]);
    assert_eq!(range("262143-262144").succeeds().out, &bytes[262_143..=262_144]);
    assert_eq!(range("999999-").succeeds().out, &bytes[999_999..]);
    assert_eq!(range("-5").succeeds().out, &bytes[999_995..]);
    assert!(range("0-18446744073709551615").succeeds().out == bytes);
    assert!(range("1-18446744073709551614").succeeds().out == bytes[1..]);
    range("1000000-").ends(3).complains("1000000 bytes");
    for bad in ["5", "5-4", "a-b", "", "0-18446744073709551616"] {
        assert!(range(bad).ends(2).out.is_empty());
    }
}

#[test]
fn many_pieces_come_in_order_however_small_the_memory() {
    let place = Place::new();
    let bytes = log(40 << 20);
    place.offload("packed", &bytes, &[]);
    place.offload("plain", &bytes, &["--codec", "none"]);
    for key in ["packed", "plain"] {
        assert!(place.run(["cat", &place.uri(), key]).succeeds().out == bytes);
        let small = ["cat", &place.uri(), key, "--set", "memory.budget=16MiB", "--range", "12345-"];
        assert!(place.run(small).succeeds().out == bytes[12345..]);
    }
}

#[test]
fn what_is_not_there_is_not_found_and_not_created() {
    let place = Place::new();
    place.run(["cat", &place.uri(), "k"]).ends(3).complains("k");
    place.run(["cat", &format!("{}/no/such/k", place.uri())]).ends(3);
    place.run(["cat", &format!("{}-other", place.uri()), "k"]).ends(2).complains("does not exist");
    assert!(place.files("tier").is_empty() && !place.path("tier-other").exists());
}

#[test]
fn a_wrong_command_line_is_status_2() {
    let place = Place::new();
    for wrong in [
        &["cat"][..],
        &["cat", "k"],
        &["cat", "file:///a", "b", "c"],
        &["cat", "file:///"],
        &["frobnicate"],
        &[],
    ] {
        let run = place.run(wrong).ends(2);
        assert!(run.out.is_empty() && !run.err.is_empty(), "{wrong:?}");
    }
    let both = ["cat", &place.uri(), "k", "--range", "0-1", "--records", "0-1"];
    place.run(both).ends(2);
}

#[test]
fn damage_is_an_error_and_no_wrong_byte_is_written() {
    let place = Place::new();
    let bytes = log(1 << 20);
    place.offload("k", &bytes, &["--codec", "none"]);
    place.damage("k", 500_000);
    let run = place.run(["cat", &place.uri(), "k"]).ends(4);
    assert!(bytes.starts_with(&run.out), "{} bytes, and not those of the segment", run.out.len());
    assert!(run.err.contains("hint: `seglift verify`"), "{}", run.err);
    // The rest of the segment is still there.
    assert!(place.run(["cat", &place.uri(), "k", "--range", "600000-"]).succeeds().out == bytes[600_000..]);
}

#[test]
fn a_file_that_is_no_object_is_corrupt() {
    let place = Place::new();
    place.write("tier/readme", b"just text, long enough to look for a tail in it, and then some more text");
    place.run(["cat", &place.uri(), "readme"]).ends(4);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let place = Place::new();
    place.offload("k", &log(30 << 20), &[]);
    let mut child = place.command(["cat", &place.uri(), "k"]).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut [0; 10]).unwrap();
    drop(pipe);
    let run = Run::from(child.wait_with_output().unwrap()).ends(141);
    assert_eq!(run.err, "");
}

#[test]
fn a_full_disk_is_an_error() {
    let place = Place::new();
    place.offload("k", b"a few bytes", &[]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = place.command(["cat", &place.uri(), "k"]).stdout(full).output().unwrap();
    let run = Run::from(output).ends(1).complains("standard output");
    assert_eq!(run.err.matches("standard output").count(), 1, "said once: {}", run.err);
}

#[test]
fn closed_streams_do_no_harm() {
    let place = Place::new();
    place.offload("k", b"a few bytes", &[]);
    let shell = |redirection: &str| {
        let line = format!("{} cat {} k {redirection}", env!("CARGO_BIN_EXE_seglift"), place.uri());
        std::process::Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output().unwrap()
    };
    assert!(shell("2>&-").stdout == b"a few bytes");
    assert!(shell("<&-").stdout == b"a few bytes");
    shell(">&-");
    assert_eq!(place.run(["verify", &place.uri(), "k"]).succeeds().lines().len(), 1);
}

#[test]
fn records_print_as_json_whatever_they_hold() {
    let place = Place::new();
    let offload = [
        "offload",
        "-",
        "--to",
        &place.uri(),
        "--key",
        "k",
        "--records",
        "--first-id",
        "18446744073709551614",
    ];
    place.run_with(offload, b"text \"quoted\"\n\xff\xfe\n").succeeds();
    let records = place.run(["cat", &place.uri(), "k", "--json"]).succeeds().json();
    assert_eq!(records[0]["id"], 18_446_744_073_709_551_614u64);
    assert_eq!(records[0]["text"], "text \"quoted\"");
    assert_eq!(records[1]["base64"], "//4=");
    place.offload("bytes", b"x", &[]);
    place.run(["cat", &place.uri(), "bytes", "--json"]).ends(2);
    place.run(["cat", &place.uri(), "bytes", "--records", "0-"]).ends(2);
}

#[test]
fn many_records_are_read_batch_by_batch() {
    let place = Place::new();
    let lines = log(8 << 20);
    let whole = &lines[..lines.iter().rposition(|&c| c == b'\n').unwrap() + 1];
    place.run_with(["offload", "-", "--to", &place.uri(), "--key", "k", "--records"], whole).succeeds();
    assert!(place.run(["cat", &place.uri(), "k"]).succeeds().out == whole);
    let tail: Vec<u8> = whole.split_inclusive(|&c| c == b'\n').skip(50_000).flatten().copied().collect();
    assert!(place.run(["cat", &place.uri(), "k", "--records", "50000-"]).succeeds().out == tail);
}

#[cfg(feature = "testing")]
#[test]
fn a_store_that_is_away_is_status_7() {
    let place = Place::new();
    place.offload("k", b"x", &[]);
    let run = place
        .run(["cat", &place.faulty("get=*:UNAVAILABLE"), "k", "--set", "deadline.read=1s", "--json"])
        .ends(7);
    assert_eq!(run.json()[0]["error"]["retryable"], true);
}
