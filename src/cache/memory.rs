//! What was fetched and verified, kept in memory as long as there is room.
//!
//! Purpose: brokers read the same blocks again: many consumers at one place, and one consumer that takes a
//! block in many small reads.
//!
//! Invariant: the sum of the weights never passes the size, every byte is a reservation of the budget
//! ([`Class::Cache`]), and all of it can be taken back at any moment ([`Reclaim`]).
//!
//! Trade-off: a hit takes the lock of one shard for a lookup, allocates nothing and does no I/O. The policy is
//! 2Q: what is new waits in *probation* (a quarter, first in, first out) and is *protected* (least recently
//! used goes first) only if it is asked for again soon after it fell out of there. One pass through a segment,
//! however often it touches each block on its way, therefore never displaces what is used again and again;
//! the price is that a block that will be hot is fetched twice. A policy that counts hits would save that
//! fetch, and would take the many small reads of one pass for heat.

use crate::engine::{Budget, Class, Reclaim, Reservation};
use crate::metrics::CacheKind;
use lru::LruCache;
use parking_lot::Mutex;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What a cached value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A block's raw bytes.
    Block,
    /// A page of a block index.
    Page,
    /// A tail.
    Tail,
    /// An attachment's raw bytes.
    Attachment,
}

/// What identifies a cached value: never the object's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// The object's UUID as a number.
    pub object: u128,
    /// What it is.
    pub kind: Kind,
    /// Which one of its kind.
    pub number: u64,
}

/// Where a new value begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// With what may be read once only: blocks.
    Probation,
    /// With what is used again and again: tails and index pages, small and needed for every read.
    Protected,
}

/// What an entry costs beside its weight: nodes of the map and the list, and its ghost.
const OVERHEAD: u64 = 256;

/// A shard below this holds too few blocks to have a policy; a single one of up to 4 MiB should fit.
const MIN_SHARD: u64 = 8 << 20;

/// More shards than this do not help: the lock is held for some 50 ns.
const MAX_SHARDS: u64 = 16;

/// Ghosts are remembered for as many bytes as this part of the shard, if they were blocks of 64 KiB.
const GHOSTS_PER: u64 = 64 * 1024;

struct Held<V> {
    value: V,
    memory: Reservation,
}

struct Shard<V> {
    probation: LruCache<CacheKey, Held<V>>,
    protected: LruCache<CacheKey, Held<V>>,
    /// What fell out of probation lately.
    ghosts: LruCache<CacheKey, ()>,
    probation_bytes: u64,
    protected_bytes: u64,
}

impl<V> Shard<V> {
    fn new() -> Self {
        Shard {
            probation: LruCache::unbounded(),
            protected: LruCache::unbounded(),
            ghosts: LruCache::unbounded(),
            probation_bytes: 0,
            protected_bytes: 0,
        }
    }

    fn bytes(&self) -> u64 {
        self.probation_bytes + self.protected_bytes
    }

    fn remove(&mut self, key: &CacheKey) -> Option<Held<V>> {
        if let Some(held) = self.protected.pop(key) {
            self.protected_bytes -= held.memory.bytes();
            return Some(held);
        }
        let held = self.probation.pop(key)?;
        self.probation_bytes -= held.memory.bytes();
        Some(held)
    }

    /// Takes the next one out. `probation` is the part that probation may keep.
    fn evict(&mut self, probation: u64, ghosts: usize) -> Option<Held<V>> {
        if self.probation_bytes > probation || self.protected.is_empty() {
            let (key, held) = self.probation.pop_lru()?;
            self.probation_bytes -= held.memory.bytes();
            self.ghosts.put(key, ());
            if self.ghosts.len() > ghosts {
                self.ghosts.pop_lru();
            }
            return Some(held);
        }
        let (_, held) = self.protected.pop_lru()?;
        self.protected_bytes -= held.memory.bytes();
        Some(held)
    }
}

struct Shared<V> {
    shards: Box<[Mutex<Shard<V>>]>,
    budget: Budget,
    size: u64,
    shard_size: u64,
    /// Where reclaiming goes on, so that it does not always empty the same shard.
    next: AtomicUsize,
    reclaims: AtomicU64,
}

/// A look at a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheStats {
    /// Bytes that it may hold.
    pub size: u64,
    /// Bytes that it holds.
    pub bytes: u64,
    /// Values that it holds.
    pub entries: u64,
    /// Lookups that found something.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// Values that it gave up, for others or for the budget.
    pub evictions: u64,
    /// Those of them that it gave up because memory was needed elsewhere.
    pub reclaims: u64,
}

/// A cache of values that are cheap to clone (`Bytes`, `Arc`). Clones are the same cache; any thread may
/// use it.
pub struct MemoryCache<V>(Arc<Shared<V>>);

