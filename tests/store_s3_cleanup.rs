//! How the store of S3 cleans up, on a service that lies: nothing is taken for old, ours or unchanged that may not be.

use seglift::{
    Driver,
    codec::Codec,
    config::{Config, Secret},
    driver::Sweep,
    engine::{Call, Engine, EngineOptions},
    error::Code,
    maintain::{Report, SweepOptions},
    object::{Metadata, Mode},
    store::{
        Arrived, Entry, ObjectStore, OpenOptions, Removal, Unfinished,
        conformance::{block_on, bytes, key},
        open,
        s3::{Env, S3Options},
    },
    writer::{Finish, IfExists, Segment, Source, WriterOptions},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

mod s3_support;

#[path = "s3_support/fake.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod fake;

use fake::{Fake, Kind, Manners, Reply};
use s3_support::inprocess::{ACCESS, BUCKET, Front, SECRET, Server};

const SECOND: i64 = 1_000_000;
/// What the service says of the object, and what a listing said.
const HEAD: &[(&str, &str)] = &[("etag", "\"e1\""), ("last-modified", "Sun, 09 Sep 2001 01:46:40 GMT")];
const MODIFIED: i64 = 1_000_000_000 * SECOND;

fn service() -> (Fake, Arc<dyn ObjectStore>) {
    let fake = Fake::start(Manners::default());
    let mut s3 = S3Options { endpoint: Some(fake.endpoint()), ..S3Options::default() };
    s3.credentials.fixed = Some((Secret::new("access"), Secret::new("secret")));
    let options = OpenOptions { s3: Env { options: s3, ..Env::default() }, ..OpenOptions::default() };
    (fake, open("s3://bucket/tier", &options).unwrap())
}

fn listed() -> Entry {
    Entry { key: key("k"), len: 0, modified_us: MODIFIED }
}

fn upload() -> Unfinished {
    Unfinished { name: "k".into(), id: "id".into(), of_owner: None, alive: None, started_us: MODIFIED }
}

#[test]
fn an_object_is_deleted_on_condition_that_it_is_the_one_that_was_seen() {
    let (fake, store) = service();
    fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
    assert_eq!(block_on(store.delete_unchanged(&listed())).unwrap(), Removal::Removed);
    assert_eq!(fake.requests(Kind::Delete)[0].header("if-match"), "\"e1\"");
    // It was written anew between the look and the delete.
    fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
    fake.order(Kind::Delete, Reply::Error(412, "PreconditionFailed"));
    assert_eq!(block_on(store.delete_unchanged(&listed())).unwrap(), Removal::Changed);
    // Before the look.
    for other in [Entry { len: 1, ..listed() }, Entry { modified_us: MODIFIED - SECOND, ..listed() }] {
        fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
        assert_eq!(block_on(store.delete_unchanged(&other)).unwrap(), Removal::Changed);
    }
    assert_eq!(fake.requests(Kind::Delete).len(), 2);
}

#[test]
fn where_deletes_know_no_condition_the_look_before_it_must_do() {
    for refusal in [Reply::Error(501, "NotImplemented"), Reply::Error(400, "InvalidArgument")] {
        let (fake, store) = service();
        fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
        fake.order(Kind::Delete, refusal);
        assert_eq!(block_on(store.delete_unchanged(&listed())).unwrap(), Removal::Removed);
        let conditions: Vec<_> =
            fake.requests(Kind::Delete).iter().map(|request| request.header("if-match").to_owned()).collect();
        assert_eq!(conditions, ["\"e1\"", ""]);
    }
    let (fake, store) = service();
    fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
    fake.order(Kind::Delete, Reply::Error(403, "AccessDenied"));
    assert_eq!(block_on(store.delete_unchanged(&listed())).unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(fake.requests(Kind::Delete).len(), 1);
}

#[test]
fn the_time_is_that_of_the_answer_and_without_one_the_earliest_that_it_can_be() {
    let list = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let (fake, store) = service();
    fake.order(Kind::Get, Reply::Raw(200, &[("date", "Sun, 09 Sep 2001 01:46:40 GMT")], list));
    assert_eq!(block_on(store.now()).unwrap(), MODIFIED);
    for date in [&[][..], &[("date", "yesterday")]] {
        fake.order(Kind::Get, Reply::Raw(200, date, list));
        let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
        let late = ours - block_on(store.now()).unwrap();
        assert!((839 * SECOND..=900 * SECOND).contains(&late), "{late}");
    }
}

#[test]
fn a_list_of_uploads_that_is_cut_short_or_makes_no_sense_is_an_error() {
    let truncated =
        "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>";
    let undated = "<ListMultipartUploadsResult><Upload><Key>tier/k</Key><UploadId>u</UploadId></Upload>\
                   </ListMultipartUploadsResult>";
    let cut = "<ListMultipartUploadsResult><Upload><Key>tier/k</Key>";
    for lie in [truncated, undated, cut, "{}"] {
        let (fake, store) = service();
        fake.order(Kind::Get, Reply::Raw(200, &[], lie));
        let page = block_on(store.uploads("", None, 10));
        assert_eq!(page.unwrap_err().code(), Code::Unavailable, "{lie}");
    }
}

#[test]
fn uploads_of_others_in_the_bucket_are_not_shown() {
    const UPLOADS: &str = "<ListMultipartUploadsResult>\
        <Upload><Key>tier/k</Key><UploadId>a</UploadId><Initiated>2001-09-09T01:46:40.123Z</Initiated></Upload>\
        <Upload><Key>tier/.seglift-probe-3f2504e0-4f89-11d3-9a0c-0305e82c3301</Key><UploadId>b</UploadId>\
            <Initiated>2001-09-09T01:46:40Z</Initiated></Upload>\
        <Upload><Key>tier-2/k</Key><UploadId>c</UploadId><Initiated>2001-09-09T01:46:40Z</Initiated></Upload>\
        <Upload><Key>tier/no//key</Key><UploadId>d</UploadId><Initiated>2001-09-09T01:46:40Z</Initiated></Upload>\
        </ListMultipartUploadsResult>";
    let (fake, store) = service();
    // A store that lists nothing below a prefix is asked for the whole bucket's.
    fake.order(Kind::Get, Reply::Raw(200, &[], "<ListMultipartUploadsResult></ListMultipartUploadsResult>"));
    fake.order(Kind::Get, Reply::Raw(200, &[], UPLOADS));
    fake.order(Kind::Get, Reply::Raw(200, &[], "<ListBucketResult></ListBucketResult>"));
    let page = block_on(store.uploads("", None, 10)).unwrap();
    let ids: Vec<_> = page.uploads.iter().map(|upload| (upload.id.as_str(), upload.started_us)).collect();
    assert_eq!((ids, page.next), (vec![("a", MODIFIED), ("b", MODIFIED)], None));
    let asked: Vec<_> =
        fake.requests(Kind::Get).iter().map(|request| request.query.contains("prefix=tier")).collect();
    assert_eq!(asked, [true, false, true]);
}

#[test]
fn an_object_that_asked_what_the_store_can_do_and_stayed_is_shown_and_removed_and_no_other_is() {
    const PROBE: &str = ".seglift-probe-3f2504e0-4f89-11d3-9a0c-0305e82c3301";
    const UPLOADS: &str = "<ListMultipartUploadsResult>\
        <Upload><Key>tier/k</Key><UploadId>a</UploadId><Initiated>2001-09-09T01:46:40Z</Initiated></Upload>\
        </ListMultipartUploadsResult>";
    const OBJECTS: &str = "<ListBucketResult><Contents><Key>tier/.seglift-probe-3f2504e0-4f89-11d3-9a0c-0305e82c3301</Key>\
        <LastModified>2001-09-09T01:46:40Z</LastModified><Size>70</Size></Contents>\
        <Contents><Key>tier/.seglift-probe-of-somebody</Key><LastModified>2001-09-09T01:46:40Z</LastModified></Contents>\
        </ListBucketResult>";
    let (fake, store) = service();
    fake.order(Kind::Get, Reply::Raw(200, &[], UPLOADS));
    fake.order(Kind::Get, Reply::Raw(200, &[], OBJECTS));
    let page = block_on(store.uploads("", None, 10)).unwrap();
    let names: Vec<_> = page.uploads.iter().map(|upload| (upload.name.as_str(), upload.of_owner)).collect();
    assert_eq!(names, [("k", None), (PROBE, None)]);
    assert!(fake.requests(Kind::Get)[1].query.contains("prefix=tier%2F.seglift-probe-"));

    fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
    let arrived = block_on(store.arrived(&page.uploads[1])).unwrap();
    assert_eq!(arrived, Some(Arrived { newest_us: MODIFIED, bytes: 0 }));
    assert!(block_on(store.abort_upload(&page.uploads[1])).unwrap());
    assert_eq!(fake.requests(Kind::Delete)[0].path, format!("/bucket/tier/{PROBE}"));

    // What has no id and is not called so is no upload, and surely not an object to remove.
    let nothing = Unfinished { id: String::new(), ..upload() };
    assert_eq!(block_on(store.abort_upload(&nothing)).unwrap_err().code(), Code::Internal);
    assert_eq!(fake.requests(Kind::Delete).len(), 1);
}

#[test]
fn the_newest_part_counts_over_all_pages_and_an_upload_that_ended_is_gone() {
    const FIRST: &str = "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>\
        <Part><PartNumber>1</PartNumber><Size>7</Size><LastModified>2001-09-09T01:46:50Z</LastModified></Part></ListPartsResult>";
    const SECOND_PAGE: &str = "<ListPartsResult><IsTruncated>false</IsTruncated>\
        <Part><PartNumber>2</PartNumber><Size>5</Size><LastModified>2001-09-09T01:46:45Z</LastModified></Part></ListPartsResult>";
    let (fake, store) = service();
    fake.order(Kind::Parts, Reply::Raw(200, &[], FIRST));
    fake.order(Kind::Parts, Reply::Raw(200, &[], SECOND_PAGE));
    let arrived = block_on(store.arrived(&upload())).unwrap();
    assert_eq!(arrived, Some(Arrived { newest_us: MODIFIED + 10 * SECOND, bytes: 12 }));
    fake.order(Kind::Parts, Reply::Error(404, "NoSuchUpload"));
    assert_eq!(block_on(store.arrived(&upload())).unwrap(), None);
    fake.order(Kind::Parts, Reply::Raw(200, &[], FIRST));
    fake.order(Kind::Parts, Reply::Raw(200, &[], FIRST));
    assert_eq!(block_on(store.arrived(&upload())).unwrap_err().code(), Code::Unavailable);
    fake.order(Kind::Abort, Reply::Error(404, "NoSuchUpload"));
    assert!(!block_on(store.abort_upload(&upload())).unwrap());
    fake.order(Kind::Abort, Reply::Error(403, "AccessDenied"));
    assert_eq!(block_on(store.abort_upload(&upload())).unwrap_err().code(), Code::PermissionDenied);
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Bytes that take three parts, with what stands behind them.
const THREE_PARTS: usize = 11 << 20;

fn driver(server: &Server) -> Driver {
    let engine = Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
    let mut config = Config::new();
    for (key, value) in [
        ("s3.endpoint", server.endpoint().as_str()),
        ("s3.access.key", ACCESS),
        ("s3.secret.key", SECRET),
        ("upload.part.size", "5MiB"),
        ("upload.concurrency", "1"),
        ("retry.attempts", "1"),
    ] {
        config.set(key, value).unwrap();
    }
    Driver::open(&engine, &format!("s3://{BUCKET}/tier"), &config).unwrap()
}

fn segment(key: &str, codec: Codec, source: Source) -> Segment {
    Segment { codec: Some(codec), ..Segment::new(key, source) }
}

/// A sweep without any grace that has looked at the clock, and will list `z` when it goes on: a page of other keys comes
/// before it, and one more, so that the listing has not ended.
fn begun_sweep(server: &Server, driver: &Driver) -> Sweep {
    let live: Vec<String> = (0..1000).map(|i| format!("live/{i:04}")).collect();
    for key in live.iter().map(String::as_str).chain(["live/last"]) {
        server.bucket.plant(&format!("tier/{key}"), "");
    }
    let options = SweepOptions { prefix: String::new(), grace: Duration::ZERO, delete: true };
    let sweep = driver.sweep(options).unwrap();
    assert_eq!(sweep.feed(live, &Call::default()).unwrap().taken, 1000);
    sweep
}

/// What becomes of the rest of a sweep, as `verdict key`.
fn swept(sweep: &Sweep) -> Vec<String> {
    let mut report = Report::default();
    loop {
        let step = sweep.finish(&Call::default()).unwrap();
        report.append(step.report);
        if step.done {
            return report
                .items()
                .iter()
                .map(|item| format!("{} {}", item.verdict.name(), item.name))
                .collect();
        }
    }
}

/// It is there, and Amazon dates it by the day before yesterday.
#[track_caller]
fn looks_old(driver: &Driver, key: &str) {
    let page = driver.list(key, None, 1, &Call::default()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
    assert!(page.entries[0].modified_us < now - DAY.as_micros() as i64, "{:?}", page.entries);
}

#[test]
fn a_sweep_leaves_what_was_committed_since_it_began_though_its_upload_is_days_old() {
    for codec in [Codec::None, Codec::Zstd] {
        let broken = Arc::new(AtomicBool::new(true));
        let breaks = broken.clone();
        let refused = "<Error><Code>AccessDenied</Code></Error>".to_owned();
        let answer = move |line: &str, _: &s3_support::flat::Flat| {
            let hit = line.contains("partNumber=3") && breaks.load(Relaxed);
            hit.then(|| (403, refused.clone()))
        };
        let server = Server::start_behind(Front { answer: Some(Box::new(answer)), ..Front::default() });
        let (driver, dir) = (driver(&server), tempfile::tempdir().unwrap());
        let path = dir.path().join("segment");
        std::fs::write(&path, bytes(1, THREE_PARTS)).unwrap();
        let resumable = || {
            let source = Source::Path { path: path.clone(), offset: 0, len: None };
            Segment { resume: Some(dir.path().join("resume")), ..segment("z", codec, source) }
        };
        let refused = driver.offload(resumable(), &Call::default()).unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        server.bucket.age(2 * DAY);

        let sweep = begun_sweep(&server, &driver);
        broken.store(false, Relaxed);
        let receipt = driver.offload(resumable(), &Call::default()).unwrap();
        assert_eq!(receipt.resumed_bytes, 5 << 20, "all but the first part and the one with the tail");
        looks_old(&driver, "z");
        assert_eq!(swept(&sweep), ["young live/last", "young z"]);
        assert!(server.bucket.keys().contains(&"tier/z".to_owned()));
    }
}

#[test]
fn a_sweep_leaves_what_a_writer_committed_since_it_began_however_long_that_was_open() {
    for mode in [Mode::Bytes, Mode::Records] {
        let server = Server::start();
        let driver = driver(&server);
        let options = WriterOptions {
            key: "z".to_owned(),
            mode,
            codec: Some(Codec::None),
            if_exists: IfExists::default(),
            max_bytes: Some(64 << 20),
            metadata: Metadata::new(),
        };
        let writer = driver.writer(options, &Call::default(), None).unwrap();
        let push = |id| match mode {
            Mode::Bytes => writer.write(&bytes(id, 1 << 20), &Call::default()).map(drop),
            Mode::Records => {
                let payload = bytes(id, 1 << 20);
                writer.append(seglift::writer::Record { id, time_us: 0, payload: &payload }, &Call::default())
            }
        };
        (0..6).for_each(|id| push(id).unwrap());
        // The probe of what the store can do comes before it.
        while !server.bucket.uploads().contains(&"tier/z".to_owned()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        server.bucket.age(2 * DAY);
        let sweep = begun_sweep(&server, &driver);
        push(6).unwrap();
        writer.commit(Finish::default(), &Call::default()).unwrap();
        looks_old(&driver, "z");
        assert_eq!(swept(&sweep), ["young live/last", "young z"]);
    }
}
