//! What is tried again, how often, and what is said in the end.

use crate::common::*;
use seglift::{
    Code, Driver,
    codec::Codec,
    engine::{Call, Engine},
    metrics::{BreakerState, Direction, Outcome, Request},
    writer::{Segment, Source},
};
use std::{thread, time::Instant};

/// Retries as they are by default, in a hundredth of the time.
const QUICK: [(&str, &str); 4] = [
    ("retry.attempts", "8"),
    ("retry.pause.first", "1ms"),
    ("retry.pause.max", "50ms"),
    ("read.ahead.max", "0"),
];

fn retrying(place: &Place, script: &str) -> Driver {
    place.open_on(&engine(), script, &QUICK)
}

/// How many requests of a kind a driver's engine has sent.
fn requests(driver: &Driver, request: Request) -> u64 {
    let ended = driver.engine().metrics().store_requests.of(request);
    let codes = Code::ALL.iter().map(|code| ended.of((*code).into()).value());
    ended.of(Outcome::OK).value() + codes.sum::<u64>()
}

fn retries(driver: &Driver, request: Request) -> u64 {
    driver.engine().metrics().store_retries.of(request).value()
}

/// A place with `bytes` under `k`, in blocks that are stored as they are.
fn filled(place: Place, bytes: &bytes::Bytes) -> Place {
    offload(&place.open(""), "k", bytes, Codec::None).unwrap();
    place
}

#[test]
fn a_request_that_failed_for_a_moment_is_tried_again() {
    let (small, large) = (noise(1, 100), noise(2, MANY_PARTS));
    for place in Place::each() {
        for codec in CODECS {
            for failure in ["UNAVAILABLE", "THROTTLED", "TIMED_OUT"] {
                let fails = |operation: &str, calls: &[u32]| {
                    let rules: Vec<_> = calls.iter().map(|nth| format!("{nth}:{failure}")).collect();
                    format!("{operation}={}", rules.join(","))
                };
                let once = ["put", "begin", "commit", "list"].map(|operation| fails(operation, &[1]));
                let often =
                    [fails("part", &[1, 2, 3, 6, 9]), fails("get", &[1, 3, 4, 6]), fails("delete", &[1, 2])];
                let driver = retrying(&place, &[once.as_slice(), &often].concat().join("&"));
                offload(&driver, "small", &small, codec).unwrap();
                offload(&driver, "large", &large, codec).unwrap();
                assert_same(&read(&driver, &by_key("small"), 0, 200).unwrap(), &small);
                assert_same(&read(&driver, &by_key("large"), 0, MANY_PARTS).unwrap(), &large);
                assert_eq!(keys(&driver), ["large", "small"]);
                let deleted = driver.delete(&["small".into(), "large".into()], &Call::default()).unwrap();
                assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
                place.holds_only(&[]);
                for (request, expected) in
                    [(Request::Put, 1), (Request::Part, 6), (Request::Commit, 1), (Request::Delete, 2)]
                {
                    assert_eq!(retries(&driver, request), expected, "{failure} {request:?}");
                }
            }
        }
    }
}

#[test]
fn a_refusal_is_never_retried() {
    let bytes = noise(1, 100);
    for refusal in ["PERMISSION_DENIED", "NOT_FOUND_OR_DENIED", "UNAUTHENTICATED", "NO_SPACE", "CORRUPT"] {
        let place = filled(Place::memory(), &bytes);
        let all = ["put", "begin", "part", "commit", "get", "delete", "list"];
        let driver = retrying(&place, &all.map(|operation| format!("{operation}=*:{refusal}")).join("&"));
        let refused = Code::ALL.iter().find(|code| code.name() == refusal).copied().unwrap();
        assert_eq!(code(offload(&driver, "x", &bytes, Codec::None)), refused);
        assert_eq!(code(offload(&driver, "y", &noise(1, MANY_PARTS), Codec::None)), refused);
        assert_eq!(code(driver.object_range("k", 0, 9, &Call::default())), refused);
        assert_eq!(code(driver.list("", None, 9, &Call::default())), refused);
        assert_eq!(code(driver.delete(&["k".to_owned()], &Call::default()).unwrap().remove(0)), refused);
        for request in Request::ALL {
            assert_eq!(retries(&driver, *request), 0, "{refusal} {request:?}");
            assert!(requests(&driver, *request) <= 1, "{refusal} {request:?}");
        }
    }
}

