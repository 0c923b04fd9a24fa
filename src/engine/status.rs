//! What an engine is doing, gathered from those who know.

use super::op::Op;
use super::registry::{Failed, Succeeded};
use super::{Engine, Inner};
use crate::error::Result;
use crate::metrics::CacheKind;
use crate::status::socket::StatusSocket;
use crate::status::{CacheStatus, FailedOp, RunningOp, Status, StoreStatus, SucceededOp, Watched};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// The stores that are open, by those who know something of them.
#[derive(Default)]
pub(super) struct Stores(Mutex<Vec<(String, Weak<dyn Watched>)>>);

impl Stores {
    fn add(&self, uri: &str, watched: Weak<dyn Watched>) {
        let mut all = self.0.lock();
        all.retain(|(_, other)| other.strong_count() > 0);
        if !all.iter().any(|(_, other)| other.ptr_eq(&watched)) {
            all.push((uri.to_owned(), watched));
        }
    }

    fn look(&self) -> Vec<StoreStatus> {
        let all = self.0.lock().clone();
        let mut stores = BTreeMap::<String, StoreStatus>::new();
        for (uri, watched) in all {
            if let Some(watched) = watched.upgrade() {
                let store = stores
                    .entry(uri)
                    .or_insert_with_key(|uri| StoreStatus { uri: uri.clone(), ..StoreStatus::default() });
                watched.report(store);
            }
        }
        stores.into_values().collect()
    }
}

impl Engine {
    /// What the engine is doing.
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// [`status`](Engine::status) as one line of JSON.
    pub fn status_json(&self) -> String {
        self.status().to_json()
    }

    /// The status tells of the store `uri` what `watched` knows, for as long as that lives.
    pub fn watch<W: Watched + 'static>(&self, uri: &str, watched: &Arc<W>) {
        let watched: Weak<W> = Arc::downgrade(watched);
        self.0.stores.add(uri, watched);
    }

    /// Makes the status socket, if the options ask for one.
    pub(super) fn open_socket(&self) -> Result<()> {
        let Some(path) = &self.options().status_socket else { return Ok(()) };
        // Weakly: who is only looked at ends all the same.
        let engine = Arc::downgrade(&self.0);
        let tell = move || engine.upgrade().map(|engine| engine.status().to_json());
        let socket = StatusSocket::open(path, self.handle(), tell)?;
        self.log().info("status", "the status socket is open", &[("path", &path.display())]);
        *self.0.socket.lock() = Some(socket);
        Ok(())
    }

    /// Removes the status socket, after a last line to those who look at it: for a host that ends. The engine does so
    /// by itself when it ends, which may be never, if something keeps it to the end of the process.
    pub fn close_status_socket(&self) {
        if self.check_fork().is_ok() {
            self.0.close_socket();
        }
    }
}

impl Inner {
    pub(super) fn close_socket(&self) {
        // Not under the lock, since the last line says much.
        let socket = self.socket.lock().take();
        if let Some(socket) = socket {
            socket.close(|| self.status().to_json());
        }
    }

    pub(super) fn status(&self) -> Status {
        // Before those that ended: what ends meanwhile is found twice rather than nowhere.
        let running = self.registry.all().iter().map(running_op).collect();
        let (succeeded_total, succeeded) = self.registry.succeeded();
        let (failed_total, failed) = self.registry.failed();
        Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: self.started.elapsed().as_secs_f64(),
            threads: self.options.threads,
            budget: self.budget.stats(),
            cache: self.cache_status(),
            pieces_in_use: self.pool.in_use(),
            pieces_idle: self.pool.idle(),
            stores: self.stores.look(),
            running,
            succeeded_total,
            failed_total,
            succeeded: succeeded.iter().map(succeeded_op).collect(),
            failed: failed.iter().map(failed_op).collect(),
        }
    }

    fn cache_status(&self) -> CacheStatus {
        let (metrics, kind) = (&self.metrics, CacheKind::Memory);
        CacheStatus {
            size: self.options.cache_size,
            bytes: self.budget.stats().cache,
            hits: metrics.cache_hits.of(kind).value(),
            misses: metrics.cache_misses.of(kind).value(),
            evictions: metrics.cache_evictions.of(kind).value(),
        }
    }
}

fn running_op(op: &Op) -> RunningOp {
    let p = op.snapshot();
    RunningOp {
        id: op.id(),
        kind: op.kind().name(),
        store: op.store().map(str::to_owned),
        what: op.what().to_owned(),
        stage: p.stage,
        queued: p.queued,
        age_s: p.age.as_secs_f64(),
        idle_s: p.idle.as_secs_f64(),
        bytes_done: p.bytes_done,
        bytes_total: p.bytes_total,
        bytes_per_s: (p.bytes_done as f64 / p.age.as_secs_f64().max(1e-3)) as u64,
        bytes_per_s_now: op.bytes_per_s_now(),
        deadline_left_s: op.deadline().map(|_| op.remaining().as_secs_f64()),
    }
}

fn succeeded_op(op: &Succeeded) -> SucceededOp {
    SucceededOp {
        id: op.id,
        kind: op.kind.name(),
        store: op.store.as_deref().map(str::to_owned),
        what: op.what.clone(),
        age_s: op.age.as_secs_f64(),
        ago_s: op.ended.elapsed().as_secs_f64(),
        bytes_done: op.bytes,
    }
}

fn failed_op(op: &Failed) -> FailedOp {
    let Failed { op, stage, error } = op;
    FailedOp {
        id: op.id,
        kind: op.kind.name(),
        store: op.store.as_deref().map(str::to_owned),
        what: op.what.clone(),
        stage: stage.clone(),
        age_s: op.age.as_secs_f64(),
        ago_s: op.ended.elapsed().as_secs_f64(),
        bytes_done: op.bytes,
        error: error.into(),
    }
}
