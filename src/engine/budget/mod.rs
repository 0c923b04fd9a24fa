//! One count of bytes for everything that an engine holds in memory.
//!
//! Purpose: memory is reserved before it is used, so that many open segments make calls wait or answer
//! `BUSY`, and never make the host run out of memory.
//!
//! # Rules
//! With `L` the limit, `U`, `R`, `C` and `H` what uploads, reads, the cache and the host's lent buffers hold,
//! and a floor `F` ([`Budget::floor`]), after every grant:
//! - `U + R + C + H <= L`: never more than the limit;
//! - `U + H <= L - F` and `R + H <= L - F`: uploads cannot take what reads need to go on, nor the reverse, and
//!   lent buffers can take it from neither;
//! - `H` is at most its own limit, and at most `L - 2F`.
//!
//! The cache has no floor: it **yields before anyone waits**, and takes nothing while anyone does.
//!
//! Who waits stands in one line, the higher priority first, equals in their order. Who cannot be served lets
//! the others of its own class wait as well. Others may pass it if its *class* is at its limit; if the *sum*
//! is, they may pass only within their floor. So a large request is not starved by small ones: beyond the
//! floors nothing is granted before it, what others hold above their floor comes back, and what it asks for
//! fits beside a floor.
//!
//! # Why it cannot deadlock
//! A holder never waits for the budget: that is the caller's part. **Reserve once for a stage, before the
//! stage begins, and use [`Budget::try_reserve`] for anything more.** Then each holder of upload or read bytes
//! goes on without the budget and ends, at its deadline at the latest; its bytes come back; the first in line
//! is served or can be served by yielding of the cache. The only bytes that no deadline brings back are the
//! host's lent ones, and by the rules a request of up to `L - F - H` never waits for these.
//!
//! Here is what callers see; who goes first is decided in `line`, and what they get is in `reservation`.
//!
//! # Trade-off
//! One lock, held for arithmetic. It is taken once for a part or for a fetch of several blocks, not for a
//! block that is found in the cache.

mod line;
mod reservation;

pub use reservation::Reservation;

use super::op::Op;
use crate::error::{Code, Error, Result};
use crate::metrics::Metrics;
use crate::status::BudgetStats;
use line::{Inner, Refused, reclaim};
use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::sync::{Arc, Weak};

/// What bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Parts on their way to a store.
    Upload,
    /// Fetches on their way from a store.
    Read,
    /// Blocks, index pages and tails that may be needed again.
    Cache,
    /// Buffers that the host has and may keep for as long as it likes.
    Lent,
}

impl Class {
    const fn name(self) -> &'static str {
        match self {
            Class::Upload => "uploads",
            Class::Read => "reads",
            Class::Cache => "the cache",
            Class::Lent => "lent buffers",
        }
    }
}

/// What gives memory back when it is asked to: the cache.
pub trait Reclaim: Send + Sync {
    /// Drops reservations of [`Class::Cache`] of `bytes` or more, as far as there are any, and returns how
    /// many bytes that were. Must neither wait nor reserve. No lock of the budget is held meanwhile.
    fn reclaim(&self, bytes: u64) -> u64;
}

/// The smallest budget: below it the floors would not hold a part of 4 MiB.
pub const MIN_BUDGET: u64 = 16 << 20;

/// The memory budget of an engine. Clones are the same budget; any thread may use it.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

impl Budget {
    /// A budget of `limit` bytes, of which at most `lent_limit` can be lent to the host. How long requests
    /// wait is counted in `metrics`.
    ///
    /// # Errors
    /// `INVALID_CONFIG` below [`MIN_BUDGET`].
    pub fn new(limit: u64, lent_limit: u64, metrics: Arc<Metrics>) -> Result<Budget> {
        if limit < MIN_BUDGET {
            return Err(Error::new(
                Code::InvalidConfig,
                format!("memory.budget is {limit} bytes; give at least {} MiB", MIN_BUDGET >> 20),
            ));
        }
        // An eighth, so that most of the budget goes where it is needed; at least 4 MiB, a fetch of the
        // default size.
        let floor = (limit / 8).max(4 << 20);
        let lent_limit = lent_limit.min(limit - 2 * floor);
        Ok(Budget(Arc::new(Inner { limit, floor, lent_limit, metrics, state: Mutex::default() })))
    }

