//! What holds for every operation.

use crate::common::*;
use seglift::{
    Code, Driver, Error, Outcome, Result,
    codec::Codec,
    config::{Config, PROPERTIES, Secret, Value},
    engine::{Call, Cancel, Class, Engine, Event, Queue, Slot},
    object::{Metadata, Mode},
    store::{OpenOptions, open},
    writer::{Finish, Record, Writer, WriterOptions},
};
use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

fn writer(driver: &Driver, key: &str) -> Result<Writer> {
    let options = WriterOptions {
        key: key.to_owned(),
        mode: Mode::Bytes,
        codec: Some(Codec::None),
        if_exists: Default::default(),
        max_bytes: Some(16 << 20),
        metadata: Metadata::default(),
    };
    driver.writer(options, &Call::default(), None)
}

/// Every call of a driver that waits, by its name.
fn each_call(driver: &Driver, call: &Call) -> Vec<(&'static str, Result<()>)> {
    let r = by_key("k");
    let object = noise(1, MANY_PARTS);
    vec![
        ("offload", driver.offload(segment("new", &object, Codec::None), call).map(drop)),
        ("offload zstd", driver.offload(segment("zstd", &object, Codec::Zstd), call).map(drop)),
        ("offload small", driver.offload(segment("small", &noise(1, 9), Codec::Zstd), call).map(drop)),
        ("read_range", driver.read_range(&r, 0, &mut [0; 9], call).map(drop)),
        ("read_range direct", driver.read_range(&r, 0, &mut vec![0; 2 << 20], call).map(drop)),
        ("read_range_bytes", driver.read_range_bytes(&r, 0, 9, call).map(drop)),
        ("read_range_bytes blocks", driver.read_range_bytes(&r, 0, 2 << 20, call).map(drop)),
        ("read_records", driver.read_records(&by_key("r"), 0, 0, 0, call).map(drop)),
        ("read_attachment", driver.read_attachment(&r, "a", call).map(drop)),
        ("stat", driver.stat(&r, call).map(drop)),
        ("verify", driver.verify(&r, call).map(drop)),
        ("delete", driver.delete(&["none".to_owned()], call).and_then(|mut each| each.remove(0))),
        ("list", driver.list("", None, 9, call).map(drop)),
        ("object_range", driver.object_range("k", 0, 9, call).map(drop)),
    ]
}

/// A place with a segment of bytes under `k` and one of records under `r`.
fn filled(place: Place) -> Place {
    let driver = place.open("");
    let attachments = vec![seglift::writer::Attachment {
        name: "a".to_owned(),
        data: seglift::writer::AttachmentData::Bytes(noise(2, 9000)),
    }];
    let whole = segment("k", &noise(1, 3 << 20), Codec::Zstd);
    driver.offload(seglift::writer::Segment { attachments, ..whole }, &Call::default()).unwrap();
    let options = WriterOptions {
        key: "r".to_owned(),
        mode: Mode::Records,
        codec: None,
        if_exists: Default::default(),
        max_bytes: None,
        metadata: Metadata::default(),
    };
    let writer = driver.writer(options, &Call::default(), None).unwrap();
    for id in 0..100 {
        writer.append(Record { id, time_us: 0, payload: &noise(id, 1000) }, &Call::default()).unwrap();
    }
    writer.commit(Finish::default(), &Call::default()).unwrap();
    place
}

/// Submits the `n`th of a mixture of operations.
fn submit(driver: &Driver, n: usize, call: &Call, slot: Slot<Outcome>) -> Result<u64> {
    let r = by_key("k");
    match n % 9 {
        0 => {
            driver.offload_submit(segment(&format!("n{n}"), &noise(1, MANY_PARTS), CODECS[n % 2]), call, slot)
        }
        1 => driver.offload_submit(segment(&format!("n{n}"), &noise(1, 100), CODECS[n % 2]), call, slot),
        2 => driver.read_range_submit(&r, 0, seglift::buf::LentBuf::owned(2 << 20).unwrap(), call, slot),
        3 => driver.read_range_bytes_submit(&r, n as u64 * 1000, 9000, call, slot),
        4 => driver.read_records_submit(&by_key("r"), n as u64 % 100, 9, 0, call, slot),
        5 => driver.read_attachment_submit(&r, "a", call, slot),
        6 => driver.verify_submit(&r, call, slot),
        7 => driver.delete_submit(&[format!("n{}", n - 7)], call, slot),
        _ => driver.list_submit("", None, 100, call, slot),
    }
}

