//! Who runs, and what failed last.

use super::op::{Op, Shared};
use crate::error::Error;
use crate::metrics::Op as OpKind;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many failures the status remembers: enough to see what repeats, a few KiB.
const REMEMBERED: usize = 16;

/// An operation that failed.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub id: u64,
    pub kind: OpKind,
    pub what: String,
    pub stage: String,
    pub age: Duration,
    pub ended: Instant,
    pub error: Error,
}

/// The running operations of an engine. Holds them weakly: an operation lives as long as those who run it.
pub(super) struct Registry {
    running: Mutex<HashMap<u64, Weak<Shared>>>,
    failed: Mutex<VecDeque<Finished>>,
    last_id: AtomicU64,
}

impl Registry {
    pub fn new() -> Registry {
        Registry {
            running: Mutex::default(),
            failed: Mutex::new(VecDeque::with_capacity(REMEMBERED)),
            last_id: AtomicU64::new(0),
        }
    }

    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether `id` was ever given out.
    pub fn knew(&self, id: u64) -> bool {
        id != 0 && id <= self.last_id.load(Ordering::Relaxed)
    }

    pub fn add(&self, op: &Op) {
        self.running.lock().insert(op.id(), std::sync::Arc::downgrade(&op.0));
    }

    pub fn remove(&self, id: u64, failed: Option<Finished>) {
        self.running.lock().remove(&id);
        if let Some(failed) = failed {
            let mut all = self.failed.lock();
            if all.len() == REMEMBERED {
                all.pop_front();
            }
            all.push_back(failed);
        }
    }

    pub fn find(&self, id: u64) -> Option<Op> {
        // The last handle of an operation must not be dropped under the lock: dropping it comes here.
        let found = self.running.lock().get(&id).and_then(Weak::upgrade);
        found.map(Op)
    }

    /// All that run, the oldest first.
    pub fn all(&self) -> Vec<Op> {
        let mut all: Vec<Op> = self.running.lock().values().filter_map(Weak::upgrade).map(Op).collect();
        all.sort_unstable_by_key(Op::id);
        all
    }

    pub fn len(&self) -> usize {
        self.running.lock().len()
    }

    /// The last failures, the oldest first.
    pub fn failed(&self) -> Vec<Finished> {
        self.failed.lock().iter().cloned().collect()
    }
}
