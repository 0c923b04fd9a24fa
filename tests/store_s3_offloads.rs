//! Whole offloads to a service of S3 that answers badly: how they end, and when.

use bytes::Bytes;
use seglift::{
    Code, Driver, Error,
    codec::Codec,
    config::Config,
    engine::{Call, Engine, EngineOptions},
    logging::Level,
    metrics::{Direction, Request},
    object::Mode,
    writer::{Finish, Receipt, Segment, Source, Writer, WriterOptions},
};
use std::time::{Duration, Instant};

#[path = "s3_support/fake.rs"]
mod fake;

use fake::{Fake, Kind, Manners, Reply};

fn driver(fake: &Fake, settings: &[(&str, &str)]) -> Driver {
    let engine = Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
    let mut config = Config::new();
    let endpoint = fake.endpoint();
    let usual = [
        ("s3.endpoint", endpoint.as_str()),
        ("s3.access.key", "access"),
        ("s3.secret.key", "secret"),
        ("upload.part.size", "5MiB"),
    ];
    for (key, value) in usual.iter().chain(settings) {
        config.set(key, value).unwrap();
    }
    Driver::open(&engine, "s3://bucket/tier", &config).unwrap()
}

/// Bytes that are not all the same.
fn content(len: usize) -> Bytes {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn offload(driver: &Driver, len: usize, deadline: Duration) -> Result<Receipt, Error> {
    let segment = Segment { codec: Some(Codec::None), ..Segment::new("k", Source::Bytes(content(len))) };
    driver.offload(segment, &Call { deadline: Some(deadline), ..Call::default() })
}

/// More than a part, with what stands behind it.
const TWO_PARTS: usize = 6 << 20;
const LONG: Duration = Duration::from_secs(20);

#[test]
fn an_upload_whose_key_was_freed_again_is_begun_anew_and_not_asked_about_until_the_deadline() {
    let fake = Fake::start(Manners::default());
    let driver = driver(&fake, &[]);
    fake.order(Kind::Commit, Reply::Error(412, "PreconditionFailed"));
    let started = Instant::now();
    let receipt = offload(&driver, TWO_PARTS, LONG).unwrap();
    assert!(!receipt.existed && started.elapsed() < LONG / 2, "{:?}", started.elapsed());
    assert_eq!(fake.requests(Kind::Begin).len(), 2);
    assert_eq!(fake.counts(), (1, 0));
    assert_eq!(fake.object("/bucket/tier/k").unwrap()[..TWO_PARTS], content(TWO_PARTS));
}

#[test]
fn a_taken_key_that_may_not_be_read_ends_the_offload_and_changes_nothing() {
    let fake = Fake::start(Manners::default());
    let driver = driver(&fake, &[]);
    offload(&driver, 100, LONG).unwrap();
    let there = fake.object("/bucket/tier/k").unwrap();
    for len in [100, TWO_PARTS] {
        fake.order(Kind::Get, Reply::Error(403, "AccessDenied"));
        let gets = fake.requests(Kind::Get).len();
        let error = offload(&driver, len, LONG).unwrap_err();
        assert_eq!(error.code(), Code::NotFoundOrDenied, "{error}");
        assert!(error.message().contains("the key is taken"), "{error}");
        assert_eq!(fake.requests(Kind::Get).len(), gets + 1, "one look is enough");
    }
    assert!(fake.object("/bucket/tier/k").unwrap() == there);
    assert_eq!(fake.counts(), (1, 0), "the upload was aborted");
}

#[test]
fn a_store_that_overwrites_is_told_of_in_the_log_once() {
    for (manners, lines) in
        [(Manners::default(), 0), (Manners { ignores_condition: true, ..Manners::default() }, 1)]
    {
        let fake = Fake::start(manners);
        let driver = driver(&fake, &[]);
        for _ in 0..3 {
            assert_eq!(offload(&driver, 100, LONG).unwrap().atomic_create, lines == 0);
            driver.delete(&["k".into()], &Call::default()).unwrap().remove(0).unwrap();
        }
        let told: Vec<_> = std::iter::from_fn(|| driver.engine().log().poll())
            .filter(|line| line.level == Level::Warn && line.message.contains("If-None-Match"))
            .collect();
        assert_eq!(told.len(), lines, "{told:?}");
        assert!(
            told.iter().all(|line| line.repeats == 0 && format!("{line:?}").contains("s3://bucket/tier"))
        );
    }
}

#[test]
fn whichever_request_falls_silent_the_deadline_ends_the_offload() {
    let deadline = Duration::from_secs(1);
    for (silent, len, code) in [
        (&[Kind::Put][..], 100, Code::OutcomeUnknown),
        (&[Kind::Begin], TWO_PARTS, Code::TimedOut),
        (&[Kind::Part], TWO_PARTS, Code::TimedOut),
        (&[Kind::Part, Kind::Abort], TWO_PARTS, Code::TimedOut),
        (&[Kind::Commit], TWO_PARTS, Code::OutcomeUnknown),
    ] {
        let fake = Fake::start(Manners::default());
        let driver = driver(&fake, &[("s3.conditional.writes", "on"), ("s3.trailers", "on")]);
        for &kind in silent {
            (0..10).for_each(|_| fake.order(kind, Reply::Silence));
        }
        let started = Instant::now();
        let error = offload(&driver, len, deadline).unwrap_err();
        let took = started.elapsed();
        assert_eq!(error.code(), code, "{silent:?}: {error}");
        assert!((deadline..deadline + Duration::from_secs(2)).contains(&took), "{silent:?} took {took:?}");
        assert!(!error.message().contains("secret"), "{error}");
        let request = match silent[0] {
            Kind::Put => Request::Put,
            Kind::Commit => Request::Commit,
            _ => Request::Part,
        };
        let ended = driver.engine().metrics().store_requests.of(request);
        assert!(ended.of(Code::Cancelled.into()).value() > 0, "{silent:?} is not counted as cut off");
    }
    // Also while it asks what the store can do.
    let fake = Fake::start(Manners::default());
    let driver = driver(&fake, &[]);
    fake.order(Kind::Put, Reply::Silence);
    let started = Instant::now();
    assert_eq!(offload(&driver, 100, deadline).unwrap_err().code(), Code::TimedOut);
    assert!(started.elapsed() < deadline + Duration::from_secs(2));
}

/// A pushed segment of two parts, up to its commit.
fn pushed(driver: &Driver, call: &Call) -> Writer {
    let options = WriterOptions {
        key: "k".into(),
        mode: Mode::Bytes,
        codec: Some(Codec::None),
        if_exists: Default::default(),
        max_bytes: Some(64 << 20),
        metadata: Default::default(),
    };
    let writer = driver.writer(options, call, None).unwrap();
    writer.write(&content(TWO_PARTS), call).unwrap();
    writer
}

#[test]
fn a_store_that_answers_each_commit_with_an_error_ends_the_offload_long_before_its_deadline() {
    let fake = Fake::start(Manners::default());
    let driver = driver(&fake, &[("retry.time.max", "500ms")]);
    for (len, kind) in [(TWO_PARTS, Kind::Commit), (100, Kind::Put)] {
        offload(&driver, len, LONG).unwrap();
        driver.delete(&["k".into()], &Call::default()).unwrap().remove(0).unwrap();
        (0..1000).for_each(|_| fake.order(kind, Reply::Error(500, "InternalError")));
        let started = Instant::now();
        let error = offload(&driver, len, LONG).unwrap_err();
        assert_eq!(error.code(), Code::OutcomeUnknown, "{error}");
        assert_eq!((error.http_status(), error.service_code()), (500, "InternalError"), "{error}");
        assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
    }
}

#[test]
fn a_store_without_room_is_no_space_at_once_and_keeps_no_part() {
    let fake = Fake::start(Manners::default());
    let driver = driver(&fake, &[]);
    for (len, kind) in [(TWO_PARTS, Kind::Commit), (TWO_PARTS, Kind::Part), (100, Kind::Put)] {
        offload(&driver, len, LONG).unwrap();
        driver.delete(&["k".into()], &Call::default()).unwrap().remove(0).unwrap();
        fake.order(kind, Reply::Error(507, "InsufficientStorage"));
        let started = Instant::now();
        let error = offload(&driver, len, LONG).unwrap_err();
        assert_eq!(error.code(), Code::NoSpace, "{kind:?}: {error}");
        assert!(started.elapsed() < LONG / 4, "{kind:?}: {:?}", started.elapsed());
        assert_eq!(fake.counts(), (0, 0), "{kind:?}: what was sent was aborted");
    }
}

#[test]
fn a_lost_upload_whose_object_cannot_be_looked_for_is_unknown() {
    let call = Call { deadline: Some(LONG), ..Call::default() };
    for look in [403, 200] {
        let fake = Fake::start(Manners::default());
        let driver = driver(&fake, &[("s3.conditional.writes", "on"), ("s3.trailers", "on")]);
        let writer = pushed(&driver, &call);
        fake.order(Kind::Commit, Reply::Error(404, "NoSuchUpload"));
        if look == 403 {
            fake.order(Kind::Get, Reply::Error(403, "AccessDenied"));
        }
        let error = writer.commit(Finish::default(), &call).unwrap_err();
        // A look that shows nothing settles it: what was pushed is lost, and nothing of it is there.
        let code = if look == 403 { Code::OutcomeUnknown } else { Code::Unavailable };
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn an_object_whose_answer_was_lost_is_asked_for_its_encryption() {
    let fake = Fake::start(Manners::default());
    let driver = driver(&fake, &[("s3.sse", "s3")]);
    let counts = fake.counts();
    fake.order(Kind::Put, Reply::Lost);
    // The first put is that of the look at what the store can do.
    assert!(offload(&driver, 100, LONG).is_ok());
    fake.order(Kind::Put, Reply::Lost);
    driver.delete(&["k".into()], &Call::default()).unwrap().remove(0).unwrap();
    assert!(!offload(&driver, 100, LONG).unwrap().existed);
    assert_eq!(fake.requests(Kind::Head).len(), 1, "only where the answer was lost");
    driver.delete(&["k".into()], &Call::default()).unwrap().remove(0).unwrap();
    fake.order(Kind::Put, Reply::LostInTheClear);
    let error = offload(&driver, 100, LONG).unwrap_err();
    assert_eq!(error.code(), Code::InvalidConfig, "{error}");
    assert_eq!(fake.counts(), counts, "it was removed again");
}

#[test]
fn an_object_that_took_the_place_of_ours_is_neither_confirmed_nor_removed() {
    const THEIRS: [&[(&str, &str)]; 2] =
        [&[("x-amz-meta-seglift-uuid", "00000000-0000-4000-8000-000000000000")], &[]];
    for theirs in THEIRS {
        let fake = Fake::start(Manners::default());
        let driver = driver(&fake, &[("s3.sse", "s3")]);
        fake.order(Kind::Head, Reply::Raw(200, theirs, ""));
        // The first puts are those of the look at what the store can do.
        offload(&driver, 100, LONG).unwrap();
        driver.delete(&["k".into()], &Call::default()).unwrap().remove(0).unwrap();
        fake.order(Kind::Put, Reply::Lost);
        let error = offload(&driver, 100, LONG).unwrap_err();
        assert_eq!(error.code(), Code::OutcomeUnknown, "{error}");
        assert!(error.message().contains("another writer replaced it"), "{error}");
        assert!(fake.object("/bucket/tier/k").is_some(), "it is not ours to remove");
    }
}

#[test]
fn a_commit_that_meets_its_deadline_while_it_waits_for_a_place_is_not_committed() {
    let fake = Fake::start(Manners::default());
    let driver = driver(
        &fake,
        &[("store.concurrency.writes", "1"), ("s3.conditional.writes", "on"), ("s3.trailers", "on")],
    );
    let call = Call { deadline: Some(LONG), ..Call::default() };
    let writer = pushed(&driver, &call);
    let waiting = || driver.engine().metrics().store_queue.of(Direction::Up).value();
    let until = |what: &str, reached: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !reached() {
            assert!(started.elapsed() < LONG, "it never came to {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let hold = |key: &str, deadline: Duration| {
        let segment = Segment { codec: Some(Codec::None), ..Segment::new(key, Source::Bytes(content(100))) };
        let _ = driver.offload(segment, &Call { deadline: Some(deadline), ..Call::default() });
    };
    until("its first part", &|| fake.requests(Kind::Part).len() == 1 && waiting() == 0);
    fake.order(Kind::Put, Reply::Silence);
    fake.order(Kind::Put, Reply::Silence);
    std::thread::scope(|scope| {
        // One offload has the only place, behind it waits the last part, behind that a second offload, and the commit
        // comes after that.
        scope.spawn(|| hold("first", Duration::from_secs(2)));
        until("the first offload", &|| fake.requests(Kind::Put).len() == 1);
        let commit = scope.spawn(|| {
            let call = Call { deadline: Some(Duration::from_secs(5)), ..Call::default() };
            writer.commit(Finish::default(), &call).unwrap_err()
        });
        until("the last part", &|| waiting() == 1);
        scope.spawn(|| hold("second", Duration::from_secs(8)));
        until("the second offload", &|| waiting() == 2);
        let error = commit.join().unwrap();
        assert_eq!(error.code(), Code::TimedOut, "{error}");
        assert!(error.message().contains("\"commit\""), "{error}");
    });
    assert_eq!((fake.requests(Kind::Part).len(), fake.requests(Kind::Commit).len()), (2, 0));
}

#[test]
fn a_commit_that_a_proxy_sends_twice_is_settled_by_looking() {
    for conditional in ["on", "off"] {
        let fake = Fake::start(Manners::default());
        let driver = driver(&fake, &[("s3.conditional.writes", conditional), ("s3.trailers", "on")]);
        fake.order(Kind::Commit, Reply::Twice);
        // What was pushed cannot be sent again: an error would lose it, though it is there.
        let call = Call { deadline: Some(LONG), ..Call::default() };
        let writer = pushed(&driver, &call);
        let receipt = writer.commit(Finish::default(), &call).unwrap();
        assert_eq!((receipt.existed, receipt.segment_bytes), (false, TWO_PARTS as u64), "{conditional}");
        assert_eq!(fake.requests(Kind::Commit).len(), 1, "{conditional}");
        fake.order(Kind::Put, Reply::Twice);
        driver.delete(&["k".into()], &Call::default()).unwrap().remove(0).unwrap();
        assert!(!offload(&driver, 100, LONG).unwrap().existed, "{conditional}");
    }
}

/// A sealed segment of five parts with what stands behind it, and where its resume file goes.
const FIVE_PARTS: usize = 21 << 20;

fn resumable(dir: &tempfile::TempDir) -> Segment {
    let (path, resume) = (dir.path().join("segment"), dir.path().join("resume"));
    if !path.exists() {
        std::fs::write(&path, content(FIVE_PARTS)).unwrap();
    }
    let source = Source::Path { path, offset: 0, len: None };
    Segment { codec: Some(Codec::None), resume: Some(resume), ..Segment::new("k", source) }
}

/// An offload whose fourth part is refused.
fn fails_at_the_fourth_part(fake: &Fake, dir: &tempfile::TempDir) {
    let driver = driver(fake, &[("upload.concurrency", "1")]);
    // The first three are answered as they should be.
    (0..3).for_each(|_| fake.order(Kind::Part, Reply::Without("")));
    fake.order(Kind::Part, Reply::Error(403, "AccessDenied"));
    let error = driver.offload(resumable(dir), &Call::default()).unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    assert!(error.message().contains("3 parts are kept"), "{error}");
    assert_eq!(fake.counts(), (0, 1));
}

#[test]
fn an_upload_is_resumed_with_the_parts_that_the_service_lists_page_by_page() {
    let (fake, dir) = (Fake::start(Manners::default()), tempfile::tempdir().unwrap());
    fails_at_the_fourth_part(&fake, &dir);
    let sent = fake.requests(Kind::Part).len();
    let receipt = driver(&fake, &[]).offload(resumable(&dir), &Call::default()).unwrap();
    // The first part goes out again, so that a reap sees that somebody is at the upload.
    assert_eq!(receipt.resumed_bytes, 10 << 20);
    assert_eq!((fake.requests(Kind::Begin).len(), fake.requests(Kind::Parts).len()), (1, 2));
    assert_eq!(fake.requests(Kind::Part).len() - sent, 3);
    assert!(fake.object("/bucket/tier/k").unwrap()[..FIVE_PARTS] == content(FIVE_PARTS));
    assert_eq!(fake.counts(), (1, 0));
    // The commit names every part with the ETag and the checksum that the service knows it by.
    let commit = String::from_utf8(fake.requests(Kind::Commit)[0].body.clone()).unwrap();
    assert_eq!(commit.matches("<PartNumber>").count(), 5, "{commit}");
    assert_eq!(commit.matches("<ChecksumCRC32C>").count(), 5, "{commit}");
}

#[test]
fn a_part_that_cannot_be_compared_is_sent_again() {
    let fake = Fake::start(Manners { hides_checksums: true, ..Manners::default() });
    let dir = tempfile::tempdir().unwrap();
    fails_at_the_fourth_part(&fake, &dir);
    let receipt = driver(&fake, &[]).offload(resumable(&dir), &Call::default()).unwrap();
    assert_eq!(receipt.resumed_bytes, 0);
    assert_eq!((fake.requests(Kind::Begin).len(), fake.requests(Kind::Part).len()), (1, 4 + 5));
    assert!(fake.object("/bucket/tier/k").unwrap()[..FIVE_PARTS] == content(FIVE_PARTS));
}

#[test]
fn an_upload_that_was_begun_on_other_terms_is_aborted_and_begun_again() {
    let (fake, dir) = (Fake::start(Manners::default()), tempfile::tempdir().unwrap());
    fails_at_the_fourth_part(&fake, &dir);
    // What is begun now is to be encrypted; what was begun never will be.
    let receipt = driver(&fake, &[("s3.sse", "s3")]).offload(resumable(&dir), &Call::default()).unwrap();
    assert_eq!(receipt.resumed_bytes, 0);
    assert_eq!((fake.requests(Kind::Begin).len(), fake.requests(Kind::Abort).len()), (2, 1));
    assert_eq!(fake.counts(), (1, 0));
}

#[test]
fn an_upload_whose_parts_may_not_be_listed_is_left_and_begun_again() {
    let (fake, dir) = (Fake::start(Manners::default()), tempfile::tempdir().unwrap());
    fails_at_the_fourth_part(&fake, &dir);
    fake.order(Kind::Parts, Reply::Error(403, "AccessDenied"));
    let receipt = driver(&fake, &[]).offload(resumable(&dir), &Call::default()).unwrap();
    assert_eq!((receipt.resumed_bytes, fake.requests(Kind::Begin).len()), (0, 2));
    assert_eq!(fake.counts(), (1, 1), "what may not be seen is left to reap");
}

#[test]
fn an_upload_that_the_service_has_lost_is_begun_again() {
    let (fake, dir) = (Fake::start(Manners::default()), tempfile::tempdir().unwrap());
    fails_at_the_fourth_part(&fake, &dir);
    // Before, and then in the middle of, the second attempt.
    fake.order(Kind::Parts, Reply::Error(404, "NoSuchUpload"));
    fake.order(Kind::Part, Reply::Error(404, "NoSuchUpload"));
    let receipt = driver(&fake, &[]).offload(resumable(&dir), &Call::default()).unwrap();
    assert_eq!((receipt.resumed_bytes, fake.requests(Kind::Begin).len()), (0, 3));
    assert!(fake.object("/bucket/tier/k").unwrap()[..FIVE_PARTS] == content(FIVE_PARTS));
}

#[test]
fn a_service_that_cannot_be_reached_ends_a_resume_and_changes_nothing() {
    let (fake, dir) = (Fake::start(Manners::default()), tempfile::tempdir().unwrap());
    fails_at_the_fourth_part(&fake, &dir);
    let before = std::fs::read(dir.path().join("resume")).unwrap();
    fake.order(Kind::Parts, Reply::Error(503, "ServiceUnavailable"));
    let once = driver(&fake, &[("retry.attempts", "1")]);
    assert_eq!(once.offload(resumable(&dir), &Call::default()).unwrap_err().code(), Code::Unavailable);
    assert_eq!(std::fs::read(dir.path().join("resume")).unwrap(), before);
    assert_eq!((fake.requests(Kind::Begin).len(), fake.counts()), (1, (0, 1)));
    assert_eq!(
        driver(&fake, &[]).offload(resumable(&dir), &Call::default()).unwrap().resumed_bytes,
        10 << 20
    );
}

#[test]
fn where_there_is_no_crc32c_the_md5_of_a_part_is_compared() {
    let fake = Fake::start(Manners { hides_checksums: true, shows_md5: true, ..Manners::default() });
    let dir = tempfile::tempdir().unwrap();
    fails_at_the_fourth_part(&fake, &dir);
    let mut changed = content(FIVE_PARTS).to_vec();
    changed[(5 << 20) + 100] ^= 1;
    std::fs::write(dir.path().join("segment"), &changed).unwrap();
    let receipt = driver(&fake, &[]).offload(resumable(&dir), &Call::default()).unwrap();
    assert_eq!(
        receipt.resumed_bytes,
        5 << 20,
        "the changed part was taken for the same, or one that is not for changed"
    );
    assert!(fake.object("/bucket/tier/k").unwrap()[..FIVE_PARTS] == changed);
}

#[test]
fn a_commit_of_an_earlier_attempt_that_arrives_late_is_not_taken_for_one_of_a_changed_source() {
    for (changed, expected) in [(false, None), (true, Some(Code::AlreadyExists))] {
        let (fake, dir) = (Fake::start(Manners::default()), tempfile::tempdir().unwrap());
        let first = driver(&fake, &[("retry.attempts", "1")]);
        fake.order(Kind::Commit, Reply::Lost);
        (0..20).for_each(|_| fake.order(Kind::Get, Reply::Error(403, "AccessDenied")));
        let deadline = Duration::from_secs(3);
        let ended = first.offload(resumable(&dir), &Call { deadline: Some(deadline), ..Call::default() });
        assert_eq!(ended.unwrap_err().code(), Code::OutcomeUnknown);
        while !fake.take_back(Kind::Get) {}
        if changed {
            let mut other = content(FIVE_PARTS).to_vec();
            other[100] ^= 1;
            std::fs::write(dir.path().join("segment"), &other).unwrap();
        }
        // The upload is still there when its parts are listed, and committed when the first part comes.
        let nothing = "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>";
        fake.order(Kind::Parts, Reply::Raw(200, &[], nothing));
        let ended = driver(&fake, &[]).offload(resumable(&dir), &Call::default());
        assert_eq!(ended.as_ref().err().map(|e| e.code()), expected, "{ended:?}");
        assert!(fake.object("/bucket/tier/k").unwrap()[..FIVE_PARTS] == content(FIVE_PARTS));
        assert_eq!(fake.counts(), (1, 0));
        assert!(!dir.path().join("resume").exists());
    }
}
