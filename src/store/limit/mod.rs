//! A store that is not asked for everything at once: places for reads and for writes, and bytes each second.
//!
//! Purpose: offloads must not starve reads, nor the other way round, and an operator can say what share of a link
//! tiered storage may take.
//!
//! Invariant: a read never waits for a write, nor a write for a read. A place is held while bytes move, that is
//! until a body is at its end or dropped, and never over the pause between two attempts: retries stand outside.
//!
//! Trade-off: places and rates belong to a store within an engine, with the same settings, so that a hundred
//! drivers of one bucket share them. How long requests wait stands in the metrics and not in their own time.

mod pace;

use super::{
    Arrived, Body, BoxFuture, ByteStream, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage,
    ObjectStore, Removal, Unfinished, Upload, UploadInfo, UploadMark, UploadPage, pieces::PIECE,
    registry::Registry,
};
use crate::{
    config::Settings,
    engine::Engine,
    error::{Code, Error, Result},
    metrics::{Direction, Metrics},
    status::{Places, StoreStatus, Watched},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
pub(crate) use pace::Pace;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A store and what limits it.
#[derive(PartialEq, Eq, Hash)]
struct Place {
    uri: String,
    reads: usize,
    writes: usize,
    rate_up: u64,
    rate_down: u64,
}

/// One way of a store.
struct Way {
    places: Arc<Semaphore>,
    /// How many places there are, and how many wait for one.
    limit: usize,
    waiting: AtomicUsize,
    pace: Option<Pace>,
    direction: Direction,
}

struct Ways {
    reads: Arc<Way>,
    writes: Arc<Way>,
}

impl Way {
    fn new(direction: Direction, places: usize, rate: u64) -> Arc<Way> {
        let pace = Pace::new(rate, Instant::now());
        let places = if rate == 0 { places } else { places.min(places_at(rate)) };
        let (limit, places) = (places, Arc::new(Semaphore::new(places)));
        Arc::new(Way { places, limit, waiting: AtomicUsize::new(0), pace, direction })
    }

    fn add_to(&self, places: &mut Places) {
        places.limit += self.limit;
        places.in_use += self.limit - self.places.available_permits().min(self.limit);
        places.waiting += self.waiting.load(Relaxed);
    }

    /// A place, in the order of those who wait.
    async fn enter(&self, metrics: &Metrics) -> Result<OwnedSemaphorePermit> {
        let waited = metrics.store_queue_seconds.of(self.direction);
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            waited.observe(Duration::ZERO);
            return Ok(place);
        }
        let waiting = Waiting::new(metrics, self);
        let place = self.places.clone().acquire_owned().await;
        waited.observe(waiting.since.elapsed());
        // Nobody closes them.
        place.map_err(|_| Error::new(Code::Internal, "the places of a store are closed"))
    }

    /// The bytes at this way's rate.
    fn paced(self: &Arc<Self>, body: ByteStream) -> ByteStream {
        if self.pace.is_none() {
            return body;
        }
        let way = self.clone();
        let paced = move |piece: Result<Bytes>| {
            let way = way.clone();
            async move {
                if let (Ok(piece), Some(pace)) = (&piece, &way.pace)
                    && let Some(at) = pace.place(piece.len(), Instant::now())
                {
                    tokio::time::sleep_until(at.into()).await;
                }
                piece
            }
        };
        body.then(paced).boxed()
    }
}

/// How long a body may stand still for the sake of others that share its rate: well under what an attempt waits for
/// its next byte, else a low rate would end attempts that then begin again.
const STILL: u64 = 5;

/// How many bodies share `rate` bytes each second without one standing still for longer; one at least.
fn places_at(rate: u64) -> usize {
    usize::try_from(rate.saturating_mul(STILL) / PIECE as u64)
        .unwrap_or(usize::MAX)
        .clamp(1, Semaphore::MAX_PERMITS)
}

/// Somebody who waits for a place, counted as such.
struct Waiting<'a> {
    metrics: &'a Metrics,
    way: &'a Way,
    since: Instant,
}

impl<'a> Waiting<'a> {
    fn new(metrics: &'a Metrics, way: &'a Way) -> Waiting<'a> {
        metrics.store_queue.of(way.direction).add(1);
        way.waiting.fetch_add(1, Relaxed);
        Waiting { metrics, way, since: Instant::now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.metrics.store_queue.of(self.way.direction).sub(1);
        self.way.waiting.fetch_sub(1, Relaxed);
    }
}

impl Watched for Ways {
    fn report(&self, store: &mut StoreStatus) {
        self.reads.add_to(&mut store.reads);
        self.writes.add_to(&mut store.writes);
    }
}

/// Asks `inner` for no more than the settings allow.
pub struct LimitStore {
    inner: Arc<dyn ObjectStore>,
    metrics: Arc<Metrics>,
    ways: Arc<Ways>,
}

impl LimitStore {
    /// `inner` within the places and rates of `settings`. Drivers of one engine that open the same store with the
    /// same settings share them.
    pub fn new(inner: Arc<dyn ObjectStore>, engine: &Engine, settings: &Settings) -> Arc<Self> {
        let place = Place {
            uri: inner.uri().to_owned(),
            reads: settings.store_concurrency_reads,
            writes: settings.store_concurrency_writes,
            rate_up: settings.store_rate_up,
            rate_down: settings.store_rate_down,
        };
        let registry = engine.extension(|_| Registry::<Place, Ways>::default());
        let ways = registry.of(place, |place| Ways {
            reads: Way::new(Direction::Down, place.reads, place.rate_down),
            writes: Way::new(Direction::Up, place.writes, place.rate_up),
        });
        engine.watch(inner.uri(), &ways);
        Arc::new(LimitStore { inner, metrics: engine.metrics().clone(), ways })
    }

