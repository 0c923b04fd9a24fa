//! A store that fails on purpose (feature `testing`, never in a shipped build).
//!
//! It wraps any store and does what a [`Script`] says at the calls that the script names; everything else
//! passes. It knows nothing about retries or settling: it is how they are tested. Its URI is that of the store
//! within, because it is the same place.

mod script;

pub use script::{Fault, Operation, Script, When, mix};

use super::{
    Arrived, Body, BoxFuture, ByteStream, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage,
    ObjectStore, OpenOptions, Removal, Unfinished, Upload, UploadInfo, UploadMark, UploadPage,
};
use crate::error::{Code, Error, Result};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, future, stream};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// How its URIs look, for messages.
pub(super) const FORM: &str = "fault+file:///folder?get=2:UNAVAILABLE or fault+memory:?seed=1";

/// Opens `fault+<scheme>:<rest>?<script>`.
pub(super) fn open(scheme: &str, rest: &str, options: &OpenOptions) -> Result<Arc<dyn ObjectStore>> {
    let (place, script) = rest.split_once('?').unwrap_or((rest, ""));
    let inner = super::open(&format!("{scheme}:{place}"), options)?;
    Ok(Arc::new(FaultStore::new(inner, script.parse()?)))
}

/// The script, and how often each operation was called. Uploads share it with their store.
struct Plan {
    script: Script,
    calls: [AtomicU64; Operation::ALL.len()],
}

/// What is left to do of a call after what went wrong before it.
enum Turn {
    /// Go on; this happens to the answer.
    Go(Option<Fault>),
    Fail(Error),
}

impl Plan {
    /// Counts the call and lets happen what happens before it.
    async fn turn(&self, operation: Operation) -> Turn {
        let nth = self.calls[operation as usize].fetch_add(1, Relaxed) + 1;
        let what = format!("{} number {nth}", operation.name());
        match self.script.fault(operation, nth) {
            Some(Fault::Code(code)) => {
                Turn::Fail(Error::new(code, format!("{what} fails on purpose ({})", self.script)))
            }
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                Turn::Go(None)
            }
            Some(Fault::Stall) => future::pending().await,
            Some(Fault::Panic) => panic!("{what} panics on purpose ({})", self.script),
            fault => Turn::Go(fault),
        }
    }

    /// Like [`turn`](Self::turn), where nothing can happen to the answer.
    async fn pass(&self, operation: Operation) -> Result<()> {
        match self.turn(operation).await {
            Turn::Go(_) => Ok(()),
            Turn::Fail(e) => Err(e),
        }
    }

    /// A put or a commit, and what happens to its answer. `taken` is what the store takes before it decides.
    async fn commit(
        &self,
        operation: Operation,
        taken: impl Future<Output = Result<()>>,
        commit: impl Future<Output = Commit> + Send + 'static,
    ) -> Commit {
        let lost = || {
            Error::new(
                Code::Unavailable,
                format!("the answer to a {} was lost on purpose ({})", operation.name(), self.script),
            )
        };
        match self.turn(operation).await {
            Turn::Fail(e) => Commit::NotDone(e),
            Turn::Go(Some(Fault::Lost)) => {
                // However it ended, the caller cannot know.
                let _ = commit.await;
                Commit::Unknown(lost())
            }
            Turn::Go(Some(Fault::Unknown)) => match taken.await {
                Ok(()) => Commit::Unknown(lost()),
                // What never arrived whole cannot have been committed.
                Err(e) => Commit::NotDone(e),
            },
            Turn::Go(Some(Fault::Refused)) => {
                let message = format!("a {} kept nothing on purpose ({})", operation.name(), self.script);
                let refused = || Error::new(Code::Unavailable, message);
                Commit::NotDone(taken.await.err().unwrap_or_else(refused))
            }
            Turn::Go(Some(Fault::Late(time))) => {
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    let _ = commit.await;
                });
                Commit::Unknown(lost())
            }
            Turn::Go(Some(Fault::Exists)) => Commit::Exists,
            Turn::Go(_) => commit.await,
        }
    }
}

/// A store that fails as its script says.
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
}

impl FaultStore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>, script: Script) -> Self {
        Self { inner, plan: Arc::new(Plan { script, calls: Default::default() }) }
    }

    /// How often the operation was called, failures included.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.plan.calls[operation as usize].load(Relaxed)
    }

    /// The script, for the messages of a test.
    pub fn script(&self) -> &Script {
        &self.plan.script
    }
}

