//! What every store promises, kept by real servers.

use crate::servers::{Server, minio, versitygw};
use seglift::store::{ObjectStore, conformance::Place, open};
use std::sync::Arc;

/// A store below a prefix of a fresh bucket.
fn store(server: &Server) -> (String, Arc<dyn ObjectStore>) {
    let bucket = server.bucket();
    let store = open(&format!("s3://{bucket}/a/prefix"), &server.options()).unwrap();
    (bucket, store)
}

fn place(server: &'static Server) -> Place {
    let (bucket, store) = store(server);
    Place { store, rubbish: Box::new(move || rubbish(server, &bucket)) }
}

/// What an operation must not leave: objects that nobody asked for, and uploads that were begun and not ended, which
/// cost their owner money and show in no listing of objects.
fn rubbish(server: &Server, bucket: &str) -> Vec<String> {
    let uploads = server.uploads(bucket).into_iter().map(|key| format!("an upload of {key}"));
    uploads.chain(foreign(server, bucket)).collect()
}

fn foreign(server: &Server, bucket: &str) -> Vec<String> {
    let mut keys = server.keys(bucket);
    keys.retain(|key| !key.starts_with("a/prefix/") || key.contains("/.seglift-"));
    keys
}

/// Nobody ends an upload whose client is gone; it waits for a `reap`, and for the bucket's lifecycle rule.
fn place_that_counts_no_uploads(server: &'static Server) -> Place {
    let (bucket, store) = store(server);
    Place { store, rubbish: Box::new(move || foreign(server, &bucket)) }
}

mod on_versitygw {
    use super::*;
    seglift::store_conformance!(|| place(versitygw()); of S3);
    seglift::store_conformance!(@ || place_that_counts_no_uploads(versitygw()), dropped_uploads_and_puts_leave_nothing);
}

mod on_minio {
    use super::*;
    seglift::store_conformance!(|| place(minio()); of S3);
    seglift::store_conformance!(@ || place_that_counts_no_uploads(minio()), dropped_uploads_and_puts_leave_nothing);
}