#[test]
fn retries_end_with_the_deadline_and_the_error_names_the_last_cause() {
    let place = filled(Place::memory(), &noise(1, MANY_PARTS));
    let slow: [(&str, &str); 4] = [
        ("retry.attempts", "100"),
        ("retry.pause.first", "20ms"),
        ("retry.pause.max", "60s"),
        ("breaker.failures", "0"),
    ];
    for script in ["*:UNAVAILABLE", "*:THROTTLED", "1:UNAVAILABLE,2+:stall"] {
        let script = ["get", "put", "begin"].map(|operation| format!("{operation}={script}")).join("&");
        // Each on a driver of its own, whose first request it makes.
        let open = || place.open_on(&engine(), &script, &slow);
        let started = Instant::now();
        let errors = [
            open().stat(&by_key("k"), &within(400)).unwrap_err(),
            open().read_range(&by_key("k"), 0, &mut [0; 9], &within(400)).unwrap_err(),
            open().offload(segment("x", &noise(1, 100), Codec::None), &within(400)).unwrap_err(),
            open().offload(segment("x", &noise(1, MANY_PARTS), Codec::Zstd), &within(400)).unwrap_err(),
        ];
        for error in errors {
            let message = error.message();
            assert!(message.contains("fails on purpose"), "it hides why: {error:?}");
            // Either it ended early, since the next pause would have been too long, or in the middle of an attempt.
            match error.code() {
                Code::TimedOut => assert!(message.contains("the last attempt that failed, "), "{message}"),
                _ => assert!(message.contains("tried ") && message.contains(" times in 0."), "{message}"),
            }
            assert!(error.retryable(), "{error:?}");
        }
        assert!(started.elapsed() < ms(4 * 400 + 500), "{:?}", started.elapsed());
        place.holds_only(&["k"]);
    }
    // Also for a reader that waits for another one's fetch.
    let r = by_receipt(&offload(&place.open(""), "joined", &noise(1, 100), Codec::None).unwrap());
    let driver = place.open_on(&engine(), "get=*:UNAVAILABLE", &slow);
    let first = thread::spawn({
        let (driver, r) = (driver.clone(), r.clone());
        move || driver.stat(&r, &within(3000)).unwrap_err()
    });
    until(|| retries(&driver, Request::Get) > 0, || "the first reader asked for nothing".to_owned());
    let second = driver.stat(&r, &within(100)).unwrap_err();
    assert_eq!(driver.engine().metrics().single_flight_joins.value(), 1);
    assert!(second.message().contains("fails on purpose"), "{second}");
    assert!(first.join().unwrap().message().contains("fails on purpose"));

    // Limits of a request's own end it long before the operation's deadline.
    for (key, value, most) in
        [("retry.attempts", "3", 3), ("retry.time.max", "100ms", 12), ("retry.budget", "4", 5)]
    {
        let settings = [QUICK.as_slice(), &[("retry.attempts", "50"), (key, value)]].concat();
        let driver = place.open_on(&engine(), "get=*:UNAVAILABLE", &settings);
        let error = driver.stat(&by_key("k"), &within(20_000)).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        let sent = requests(&driver, Request::Get);
        assert!((2..=most).contains(&sent), "{key}={value}: {sent} requests");
        assert!(error.message().contains(&format!("tried {sent} times in ")), "{error}");
    }
}

