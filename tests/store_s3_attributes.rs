//! What an object carries beside its bytes goes out with the request that makes it, and a customer's key with each
//! that needs it: what no store of the tests shows in full, a service in this process notes.

use seglift::{
    config::{S3Probe as Probe, Secret},
    store::{
        Commit, ObjectStore, OpenOptions, UploadInfo,
        conformance::{Blob, key},
        open,
        s3::{Env, S3Options, Sse},
    },
};
use std::sync::Arc;

#[allow(dead_code, reason = "this program uses a part of it")]
#[path = "s3_support/fake.rs"]
mod fake;

use fake::{Fake, Kind, Manners, Request};

/// Base64 of 32 bytes, and of their MD5.
const KEY: (&str, &str) = ("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=", "SwCM2niGlrnyZZJoLNwn/Q==");

fn store(fake: &Fake, options: S3Options) -> Arc<dyn ObjectStore> {
    let (trailers, conditional_writes) = (Probe::On, Probe::On);
    let mut s3 = S3Options { endpoint: Some(fake.endpoint()), trailers, conditional_writes, ..options };
    s3.credentials.fixed = Some((Secret::new("access"), Secret::new("secret")));
    let options = OpenOptions { s3: Env { options: s3, ..Env::default() }, ..OpenOptions::default() };
    open("s3://bucket/tier", &options).unwrap()
}

/// Writes one object with one request and one in parts.
fn write(store: &Arc<dyn ObjectStore>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let info = UploadInfo::default();
        let put = store.put(&key("small"), &info, Blob::new("content")).await;
        assert!(matches!(put, Commit::Done), "{put:?}");
        let upload = store.begin(&key("large"), &info).await.unwrap();
        upload.put_part(0, 0, Blob::new("content")).await.unwrap();
        let commit = upload.commit().await;
        assert!(matches!(commit, Commit::Done), "{commit:?}");
    });
}

/// The requests of a kind, the probe's left out.
fn of(fake: &Fake, kind: Kind) -> Vec<Request> {
    let mut requests = fake.requests(kind);
    requests.retain(|request| !request.path.contains(".seglift-probe-"));
    assert_eq!(requests.len(), 1, "{kind:?}");
    requests
}

#[track_caller]
fn carry(requests: &[Request], headers: &[(&str, &str)]) {
    for request in requests {
        for (name, value) in headers {
            assert_eq!(request.header(name), *value, "{name} of {:?}", request.kind);
            let signed = value.is_empty() || request.header("authorization").contains(name);
            assert!(signed, "{name} of {:?} is not signed", request.kind);
        }
    }
}

#[test]
fn storage_class_tags_and_acl_go_with_the_request_that_makes_the_object() {
    let fake = Fake::start(Manners::default());
    let options = S3Options {
        storage_class: Some("STANDARD_IA".into()),
        acl: Some("bucket-owner-full-control".into()),
        tags: vec![("team".into(), "logs".into()), ("cost centre".into(), "a=b".into())],
        ..S3Options::default()
    };
    write(&store(&fake, options));
    let carried = [
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-acl", "bucket-owner-full-control"),
        ("x-amz-tagging", "team=logs&cost%20centre=a%3Db"),
        ("x-amz-server-side-encryption", ""),
    ];
    carry(&of(&fake, Kind::Put), &carried);
    carry(&of(&fake, Kind::Begin), &carried);
    let none = carried.map(|(name, _)| (name, ""));
    carry(&of(&fake, Kind::Part), &none);
    carry(&of(&fake, Kind::Commit), &none);
}

#[test]
fn a_kms_key_goes_with_its_context_in_base64_and_the_bucket_key() {
    let fake = Fake::start(Manners::default());
    let sse = Sse::Kms {
        key_id: Some("alias/tier".into()),
        context: Some(r#"{"tenant":"a"}"#.into()),
        bucket_key: Some(true),
    };
    write(&store(&fake, S3Options { sse, ..S3Options::default() }));
    let begin = "x-amz-server-side-encryption";
    let names = ["", "-aws-kms-key-id", "-context", "-bucket-key-enabled"].map(|end| format!("{begin}{end}"));
    let values = ["aws:kms", "alias/tier", "eyJ0ZW5hbnQiOiJhIn0=", "true"];
    let carried: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
    carry(&of(&fake, Kind::Put), &carried);
    carry(&of(&fake, Kind::Begin), &carried);
    let none: Vec<_> = carried.iter().map(|(name, _)| (*name, "")).collect();
    carry(&of(&fake, Kind::Part), &none);
    carry(&of(&fake, Kind::Commit), &none);
}

#[test]
fn a_customers_key_goes_with_the_object_with_each_part_and_with_the_commit() {
    let fake = Fake::start(Manners::default());
    let sse = Sse::Customer { key: Secret::new(KEY.0) };
    write(&store(&fake, S3Options { sse, ..S3Options::default() }));
    let begin = "x-amz-server-side-encryption-customer";
    let names = ["-algorithm", "-key", "-key-md5"].map(|end| format!("{begin}{end}"));
    let carried: Vec<_> = names.iter().map(String::as_str).zip(["AES256", KEY.0, KEY.1]).collect();
    for kind in [Kind::Put, Kind::Begin, Kind::Part, Kind::Commit] {
        carry(&of(&fake, kind), &carried);
    }
}

#[test]
fn encryption_with_the_stores_keys_is_asked_for_when_the_object_is_made() {
    for (sse, value) in [(Sse::S3, "AES256"), (Sse::Auto, ""), (Sse::Off, "")] {
        let fake = Fake::start(Manners::default());
        write(&store(&fake, S3Options { sse, ..S3Options::default() }));
        let carried = [("x-amz-server-side-encryption", value)];
        carry(&of(&fake, Kind::Put), &carried);
        carry(&of(&fake, Kind::Begin), &carried);
    }
}
