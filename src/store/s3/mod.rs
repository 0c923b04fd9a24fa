//! S3, and what speaks its language: one bucket, and in it what begins with one prefix.
//!
//! Invariant: an answer that is not exactly what was asked for is an error that says so. Services, proxies and
//! look-alikes ignore ranges, cut listings short and answer in HTML; none of that ever becomes bytes, an empty
//! listing or a missing object.
//!
//! Trade-off: the SDK signs, resolves endpoints and keeps connections, and costs some 60 µs a request for it.
//! Its retries are off, because attempts must not multiply, and so are its checksums of what comes down:
//! readers verify each block against the index.
//!
//! One file for each kind of request; [`errors`] is the only one that knows what a status means.

mod attributes;
mod body;
#[cfg(feature = "testing")]
mod canned;
mod connection;
mod credentials;
mod delete;
mod doctor;
mod errors;
mod exchange;
mod get;
mod hidden;
mod http;
mod list;
mod options;
mod place;
mod probe;
mod put;
mod resume;
mod upload;
mod uploads;
mod xml;

#[cfg(feature = "testing")]
pub use canned::CannedAnswer;
pub use credentials::Provided;
pub use http::HttpClients;
pub use options::{CredentialOptions, Env, Probe, Proxy, Role, S3Options, Sse, Style, complete_uri};
pub use place::{Overrides, Place};

pub(super) use place::FORM;

use super::{
    Arrived, Body, BoxFuture, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage, ObjectStore,
    Removal, Unfinished, Upload, UploadInfo, UploadMark, UploadPage,
};
use crate::error::{Error, Result};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use connection::Connection;
use errors::{Action, At};
use std::sync::{Arc, atomic::AtomicBool};

/// Smallest part of an upload but the last, largest part, most parts.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const MIN_PART: u64 = 5 << 20;
const MAX_PART: u64 = 5 << 30;
const MAX_PARTS: u32 = 10_000;

/// A store in a bucket. Opening one does nothing on the network; its first request does.
#[derive(Debug)]
pub struct S3Store {
    place: Place,
    options: S3Options,
    connection: Arc<Connection>,
    uri: String,
    attributes: Arc<attributes::Attributes>,
    abilities: probe::Shared,
    refuses_part_checksums: AtomicBool,
    learnt: Learnt,
}

/// What a store was found not to do; asked once, then remembered for the store's life.
#[derive(Debug, Default)]
struct Learnt {
    get: get::Learnt,
    delete: delete::Learnt,
}

impl S3Store {
    /// The store at `place` with the settings of `env`. `INVALID_CONFIG` where they contradict each other.
    pub fn open(place: Place, env: &Env) -> Result<S3Store> {
        let connection = Connection::new(&place, env)?;
        let uri = place.uri((!connection.is_amazon()).then(|| connection.endpoint()));
        let options = connection.options().clone();
        let connection = Arc::new(connection);
        let attributes = Arc::new(attributes::Attributes::new(&options, connection.sse())?);
        let abilities = probe::shared(&connection, &place.bucket, &options, &attributes);
        Ok(S3Store {
            place,
            options,
            connection,
            uri,
            attributes,
            abilities,
            refuses_part_checksums: AtomicBool::new(false),
            learnt: Learnt::default(),
        })
    }

    /// What a request was about, for messages.
    fn at<'a>(&'a self, key: Option<&'a Key>) -> At<'a> {
        At { bucket: &self.place.bucket, endpoint: self.connection.endpoint(), key: key.map(Key::as_str) }
    }

    /// The error of a request that failed.
    fn error<E>(&self, action: Action, key: Option<&Key>, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.connection.heard(errors::from_sdk(action, &self.at(key), error))
    }
}

impl ObjectStore for S3Store {
    fn uri(&self) -> &str {
        &self.uri
    }

    fn capabilities(&self) -> Capabilities {
        // Before the store was asked the driver is careful.
        let atomic_create = self.abilities.get().is_some_and(|abilities| abilities.conditional.honoured());
        Capabilities {
            atomic_create,
            min_part: MIN_PART,
            max_part: MAX_PART,
            max_parts: MAX_PARTS,
            // "For multipart uploads, the object creation date is the date of initiation of the multipart upload"
            // (https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html). Of its look-alikes some date the
            // commit; being careful there costs nothing but time.
            dates_by_begin: true,
        }
    }

    fn learn(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { self.abilities().await.map(drop) })
    }

    fn put<'a>(&'a self, key: &'a Key, info: &'a UploadInfo, body: Arc<dyn Body>) -> BoxFuture<'a, Commit> {
        Box::pin(self.put_object(key, info, body))
    }

    fn begin<'a>(&'a self, key: &'a Key, info: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>> {
        Box::pin(self.begin_upload(key, info))
    }

    fn resume<'a>(
        &'a self,
        key: &'a Key,
        _: &'a UploadInfo,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Upload>>>> {
        Box::pin(self.resume_upload(key, id))
    }

    fn get<'a>(&'a self, key: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>> {
        Box::pin(self.get_object(key, range))
    }

    fn head<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Entry>> {
        Box::pin(self.head_object(key))
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
        Box::pin(self.delete_objects(keys))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        max: usize,
    ) -> BoxFuture<'a, Result<ListPage>> {
        Box::pin(self.list_objects(prefix, after, max))
    }

    fn confirm<'a>(&'a self, key: &'a Key, ours: Option<&'a str>) -> BoxFuture<'a, Commit> {
        Box::pin(self.confirm_object(key, ours))
    }

    fn now(&self) -> BoxFuture<'_, Result<i64>> {
        Box::pin(self.store_time())
    }

    fn uploads<'a>(
        &'a self,
        _: &'a str,
        after: Option<&'a UploadMark>,
        max: usize,
    ) -> BoxFuture<'a, Result<UploadPage>> {
        Box::pin(self.list_uploads(after, max))
    }

    fn arrived<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<Option<Arrived>>> {
        Box::pin(self.parts_arrived(upload))
    }

    fn abort_upload<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.abort_unfinished(upload))
    }

    fn delete_unchanged<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<Removal>> {
        Box::pin(self.delete_object_unchanged(entry))
    }
}