#[test]
fn every_operation_completes_exactly_once() {
    const OPS: usize = 360;
    for (place, seed) in Place::each().into_iter().zip(1..) {
        let place = filled(place);
        // Stores that fail, panic and hang; calls that are cancelled; a driver that is closed in the middle.
        let script = format!("seed={seed}&rate=100&part=5:panic,40:stall&get=30:panic,60:stall&list=3:panic");
        let driver = place.open(&script);
        let queue: Queue<Outcome> = Queue::new(OPS).unwrap();
        let mut accepted = HashMap::new();
        for n in 0..OPS {
            let cancel = Cancel::new();
            let call = Call { cancel: Some(cancel.clone()), ..within(2000) };
            match submit(&driver, n, &call, queue.reserve(n).unwrap()) {
                Ok(op) => assert!(accepted.insert(n, op).is_none()),
                Err(e) => assert_eq!((e.code(), n > OPS / 2), (Code::Closed, true), "{e}"),
            }
            if n % 3 == 0 {
                thread::sleep(Duration::from_micros(n as u64 * 37 % 2000));
                cancel.cancel();
            }
            if n == OPS * 3 / 4 {
                driver.close(ms(10_000)).unwrap();
            }
        }
        assert!(accepted.len() > OPS / 2);
        let mut completed: HashMap<usize, Result<()>> = HashMap::new();
        while completed.len() < accepted.len() {
            let polled = queue.poll(16, Some(ms(10_000))).unwrap();
            assert!(!polled.is_empty(), "{} of {} have completed", completed.len(), accepted.len());
            for completion in polled {
                let Event::Done { op, result } = completion.event else { panic!("a writer's event") };
                assert_eq!(accepted.get(&completion.user_data), Some(&op));
                let twice = completed.insert(completion.user_data, result.map(drop));
                assert!(twice.is_none(), "operation {} completed twice", completion.user_data);
            }
        }
        assert!(queue.poll(1, Some(ms(50))).unwrap().is_empty());
        assert_eq!(queue.in_flight(), 0);
        let of =
            |code: Code| completed.values().filter(|r| r.as_ref().is_err_and(|e| e.code() == code)).count();
        assert!(completed.values().any(Result::is_ok) && of(Code::Cancelled) > 0, "{completed:?}");
        // No receipt without its object, and no object without one that could be.
        for (n, result) in completed.iter().filter(|(n, r)| *n % 9 == 1 && r.is_ok()) {
            assert!(place.left().contains(&format!("n{n}")), "operation {n}: {result:?}");
        }
        assert!(place.left().iter().all(|name| !name.contains("upload")), "{:?}", place.left());
        until(|| driver.engine().running() == 0, || "an operation runs".to_owned());
        until(|| driver.engine().budget().stats().uploads == 0, || "memory is held".to_owned());
    }
}

#[test]
fn no_operation_outlives_its_deadline_by_more_than_two_seconds() {
    // Whatever hangs, and the abort with it.
    for stuck in ["get", "put", "begin", "part", "commit", "list", "delete"] {
        let place = filled(Place::memory());
        let driver = place.open(&format!("{stuck}=*:stall&abort=*:stall"));
        let mut late = 0;
        let started = Instant::now();
        for (name, result) in each_call(&driver, &within(100)) {
            if let Err(e) = result {
                assert!(matches!(e.code(), Code::TimedOut | Code::OutcomeUnknown), "{stuck}, {name}: {e:?}");
                late += 1;
            }
        }
        assert!(late > 0, "nothing hangs in {stuck}");
        assert!(started.elapsed() < ms(late * 2100 + 2000), "{stuck}: {late} took {:?}", started.elapsed());
    }
    // A body that stops coming, a line for memory that does not move, a writer that is full.
    let place = filled(Place::memory());
    let driver = place.open("get=*:hang-1&part=*:stall");
    let started = Instant::now();
    assert_eq!(code(read_within(&driver, 100)), Code::TimedOut);
    let held = driver.engine().budget();
    let held = held.try_reserve(Class::Upload, held.largest(Class::Upload)).unwrap();
    let offloaded = driver.offload(segment("x", &noise(1, 9), Codec::None), &within(100));
    assert_eq!(code(offloaded), Code::TimedOut);
    drop(held);
    let full = writer(&driver, "w").unwrap();
    let pushed = full.write(&noise(1, 8 << 20), &within(100));
    assert!(pushed.is_ok_and(|taken| taken < 8 << 20), "what was taken is said");
    assert_eq!(code(full.write(&noise(1, 8 << 20), &within(100))), Code::TimedOut);
    assert_eq!(code(full.commit(Finish::default(), &within(100))), Code::TimedOut);
    assert!(started.elapsed() < ms(5 * 2100), "{:?}", started.elapsed());
}

