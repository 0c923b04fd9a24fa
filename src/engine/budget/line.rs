//! Who gets memory, and in which order.
//!
//! Purpose: the arithmetic of the rules that the module above states, and the line of those who wait.
//!
//! Invariant: every grant is made here, under the one lock, and keeps the rules; whoever leaves the line, served or not,
//! lets the others move up.
//!
//! Trade-off: the line is walked from its head for each change. It holds operations, not bytes, so it is short; and a
//! walk is what lets a small request pass where that is fair.

use super::{Class, Reclaim, Reservation};
use crate::error::{Code, Error};
use crate::metrics::Metrics;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tokio::sync::oneshot;

/// What a class holds or asks for.
#[derive(Clone, Copy, Default)]
pub(super) struct Held([u64; 4]);

impl Held {
    pub(super) fn of(&self, class: Class) -> u64 {
        self.0[class as usize]
    }

    pub(super) fn of_mut(&mut self, class: Class) -> &mut u64 {
        &mut self.0[class as usize]
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Somebody in the line.
pub(super) struct Waiter {
    id: u64,
    class: Class,
    bytes: u64,
    priority: i32,
    grant: oneshot::Sender<Reservation>,
}

/// What changes, all under one lock.
#[derive(Default)]
pub(super) struct State {
    pub(super) held: Held,
    pub(super) line: VecDeque<Waiter>,
    last_id: u64,
    pub(super) reclaim: Vec<Weak<dyn Reclaim>>,
    /// Somebody asks the cache to yield; whoever else finds it too small need not.
    reclaiming: bool,
    /// Somebody came by meanwhile: the cache may hold more than it did.
    reclaim_again: bool,
    pub(super) peak: u64,
    pub(super) waits: u64,
    pub(super) wait_ns: u64,
}

/// What the clones of a budget share.
pub(super) struct Inner {
    pub(super) limit: u64,
    pub(super) floor: u64,
    pub(super) lent_limit: u64,
    pub(super) metrics: Arc<Metrics>,
    pub(super) state: Mutex<State>,
}

/// Why a request is not granted.
pub(super) enum Refused {
    /// The class is at its limit: only its own kind (or lent buffers) can change that.
    Class,
    /// All together are at the limit; so many bytes are missing.
    Sum(u64),
    /// There are others before it.
    Line,
}

impl Inner {
    /// Grants at once, or gives a place in the line and what brings the grant; then call [`Inner::settle`].
    pub(super) fn enter(
        self: &Arc<Self>,
        class: Class,
        bytes: u64,
        priority: i32,
    ) -> Result<Reservation, (InLine<'_>, oneshot::Receiver<Reservation>)> {
        let mut state = self.state.lock();
        let place = Inner::place(&state, priority);
        if place == 0 && self.refusal(&state, class, bytes).is_none() {
            return Ok(self.take(&mut state, class, bytes));
        }
        state.last_id += 1;
        let id = state.last_id;
        let (grant, granted) = oneshot::channel();
        state.line.insert(place, Waiter { id, class, bytes, priority, grant });
        Err((InLine { budget: self, id, since: Instant::now() }, granted))
    }

    /// Where in the line a request of that priority goes: behind its equals.
    fn place(state: &State, priority: i32) -> usize {
        state.line.iter().rposition(|w| w.priority >= priority).map_or(0, |i| i + 1)
    }

    /// Why a request cannot be granted, apart from the line.
    pub(super) fn refusal(&self, state: &State, class: Class, bytes: u64) -> Option<Refused> {
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
    pub(super) fn is_barred(&self, state: &State, class: Class, bytes: u64) -> bool {
        let within_floor = class != Class::Lent && state.held.of(class) + bytes <= self.floor;
        state.line.iter().any(|waiter| {
            class == Class::Cache
                || waiter.class == class
                || (!within_floor
                    && !matches!(self.refusal(state, waiter.class, waiter.bytes), Some(Refused::Class)))
        })
    }

    pub(super) fn take(self: &Arc<Self>, state: &mut State, class: Class, bytes: u64) -> Reservation {
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
    pub(super) fn settle(self: &Arc<Self>) {
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

    pub(super) fn release(self: &Arc<Self>, class: Class, bytes: u64) {
        let mut state = self.state.lock();
        *state.held.of_mut(class) -= bytes;
        let waiting = !state.line.is_empty();
        drop(state);
        if waiting {
            self.settle();
        }
    }

    pub(super) fn busy(&self, state: &State, class: Class, bytes: u64) -> Error {
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

/// Asks one after the other to drop `bytes` together, and says how many they dropped.
pub(super) fn reclaim(yielders: &[Weak<dyn Reclaim>], bytes: u64) -> u64 {
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
pub(super) struct InLine<'a> {
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
