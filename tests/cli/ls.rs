//! `seglift ls`

use crate::run::Place;

fn filled() -> Place {
    let place = Place::new();
    for key in ["t/1/a", "t/1-x", "t/10/b", "z"] {
        place.offload(key, key.as_bytes(), &[]);
    }
    place
}

#[test]
fn keys_are_listed_one_a_line_in_byte_order() {
    let place = filled();
    assert_eq!(place.run(["ls", &place.uri()]).succeeds().lines(), ["t/1-x", "t/1/a", "t/10/b", "z"]);
    assert_eq!(place.run(["ls", &place.uri(), "t/1/"]).succeeds().lines(), ["t/1/a"]);
    assert_eq!(place.run(["ls", &format!("{}/", place.uri())]).succeeds().lines().len(), 4);
}

#[test]
fn a_directory_in_the_address_is_the_store_and_other_text_a_prefix() {
    let place = filled();
    assert_eq!(place.run(["ls", &format!("{}/t", place.uri())]).succeeds().lines(), ["1-x", "1/a", "10/b"]);
    assert_eq!(place.run(["ls", &format!("{}/t/1-", place.uri())]).succeeds().lines(), ["1-x"]);
}

#[test]
fn nothing_is_printed_of_an_empty_store_and_a_prefix_of_nothing_is_not_found() {
    let place = Place::new();
    let run = place.run(["ls", &place.uri()]).succeeds();
    assert!(run.out.is_empty() && run.err.is_empty());
    place.run(["ls", &place.uri(), "x"]).ends(3).complains("\"x\"");
    place.run(["ls", &format!("{}/nosuch", place.uri())]).ends(3);
}

#[test]
fn long_and_json_say_how_large_and_how_old() {
    let place = filled();
    let size = place.read("tier/z").len();
    let line = place.run(["ls", "--long", &place.uri(), "z"]).succeeds().text();
    let [bytes, time, key] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
    assert_eq!((bytes.parse(), key), (Ok(size), "z"));
    assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 20, "{time}");
    let object = place.run(["ls", "--json", &place.uri(), "z"]).succeeds().json().remove(0);
    assert_eq!((&object["key"], &object["object_bytes"]), (&"z".into(), &size.into()));
    assert_eq!(object["modified"], time);
    assert!(object["modified_us"].as_i64().unwrap() > 0);
}

#[test]
fn more_keys_than_a_page_are_all_listed() {
    let place = Place::new();
    place.offload("n/0000", b"x", &[]);
    for i in 1..2100 {
        std::fs::copy(place.path("tier/n/0000"), place.path(&format!("tier/n/{i:04}"))).unwrap();
    }
    let lines = place.run(["ls", &place.uri()]).succeeds().lines();
    assert_eq!(lines.len(), 2100);
    assert!(lines.is_sorted());
}
