//! `seglift verify`

use crate::run::{Place, log};

#[test]
fn a_good_object_is_ok() {
    let place = Place::new();
    place.write("index", b"index");
    place.offload("k", &log(1 << 20), &["--attach", "a=index"]);
    assert_eq!(
        place.run(["verify", &place.uri(), "k"]).succeeds().text(),
        "k: ok, 1.00 MiB, 4 blocks, 1 attachment\n"
    );
}

#[test]
fn damage_is_counted_and_the_others_are_still_verified() {
    let place = Place::new();
    place.offload("t/bad", &log(1 << 20), &["--codec", "none"]);
    place.offload("t/good", &log(1 << 20), &[]);
    place.damage("t/bad", 70_000);
    place.damage("t/bad", 900_000);
    let run = place.run(["verify", "--recursive", &place.uri(), "t"]).ends(4);
    let lines = run.lines();
    assert!(lines[0].starts_with("t/bad: CORRUPT, 1.00 MiB, 2 of 16 blocks bad"), "{lines:?}");
    assert!(lines[1].starts_with("t/good: ok"), "{lines:?}");
    assert!(run.err.contains("1 of 2 objects are good"), "{}", run.err);
}

#[test]
fn a_report_is_one_json_object_good_or_bad() {
    let place = Place::new();
    place.offload("bad", &log(1 << 20), &["--codec", "none"]);
    place.offload("good", b"x", &[]);
    place.damage("bad", 5);
    let run = place.run(["verify", &place.uri(), "bad", "good", "nosuch", "--json"]).ends(1);
    let [bad, good, missing] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!(
        (&bad["ok"], &bad["bad_blocks"], &bad["error"]["code"]),
        (&false.into(), &1.into(), &"CORRUPT".into())
    );
    assert_eq!((&good["ok"], &good["error"]), (&true.into(), &().into()));
    assert_eq!(missing["error"]["code"], "NOT_FOUND");
}
