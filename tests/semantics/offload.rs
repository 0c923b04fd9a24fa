//! How an offload ends: committed, not committed, or unknown.

use crate::common::*;
use seglift::{
    Code,
    codec::Codec,
    engine::{Call, Class},
    writer::{Receipt, Segment},
};
use std::{
    thread,
    time::{Duration, Instant},
};

#[test]
fn an_offload_that_returned_a_receipt_can_be_read_back() {
    for place in Place::each() {
        let driver = place.open("");
        let fresh = place.open("");
        for codec in CODECS {
            for len in
                [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, MANY_PARTS]
            {
                let bytes = noise(len as u64, len);
                let key = format!("a/{}-{len}", codec.name());
                let receipt = offload(&driver, &key, &bytes, codec).unwrap();
                assert_eq!((receipt.segment_bytes, receipt.existed), (len as u64, false));
                assert_same(&content(&place, &key), &bytes);
                assert_same(&read(&fresh, &by_receipt(&receipt), 0, len).unwrap(), &bytes);
                let report = fresh.verify(&by_receipt(&receipt), &Call::default()).unwrap();
                assert!(
                    report.first_error.is_none() && report.object_bytes == receipt.object_bytes,
                    "{report:?}"
                );
            }
        }
    }
}

#[test]
fn before_the_commit_nothing_is_visible_under_the_key() {
    for place in Place::each() {
        for codec in CODECS {
            let driver = place.open("commit=1:delay-200ms");
            let (key, other, bytes) = (codec.name(), place.open(""), noise(1, MANY_PARTS));
            let sent = bytes.clone();
            let offloading = thread::spawn({
                let driver = driver.clone();
                move || offload(&driver, codec.name(), &sent, codec)
            });
            // From the first part on up to the commit, which is held back.
            let mut looks = 0;
            while looks == 0 || !driver.engine().status().running.iter().any(|op| op.stage == "commit") {
                assert_eq!(code(other.stat(&by_key(key), &Call::default())), Code::NotFound);
                assert_eq!(code(other.object_range(key, 0, 1, &Call::default())), Code::NotFound);
                assert!(!keys(&other).iter().any(|listed| listed == key));
                looks += 1;
            }
            offloading.join().unwrap().unwrap();
            assert_same(&content(&place, key), &bytes);
        }
    }
}

#[test]
fn a_failed_offload_leaves_nothing_behind() {
    let failures = [
        ("put=*:UNAVAILABLE", 100, Code::Unavailable),
        ("begin=*:PERMISSION_DENIED", MANY_PARTS, Code::PermissionDenied),
        ("part=1:UNAVAILABLE", MANY_PARTS, Code::Unavailable),
        ("part=3:NO_SPACE", MANY_PARTS, Code::NoSpace),
        ("part=7:THROTTLED", MANY_PARTS, Code::Throttled),
        ("part=2:panic", MANY_PARTS, Code::Internal),
        ("commit=*:UNAVAILABLE", MANY_PARTS, Code::Unavailable),
    ];
    for place in Place::each() {
        for codec in CODECS {
            for (script, len, expected) in failures {
                let result = offload(&place.open(script), "a/b/c", &noise(1, len), codec);
                assert_eq!(code(result), expected, "{script}");
                place.holds_only(&[]);
            }
        }
    }
}

/// Cancels an offload in `stage` and looks at what is left.
fn cancelled_in(place: &Place, script: &str, stage: &str, len: usize, codec: Codec, look_first: bool) {
    let driver = place.open(script);
    let (call, cancel) = cancellable();
    let segment = Segment { look_first, ..segment("a/b/c", &noise(1, len), codec) };
    let result = at_stage(&driver, stage, move |driver| driver.offload(segment, &call), || cancel.cancel());
    assert_eq!(code(result), Code::Cancelled, "{script} {stage}");
    place.holds_only(&[]);
    until(|| driver.engine().budget().stats().uploads == 0, || "memory is held".to_owned());
}