#[test]
fn a_body_that_broke_is_continued_from_where_it_broke() {
    let bytes = noise(1, MANY_PARTS);
    for codec in CODECS {
        let place = Place::memory();
        let receipt = offload(&place.open(""), "k", &bytes, codec).unwrap();
        for broken in ["break-100000", "short-100000"] {
            // The tail with its index page, then the body, which breaks, and its rest, which breaks as well.
            let driver = retrying(&place, &format!("get=2:{broken},3:break-70000"));
            assert_same(&read(&driver, &by_receipt(&receipt), 0, MANY_PARTS).unwrap(), &bytes);
            assert_eq!(retries(&driver, Request::Get), 2, "{broken}");
            // Nothing that had come was fetched again: tail and index are a few KiB.
            let down = driver.engine().metrics().store_bytes.of(Direction::Down).value();
            assert!((400_000..440_000).contains(&down), "{down} bytes came for {MANY_PARTS}");
        }
    }
    // Another object of that name does not go on where the first one broke off.
    for (place, len) in [
        (Place::memory(), 5000),
        (Place::memory(), MANY_PARTS),
        (Place::files(), 5000),
        (Place::files(), MANY_PARTS),
    ] {
        let place = filled(place, &bytes);
        // The rest is asked for once the other is there.
        let driver = retrying(&place, "get=1:break-1000,2:delay-1000ms");
        let reading = thread::spawn({
            let driver = driver.clone();
            move || driver.object_range("k", 0, 2000, &Call::default())
        });
        until(|| retries(&driver, Request::Get) == 1, || "it did not break".to_owned());
        place.open("").delete(&["k".to_owned()], &Call::default()).unwrap().remove(0).unwrap();
        offload(&place.open(""), "k", &noise(2, len), Codec::None).unwrap();
        let error = reading.join().unwrap().unwrap_err();
        assert!(error.message().contains("replaced by another object"), "{error}");
    }
}

#[test]
fn a_part_that_waits_for_others_does_not_keep_them_from_the_store() {
    let bytes = noise(4, 3 * (64 << 10) - 1000);
    for settings in [
        // One place, which the last part takes while the first one waits to be sent again.
        &[("store.concurrency.writes", "1"), ("stall", "8s")][..],
        // The last part becomes the one that tries whether the store is back.
        &[("breaker.failures", "1"), ("breaker.time", "0"), ("breaker.pause", "20ms"), ("stall", "8s")],
    ] {
        for failing in ["1:UNAVAILABLE", "1:UNAVAILABLE,2:UNAVAILABLE", "2:UNAVAILABLE"] {
            let place = Place::memory();
            let settings = [QUICK.as_slice(), settings].concat();
            let driver = place.open_on(&engine(), &format!("part={failing}"), &settings);
            offload(&driver, "k", &bytes, Codec::None).unwrap();
            assert_same(&content(&place, "k"), &bytes);
        }
    }
}

#[test]
fn a_cancel_between_two_attempts_of_a_commit_leaves_nothing_behind() {
    for codec in CODECS {
        let place = Place::memory();
        let slow = [QUICK.as_slice(), &[("retry.pause.first", "60s"), ("retry.pause.max", "60s")]].concat();
        // The store takes all bytes and then says that it kept nothing, so that it is certain.
        let driver = place.open_on(&engine(), "put=1:refused", &slow);
        let (call, cancel) = cancellable();
        let offloading = thread::spawn({
            let (driver, segment) = (driver.clone(), segment("k", &noise(1, 100), codec));
            move || driver.offload(segment, &call)
        });
        until(|| retries(&driver, Request::Put) == 1, || "it did not fail".to_owned());
        cancel.cancel();
        assert_eq!(code(offloading.join().unwrap()), Code::Cancelled);
        place.holds_only(&[]);
    }
}

fn breaker(engine: &Engine, state: BreakerState) -> u64 {
    engine.metrics().breaker_transitions.of(state).value()
}

