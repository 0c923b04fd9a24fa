//! What ends the work of an operation before it is done: cancel, deadline, stall, and what is said then.
//!
//! Invariant: work under a guard is dropped at an await, never in the middle of a step, and the error names the stage that it was
//! in. Trade-off: a guard wakes up once for its next limit and for a cancel, and for nothing else.

use super::Op;
use crate::error::{Code, Error, Result};
use std::future::Future;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// An operation that has not ended this long after its deadline is dropped where it stands. Guards end it at
/// the deadline; this is for a defect that forgot one.
const BACKSTOP: Duration = Duration::from_secs(2);

/// What a guard heeds beside the deadline.
#[derive(Clone, Copy)]
struct Heed {
    cancel: bool,
    stall: bool,
}

impl Op {
    /// Runs a future that may be dropped at any await, until it ends, or the operation is cancelled
    /// (`CANCELLED`), its deadline passes or no byte moves for the stall limit (`TIMED_OUT`).
    ///
    /// # Errors
    /// Those, and the future's own.
    pub async fn guard<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.race(Heed { cancel: true, stall: true }, future).await
    }

    /// As [`guard`](Op::guard) without the stall limit: for waiting in line, where no byte can move.
    ///
    /// # Errors
    /// As [`guard`](Op::guard).
    pub async fn guard_waiting<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.race(Heed { cancel: true, stall: false }, future).await
    }

    /// Heeds nothing but the deadline: for settling a commit that was sent, which a cancel must not stop.
    ///
    /// # Errors
    /// `TIMED_OUT`, and the future's own.
    pub async fn guard_deadline_only<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.race(Heed { cancel: false, stall: false }, future).await
    }

    /// As [`guard`](Op::guard) without the cancel: for an answer that counts whatever the host wants by now.
    ///
    /// # Errors
    /// `TIMED_OUT`, and the future's own.
    pub async fn guard_uncancelled<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.race(Heed { cancel: false, stall: true }, future).await
    }

    /// `CANCELLED` or `TIMED_OUT` if the operation should not go on: for loops that do not await.
    ///
    /// # Errors
    /// Those.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(self.cancelled_error());
        }
        if self.deadline().is_some_and(|d| d <= Instant::now()) {
            return Err(self.deadline_error());
        }
        Ok(())
    }

    async fn race<T>(&self, heed: Heed, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::pin!(future);
        tokio::select! {
            biased;
            result = &mut future => result,
            error = self.interrupted(heed) => Err(error),
        }
    }

    async fn interrupted(&self, heed: Heed) -> Error {
        let entered = Instant::now();
        let stall = self.0.patience.stall().filter(|_| heed.stall);
        loop {
            if heed.cancel && self.is_cancelled() {
                return self.cancelled_error();
            }
            let now = Instant::now();
            if self.deadline().is_some_and(|d| d <= now) {
                return self.deadline_error();
            }
            let moved = self.0.started + Duration::from_millis(self.0.moved_ms.load(Relaxed));
            // What the host did not give us to move for an hour does not count as our stall.
            let stalled = stall.and_then(|limit| moved.max(entered).checked_add(limit));
            if stalled.is_some_and(|at| at <= now) {
                return self.stall_error(stall.unwrap_or_default());
            }
            let wake = match (self.deadline(), stalled) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            tokio::select! {
                () = self.cancelled(), if heed.cancel => {}
                () = self.sleep_until(wake) => {}
            }
        }
    }

    /// Sleeps on the engine's timer, whoever polls; for ever without an instant.
    pub(in crate::engine) async fn sleep_until(&self, at: Option<Instant>) {
        match at {
            None => std::future::pending().await,
            Some(at) => {
                let sleep = {
                    let _context = self.0.engine.handle().enter();
                    tokio::time::sleep_until(at.into())
                };
                sleep.await;
            }
        }
    }

    fn subject(&self) -> String {
        format!("{} of {}", self.kind().name(), self.what())
    }

    fn moved(&self) -> String {
        let (done, total) = (self.0.done.load(Relaxed), self.0.total.load(Relaxed));
        match total {
            0 => format!("{done} bytes were moved"),
            _ => format!("{done} of {total} bytes were moved"),
        }
    }

    fn cancelled_error(&self) -> Error {
        let message = format!("{}: cancelled in stage \"{}\"", self.subject(), self.0.stage.lock());
        Error::new(Code::Cancelled, message)
    }

    fn deadline_error(&self) -> Error {
        let limit = self.deadline().map_or(Duration::ZERO, |d| d.saturating_duration_since(self.0.started));
        let message = format!(
            "{}: the deadline of {limit:?} passed in stage \"{}\"; {}; raise the deadline or look at the store{}",
            self.subject(),
            self.0.stage.lock(),
            self.moved(),
            self.0.patience.cause(),
        );
        Error::new(Code::TimedOut, message)
    }

    fn stall_error(&self, limit: Duration) -> Error {
        let message = format!(
            "{}: no byte moved for {limit:?} in stage \"{}\"; {}; look at the store or raise the stall limit{}",
            self.subject(),
            self.0.stage.lock(),
            self.moved(),
            self.0.patience.cause(),
        );
        Error::new(Code::TimedOut, message)
    }

    /// What an operation ends with when it is cut off in a way that it could not foresee.
    pub(in crate::engine) fn cut_off(&self, why: &str) -> Error {
        let (code, hint) = if self.0.commit_sent.load(Relaxed) {
            (Code::OutcomeUnknown, "the commit had been sent: repeat the call with the same key to settle it")
        } else {
            (Code::Internal, "nothing was committed; please report this")
        };
        Error::new(code, format!("{}: {why} in stage \"{}\"; {hint}", self.subject(), self.0.stage.lock()))
    }

    /// Returns when the operation is so late that its own guards must have missed the deadline.
    pub(in crate::engine) async fn backstop(&self) -> Error {
        self.sleep_until(self.deadline().and_then(|d| d.checked_add(BACKSTOP))).await;
        match self.0.commit_sent.load(Relaxed) {
            true => self.cut_off("the deadline passed"),
            false => self.deadline_error(),
        }
    }
}
