//! How the store of S3 writes: what goes over the wire, what each end of a request means, and what it finds out
//! about the service first.

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use seglift::{
    config::{S3Probe as Probe, Secret},
    error::{Code, Error, Result},
    store::{
        Body, ByteStream, Commit, Key, ObjectStore, OpenOptions, Upload, UploadInfo,
        conformance::{Blob, bytes, key},
        open,
        s3::{Env, S3Options, Sse},
    },
};
use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

#[path = "s3_support/fake.rs"]
mod fake;

use fake::{Fake, Kind, Manners, Reply};

const PART: usize = 5 << 20;

/// Settings for a service that needs no asking.
fn known() -> S3Options {
    S3Options { trailers: Probe::On, conditional_writes: Probe::On, ..S3Options::default() }
}

fn store(endpoint: &str, options: S3Options) -> Arc<dyn ObjectStore> {
    let mut s3 = S3Options { endpoint: Some(endpoint.into()), ..options };
    s3.credentials.fixed = Some((Secret::new("access"), Secret::new("secret")));
    let options = OpenOptions { s3: Env { options: s3, ..Env::default() }, ..OpenOptions::default() };
    open("s3://bucket/tier", &options).unwrap()
}

fn info() -> UploadInfo {
    UploadInfo {
        owner: "clüster 1".into(),
        uuid: "3f2504e0-4f89-11d3-9a0c-0305e82c3301".into(),
        user: vec![("codec", "none".into()), ("segment_bytes", "400000".into())],
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let answer = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await });
    answer.expect("no answer for a minute")
}

async fn begin(store: &Arc<dyn ObjectStore>) -> Box<dyn Upload> {
    store.begin(&key("k"), &info()).await.unwrap()
}

async fn put(store: &Arc<dyn ObjectStore>, content: &Bytes) -> Commit {
    store.put(&key("k"), &info(), Blob::new(content.clone())).await
}

#[track_caller]
fn not_done(answer: Commit) -> Error {
    match answer {
        Commit::NotDone(e) => e,
        other => panic!("{other:?} where NotDone was expected"),
    }
}

#[track_caller]
fn unknown(answer: Commit) -> Error {
    match answer {
        Commit::Unknown(e) => e,
        other => panic!("{other:?} where Unknown was expected"),
    }
}

fn code<T>(result: Result<T>) -> Code {
    result.err().expect("an error").code()
}

/// Yields some of its bytes, then fails.
struct Failing(Bytes);

impl Body for Failing {
    fn len(&self) -> u64 {
        2 * self.0.len() as u64
    }

    fn open(&self) -> ByteStream {
        let failure = Error::new(Code::SourceFailed, "the disk is gone");
        stream::iter([Ok(self.0.clone()), Err(failure)]).boxed()
    }

    fn crc32c(&self) -> Option<u32> {
        None
    }
}