#[test]
fn a_cancelled_offload_is_not_committed_and_leaves_nothing_behind() {
    for place in Place::each() {
        for codec in CODECS {
            cancelled_in(&place, "get=1:stall", "look first", 100, codec, true);
            cancelled_in(&place, "put=1:stall", "commit", 100, codec, false);
            cancelled_in(&place, "begin=1:stall", "begin upload", MANY_PARTS, codec, false);
            cancelled_in(&place, "part=1:stall", "send parts", MANY_PARTS, codec, false);
            cancelled_in(&place, "part=7:stall", "send parts", MANY_PARTS, codec, false);

            let driver = place.open("");
            let budget = driver.engine().budget();
            let all = budget.try_reserve(Class::Upload, budget.largest(Class::Upload)).unwrap();
            let (call, cancel) = cancellable();
            let waiting =
                move |driver: &seglift::Driver| driver.offload(segment("k", &noise(1, 100), codec), &call);
            assert_eq!(
                code(at_stage(&driver, "wait for memory", waiting, || cancel.cancel())),
                Code::Cancelled
            );
            drop(all);
            place.holds_only(&[]);
        }
        // At any moment: a receipt and the segment, or a cancel and nothing.
        for round in 0..40 {
            let driver = place.open("");
            let (codec, bytes) = (CODECS[round % 2], noise(round as u64, MANY_PARTS));
            let (call, cancel) = cancellable();
            let offloading = thread::spawn({
                let segment = segment("k", &bytes, codec);
                move || driver.offload(segment, &call)
            });
            thread::sleep(Duration::from_micros(150 * round as u64));
            cancel.cancel();
            match offloading.join().unwrap() {
                Ok(_) => {
                    assert_same(&content(&place, "k"), &bytes);
                    place.open("").delete(&["k".to_owned()], &Call::default()).unwrap().remove(0).unwrap();
                }
                Err(e) => assert_eq!(e.code(), Code::Cancelled, "{e}"),
            }
            place.holds_only(&[]);
        }
    }
}

fn is_new(receipt: &Receipt, place: &Place, bytes: &[u8]) {
    assert!(!receipt.existed);
    assert_same(&content(place, &receipt.key), bytes);
    let first = read(&place.open(""), &by_receipt(receipt), 0, 1).unwrap();
    assert_eq!(first, bytes[..1], "the token is that of what is there");
}

#[test]
fn a_lost_reply_to_the_commit_is_settled_by_looking_at_the_object() {
    for place in Place::each() {
        for codec in CODECS {
            for (key, script, len) in [("put", "put=1:lost", 100), ("parts", "commit=1:lost", MANY_PARTS)] {
                let (key, bytes) = (format!("{key}-{}", codec.name()), noise(1, len));
                // A look that fails is no answer either: look again.
                let driver = place.open(&format!("{script}&get=1:UNAVAILABLE"));
                is_new(&offload(&driver, &key, &bytes, codec).unwrap(), &place, &bytes);
                // Nothing is there after the first reply, and the second one is lost as well.
                let driver = place.open(&script.replace("1:lost", "1:unknown,2:lost"));
                is_new(&offload(&driver, &format!("{key}-again"), &bytes, codec).unwrap(), &place, &bytes);
            }
        }
    }
}

#[test]
fn a_commit_without_an_answer_for_the_stall_limit_is_settled_by_looking() {
    for place in Place::each() {
        for codec in CODECS {
            let driver = place.open("commit=1:stall&get=1:stall");
            let call = Call { stall: Some(ms(100)), ..within(10_000) };
            let bytes = noise(1, MANY_PARTS);
            is_new(&driver.offload(segment(codec.name(), &bytes, codec), &call).unwrap(), &place, &bytes);
        }
    }
}

#[test]
fn a_commit_that_was_refused_without_effect_is_an_error_and_not_a_receipt() {
    for place in Place::each() {
        for codec in CODECS {
            for (refused, expected) in
                [("NO_SPACE", Code::NoSpace), ("PERMISSION_DENIED", Code::PermissionDenied)]
            {
                let driver = place.open(&format!("put=*:{refused}&commit=*:{refused}"));
                assert_eq!(code(offload(&driver, "k", &noise(1, 100), codec)), expected);
                assert_eq!(code(offload(&driver, "k", &noise(1, MANY_PARTS), codec)), expected);
                place.holds_only(&[]);
            }
        }
    }
}

