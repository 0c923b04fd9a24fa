//! What an engine is doing, for a human with `jq` and for other processes: field names say their unit, and stay.
//!
//! Purpose: the question "why does this not end?" is answered by the stage and the idle time of an
//! operation, "what became of it?" by the last ones that ended, and "is it us or the store?" by the breaker.
//! docs/status.md explains each field.
//!
//! - `recent`: what was counted lately, for rates.
//! - `socket`: the same for other processes of the owner.
//!
//! Invariant: nothing here is secret, since it is made of keys, stages and error messages.
//! Trade-off: a copy of numbers that others keep, so that they can be asked at any time and nothing here has a lock.

mod recent;
pub mod socket;

pub use recent::Recent;

use crate::error::Error;
use serde::Serialize;
use std::time::Duration;

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
    /// The stores that drivers have open, in the order of their URIs.
    pub stores: Vec<StoreStatus>,
    /// Operations that wait or run, the oldest first.
    pub running: Vec<RunningOp>,
    /// How many operations that are remembered have succeeded since the engine was made: `succeeded` has the last.
    pub succeeded_total: u64,
    /// How many operations have failed since the engine was made: `failed` has the last.
    pub failed_total: u64,
    /// The last operations that succeeded, the oldest first. Reads, listings and looks are not remembered.
    pub succeeded: Vec<SucceededOp>,
    /// The last operations that failed, the oldest first: so many of those that `succeeded` remembers, and as many of
    /// reads, listings and looks.
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
    /// The store that it does it in, as a URI; null if it is none's.
    pub store: Option<String>,
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
    /// Bytes moved for each second of the last three.
    pub bytes_per_s_now: u64,
    /// Seconds until its deadline; null if it has none.
    pub deadline_left_s: Option<f64>,
}

/// An operation that succeeded.
#[derive(Clone, Debug, Serialize)]
pub struct SucceededOp {
    /// Its number.
    pub id: u64,
    /// What it did.
    pub kind: &'static str,
    /// The store that it did it in, as a URI; null if it is none's.
    pub store: Option<String>,
    /// What it did it to.
    pub what: String,
    /// How many seconds it had run.
    pub age_s: f64,
    /// How many seconds ago it ended.
    pub ago_s: f64,
    /// Bytes moved.
    pub bytes_done: u64,
}

/// An operation that failed.
#[derive(Clone, Debug, Serialize)]
pub struct FailedOp {
    /// Its number.
    pub id: u64,
    /// What it did.
    pub kind: &'static str,
    /// The store that it did it in, as a URI; null if it is none's.
    pub store: Option<String>,
    /// What it did it to.
    pub what: String,
    /// Where it stood.
    pub stage: String,
    /// How many seconds it had run.
    pub age_s: f64,
    /// How many seconds ago it ended.
    pub ago_s: f64,
    /// Bytes moved.
    pub bytes_done: u64,
    /// Why.
    #[serde(flatten)]
    pub error: ErrorParts,
}

/// All that an error says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorParts {
    /// Its code.
    pub code: &'static str,
    /// Its message.
    pub message: String,
    /// The store's HTTP status, 0 if there was none.
    pub http_status: u16,
    /// The store's own code, empty if there was none.
    pub service_code: String,
    /// The store's request id, empty if there was none.
    pub request_id: String,
    /// The store's extended request id, empty if there was none.
    pub extended_request_id: String,
    /// Whether the same call may succeed later without anyone changing anything.
    pub retryable: bool,
    /// How many milliseconds the store asked to wait; null if it did not.
    pub retry_after_ms: Option<u64>,
}

impl From<&Error> for ErrorParts {
    fn from(error: &Error) -> Self {
        ErrorParts {
            code: error.code().name(),
            message: error.message().to_owned(),
            http_status: error.http_status(),
            service_code: error.service_code().to_owned(),
            request_id: error.request_id().to_owned(),
            extended_request_id: error.extended_request_id().to_owned(),
            retryable: error.retryable(),
            retry_after_ms: error.retry_after().map(millis),
        }
    }
}

/// A store that drivers have open. Drivers with other limits for the same store are counted together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StoreStatus {
    /// Its URI.
    pub uri: String,
    /// Whether requests are held back.
    pub breaker: BreakerStatus,
    /// Requests that were sent again in the last minute.
    pub retries_last_minute: u64,
    /// Places for requests that read.
    pub reads: Places,
    /// Places for requests that write.
    pub writes: Places,
}

/// The breaker of a store.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BreakerStatus {
    /// What it does now.
    pub state: Breaker,
    /// Failures in a row, with no answer between them.
    pub failures: u32,
    /// Seconds since the first of them; null if there is none.
    pub failing_s: Option<f64>,
    /// Seconds until a request tries whether the store is back; null unless it is open.
    pub next_try_s: Option<f64>,
    /// What the last of them said; null if there is none.
    pub last: Option<ErrorParts>,
}

/// What a breaker does; the later the worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    /// Requests go on.
    #[default]
    Closed,
    /// One request tries whether the store is back.
    HalfOpen,
    /// Requests fail at once.
    Open,
}

/// Places for requests of one direction.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Places {
    /// How many there are.
    pub limit: usize,
    /// How many are taken.
    pub in_use: usize,
    /// How many requests wait for one.
    pub waiting: usize,
}

/// What knows something of a store.
pub trait Watched: Send + Sync {
    /// Adds it to what others have said of the same store. Called at any time; must not wait.
    fn report(&self, store: &mut StoreStatus);
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Status {
    /// One line of JSON.
    pub fn to_json(&self) -> String {
        // Numbers, texts and lists always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}
