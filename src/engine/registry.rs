//! Who runs, and what became of those who ran last.

use super::op::{Op, Shared};
use crate::error::Error;
use crate::metrics::Op as OpKind;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How many successes and how many failures of either sort the status remembers: enough to see what became of an
/// evening's offloads, some tens of KiB.
const REMEMBERED: usize = 128;

/// An operation that succeeded.
#[derive(Clone, Debug)]
pub(super) struct Succeeded {
    pub id: u64,
    pub kind: OpKind,
    pub store: Option<Arc<str>>,
    pub what: String,
    pub age: Duration,
    pub ended: Instant,
    pub bytes: u64,
}

/// An operation that failed.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    /// All but how it ended.
    pub op: Succeeded,
    pub stage: String,
    pub error: Error,
}

/// How an operation ended, where that is remembered.
pub(super) enum Ended {
    Well(Succeeded),
    Badly(Failed),
}

/// The last of their kind.
struct Last<T> {
    all: VecDeque<T>,
    /// How many there ever were.
    total: u64,
}

impl<T> Default for Last<T> {
    fn default() -> Self {
        Last { all: VecDeque::new(), total: 0 }
    }
}

impl<T> Last<T> {
    fn add(&mut self, one: T) {
        self.total += 1;
        if self.all.len() == REMEMBERED {
            self.all.pop_front();
        }
        self.all.push_back(one);
    }
}

/// The last failures. Those of what comes and goes are apart, since a consumer that asks for lost records fails often
/// enough to push out the one offload that somebody waits for.
#[derive(Default)]
struct Failures {
    lasting: Last<Failed>,
    passing: Last<Failed>,
}

/// The running operations of an engine. Holds them weakly: an operation lives as long as those who run it.
pub(super) struct Registry {
    running: Mutex<HashMap<u64, Weak<Shared>>>,
    succeeded: Mutex<Last<Succeeded>>,
    failed: Mutex<Failures>,
    last_id: AtomicU64,
}

impl Registry {
    pub fn new() -> Registry {
        Registry {
            running: Mutex::default(),
            succeeded: Mutex::default(),
            failed: Mutex::default(),
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
        self.running.lock().insert(op.id(), Arc::downgrade(&op.0));
    }

    /// Forgets a running operation, and remembers its end.
    pub fn remove(&self, id: u64, ended: Option<Ended>) {
        // Remembered first: who looks in between finds it twice rather than nowhere.
        match ended {
            None => {}
            Some(Ended::Well(op)) => self.succeeded.lock().add(op),
            Some(Ended::Badly(op)) => {
                let mut failed = self.failed.lock();
                match op.op.kind.comes_and_goes() {
                    true => failed.passing.add(op),
                    false => failed.lasting.add(op),
                }
            }
        }
        self.running.lock().remove(&id);
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

    /// How many successes there were of those that are remembered, and the last, the oldest first.
    pub fn succeeded(&self) -> (u64, Vec<Succeeded>) {
        let last = self.succeeded.lock();
        (last.total, last.all.iter().cloned().collect())
    }

    /// How many failures there were, and the last, the oldest first.
    pub fn failed(&self) -> (u64, Vec<Failed>) {
        let failed = self.failed.lock();
        let Failures { lasting, passing } = &*failed;
        let mut all: Vec<Failed> = lasting.all.iter().chain(&passing.all).cloned().collect();
        let total = lasting.total + passing.total;
        drop(failed);
        all.sort_by_key(|failed| failed.op.ended);
        (total, all)
    }
}
