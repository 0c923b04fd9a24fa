//! `seglift cat --salvage`

use crate::run::{Place, Run, log};
use serde_json::json;

const BLOCK: usize = 64 << 10;

/// A segment of 16 blocks and a bit, as it is in the object.
fn damaged(blocks: &[usize]) -> (Place, Vec<u8>) {
    let (place, bytes) = (Place::new(), log(16 * BLOCK + 100));
    place.offload("k", &bytes, &["--codec", "none"]);
    blocks.iter().for_each(|n| place.damage("k", n * BLOCK + 3));
    (place, bytes)
}

fn salvage(place: &Place, more: &[&str]) -> Run {
    let uri = place.uri();
    place.run([&["cat", "--salvage", &uri, "k"][..], more].concat())
}

#[test]
fn of_a_sound_segment_everything_is_written() {
    let (place, bytes) = damaged(&[]);
    let run = salvage(&place, &[]).succeeds();
    assert!(run.out == bytes && run.err.is_empty(), "{}", run.err);
}

#[test]
fn what_is_good_is_written_and_what_is_missing_is_named() {
    let (place, bytes) = damaged(&[2, 3, 16]);
    let run = salvage(&place, &[]).ends(4).complains("2 gaps are named above");
    assert!(run.out == [&bytes[..2 * BLOCK], &bytes[4 * BLOCK..16 * BLOCK]].concat());
    let missing: Vec<_> = run.err.lines().filter(|line| line.contains("missing: ")).collect();
    assert_eq!(
        missing,
        [
            "seglift: missing: bytes 131072-262143, 2 blocks; at 131072 of the object",
            "seglift: missing: bytes 1048576-1048675, 1 block; at 1048576 of the object",
        ]
    );
}

#[test]
fn zeros_keep_the_offsets() {
    let (place, mut bytes) = damaged(&[2, 16]);
    let run = salvage(&place, &["--fill"]).ends(4);
    bytes[2 * BLOCK..3 * BLOCK].fill(0);
    bytes[16 * BLOCK..].fill(0);
    assert!(run.out == bytes);
    place.offload("r", b"one\ntwo\n", &["--records"]);
    place.run(["cat", "--salvage", "--fill", &place.uri(), "r"]).ends(2).complains("holds records");
    salvage(&place, &["--fill", "--json"]).ends(2);
}

#[test]
fn in_json_every_line_says_what_it_is() {
    let (place, bytes) = damaged(&[1]);
    let run = salvage(&place, &["--json"]).ends(4);
    let lines = run.json();
    assert_eq!(lines.len(), 18, "16 blocks, a gap and the sum");
    assert_eq!((&lines[0]["offset"], &lines[0]["proof"]), (&0.into(), &"crc32c".into()));
    assert_eq!(lines[0]["text"].as_str().unwrap().as_bytes(), &bytes[..BLOCK]);
    assert_eq!(lines[1]["gap"]["first"], 65536);
    assert_eq!(lines[1]["gap"]["last"], 131_071);
    let sum = lines.last().unwrap();
    assert_eq!(sum["salvaged"]["bytes"], bytes.len() - BLOCK);
    assert_eq!((&sum["salvaged"]["whole"], &sum["error"]["code"]), (&json!(false), &"CORRUPT".into()));
    let (place, _) = damaged(&[]);
    let whole = salvage(&place, &["--json"]).succeeds().json().pop().unwrap();
    assert_eq!((&whole["salvaged"]["whole"], &whole["error"]), (&json!(true), &json!(null)));
}

#[test]
fn records_come_one_per_line_and_missing_ids_are_named() {
    let place = Place::new();
    let text = log(1 << 20);
    place.offload("k", &text, &["--records", "--first-id", "1000"]);
    place.damage("k", 100);
    let run = salvage(&place, &[]).ends(4);
    let lines: Vec<&[u8]> = text.strip_suffix(b"\n").unwrap_or(&text).split(|b| *b == b'\n').collect();
    let kept = run.out.iter().filter(|b| **b == b'\n').count();
    let lost = lines.len() - kept;
    assert!(lost > 0 && kept > 0);
    assert!(text.ends_with(run.out.strip_suffix(b"\n").unwrap()) || run.out.ends_with(b"\n"));
    let named = format!("missing: records 0-{}, 1 block", 1000 + lost - 1);
    assert!(run.err.contains(&named), "{named}: {}", run.err);
    let first = salvage(&place, &["--json"]).ends(4).json().into_iter().find(|o| o["id"].is_u64()).unwrap();
    assert_eq!(first["id"], 1000 + lost);
    assert_eq!(first["text"].as_str().unwrap().as_bytes(), lines[lost]);
}

#[test]
fn without_its_tail_a_segment_is_still_saved() {
    for codec in ["none", "zstd"] {
        let (place, bytes) = (Place::new(), log(3 << 20));
        place.write("a", b"an attachment");
        place.offload("k", &bytes, &["--codec", codec, "--attach", "a=a"]);
        let len = place.read("tier/k").len();
        place.damage("k", len - if codec == "none" { 20 } else { 200 });
        place.run(["cat", &place.uri(), "k"]).ends(4);
        assert!(salvage(&place, &[]).succeeds().out == bytes, "{codec}");
    }
}

#[test]
fn what_nothing_vouches_for_is_written_only_if_it_was_asked_for() {
    let (place, bytes) = (Place::new(), log(3 << 20));
    place.offload("k", &bytes, &[]);
    let object = place.read("tier/k");
    std::fs::remove_file(place.path("tier/k")).unwrap();
    place.write("tier/k", &object[..object.len() / 2]);
    let run = salvage(&place, &[]).ends(4).complains("no checksum of any block is left");
    assert!(run.out.is_empty());
    let run = salvage(&place, &["--unchecked"]).ends(4).complains("may be wrong");
    assert!(run.out.len() > 1 << 20 && bytes.starts_with(&run.out));
}

#[test]
fn what_is_not_there_cannot_be_saved() {
    let place = Place::new();
    place.run(["cat", "--salvage", &place.uri(), "k"]).ends(3);
    place.run(["cat", "--fill", &place.uri(), "k"]).ends(2);
    place.run(["cat", "--salvage", "--range", "0-1", &place.uri(), "k"]).ends(2);
}
