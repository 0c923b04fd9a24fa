//! A store that tries again: each request that failed for a reason that may pass, within limits.
//!
//! Purpose: attempts are made in one place, for every kind of store, so that they are counted, bounded and
//! never multiplied by a client that retries below.
//!
//! - `table`: which request is sent again after which error.
//! - `tries`: how often, when, and what is said in the end.
//! - `tokens`: the budget of retries, so that an outage is not made worse.
//! - `breaker`: fails at once while the store is down, and finds out when it is back.
//! - `body`: a read that broke goes on where it broke.
//!
//! Invariant: nothing is sent again unless the store says for certain that the last attempt did nothing, or
//! doing it twice is the same as once. A commit whose result is not known is not sent again here: whether it
//! needs to be, only a look at the object shows, and that is the writer's.
//!
//! Trade-off: budget and breaker belong to a store and its settings within an engine, not to a driver: a broker's
//! hundred drivers of one bucket learn of an outage together. The price is a registry by URI.

mod body;
mod breaker;
mod table;
mod tokens;
mod tries;

use super::{
    Arrived, Body, BoxFuture, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage, ObjectStore,
    Removal, Unfinished, Upload, UploadInfo, UploadMark, UploadPage, registry::Registry,
};
use crate::{
    config::Settings,
    engine::Engine,
    error::{Code, Error, Result},
    metrics::Metrics,
    status::{BreakerStatus, Recent, StoreStatus, Watched},
};
use breaker::Breaker;
use std::{future::Future, sync::Arc, time::Instant};
use table::{Operation, Verdict, verdict};
use tokens::Tokens;
use tries::Tries;

/// What all users of a store in one engine learn together.
struct Health {
    tokens: Tokens,
    breaker: Arc<Breaker>,
    begun: Instant,
    /// Retries of the last minute, to ten seconds.
    retries: Recent<7, 10_000>,
}

impl Health {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn count_retry(&self) {
        self.retries.add(self.now_ms(), 1);
    }
}

impl Watched for Health {
    fn report(&self, store: &mut StoreStatus) {
        store.retries_last_minute += self.retries.sum(self.now_ms());
        let breaker = self.breaker.look(Instant::now());
        let badness = |breaker: &BreakerStatus| (breaker.state, breaker.failures);
        if badness(&breaker) > badness(&store.breaker) {
            store.breaker = breaker;
        }
    }
}

/// A store and the settings that its health depends on.
#[derive(PartialEq, Eq, Hash)]
struct Place {
    uri: String,
    budget: u32,
    breaker: breaker::Limits,
}

struct Core {
    inner: Arc<dyn ObjectStore>,
    engine: Engine,
    metrics: Arc<Metrics>,
    limits: tries::Limits,
    health: Arc<Health>,
}

/// Tries again what `inner` failed at.
pub struct RetryStore(Arc<Core>);

impl RetryStore {
    /// `inner` with the retries and the breaker of `settings`. Drivers of one engine that open the same store with
    /// the same settings share its budget of retries and its breaker.
    pub fn new(inner: Arc<dyn ObjectStore>, engine: &Engine, settings: &Settings) -> Arc<Self> {
        let place = Place {
            uri: inner.uri().to_owned(),
            budget: settings.retry_budget,
            breaker: breaker::Limits {
                failures: settings.breaker_failures,
                time: settings.breaker_time,
                pause: settings.breaker_pause,
            },
        };
        let registry = engine.extension(|_| Registry::<Place, Health>::default());
        let health = registry.of(place, |place| Health {
            tokens: Tokens::new(place.budget, Instant::now()),
            breaker: Breaker::new(place.breaker, engine.metrics().clone()),
            begun: Instant::now(),
            retries: Recent::default(),
        });
        engine.watch(inner.uri(), &health);
        let limits = tries::Limits {
            attempts: settings.retry_attempts,
            first_pause: settings.retry_pause_first,
            most_pause: settings.retry_pause_max,
            time: settings.retry_time_max,
        };
        let (engine, metrics) = (engine.clone(), engine.metrics().clone());
        Arc::new(RetryStore(Arc::new(Core { inner, engine, metrics, limits, health })))
    }
}

impl Core {
    /// Sends a request until it succeeds or its tries end.
    async fn run<T, F: Future<Output = Result<T>>>(
        self: &Arc<Self>,
        operation: Operation,
        waits: bool,
        send: impl Fn() -> F,
    ) -> Result<T> {
        let mut tries = Tries::new(self, operation, waits);
        loop {
            let leave = tries.begin().await?;
            match send().await {
                Ok(done) => {
                    tries.succeeded(leave);
                    return Ok(done);
                }
                Err(e) => tries.failed(leave, e).await?,
            }
        }
    }

    /// Sends what commits until its result is certain, or unknown. `certain` is called after each attempt that is
    /// certain to have done nothing.
    async fn commit<F: Future<Output = Commit>>(
        self: &Arc<Self>,
        operation: Operation,
        waits: bool,
        certain: impl Fn(),
        send: impl Fn() -> F,
    ) -> Commit {
        let mut tries = Tries::new(self, operation, waits);
        loop {
            let leave = match tries.begin().await {
                Ok(leave) => leave,
                Err(e) => return Commit::NotDone(e),
            };
            match send().await {
                Commit::NotDone(e) => {
                    certain();
                    if let Err(e) = tries.failed(leave, e).await {
                        return Commit::NotDone(e);
                    }
                }
                Commit::Unknown(e) => return Commit::Unknown(tries.answered(leave, e)),
                done @ (Commit::Done | Commit::Exists) => {
                    tries.succeeded(leave);
                    return done;
                }
            }
        }
    }

