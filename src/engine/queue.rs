//! Where asynchronous calls end.
//!
//! Purpose: the host chooses the thread. It parks one in [`Queue::poll`], or puts [`Queue::fd`] into its
//! event loop; no callback ever enters it.
//!
//! Invariant: every [`Slot`] posts one completion. Its place is taken when the call is submitted, so that
//! posting can neither fail nor allocate; a slot that is dropped posts `INTERNAL` itself. The descriptor is
//! readable exactly while a poll would return at once.
//!
//! Trade-off: one lock for each queue, held for a push or a pop. A host that wants more takes more queues.

use super::bell::Bell;
use super::fork;
use super::op::Op;
use crate::error::{Code, Error, Result};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A queue takes at most so many operations at once: what is in flight is bounded by memory and connections
/// long before, and the places are allocated beforehand.
pub const MAX_CAPACITY: usize = 65_536;

/// What a poller gets.
#[derive(Debug)]
pub struct Completion<T> {
    /// What the host gave with the call, or with the notifier.
    pub user_data: usize,
    /// What happened.
    pub event: Event<T>,
}

/// What happened.
#[derive(Debug)]
pub enum Event<T> {
    /// An operation ended.
    Done {
        /// The operation's number; 0 if it never got one.
        op: u64,
        /// Its result.
        result: Result<T>,
    },
    /// What answered `WOULD_BLOCK` takes more now: a writer has room.
    Ready,
}

struct State<T> {
    ready: VecDeque<Entry<T>>,
    /// The operation in each taken seat, once it is known: what shutting down cancels.
    seats: Vec<Seat>,
    free: Vec<usize>,
    notifiers: usize,
    in_flight: usize,
    /// Completions in `ready`; the rest of it are events of notifiers, which have places of their own.
    unpolled: usize,
    closed: bool,
    bell: Option<Bell>,
}

enum Seat {
    Free,
    Taken(Option<Op>),
}

struct Entry<T> {
    /// Which notifier this came from; its memory, as long as it is not polled.
    notifier: Option<Arc<()>>,
    completion: Completion<T>,
}

struct Inner<T> {
    generation: u64,
    capacity: usize,
    state: Mutex<State<T>>,
    /// Something can be polled.
    filled: Condvar,
    /// Nothing is in flight any more.
    drained: Condvar,
}

/// A completion queue. Clones are the same queue; any number of threads may use it at once.
pub struct Queue<T>(Arc<Inner<T>>);

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue(self.0.clone())
    }
}

