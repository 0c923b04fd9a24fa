//! What an engine is doing, for a human with `jq`: field names say their unit.
//!
//! Purpose: the question "why does this not end?" is answered by the stage and the idle time of an
//! operation. Invariant: nothing here is secret, since it is made of keys, stages and error messages.
//! Trade-off: a copy of numbers that others keep, so that they can be asked at any time and nothing here has a lock.

use serde::Serialize;

/// An engine at a moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The process.
    pub pid: u32,
    /// The library's version.
    pub version: &'static str,
    /// Seconds since the engine was made.
    pub uptime_s: f64,
    /// Threads that run operations.
    pub threads: usize,
    /// The memory budget.
    pub budget: BudgetStats,
    /// The block cache in memory.
    pub cache: CacheStatus,
    /// Recycled pieces (256 KiB each) in use.
    pub pieces_in_use: usize,
    /// Recycled pieces that wait for their next use.
    pub pieces_idle: usize,
    /// Operations that run, the oldest first.
    pub running: Vec<RunningOp>,
    /// The last operations that failed, the oldest first.
    pub failed: Vec<FailedOp>,
}

/// A look at the budget. All sizes are bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BudgetStats {
    /// The most that may be held.
    pub limit: u64,
    /// What all classes hold.
    pub used: u64,
    /// The most that they ever held.
    pub peak: u64,
    /// Held by uploads and writers.
    pub uploads: u64,
    /// Held by reads.
    pub reads: u64,
    /// Held by the cache.
    pub cache: u64,
    /// Lent to the host.
    pub lent: u64,
    /// The most that may be lent to the host.
    pub lent_limit: u64,
    /// Requests that wait now.
    pub waiting: usize,
    /// Requests that had to wait so far.
    pub waits: u64,
    /// How long they waited, together.
    pub wait_seconds: f64,
}

/// The block cache in memory. Sizes are bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CacheStatus {
    /// What it may hold.
    pub size: u64,
    /// What it holds.
    pub bytes: u64,
    /// Lookups that found something.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// What it gave up, for others or for the budget.
    pub evictions: u64,
}

/// An operation that runs.
#[derive(Clone, Debug, Serialize)]
pub struct RunningOp {
    /// Its number.
    pub id: u64,
    /// What it does.
    pub kind: &'static str,
    /// What it does it to.
    pub what: String,
    /// What it does at the moment.
    pub stage: String,
    /// Whether it waits for a thread to begin.
    pub queued: bool,
    /// Seconds since its start.
    pub age_s: f64,
    /// Seconds since a byte was moved last.
    pub idle_s: f64,
    /// Bytes moved.
    pub bytes_done: u64,
    /// Bytes to move, 0 if that is not known.
    pub bytes_total: u64,
    /// Bytes moved for each second of its age.
    pub bytes_per_s: u64,
    /// Seconds until its deadline; null if it has none.
    pub deadline_left_s: Option<f64>,
}

/// An operation that failed.
#[derive(Clone, Debug, Serialize)]
pub struct FailedOp {
    /// Its number.
    pub id: u64,
    /// What it did.
    pub kind: &'static str,
    /// What it did it to.
    pub what: String,
    /// Where it stood.
    pub stage: String,
    /// How many seconds it had run.
    pub age_s: f64,
    /// How many seconds ago it ended.
    pub ago_s: f64,
    /// The error's code.
    pub code: &'static str,
    /// The error's message.
    pub message: String,
}

impl Status {
    /// One line of JSON.
    pub fn to_json(&self) -> String {
        // Numbers, texts and lists always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}