fn read_within(driver: &Driver, deadline: u64) -> Result<usize> {
    driver.read_range(&by_key("k"), 0, &mut [0; 9], &within(deadline))
}

#[test]
fn an_offload_that_moves_no_byte_for_the_stall_limit_fails_and_names_the_stage() {
    for codec in CODECS {
        for (script, len, stage) in [
            ("get=*:stall", 100, "look first"),
            ("put=*:stall", 100, "commit"),
            ("begin=*:stall", MANY_PARTS, "begin upload"),
            ("part=1:stall", MANY_PARTS, "send parts"),
            ("part=7:stall", MANY_PARTS, "send parts"),
        ] {
            let place = Place::memory();
            let call = Call { stall: Some(ms(100)), ..within(60_000) };
            let segment = seglift::writer::Segment {
                look_first: stage == "look first",
                ..segment("k", &noise(1, len), codec)
            };
            let started = Instant::now();
            let error = place.open(script).offload(segment, &call).unwrap_err();
            assert_eq!(error.code(), Code::TimedOut, "{error}");
            assert!(error.message().contains(&format!("\"{stage}\"")), "{script}: {error}");
            assert!(error.message().contains("100ms"), "{script}: {error}");
            assert!(started.elapsed() < ms(10_000), "{script} took {:?}", started.elapsed());
            place.holds_only(&[]);
        }
        // One that moves is not stalled, however long it takes.
        let slow = Place::memory().open_on(&engine(), "part=*:delay-60ms", &[("upload.concurrency", "1")]);
        let call = Call { stall: Some(ms(400)), ..Call::default() };
        let started = Instant::now();
        slow.offload(segment("k", &noise(1, 2 * MANY_PARTS), codec), &call).unwrap();
        assert!(started.elapsed() > ms(400));
    }
}

#[test]
fn a_panic_inside_is_an_internal_error_and_the_engine_goes_on() {
    let place = filled(Place::memory());
    let engine = engine();
    for (what, expected) in [
        ("begin=1:panic", "offload"),
        ("part=2:panic", "offload"),
        ("get=1:panic", "read_range"),
        ("get=2:panic", "stat"),
        ("delete=1:panic", "delete"),
        ("list=1:panic", "list"),
    ] {
        let driver = place.open_on(&engine, what, &[]);
        let panicked: Vec<_> = each_call(&driver, &Call::default())
            .into_iter()
            .filter_map(|(name, result)| result.err().map(|e| (name, e.code())))
            .collect();
        assert!(panicked.iter().all(|(_, code)| *code == Code::Internal), "{what}: {panicked:?}");
        assert_eq!(panicked.len(), 1, "{what}: {panicked:?}");
        assert!(what.starts_with("get") || panicked[0].0 == expected, "{what}: {panicked:?}");
        assert!(each_call(&driver, &Call::default()).iter().all(|(_, result)| result.is_ok()));
        let keys = ["new", "zstd", "small"].map(str::to_owned);
        assert!(driver.delete(&keys, &Call::default()).unwrap().iter().all(Result::is_ok));
    }
    // Inside a request of which others wait for a block, and for one that goes straight to the caller.
    let r = place.open("").stat(&by_key("k"), &Call::default()).unwrap();
    let r = seglift::reader::SegmentRef { key: "k".to_owned(), token: Some(r.token().to_vec()) };
    for len in [10, 2 << 20] {
        let driver = place.open("get=2:panic");
        assert_eq!(code(read(&driver, &r, 0, len)), Code::Internal, "{len}");
        assert_same(&read(&driver, &r, 0, len).unwrap(), &noise(1, 3 << 20)[..len]);
        until(|| driver.engine().budget().stats().reads == 0, || "memory is held".to_owned());
    }
}