impl<V: Clone + Send + Sync + 'static> MemoryCache<V> {
    /// A cache of at most `size` bytes, 0 for none at all, that yields to `budget`.
    pub fn new(size: u64, budget: &Budget) -> Self {
        let shards = 1 << (size / MIN_SHARD).clamp(1, MAX_SHARDS).ilog2();
        let shared = Arc::new(Shared {
            shards: (0..shards).map(|_| Mutex::new(Shard::new())).collect(),
            budget: budget.clone(),
            size,
            shard_size: size / shards,
            next: AtomicUsize::new(0),
            reclaims: AtomicU64::new(0),
        });
        let weak: std::sync::Weak<Shared<V>> = Arc::downgrade(&shared);
        budget.add_reclaim(weak);
        MemoryCache(shared)
    }

    /// The value, if it is there. It stays valid after it was evicted; who keeps it for longer than a copy
    /// takes reserves its bytes as [`Class::Lent`] or [`Class::Read`].
    pub fn get(&self, key: &CacheKey) -> Option<V> {
        let mut shard = self.0.shard(key).lock();
        let found = match shard.protected.get(key) {
            Some(held) => Some(held.value.clone()),
            // Without moving it: probation is first in, first out.
            None => shard.probation.peek(key).map(|held| held.value.clone()),
        };
        drop(shard);
        let metrics = self.0.budget.metrics();
        let counter = if found.is_some() { &metrics.cache_hits } else { &metrics.cache_misses };
        counter.of(CacheKind::Memory).add(1);
        found
    }

    /// The value, if it is there; counts as no use of it.
    pub fn peek(&self, key: &CacheKey) -> Option<V> {
        let shard = self.0.shard(key).lock();
        shard.protected.peek(key).or_else(|| shard.probation.peek(key)).map(|held| held.value.clone())
    }

    /// Whether a value is there; counts as no use of it.
    pub fn contains(&self, key: &CacheKey) -> bool {
        let shard = self.0.shard(key).lock();
        shard.protected.contains(key) || shard.probation.contains(key)
    }

    /// Keeps a value. `memory` is the reservation that it was fetched with, of any class, and its bytes are
    /// the value's weight; it becomes the cache's. Replaces what is there under the key.
    ///
    /// # Errors
    /// The reservation, if the value is not kept: it is too large, the cache is off, or somebody waits for
    /// memory. The caller holds it as long as it uses the value.
    pub fn insert(
        &self,
        key: CacheKey,
        value: V,
        memory: Reservation,
        place: Place,
    ) -> Result<(), Reservation> {
        let weight = memory.bytes() + OVERHEAD;
        if weight > self.0.shard_size {
            return Err(memory);
        }
        let memory = memory.into_class(Class::Cache)?;
        let mut evicted = Vec::new();
        {
            let mut shard = self.0.shard(&key).lock();
            evicted.extend(shard.remove(&key));
            let replaced = evicted.len();
            self.0.make_room(&mut shard, memory.bytes(), &mut evicted);
            let metrics = self.0.budget.metrics();
            metrics.cache_evictions.of(CacheKind::Memory).add((evicted.len() - replaced) as u64);
            let again = shard.ghosts.pop(&key).is_some();
            if again || place == Place::Protected {
                shard.protected_bytes += memory.bytes();
                shard.protected.put(key, Held { value, memory });
            } else {
                shard.probation_bytes += memory.bytes();
                shard.probation.put(key, Held { value, memory });
            }
        }
        // After the lock: giving memory back serves who waits, and values may be large.
        drop(evicted);
        // Somebody may have come to wait between the conversion and the insertion, and found nothing here.
        self.0.budget.settle();
        Ok(())
    }

    /// Forgets a value: it turned out to be wrong, or its object was deleted.
    pub fn remove(&self, key: &CacheKey) {
        let removed = self.0.shard(key).lock().remove(key);
        drop(removed);
    }

    /// A look at it.
    pub fn stats(&self) -> CacheStats {
        let metrics = self.0.budget.metrics();
        let mut stats = CacheStats {
            size: self.0.size,
            hits: metrics.cache_hits.of(CacheKind::Memory).value(),
            misses: metrics.cache_misses.of(CacheKind::Memory).value(),
            evictions: metrics.cache_evictions.of(CacheKind::Memory).value(),
            reclaims: self.0.reclaims.load(Relaxed),
            ..CacheStats::default()
        };
        for shard in &self.0.shards {
            let shard = shard.lock();
            stats.bytes += shard.bytes();
            stats.entries += (shard.probation.len() + shard.protected.len()) as u64;
        }
        stats
    }
}