#[test]
fn while_a_store_is_down_requests_fail_at_once_and_one_at_a_time_tries_whether_it_is_back() {
    let place = filled(Place::memory(), &noise(1, 100));
    let settings = [
        ("retry.attempts", "1"),
        ("breaker.failures", "5"),
        ("breaker.time", "0"),
        ("breaker.pause", "200ms"),
    ];
    let engine = engine();
    let driver = place.open_on(
        &engine,
        "get=1:UNAVAILABLE,2:UNAVAILABLE,3:UNAVAILABLE,4:UNAVAILABLE,5:TIMED_OUT,6:UNAVAILABLE",
        &settings,
    );
    let get = |driver: &Driver| driver.object_range("k", 0, 9, &Call::default());
    for _ in 0..5 {
        get(&driver).unwrap_err();
    }
    assert_eq!(requests(&driver, Request::Get), 5);
    // Another driver of the same store hears of it too.
    let other = place.open_on(&engine, "", &settings);
    for driver in [&driver, &other] {
        let error = get(driver).unwrap_err();
        assert_eq!((error.code(), error.retryable()), (Code::Unavailable, true));
        let message = error.message();
        assert!(message.contains("has been failing for") && message.contains("next try in"), "{message}");
        assert!(message.contains("get number 5 fails on purpose"), "{message}");
        assert!(error.retry_after().is_some_and(|after| after <= ms(200)), "{error:?}");
    }
    assert_eq!(requests(&driver, Request::Get), 5, "nothing was sent");
    assert_eq!(engine.metrics().breakers_open.value(), 1);
    // The first probe fails, the second one does not.
    until(|| get(&driver).is_ok(), || "it did not close".to_owned());
    assert_eq!(requests(&driver, Request::Get), 7);
    assert!(get(&other).is_ok());
    assert_eq!(engine.metrics().breakers_open.value(), 0);
    assert_eq!(breaker(&engine, BreakerState::Open), 2);
    assert_eq!(breaker(&engine, BreakerState::Closed), 1);
    let lines: Vec<_> =
        std::iter::from_fn(|| engine.log().poll()).filter(|line| line.target == "store").collect();
    assert_eq!(lines.len(), 2, "one line when it opens and one when it closes: {lines:?}");

    // What is under way waits for the store instead of giving up what it has done.
    let settings =
        [QUICK.as_slice(), &[("breaker.failures", "3"), ("breaker.time", "0"), ("breaker.pause", "20ms")]]
            .concat();
    let part = (2..8).map(|nth| format!("{nth}:UNAVAILABLE")).collect::<Vec<_>>().join(",");
    let driver = place.open_on(&engine, &format!("part={part}"), &settings);
    let bytes = noise(3, MANY_PARTS);
    offload(&driver, "x", &bytes, Codec::None).unwrap();
    assert_same(&content(&place, "x"), &bytes);
    assert!(breaker(&engine, BreakerState::Open) > 2);
}

#[test]
fn reads_do_not_wait_for_writes_nor_writes_for_reads() {
    let place = filled(Place::memory(), &noise(1, 100));
    let one = [("store.concurrency.reads", "1"), ("store.concurrency.writes", "1")];
    let queue = |driver: &Driver, way| driver.engine().metrics().store_queue.of(way).value();
    // Writes that hang, and one that waits behind them: reads go on.
    let driver = place.open_on(&engine(), "put=*:stall", &one);
    let (call, cancel) = cancellable();
    let writing = ["a", "b"].map(|key| {
        let (driver, segment, call) = (driver.clone(), segment(key, &noise(1, 9), Codec::None), call.clone());
        thread::spawn(move || driver.offload(segment, &call))
    });
    until(|| queue(&driver, Direction::Up) == 1, || "nobody waits".to_owned());
    assert_eq!(read(&driver, &by_key("k"), 0, 9).unwrap(), noise(1, 100)[..9]);
    cancel.cancel();
    for writing in writing {
        assert_eq!(code(writing.join().unwrap()), Code::Cancelled);
    }
    assert_eq!(queue(&driver, Direction::Up), 0);
    // A body that stops coming keeps its place, and writes go on.
    let driver = place.open_on(&engine(), "get=*:hang-1", &one);
    let (call, cancel) = cancellable();
    let reading = [0, 1].map(|at| {
        let (driver, call) = (driver.clone(), call.clone());
        thread::spawn(move || driver.object_range("k", at, 9, &call))
    });
    until(|| queue(&driver, Direction::Down) == 1, || "nobody waits".to_owned());
    offload(&driver, "x", &noise(1, MANY_PARTS), Codec::None).unwrap();
    cancel.cancel();
    for reading in reading {
        assert_eq!(code(reading.join().unwrap().map(drop)), Code::Cancelled);
    }
    until(|| queue(&driver, Direction::Down) == 0, || "somebody waits".to_owned());
}

