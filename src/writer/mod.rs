//! The way in: from a sealed segment, or records pushed one by one, to one object in a store.
//!
//! ```text
//!  offload ──► source ──► streamed ───────────────┐        (codec none: parts are read as they are sent)
//!      └─────► source ──► encode ──► outlet ──────┤──► upload ──► commit ──► receipt
//!  writer ──────────────► encode ──► outlet ──────┘        (zstd, or pushed: parts lie in memory)
//! ```
//!
//! Invariant: an offload ends as committed (a receipt), not committed (an error), or `OUTCOME_UNKNOWN`; before the
//! commit nothing is visible under the key, and an object is never overwritten. `commit` holds the whole of that
//! promise, `upload` the other half: what is certainly not committed is removed.
//!
//! Trade-off: zstd is run by one thread for each segment, since brokers offload several segments at once and
//! parts must come in order; a segment without a codec is read by as many as there are parts under way.

mod commit;
mod encode;
mod finish;
mod learn;
mod offload;
mod open;
mod outlet;
mod parts;
mod plan;
mod resume;
mod seal;
mod segment;
mod source;
mod stream;
mod streamed;
mod upload;

pub use segment::{
    Attachment, AttachmentData, Digest, Finish, IfExists, Receipt, Segment, Source, WriterOptions,
};
pub use stream::{OnWritable, Record, Writer};

use self::{
    commit::{Commitment, Pending, Settled, unknown},
    learn::learn,
    seal::About,
    upload::{Ended, Target},
};
use crate::{
    clock::SystemClock,
    codec::Codec,
    config::{CodecName, Settings},
    engine::{Defaults, Engine, Op, Scope},
    error::{Code, Error, Result},
    metrics::{Form, Work},
    object::{Metadata, Mode, ObjectId, Tail},
    store::{BoxFuture, Key, ObjectStore, UploadInfo},
};
use parking_lot::Mutex;
use std::{collections::HashSet, sync::Arc};

/// What all offloads and writers of a driver share.
pub(crate) struct Context {
    /// Where objects go.
    pub store: Arc<dyn ObjectStore>,
    /// Names the store in tokens.
    pub fingerprint: u64,
    /// Threads, memory, operations.
    pub engine: Engine,
    /// What ends when the driver is closed.
    pub scope: Scope,
    /// The driver's settings.
    pub settings: Arc<Settings>,
    /// `block.size` if the host set it; else it follows from each segment's codec.
    pub block_size: Option<u32>,
    /// The time that objects carry.
    pub clock: SystemClock,
}

/// Offloads a segment and returns its receipt.
pub(crate) async fn offload(ctx: Arc<Context>, op: Op, segment: Segment) -> Result<Receipt> {
    // As the operation shows it: a key that is none may hold anything, at any length.
    let what = op.what().to_owned();
    offload::offload(ctx, op, segment).await.map_err(|e| about("offload", &what, e))
}

/// The error with what it happened to in front, unless it says so already (what an operation's guard says does).
fn about(doing: &str, what: &str, e: Error) -> Error {
    let subject = format!("{doing} of {what}");
    if e.message().starts_with(&subject) { e } else { e.context(subject) }
}

impl Context {
    /// The limits of an offload, and of a call of a writer, that names none.
    pub fn limits(&self) -> Defaults {
        Defaults { deadline: Some(self.settings.deadline_offload), stall: Some(self.settings.stall) }
    }

    /// The limits of a writer itself, unless its host sets others: it lives as long as its host pushes, but its parts
    /// must move.
    fn writer_limits(&self) -> Defaults {
        Defaults { deadline: None, stall: Some(self.settings.stall) }
    }

    fn codec(&self) -> Codec {
        match self.settings.codec {
            CodecName::None => Codec::None,
            CodecName::Zstd => Codec::Zstd,
        }
    }

    /// Raw bytes of a block, as set, or as the codec wants it.
    fn block_size(&self, codec: Codec) -> u32 {
        self.block_size.unwrap_or(codec.default_block_size())
    }

