//! Sending parts: several at once, and nothing left behind if it fails.
//!
//! Invariant: an upload that was begun is either handed on to be committed or aborted, also if the future that
//! sends it is dropped or panics. Only where the host wants to resume it is it kept, and then the file that says where it
//! is stands on disk before the store has a part.

use super::{
    Context,
    commit::{Pending, Watched},
    outlet::Hold,
    resume::Resume,
};
use crate::{
    engine::{Engine, Op, OpKind},
    error::{Code, Error, Result},
    store::{Body, BoxFuture, Key, ObjectStore, Upload, UploadInfo},
};
use futures_util::{Stream, StreamExt, stream::FuturesUnordered};
use std::{pin::pin, sync::Arc, time::Duration};

/// How long an abort may take altogether. What it cannot remove until then, reap will find.
const ABORT: Duration = Duration::from_secs(60);
/// How long an operation waits for its abort, beyond its own deadline, so that a failed operation normally has
/// cleaned up when it ends. After that the abort goes on behind it.
const ABORT_WAIT: Duration = Duration::from_secs(1);

/// Where an object is on its way to.
#[derive(Clone)]
pub(super) struct Target {
    pub store: Arc<dyn ObjectStore>,
    pub key: Key,
    pub info: UploadInfo,
    /// How the host goes on with it in another attempt, if it wants to.
    pub resume: Option<Arc<Resume>>,
    engine: Engine,
}

/// Why an upload did not come to its end. Certainly nothing was committed, unless the error says that it is unknown.
#[derive(Debug)]
pub(super) enum Ended {
    /// The store has lost the upload: a whole new one may succeed.
    Gone(Error),
    /// For good.
    Failed(Error),
}

impl Ended {
    /// What an error of a part or of a commit means for its upload.
    pub fn of_upload(e: Error) -> Ended {
        match e.code() {
            Code::NotFound | Code::Busy => Ended::Gone(e),
            _ => Ended::Failed(e),
        }
    }
}

impl From<Error> for Ended {
    fn from(e: Error) -> Ended {
        Ended::Failed(e)
    }
}

impl From<Ended> for Error {
    fn from(ended: Ended) -> Error {
        match ended {
            // Nothing that the host named is missing or in use: it can only send the segment again.
            Ended::Gone(e) => Error::new(
                Code::Unavailable,
                format!("the store has lost the upload; send the segment again: {e}"),
            )
            .with_service(
                e.http_status(),
                e.service_code(),
                e.request_id(),
                e.extended_request_id(),
            ),
            Ended::Failed(e) => e,
        }
    }
}

/// One part to send.
pub(super) struct Item {
    pub number: u32,
    pub offset: u64,
    pub body: Arc<dyn Body>,
    /// Nothing comes after it.
    pub last: bool,
    /// Memory that is free again when the part is sent.
    pub hold: Option<Hold>,
}

impl Target {
    pub fn new(ctx: &Context, key: Key, info: UploadInfo, resume: Option<Resume>) -> Target {
        let (store, engine) = (ctx.store.clone(), ctx.engine.clone());
        Target { store, key, info, resume: resume.map(Arc::new), engine }
    }

    /// Sends parts that come in order, `concurrency` at once, up to where only the commit is missing. Ended by
    /// cancel, deadline and stall of `op`.
    pub async fn send(
        &self,
        op: &Op,
        concurrency: usize,
        parts: impl Stream<Item = Result<Item>> + Send,
    ) -> Result<Pending, Ended> {
        let mut parts = pin!(parts);
        let first = op.guard_waiting(async { parts.next().await.unwrap_or_else(|| Err(ended())) }).await?;
        if first.last {
            // What an earlier attempt has sent, before its source or its settings changed, is of no use to one request.
            self.abort_found().await;
            return Ok(Pending::Put(Watched::new(first.body)));
        }
        let upload = self.begin(op).await?;
        op.stage("send parts");
        let sending = self.send_parts(op, upload.get(), concurrency, first, parts);
        let sent = match op.kind() {
            // A host may push as slowly as it likes: only a part under way must move.
            OpKind::Writer => op.guard_waiting(sending).await,
            _ => op.guard(sending).await,
        };
        match sent {
            Ok(Ok(())) => {
                pause!(PartsLast);
                Ok(Pending::Upload(upload.hand_on()))
            }
            Ok(Err(ended)) => Err(self.end(Pending::Upload(upload.hand_on()), ended).await),
            Err(e) => Err(self.end(Pending::Upload(upload.hand_on()), Ended::Failed(e)).await),
        }
    }

    /// A new upload, or the one to go on with.
    async fn begin(&self, op: &Op) -> Result<AbortOnDrop> {
        op.stage("begin upload");
        if let Some(found) = self.resume.as_ref().and_then(|resume| resume.take()) {
            return Ok(AbortOnDrop::of(found, true));
        }
        pause!(BeginBefore);
        let mut upload = AbortOnDrop::of(op.guard(self.store.begin(&self.key, &self.info)).await?, false);
        pause!(BeginAfter);
        if let Some(resume) = &self.resume {
            op.stage("write the resume file");
            let written = op.guard(resume.write(upload.get())).await;
            if let Err(e) = written {
                upload.abort().await;
                return Err(e);
            }
            upload.get().keep();
            upload.kept = true;
        }
        Ok(upload)
    }

