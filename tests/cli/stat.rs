//! `seglift stat`

use crate::run::{Place, log};

#[test]
fn the_picture_fits_80_columns_and_shows_every_part() {
    let place = Place::new();
    place.write("index", &log(3000));
    let mut bytes = log(3 << 20);
    bytes.extend(vec![0; 1 << 20]);
    place.offload("topic/seg", &bytes, &["--attach", "offsets=index", "--meta", "content-type=text/plain"]);
    let text = place.run(["stat", &place.uri(), "topic/seg"]).succeeds().text();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    for part in [
        "topic/seg",
        "4194304 bytes",
        "zstd",
        "16 of 256.00 KiB",
        "text/plain",
        "offsets",
        "a  attachment",
        "i  index",
        "t  tail",
        "s  seek table",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let row = text.lines().find(|line| line.trim_start().starts_with("0 B")).unwrap();
    let cells: Vec<char> = row.chars().skip(13).collect();
    assert_eq!(cells.len(), 16);
    assert!(cells[..12].iter().all(|&cell| cell == '▒' || cell == '░'), "{row}");
    assert!(cells[12..].iter().all(|&cell| cell == '·'), "zeros are nearly nothing: {row}");
}

#[test]
fn a_plain_object_has_full_cells_and_no_seek_table() {
    let place = Place::new();
    place.offload("k", &log(200_000), &["--codec", "none"]);
    let text = place.run(["stat", &place.uri(), "k", "--ascii"]).succeeds().text();
    assert!(text.is_ascii() && text.contains("  ####\n") && !text.contains("seek table"), "{text}");
}

#[test]
fn json_has_all_that_the_text_has() {
    let place = Place::new();
    let bytes = log(1_000_000);
    place.offload("k", &bytes, &[]);
    let stat = place.run(["stat", &place.uri(), "k", "--json"]).succeeds().json().remove(0);
    let number = |name: &str| stat[name].as_u64().unwrap();
    assert_eq!(number("segment_bytes"), 1_000_000);
    assert_eq!(number("object_bytes"), place.read("tier/k").len() as u64);
    assert_eq!(
        number("tail_position") + number("tail_bytes") + number("seek_table_bytes"),
        number("object_bytes")
    );
    assert_eq!((number("blocks"), number("block_size"), number("format_version")), (4, 262_144, 1));
    assert_eq!(stat["owner"], "default");
    let cells = stat["map"]["cells"].as_array().unwrap();
    let sum = |at: usize| cells.iter().map(|cell| cell[at].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum(0), sum(1)), (1_000_000, number("data_bytes")));
}

#[test]
fn a_missing_one_does_not_hide_the_others() {
    let place = Place::new();
    place.offload("a", b"x", &[]);
    let run = place.run(["stat", &place.uri(), "nosuch", "a", "--json"]).ends(3);
    let [missing, there] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!((&missing["key"], &missing["error"]["code"]), (&"nosuch".into(), &"NOT_FOUND".into()));
    assert_eq!((&there["key"], &there["segment_bytes"]), (&"a".into(), &1.into()));
}

#[test]
fn control_characters_of_others_do_not_reach_the_terminal() {
    let place = Place::new();
    place.offload("k", b"x", &["--meta", "note=\u{1b}]0;owned\u{7}"]);
    let text = place.run(["stat", &place.uri(), "k"]).succeeds().text();
    assert!(text.contains("owned") && !text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
}
