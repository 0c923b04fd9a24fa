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
//! # Trade-off
//! One lock, held for arithmetic. It is taken once for a part or for a fetch of several blocks, not for a
//! block that is found in the cache.

use super::op::Op;
use crate::error::{Code, Error, Result};
use crate::metrics::Metrics;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tokio::sync::oneshot;

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

/// What a class holds or asks for.
#[derive(Clone, Copy, Default)]
struct Held([u64; 4]);

impl Held {
    fn of(&self, class: Class) -> u64 {
        self.0[class as usize]
    }

    fn of_mut(&mut self, class: Class) -> &mut u64 {
        &mut self.0[class as usize]
    }

    fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

struct Waiter {
    id: u64,
    class: Class,
    bytes: u64,
    priority: i32,
    grant: oneshot::Sender<Reservation>,
}

#[derive(Default)]
struct State {
    held: Held,
    line: VecDeque<Waiter>,
    last_id: u64,
    reclaim: Vec<Weak<dyn Reclaim>>,
    /// Somebody asks the cache to yield; whoever else finds it too small need not.
    reclaiming: bool,
    /// Somebody came by meanwhile: the cache may hold more than it did.
    reclaim_again: bool,
    peak: u64,
    waits: u64,
    wait_ns: u64,
}

struct Inner {
    limit: u64,
    floor: u64,
    lent_limit: u64,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

/// The memory budget of an engine. Clones are the same budget; any thread may use it.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

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

/// Why a request is not granted.
enum Refused {
    /// The class is at its limit: only its own kind (or lent buffers) can change that.
    Class,
    /// All together are at the limit; so many bytes are missing.
    Sum(u64),
    /// There are others before it.
    Line,
}

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
        let (grant, granted) = oneshot::channel();
        let id = {
            let mut state = self.0.state.lock();
            let place = Inner::place(&state, op.call().priority);
            if place == 0 && self.0.refusal(&state, class, bytes).is_none() {
                return Ok(self.0.take(&mut state, class, bytes));
            }
            state.last_id += 1;
            let id = state.last_id;
            let waiter = Waiter { id, class, bytes, priority: op.call().priority, grant };
            state.line.insert(place, waiter);
            id
        };
        let place = InLine { budget: &self.0, id, since: Instant::now() };
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

impl Inner {
    /// Where in the line a request of that priority goes: behind its equals.
    fn place(state: &State, priority: i32) -> usize {
        state.line.iter().rposition(|w| w.priority >= priority).map_or(0, |i| i + 1)
    }

    /// Why a request cannot be granted, apart from the line.
    fn refusal(&self, state: &State, class: Class, bytes: u64) -> Option<Refused> {
        let held = &state.held;
        let lent = held.of(Class::Lent);
        let share = self.limit - self.floor;
        let fits = match class {
            Class::Upload | Class::Read => held.of(class) + lent + bytes <= share,
            Class::Cache => true,
            Class::Lent => {
                lent + bytes <= self.lent_limit
                    && held.of(Class::Upload) + lent + bytes <= share
                    && held.of(Class::Read) + lent + bytes <= share
            }
        };
        if !fits {
            return Some(Refused::Class);
        }
        let sum = held.sum() + bytes;
        (sum > self.limit).then(|| Refused::Sum(sum - self.limit))
    }

    /// Whether somebody in the line goes before a request that came just now.
    fn is_barred(&self, state: &State, class: Class, bytes: u64) -> bool {
        let within_floor = class != Class::Lent && state.held.of(class) + bytes <= self.floor;
        state.line.iter().any(|waiter| {
            class == Class::Cache
                || waiter.class == class
                || (!within_floor
                    && !matches!(self.refusal(state, waiter.class, waiter.bytes), Some(Refused::Class)))
        })
    }

    fn take(self: &Arc<Self>, state: &mut State, class: Class, bytes: u64) -> Reservation {
        *state.held.of_mut(class) += bytes;
        state.peak = state.peak.max(state.held.sum());
        Reservation { budget: self.clone(), class, bytes }
    }

    /// Grants what can be granted and says how many bytes the cache would have to yield for the next one.
    fn grant(
        self: &Arc<Self>,
        state: &mut State,
        granted: &mut Vec<(oneshot::Sender<Reservation>, Reservation)>,
    ) -> u64 {
        let mut blocked = [false; 4];
        let (mut sum_blocked, mut missing) = (false, 0);
        let mut i = 0;
        while let Some(waiter) = state.line.get(i) {
            let (class, bytes) = (waiter.class, waiter.bytes);
            // Behind its own kind, or behind somebody whom the sum keeps waiting.
            let beyond_floor = class == Class::Lent || state.held.of(class) + bytes > self.floor;
            let refused = match blocked[class as usize] || (sum_blocked && beyond_floor) {
                true => Some(Refused::Line),
                false => self.refusal(state, class, bytes),
            };
            match refused {
                None => {
                    if let Some(waiter) = state.line.remove(i) {
                        let reservation = self.take(state, class, bytes);
                        granted.push((waiter.grant, reservation));
                    }
                    continue;
                }
                Some(Refused::Sum(short)) => {
                    missing = missing.max(short);
                    sum_blocked = true;
                }
                Some(Refused::Class | Refused::Line) => {}
            }
            blocked[class as usize] = true;
            if blocked[Class::Upload as usize]
                && blocked[Class::Read as usize]
                && blocked[Class::Lent as usize]
            {
                break;
            }
            i += 1;
        }
        missing
    }

