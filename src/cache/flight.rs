//! Single flight: who wants what is already being fetched joins that fetch.
//!
//! Purpose: a hundred consumers at one place of a segment cost one request.
//!
//! Invariant: nobody who joined hangs. A lead that is dropped without landing (its task panicked, or the
//! engine ended) wakes all who joined with an error.
//!
//! Trade-off: one lock over all keys, held for a map operation; it is taken on a miss only, beside a request
//! to a store.
//!
//! How to fill a cache with it: miss, [`Flights::join_or_lead`]; who leads **looks into the cache once more**
//! (the former flight may have landed in between), then fetches in a task of its own, so that the fill
//! outlives the reader that asked; puts the value into the cache *before* it lands; and everybody, the reader
//! that leads included, waits for a [`Join`].

use crate::engine::Patience;
use crate::error::{Code, Error, Result};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use tokio::sync::watch;

type Landed<V> = Option<Result<V>>;

/// A fetch under way: its result to come, and what keeps it.
type UnderWay<V> = (watch::Receiver<Landed<V>>, Patience);

struct Shared<K, V>(Mutex<HashMap<K, UnderWay<V>>>);

/// The fetches under way. Clones are the same; any thread may use them.
pub struct Flights<K: Eq + Hash + Clone, V>(Arc<Shared<K, V>>);

/// What to do about a key.
pub enum Flight<K: Eq + Hash + Clone, V> {
    /// Nobody fetches it: do it, and land.
    Lead(Lead<K, V>),
    /// Somebody fetches it: wait.
    Join(Join<V>),
}

impl<K: Eq + Hash + Clone, V: Clone> Flights<K, V> {
    /// No fetch is under way.
    pub fn new() -> Self {
        Flights(Arc::new(Shared(Mutex::default())))
    }

    /// The lead of `key`, or a place among those who wait for it.
    pub fn join_or_lead(&self, key: K) -> Flight<K, V> {
        self.enter(&mut self.0.0.lock(), key)
    }

    /// The same for many keys in one step, in their order: for a fetch that covers a run of blocks. Of keys
    /// that are there twice the first leads.
    pub fn join_or_lead_many(&self, keys: impl IntoIterator<Item = K>) -> Vec<Flight<K, V>> {
        let keys: Vec<K> = keys.into_iter().collect();
        let mut flights = self.0.0.lock();
        keys.into_iter().map(|key| self.enter(&mut flights, key)).collect()
    }

    /// Joins the fetch of `key`, if there is one.
    pub fn join(&self, key: &K) -> Option<Join<V>> {
        self.0.0.lock().get(key).cloned().map(|(landed, patience)| Join(landed, patience))
    }

    /// Whether a key is being fetched.
    pub fn has(&self, key: &K) -> bool {
        self.0.0.lock().contains_key(key)
    }

    /// How many keys are being fetched.
    pub fn len(&self) -> usize {
        self.0.0.lock().len()
    }

    /// Whether nothing is being fetched.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn enter(&self, flights: &mut HashMap<K, UnderWay<V>>, key: K) -> Flight<K, V> {
        match flights.entry(key) {
            Entry::Occupied(under_way) => {
                let (landed, patience) = under_way.get().clone();
                Flight::Join(Join(landed, patience))
            }
            Entry::Vacant(free) => {
                let (result, landed) = watch::channel(None);
                let key = free.key().clone();
                let patience = Patience::current();
                free.insert((landed, patience.clone()));
                Flight::Lead(Lead { flights: self.0.clone(), key, result, patience })
            }
        }
    }
}

/// The duty to fetch a key. Dropping it wakes all who joined with `INTERNAL`.
#[must_use]
pub struct Lead<K: Eq + Hash + Clone, V> {
    flights: Arc<Shared<K, V>>,
    key: K,
    result: watch::Sender<Landed<V>>,
    patience: Patience,
}

impl<K: Eq + Hash + Clone, V> Lead<K, V> {
    /// What is to be fetched.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// A place among those who wait: for the reader whose task leads.
    pub fn join(&self) -> Join<V> {
        Join(self.result.subscribe(), self.patience.clone())
    }

    /// Whether anybody waits.
    pub fn is_awaited(&self) -> bool {
        // One receiver is the map's.
        self.result.receiver_count() > 1
    }

    /// Ends the flight: later calls for the key lead again, and those who joined get the result.
    pub fn land(self, result: Result<V>) {
        // First out of the map, so that nobody joins a flight that is over; `drop` does it as well.
        self.leave();
        self.result.send_replace(Some(result));
    }

    fn leave(&self) {
        let mut flights = self.flights.0.lock();
        // After `land` the key may be led by another flight already: that one stays.
        if flights.get(&self.key).is_some_and(|(r, _)| r.same_channel(&self.result.subscribe())) {
            flights.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash + Clone, V> Drop for Lead<K, V> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A place among those who wait for a fetch. Giving up (dropping it) disturbs nobody.
pub struct Join<V>(watch::Receiver<Landed<V>>, Patience);

impl<V: Clone> Join<V> {
    /// What the fetch came to. Needs no runtime; put it into the operation's guard.
    ///
    /// # Errors
    /// The fetch's, or `INTERNAL` (a retry helps) if it ended without a result.
    pub async fn landed(mut self) -> Result<V> {
        let lost = || {
            let message = "the fetch that this read had joined ended without a result; repeat the read";
            Err(Error::new(Code::Internal, message).with_retryable(true))
        };
        // Should time run out here, the cause is whatever the fetch fails at.
        Patience::current().follow(&self.1);
        match self.0.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone().unwrap_or_else(lost),
            Err(_) => lost(),
        }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Flights::new()
    }
}

impl<K: Eq + Hash + Clone, V> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Flights(self.0.clone())
    }
}

impl<K: Eq + Hash + Clone, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("under_way", &self.0.0.lock().len()).finish()
    }
}
