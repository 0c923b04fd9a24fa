//! A store that counts: each request with its result and its time to the last byte, and the bytes both ways.
//!
//! It wraps the store that a driver opens, so whoever asks (writer, reader, listing) is counted in one place, and
//! once for each attempt where retries stand outside of it.

use super::{
    Arrived, Body, BoxFuture, ByteStream, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage,
    ObjectStore, Removal, Unfinished, Upload, UploadInfo, UploadMark, UploadPage,
};
use crate::{
    error::{Code, Error, Result},
    metrics::{Direction, Metrics, Outcome, Request},
};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

/// Counts what `inner` is asked.
pub struct MeteredStore {
    inner: Arc<dyn ObjectStore>,
    metrics: Arc<Metrics>,
}

impl MeteredStore {
    /// `inner`, counted in `metrics`.
    pub fn new(inner: Arc<dyn ObjectStore>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(MeteredStore { inner, metrics })
    }
}

/// A request under way; counted when it ends, also by being dropped, which is no success.
struct Counted {
    metrics: Arc<Metrics>,
    request: Request,
    started: Instant,
    outcome: Outcome,
}

impl Counted {
    fn new(metrics: &Arc<Metrics>, request: Request) -> Counted {
        Counted {
            metrics: metrics.clone(),
            request,
            started: Instant::now(),
            outcome: Code::Cancelled.into(),
        }
    }

    fn end_as(mut self, error: Option<&Error>) {
        self.is(error);
    }

    /// How it ended, or how it stands while its body is read: who has enough of a body may drop it.
    fn is(&mut self, error: Option<&Error>) {
        self.outcome = error.map_or(Outcome::OK, |error| error.code().into());
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.store_request_ended(self.request, self.outcome, self.started.elapsed());
    }
}

/// A body that is counted as it arrives.
struct CountedBody {
    inner: ByteStream,
    counted: Counted,
}

impl Stream for CountedBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.inner.poll_next_unpin(cx);
        match &polled {
            Poll::Ready(Some(Ok(piece))) => {
                self.counted.metrics.store_bytes.of(Direction::Down).add(piece.len() as u64);
            }
            Poll::Ready(Some(Err(e))) => self.counted.is(Some(e)),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }
}

/// What a commit came to, as an error.
fn refused(commit: &Commit) -> Option<&Error> {
    match commit {
        Commit::Done | Commit::Exists => None,
        Commit::NotDone(e) | Commit::Unknown(e) => Some(e),
    }
}

impl ObjectStore for MeteredStore {
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
        let counted = Counted::new(&self.metrics, Request::Put);
        self.metrics.store_bytes.of(Direction::Up).add(body.len());
        Box::pin(self.inner.put(key, info, body).inspect(move |commit| counted.end_as(refused(commit))))
    }

    fn begin<'a>(&'a self, key: &'a Key, info: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>> {
        Box::pin(async move {
            let counted = Counted::new(&self.metrics, Request::Part);
            let begun = self.inner.begin(key, info).await;
            counted.end_as(begun.as_ref().err());
            Ok(Box::new(MeteredUpload { inner: begun?, metrics: self.metrics.clone() }) as Box<dyn Upload>)
        })
    }

    fn resume<'a>(
        &'a self,
        key: &'a Key,
        info: &'a UploadInfo,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Upload>>>> {
        Box::pin(async move {
            let counted = Counted::new(&self.metrics, Request::List);
            let found = self.inner.resume(key, info, id).await;
            counted.end_as(found.as_ref().err());
            let metrics = self.metrics.clone();
            Ok(found?.map(|inner| Box::new(MeteredUpload { inner, metrics }) as Box<dyn Upload>))
        })
    }

    fn get<'a>(&'a self, key: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>> {
        Box::pin(async move {
            let mut counted = Counted::new(&self.metrics, Request::Get);
            match self.inner.get(key, range).await {
                Ok(get) => {
                    counted.is(None);
                    Ok(Get { body: Box::pin(CountedBody { inner: get.body, counted }), ..get })
                }
                Err(e) => {
                    counted.end_as(Some(&e));
                    Err(e)
                }
            }
        })
    }

    fn head<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Entry>> {
        let counted = Counted::new(&self.metrics, Request::Head);
        Box::pin(self.inner.head(key).inspect(move |entry| counted.end_as(entry.as_ref().err())))
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
        let counted = Counted::new(&self.metrics, Request::Delete);
        let first_error = |results: &Vec<Result<()>>| results.iter().find_map(|r| r.as_ref().err().cloned());
        let delete = self.inner.delete(keys);
        Box::pin(delete.inspect(move |results| counted.end_as(first_error(results).as_ref())))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        max: usize,
    ) -> BoxFuture<'a, Result<ListPage>> {
        let counted = Counted::new(&self.metrics, Request::List);
        Box::pin(self.inner.list(prefix, after, max).inspect(move |page| counted.end_as(page.as_ref().err())))
    }

    fn confirm<'a>(&'a self, key: &'a Key, ours: Option<&'a str>) -> BoxFuture<'a, Commit> {
        let counted = Counted::new(&self.metrics, Request::Head);
        Box::pin(self.inner.confirm(key, ours).inspect(move |commit| counted.end_as(refused(commit))))
    }

    fn now(&self) -> BoxFuture<'_, Result<i64>> {
        let counted = Counted::new(&self.metrics, Request::Head);
        Box::pin(self.inner.now().inspect(move |now| counted.end_as(now.as_ref().err())))
    }

    fn uploads<'a>(
        &'a self,
        owner: &'a str,
        after: Option<&'a UploadMark>,
        max: usize,
    ) -> BoxFuture<'a, Result<UploadPage>> {
        let counted = Counted::new(&self.metrics, Request::List);
        let uploads = self.inner.uploads(owner, after, max);
        Box::pin(uploads.inspect(move |page| counted.end_as(page.as_ref().err())))
    }

    fn arrived<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<Option<Arrived>>> {
        let counted = Counted::new(&self.metrics, Request::List);
        Box::pin(self.inner.arrived(upload).inspect(move |arrived| counted.end_as(arrived.as_ref().err())))
    }

    fn abort_upload<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<bool>> {
        let counted = Counted::new(&self.metrics, Request::Abort);
        Box::pin(self.inner.abort_upload(upload).inspect(move |done| counted.end_as(done.as_ref().err())))
    }

    fn delete_unchanged<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<Removal>> {
        let counted = Counted::new(&self.metrics, Request::Delete);
        Box::pin(self.inner.delete_unchanged(entry).inspect(move |done| counted.end_as(done.as_ref().err())))
    }
}

struct MeteredUpload {
    inner: Box<dyn Upload>,
    metrics: Arc<Metrics>,
}

impl Upload for MeteredUpload {
    fn put_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<()>> {
        let counted = Counted::new(&self.metrics, Request::Part);
        self.metrics.store_bytes.of(Direction::Up).add(body.len());
        let put = self.inner.put_part(number, offset, body);
        Box::pin(put.inspect(move |done| counted.end_as(done.as_ref().err())))
    }

    fn commit<'a>(&'a self) -> BoxFuture<'a, Commit> {
        let counted = Counted::new(&self.metrics, Request::Commit);
        Box::pin(self.inner.commit().inspect(move |commit| counted.end_as(refused(commit))))
    }

    fn abort<'a>(&'a self) -> BoxFuture<'a, Result<()>> {
        let counted = Counted::new(&self.metrics, Request::Abort);
        Box::pin(self.inner.abort().inspect(move |done| counted.end_as(done.as_ref().err())))
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
