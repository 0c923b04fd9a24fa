//! One operation, from its start to its one end.
//!
//! Purpose: whatever runs has a name, a deadline, a way to be stopped and a stage that a human can be told.
//!
//! Invariant: an operation ends once. Its finalizers (which give lent buffers back) run before anybody learns
//! of the end, and the registry forgets it then, whether it returned, failed, panicked or was dropped.
//!
//! Trade-off: progress is a few relaxed atomics, so that moving a byte costs nothing; the stage sits behind
//! a lock, because it changes a few times in an operation.

mod guard;

use super::Engine;
use super::call::{Call, Cancel};
use super::patience::Patience;
use super::registry::{Ended, Failed, Succeeded};
use crate::error::{Code, Error, Result};
use crate::logging::Level;
use crate::metrics::{Op as OpKind, Outcome};
use crate::status::Recent;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The limits of an operation whose [`Call`] names none: the driver's settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults {
    /// Time for the whole operation; `None`: no limit of its own (a writer lives as long as its host).
    pub deadline: Option<Duration>,
    /// Time without a byte moved; `None`: no watchdog (everything but offloads and writers).
    pub stall: Option<Duration>,
}

/// How far a running operation is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Bytes moved so far.
    pub bytes_done: u64,
    /// Bytes to move; 0 while that is not known.
    pub bytes_total: u64,
    /// Time since the operation was started.
    pub age: Duration,
    /// Time since a byte was moved last (or since the start).
    pub idle: Duration,
    /// Whether it waits for a thread to begin.
    pub queued: bool,
    /// What it does at the moment.
    pub stage: String,
}

type Finalizer = Box<dyn FnOnce() + Send>;

pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) kind: OpKind,
    pub(super) what: Box<str>,
    call: Call,
    started: Instant,
    patience: Patience,
    stage: Mutex<Cow<'static, str>>,
    done: AtomicU64,
    total: AtomicU64,
    /// When a byte was moved last, in ms after `started`.
    moved_ms: AtomicU64,
    /// Bytes of the last three seconds and the one that runs.
    lately: Recent<4, 1000>,
    /// The store that it works in, once a scope knows it.
    store: OnceLock<Arc<str>>,
    running: AtomicBool,
    commit_sent: AtomicBool,
    /// A commit was sent at some time.
    committed: AtomicBool,
    finished: AtomicBool,
    stop: Cancel,
    finalizers: Mutex<Vec<Finalizer>>,
    /// Keeps the threads alive that this operation needs to end.
    engine: Engine,
}

/// A registered operation. Clones are the same one; any thread may use them.
#[derive(Clone)]
pub struct Op(pub(super) Arc<Shared>);

impl Op {
    pub(super) fn new(engine: &Engine, id: u64, kind: OpKind, what: &str, call: &Call, or: Defaults) -> Op {
        let started = Instant::now();
        // A duration beyond the clock's end is no limit.
        let deadline = call.deadline.or(or.deadline).and_then(|d| started.checked_add(d));
        Op(Arc::new(Shared {
            id,
            kind,
            what: shown(what),
            call: call.clone(),
            started,
            patience: Patience::new(deadline, or.stall.map(|default| call.stall.unwrap_or(default))),
            stage: Mutex::new(Cow::Borrowed("start")),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            moved_ms: AtomicU64::new(0),
            lately: Recent::default(),
            store: OnceLock::new(),
            running: AtomicBool::new(false),
            commit_sent: AtomicBool::new(false),
            committed: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            stop: Cancel::new(),
            finalizers: Mutex::new(Vec::new()),
            engine: engine.clone(),
        }))
    }

    /// The operation's number in its engine; never 0, never used again.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// What it does.
    pub fn kind(&self) -> OpKind {
        self.0.kind
    }

    /// What it does it to: a key, as a rule.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// The URI of the store that it works in, if its scope has one.
    pub fn store(&self) -> Option<&str> {
        self.0.store.get().map(|uri| &**uri)
    }

    pub(super) fn works_in(&self, store: &Arc<str>) {
        // It enters one scope.
        let _ = self.0.store.set(store.clone());
    }

    /// How the caller wants it.
    pub fn call(&self) -> &Call {
        &self.0.call
    }

    /// Whose operation it is.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Names what is being done, for the status and for the message of a time-out.
    pub fn stage(&self, stage: impl Into<Cow<'static, str>>) {
        *self.0.stage.lock() = stage.into();
    }

    /// `bytes` were moved: counts them and feeds the stall watchdog. 0 only feeds it.
    pub fn progress(&self, bytes: u64) {
        let now_ms = millis(self.0.started.elapsed());
        self.0.done.fetch_add(bytes, Relaxed);
        self.0.moved_ms.store(now_ms, Relaxed);
        if bytes > 0 {
            self.0.lately.add(now_ms, bytes);
        }
    }

    /// Bytes moved for each of the last seconds, those that were sent again among them.
    pub fn bytes_per_s_now(&self) -> u64 {
        self.0.lately.per_second(millis(self.0.started.elapsed()))
    }

    /// How many bytes there are to move.
    pub fn set_total(&self, bytes: u64) {
        self.0.total.store(bytes, Relaxed);
    }

    /// From here on "not committed" is not certain: whatever cuts the operation off now ends it as
    /// `OUTCOME_UNKNOWN`.
    pub fn commit_sent(&self) {
        self.0.commit_sent.store(true, Relaxed);
        self.0.committed.store(true, Relaxed);
    }

    /// The commit was answered: certain again.
    pub fn commit_settled(&self) {
        self.0.commit_sent.store(false, Relaxed);
    }