    /// Sends a part unless the store has it from an earlier attempt.
    async fn send_part(
        &self,
        upload: &dyn Upload,
        number: u32,
        offset: u64,
        body: Arc<dyn Body>,
    ) -> Result<()> {
        let Some(resume) = &self.resume else { return upload.put_part(number, offset, body).await };
        let len = body.len();
        if resume.goes_on() && upload.has_part(number, offset, body.clone()).await? {
            resume.stored(Some(len));
        } else {
            upload.put_part(number, offset, body).await?;
            resume.stored(None);
        }
        Ok(())
    }

    /// What was sent is certainly not committed: removes it, unless it is worth resuming.
    pub async fn end(&self, pending: Pending, ended: Ended) -> Ended {
        match &self.resume {
            Some(resume) if resume.keeps(&ended) && is_there(&pending) => drop(pending),
            _ => self.abort_and_settle(pending).await,
        }
        ended
    }

    /// Removes what was sent, and the file that names it. At once, so that both take no longer than the longer of them:
    /// an operation whose deadline has passed is soon dropped where it stands.
    pub async fn abort_and_settle(&self, pending: Pending) {
        tokio::join!(self.abort(pending), self.settled());
    }

    /// The offload needs no resume any more.
    async fn settled(&self) {
        if let Some(resume) = &self.resume {
            resume.remove(self.engine.log()).await;
        }
    }

    /// The key is taken: an upload that was to be resumed is of no use any more.
    pub async fn not_needed(&self) {
        tokio::join!(self.abort_found(), self.settled());
    }

    /// Removes what an earlier attempt has sent, if it was found and not taken.
    async fn abort_found(&self) {
        if let Some(upload) = self.resume.as_ref().and_then(|resume| resume.take()) {
            self.abort(Pending::Upload(upload)).await;
        }
    }

    /// The error, with what is kept of the upload.
    pub fn explain(&self, e: Error) -> Error {
        match &self.resume {
            Some(resume) => resume.explain(e),
            None => e,
        }
    }

    /// Bytes that the store had from an earlier attempt.
    pub fn resumed_bytes(&self) -> u64 {
        self.resume.as_ref().map_or(0, |resume| resume.resumed_bytes())
    }

    /// Removes what was sent but is certainly not committed.
    pub async fn abort(&self, pending: Pending) {
        if let Pending::Upload(upload) = pending {
            AbortOnDrop::of(upload, false).abort().await;
        }
    }

    /// The outer error is the operation's, the inner one the upload's.
    async fn send_parts(
        &self,
        op: &Op,
        upload: &dyn Upload,
        concurrency: usize,
        first: Item,
        mut parts: impl Stream<Item = Result<Item>> + Unpin,
    ) -> Result<Result<(), Ended>> {
        let mut running: FuturesUnordered<BoxFuture<'_, Result<Result<()>>>> = FuturesUnordered::new();
        let mut next = Some(first);
        loop {
            let Some(item) = next.take() else { return Err(ended()) };
            let last = item.last;
            running.push(Box::pin(async move {
                let _hold = item.hold;
                let sent = self.send_part(upload, item.number, item.offset, item.body);
                let sent = op.guard(async { Ok(sent.await) }).await;
                pause!(PartsBetween);
                sent
            }));
            while running.len() >= concurrency || last {
                match running.next().await {
                    Some(sent) => {
                        if let Err(e) = sent? {
                            return Ok(Err(Ended::of_upload(e)));
                        }
                    }
                    None => return Ok(Ok(())),
                }
            }
            // While the next part is being made, those under way go on.
            next = loop {
                tokio::select! {
                    item = parts.next() => break item.transpose()?,
                    Some(sent) = running.next(), if !running.is_empty() => {
                        if let Err(e) = sent? {
                            return Ok(Err(Ended::of_upload(e)));
                        }
                    }
                }
            };
        }
    }
}

/// Whether the store still has what was sent: a commit that failed may have kept nothing.
fn is_there(pending: &Pending) -> bool {
    matches!(pending, Pending::Upload(upload) if upload.id().is_some())
}

fn ended() -> Error {
    Error::new(Code::Cancelled, "the segment was not finished")
}

/// What was sent, on its way to whoever commits it; aborted if that one is gone.
pub(super) struct Sent(Option<Pending>);

impl Sent {
    pub fn new(pending: Pending) -> Sent {
        Sent(Some(pending))
    }

    pub fn claim(mut self) -> Pending {
        self.0.take().expect("it is taken only by value")
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(Pending::Upload(upload)) = self.0.take() {
            drop(AbortOnDrop::of(upload, false));
        }
    }
}

/// An upload that is aborted unless it is handed on, or kept to be resumed.
struct AbortOnDrop {
    upload: Option<Box<dyn Upload>>,
    kept: bool,
}

impl AbortOnDrop {
    fn of(upload: Box<dyn Upload>, kept: bool) -> AbortOnDrop {
        AbortOnDrop { upload: Some(upload), kept }
    }

    fn get(&self) -> &dyn Upload {
        self.upload.as_deref().expect("it is taken only by value")
    }

    fn hand_on(mut self) -> Box<dyn Upload> {
        self.upload.take().expect("it is taken only by value")
    }

    async fn abort(mut self) {
        if let Some(task) = self.start() {
            let _ = tokio::time::timeout(ABORT_WAIT, task).await;
        }
    }

    fn start(&mut self) -> Option<tokio::task::JoinHandle<()>> {
        let upload = self.upload.take().filter(|_| !self.kept)?;
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        Some(runtime.spawn(async move {
            pause!(AbortBefore);
            let _ = tokio::time::timeout(ABORT, upload.abort()).await;
            pause!(AbortAfter);
        }))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.start();
    }
}
