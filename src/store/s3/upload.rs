//! Uploads in parts.
//!
//! Invariant: from the moment a commit goes out until its answer is certain, the upload is neither aborted nor
//! added to. A part counts only when the store has answered its last attempt well, with an ETag and, where it
//! shows a checksum, with ours.
//!
//! Trade-off: dropping an upload sends nothing. What it left at the store is found by reap, or by the bucket's
//! lifecycle rule; the writer aborts what it gives up.

use super::{
    S3Store,
    attributes::{Attributes, echo},
    body::{Handed, Integrity, Prepared, header_value},
    connection::Connection,
    errors::{self, Action, At},
    exchange::Exchange,
    probe::Conditional,
    put::{Failed, outcome},
    resume::There,
};
use crate::{
    error::{Code, Error, Result},
    store::{
        Body, BoxFuture, Commit, Key, Upload, UploadInfo,
        parts::{Parts, ended, too_late_to_abort},
    },
};
use aws_sdk_s3::{
    operation::create_multipart_upload::CreateMultipartUploadOutput,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long a commit may take to answer, where attempts may take less: S3 puts thousands of parts together
/// before it answers, which takes minutes, and sends spaces meanwhile that the SDK does not show.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>
const COMMIT_TIME: Duration = Duration::from_secs(300);
/// How often an abort is repeated while attempts at parts may still be under way, and the pause between: a part
/// that arrives during an abort can stay, and be paid for.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html>
const ABORTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

impl S3Store {
    /// `CreateMultipartUpload`.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html>
    pub(super) async fn begin_upload(&self, key: &Key, info: &UploadInfo) -> Result<Box<dyn Upload>> {
        let abilities = self.abilities().await?;
        let mut integrity = abilities.integrity;
        if self.refuses_part_checksums.load(Relaxed) {
            integrity = Integrity::Nothing;
        }
        let mut begun = self.begin_once(key, info, integrity).await;
        // Stores whose abilities had to be asked may take checksums of objects and none of parts.
        if integrity != Integrity::Nothing
            && !self.connection.is_amazon()
            && begun.as_ref().is_err_and(|e| matches!(e.http_status(), 400 | 501))
        {
            begun = self.begin_once(key, info, Integrity::Nothing).await;
            if begun.is_ok() {
                integrity = Integrity::Nothing;
                self.refuses_part_checksums.store(true, Relaxed);
            }
        }
        let begun = begun?;
        let id = begun.upload_id().filter(|id| !id.is_empty()).ok_or_else(|| {
            errors::odd_answer(Action::Begin, &self.at(Some(key)), "names no upload; is the endpoint right?")
        })?;
        let shown = self.attributes.check_echo(echo!(begun)).is_ok();
        let upload = self.upload(key, id, abilities.conditional, integrity, shown);
        let silent = begun.server_side_encryption().is_none() && begun.sse_customer_key_md5().is_none();
        if !silent && let Err(e) = self.attributes.check_echo(echo!(begun)) {
            let _ = upload.abort().await;
            return Err(e);
        }
        Ok(Box::new(upload))
    }

    /// An upload that the store knows by `id`, and of which nothing counts yet.
    pub(super) fn upload(
        &self,
        key: &Key,
        id: &str,
        conditional: Conditional,
        integrity: Integrity,
        encryption_shown: bool,
    ) -> S3Upload {
        S3Upload {
            connection: self.connection.clone(),
            bucket: self.place.bucket.clone(),
            object_key: self.place.object_key(key),
            key: key.clone(),
            id: id.to_owned(),
            attributes: self.attributes.clone(),
            limit: self.options.attempt_timeout,
            signed: self.options.payload_signing,
            integrity,
            encryption_shown,
            part_shows_encryption: AtomicBool::new(false),
            conditional,
            loose: AtomicUsize::new(0),
            there: HashMap::new(),
            state: Mutex::default(),
        }
    }

    async fn begin_once(
        &self,
        key: &Key,
        info: &UploadInfo,
        integrity: Integrity,
    ) -> Result<CreateMultipartUploadOutput> {
        // The type is left to its default: for CRC32C that is COMPOSITE, a checksum of the parts' checksums.
        let checksums = (integrity != Integrity::Nothing).then_some(ChecksumAlgorithm::Crc32C);
        let request = self.connection.client().await?.create_multipart_upload();
        let request = request
            .bucket(&self.place.bucket)
            .key(self.place.object_key(key))
            .set_checksum_algorithm(checksums);
        let exchange = Exchange::new(false);
        let request = self.attributes.on_begin(request, info).customize().interceptor(exchange.clone());
        self.answer(Action::Begin, Some(key), &exchange, request.send()).await
    }
}

/// An upload that the store knows by its id.
pub(super) struct S3Upload {
    connection: Arc<Connection>,
    bucket: String,
    object_key: String,
    pub(super) key: Key,
    pub(super) id: String,
    pub(super) attributes: Arc<Attributes>,
    limit: Duration,
    signed: bool,
    pub(super) integrity: Integrity,
    /// Its begin showed the encryption that was asked for. MinIO says nothing then, and shows it with each part.
    pub(super) encryption_shown: bool,
    pub(super) part_shows_encryption: AtomicBool,
    conditional: Conditional,
    /// Attempts at parts that began and whose answer did not come: they may still arrive.
    loose: AtomicUsize,
    /// A resumed upload's parts by number, as the store lists them; none counts before it was compared.
    pub(super) there: HashMap<u32, There>,
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    stage: Stage,
    pub(super) parts: Parts<Stored>,
}

/// A part, as the store knows it.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) etag: String,
    pub(super) crc32c: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// A commit went out and its result is not known.
    Sent,
    Done,
    Exists,
    Aborted,
}