#[test]
fn an_object_goes_out_once_with_its_checksum_behind_it_and_says_whose_it_is() {
    let fake = Fake::start(Manners::default());
    let content = bytes(1, 400_000);
    let done = run(async { put(&store(&fake.endpoint(), known()), &content).await });
    assert!(matches!(done, Commit::Done), "{done:?}");
    assert!(fake.object("/bucket/tier/k").unwrap() == content);
    let [request] = &fake.requests(Kind::Put)[..] else { panic!("one request") };
    for (name, value) in [
        ("if-none-match", "*"),
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-trailer", "x-amz-checksum-crc32c"),
        ("x-amz-decoded-content-length", "400000"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-meta-seglift-owner", "cl%C3%BCster%201"),
        ("x-amz-meta-seglift-uuid", "3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
        ("x-amz-meta-seglift-codec", "none"),
        ("x-amz-meta-seglift-segment-bytes", "400000"),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    for signed in
        ["x-amz-trailer", "x-amz-decoded-content-length", "if-none-match", "x-amz-meta-seglift-owner"]
    {
        assert!(request.header("authorization").contains(signed), "{signed} is signed");
    }
    let crc = Blob::new(content).crc32c().unwrap();
    let trailer = request.body.rsplit(|&byte| byte == b':').next().unwrap();
    let trailer = std::str::from_utf8(trailer).unwrap().trim_end();
    use base64::{Engine, prelude::BASE64_STANDARD};
    assert_eq!(BASE64_STANDARD.decode(trailer).unwrap(), crc.to_be_bytes());
}

#[test]
fn payloads_are_signed_where_the_store_insists() {
    let fake = Fake::start(Manners::default());
    let options = S3Options { payload_signing: true, ..known() };
    let done = run(async { put(&store(&fake.endpoint(), options), &Bytes::from("123456789")).await });
    assert!(matches!(done, Commit::Done), "{done:?}");
    let request = &fake.requests(Kind::Put)[0];
    let hash = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
    assert_eq!(request.header("x-amz-content-sha256"), hash);
    assert_eq!((request.header("x-amz-checksum-crc32c"), &request.body[..]), ("4waSgw==", &b"123456789"[..]));
}

#[test]
fn a_taken_key_is_exists_and_a_conflict_may_be_tried_again() {
    let fake = Fake::start(Manners::default());
    run(async {
        let (store, content) = (store(&fake.endpoint(), known()), bytes(1, 1000));
        fake.order(Kind::Put, Reply::Error(409, "ConditionalRequestConflict"));
        assert!(not_done(put(&store, &content).await).retryable());
        assert!(matches!(put(&store, &content).await, Commit::Done));
        assert!(matches!(put(&store, &content).await, Commit::Exists));
        let upload = begin(&store).await;
        upload.put_part(0, 0, Blob::new(content)).await.unwrap();
        fake.order(Kind::Commit, Reply::Error(409, "ConditionalRequestConflict"));
        assert!(not_done(upload.commit().await).http_status() == 409);
        for _ in 0..2 {
            assert!(matches!(upload.commit().await, Commit::Exists));
        }
        upload.abort().await.unwrap();
    });
    assert_eq!(fake.counts(), (1, 0));
}

#[test]
fn the_sources_error_is_told_and_what_it_gave_never_becomes_an_object() {
    let fake = Fake::start(Manners::default());
    for trailers in [Probe::On, Probe::Off] {
        run(async {
            let store = store(&fake.endpoint(), S3Options { trailers, ..known() });
            let answer = store.put(&key("k"), &info(), Arc::new(Failing(bytes(2, 300_000)))).await;
            assert_eq!(not_done(answer).code(), Code::SourceFailed);
            let upload = begin(&store).await;
            let part = upload.put_part(0, 0, Arc::new(Failing(bytes(2, 300_000)))).await;
            assert_eq!(code(part), Code::SourceFailed);
            assert_eq!(not_done(upload.commit().await).code(), Code::InvalidArgument);
            upload.abort().await.unwrap();
        });
        assert_eq!(fake.counts(), (0, 0));
    }
}

#[test]
fn a_put_that_broke_is_unknown_only_once_all_of_it_went_out() {
    let fake = Fake::start(Manners::default());
    run(async {
        let store = store(&fake.endpoint(), known());
        // More than the buffers of two sockets hold.
        let content = bytes(3, 24 << 20);
        for (reply, certain) in [
            (Reply::Cut(100_000), true),
            (Reply::Error(503, "SlowDown"), true),
            (Reply::Error(403, "AccessDenied"), true),
            (Reply::Error(500, "InternalError"), false),
            (Reply::Raw(502, &[], "<html>Bad Gateway</html>"), false),
            (Reply::Lost, false),
        ] {
            fake.order(Kind::Put, reply.clone());
            let answer = put(&store, &content).await;
            match &answer {
                Commit::NotDone(_) if certain => assert_eq!(fake.counts(), (0, 0), "{reply:?}"),
                Commit::Unknown(_) if !certain => {}
                _ => panic!("{answer:?} after {reply:?}"),
            }
        }
        assert!(fake.object("/bucket/tier/k").unwrap() == content, "the lost one was done");
    });
}

#[test]
fn a_token_that_ran_out_is_worth_another_try() {
    let fake = Fake::start(Manners::default());
    run(async {
        let (store, content) = (store(&fake.endpoint(), known()), bytes(1, 1000));
        fake.order(Kind::Put, Reply::Error(400, "ExpiredToken"));
        let e = not_done(put(&store, &content).await);
        assert_eq!((e.code(), e.retryable()), (Code::Unauthenticated, true), "{e}");
        assert!(
            e.message().starts_with("with the credentials of the settings (s3.access.key): cannot"),
            "{e}"
        );
        fake.order(Kind::Put, Reply::Error(403, "InvalidAccessKeyId"));
        assert!(!not_done(put(&store, &content).await).retryable());
    });
}

#[test]
fn nobody_there_is_certainly_not_done() {
    // A port that nobody listens at: the listener is gone before the first request.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    run(async {
        let store = store(&format!("http://{address}"), known());
        let e = not_done(put(&store, &bytes(1, 1000)).await);
        assert_eq!((e.code(), e.retryable()), (Code::Unavailable, true), "{e}");
    });
}

#[test]
fn a_service_that_falls_silent_is_timed_out_and_unknown_once_it_has_everything() {
    let fake = Fake::start(Manners::default());
    run(async {
        let options = S3Options { attempt_timeout: Duration::from_millis(300), ..known() };
        let store = store(&fake.endpoint(), options);
        fake.order(Kind::Put, Reply::Silence);
        let e = unknown(put(&store, &bytes(1, 1000)).await);
        assert_eq!((e.code(), e.retryable()), (Code::TimedOut, true), "{e}");
        let upload = begin(&store).await;
        fake.order(Kind::Part, Reply::Silence);
        assert_eq!(code(upload.put_part(0, 0, Blob::new("content")).await), Code::TimedOut);
        assert_eq!(not_done(upload.commit().await).code(), Code::InvalidArgument);
        upload.abort().await.unwrap();
        // The attempt that timed out may still be on its way: aborted until the service has nothing left.
        assert_eq!(fake.requests(Kind::Abort).len(), 2);
    });
}

/// Waits longer than an attempt may take before it yields its bytes.
struct Slow(Bytes, Duration);

impl Body for Slow {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self) -> ByteStream {
        let (content, pause) = (self.0.clone(), self.1);
        let wait = async move {
            tokio::time::sleep(pause).await;
            Ok(content)
        };
        stream::once(wait).boxed()
    }

    fn crc32c(&self) -> Option<u32> {
        Blob::new(self.0.clone()).crc32c()
    }
}

