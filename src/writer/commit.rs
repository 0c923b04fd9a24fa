//! The commit: from "everything is sent" to one of three answers.
//!
//! ```text
//!            send the commit
//!   Done ──────────► committed
//!   Exists ────────► look: ours ► committed   same content ► success, existed   other ► ALREADY_EXISTS
//!   NotDone ───────► first answer: not committed (the upload gone: look, begun again; the look fails ► OUTCOME_UNKNOWN).
//!                    After an unknown one: as that
//!   Unknown ───────► look: ours ► committed   other ► as above   nothing ► send it again
//!   no answer within the stall limit ► as unknown
//!   deadline, or errors of the store for retry.time.max ► OUTCOME_UNKNOWN
//! ```
//!
//! What a look has shown and no answer has is confirmed before there is a receipt ([`ObjectStore::confirm`]): that it
//! lasts, and is encrypted as was demanded.
//!
//! That an object is not there does not show that a request whose answer was lost will not create it yet: it may
//! still be on its way. So what was unknown once ends as committed or as `OUTCOME_UNKNOWN`.
//!
//! Invariant: once a commit may have reached the store, nothing aborts or undoes it, and only what a look at
//! the object shows counts: its UUID, not a guess from an error. A cancel that comes later is ignored here:
//! it means settle, not undo. Sending a commit again is harmless, because it creates only if the key is free
//! and what it creates carries our UUID.

use super::{segment::IfExists, upload::Ended};
use crate::{
    engine::Op,
    error::{Code, Error, Result},
    object::{AttachmentEntry, ContentIdentity, LEAST_SUFFIX, Located, Mode, ObjectId, Tail, locate_tail},
    store::{Body, BoxFuture, Commit, GetRange, Key, ObjectStore, Upload, UploadInfo},
};
use futures_util::StreamExt;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// First and longest pause between two attempts to settle.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// How often an object that cannot be read is read, and how often it is looked at where it may be ours: what three reads
/// find damaged stays so.
const UNREADABLE: u32 = 3;
/// A first look at an object's end: nearly always all of its tail.
const LOOK: u64 = 64 << 10;
const _: () = assert!(LOOK as usize >= LEAST_SUFFIX);

/// What is ready to be committed.
pub(super) enum Pending {
    /// The whole object in one request.
    Put(Arc<Watched>),
    /// Parts that the store has.
    Upload(Box<dyn Upload>),
}

/// How a commit ended well.
#[derive(Debug)]
pub(super) enum Settled {
    /// Our object is there.
    Committed,
    /// The same content was there already: the tail of what is there.
    Existed(Box<Tail>),
}

/// What is to be committed, where.
pub(super) struct Commitment<'a> {
    pub store: &'a dyn ObjectStore,
    pub key: &'a Key,
    pub info: &'a UploadInfo,
    /// Our object's tail; asked for only when another object must be compared.
    pub tail: &'a (dyn Fn() -> BoxFuture<'a, Result<Tail>> + Sync),
    pub id: ObjectId,
    /// An earlier process may have sent a commit of the same id, of a source that has changed since.
    pub resumes: bool,
    pub if_exists: IfExists,
    /// How long a store may answer with errors, and looks show nothing, before that is the answer.
    pub patience: Duration,
}

/// A body that notes when its last byte was handed to the store: before that nothing can be committed, nor after the
/// store has said that it kept nothing, until it is sent again.
pub(super) struct Watched {
    body: Arc<dyn Body>,
    drained: Arc<AtomicBool>,
}

impl Watched {
    pub fn new(body: Arc<dyn Body>) -> Arc<Watched> {
        Arc::new(Watched { body, drained: Arc::default() })
    }

    fn drained(&self) -> bool {
        self.drained.load(Ordering::Acquire)
    }
}

impl Body for Watched {
    fn len(&self) -> u64 {
        self.body.len()
    }

    fn open(&self) -> crate::store::ByteStream {
        let (drained, mut left) = (self.drained.clone(), self.body.len());
        if left == 0 {
            drained.store(true, Ordering::Release);
        }
        pause_within!(PutInside, self.body.open())
            .inspect(move |piece| {
                if let Ok(piece) = piece {
                    left = left.saturating_sub(piece.len() as u64);
                    if left == 0 {
                        drained.store(true, Ordering::Release);
                    }
                }
            })
            .boxed()
    }

    fn crc32c(&self) -> Option<u32> {
        self.body.crc32c()
    }