impl ObjectStore for FaultStore {
    fn uri(&self) -> &str {
        self.inner.uri()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn learn(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.learn()
    }

    fn put<'a>(&'a self, key: &'a Key, info: &'a UploadInfo, body: Arc<dyn Body>) -> BoxFuture<'a, Commit> {
        let (inner, key, info, sent) = (self.inner.clone(), key.clone(), info.clone(), body.clone());
        let commit = async move { inner.put(&key, &info, sent).await };
        let taken = async move { body.open().try_for_each(|_| future::ready(Ok(()))).await };
        self.plan.commit(Operation::Put, taken, commit).boxed()
    }

    fn begin<'a>(&'a self, key: &'a Key, info: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>> {
        Box::pin(async move {
            self.plan.pass(Operation::Begin).await?;
            let inner = self.inner.begin(key, info).await?.into();
            Ok(Box::new(FaultUpload { inner, plan: self.plan.clone() }) as Box<dyn Upload>)
        })
    }

    fn resume<'a>(
        &'a self,
        key: &'a Key,
        info: &'a UploadInfo,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Upload>>>> {
        Box::pin(async move {
            self.plan.pass(Operation::List).await?;
            let (found, plan) = (self.inner.resume(key, info, id).await?, self.plan.clone());
            Ok(found.map(|inner| Box::new(FaultUpload { inner: inner.into(), plan }) as Box<dyn Upload>))
        })
    }

    fn get<'a>(&'a self, key: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>> {
        Box::pin(async move {
            match self.plan.turn(Operation::Get).await {
                Turn::Fail(e) => Err(e),
                Turn::Go(fault) => {
                    let mut get = self.inner.get(key, range).await?;
                    if let Some(fault) = fault {
                        let len = get.range.end - get.range.start;
                        get.body = spoilt(get.body, fault, len);
                    }
                    Ok(get)
                }
            }
        })
    }

    fn head<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Entry>> {
        Box::pin(async move {
            self.plan.pass(Operation::Head).await?;
            self.inner.head(key).await
        })
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
        Box::pin(async move {
            match self.plan.pass(Operation::Delete).await {
                Err(e) => vec![Err(e); keys.len()],
                Ok(()) => self.inner.delete(keys).await,
            }
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        max: usize,
    ) -> BoxFuture<'a, Result<ListPage>> {
        Box::pin(async move {
            self.plan.pass(Operation::List).await?;
            self.inner.list(prefix, after, max).await
        })
    }

    fn confirm<'a>(&'a self, key: &'a Key, ours: Option<&'a str>) -> BoxFuture<'a, Commit> {
        self.inner.confirm(key, ours)
    }

    fn now(&self) -> BoxFuture<'_, Result<i64>> {
        self.inner.now()
    }

    fn uploads<'a>(
        &'a self,
        owner: &'a str,
        after: Option<&'a UploadMark>,
        max: usize,
    ) -> BoxFuture<'a, Result<UploadPage>> {
        Box::pin(async move {
            self.plan.pass(Operation::List).await?;
            self.inner.uploads(owner, after, max).await
        })
    }

    fn arrived<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<Option<Arrived>>> {
        Box::pin(async move {
            self.plan.pass(Operation::List).await?;
            self.inner.arrived(upload).await
        })
    }

    fn abort_upload<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.plan.pass(Operation::Abort).await?;
            self.inner.abort_upload(upload).await
        })
    }

    fn delete_unchanged<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<Removal>> {
        Box::pin(async move {
            self.plan.pass(Operation::Delete).await?;
            self.inner.delete_unchanged(entry).await
        })
    }
}

struct FaultUpload {
    inner: Arc<dyn Upload>,
    plan: Arc<Plan>,
}

impl Upload for FaultUpload {
    fn put_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.plan.pass(Operation::Part).await?;
            self.inner.put_part(number, offset, body).await
        })
    }

    fn commit<'a>(&'a self) -> BoxFuture<'a, Commit> {
        let inner = self.inner.clone();
        let commit = async move { inner.commit().await };
        self.plan.commit(Operation::Commit, future::ready(Ok(())), commit).boxed()
    }

    fn abort<'a>(&'a self) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.plan.pass(Operation::Abort).await?;
            self.inner.abort().await
        })
    }

    fn id(&self) -> Option<String> {
        self.inner.id()
    }

    fn has_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<bool>> {
        self.inner.has_part(number, offset, body)
    }

    fn keep(&self) {
        self.inner.keep();
    }
}

/// A body of `len` bytes to which `fault` happens.
fn spoilt(body: ByteStream, fault: Fault, len: u64) -> ByteStream {
    match fault {
        Fault::Short(n) => first(body, len.saturating_sub(n)),
        Fault::Long(n) => {
            body.chain(stream::once(async move { Ok(Bytes::from(vec![0x5a; n as usize])) })).boxed()
        }
        Fault::Break(n) => {
            let broken =
                Error::new(Code::Unavailable, format!("the body broke off on purpose after {n} bytes"));
            first(body, n).chain(stream::once(async move { Err(broken) })).boxed()
        }
        Fault::Hang(n) => first(body, n).chain(stream::pending()).boxed(),
        Fault::Flip(bit) => body
            .scan(0, move |at, piece| {
                let piece = piece.map(|piece| {
                    let begin = *at;
                    *at += piece.len() as u64;
                    if !(begin..*at).contains(&(bit / 8)) {
                        return piece;
                    }
                    let mut copy = piece.to_vec();
                    copy[(bit / 8 - begin) as usize] ^= 1 << (bit % 8);
                    copy.into()
                });
                future::ready(Some(piece))
            })
            .boxed(),
        _ => body,
    }
}

/// The first `len` bytes of a body.
fn first(body: ByteStream, len: u64) -> ByteStream {
    body.scan(len, |left, piece| {
        let piece = piece.map(|mut piece| {
            piece.truncate((*left).min(usize::MAX as u64) as usize);
            *left -= piece.len() as u64;
            piece
        });
        future::ready(Some(piece))
    })
    .take_while(|piece| future::ready(!matches!(piece, Ok(piece) if piece.is_empty())))
    .boxed()
}
