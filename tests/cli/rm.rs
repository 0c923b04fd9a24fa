//! `seglift rm`

use crate::run::Place;

fn filled() -> Place {
    let place = Place::new();
    for key in ["t/1/a", "t/1/b", "t/10/c", "t/1x", "z"] {
        place.offload(key, key.as_bytes(), &[]);
    }
    place
}

#[test]
fn removed_keys_are_printed_and_gone() {
    let place = filled();
    assert_eq!(place.run(["rm", &place.uri(), "t/1/a", "z"]).succeeds().lines(), ["t/1/a", "z"]);
    assert_eq!(place.files("tier"), ["t/1/b", "t/10/c", "t/1x"]);
    place.run(["rm", &format!("{}/t/1x", place.uri())]).succeeds();
    assert_eq!(place.files("tier"), ["t/1/b", "t/10/c"]);
}

#[test]
fn removing_what_is_not_there_is_success() {
    let place = filled();
    assert_eq!(place.run(["rm", &place.uri(), "nosuch"]).succeeds().lines(), ["nosuch"]);
    assert_eq!(place.files("tier").len(), 5);
}

#[test]
fn a_wrong_key_does_not_stop_the_others() {
    let place = filled();
    let run = place.run(["rm", &place.uri(), "a//b", "z", "--json"]).ends(2);
    let [wrong, gone] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!(wrong["error"]["code"], "INVALID_ARGUMENT");
    assert_eq!((&gone["key"], &gone["removed"]), (&"z".into(), &true.into()));
    assert!(!place.path("tier/z").exists());
}

#[test]
fn a_folder_is_removed_only_when_told_and_never_its_neighbour() {
    let place = filled();
    place.run(["rm", &place.uri(), "t/1"]);
    assert_eq!(place.files("tier").len(), 5, "a folder is no key");
    let run = place.run(["rm", "--recursive", &place.uri(), "t/1"]).succeeds();
    assert_eq!(run.lines(), ["t/1/a", "t/1/b"]);
    assert!(run.err.contains("removed 2 objects"), "{}", run.err);
    assert_eq!(place.files("tier"), ["t/10/c", "t/1x", "z"]);
    place.run(["rm", "--recursive", &place.uri(), "t/1"]).ends(3);
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let place = filled();
    let run = place.run(["rm", "--recursive", "--dry-run", &place.uri()]).succeeds();
    assert_eq!(run.lines().len(), 5);
    assert!(run.err.contains("would remove 5 objects"), "{}", run.err);
    assert_eq!(place.files("tier").len(), 5);
}

#[cfg(feature = "testing")]
#[test]
fn a_store_that_forbids_it_is_status_8() {
    let place = filled();
    place.run(["rm", &place.faulty("delete=*:PERMISSION_DENIED"), "z"]).ends(8);
    assert!(place.path("tier/z").exists());
}
