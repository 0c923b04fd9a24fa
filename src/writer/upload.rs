//! Sending parts: several at once, and nothing left behind if it fails.
//!
//! Invariant: an upload that was begun is either handed on to be committed or aborted, also if the future that
//! sends it is dropped or panics.

use super::{
    commit::{Pending, Watched},
    outlet::Hold,
};
use crate::{
    engine::{Op, OpKind},
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
            return Ok(Pending::Put(Watched::new(first.body)));
        }
        op.stage("begin upload");
        pause!(BeginBefore);
        let upload = AbortOnDrop(Some(op.guard(self.store.begin(&self.key, &self.info)).await?));
        pause!(BeginAfter);
        op.stage("send parts");
        let sending = send_parts(op, upload.get(), concurrency, first, parts);
        let sent = match op.kind() {
            // A host may push as slowly as it likes: only a part under way must move.
            OpKind::Writer => op.guard_waiting(sending).await,
            _ => op.guard(sending).await,
        };
        match sent {
            Ok(Ok(())) => {
                pause!(PartsLast);
                Ok(Pending::Upload(upload.keep()))
            }
            Ok(Err(ended)) => {
                upload.abort().await;
                Err(ended)
            }
            Err(e) => {
                upload.abort().await;
                Err(Ended::Failed(e))
            }
        }
    }

    /// Removes what was sent but is certainly not committed.
    pub async fn abort(&self, pending: Pending) {
        if let Pending::Upload(upload) = pending {
            AbortOnDrop(Some(upload)).abort().await;
        }
    }
}

/// The outer error is the operation's, the inner one the upload's.
async fn send_parts(
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
            let sent =
                op.guard(async { Ok(upload.put_part(item.number, item.offset, item.body).await) }).await;
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
            drop(AbortOnDrop(Some(upload)));
        }
    }
}

/// An upload that is aborted unless it is kept.
struct AbortOnDrop(Option<Box<dyn Upload>>);

impl AbortOnDrop {
    fn get(&self) -> &dyn Upload {
        self.0.as_deref().expect("it is taken only by value")
    }

    fn keep(mut self) -> Box<dyn Upload> {
        self.0.take().expect("it is taken only by value")
    }

    async fn abort(mut self) {
        if let Some(task) = self.start() {
            let _ = tokio::time::timeout(ABORT_WAIT, task).await;
        }
    }

    fn start(&mut self) -> Option<tokio::task::JoinHandle<()>> {
        let upload = self.0.take()?;
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