    fn not_kept(&self) {
        self.drained.store(false, Ordering::Release);
    }
}

impl Commitment<'_> {
    /// Commits and settles, at a store that has learnt what it can do. An error other than `OUTCOME_UNKNOWN` means: certainly not committed.
    pub async fn settle(&self, op: &Op, pending: &Pending) -> Result<Settled, Ended> {
        if !self.store.capabilities().atomic_create {
            op.stage("look before the commit");
            if let Some(there) = op.guard(look(self.store, self.key)).await? {
                let taken = self.taken(op, there, false).await?;
                // It may be ours, of an earlier attempt.
                op.commit_sent();
                return Ok(taken);
            }
        }
        op.stage("commit");
        op.commit_sent();
        let settled = self.settle_sent(op, pending).await;
        // What is committed stays so for whatever cuts the operation off behind this.
        let not_committed = match &settled {
            Ok(_) => false,
            Err(Ended::Failed(e)) => e.code() != Code::OutcomeUnknown,
            Err(Ended::Gone(_)) => true,
        };
        if not_committed {
            op.commit_settled();
        }
        settled
    }

    async fn settle_sent(&self, op: &Op, pending: &Pending) -> Result<Settled, Ended> {
        let mut uncertain: Option<Error> = None;
        let (mut pause, mut unreadable) = (PAUSE.0, 0);
        // Since when the store has given no other answer than errors.
        let mut failing: Option<Instant> = None;
        loop {
            let answer = match self.send(op, pending, uncertain.is_some()).await {
                Ok(answer) => answer,
                Err(NotSent(e)) if uncertain.is_none() => return Err(e.into()),
                Err(NotSent(e)) => return Err(unknown(self.key, uncertain.unwrap_or(e)).into()),
            };
            match answer {
                Commit::Done if self.store.capabilities().atomic_create => return Ok(Settled::Committed),
                Commit::NotDone(e) if uncertain.is_none() => {
                    // So a store answers, too, where something on the way has sent our commit twice.
                    if e.code() == Code::NotFound {
                        op.stage("settle");
                        let looked = op.guard_uncancelled(look(self.store, self.key)).await;
                        let ours = match &looked {
                            Ok(Some(there)) => self.is_ours_there(op, there).await,
                            Ok(None) => Ok(false),
                            Err(e) => Err(e.clone()),
                        };
                        match (ours, looked) {
                            (Ok(true), Ok(Some(there))) => return Ok(self.taken(op, there, false).await?),
                            (Ok(_), _) => {}
                            // Then it may be there: not for us to call it not committed.
                            (Err(look), _) => return Err(unknown(self.key, e.context(look)).into()),
                        }
                    }
                    return Err(match pending {
                        Pending::Upload(_) => Ended::of_upload(e),
                        Pending::Put(_) => e.into(),
                    });
                }
                Commit::Unknown(e) if e.code() == Code::OutcomeUnknown => return Err(e.into()),
                Commit::Done | Commit::Exists | Commit::NotDone(_) | Commit::Unknown(_) => {}
            }
            op.stage("settle");
            let looked = op.guard_uncancelled(look(self.store, self.key)).await;
            match (looked, answer) {
                (Ok(Some(there)), answer) => {
                    return Ok(self.taken(op, there, matches!(answer, Commit::Done)).await?);
                }
                // This request did nothing and the next one would not either; an earlier one may yet.
                (Ok(None), Commit::NotDone(e)) if !e.retryable() => return Err(unknown(self.key, e).into()),
                (Ok(None), Commit::NotDone(e) | Commit::Unknown(e)) => {
                    // A store that is away is waited for; one that is there and fails again and again will not change
                    // its mind because we ask more often.
                    failing = (e.http_status() != 0).then(|| failing.unwrap_or_else(Instant::now));
                    if failing.is_some_and(|since| since.elapsed() >= self.patience) {
                        return Err(unknown(self.key, e).into());
                    }
                    uncertain = Some(e);
                }
                (Ok(None), Commit::Done) => {
                    return Err(Error::new(
                        Code::AlreadyExists,
                        "the commit succeeded, but the object is gone: another writer replaced and deleted it",
                    )
                    .into());
                }
                // Whoever held the key deleted it between the two answers. An upload was told once for all, and a whole
                // new one may succeed, unless this one has.
                (Ok(None), Commit::Exists) if matches!(pending, Pending::Upload(_)) => {
                    let what =
                        format!("{} was taken when the upload was committed and is free now", self.key);
                    let freed = Error::new(Code::Busy, what);
                    return Err(match uncertain {
                        None => Ended::Gone(freed),
                        Some(_) => unknown(self.key, freed).into(),
                    });
                }
                (Ok(None), Commit::Exists) => {}
                // The key was taken before us, by what is not ours. (Had a request been lost, it could be ours and damaged.)
                (Err(e), Commit::Exists) if uncertain.is_none() && e.code() == Code::AlreadyExists => {
                    return Err(e.into());
                }
                // It is not for us to see, and will not be: whatever stands there was not changed by this offload.
                (Err(e), Commit::Exists) if uncertain.is_none() && is_hidden(&e) => {
                    return Err(e.context("the key is taken, and what is there cannot be compared").into());
                }
                (Err(e), _) => {
                    // Otherwise it may be ours, damaged on the way here (looks again) or for good (gives up).
                    unreadable += u32::from(e.code() == Code::AlreadyExists);
                    if unreadable == UNREADABLE || op.remaining().is_zero() {
                        return Err(unknown(self.key, e).into());
                    }
                    uncertain = Some(e);
                }
            }
            let slept = op.guard_deadline_only(async {
                tokio::time::sleep(pause).await;
                Ok(())
            });
            if let Err(e) = slept.await {
                return Err(unknown(self.key, uncertain.unwrap_or(e)).into());
            }
            pause = (pause * 2).min(PAUSE.1);
            op.stage("commit again");
        }
    }

    /// Sends the commit. A first attempt may still be cancelled while the store cannot have all bytes.
    async fn send(&self, op: &Op, pending: &Pending, again: bool) -> Result<Commit, NotSent> {
        match pending {
            Pending::Put(body) => {
                pause!(PutBefore);
                let put = async {
                    let answer = self.store.put(self.key, self.info, body.clone()).await;
                    pause!(PutAfter);
                    answer
                };
                if again {
                    return op
                        .guard_uncancelled(async { Ok(put.await) })
                        .await
                        .or_else(|e| Ok(Commit::Unknown(e)));
                }
                match op.guard(async { Ok(put.await) }).await {
                    Ok(answer) => Ok(answer),
                    Err(e) if body.drained() => Ok(Commit::Unknown(e)),
                    Err(e) => Err(NotSent(e)),
                }
            }
            Pending::Upload(upload) => {
                // The last moment at which a cancel or a deadline still means "not committed".
                if !again {
                    op.check().map_err(NotSent)?;
                }
                pause!(CommitBefore);
                let answer = op.guard_uncancelled(async { Ok(upload.commit().await) }).await;
                pause!(CommitAfter);
                match answer {
                    Ok(answer) => Ok(answer),
                    Err(e) if upload.is_unsent() => Err(NotSent(e)),
                    Err(e) => Ok(Commit::Unknown(e)),
                }
            }
        }
    }

    /// Whether what is there is ours: the UUID tells, unless an earlier attempt had the same.
    async fn is_ours_there(&self, op: &Op, there: &Tail) -> Result<bool> {
        if there.id() != self.id || !self.resumes {
            return Ok(there.id() == self.id);
        }
        let ours = op.guard_deadline_only((self.tail)()).await?;
        Ok(ours.token(0) == there.token(0))
    }

    /// There is an object under the key: ours, one with the same content as far as was asked, or another. Where the
    /// commit was `done` its answer has told everything of ours.
    async fn taken(&self, op: &Op, there: Tail, done: bool) -> Result<Settled> {
        if self.is_ours_there(op, &there).await.map_err(|e| unknown(self.key, e))? {
            if !done {
                confirmed(op, self.store, self.key, Some(&self.info.uuid)).await?;
            }
            return Ok(Settled::Committed);
        }
        if self.if_exists != IfExists::Fail {
            let ours = Identity::of(&op.guard_deadline_only((self.tail)()).await?);
            if ours.same(&there, self.if_exists) {
                confirmed(op, self.store, self.key, None).await?;
                return Ok(Settled::Existed(Box::new(there)));
            }
        }
        Err(already_exists(self.key, &there, self.if_exists))
    }
}