    /// How far it is.
    pub fn snapshot(&self) -> Progress {
        let age = self.0.started.elapsed();
        let total = self.0.total.load(Relaxed);
        Progress {
            // What is sent again is moved again, but nobody wants to hear of 120 %.
            bytes_done: self.0.done.load(Relaxed).min(if total == 0 { u64::MAX } else { total }),
            bytes_total: total,
            age,
            idle: age.saturating_sub(Duration::from_millis(self.0.moved_ms.load(Relaxed))),
            queued: !self.0.running.load(Relaxed),
            stage: self.0.stage.lock().to_string(),
        }
    }

    /// When it must have ended; `None` if it has no limit.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.patience.deadline()
    }

    /// How long it may go on, and what keeps it from its end: for those that work for it.
    pub fn patience(&self) -> &Patience {
        &self.0.patience
    }

    /// Time until the deadline, zero once it has passed; [`Duration::MAX`] if it has none.
    pub fn remaining(&self) -> Duration {
        self.deadline().map_or(Duration::MAX, |d| d.saturating_duration_since(Instant::now()))
    }

    /// Asks the operation to stop, as the caller's token does.
    pub fn cancel(&self) {
        self.0.stop.cancel();
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.stop.is_cancelled() || self.0.call.cancel.as_ref().is_some_and(Cancel::is_cancelled)
    }

    /// Returns once it is asked to stop. Needs no runtime.
    pub async fn cancelled(&self) {
        match &self.0.call.cancel {
            None => self.0.stop.cancelled().await,
            Some(token) => tokio::select! {
                () = self.0.stop.cancelled() => {}
                () = token.cancelled() => {}
            },
        }
    }

    /// Runs `f` when the operation ends, before its result is delivered; at once if it has ended. Here lent
    /// buffers are given back. `f` must not wait.
    pub fn on_finish(&self, f: impl FnOnce() + Send + 'static) {
        let mut finalizers = self.0.finalizers.lock();
        if self.0.finished.load(Relaxed) {
            drop(finalizers);
            f();
        } else {
            finalizers.push(Box::new(f));
        }
    }

    pub(super) fn begin(&self) {
        if !self.0.running.swap(true, Relaxed) {
            self.0.engine.metrics().queue_seconds.of(self.0.kind).observe(self.0.started.elapsed());
        }
    }

    /// Ends the operation: finalizers, then the registry. Only the first call counts.
    pub fn finish<T>(&self, result: &Result<T>) {
        self.0.finish(result.into(), Some(result.as_ref().map(|_| ())));
    }
}

impl Shared {
    /// Without a `result` nobody waits for one.
    fn finish(&self, outcome: Outcome, result: Option<Result<(), &Error>>) {
        let finalizers = {
            let mut finalizers = self.finalizers.lock();
            if self.finished.swap(true, Relaxed) {
                return;
            }
            std::mem::take(&mut *finalizers)
        };
        for finalizer in finalizers {
            // One that panics must not keep the others from giving buffers back.
            let _ = catch_unwind(AssertUnwindSafe(finalizer));
        }
        let age = self.started.elapsed();
        let op = || Succeeded {
            id: self.id,
            kind: self.kind,
            store: self.store.get().cloned(),
            what: self.what.to_string(),
            age,
            ended: Instant::now(),
            bytes: self.done.load(Relaxed),
        };
        let ended = match result {
            Some(Err(error)) => {
                let stage = self.stage.lock().to_string();
                Some(Ended::Badly(Failed { op: op(), stage, error: error.clone() }))
            }
            Some(Ok(())) if self.is_memorable() => Some(Ended::Well(op())),
            _ => None,
        };
        self.engine.metrics().operation_ended(self.kind, outcome, age);
        self.engine.registry().remove(self.id, ended);
        if let Some(Err(error)) = result {
            self.log(error);
        }
    }

    /// Whether its success is worth remembering: it changed a store, or somebody waited long for it. Reads would
    /// push the rest out in no time.
    fn is_memorable(&self) -> bool {
        match self.kind {
            // Waiting for room and giving up are a writer's, too.
            OpKind::Writer => self.committed.load(Relaxed),
            kind => !kind.comes_and_goes(),
        }
    }

    /// A failure is logged once, here, whoever asked for the operation. The message names kind and code, so that the
    /// same trouble with a thousand keys collapses to one line; what varies stands in the fields.
    fn log(&self, error: &Error) {
        let level = match error.code() {
            // An answer rather than a failure, or the host's own wish.
            Code::NotFound
            | Code::OutOfRange
            | Code::WouldBlock
            | Code::End
            | Code::Cancelled
            | Code::Closed => Level::Debug,
            Code::Corrupt | Code::OutcomeUnknown | Code::Internal => Level::Error,
            _ => Level::Warn,
        };
        let log = self.engine.log();
        if log.is_enabled(level) {
            let message = format!("{} failed: {}", self.kind.name(), error.code());
            log.log(level, "operation", message, &[("key", &self.what), ("op", &self.id), ("error", error)]);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Whoever started it gave it up before it ran.
        self.finish(Code::Cancelled.into(), None);
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Op")
            .field("id", &self.0.id)
            .field("kind", &self.0.kind)
            .field("what", &self.0.what)
            .finish()
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// What an operation is about, for messages, logs and status. A host may have given anything for a key: a control character
/// would split a line of a log or end a C string, and no valid key is longer.
fn shown(what: &str) -> Box<str> {
    const LONGEST: usize = 1000;
    if what.len() <= LONGEST && !what.chars().any(char::is_control) {
        return what.into();
    }
    let escaped =
        what.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] });
    escaped.take(LONGEST / 4).collect::<String>().into()
}
