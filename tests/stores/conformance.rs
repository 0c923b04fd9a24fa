//! What every store promises, kept by real servers.

use crate::servers::{Server, minio, versitygw};
use seglift::store::{conformance::Place, open};

/// A store below a prefix of a fresh bucket.
fn place(server: &'static Server) -> Place {
    let bucket = server.bucket();
    let store = open(&format!("s3://{bucket}/a/prefix"), &server.options()).unwrap();
    Place { store, rubbish: Box::new(move || rubbish(server, &bucket)) }
}

/// What an operation must not leave: uploads that were begun and not ended, which cost their owner money and show in
/// no listing of objects; and objects that nobody asked for.
fn rubbish(server: &Server, bucket: &str) -> Vec<String> {
    let uploads = server.uploads(bucket).into_iter().map(|key| format!("an upload of {key}"));
    let foreign = |key: &String| !key.starts_with("a/prefix/") || key.contains("/.seglift-");
    uploads.chain(server.keys(bucket).into_iter().filter(foreign)).collect()
}

mod on_versitygw {
    seglift::store_conformance!(|| super::place(super::versitygw()));
}

mod on_minio {
    seglift::store_conformance!(|| super::place(super::minio()));
}