/// What a look has shown will stay, and is as the settings demand. `uuid` is that of the object if it is ours.
pub(super) async fn confirmed(op: &Op, store: &dyn ObjectStore, key: &Key, uuid: Option<&str>) -> Result<()> {
    op.stage("confirm");
    match op.guard_uncancelled(async { Ok(store.confirm(key, uuid).await) }).await {
        Ok(Commit::Done | Commit::Exists) => Ok(()),
        Ok(Commit::NotDone(e)) => Err(e),
        Ok(Commit::Unknown(e)) | Err(e) => Err(unknown(key, e)),
    }
}

/// What cannot be learnt, after the answer `last`.
pub(super) fn unknown(key: &Key, last: Error) -> Error {
    let (status, code) = (last.http_status(), last.service_code());
    let what = format!(
        "whether {key} is committed for good could not be learnt; offload the segment again with the same key to settle \
         it (last answer: {last})"
    );
    Error::new(Code::OutcomeUnknown, what).with_service(
        status,
        code,
        last.request_id(),
        last.extended_request_id(),
    )
}

/// Whether a look was refused for good.
fn is_hidden(e: &Error) -> bool {
    matches!(e.code(), Code::NotFoundOrDenied | Code::PermissionDenied | Code::Archived)
}

/// Certainly nothing was committed by this attempt.
struct NotSent(Error);