    fn about(&self, id: ObjectId, mode: Mode, codec: Codec, metadata: Metadata) -> About {
        About {
            id,
            clock: self.clock.clone(),
            owner: self.settings.owner.clone(),
            metadata,
            mode,
            codec,
            zstd_level: self.settings.codec_zstd_level,
            block_size: self.block_size(codec),
        }
    }

    fn info(&self, id: ObjectId, codec: Codec, segment_len: Option<u64>) -> UploadInfo {
        let mut user = vec![("codec", codec.name().to_owned())];
        user.extend(segment_len.map(|len| ("segment_bytes", len.to_string())));
        UploadInfo { owner: self.settings.owner.clone(), uuid: id.to_string(), user }
    }

    /// Commits what was sent, settles the outcome, and removes what is certainly not committed.
    async fn commit<'a>(
        &self,
        op: &Op,
        target: &'a Target,
        id: ObjectId,
        pending: Pending,
        if_exists: IfExists,
        tail: &'a (dyn Fn() -> BoxFuture<'a, Result<Tail>> + Sync),
    ) -> Result<Receipt, Ended> {
        if let Err(e) = learn(op, &*self.store).await {
            return Err(target.end(pending, e.into()).await);
        }
        self.warn_of_overwriting();
        let commitment = Commitment {
            store: target.store.as_ref(),
            key: &target.key,
            info: &target.info,
            id,
            resumes: target.resume.is_some(),
            if_exists,
            tail,
            patience: self.settings.retry_time_max,
        };
        match commitment.settle(op, &pending).await {
            Ok(Settled::Committed) => {
                // Whatever fails now, "not committed" would be wrong.
                let tail = tail().await.map_err(|e| unknown(&target.key, e))?;
                let mut receipt = self.receipt(&target.key, &tail, false);
                receipt.resumed_bytes = target.resumed_bytes();
                if target.resume.is_some() {
                    // The object can be that of an earlier attempt's upload, and this one a second. The store knows, and
                    // refuses to abort what was committed.
                    target.abort_and_settle(pending).await;
                }
                let moved = self.engine.metrics().segment_bytes.of(Work::Offload);
                moved.of(Form::Raw).add(receipt.segment_bytes);
                moved.of(Form::Stored).add(receipt.object_bytes);
                self.engine.metrics().upload_resumed_bytes.add(receipt.resumed_bytes);
                Ok(receipt)
            }
            Ok(Settled::Existed(there)) => {
                target.abort_and_settle(pending).await;
                Ok(self.receipt(&target.key, &there, true))
            }
            Err(Ended::Failed(e)) if e.code() == Code::OutcomeUnknown => Err(Ended::Failed(e)),
            Err(ended) => Err(target.end(pending, ended).await),
        }
    }

    /// One line for each store in an engine that cannot create an object only where its key is free.
    fn warn_of_overwriting(&self) {
        #[derive(Default)]
        struct Warned(Mutex<HashSet<String>>);

        if self.store.capabilities().atomic_create {
            return;
        }
        let warned = self.engine.extension(|_| Warned::default());
        let uri = self.store.uri();
        if warned.0.lock().insert(uri.to_owned()) {
            self.engine.log().warn(
                "writer",
                "the store does not honour If-None-Match: two offloads of one key at the same moment may replace each \
                 other's object; put an attempt's UUID into each key",
                &[("store", &uri)],
            );
        }
    }

    fn receipt(&self, key: &Key, tail: &Tail, existed: bool) -> Receipt {
        Receipt {
            key: key.to_string(),
            object_id: tail.id(),
            segment_bytes: tail.segment_len(),
            object_bytes: tail.object_len(),
            crc64nvme: tail.content().crc64,
            blocks: tail.block_count().into(),
            records: tail.records().map_or(0, |span| span.count),
            codec: tail.codec(),
            mode: tail.mode(),
            existed,
            atomic_create: self.store.capabilities().atomic_create,
            resumed_bytes: 0,
            token: tail.token(self.fingerprint).encode().to_vec(),
        }
    }
}