#[test]
fn a_slow_source_is_not_the_stores_fault() {
    let fake = Fake::start(Manners::default());
    run(async {
        let limit = Duration::from_millis(100);
        let store = store(&fake.endpoint(), S3Options { attempt_timeout: limit, ..known() });
        let slow = Slow("content".into(), 10 * limit);
        let put = store.put(&key("slow"), &info(), Arc::new(slow)).await;
        assert!(matches!(put, Commit::Done), "{put:?}");
    });
}

#[test]
fn a_part_is_sent_again_from_its_source_and_counts_once_the_store_has_answered_well() {
    let fake = Fake::start(Manners::default());
    run(async {
        let (store, content) = (store(&fake.endpoint(), known()), bytes(4, PART + 1000));
        let upload = begin(&store).await;
        let body = Blob::new(content.slice(..PART));
        for reply in [
            Reply::Error(500, "InternalError"),
            Reply::Cut(70_000),
            Reply::Lost,
            Reply::Without("etag"),
            Reply::Error(400, "BadDigest"),
        ] {
            fake.order(Kind::Part, reply.clone());
            let e = upload.put_part(0, 0, body.clone()).await.unwrap_err();
            assert_eq!((e.code(), e.retryable()), (Code::Unavailable, true), "{reply:?}: {e}");
            assert_eq!(not_done(upload.commit().await).code(), Code::InvalidArgument);
        }
        upload.put_part(0, 0, body).await.unwrap();
        upload.put_part(1, PART as u64, Blob::new(content.slice(PART..))).await.unwrap();
        assert!(matches!(upload.commit().await, Commit::Done));
        assert!(fake.object("/bucket/tier/k").unwrap() == content);
        let commit = fake.requests(Kind::Commit).pop().unwrap();
        assert_eq!(commit.header("if-none-match"), "*");
        assert_eq!(String::from_utf8_lossy(&commit.body).matches("<ChecksumCRC32C>").count(), 2);
    });
}

#[test]
fn a_commit_whose_answer_is_no_answer_is_unknown_and_can_be_repeated() {
    let fake = Fake::start(Manners::default());
    run(async {
        let store = store(&fake.endpoint(), known());
        let upload = begin(&store).await;
        upload.put_part(0, 0, Blob::new("content")).await.unwrap();
        let error = "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>m</Message></Error>";
        for reply in [
            Reply::Raw(200, &[], error),
            Reply::Raw(200, &[], "<html>welcome</html"),
            Reply::Raw(200, &[], "<CompleteMultipartUploadResult><ETag>\"e\"</ETag>"),
            Reply::Raw(200, &[], "<CompleteMultipartUploadResult/>"),
            Reply::Raw(200, &[], ""),
            Reply::Error(500, "InternalError"),
            Reply::Silence,
        ] {
            // The limit of a commit is minutes; a caller that gives up knows no more.
            let silent = matches!(reply, Reply::Silence);
            fake.order(Kind::Commit, reply);
            match tokio::time::timeout(Duration::from_millis(300), upload.commit()).await {
                Ok(answer) => drop(unknown(answer)),
                Err(_) => assert!(silent),
            }
            assert!(upload.abort().await.is_err(), "what may be committed is not aborted");
            assert_eq!(code(upload.put_part(1, 7, Blob::new("more")).await), Code::Closed);
        }
        fake.order(Kind::Commit, Reply::Lost);
        unknown(upload.commit().await);
        assert!(fake.object("/bucket/tier/k").unwrap() == b"content", "it was done");
        // Some services forget the upload then: that is no proof that nothing was done.
        fake.order(Kind::Commit, Reply::Error(404, "NoSuchUpload"));
        assert_eq!(unknown(upload.commit().await).service_code(), "NoSuchUpload");
    });
}