impl<V> Shared<V> {
    fn shard(&self, key: &CacheKey) -> &Mutex<Shard<V>> {
        // UUIDs are random where it matters; the number spreads the blocks of one object.
        let spread = (key.object as u64 ^ (key.object >> 64) as u64)
            .wrapping_add(key.number)
            .wrapping_add(key.kind as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // `shards` is a power of two of at most 16: the upper bits are the well-mixed ones.
        &self.shards[(spread >> 32) as usize & (self.shards.len() - 1)]
    }

    fn make_room(&self, shard: &mut Shard<V>, bytes: u64, evicted: &mut Vec<Held<V>>) {
        loop {
            let entries = (shard.probation.len() + shard.protected.len()) as u64 + 1;
            if shard.bytes() + bytes + entries * OVERHEAD <= self.shard_size {
                return;
            }
            match shard.evict(self.shard_size / 4, self.ghosts()) {
                Some(held) => evicted.push(held),
                None => return,
            }
        }
    }

    fn ghosts(&self) -> usize {
        (self.shard_size / GHOSTS_PER) as usize
    }
}

impl<V: Send + Sync> Reclaim for Shared<V> {
    fn reclaim(&self, bytes: u64) -> u64 {
        let mut freed = 0;
        let (mut empty, shards) = (0, self.shards.len());
        while freed < bytes && empty < shards {
            let i = self.next.fetch_add(1, Relaxed) % shards;
            let evicted = self.shards[i].lock().evict(self.shard_size / 4, self.ghosts());
            match evicted {
                None => empty += 1,
                Some(held) => {
                    empty = 0;
                    freed += held.memory.bytes();
                    self.reclaims.fetch_add(1, Relaxed);
                    self.budget.metrics().cache_evictions.of(CacheKind::Memory).add(1);
                }
            }
        }
        freed
    }
}

impl<V> Clone for MemoryCache<V> {
    fn clone(&self) -> Self {
        MemoryCache(self.0.clone())
    }
}

impl<V: Clone + Send + Sync + 'static> fmt::Debug for MemoryCache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryCache").field(&self.stats()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const MIB: u64 = 1 << 20;

    fn budget(limit: u64) -> Budget {
        Budget::new(limit, 0, Arc::default()).unwrap()
    }

    fn block(number: u64) -> CacheKey {
        CacheKey { object: 7, kind: Kind::Block, number }
    }

    /// Reads a block of `len` bytes as a reader does; true if the cache had it.
    fn read(cache: &MemoryCache<Bytes>, budget: &Budget, key: CacheKey, len: u64) -> bool {
        if let Some(bytes) = cache.get(&key) {
            assert_eq!(bytes.len() as u64, len, "the value of another key");
            return true;
        }
        let memory = budget.try_reserve(Class::Read, len).unwrap();
        // What is not kept is none of this reader's business.
        let _ = cache.insert(key, Bytes::from(vec![0; len as usize]), memory, Place::Probation);
        false
    }

