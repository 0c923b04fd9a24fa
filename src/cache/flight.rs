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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    fn lead<V: Clone>(flight: Flight<u32, V>) -> Lead<u32, V> {
        match flight {
            Flight::Lead(lead) => lead,
            Flight::Join(_) => panic!("somebody else leads"),
        }
    }

    fn join<V: Clone>(flight: Flight<u32, V>) -> Join<V> {
        match flight {
            Flight::Lead(_) => panic!("nobody leads"),
            Flight::Join(join) => join,
        }
    }

    #[test]
    fn those_who_join_get_what_the_lead_brought() {
        let flights = Flights::new();
        let first = lead(flights.join_or_lead(1));
        let waiting = [join(flights.join_or_lead(1)), flights.join(&1).unwrap(), first.join()];
        assert!(first.is_awaited() && flights.join(&2).is_none());
        first.land(Ok("bytes"));
        for join in waiting {
            assert_eq!(join.landed().now_or_never().unwrap().unwrap(), "bytes");
        }
        assert!(flights.is_empty());
        drop(lead(flights.join_or_lead(1)));
        assert!(flights.is_empty(), "after the flight the next one leads");
    }

    #[test]
    fn those_who_join_get_the_error_too() {
        let flights = Flights::<u32, ()>::new();
        let first = lead(flights.join_or_lead(1));
        let waiting = join(flights.join_or_lead(1));
        first.land(Err(Error::new(Code::Corrupt, "block 1 is damaged")));
        assert_eq!(waiting.landed().now_or_never().unwrap().unwrap_err().code(), Code::Corrupt);
    }

    #[test]
    fn nobody_hangs_when_the_lead_is_lost() {
        let flights = Flights::<u32, ()>::new();
        let first = lead(flights.join_or_lead(1));
        let waiting = join(flights.join_or_lead(1));
        assert!(
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                let _first = first;
                std::panic::resume_unwind(Box::new("a defect"));
            }))
            .is_err()
        );
        let error = waiting.landed().now_or_never().unwrap().unwrap_err();
        assert!(error.code() == Code::Internal && error.retryable());
        drop(lead(flights.join_or_lead(1)));
    }

    #[test]
    fn one_fetch_can_lead_a_run_of_blocks_and_join_where_others_lead() {
        let flights = Flights::new();
        let other = lead(flights.join_or_lead(3));
        let run = flights.join_or_lead_many([1, 2, 3, 4, 4]);
        let leads: Vec<_> = run.iter().map(|f| matches!(f, Flight::Lead(_))).collect();
        assert_eq!(leads, [true, true, false, true, false]);
        assert_eq!(flights.len(), 4);
        let mut waiting = Vec::new();
        for flight in run {
            match flight {
                Flight::Lead(lead) => {
                    let key = *lead.key();
                    lead.land(Ok(key));
                }
                Flight::Join(join) => waiting.push(join),
            }
        }
        other.land(Ok(3));
        let joined: Vec<_> =
            waiting.into_iter().map(|j| j.landed().now_or_never().unwrap().unwrap()).collect();
        assert_eq!(joined, [3, 4]);
        assert!(flights.is_empty());
    }

    #[test]
    fn a_reader_that_gives_up_disturbs_neither_the_flight_nor_the_others() {
        let flights = Flights::new();
        let first = lead(flights.join_or_lead(1));
        let (gives_up, waits) = (join(flights.join_or_lead(1)), join(flights.join_or_lead(1)));
        drop(gives_up);
        first.land(Ok(5));
        assert_eq!(waits.landed().now_or_never().unwrap().unwrap(), 5);
    }

    #[test]
    fn of_many_threads_that_want_one_key_at_once_one_fetches() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        for round in 0..50 {
            let (flights, fetched) = (Flights::<u32, u32>::new(), Arc::new(AtomicUsize::new(0)));
            let cached = Arc::new(Mutex::new(None));
            let readers: Vec<_> = (0..16)
                .map(|_| {
                    let (flights, fetched, cached) = (flights.clone(), fetched.clone(), cached.clone());
                    runtime.spawn(async move {
                        if let Some(hit) = *cached.lock() {
                            return hit;
                        }
                        match flights.join_or_lead(round) {
                            Flight::Join(join) => join.landed().await.unwrap(),
                            Flight::Lead(lead) => {
                                let again = *cached.lock();
                                let value = match again {
                                    Some(hit) => hit,
                                    None => {
                                        fetched.fetch_add(1, SeqCst);
                                        tokio::task::yield_now().await;
                                        *cached.lock() = Some(round + 7);
                                        round + 7
                                    }
                                };
                                lead.land(Ok(value));
                                value
                            }
                        }
                    })
                })
                .collect();
            for reader in readers {
                assert_eq!(runtime.block_on(reader).unwrap(), round + 7);
            }
            assert_eq!((fetched.load(SeqCst), flights.len()), (1, 0));
        }
    }
}