#[test]
fn an_upload_that_is_gone_before_its_commit_is_not_done_and_aborting_it_is_success() {
    let fake = Fake::start(Manners::default());
    run(async {
        let store = store(&fake.endpoint(), known());
        let upload = begin(&store).await;
        upload.put_part(0, 0, Blob::new("content")).await.unwrap();
        fake.order(Kind::Commit, Reply::Error(404, "NoSuchUpload"));
        let e = not_done(upload.commit().await);
        assert_eq!((e.service_code(), e.retryable()), ("NoSuchUpload", false));
        fake.order(Kind::Abort, Reply::Error(404, "NoSuchUpload"));
        upload.abort().await.unwrap();
        upload.abort().await.unwrap();
        assert_eq!(code(upload.put_part(0, 0, Blob::new("content")).await), Code::Closed);
        fake.order(Kind::Abort, Reply::Error(500, "InternalError"));
        assert_eq!(code(upload.abort().await), Code::Unavailable);
    });
}

#[test]
fn a_service_is_asked_once_what_it_can_do_and_nothing_is_left_of_it() {
    let fake = Fake::start(Manners::default());
    run(async {
        let stores: Vec<_> = (0..4).map(|_| store(&fake.endpoint(), S3Options::default())).collect();
        assert!(!stores[0].capabilities().atomic_create, "nothing is known before it was asked");
        for learnt in join_all(stores.iter().chain(&stores).map(|store| store.learn())).await {
            learnt.unwrap();
        }
        assert!(stores.iter().all(|store| store.capabilities().atomic_create));
        assert_eq!(fake.requests(Kind::Put).len(), 2, "one probe for all");
        let probe = &fake.requests(Kind::Put)[0];
        assert!(probe.path.starts_with("/bucket/tier/.seglift-probe-"), "{}", probe.path);
        assert_eq!(fake.counts(), (0, 0));
        assert!(matches!(put(&stores[0], &bytes(1, 1000)).await, Commit::Done));
        assert_eq!(fake.requests(Kind::Put).len(), 3);
        assert!(!fake.requests(Kind::Put)[2].header("x-amz-trailer").is_empty());
    });
}

#[test]
fn what_a_look_alike_cannot_do_is_not_asked_of_it() {
    let manners = Manners::default;
    for (manners, atomic, condition, trailer, header) in [
        (Manners { ignores_condition: true, ..manners() }, false, true, true, false),
        (Manners { refuses_condition: true, ..manners() }, false, false, true, false),
        (Manners { refuses_trailers: true, ..manners() }, true, true, false, true),
        (Manners { keeps_framing: true, ..manners() }, true, true, false, true),
        (Manners { refuses_checksums: true, ..manners() }, true, true, false, false),
        (
            Manners { refuses_checksums: true, refuses_condition: true, ..manners() },
            false,
            false,
            false,
            false,
        ),
    ] {
        let fake = Fake::start(manners);
        run(async {
            let (store, content) = (store(&fake.endpoint(), S3Options::default()), bytes(5, PART));
            store.learn().await.unwrap();
            assert_eq!(store.capabilities().atomic_create, atomic, "{manners:?}");
            assert_eq!(fake.counts(), (0, 0), "{manners:?}");
            assert!(matches!(put(&store, &content).await, Commit::Done), "{manners:?}");
            assert!(fake.object("/bucket/tier/k").unwrap() == content, "{manners:?}");
            let upload = store.begin(&key("parts"), &info()).await.unwrap();
            upload.put_part(0, 0, Blob::new(content.clone())).await.unwrap();
            assert!(matches!(upload.commit().await, Commit::Done), "{manners:?}");
            assert!(fake.object("/bucket/tier/parts").unwrap() == content, "{manners:?}");
            let sent = [fake.requests(Kind::Put).pop().unwrap(), fake.requests(Kind::Part).pop().unwrap()];
            assert_eq!(!sent[0].header("if-none-match").is_empty(), condition, "{manners:?}");
            for request in sent {
                assert_eq!(!request.header("x-amz-trailer").is_empty(), trailer, "{manners:?}");
                assert_eq!(!request.header("x-amz-checksum-crc32c").is_empty(), header, "{manners:?}");
            }
        });
    }
}