    /// Serves the line, and lets the cache yield for it.
    fn settle(self: &Arc<Self>) {
        let mut granted = Vec::new();
        let mut state = self.state.lock();
        loop {
            let missing = self.grant(&mut state, &mut granted);
            if missing == 0 || state.held.of(Class::Cache) == 0 {
                break;
            }
            if state.reclaiming {
                state.reclaim_again = true;
                break;
            }
            state.reclaiming = true;
            state.reclaim_again = false;
            let yielders = state.reclaim.clone();
            let freed = MutexGuard::unlocked(&mut state, || reclaim(&yielders, missing));
            state.reclaiming = false;
            if freed == 0 && !state.reclaim_again {
                break;
            }
        }
        drop(state);
        for (grant, reservation) in granted {
            // Whoever stopped waiting gives it back here, by dropping it.
            drop(grant.send(reservation));
        }
    }

    fn release(self: &Arc<Self>, class: Class, bytes: u64) {
        let mut state = self.state.lock();
        *state.held.of_mut(class) -= bytes;
        let waiting = !state.line.is_empty();
        drop(state);
        if waiting {
            self.settle();
        }
    }

    fn busy(&self, state: &State, class: Class, bytes: u64) -> Error {
        Error::new(
            Code::Busy,
            format!(
                "{bytes} bytes for {} do not fit now: {} of memory.budget's {} bytes are in use, {} of them lent to \
                 the host, and {} requests wait; try again, or raise memory.budget",
                class.name(),
                state.held.sum(),
                self.limit,
                state.held.of(Class::Lent),
                state.line.len(),
            ),
        )
    }
}

fn reclaim(yielders: &[Weak<dyn Reclaim>], bytes: u64) -> u64 {
    let mut freed = 0;
    for yielder in yielders.iter().filter_map(Weak::upgrade) {
        if freed >= bytes {
            break;
        }
        freed += yielder.reclaim(bytes - freed);
    }
    freed
}

/// A place in the line; leaving it lets others move up.
struct InLine<'a> {
    budget: &'a Arc<Inner>,
    id: u64,
    since: Instant,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let waited = self.since.elapsed();
        self.budget.metrics.budget_wait_seconds.observe(waited);
        let waited = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.budget.state.lock();
        state.waits += 1;
        state.wait_ns = state.wait_ns.saturating_add(waited);
        let left = state.line.iter().position(|w| w.id == self.id).and_then(|i| state.line.remove(i));
        drop(state);
        if left.is_some() {
            self.budget.settle();
        }
    }
}

/// Bytes of the budget; dropping it gives them back and serves who waits.
#[must_use]
pub struct Reservation {
    budget: Arc<Inner>,
    class: Class,
    bytes: u64,
}

impl Reservation {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What they are for.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Keeps `bytes` and gives the rest back; does nothing if it has no more than that.
    pub fn shrink_to(&mut self, bytes: u64) {
        let rest = self.bytes.saturating_sub(bytes);
        if rest > 0 {
            self.bytes -= rest;
            self.budget.release(self.class, rest);
        }
    }

    /// Cuts `bytes` off (all, if it has no more) into a reservation of their own.
    pub fn split(&mut self, bytes: u64) -> Reservation {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Reservation { budget: self.budget.clone(), class: self.class, bytes }
    }

    /// The same bytes for another use, at once: the sum does not change, so that only the class's own limit
    /// counts. The cache gets nothing while anybody waits.
    ///
    /// # Errors
    /// The unchanged reservation, if the class cannot take it now.
    pub fn into_class(mut self, class: Class) -> Result<Reservation, Reservation> {
        if class == self.class {
            return Ok(self);
        }
        let budget = self.budget.clone();
        let mut state = budget.state.lock();
        if class == Class::Cache && !state.line.is_empty() {
            drop(state);
            return Err(self);
        }
        *state.held.of_mut(self.class) -= self.bytes;
        if budget.refusal(&state, class, self.bytes).is_some() {
            *state.held.of_mut(self.class) += self.bytes;
            drop(state);
            return Err(self);
        }
        *state.held.of_mut(class) += self.bytes;
        self.class = class;
        let waiting = !state.line.is_empty();
        drop(state);
        if waiting {
            budget.settle();
        }
        Ok(self)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.release(self.class, self.bytes);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("class", &self.class).field("bytes", &self.bytes).finish()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Budget").field(&self.stats()).finish()
    }
}