    #[test]
    fn what_was_put_in_is_found_and_nothing_else_is() {
        let budget = budget(32 * MIB);
        let cache = MemoryCache::new(8 * MIB, &budget);
        assert!(!read(&cache, &budget, block(1), 1000));
        assert!(read(&cache, &budget, block(1), 1000));
        for other in [
            CacheKey { object: 8, ..block(1) },
            CacheKey { kind: Kind::Page, ..block(1) },
            CacheKey { number: 2, ..block(1) },
        ] {
            assert!(cache.get(&other).is_none() && !cache.contains(&other));
        }
        cache.remove(&block(1));
        assert!(!cache.contains(&block(1)));
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.bytes, stats.entries), (1, 4, 0, 0));
        assert_eq!(budget.stats().used, 0);
    }

    #[test]
    fn it_never_holds_more_than_it_was_told_and_accounts_for_every_byte() {
        let budget = budget(128 * MIB);
        let cache = MemoryCache::new(24 * MIB, &budget);
        for n in 0..1000 {
            read(&cache, &budget, block(n), 200_000 + n * 7);
            let stats = cache.stats();
            assert!(stats.bytes + stats.entries * OVERHEAD <= 24 * MIB, "{stats:?}");
            assert_eq!(budget.stats().cache, stats.bytes);
            assert_eq!(budget.stats().reads, 0);
        }
        assert!(cache.stats().bytes > 22 * MIB, "and uses what it was told: {:?}", cache.stats());
        drop(cache);
        assert_eq!(budget.stats().used, 0);
    }

    #[test]
    fn what_is_not_kept_gives_the_reservation_back() {
        let budget = budget(32 * MIB);
        let off = MemoryCache::new(0, &budget);
        let memory = budget.try_reserve(Class::Read, 10).unwrap();
        let memory = off.insert(block(1), (), memory, Place::Probation).unwrap_err();
        assert_eq!((memory.bytes(), memory.class()), (10, Class::Read));
        let small = MemoryCache::new(MIB, &budget);
        let large = budget.try_reserve(Class::Read, MIB + 1).unwrap();
        assert_eq!(small.insert(block(1), (), large, Place::Protected).unwrap_err().bytes(), MIB + 1);
    }

    #[test]
    fn a_value_that_is_put_in_twice_is_counted_once() {
        let budget = budget(32 * MIB);
        let cache = MemoryCache::new(8 * MIB, &budget);
        for place in [Place::Probation, Place::Protected, Place::Probation] {
            let memory = budget.try_reserve(Class::Read, 5000).unwrap();
            cache.insert(block(1), (), memory, place).unwrap();
        }
        let stats = cache.stats();
        assert_eq!((stats.bytes, stats.entries, stats.evictions, budget.stats().used), (5000, 1, 0, 5000));
    }

    #[test]
    fn one_pass_through_a_large_segment_does_not_displace_what_is_used_again_and_again() {
        const LEN: u64 = 64 * 1024;
        let budget = budget(64 * MIB);
        let cache = MemoryCache::new(16 * MIB, &budget);
        // 100 hot blocks of 64 KiB are 6 MiB of 16. They become hot as blocks do: among others.
        let hot = || (0..100).map(|n| CacheKey { object: 1, ..block(n) });
        for round in 0..4_u64 {
            for key in hot() {
                read(&cache, &budget, key, LEN);
            }
            for n in 0..200 {
                read(&cache, &budget, block(round * 200 + n), LEN);
            }
        }
        let scanned = CacheKey { object: 2, ..block(0) };
        for n in 0..4000 {
            // Each block of the pass is read in eight small reads.
            for _ in 0..8 {
                read(&cache, &budget, CacheKey { number: n, ..scanned }, LEN);
            }
        }
        let still = hot().filter(|key| cache.contains(key)).count();
        assert!(still >= 90, "{still} of 100 hot blocks outlived a pass of 250 MiB");
    }

    #[test]
    fn among_hot_blocks_the_one_not_used_for_longest_goes_first() {
        let budget = budget(64 * MIB);
        let cache = MemoryCache::new(MIB, &budget);
        let put = |n| {
            let memory = budget.try_reserve(Class::Read, 250_000).unwrap();
            cache.insert(block(n), (), memory, Place::Protected).unwrap();
        };
        (0..4).for_each(put);
        assert!(cache.get(&block(0)).is_some());
        put(4);
        assert!(cache.contains(&block(0)) && !cache.contains(&block(1)));
    }

    #[test]
    fn all_of_it_can_be_taken_back_for_others() {
        let budget = budget(32 * MIB);
        let cache = MemoryCache::new(32 * MIB, &budget);
        for n in 0..200 {
            read(&cache, &budget, block(n), 200_000);
        }
        assert!(budget.stats().cache > 28 * MIB);
        let part = budget.try_reserve(Class::Upload, 28 * MIB).unwrap();
        assert!(budget.stats().used <= 32 * MIB);
        let other = budget.try_reserve(Class::Read, 4 * MIB).unwrap();
        let stats = cache.stats();
        assert_eq!((stats.bytes, stats.entries), (0, 0));
        assert!(stats.reclaims >= 100 && stats.evictions >= stats.reclaims);
        drop((part, other));
    }

    #[test]
    fn readers_writers_and_the_budget_can_all_pull_at_it_at_once() {
        let budget = budget(16 * MIB);
        let cache = MemoryCache::new(16 * MIB, &budget);
        std::thread::scope(|s| {
            for t in 0..6_u64 {
                let (cache, budget) = (cache.clone(), budget.clone());
                s.spawn(move || {
                    for n in 0..3000 {
                        let key = block(n * (t + 1) % 400);
                        if n % 50 == t {
                            drop(budget.try_reserve(Class::Upload, 12 * MIB));
                        } else if n % 97 == 0 {
                            cache.remove(&key);
                        } else if let Some(number) = cache.get(&key) {
                            assert_eq!(number, key.number);
                        } else if let Ok(memory) = budget.try_reserve(Class::Read, 100_000) {
                            let _ = cache.insert(key, key.number, memory, Place::Probation);
                        }
                    }
                });
            }
        });
        let (stats, held) = (cache.stats(), budget.stats());
        assert_eq!((held.cache, held.used), (stats.bytes, stats.bytes));
        assert!(held.peak <= held.limit);
        drop(cache);
        assert_eq!(budget.stats().used, 0);
    }
}
