//! `seglift doctor` where no server is needed

use crate::run::{Place, Run};
use serde_json::Value;

/// The state of each check, in the order of the report.
#[track_caller]
fn states(run: &Run) -> Vec<(String, String)> {
    let text = |object: &Value, name: &str| object[name].as_str().unwrap_or_default().to_owned();
    run.json().iter().map(|object| (text(object, "check"), text(object, "state"))).collect()
}

#[track_caller]
fn state<'a>(states: &'a [(String, String)], check: &str) -> &'a str {
    let found = states.iter().find(|(name, _)| name == check);
    found.map(|(_, state)| state.as_str()).unwrap_or_else(|| panic!("no check {check} in {states:?}"))
}

#[test]
fn a_folder_that_works_is_healthy_and_stays_as_it_was() {
    let place = Place::new();
    place.write("tier/segment", b"x");
    for access in ["read", "write", "admin"] {
        let run = place.run(["doctor", &place.uri(), "--for", access, "--json"]).succeeds();
        let states = states(&run);
        assert!(states.iter().all(|(_, state)| state != "fail"), "{states:?}");
        let order: Vec<_> = states.iter().map(|(check, _)| check.as_str()).take(2).collect();
        assert_eq!(order[0], "folder");
        assert_eq!(state(&states, "read"), "ok");
        let writes = if access == "read" { "skipped" } else { "ok" };
        for check in ["write", "conditional-create", "delete"] {
            assert_eq!(state(&states, check), writes, "{check} for {access}");
        }
        assert!(run.err.contains(&format!("healthy for {access}")), "{}", run.err);
        assert_eq!(place.files("tier"), ["segment"]);
    }
    let text = place.run(["doctor", &place.uri()]).succeeds().text();
    assert!(text.lines().any(|line| line.starts_with("ok    write ")), "{text}");
    assert!(!text.contains('\x1b'), "no colours outside of a terminal: {text}");
}

#[test]
fn a_folder_that_is_missing_is_one_failure_with_a_remedy_and_is_not_made() {
    let place = Place::new();
    let uri = format!("file://{}", place.path("absent").display());
    let run = place.run(["doctor", &uri, "--json"]).ends(2);
    let states = states(&run);
    assert_eq!(state(&states, "folder"), "fail");
    assert_eq!(states.iter().filter(|(_, state)| state == "fail").count(), 1);
    assert_eq!(state(&states, "write"), "skipped");
    let text = place.run(["doctor", &uri]).ends(2).text();
    assert!(text.contains("FAIL  folder") && text.contains("\n      remedy: mkdir -p "), "{text}");
    assert!(!place.path("absent").exists());
}

#[test]
fn what_a_killed_upload_left_is_named() {
    let place = Place::new();
    place.write("tier/.seglift-upload-0-1", b"");
    let text = place.run(["doctor", &place.uri()]).succeeds().text();
    assert!(text.contains("warn  leftovers") && text.contains(".seglift-upload-0-1"), "{text}");
}

#[test]
fn reads_for_reading_are_proven_with_an_object_that_exists() {
    let place = Place::new();
    let empty = place.run(["doctor", &place.uri(), "--for", "read", "--json"]).succeeds();
    assert_eq!(state(&states(&empty), "read"), "warn");
    place.offload("t/k", b"content", &[]);
    let run = place.run(["doctor", &place.uri(), "--for", "read", "--key", "t/k", "--json"]).succeeds();
    assert_eq!(state(&states(&run), "read"), "ok");
    let missing = place.run(["doctor", &place.uri(), "--for", "read", "--key", "other", "--json"]).ends(3);
    assert_eq!(state(&states(&missing), "read"), "fail");
}

#[test]
fn policies_are_printed_without_a_store() {
    let place = Place::new();
    let run = place.run(["doctor", "--policy", "write", "s3://tier/logs"]).succeeds();
    let policy: Value = serde_json::from_str(&run.text()).unwrap();
    let statement = &policy["Statement"][1];
    assert_eq!(statement["Resource"], "arn:aws:s3:::tier/logs/*", "{policy:#}");
    assert!(statement["Action"].as_array().unwrap().contains(&"s3:PutObject".into()), "{policy:#}");
    let one_line = place.run(["doctor", "--policy", "read", "s3://tier", "--json"]).succeeds();
    assert_eq!(one_line.json().len(), 1);
    place.run(["doctor", "--policy", "read", "file:///tier"]).ends(2).complains("s3://");
}

#[cfg(feature = "testing")]
mod on_a_store_that_fails {
    use super::*;
    use rustix::process::{Pid, Signal, kill_process};
    use std::{
        thread,
        time::{Duration, Instant},
    };

    #[test]
    fn a_refused_write_is_the_only_failure_and_gives_the_exit_status() {
        let place = Place::new();
        let uri = "fault+memory:?put=*:PERMISSION_DENIED";
        let run = place.run(["doctor", uri, "--json"]).ends(8);
        let states = states(&run);
        assert_eq!(state(&states, "write"), "fail");
        for check in ["read", "conditional-create", "list", "delete"] {
            assert_eq!(state(&states, check), "skipped", "{check}");
        }
        let write = run.json().into_iter().find(|object| object["check"] == "write").unwrap();
        assert_eq!(write["error"]["code"], "PERMISSION_DENIED");
    }

    #[test]
    fn what_goes_wrong_after_the_write_is_red_and_the_probe_goes_all_the_same() {
        for (script, check, status, left) in [
            ("get=1:flip-3", "read", 4, 0),
            ("put=2:UNAVAILABLE", "conditional-create", 7, 0),
            ("list=1:PERMISSION_DENIED", "list", 8, 0),
            // The clean-up at the end has better luck.
            ("delete=1:UNAVAILABLE", "delete", 7, 0),
            ("delete=*:UNAVAILABLE", "cleanup", 7, 1),
        ] {
            let place = Place::new();
            let run = place.run([
                "doctor",
                &format!("fault+file://{}?{script}", place.path("tier").display()),
                "--json",
            ]);
            let run = run.ends(status);
            assert_eq!(state(&states(&run), check), "fail", "{script}");
            assert_eq!(place.files("tier").len(), left, "{script}");
        }
    }

    #[test]
    fn an_interrupt_removes_the_probe() {
        // Often, because it comes now before, now in the middle of and now after the write.
        for _ in 0..30 {
            let place = Place::new();
            let uri = format!("fault+file://{}?get=1:stall", place.path("tier").display());
            let child = place.command(["doctor", &uri]).spawn().unwrap();
            let begun = Instant::now();
            while place.files("tier").is_empty() {
                assert!(begun.elapsed() < Duration::from_secs(10), "no probe was written");
                thread::yield_now();
            }
            kill_process(Pid::from_child(&child), Signal::INT).unwrap();
            Run::from(child.wait_with_output().unwrap()).ends(130);
            assert_eq!(place.files("tier"), [""; 0]);
        }
    }
}