#[test]
fn a_probe_that_failed_is_tried_again_and_its_error_is_the_operations() {
    let fake = Fake::start(Manners::default());
    run(async {
        let store = store(&fake.endpoint(), S3Options::default());
        fake.order(Kind::Put, Reply::Error(403, "AccessDenied"));
        let e = store.learn().await.unwrap_err();
        assert_eq!(e.code(), Code::PermissionDenied);
        assert!(e.message().contains("s3.conditional.writes"), "{e}");
        fake.order(Kind::Put, Reply::Error(503, "SlowDown"));
        assert_eq!(not_done(put(&store, &bytes(1, 10)).await).code(), Code::Throttled);
        store.learn().await.unwrap();
        assert_eq!(fake.counts(), (0, 0));
    });
}

#[test]
fn encryption_that_is_not_echoed_stores_nothing() {
    for sse in [Sse::S3, Sse::Kms { key_id: Some("k1".into()), context: None, bucket_key: None }] {
        let fake = Fake::start(Manners { ignores_encryption: true, ..Manners::default() });
        run(async {
            let store = store(&fake.endpoint(), S3Options { sse, ..known() });
            assert_eq!(code(store.learn().await), Code::InvalidConfig);
            assert_eq!(not_done(put(&store, &bytes(1, 1000)).await).code(), Code::InvalidConfig);
            assert_eq!(code(store.begin(&key("k"), &info()).await.map(drop)), Code::InvalidConfig);
        });
        assert_eq!(fake.counts(), (0, 0));
        let segment = |request: &fake::Request| request.path.ends_with("/k");
        assert!(!fake.requests(Kind::Put).iter().any(segment), "no byte of the segment went out");
    }
}

#[test]
fn encryption_that_ceases_to_be_echoed_is_an_error_and_the_object_is_removed_again() {
    let fake = Fake::start(Manners::default());
    run(async {
        let store = store(&fake.endpoint(), S3Options { sse: Sse::S3, ..known() });
        store.learn().await.unwrap();
        assert!(matches!(put(&store, &bytes(1, 1000)).await, Commit::Done));
        assert_eq!(fake.requests(Kind::Put).pop().unwrap().header("x-amz-server-side-encryption"), "AES256");
        fake.order(Kind::Put, Reply::Without("x-amz-server-side-encryption"));
        let name = Key::new("other").unwrap();
        let answer = store.put(&name, &info(), Blob::new("content")).await;
        assert_eq!(not_done(answer).code(), Code::InvalidConfig);
        // Some say it with the upload, some with each part.
        fake.order(Kind::Begin, Reply::Without("x-amz-server-side-encryption"));
        let upload = store.begin(&name, &info()).await.unwrap();
        assert_eq!(code(upload.put_part(0, 0, Blob::new("content")).await), Code::InvalidConfig);
        assert_eq!(not_done(upload.commit().await).code(), Code::InvalidArgument);
        upload.abort().await.unwrap();
        assert_eq!(fake.counts(), (1, 0));
    });
}

/// Notes what its store says of it.
struct Told(Bytes, AtomicBool);

impl Body for Told {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self) -> ByteStream {
        Blob::new(self.0.clone()).open()
    }

    fn crc32c(&self) -> Option<u32> {
        Blob::new(self.0.clone()).crc32c()
    }

    fn not_kept(&self) {
        self.1.store(true, Relaxed);
    }
}

#[test]
fn who_is_cut_off_while_an_object_is_removed_again_knows_that_it_does_not_count() {
    let fake = Fake::start(Manners::default());
    run(async {
        let store = store(&fake.endpoint(), S3Options { sse: Sse::S3, ..known() });
        store.learn().await.unwrap();
        let before = fake.requests(Kind::Delete).len();
        fake.order(Kind::Put, Reply::Without("x-amz-server-side-encryption"));
        fake.order(Kind::Delete, Reply::Silence);
        let body = Arc::new(Told("content".into(), AtomicBool::new(false)));
        let (key, info) = (key("k"), info());
        tokio::select! {
            answer = store.put(&key, &info, body.clone()) => panic!("{answer:?}"),
            () = async {
                while fake.requests(Kind::Delete).len() == before {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            } => {}
        }
        assert!(body.1.load(Relaxed), "a look would find the object and take it for committed");
    });
}