#[test]
fn after_close_every_call_is_closed() {
    for place in Place::each() {
        let place = filled(place);
        let driver = place.open("");
        let (full, fresh) = (writer(&driver, "w").unwrap(), writer(&driver, "v").unwrap());
        full.write(&noise(1, 3 << 20), &Call::default()).unwrap();
        read(&driver, &by_key("k"), 0, 9).unwrap();
        driver.close(ms(10_000)).unwrap();
        driver.close(ms(0)).unwrap();
        let also = driver.clone();
        for (name, result) in each_call(&also, &Call::default()) {
            assert_eq!(code(result), Code::Closed, "{name}");
        }
        assert_eq!(code(driver.read_cached(&by_key("k"), 0, &mut [0; 9], &Call::default())), Code::Closed);
        let queue: Queue<Outcome> = Queue::new(9).unwrap();
        for n in 0..9 {
            assert_eq!(code(submit(&driver, n, &Call::default(), queue.reserve(n).unwrap())), Code::Closed);
        }
        assert!(queue.poll(1, Some(ms(10))).unwrap().is_empty(), "a submit that failed has no completion");
        assert_eq!(writer(&driver, "u").err().map(|e| e.code()), Some(Code::Closed));
        for open in [full, fresh] {
            assert_eq!(code(open.write(b"x", &Call::default())), Code::Closed);
            assert_eq!(code(open.try_write(b"x")), Code::Closed);
            assert_eq!(code(open.commit(Finish::default(), &Call::default())), Code::Closed);
            open.abort(&Call::default()).unwrap();
        }
        place.holds_only(&["k", "r"]);
        // Another driver of the engine is not concerned.
        read(&place.open_on(driver.engine(), "", &[]), &by_key("k"), 0, 9).unwrap();
    }
}

#[test]
fn close_waits_for_what_was_started() {
    for place in Place::each() {
        // What can be stopped is stopped, what was sent is settled.
        let driver = place.open("begin=1:stall&commit=1:delay-300ms&get=*:stall");
        let calls: Vec<_> = [("stopped", Codec::None), ("sent", Codec::Zstd)]
            .into_iter()
            .map(|(key, codec)| {
                let (running, stage) =
                    (driver.clone(), if key == "sent" { "commit" } else { "begin upload" });
                let thread = thread::spawn(move || offload(&running, key, &noise(1, MANY_PARTS), codec));
                until_stage(&driver, stage);
                thread
            })
            .collect();
        let running = driver.clone();
        let reading = thread::spawn(move || read(&running, &by_key("sent"), 0, 1));
        until_stage(&driver, "tail");
        let pushing = writer(&driver, "pushed").unwrap();
        pushing.write(&noise(1, MANY_PARTS), &Call::default()).unwrap();
        assert_eq!(code(driver.close(ms(20))), Code::TimedOut);
        driver.close(ms(10_000)).unwrap();
        until(|| driver.engine().running() == 0, || "an operation runs".to_owned());
        let mut results = calls.into_iter().map(|call| call.join().unwrap());
        assert_eq!(code(results.next().unwrap()), Code::Cancelled);
        results.next().unwrap().unwrap();
        assert_eq!(code(reading.join().unwrap()), Code::Cancelled);
        place.holds_only(&["sent"]);

        // A commit of a writer as well.
        let driver = place.open("commit=1:delay-300ms");
        let pushing = writer(&driver, "pushed").unwrap();
        pushing.write(&noise(1, MANY_PARTS), &Call::default()).unwrap();
        let committing = thread::spawn(move || pushing.commit(Finish::default(), &Call::default()));
        until_stage(&driver, "commit");
        driver.close(ms(10_000)).unwrap();
        assert!(place.left().contains(&"pushed".to_owned()), "close did not wait");
        assert!(!committing.join().unwrap().unwrap().existed);
    }
}

