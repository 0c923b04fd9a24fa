//! `seglift reap` and `seglift sweep`

use crate::run::{Place, log};
use std::{fs, io::Write, process::Stdio, thread, time::Duration};

/// An upload that a killed process has left.
fn abandoned(place: &Place) -> String {
    let uri = place.uri();
    let arguments = ["offload", "-", "--to", &uri, "--key", "k", "--set", "upload.part.size=64KiB"];
    let mut child = place.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(&log(1 << 20)).unwrap();
    for _ in 0..1000 {
        let begun =
            |name: &String| fs::metadata(place.path("tier").join(name)).is_ok_and(|file| file.len() > 0);
        if place.files("tier").iter().any(begun) {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let [left] = &place.files("tier")[..] else { panic!("no upload began") };
    left.clone()
}

/// Makes a file of the store look as if it were days old.
fn age(place: &Place, name: &str) {
    let day = Duration::from_secs(24 * 3600);
    let before = std::time::SystemTime::now() - 3 * day;
    fs::File::options()
        .write(true)
        .open(place.path("tier").join(name))
        .unwrap()
        .set_modified(before)
        .unwrap();
}

fn three(place: &Place) {
    for key in ["t/a", "t/b", "t/c"] {
        place.offload(key, b"segment", &[]);
        age(place, key);
    }
}

#[test]
fn what_a_killed_command_left_is_reaped_once_it_is_old() {
    let place = Place::new();
    let left = abandoned(&place);
    let run = place.run(["reap", &place.uri(), "--older-than", "1d"]).succeeds();
    assert!(run.out.is_empty() && run.err.contains("removed 0 uploads; left 1 too young"), "{}", run.err);
    age(&place, &left);
    let run = place.run(["reap", &place.uri(), "--older-than", "1d", "--dry-run", "--json"]).succeeds();
    let [item] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!((&item["name"], &item["verdict"]), (&left.as_str().into(), &"would-remove".into()));
    assert!(item["bytes"].as_u64().unwrap() > 0);
    assert_eq!(place.files("tier"), std::slice::from_ref(&left));
    let run = place.run(["reap", &place.uri(), "--older-than", "1d"]).succeeds();
    assert_eq!(run.lines(), [left]);
    assert!(place.files("tier").is_empty());
    place.run(["reap", &place.uri()]).ends(2);
    place.run(["reap", &place.uri(), "--older-than", "soon"]).ends(2);
}

#[test]
fn a_sweep_says_what_it_would_delete_and_deletes_only_when_told() {
    let place = Place::new();
    three(&place);
    place.offload("t/new", b"segment", &[]);
    place.write("live", b"t/b\n");
    let run = place.run(["sweep", &place.uri(), "--live", "live"]).succeeds();
    assert_eq!(run.lines(), ["t/a", "t/c"]);
    assert!(run.err.contains("would remove 2 objects") && run.err.contains("say --delete"), "{}", run.err);
    assert!(run.err.contains("left 1 live; left 1 too young"), "{}", run.err);
    assert_eq!(place.files("tier").len(), 4);
    let run =
        place.run_with(["sweep", &place.uri(), "--live", "-", "--delete", "--json"], b"t/b\n").succeeds();
    let verdicts: Vec<_> =
        run.json().iter().map(|item| item["verdict"].as_str().unwrap().to_string()).collect();
    assert_eq!(verdicts, ["removed", "live", "removed", "young"]);
    assert_eq!(place.files("tier"), ["t/b", "t/new"]);
    let words = ["sweep", &place.uri(), "--live", "-", "--delete", "--grace", "0s"];
    assert_eq!(place.run_with(words, b"t/b\n").succeeds().lines(), ["t/new"]);
}

#[test]
fn a_list_that_cannot_be_right_deletes_nothing() {
    let place = Place::new();
    three(&place);
    for (list, why) in [
        (&b""[..], "empty"),
        (b"t/b\nt/a\n", "increasing byte order"),
        (b"t/a\nt/b", "has no end"),
        (b"t/a\n\n", "key"),
        (b"t/a\xff\n", "not UTF-8"),
    ] {
        let run = place.run_with(["sweep", &place.uri(), "--live", "-", "--delete"], list).ends(2);
        assert!(run.err.contains(why), "{}", run.err);
        assert_eq!(place.files("tier").len(), 3);
    }
    place.run(["sweep", &place.uri(), "--live", "nosuch", "--delete"]).ends(1);
    place.run(["sweep", &place.uri(), "--delete"]).ends(2);
    place.run(["sweep", "tier", "--live", "-"]).ends(2);
}

/// A list as `seglift-kafka live-keys` prints it.
fn framed(days: u64, keys: &str, end: u64) -> Vec<u8> {
    let began = std::time::SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    let micros = began.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    format!("#seglift-live-keys 1 {micros}\n{keys}#end {end}\n").into_bytes()
}

#[test]
fn a_list_that_says_where_it_ends_is_taken_only_whole() {
    let place = Place::new();
    three(&place);
    let list = framed(0, "t/a\nt/b\n", 2);
    let sweep = ["sweep", &place.uri(), "--live", "-", "--delete"];
    let lines: Vec<&[u8]> = list.split_inclusive(|byte| *byte == b'\n').collect();
    for whole_lines in 1..lines.len() {
        let run = place.run_with(sweep, &lines[..whole_lines].concat()).ends(2);
        assert!(run.err.contains("lacks its last line"), "{}", run.err);
        assert_eq!(place.files("tier").len(), 3);
    }
    for (list, why) in [
        (framed(0, "t/a\nt/b\n", 3), "holds 2 keys"),
        ([&list[..], b"t/c\n"].concat(), "holds 2 keys"),
        (b"#seglift-live-keys 1\nt/a\n#end 1\n".to_vec(), "when it was made"),
        (b"#seglift-live-keys 1 x\nt/a\n#end 1\n".to_vec(), "when it was made"),
        (b"#seglift-live-keys 2 7\nt/a\n#end 1\n".to_vec(), "newer version"),
        (framed(0, "", 0), "empty"),
    ] {
        let run = place.run_with(sweep, &list);
        assert!(!run.err.is_empty() && run.err.contains(why), "{}", run.err);
    }
    place.run_with(sweep, &list).succeeds();
}

#[test]
fn what_is_younger_than_an_old_list_stays() {
    let place = Place::new();
    three(&place);
    // The objects are three days old, and the grace is a day.
    let sweep = ["sweep", &place.uri(), "--live", "-", "--delete"];
    let run = place.run_with(sweep, &framed(4, "t/b\n", 1)).succeeds();
    assert!(run.out.is_empty() && run.err.contains("left 2 too young"), "{}", run.err);
    place.write("live", b"t/b\n");
    let before = std::time::SystemTime::now() - Duration::from_secs(4 * 24 * 3600);
    fs::File::options().write(true).open(place.path("live")).unwrap().set_modified(before).unwrap();
    let run = place.run(["sweep", &place.uri(), "--live", "live", "--delete"]).succeeds();
    assert!(run.out.is_empty() && run.err.contains("left 2 too young"), "{}", run.err);
    let run = place.run_with(sweep, &framed(1, "t/b\n", 1)).succeeds();
    assert_eq!(run.lines(), ["t/a", "t/c"]);
}

#[test]
fn a_prefix_keeps_a_sweep_within_it() {
    let place = Place::new();
    three(&place);
    place.offload("u/a", b"segment", &[]);
    age(&place, "u/a");
    let sweep = ["sweep", &place.uri(), "--prefix", "t/", "--live", "-", "--delete"];
    let run = place.run_with(sweep, b"t/a\nt/missing\n").succeeds();
    assert!(run.err.contains("listed as live and not in the store: t/missing"), "{}", run.err);
    assert_eq!(place.files("tier"), ["t/a", "u/a"]);
    place.run_with(sweep, b"u/a\n").ends(2);
}

#[cfg(feature = "testing")]
#[test]
fn what_could_not_be_deleted_is_an_error_and_the_rest_is_gone() {
    let place = Place::new();
    three(&place);
    let uri = place.faulty("delete=1:PERMISSION_DENIED");
    let run = place.run_with(["sweep", &uri, "--live", "-", "--delete"], b"t/c\n").ends(8);
    assert_eq!(run.lines().len(), 1);
    assert_eq!(place.files("tier").len(), 2);
}