/// What makes two objects the same: mode, content, attachments.
pub(super) struct Identity {
    pub mode: Mode,
    pub content: ContentIdentity,
    pub attachments: Vec<AttachmentEntry>,
}

impl Identity {
    pub fn of(tail: &Tail) -> Identity {
        let attachments = tail.attachments().iter().map(|a| a.entry.clone()).collect();
        Identity { mode: tail.mode(), content: tail.content(), attachments }
    }

    /// Whether the object with the tail `there` holds the same, as far as `if_exists` asks.
    pub fn same(&self, there: &Tail, if_exists: IfExists) -> bool {
        let segment = there.has_segment(self.mode, self.content);
        match if_exists {
            IfExists::Fail => false,
            IfExists::SucceedIfSameSegment => segment,
            IfExists::SucceedIfSame => segment && there.has_attachments(&self.attachments),
        }
    }
}

pub(super) fn already_exists(key: &Key, there: &Tail, if_exists: IfExists) -> Error {
    let what = match if_exists {
        IfExists::Fail => "a segment",
        _ => "a segment with another content",
    };
    Error::new(
        Code::AlreadyExists,
        format!(
            "key {key} is taken by {what} ({} bytes, object {}); nothing was changed. Put an attempt's UUID into each key",
            there.segment_len(),
            there.id()
        ),
    )
}

/// The tail of what stands under a key now, past all caches; `None` if certainly nothing does. An object that is
/// not one of ours is `ALREADY_EXISTS`.
pub(super) async fn look(store: &dyn ObjectStore, key: &Key) -> Result<Option<Tail>> {
    let mut reads = 1;
    loop {
        match look_once(store, key).await {
            // It may have been damaged on its way here: that is no reason to call the key taken.
            Err(e) if e.code() == Code::Corrupt && reads < UNREADABLE => reads += 1,
            Err(e) if matches!(e.code(), Code::Corrupt | Code::UnsupportedVersion | Code::OutOfRange) => {
                let what = format!("key {key} is taken by an object that cannot be read: {e}");
                return Err(Error::new(Code::AlreadyExists, what));
            }
            looked => return looked,
        }
    }
}