    fn upload(&self, inner: Box<dyn Upload>) -> Box<dyn Upload> {
        let (metrics, way) = (self.metrics.clone(), self.ways.writes.clone());
        Box::new(LimitUpload { inner, metrics, way, sent: AtomicBool::new(false) })
    }

    async fn read_place(&self) -> Result<OwnedSemaphorePermit> {
        self.ways.reads.enter(&self.metrics).await
    }

    async fn write_place(&self) -> Result<OwnedSemaphorePermit> {
        self.ways.writes.enter(&self.metrics).await
    }
}

/// A body on its way here, and its place until it ends.
struct Held {
    body: ByteStream,
    place: Option<OwnedSemaphorePermit>,
}

impl Stream for Held {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.body.poll_next_unpin(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.place = None;
        }
        polled
    }
}

/// A body that goes out at the rate of its way.
struct Paced {
    inner: Arc<dyn Body>,
    way: Arc<Way>,
}

impl Body for Paced {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn open(&self) -> ByteStream {
        self.way.paced(self.inner.open())
    }

    fn crc32c(&self) -> Option<u32> {
        self.inner.crc32c()
    }

    fn not_kept(&self) {
        self.inner.not_kept();
    }
}

fn paced(way: &Arc<Way>, body: Arc<dyn Body>) -> Arc<dyn Body> {
    match way.pace {
        None => body,
        Some(_) => Arc::new(Paced { inner: body, way: way.clone() }),
    }
}

impl ObjectStore for LimitStore {
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
        Box::pin(async move {
            match self.write_place().await {
                Ok(_place) => self.inner.put(key, info, paced(&self.ways.writes, body)).await,
                Err(e) => Commit::NotDone(e),
            }
        })
    }

    fn begin<'a>(&'a self, key: &'a Key, info: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>> {
        Box::pin(async move {
            let _place = self.write_place().await?;
            let inner = self.inner.begin(key, info).await?;
            Ok(self.upload(inner))
        })
    }

    fn resume<'a>(
        &'a self,
        key: &'a Key,
        info: &'a UploadInfo,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Upload>>>> {
        Box::pin(async move {
            let _place = self.read_place().await?;
            let found = self.inner.resume(key, info, id).await?;
            Ok(found.map(|inner| self.upload(inner)))
        })
    }

    fn get<'a>(&'a self, key: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>> {
        Box::pin(async move {
            let place = self.read_place().await?;
            let get = self.inner.get(key, range).await?;
            let held = Held { body: get.body, place: Some(place) };
            Ok(Get { body: self.ways.reads.paced(held.boxed()), ..get })
        })
    }

    fn head<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Entry>> {
        Box::pin(async move {
            let _place = self.read_place().await?;
            self.inner.head(key).await
        })
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
        Box::pin(async move {
            match self.write_place().await {
                Ok(_place) => self.inner.delete(keys).await,
                Err(e) => vec![Err(e); keys.len()],
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
            let _place = self.read_place().await?;
            self.inner.list(prefix, after, max).await
        })
    }

    fn confirm<'a>(&'a self, key: &'a Key, ours: Option<&'a str>) -> BoxFuture<'a, Commit> {
        Box::pin(async move {
            match self.read_place().await {
                Ok(_place) => self.inner.confirm(key, ours).await,
                Err(e) => Commit::Unknown(e),
            }
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<i64>> {
        Box::pin(async move {
            let _place = self.read_place().await?;
            self.inner.now().await
        })
    }

    fn uploads<'a>(
        &'a self,
        owner: &'a str,
        after: Option<&'a UploadMark>,
        max: usize,
    ) -> BoxFuture<'a, Result<UploadPage>> {
        Box::pin(async move {
            let _place = self.read_place().await?;
            self.inner.uploads(owner, after, max).await
        })
    }

    fn arrived<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<Option<Arrived>>> {
        Box::pin(async move {
            let _place = self.read_place().await?;
            self.inner.arrived(upload).await
        })
    }

    fn abort_upload<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let _place = self.write_place().await?;
            self.inner.abort_upload(upload).await
        })
    }

    fn delete_unchanged<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<Removal>> {
        Box::pin(async move {
            let _place = self.write_place().await?;
            self.inner.delete_unchanged(entry).await
        })
    }
}

struct LimitUpload {
    inner: Box<dyn Upload>,
    metrics: Arc<Metrics>,
    way: Arc<Way>,
    /// A commit had its place, and was not answered as certainly not done.
    sent: AtomicBool,
}

impl Upload for LimitUpload {
    fn put_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let _place = self.way.enter(&self.metrics).await?;
            self.inner.put_part(number, offset, paced(&self.way, body)).await
        })
    }

    fn commit<'a>(&'a self) -> BoxFuture<'a, Commit> {
        Box::pin(async move {
            match self.way.enter(&self.metrics).await {
                Ok(_place) => {
                    // While it waited nothing was sent; from here on who stops waiting does not know.
                    self.sent.store(true, Release);
                    let answer = self.inner.commit().await;
                    if matches!(answer, Commit::NotDone(_)) {
                        self.sent.store(false, Release);
                    }
                    answer
                }
                Err(e) => Commit::NotDone(e),
            }
        })
    }

    fn is_unsent(&self) -> bool {
        !self.sent.load(Acquire)
    }

    fn abort<'a>(&'a self) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let _place = self.way.enter(&self.metrics).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_rate_is_shared_by_few() {
        let places = |rate| Way::new(Direction::Up, 64, rate).places.available_permits();
        assert_eq!([0, 1, 800_000, 100 << 20, u64::MAX].map(places), [64, 1, 15, 64, 64]);
    }
}
