//! Clean-up on real servers, which differ in how they list uploads.

use crate::servers::{Server, minio, versitygw};
use seglift::{
    Driver,
    config::Config,
    engine::{Call, Engine, EngineOptions},
    maintain::{ReapOptions, Report, SweepOptions, Verdict},
    store::{
        Commit, Entry, Key, ObjectStore, Removal, Unfinished, Upload, UploadInfo,
        conformance::{Blob, block_on, bytes},
        open,
    },
    writer::{Segment, Source},
};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

fn store(server: &Server, bucket: &str, prefix: &str) -> Arc<dyn ObjectStore> {
    open(&format!("s3://{bucket}/{prefix}"), &server.options()).unwrap()
}

fn driver(server: &Server, bucket: &str, prefix: &str, owner: &str) -> Driver {
    let mut config: Config = server.config();
    config.set("owner", owner).unwrap();
    let engine = Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
    Driver::open(&engine, &format!("s3://{bucket}/{prefix}"), &config).unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// An upload that is begun and has a part, if it is to have one.
fn begin(store: &Arc<dyn ObjectStore>, name: &str, part: Option<usize>) -> Box<dyn Upload> {
    block_on(async {
        let upload = store.begin(&key(name), &UploadInfo::default()).await.unwrap();
        if let Some(len) = part {
            upload.put_part(0, 0, Blob::new(bytes(1, len))).await.unwrap();
        }
        upload
    })
}

/// Asks again until it is so: times of these servers have whole seconds, and only what is older is old.
#[track_caller]
fn until<T: std::fmt::Debug>(ask: impl Fn() -> T, so: impl Fn(&T) -> bool) -> T {
    let started = Instant::now();
    loop {
        let answer = ask();
        if so(&answer) {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "it does not come: {answer:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn told(report: &Report) -> Vec<String> {
    report.items().iter().map(|item| format!("{} {}", item.verdict.name(), item.name)).collect()
}

fn reaps_only_below_its_prefix_and_only_when_told_that_all_is_its_own(server: &Server) {
    let bucket = server.bucket();
    let (ours, others) = (store(server, &bucket, "a/prefix"), store(server, &bucket, "a/prefix-2"));
    let _held = (begin(&ours, "t/1", Some(6 << 20)), begin(&ours, "t/2", None), begin(&others, "t/1", None));
    let driver = driver(server, &bucket, "a/prefix", "default");
    let reap = |older_than, all_owners| {
        driver.reap(ReapOptions { older_than, dry_run: false, all_owners }, &Call::default()).unwrap()
    };
    let hour = Duration::from_secs(3600);
    assert_eq!(told(&reap(hour, true)), ["young t/1", "young t/2"]);
    until(|| told(&reap(Duration::ZERO, false)), |told| *told == ["unknown-owner t/1", "unknown-owner t/2"]);
    assert_eq!(server.uploads(&bucket).len(), 3);
    let report = reap(Duration::ZERO, true);
    assert_eq!(told(&report), ["removed t/1", "removed t/2"]);
    assert_eq!(report.tally(Verdict::Removed).bytes, 6 << 20);
    assert_eq!(server.uploads(&bucket), ["a/prefix-2/t/1"]);
    assert_eq!(told(&reap(Duration::ZERO, true)), [""; 0]);
}

fn lists_uploads_in_pages_and_without_a_prefix(server: &Server) {
    for prefix in ["a/prefix", ""] {
        let bucket = server.bucket();
        let store = store(server, &bucket, prefix);
        let names: Vec<String> = (0..9).map(|i| format!("t/{i}")).collect();
        let _held: Vec<_> = names.iter().map(|name| begin(&store, name, None)).collect();
        let mut found: Vec<Unfinished> = Vec::new();
        let mut after = None;
        loop {
            let page = block_on(store.uploads("", after.as_ref(), 4)).unwrap();
            found.extend(page.uploads);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(
            found.iter().map(|upload| &upload.name).collect::<Vec<_>>(),
            names.iter().collect::<Vec<_>>()
        );
        for upload in &found {
            assert_eq!(block_on(store.arrived(upload)).unwrap().unwrap().bytes, 0);
            assert!(block_on(store.abort_upload(upload)).unwrap());
        }
        assert_eq!(server.uploads(&bucket), [""; 0]);
        // Ended by somebody else: there is nothing more to do, and that is no error.
        assert_eq!(block_on(store.arrived(&found[0])).unwrap(), None);
    }
}

fn sweeps_what_no_list_names(server: &Server) {
    let bucket = server.bucket();
    let (mine, theirs) =
        (driver(server, &bucket, "a/prefix", "mine"), driver(server, &bucket, "a/prefix", "theirs"));
    let put = |driver: &Driver, key: &str| {
        let segment = Segment::new(key, Source::Bytes(bytes(3, 1000)));
        driver.offload(segment, &Call::default()).unwrap();
    };
    ["t/a", "t/b", "t/c"].iter().for_each(|key| put(&mine, key));
    put(&theirs, "t/theirs");
    let foreign = store(server, &bucket, "a/prefix");
    let put_foreign =
        async { foreign.put(&key("t/notes"), &UploadInfo::default(), Blob::new(bytes(1, 100))).await };
    assert!(matches!(block_on(put_foreign), Commit::Done));
    let sweep = |delete| {
        let options = SweepOptions { prefix: "t/".to_owned(), grace: Duration::ZERO, delete };
        let sweep = mine.sweep(options).unwrap();
        let mut report = sweep.feed(vec!["t/b".to_owned()], &Call::default()).unwrap().report;
        loop {
            let step = sweep.finish(&Call::default()).unwrap();
            report.append(step.report);
            if step.done {
                return report;
            }
        }
    };
    let rest = ["live t/b", "unreadable t/notes", "other-owner t/theirs"];
    let all = |verdict: &str| {
        let mut all = vec![format!("{verdict} t/a"), rest[0].to_owned(), format!("{verdict} t/c")];
        all.extend(rest[1..].iter().map(|text| (*text).to_owned()));
        all
    };
    until(|| told(&sweep(false)), |told| *told == all("would-remove"));
    assert_eq!(told(&sweep(true)), all("removed"));
    assert_eq!(server.keys(&bucket), ["a/prefix/t/b", "a/prefix/t/notes", "a/prefix/t/theirs"]);
}

fn deletes_an_object_only_if_it_is_the_one_that_was_seen(server: &Server) {
    let bucket = server.bucket();
    let store = store(server, &bucket, "a/prefix");
    block_on(async {
        assert!(matches!(
            store.put(&key("k"), &UploadInfo::default(), Blob::new(bytes(1, 100))).await,
            Commit::Done
        ));
        let listed = store.list("", None, 10).await.unwrap().entries;
        let [seen] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!(*seen, store.head(&key("k")).await.unwrap());
        let another = [
            Entry { len: seen.len + 1, ..seen.clone() },
            Entry { modified_us: seen.modified_us - 1_000_000, ..seen.clone() },
        ];
        for other in another {
            assert_eq!(store.delete_unchanged(&other).await.unwrap(), Removal::Changed);
        }
        assert_eq!(store.delete_unchanged(seen).await.unwrap(), Removal::Removed);
        assert_eq!(store.delete_unchanged(seen).await.unwrap(), Removal::Gone);
    });
}

fn tells_the_time(server: &Server) {
    let bucket = server.bucket();
    let now = block_on(store(server, &bucket, "a/prefix").now()).unwrap();
    let ours = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
    assert!((ours - 60_000_000..=ours).contains(&now), "{now} at {ours}");
}

/// A test of each for each server.
macro_rules! on_each {
    ($($name:ident)*) => {
        mod on_versitygw { $(#[test] fn $name() { super::$name(super::versitygw()) })* }
        mod on_minio { $(#[test] fn $name() { super::$name(super::minio()) })* }
    };
}

on_each! {
    reaps_only_below_its_prefix_and_only_when_told_that_all_is_its_own
    lists_uploads_in_pages_and_without_a_prefix
    sweeps_what_no_list_names
    deletes_an_object_only_if_it_is_the_one_that_was_seen
    tells_the_time
}