impl<T> Queue<T> {
    /// A queue with places for `capacity` (1 to [`MAX_CAPACITY`]) operations in flight, unpolled completions
    /// and notifiers.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `RESOURCE_EXHAUSTED`.
    pub fn new(capacity: usize) -> Result<Queue<T>> {
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("a completion queue of {capacity} places; give 1 to {MAX_CAPACITY}"),
            ));
        }
        let exhausted = |_| {
            Error::new(
                Code::ResourceExhausted,
                format!("no memory for a completion queue of {capacity} places"),
            )
        };
        let (mut ready, mut seats, mut free) = (VecDeque::new(), Vec::new(), Vec::new());
        ready.try_reserve_exact(capacity).map_err(exhausted)?;
        seats.try_reserve_exact(capacity).map_err(exhausted)?;
        free.try_reserve_exact(capacity).map_err(exhausted)?;
        seats.resize_with(capacity, || Seat::Free);
        free.extend(0..capacity);
        let state =
            State { ready, seats, free, notifiers: 0, in_flight: 0, unpolled: 0, closed: false, bell: None };
        Ok(Queue(Arc::new(Inner {
            generation: fork::generation(),
            capacity,
            state: Mutex::new(state),
            filled: Condvar::new(),
            drained: Condvar::new(),
        })))
    }

    /// Takes the place of an operation that is to be submitted.
    ///
    /// # Errors
    /// `BUSY` if the queue is full, `CLOSED` once it is shut down, `FORKED`.
    pub fn reserve(&self, user_data: usize) -> Result<Slot<T>> {
        fork::check(self.0.generation)?;
        let mut state = self.0.state.lock();
        self.0.check_room(&state)?;
        // A free place means a free seat: seats are as many as places.
        let seat = state.free.pop().ok_or_else(|| self.0.full())?;
        state.seats[seat] = Seat::Taken(None);
        state.in_flight += 1;
        Ok(Slot { queue: self.0.clone(), seat, op: 0, user_data, posted: false })
    }

    /// Takes a place for [`Event::Ready`], to be used many times.
    ///
    /// # Errors
    /// As [`reserve`](Queue::reserve).
    pub fn notifier(&self, user_data: usize) -> Result<Notifier<T>> {
        fork::check(self.0.generation)?;
        let mut state = self.0.state.lock();
        self.0.check_room(&state)?;
        state.notifiers += 1;
        Ok(Notifier { queue: self.0.clone(), user_data, identity: Arc::new(()) })
    }

    /// The descriptor that is readable while a poll would return at once. Made on the first call, and the
    /// queue's: do not read or close it. It is gone with the queue.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if there is no descriptor left, `FORKED`.
    pub fn fd(&self) -> Result<RawFd> {
        fork::check(self.0.generation)?;
        let mut state = self.0.state.lock();
        if state.bell.is_none() {
            state.bell = Some(Bell::new()?);
            state.ring();
        }
        state
            .bell
            .as_ref()
            .map(Bell::fd)
            .ok_or_else(|| Error::new(Code::Internal, "the queue has no descriptor"))
    }

    /// At most `max` (> 0) completions, the oldest first. Waits for the first one for as long as `timeout`
    /// says: zero does not wait, `None` waits for ever; an empty answer is a time-out.
    ///
    /// # Errors
    /// `CLOSED` once the queue is shut down, nothing is in flight and everything was polled; `FORKED`;
    /// `INVALID_ARGUMENT` if `max` is 0.
    pub fn poll(&self, max: usize, timeout: Option<Duration>) -> Result<Vec<Completion<T>>> {
        fork::check(self.0.generation)?;
        if max == 0 {
            return Err(Error::new(Code::InvalidArgument, "a poll for 0 completions; ask for at least one"));
        }
        let until = timeout.and_then(|t| Instant::now().checked_add(t));
        let mut state = self.0.state.lock();
        loop {
            if !state.ready.is_empty() {
                let n = max.min(state.ready.len());
                let polled: Vec<_> = state.ready.drain(..n).map(|entry| entry.completion).collect();
                state.unpolled -= polled.iter().filter(|c| matches!(c.event, Event::Done { .. })).count();
                state.ring();
                if !state.ready.is_empty() || state.is_over() {
                    self.0.filled.notify_one();
                }
                return Ok(polled);
            }
            if state.is_over() {
                self.0.filled.notify_one();
                return Err(Error::new(
                    Code::Closed,
                    "the completion queue was shut down and everything was polled",
                ));
            }
            if timeout.is_some_and(|t| t.is_zero()) {
                return Ok(Vec::new());
            }
            match until {
                None => self.0.filled.wait(&mut state),
                Some(until) => {
                    if self.0.filled.wait_until(&mut state, until).timed_out() && state.ready.is_empty() {
                        return Ok(Vec::new());
                    }
                }
            }
        }
    }

    /// Operations that were submitted and have not ended.
    pub fn in_flight(&self) -> usize {
        self.0.state.lock().in_flight
    }

    /// Refuses new operations, cancels those in flight and waits for their ends, which stay to be polled.
    /// May be repeated.
    ///
    /// # Errors
    /// `TIMED_OUT` if some have not ended within `timeout`; call it again. `FORKED`.
    pub fn shutdown(&self, timeout: Duration) -> Result<()> {
        fork::check(self.0.generation)?;
        let until = Instant::now().checked_add(timeout);
        let mut state = self.0.state.lock();
        state.closed = true;
        state.ring();
        self.0.filled.notify_all();
        let running: Vec<Op> = state
            .seats
            .iter()
            .filter_map(|seat| match seat {
                Seat::Taken(op) => op.clone(),
                Seat::Free => None,
            })
            .collect();
        // Outside of the lock: the last handle of an operation runs its finalizers.
        parking_lot::MutexGuard::unlocked(&mut state, || {
            running.iter().for_each(Op::cancel);
            drop(running);
        });
        while state.in_flight > 0 {
            match until {
                None => self.0.drained.wait(&mut state),
                Some(until) if self.0.drained.wait_until(&mut state, until).timed_out() => {
                    if state.in_flight == 0 {
                        break;
                    }
                    return Err(Error::new(
                        Code::TimedOut,
                        format!(
                            "{} operations of the completion queue have not ended; shut it down again",
                            state.in_flight
                        ),
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Shuts the queue down if nothing is in flight and no notifier lives: it may be freed then.
    ///
    /// # Errors
    /// `BUSY` otherwise, and nothing is changed. `FORKED`.
    pub fn try_free(&self) -> Result<()> {
        fork::check(self.0.generation)?;
        let mut state = self.0.state.lock();
        if state.in_flight > 0 || state.notifiers > 0 {
            return Err(Error::new(
                Code::Busy,
                format!(
                    "the completion queue has {} operations in flight and {} writers; shut it down and free them first",
                    state.in_flight, state.notifiers
                ),
            ));
        }
        state.closed = true;
        state.ring();
        self.0.filled.notify_all();
        Ok(())
    }
}

impl<T> State<T> {
    fn is_over(&self) -> bool {
        self.closed && self.in_flight == 0 && self.ready.is_empty()
    }

    /// Brings the descriptor in line with the state; after every change of it.
    fn ring(&mut self) {
        let rings = !self.ready.is_empty() || self.is_over();
        if let Some(bell) = &mut self.bell {
            bell.set(rings);
        }
    }
}

impl<T> Inner<T> {
    fn check_room(&self, state: &State<T>) -> Result<()> {
        if state.closed {
            return Err(Error::new(Code::Closed, "the completion queue was shut down"));
        }
        if state.in_flight + state.unpolled + state.notifiers >= self.capacity {
            return Err(self.full());
        }
        Ok(())
    }

    fn full(&self) -> Error {
        Error::new(
            Code::Busy,
            format!("the completion queue is full ({} places); poll it, or open a larger one", self.capacity),
        )
    }
}

/// The place of one operation's completion; posts it once, when it is completed or dropped.
pub struct Slot<T> {
    queue: Arc<Inner<T>>,
    seat: usize,
    op: u64,
    user_data: usize,
    posted: bool,
}

impl<T> Slot<T> {
    /// Says whose slot this is, so that shutting the queue down cancels the operation. If it was shut down
    /// meanwhile, the operation is cancelled now.
    pub fn bind(&mut self, op: &Op) {
        self.op = op.id();
        let mut state = self.queue.state.lock();
        let former = std::mem::replace(&mut state.seats[self.seat], Seat::Taken(Some(op.clone())));
        let closed = state.closed;
        drop(state);
        drop(former);
        if closed {
            op.cancel();
        }
    }

    /// Gives the place back without a completion: for a submit that fails.
    pub fn withdraw(mut self) {
        self.leave(None);
    }

    /// Posts the result.
    pub fn complete(mut self, result: Result<T>) {
        self.post(result);
    }

    fn post(&mut self, result: Result<T>) {
        let event = Event::Done { op: self.op, result };
        let completion = Completion { user_data: self.user_data, event };
        self.leave(Some(Entry { notifier: None, completion }));
    }

    fn leave(&mut self, entry: Option<Entry<T>>) {
        self.posted = true;
        let mut state = self.queue.state.lock();
        let seat = std::mem::replace(&mut state.seats[self.seat], Seat::Free);
        state.free.push(self.seat);
        state.in_flight -= 1;
        if let Some(entry) = entry {
            state.unpolled += 1;
            state.ready.push_back(entry);
        }
        state.ring();
        if state.in_flight == 0 {
            self.queue.drained.notify_all();
        }
        self.queue.filled.notify_one();
        drop(state);
        // After the lock: it may be the operation's last handle, whose end runs finalizers.
        drop(seat);
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if !self.posted {
            self.post(Err(Error::new(
                Code::Internal,
                "the operation ended without a result; please report what it was doing",
            )));
        }
    }
}

/// Posts [`Event::Ready`], at most one at a time. Dropping it takes back what was not polled, so that the
/// host never sees the `user_data` of something that it freed.
pub struct Notifier<T> {
    queue: Arc<Inner<T>>,
    user_data: usize,
    identity: Arc<()>,
}

impl<T> Notifier<T> {
    /// Posts, unless one is waiting to be polled. Nothing is posted once the queue is shut down.
    pub fn notify(&self) {
        let mut state = self.queue.state.lock();
        if state.closed || Arc::strong_count(&self.identity) > 1 {
            return;
        }
        let completion = Completion { user_data: self.user_data, event: Event::Ready };
        state.ready.push_back(Entry { notifier: Some(self.identity.clone()), completion });
        state.ring();
        self.queue.filled.notify_one();
    }
}

impl<T> Drop for Notifier<T> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.notifiers -= 1;
        state.ready.retain(|e| !e.notifier.as_ref().is_some_and(|n| Arc::ptr_eq(n, &self.identity)));
        state.ring();
        if state.is_over() {
            self.queue.filled.notify_all();
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        f.debug_struct("Queue")
            .field("capacity", &self.0.capacity)
            .field("in_flight", &state.in_flight)
            .field("ready", &state.ready.len())
            .field("closed", &state.closed)
            .finish()
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("op", &self.op)
            .field("user_data", &self.user_data)
            .finish_non_exhaustive()
    }
}