#[test]
fn a_rate_limit_holds_for_all_drivers_of_a_store_together() {
    let place = Place::memory();
    let slow = [("store.rate.up", "800KB"), ("store.rate.down", "1600KB"), ("read.ahead.max", "0")];
    let engine = engine();
    let drivers = [0, 1].map(|_| place.open_on(&engine, "", &slow));
    let both = |work: fn(&Driver, &str)| {
        let started = Instant::now();
        thread::scope(|scope| {
            for (driver, key) in drivers.iter().zip(["a", "b"]) {
                scope.spawn(move || work(driver, key));
            }
        });
        started.elapsed()
    };
    let up = both(|driver, key| drop(offload(driver, key, &noise(1, MANY_PARTS), Codec::None).unwrap()));
    let down =
        both(|driver, key| drop(driver.object_range(key, 0, MANY_PARTS as u64, &Call::default()).unwrap()));
    // 800,000 bytes and a little, less what a silence has saved and the last piece, which is not waited for.
    assert!((ms(650)..ms(4000)).contains(&up), "{up:?}");
    assert!((ms(150)..ms(4000)).contains(&down), "{down:?}");
}

#[test]
fn an_upload_that_the_store_has_lost_is_begun_again() {
    let bytes = noise(1, MANY_PARTS);
    for place in Place::each() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let source = || Source::Path { path: file.path().to_owned(), offset: 0, len: None };
        for codec in CODECS {
            for (n, script) in
                ["part=3:NOT_FOUND", "part=7:NOT_FOUND", "commit=1:NOT_FOUND", "commit=1:BUSY,2:NOT_FOUND"]
                    .iter()
                    .enumerate()
            {
                let (key, driver) = (format!("{}-{n}", codec.name()), retrying(&place, script));
                let segment = Segment { codec: Some(codec), ..Segment::new(&key, source()) };
                let receipt = driver.offload(segment, &Call::default()).unwrap();
                assert!(!receipt.existed);
                assert_same(&content(&place, &key), &bytes);
                let report = place.open("").verify(&by_receipt(&receipt), &Call::default()).unwrap();
                assert!(report.first_error.is_none(), "{script}: {report:?}");
                let restarts = driver.engine().metrics().upload_restarts.value();
                assert_eq!(restarts, script.matches(':').count() as u64, "{script}");
                place.open("").delete(&[key], &Call::default()).unwrap().remove(0).unwrap();
                place.holds_only(&[]);
            }
            // Not for ever, and never once a commit without an answer may still arrive.
            let driver = retrying(&place, "part=2+:NOT_FOUND");
            let error = offload(&driver, "k", &bytes, codec).unwrap_err();
            assert_eq!((error.code(), error.retryable()), (Code::Unavailable, true));
            assert!(error.message().contains("the store has lost the upload"), "{error}");
            assert_eq!(driver.engine().metrics().upload_restarts.value(), 3);
            let driver = retrying(&place, "commit=1:unknown,2+:NOT_FOUND");
            assert_eq!(code(offload(&driver, "k", &bytes, codec)), Code::OutcomeUnknown);
            assert_eq!(driver.engine().metrics().upload_restarts.value(), 0);
            drop(driver);
            place.holds_only(&[]);
        }
    }
}