    /// The most bytes that may be held.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Bytes that uploads and reads each keep, whatever the other and the host hold.
    pub fn floor(&self) -> u64 {
        self.0.floor
    }

    /// The largest request that a class can ever be granted.
    pub fn largest(&self, class: Class) -> u64 {
        match class {
            Class::Upload | Class::Read => self.0.limit - self.0.floor,
            Class::Cache => self.0.limit,
            Class::Lent => self.0.lent_limit,
        }
    }

    /// Where it counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// Names what yields. It is forgotten when it is dropped elsewhere.
    pub fn add_reclaim(&self, reclaim: Weak<dyn Reclaim>) {
        let mut state = self.0.state.lock();
        state.reclaim.retain(|r| r.strong_count() > 0);
        state.reclaim.push(reclaim);
    }

    /// Reserves `bytes`, waiting in line until the operation's deadline. The caller holds no other
    /// reservation (see the module).
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if it can never fit, `CANCELLED`, `TIMED_OUT`.
    pub async fn reserve(&self, class: Class, bytes: u64, op: &Op) -> Result<Reservation> {
        self.check_possible(class, bytes)?;
        let (place, granted) = match self.0.enter(class, bytes, op.call().priority) {
            Ok(reservation) => return Ok(reservation),
            Err(waits) => waits,
        };
        self.0.settle();
        let reserved = op
            .guard_waiting(async {
                granted
                    .await
                    .map_err(|_| Error::new(Code::Internal, "a place in the line for memory was lost"))
            })
            .await;
        drop(place);
        reserved.map_err(|e| {
            e.context(format_args!("waiting for {bytes} bytes of memory.budget for {}", class.name()))
        })
    }

    /// Reserves `bytes` at once.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if it can never fit, `BUSY` if it does not fit now or others wait for it.
    pub fn try_reserve(&self, class: Class, bytes: u64) -> Result<Reservation> {
        self.check_possible(class, bytes)?;
        let mut state = self.0.state.lock();
        loop {
            let refused = match self.0.is_barred(&state, class, bytes) {
                true => Some(Refused::Line),
                false => self.0.refusal(&state, class, bytes),
            };
            let freed = match refused {
                None => return Ok(self.0.take(&mut state, class, bytes)),
                // The cache does not displace itself.
                Some(Refused::Sum(missing)) if class != Class::Cache && state.held.of(Class::Cache) > 0 => {
                    let yielders = state.reclaim.clone();
                    MutexGuard::unlocked(&mut state, || reclaim(&yielders, missing))
                }
                Some(_) => 0,
            };
            if freed == 0 {
                return Err(self.0.busy(&state, class, bytes));
            }
        }
    }

    /// Serves those who wait, as far as possible. For the cache, after it has put something in.
    pub fn settle(&self) {
        self.0.settle();
    }

    /// A look at it.
    pub fn stats(&self) -> BudgetStats {
        let state = self.0.state.lock();
        BudgetStats {
            limit: self.0.limit,
            used: state.held.sum(),
            peak: state.peak,
            uploads: state.held.of(Class::Upload),
            reads: state.held.of(Class::Read),
            cache: state.held.of(Class::Cache),
            lent: state.held.of(Class::Lent),
            lent_limit: self.0.lent_limit,
            waiting: state.line.len(),
            waits: state.waits,
            wait_seconds: state.wait_ns as f64 / 1e9,
        }
    }

    fn check_possible(&self, class: Class, bytes: u64) -> Result<()> {
        let largest = self.largest(class);
        if bytes <= largest {
            return Ok(());
        }
        let remedy = match class {
            Class::Lent => "raise memory.lent.limit (and memory.budget), or ask for less at once",
            _ => "raise memory.budget, or lower the part size or the range",
        };
        Err(Error::new(
            Code::ResourceExhausted,
            format!("{bytes} bytes for {} can never fit: at most {largest} bytes do; {remedy}", class.name()),
        ))
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Budget").field(&self.stats()).finish()
    }
}