impl S3Upload {
    fn at(&self) -> At<'_> {
        At { bucket: &self.bucket, endpoint: self.connection.endpoint(), key: Some(self.key.as_str()) }
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html>
    async fn send_part(&self, number: u32, offset: u64, body: Arc<dyn Body>) -> Result<()> {
        let wrong = || Error::new(Code::InvalidArgument, format!("S3 has no part {number}; it takes 10,000"));
        let s3_number = i32::try_from(u64::from(number) + 1).map_err(|_| wrong())?;
        {
            let mut state = self.state.lock();
            if state.stage != Stage::Open {
                return Err(ended(&self.key));
            }
            state.parts.forget(number);
        }
        let len = body.len();
        let Prepared { body: bytes, header, payload, sending } =
            Prepared::new(&self.key, body.clone(), self.integrity, self.signed).await?;
        let request = self.connection.client().await?;
        let request = request
            .upload_part()
            .bucket(&self.bucket)
            .key(&self.object_key)
            .upload_id(&self.id)
            .part_number(s3_number)
            .set_checksum_crc32_c(header)
            .body(bytes);
        let request = self.attributes.on_part(request).customize();
        let request = request.interceptor(payload).interceptor(sending.exchange());
        let loose = Loose::new(&self.loose);
        let answer = sending.guard(self.limit, request.send()).await;
        if answer.as_ref().is_some_and(answered) {
            loose.tied();
        }
        let answer = outcome(&self.connection, answer, &sending, Action::Part, &self.at(), self.limit);
        let output = answer.map_err(|failed: Failed| failed.error)?;
        if !self.encryption_shown {
            self.attributes.check_echo(echo!(output))?;
            self.part_shows_encryption.store(true, Relaxed);
        }
        let odd = |why| errors::odd_answer(Action::Part, &self.at(), why);
        let etag = output.e_tag().filter(|etag| !etag.is_empty()).ok_or_else(|| odd("has no ETag"))?;
        let ours = match self.integrity {
            Integrity::Nothing => None,
            Integrity::Trailer | Integrity::Header => body.crc32c().map(header_value),
        };
        if let (Some(theirs), Some(ours)) = (output.checksum_crc32_c(), &ours)
            && theirs != ours
        {
            return Err(odd("has another checksum than the bytes sent"));
        }
        let mut state = self.state.lock();
        if state.stage == Stage::Open {
            let stored = Stored { etag: etag.to_owned(), crc32c: ours };
            state.parts.arrived(number, offset, len, stored);
        }
        Ok(())
    }