async fn look_once(store: &dyn ObjectStore, key: &Key) -> Result<Option<Tail>> {
    let (suffix, object_len) = match fetch(store, key, GetRange::Suffix(LOOK)).await {
        Ok(found) => found,
        Err(e) if e.code() == Code::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    match locate_tail(&suffix, object_len)? {
        Located::Here { within, position } => Tail::parse(&suffix[within], position, object_len).map(Some),
        Located::Fetch(range) => {
            let start = range.start;
            let (frame, _) = fetch(store, key, GetRange::Range(range)).await?;
            Tail::parse(&frame, start, object_len).map(Some)
        }
    }
}

async fn fetch(store: &dyn ObjectStore, key: &Key, range: GetRange) -> Result<(Vec<u8>, u64)> {
    let got = store.get(key, range).await?;
    let object_len = got.object_len;
    Ok((got.collect().await?, object_len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Driver,
        config::Config,
        engine::{Call, Defaults, Engine, EngineOptions, OpKind},
        store::{Capabilities, Entry, Get, ListPage, MemoryStore},
        writer::{Segment, Source},
    };
    use bytes::Bytes;

    struct Blob(Bytes);

    impl Body for Blob {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn open(&self) -> crate::store::ByteStream {
            futures_util::stream::iter([Ok(self.0.clone())]).boxed()
        }

        fn crc32c(&self) -> Option<u32> {
            None
        }
    }

    /// Creates whatever stands under the key, and just after a put somebody else's object takes the place of ours.
    struct Overwritten {
        inner: MemoryStore,
        theirs: Bytes,
    }

    impl ObjectStore for Overwritten {
        fn uri(&self) -> &str {
            self.inner.uri()
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities { atomic_create: false, ..self.inner.capabilities() }
        }

        fn put<'a>(&'a self, key: &'a Key, info: &'a UploadInfo, _: Arc<dyn Body>) -> BoxFuture<'a, Commit> {
            self.inner.put(key, info, Arc::new(Blob(self.theirs.clone())))
        }

        fn begin<'a>(&'a self, key: &'a Key, info: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>> {
            self.inner.begin(key, info)
        }

        fn get<'a>(&'a self, key: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>> {
            self.inner.get(key, range)
        }

        fn head<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Entry>> {
            self.inner.head(key)
        }

        fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
            self.inner.delete(keys)
        }

        fn list<'a>(
            &'a self,
            prefix: &'a str,
            after: Option<&'a str>,
            max: usize,
        ) -> BoxFuture<'a, Result<ListPage>> {
            self.inner.list(prefix, after, max)
        }
    }

    /// An object of this content, and its tail.
    fn object(engine: &Engine, content: &'static [u8]) -> (Bytes, Tail) {
        let driver = Driver::open(engine, "memory:", &Config::new()).unwrap();
        let segment = Segment::new("k", Source::Bytes(Bytes::from_static(content)));
        let len = driver.offload(segment, &Call::default()).unwrap().object_bytes;
        let bytes = driver.object_range("k", 0, len, &Call::default()).unwrap();
        let Ok(Located::Here { within, position }) = locate_tail(&bytes, len) else { panic!("it is small") };
        let tail = Tail::parse(&bytes[within], position, len).unwrap();
        (Bytes::copy_from_slice(&bytes), tail)
    }

    /// Settles a put behind which an object of the same UUID turns up: `same` as ours, or with another content.
    fn settle(same: bool, resumes: bool, panics: bool) -> Result<Settled> {
        let engine = Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
        let ((theirs, there), (_, other)) = (object(&engine, b"theirs"), object(&engine, b"ours"));
        let (id, ours) = (there.id(), if same { there } else { other });
        let op = engine.start(OpKind::Offload, "k", &Call::default(), Defaults::default()).unwrap();
        let settling = op.clone();
        engine.block_on(&op, async move {
            let store = Overwritten { inner: MemoryStore::private(), theirs };
            let tail = || -> BoxFuture<'_, Result<Tail>> { Box::pin(std::future::ready(Ok(ours.clone()))) };
            let (key, info) = (Key::new("k")?, UploadInfo::default());
            let (if_exists, patience) = (IfExists::SucceedIfSame, Duration::from_secs(1));
            let (store, key, info, tail) = (&store, &key, &info, &tail);
            let commitment = Commitment { store, key, info, tail, id, resumes, if_exists, patience };
            let pending = Pending::Put(Watched::new(Arc::new(Blob(Bytes::from_static(b"ours")))));
            let settled = commitment.settle(&settling, &pending).await;
            assert!(!panics, "on purpose, settled as {settled:?}");
            Ok(settled?)
        })
    }

    #[test]
    fn what_cuts_an_operation_off_behind_its_commit_does_not_call_it_uncommitted() {
        assert_eq!(settle(true, true, true).unwrap_err().code(), Code::OutcomeUnknown);
        // Where nothing of it was committed that is still said.
        assert_eq!(settle(false, true, true).unwrap_err().code(), Code::Internal);
    }

    #[test]
    fn an_object_of_an_earlier_attempt_that_took_the_place_of_ours_is_not_taken_for_it() {
        assert!(matches!(settle(true, true, false), Ok(Settled::Committed)));
        assert_eq!(settle(false, true, false).unwrap_err().code(), Code::AlreadyExists);
        // Who resumes nothing has a UUID that nobody else ever had.
        assert!(matches!(settle(false, false, false), Ok(Settled::Committed)));
    }
}
