//! Going on with an upload on real servers, which differ in what they show of its parts.

use crate::servers::{Server, minio, versitygw};
use seglift::{
    Code, Driver,
    codec::Codec,
    engine::{Call, Cancel, Engine, EngineOptions},
    metrics::{Outcome, Request},
    reader::SegmentRef,
    store::conformance::bytes,
    writer::{Segment, Source},
};
use std::{
    thread,
    time::{Duration, Instant},
};

const PART: u64 = 5 << 20;
/// Six parts, with what stands behind it.
const LEN: usize = 26 << 20;

fn driver(server: &Server, bucket: &str, more: &[(&str, &str)]) -> Driver {
    let mut config = server.config();
    for (key, value) in [("upload.part.size", "5MiB"), ("upload.concurrency", "1")].iter().chain(more) {
        config.set(key, value).unwrap();
    }
    let engine = Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
    Driver::open(&engine, &format!("s3://{bucket}/a/prefix"), &config).unwrap()
}

/// Begins and parts that were answered well.
fn parts(driver: &Driver) -> u64 {
    driver.engine().metrics().store_requests.of(Request::Part).of(Outcome::OK).value()
}

fn a_cancelled_offload_goes_on_with_the_parts_that_the_server_has(server: &Server) {
    for codec in [Codec::None, Codec::Zstd] {
        let (bucket, dir) = (server.bucket(), tempfile::tempdir().unwrap());
        let (path, resume) = (dir.path().join("segment"), dir.path().join("resume"));
        let content = bytes(1, LEN);
        std::fs::write(&path, &content).unwrap();
        let segment = || {
            let source = Source::Path { path: path.clone(), offset: 0, len: None };
            Segment { codec: Some(codec), resume: Some(resume.clone()), ..Segment::new("k", source) }
        };
        let (slow, cancel) = (driver(server, &bucket, &[("store.rate.up", "5MiB")]), Cancel::new());
        let call = Call { cancel: Some(cancel.clone()), ..Call::default() };
        let (running, sending) = (slow.clone(), segment());
        let offload = thread::spawn(move || running.offload(sending, &call));
        let begun = Instant::now();
        while parts(&slow) < 3 {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not come so far");
            thread::sleep(Duration::from_millis(5));
        }
        cancel.cancel();
        assert_eq!(offload.join().unwrap().unwrap_err().code(), Code::Cancelled);
        assert_eq!(server.uploads(&bucket).len(), 1);

        let again = driver(server, &bucket, &[]);
        let receipt = again.offload(segment(), &Call::default()).unwrap();
        assert!(receipt.resumed_bytes >= PART, "{} bytes with {codec:?}", receipt.resumed_bytes);
        assert_eq!(parts(&again), 6 - receipt.resumed_bytes / PART);
        assert_eq!((server.uploads(&bucket).len(), resume.exists()), (0, false));
        let r = SegmentRef { key: "k".into(), token: Some(receipt.token) };
        let mut back = vec![0; LEN];
        assert_eq!(again.read_range(&r, 0, &mut back, &Call::default()).unwrap(), LEN);
        assert!(back == content);
        again.verify(&r, &Call::default()).unwrap();
    }
}

#[test]
fn versitygw_goes_on_with_an_upload() {
    a_cancelled_offload_goes_on_with_the_parts_that_the_server_has(versitygw());
}

#[test]
fn minio_goes_on_with_an_upload() {
    a_cancelled_offload_goes_on_with_the_parts_that_the_server_has(minio());
}