#[test]
fn deleting_what_is_not_there_is_success() {
    for place in Place::each() {
        let driver = place.open("");
        offload(&driver, "a/b", &noise(1, 9), Codec::None).unwrap();
        let delete = |key: &str| driver.delete(&[key.to_owned()], &Call::default()).unwrap().remove(0);
        for key in ["none", "a", "a/b/c", "x/y/z"] {
            delete(key).unwrap();
        }
        place.holds_only(&["a/b"]);
        delete("a/b").unwrap();
        delete("a/b").unwrap();
        place.holds_only(&[]);
        assert!(driver.delete(&[], &Call::default()).unwrap().is_empty());
    }
}

#[test]
fn a_batch_answers_for_each_key() {
    for place in Place::each() {
        let driver = place.open("");
        for key in ["a", "b", "c"] {
            offload(&driver, key, &noise(1, 9), Codec::None).unwrap();
        }
        let keys = ["a", "../escape", "none", "", "b", "a"].map(str::to_owned);
        let answers = driver.delete(&keys, &Call::default()).unwrap();
        let codes: Vec<_> = answers.into_iter().map(|answer| answer.err().map(|e| e.code())).collect();
        let wrong = Some(Code::InvalidArgument);
        assert_eq!(codes, [None, wrong, None, wrong, None, None]);
        place.holds_only(&["c"]);
        // A store that refuses is an answer for those keys that it was asked for.
        let answers = place.open("delete=*:PERMISSION_DENIED").delete(&keys, &Call::default()).unwrap();
        let codes: Vec<_> = answers.into_iter().map(|answer| answer.err().map(|e| e.code())).collect();
        let denied = Some(Code::PermissionDenied);
        assert_eq!(codes, [denied, wrong, denied, wrong, denied, denied]);
    }
}

#[test]
fn secrets_do_not_appear_in_errors_logs_or_dumps() {
    const SECRET: &str = "hunter2";
    let mut said: Vec<String> = Vec::new();
    let mut say = |text: String| said.push(text);
    // URIs that hold credentials by mistake.
    for uri in
        ["s3://AKIA:hunter2@bucket/prefix", "memory://user:hunter2@x", "file://u:hunter2@host/x", "hunter2"]
    {
        let error = open(uri, &OpenOptions::default()).err().expect(uri);
        say(format!("{error} {error:?}"));
        let engine = engine();
        let error = Driver::open(&engine, uri, &Config::new()).err().expect(uri);
        say(format!("{error:?}"));
        let mut config = Config::new();
        let refused: Option<Error> = match config.set("store.previous", uri) {
            Err(e) => Some(e),
            Ok(()) => Driver::open(&engine, "memory:", &config).err(),
        };
        say(refused.map(|e| format!("{e:?}")).expect(uri));
        say(format!("{} {}", engine.status_json(), engine.metrics_text()));
        say(logged(&engine));
    }
    // Values of settings that nobody knows, and of each that is a secret.
    let mut config = Config::new();
    say(format!("{:?}", config.set("s3.secret.access.kex", SECRET).unwrap_err()));
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in
        [("a.toml", "s3.secret = 'hunter2'"), ("b.toml", "s3.secret = 'hunter2"), ("c.toml", "'hunter2'")]
    {
        std::fs::write(dir.path().join(name), text).unwrap();
        say(format!("{:?}", config.load(dir.path().join(name)).unwrap_err()));
    }
    std::fs::write(dir.path().join("broker.conf"), "s3SecretKey=hunter2\nadminPassword=hunter2\n").unwrap();
    config.load(dir.path().join("broker.conf")).unwrap();
    config.load_env([("SEGLIFT_SECRET", SECRET), ("AWS_SECRET_ACCESS_KEY", SECRET)]).unwrap();
    for property in PROPERTIES.iter().filter(|property| property.kind == seglift::config::Kind::Secret) {
        config.set(property.key, SECRET).unwrap();
    }
    say(format!("{config:?} {:?} {:?} {:?}", config.describe(), config.ignored(), config.settings()));
    say(format!("{0} {0:?} {1} {1:?}", Secret::new(SECRET), Value::Secret(Secret::new(SECRET))));
    for text in said {
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.is_empty());
    }
}

/// Everything that the engine has to say, and that it is not silent.
fn logged(engine: &Engine) -> String {
    let lines = std::iter::from_fn(|| engine.log().poll()).map(|line| format!("{line:?}"));
    format!("{:?}", lines.collect::<Vec<_>>())
}
