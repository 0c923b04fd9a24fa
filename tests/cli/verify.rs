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
    let below = [
        "  bad   bytes 65536-131071: 1 block at 65536 of the object",
        "  bad   bytes 851968-917503: 1 block at 851968 of the object",
        "  good  bytes 0-65535",
        "  good  bytes 131072-851967",
        "  good  bytes 917504-1048575",
    ];
    assert_eq!(lines[1..6], below);
    assert!(lines[6].starts_with("t/good: ok"), "{lines:?}");
    assert!(run.err.contains("1 of 2 objects are good"), "{}", run.err);
}

#[test]
fn a_report_is_one_json_object_good_or_bad() {
    let place = Place::new();
    place.offload("bad", &log(1 << 20), &["--codec", "none"]);
    place.offload("good", b"x", &[]);
    place.damage("bad", 5);
    let run = place.run(["verify", &place.uri(), "bad", "good", "nosuch", "--json"]).ends(1);
    let lost = serde_json::json!({"first": 0, "last": 65535});
    let [bad, good, missing] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!(
        (&bad["ok"], &bad["bad_blocks"], &bad["error"]["code"]),
        (&false.into(), &1.into(), &"CORRUPT".into())
    );
    assert_eq!((&bad["damage"][0]["part"], &bad["damage"][0]["bytes"]), (&"block".into(), &lost));
    assert_eq!(bad["good_bytes"], serde_json::json!([{"first": 65536, "last": 1048575}]));
    assert_eq!((&good["ok"], &good["error"]), (&true.into(), &().into()));
    assert_eq!(missing["error"]["code"], "NOT_FOUND");
}

#[test]
fn of_damaged_records_it_says_which_ids_are_good() {
    let place = Place::new();
    place.offload("r", &log(1 << 20), &["--codec", "none", "--records", "--first-id", "1000"]);
    place.damage("r", 100_000);
    let run = place.run(["verify", &place.uri(), "r", "--json"]).ends(4);
    let [object] = &run.json()[..] else { panic!("{run:?}") };
    let ids =
        |value: &serde_json::Value| (value["first_id"].as_u64().unwrap(), value["last_id"].as_u64().unwrap());
    let (bad_first, bad_last) = ids(&object["damage"][0]["records"]);
    let good: Vec<_> = object["good_records"].as_array().unwrap().iter().map(ids).collect();
    let [(first, before), (behind, last)] = good[..] else { panic!("{good:?}") };
    assert_eq!((first, before + 1, bad_last + 1), (1000, bad_first, behind));
    for (first, last) in good {
        let range = format!("{first}-{last}");
        let lines = place.run(["cat", &place.uri(), "r", "--records", &range]).succeeds().lines();
        assert_eq!(lines.len() as u64, last - first + 1);
    }
    place.run(["cat", &place.uri(), "r", "--records", &format!("{bad_first}-")]).ends(4);
    assert!(last > behind);
}

#[test]
fn an_object_without_its_tail_is_corrupt_and_has_a_report() {
    let place = Place::new();
    place.offload("k", &log(100_000), &[]);
    let len = place.read("tier/k").len();
    place.damage("k", len - 1);
    let run = place.run(["verify", &place.uri(), "k", "--json"]).ends(4);
    let [object] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!((&object["ok"], &object["damage"][0]["part"]), (&false.into(), &"tail".into()));
    assert_eq!(object["good_bytes"], serde_json::json!([]));
}

#[test]
fn a_rate_holds_a_scrub_back() {
    let place = Place::new();
    place.offload("k", &log(3 << 20), &["--codec", "none"]);
    for how in [&["k"][..], &["--recursive", ""]] {
        let started = std::time::Instant::now();
        let mut args = vec!["verify", "--rate", "2MiB"];
        let uri = place.uri();
        args.push(&uri);
        args.extend(how);
        place.run(args).succeeds();
        // 3 MiB at 2 MiB/s; the last request of half a MiB and the first tenth of a second are not waited for.
        assert!(started.elapsed().as_secs_f64() > 1.0, "{:?}", started.elapsed());
    }
    place.run(["verify", "--rate", "fast", &place.uri(), "k"]).ends(2);
}

#[test]
fn a_scrub_that_was_stopped_goes_on_where_it_stood_and_its_sum_is_that_of_all() {
    // A store that is away, and one that no longer takes the credentials: neither says anything of the objects.
    for code in ["UNAVAILABLE", "UNAUTHENTICATED"] {
        stopped_by(code);
    }
}

fn stopped_by(code: &str) {
    let place = Place::new();
    for key in ["t/1", "t/2", "t/3", "t/4", "t/5", "t/6"] {
        place.offload(key, &log(300_000), &["--codec", "none"]);
    }
    place.damage("t/2", 5);
    let state = place.path("state");
    let state = state.to_str().unwrap();
    let args = |uri: String| {
        let quiet = ["--set", "retry.attempts=1", "--set", "breaker.failures=0"];
        let verify = ["verify", "--json", "--recursive", "--state", state];
        [&quiet[..], &verify[..], &[uri.as_str(), "t"]]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let keys = |run: &crate::run::Run| -> Vec<String> {
        let objects = run.json();
        objects.iter().filter_map(|o| o["key"].as_str().map(str::to_owned)).collect()
    };
    // Four objects are under way at once, so nobody knows which of them come first.
    let stopped = place.run(args(place.faulty(&format!("get=22+:{code}"))));
    let first = keys(&stopped);
    assert!(stopped.status != 0 && first.len() < 6 && stopped.err.contains(code), "{stopped:?}");
    assert_eq!(place.path("state").exists(), !first.is_empty());
    if !first.is_empty() {
        let wrong = place.run(["verify", "--recursive", "--state", state, &place.uri(), "other"]).ends(2);
        wrong.complains("belongs to a scrub of the folder \"t\"");
    }
    let again = place.run(args(place.uri()));
    assert_eq!([first, keys(&again)].concat(), ["t/1", "t/2", "t/3", "t/4", "t/5", "t/6"]);
    let again = again.ends(4);
    let sum = again.json().pop().unwrap();
    assert_eq!((&sum["objects"], &sum["good"], &sum["damaged"]), (&6.into(), &5.into(), &1.into()));
    assert!(!place.path("state").exists(), "it is complete");
}

#[test]
fn a_state_that_is_no_state_is_refused_and_left_alone() {
    let place = Place::new();
    place.offload("k", b"x", &[]);
    let path = place.write("notes", b"milk, eggs\n");
    let state = path.to_str().unwrap();
    place
        .run(["verify", "--recursive", "--state", state, &place.uri()])
        .ends(2)
        .complains("is no state of a scrub");
    assert_eq!(place.read("notes"), b"milk, eggs\n");
    place.run(["verify", "--state", state, &place.uri(), "k"]).ends(2);
    let uri = place.uri();
    place.run(["verify", "--recursive", "--state", "new", &uri, "k", "l"]).ends(2).complains("one folder");
}