#[test]
fn if_the_outcome_cannot_be_learnt_before_the_deadline_the_error_is_outcome_unknown() {
    let unknown = [
        ("put=1:lost&get=*:UNAVAILABLE", 100),
        ("put=1:lost&get=*:stall", 100),
        ("put=*:unknown", 100),
        ("put=1:unknown,2+:UNAVAILABLE", 100),
        ("commit=*:lost&get=*:THROTTLED", MANY_PARTS),
        ("commit=*:lost&get=*:hang-3", MANY_PARTS),
        ("commit=*:unknown", MANY_PARTS),
        ("commit=*:stall", MANY_PARTS),
        ("commit=1:panic", MANY_PARTS),
    ];
    for codec in CODECS {
        for (script, len) in unknown {
            let (place, started) = (Place::memory(), Instant::now());
            let result = place.open(script).offload(segment("k", &noise(1, len), codec), &within(300));
            assert_eq!(code(result), Code::OutcomeUnknown, "{script}");
            assert!(started.elapsed() < ms(2300), "{script} took {:?}", started.elapsed());
        }
    }
}

#[test]
fn what_was_unknown_once_is_never_called_not_committed() {
    for place in Place::each() {
        for codec in CODECS {
            // The first request is still on its way when the second one fails and a look shows nothing.
            let script = "put=1:late-400ms,2+:NO_SPACE&commit=1:late-400ms,2+:NO_SPACE";
            for len in [100, MANY_PARTS] {
                let (key, bytes) = (format!("{}-{len}", codec.name()), noise(1, len));
                let driver = place.open(script);
                let error = offload(&driver, &key, &bytes, codec).unwrap_err();
                assert_eq!(error.code(), Code::OutcomeUnknown, "{error}");
                until(|| keys(&driver).contains(&key), || "it never came".to_owned());
                assert_same(&content(&place, &key), &bytes);
            }
        }
    }
}

#[test]
fn repeating_an_offload_with_the_same_key_settles_an_unknown_outcome() {
    for place in Place::each() {
        for codec in CODECS {
            for (script, len, existed) in [
                ("put=1:lost&get=*:UNAVAILABLE", 100, true),
                ("put=*:unknown", 100, false),
                ("commit=*:lost&get=*:UNAVAILABLE", MANY_PARTS, true),
                ("commit=*:unknown", MANY_PARTS, false),
            ] {
                let (key, bytes) = (format!("{}-{len}-{existed}", codec.name()), noise(1, len));
                let result = place.open(script).offload(segment(&key, &bytes, codec), &within(300));
                assert_eq!(code(result), Code::OutcomeUnknown, "{script}");
                let receipt = offload(&place.open(""), &key, &bytes, codec).unwrap();
                assert_eq!(receipt.existed, existed, "{script}");
                assert_same(&content(&place, &key), &bytes);
                assert_same(&read(&place.open(""), &by_receipt(&receipt), 0, len).unwrap(), &bytes);
            }
        }
    }
    // Nor does an unknown outcome leave half an upload where it was settled as not there.
    let place = Place::files();
    let driver = place.open("commit=*:unknown");
    code(driver.offload(segment("k", &noise(1, MANY_PARTS), Codec::None), &within(300)));
    drop(driver);
    offload(&place.open(""), "k", &noise(1, MANY_PARTS), Codec::None).unwrap();
    place.holds_only(&["k"]);
}

#[test]
fn a_cancel_after_the_commit_was_sent_does_not_undo_it() {
    for place in Place::each() {
        for codec in CODECS {
            for (script, stage, len) in [
                ("commit=1:delay-300ms", "commit", MANY_PARTS),
                ("commit=1:lost&get=1:delay-300ms", "settle", MANY_PARTS),
                ("commit=1:unknown,2:delay-300ms", "commit again", MANY_PARTS),
                ("put=1:lost&get=1:delay-300ms", "settle", 100),
                ("put=1:unknown,2:delay-300ms", "commit again", 100),
            ] {
                let (key, bytes) = (format!("{}-{stage}-{len}", codec.name()), noise(1, len));
                let (call, cancel) = cancellable();
                let segment = segment(&key, &bytes, codec);
                let driver = place.open(script);
                let offload = move |driver: &seglift::Driver| driver.offload(segment, &call);
                let receipt = at_stage(&driver, stage, offload, || cancel.cancel()).unwrap();
                is_new(&receipt, &place, &bytes);
            }
        }
    }
}