    /// What a commit sends, or how it ends without being sent. `true`: an earlier one may have been done.
    fn start_commit(&self) -> Result<(CompletedMultipartUpload, bool), Commit> {
        let mut state = self.state.lock();
        match state.stage {
            Stage::Open | Stage::Sent => {}
            Stage::Done => return Err(Commit::Done),
            Stage::Exists => return Err(Commit::Exists),
            Stage::Aborted => return Err(Commit::NotDone(ended(&self.key))),
        }
        state.parts.total(&self.key).map_err(Commit::NotDone)?;
        let parts = (1..).zip(state.parts.contents()).map(|(number, stored)| {
            CompletedPart::builder()
                .part_number(number)
                .e_tag(&stored.etag)
                .set_checksum_crc32_c(stored.crc32c.clone())
                .build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        // Before it is sent: whoever drops the commit does not know how it ended either.
        let again = std::mem::replace(&mut state.stage, Stage::Sent) == Stage::Sent;
        Ok((parts, again))
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>
    async fn send_commit(&self) -> Commit {
        let client = match self.connection.client().await {
            Ok(client) => client,
            Err(e) => return Commit::NotDone(e),
        };
        let (parts, again) = match self.start_commit() {
            Ok(start) => start,
            Err(ended) => return ended,
        };
        let request = client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(&self.object_key)
            .upload_id(&self.id)
            .set_if_none_match(self.conditional.sends_condition().then(|| "*".to_owned()))
            .multipart_upload(parts);
        let (exchange, handed) = (Exchange::new(false), Handed::default());
        let request = self.attributes.on_commit(request).customize();
        let request = request.interceptor(exchange.clone()).interceptor(handed.clone());
        let limit = self.limit.max(COMMIT_TIME);
        let error = match exchange
            .guard(limit, pause_during!(CommitInside, handed.get(), request.send()))
            .await
        {
            // Services begin with a 200 and may break off behind it.
            Some(Ok(output)) if exchange.well_formed() && output.e_tag().is_some() => {
                return self.end_commit(Stage::Done, Commit::Done);
            }
            Some(Ok(_)) => errors::odd_answer(Action::Commit, &self.at(), "is not the whole XML of its kind"),
            Some(Err(e)) => self.connection.heard(errors::from_sdk(Action::Commit, &self.at(), e)),
            None => errors::stalled(Action::Commit, &self.at(), limit),
        };
        let gone = error.service_code() == "NoSuchUpload";
        match (Failed { error, drained: handed.get() }).fate() {
            Commit::Exists => self.end_commit(Stage::Exists, Commit::Exists),
            // Some stores answer so when an earlier commit was done.
            Commit::NotDone(e) if gone && again => Commit::Unknown(e),
            Commit::NotDone(e) if !again => self.end_commit(Stage::Open, Commit::NotDone(e)),
            other => other,
        }
    }

    fn end_commit(&self, stage: Stage, answer: Commit) -> Commit {
        self.state.lock().stage = stage;
        answer
    }

    async fn remove(&self) -> Result<()> {
        {
            let mut state = self.state.lock();
            match state.stage {
                Stage::Sent | Stage::Done => return Err(too_late_to_abort(&self.key)),
                // The answer to another commit stays.
                Stage::Exists => {}
                Stage::Open | Stage::Aborted => state.stage = Stage::Aborted,
            }
        }
        for attempt in 1.. {
            if !self.abort_once().await? || attempt == ABORTS || self.loose.load(Relaxed) == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Whether there was anything to abort.
    async fn abort_once(&self) -> Result<bool> {
        let request = self.connection.client().await?.abort_multipart_upload();
        let request = request.bucket(&self.bucket).key(&self.object_key).upload_id(&self.id);
        let exchange = Exchange::new(false);
        let request = request.customize().interceptor(exchange.clone());
        match exchange.guard(self.limit, request.send()).await {
            Some(Ok(_)) => Ok(true),
            None => Err(errors::stalled(Action::Abort, &self.at(), self.limit)),
            Some(Err(e)) => match self.connection.heard(errors::from_sdk(Action::Abort, &self.at(), e)) {
                gone if gone.service_code() == "NoSuchUpload" => Ok(false),
                e => Err(e),
            },
        }
    }
}

/// Whether the store answered at all, well or not.
fn answered<T, E>(answer: &Result<T, SdkError<E, HttpResponse>>) -> bool {
    answer.as_ref().err().is_none_or(|e| e.raw_response().is_some())
}

/// An attempt at a part whose answer has not come.
struct Loose<'a>(&'a AtomicUsize);

impl<'a> Loose<'a> {
    fn new(count: &'a AtomicUsize) -> Loose<'a> {
        count.fetch_add(1, Relaxed);
        Loose(count)
    }

    /// It has. Dropped without, the attempt stays counted.
    fn tied(self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Upload for S3Upload {
    fn put_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.send_part(number, offset, body))
    }

    fn commit<'a>(&'a self) -> BoxFuture<'a, Commit> {
        Box::pin(self.send_commit())
    }

    fn abort<'a>(&'a self) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.remove())
    }

    fn id(&self) -> Option<String> {
        Some(self.resume_id())
    }

    fn has_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.compare_part(number, offset, body))
    }
}
