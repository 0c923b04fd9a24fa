//! What all readers of an engine share: cache, single flight, read-ahead, decompressors.
//!
//! Everything is keyed by object UUID, never by key or store: a key that was deleted and written again is another
//! object, and two drivers of one store, or of a store and its mirror, share what they read.
//!
//! Tails and index pages are kept parsed, so that a hit decodes nothing and allocates nothing; they stand in the
//! cache beside the blocks and are charged with the memory that they really hold.

use super::ahead::Ahead;
use crate::{
    cache::{CacheKey, Flights, Kind, MemoryCache, Place},
    codec::{Codec, Decompressor, checksum},
    engine::{Engine, Reservation},
    error::Result,
    metrics::{Form, Metrics, Work},
    object::{ObjectId, Page, Tail},
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Decompressors that wait for their next run of blocks, at most: as many as an engine has threads by default,
/// and some more. One keeps about 160 KiB.
const IDLE_DECOMPRESSORS: usize = 8;

/// The part of the cache that may be fetched ahead at one time: what was fetched and not asked for yet must fit the
/// quarter that the cache keeps for such blocks, or it is gone before its reader comes.
const AHEAD_SHARE: u64 = 4;

/// What the cache keeps. Immutable; a clone is a counter.
#[derive(Clone)]
pub enum Value {
    /// The verified raw bytes of a block, and their CRC32C where every hit is checked again.
    Block(Bytes, Option<u32>),
    /// A verified index page.
    Page(Arc<Page>),
    /// A verified tail.
    Tail(Arc<Tail>),
}

impl Value {
    /// The memory that it holds, in bytes.
    fn weight(&self) -> u64 {
        match self {
            Value::Block(bytes, _) => bytes.len() as u64,
            Value::Page(page) => page.memory() as u64,
            Value::Tail(tail) => tail.memory() as u64,
        }
    }
}

/// What all readers of an engine share.
pub struct Shared {
    cache: MemoryCache<Value>,
    /// Bytes that may be fetched ahead at one time.
    ahead_limit: usize,
    pub(super) flights: Flights<CacheKey, Value>,
    pub(super) ahead: Ahead,
    /// Raw bytes that are being fetched ahead just now.
    fetching_ahead: AtomicUsize,
    decompressors: Mutex<Vec<Decompressor>>,
    pub(super) metrics: Arc<Metrics>,
    /// `cache.memory.verify = always`
    verify_hits: bool,
}

impl Shared {
    /// What the readers of `engine` share, made by the first of them. `verify_hits` (`cache.memory.verify=always`)
    /// checks every hit of a block again.
    pub fn of(engine: &Engine, verify_hits: bool) -> Arc<Shared> {
        engine.extension(|engine| Shared::new(engine, verify_hits))
    }

    fn new(engine: &Engine, verify_hits: bool) -> Self {
        let size = engine.options().cache_size;
        Shared {
            cache: MemoryCache::new(size, engine.budget()),
            ahead_limit: usize::try_from(size / AHEAD_SHARE).unwrap_or(usize::MAX),
            flights: Flights::new(),
            ahead: Ahead::new(),
            fetching_ahead: AtomicUsize::new(0),
            decompressors: Mutex::default(),
            metrics: engine.metrics().clone(),
            verify_hits,
        }
    }

    /// The memory cache, to look at.
    pub fn cache(&self) -> &MemoryCache<Value> {
        &self.cache
    }

    /// The value in memory, if it is there and still what it was.
    pub(super) fn cached(&self, key: &CacheKey) -> Option<Value> {
        let value = self.cache.get(key)?;
        if let Value::Block(bytes, Some(crc32c)) = &value
            && checksum::crc32c(bytes) != *crc32c
        {
            self.metrics.checksum_failures.add(1);
            self.cache.remove(key);
            return None;
        }
        Some(value)
    }

    /// The same for the second look of whoever leads a flight, which is no miss of its own.
    pub(super) fn cached_meanwhile(&self, key: &CacheKey) -> Option<Value> {
        if self.cache.contains(key) { self.cached(key) } else { None }
    }

    /// Counts bytes of segments that reads moved.
    pub(super) fn count(&self, form: Form, bytes: u64) {
        self.metrics.segment_bytes.of(Work::Read).of(form).add(bytes);
    }

    /// Whether a block is in memory; no use of it.
    pub(super) fn has_block(&self, id: ObjectId, number: u32) -> bool {
        self.cache.contains(&block_key(id, number))
    }

    /// The index page, if it is in memory; no use of it.
    pub(super) fn peek_page(&self, id: ObjectId, number: usize) -> Option<Arc<Page>> {
        match self.cache.peek(&page_key(id, number))? {
            Value::Page(page) => Some(page),
            Value::Block(..) | Value::Tail(_) => None,
        }
    }

    /// Whether a block is being fetched for the cache.
    pub(super) fn is_coming(&self, id: ObjectId, number: u32) -> bool {
        self.flights.has(&block_key(id, number))
    }

    pub(super) fn cached_block(&self, id: ObjectId, number: u32) -> Option<Bytes> {
        match self.cached(&block_key(id, number))? {
            Value::Block(bytes, _) => Some(bytes),
            Value::Page(_) | Value::Tail(_) => None,
        }
    }

    pub(super) fn cached_page(&self, id: ObjectId, number: usize) -> Option<Arc<Page>> {
        match self.cached(&page_key(id, number))? {
            Value::Page(page) => Some(page),
            Value::Block(..) | Value::Tail(_) => None,
        }
    }

    pub(super) fn cached_tail(&self, id: ObjectId) -> Option<Arc<Tail>> {
        match self.cached(&tail_key(id))? {
            Value::Tail(tail) => Some(tail),
            Value::Block(..) | Value::Page(_) => None,
        }
    }

    /// Verified raw bytes as the cache keeps them.
    pub(super) fn block_value(&self, bytes: Bytes) -> Value {
        let crc32c = self.verify_hits.then(|| checksum::crc32c(&bytes));
        Value::Block(bytes, crc32c)
    }

    /// Keeps `value` if the cache can take it; `held` is the memory that was reserved for it.
    pub(super) fn keep(&self, key: CacheKey, value: Value, mut held: Reservation) {
        let weight = value.weight();
        // A share that came out too small (hostile lengths) cannot stand for the value.
        if held.bytes() < weight {
            return;
        }
        held.shrink_to(weight);
        let place = match value {
            Value::Block(..) => Place::Probation,
            Value::Page(_) | Value::Tail(_) => Place::Protected,
        };
        // What the cache cannot take, those who wait for it still get; their copies end with the read.
        drop(self.cache.insert(key, value, held, place));
    }

    /// Takes `bytes` out of what may be fetched ahead at one time. `None` if there is no room.
    pub(super) fn admit_ahead(self: &Arc<Self>, bytes: usize) -> Option<AheadPermit> {
        let admitted = self.fetching_ahead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            now.checked_add(bytes).filter(|sum| *sum <= self.ahead_limit)
        });
        admitted.ok().map(|_| AheadPermit { shared: self.clone(), bytes })
    }

    /// The largest window that can be fetched ahead, in bytes.
    pub(super) fn ahead_limit(&self) -> u64 {
        self.ahead_limit as u64
    }

    /// What decoding blocks of `codec` takes: an idle decompressor or a new one, nothing without a codec.
    pub(super) fn decompressor(&self, codec: Codec) -> Result<Option<Decompressor>> {
        match codec {
            Codec::None => Ok(None),
            Codec::Zstd => match self.decompressors.lock().pop() {
                Some(idle) => Ok(Some(idle)),
                None => Decompressor::new().map(Some),
            },
        }
    }

    /// Keeps a decompressor for the next.
    pub(super) fn give_back(&self, decompressor: Option<Decompressor>) {
        let mut idle = self.decompressors.lock();
        if idle.len() < IDLE_DECOMPRESSORS {
            idle.extend(decompressor);
        }
    }
}

/// Bytes that are being fetched ahead.
pub(super) struct AheadPermit {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for AheadPermit {
    fn drop(&mut self) {
        self.shared.fetching_ahead.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub(super) fn block_key(id: ObjectId, number: u32) -> CacheKey {
    CacheKey { object: id.0.as_u128(), kind: Kind::Block, number: number.into() }
}

pub(super) fn page_key(id: ObjectId, number: usize) -> CacheKey {
    CacheKey { object: id.0.as_u128(), kind: Kind::Page, number: number as u64 }
}

pub(super) fn tail_key(id: ObjectId) -> CacheKey {
    CacheKey { object: id.0.as_u128(), kind: Kind::Tail, number: 0 }
}