    /// Sends again the keys that failed, and only those.
    async fn delete(self: &Arc<Self>, keys: &[Key]) -> Vec<Result<()>> {
        let mut tries = Tries::new(self, Operation::Delete, false);
        let unanswered = Error::new(Code::Internal, "the store gave no answer for this key; delete it again");
        let mut results: Vec<Result<()>> = vec![Err(unanswered); keys.len()];
        // Which keys are sent, by their place.
        let mut places: Vec<usize> = (0..keys.len()).collect();
        loop {
            let leave = match tries.begin().await {
                Ok(leave) => leave,
                Err(e) => {
                    places.iter().for_each(|&place| results[place] = Err(e.clone()));
                    return results;
                }
            };
            let sent: Vec<Key> = places.iter().map(|&place| keys[place].clone()).collect();
            for (&place, result) in places.iter().zip(self.inner.delete(&sent).await) {
                results[place] = result;
            }
            let failed = |place: &usize| results[*place].as_ref().err();
            let may_pass = |e: &Error| verdict(Operation::Delete, e) != Verdict::Never;
            let first = places.iter().find_map(failed).cloned();
            // The first that is worth another attempt speaks for all that are.
            let Some(again) = places.iter().filter_map(failed).find(|e| may_pass(e)).cloned() else {
                match first {
                    Some(e) => drop(tries.answered(leave, e)),
                    None => tries.succeeded(leave),
                }
                return results;
            };
            places.retain(|place| failed(place).is_some_and(may_pass));
            if tries.failed(leave, again).await.is_err() {
                for &place in &places {
                    results[place] = results[place].clone().map_err(|e| tries.ended(e));
                }
                return results;
            }
        }
    }
}

impl ObjectStore for RetryStore {
    fn uri(&self) -> &str {
        self.0.inner.uri()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.inner.capabilities()
    }

    fn learn(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            let mut tries = Tries::new(&self.0, Operation::Learn, false);
            loop {
                // Mostly nothing is asked, so that a success says nothing about the store's health.
                tries.without_leave();
                match self.0.inner.learn().await {
                    Ok(()) => return Ok(()),
                    Err(e) => tries.broke(e).await?,
                }
            }
        })
    }

    fn put<'a>(&'a self, key: &'a Key, info: &'a UploadInfo, body: Arc<dyn Body>) -> BoxFuture<'a, Commit> {
        Box::pin(async move {
            let send = || self.0.inner.put(key, info, body.clone());
            self.0.commit(Operation::Put, false, || body.not_kept(), send).await
        })
    }

    fn begin<'a>(&'a self, key: &'a Key, info: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>> {
        Box::pin(async move {
            let inner = self.0.run(Operation::Begin, false, || self.0.inner.begin(key, info)).await?;
            Ok(Box::new(RetryUpload { core: self.0.clone(), inner }) as Box<dyn Upload>)
        })
    }

    fn resume<'a>(
        &'a self,
        key: &'a Key,
        info: &'a UploadInfo,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Upload>>>> {
        Box::pin(async move {
            // As for a listing: whoever is still at the upload will be for longer than a pause.
            let found = self.0.run(Operation::List, false, || self.0.inner.resume(key, info, id)).await?;
            let core = self.0.clone();
            Ok(found.map(|inner| Box::new(RetryUpload { core, inner }) as Box<dyn Upload>))
        })
    }

    fn get<'a>(&'a self, key: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>> {
        Box::pin(body::get(&self.0, key, range))
    }

    fn head<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Entry>> {
        Box::pin(self.0.run(Operation::Head, false, || self.0.inner.head(key)))
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
        Box::pin(self.0.delete(keys))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        max: usize,
    ) -> BoxFuture<'a, Result<ListPage>> {
        Box::pin(self.0.run(Operation::List, false, move || self.0.inner.list(prefix, after, max)))
    }

    fn confirm<'a>(&'a self, key: &'a Key, ours: Option<&'a str>) -> BoxFuture<'a, Commit> {
        Box::pin(async move {
            let send = || async {
                match self.0.inner.confirm(key, ours).await {
                    Commit::Unknown(e) => Err(e),
                    answer => Ok(answer),
                }
            };
            self.0.run(Operation::Head, false, send).await.unwrap_or_else(Commit::Unknown)
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<i64>> {
        Box::pin(self.0.run(Operation::Head, false, || self.0.inner.now()))
    }

    fn uploads<'a>(
        &'a self,
        owner: &'a str,
        after: Option<&'a UploadMark>,
        max: usize,
    ) -> BoxFuture<'a, Result<UploadPage>> {
        Box::pin(self.0.run(Operation::List, false, move || self.0.inner.uploads(owner, after, max)))
    }

    fn arrived<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<Option<Arrived>>> {
        Box::pin(self.0.run(Operation::List, false, move || self.0.inner.arrived(upload)))
    }

    fn abort_upload<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.0.run(Operation::Abort, false, move || self.0.inner.abort_upload(upload)))
    }

    fn delete_unchanged<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<Removal>> {
        Box::pin(self.0.run(Operation::Delete, false, move || self.0.inner.delete_unchanged(entry)))
    }
}

/// An upload under way, which is worth waiting for.
struct RetryUpload {
    core: Arc<Core>,
    inner: Box<dyn Upload>,
}

impl Upload for RetryUpload {
    fn put_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<()>> {
        let send = move || self.inner.put_part(number, offset, body.clone());
        Box::pin(self.core.run(Operation::Part, true, send))
    }

    fn commit<'a>(&'a self) -> BoxFuture<'a, Commit> {
        Box::pin(self.core.commit(Operation::Commit, true, || {}, || self.inner.commit()))
    }

    fn is_unsent(&self) -> bool {
        self.inner.is_unsent()
    }

    fn abort<'a>(&'a self) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.core.run(Operation::Abort, true, || self.inner.abort()))
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
