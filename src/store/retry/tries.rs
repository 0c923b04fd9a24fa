//! The attempts at one request: leave for each, a pause between two, and an end.
//!
//! Invariant: a pause never outlives what waits for it. Where the deadline, `retry.time.max`, the attempts or
//! the budget would end the request anyhow, it ends at once with the store's own last error, which then says how
//! often and how long it was tried.

use super::{
    Core,
    breaker::{Change, Leave},
    table::{Health, Operation, Verdict, health, verdict},
};
use crate::{
    engine::Patience,
    error::{Error, Result},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How often, how long and with which pauses one request is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// All attempts, the first included; 1 is off.
    pub attempts: u32,
    /// The bound of the first pause; it doubles with each.
    pub first_pause: Duration,
    /// The largest bound of a pause.
    pub most_pause: Duration,
    /// From the first attempt to the last.
    pub time: Duration,
}

/// One request, over all its attempts.
pub(super) struct Tries {
    core: Arc<Core>,
    operation: Operation,
    patience: Patience,
    started: Instant,
    made: u32,
    /// Part of something larger that is worth waiting for while the breaker is open.
    waits: bool,
    /// It was tried again for a reason that counts once.
    had_once: bool,
}

impl Tries {
    /// Nothing was tried yet. `waits`: a breaker that is open is waited for even before the first attempt.
    pub fn new(core: &Arc<Core>, operation: Operation, waits: bool) -> Tries {
        Tries {
            core: core.clone(),
            operation,
            patience: Patience::current(),
            started: Instant::now(),
            made: 0,
            waits,
            had_once: false,
        }
    }

    /// Leave for the next attempt, or what the request ends with.
    pub async fn begin(&mut self) -> Result<Leave> {
        loop {
            let refused = match self.core.health.breaker.enter(Instant::now()) {
                Ok(leave) => {
                    self.made += 1;
                    return Ok(leave);
                }
                Err(refused) => refused,
            };
            // New work hears at once that the store is down; who has done something already waits for the next try.
            // Not all at the same moment.
            let wait = refused.wait + jittered(refused.wait / 4);
            if (self.made == 0 && !self.waits) || !self.outlives(wait) {
                return Err(self.ended(refused.error));
            }
            self.patience.note(&refused.error);
            sleep(wait).await;
        }
    }

    /// Counts an attempt that the breaker is not asked about.
    pub fn without_leave(&mut self) {
        self.made += 1;
    }

    /// The attempt succeeded.
    pub fn succeeded(&self, leave: Leave) {
        self.core.health.tokens.earn();
        self.core.tell(leave.alive(Instant::now()));
    }

    /// The attempt ended with an error that is an answer: how it is given to whoever asked.
    pub fn answered(&self, leave: Leave, error: Error) -> Error {
        self.learn(leave, &error);
        self.ended(error)
    }

    /// The attempt failed: returns when it is time for another one, or with what the request ends with.
    pub async fn failed(&mut self, leave: Leave, error: Error) -> Result<()> {
        self.learn(leave, &error);
        self.pause(error).await
    }

    /// As [`failed`](Tries::failed) without a leave: an answer that began well and broke off later.
    pub async fn broke(&mut self, error: Error) -> Result<()> {
        if let (Health::Failing, Ok(leave)) = (health(&error), self.core.health.breaker.enter(Instant::now()))
        {
            self.core.tell(leave.failing(Instant::now(), &error));
        }
        self.pause(error).await
    }

    fn learn(&self, leave: Leave, error: &Error) {
        let now = Instant::now();
        match health(error) {
            Health::Alive => self.core.tell(leave.alive(now)),
            Health::Failing => self.core.tell(leave.failing(now, error)),
            Health::Silent => drop(leave),
        }
    }

    async fn pause(&mut self, error: Error) -> Result<()> {
        let most = match verdict(self.operation, &error) {
            Verdict::Never => 1,
            Verdict::Once if std::mem::replace(&mut self.had_once, true) => 1,
            Verdict::Once => self.core.limits.attempts,
            Verdict::Again => self.core.limits.attempts,
        };
        if self.made >= most {
            return Err(self.ended(error));
        }
        // What the store asks for is the least, so that many who were told the same still spread.
        let asked = error.retry_after().unwrap_or_default();
        let pause = asked.saturating_add(self.core.limits.pause(self.made));
        if !self.outlives(pause) || !self.core.health.tokens.take(Instant::now()) {
            return Err(self.ended(error));
        }
        self.core.metrics.store_retries.of(self.operation.request()).add(1);
        self.core.health.count_retry();
        self.patience.note(&error);
        sleep(pause).await;
        Ok(())
    }

    /// Whether there is time for another attempt after `pause`.
    fn outlives(&self, pause: Duration) -> bool {
        let Some(then) = Instant::now().checked_add(pause) else { return false };
        let in_time = |end: Option<Instant>| end.is_none_or(|end| then < end);
        let standing = match self.operation {
            // A commit that is cut off by the stall limit counts as unknown: it must end before that, while it is
            // certain. For the others the cut is harmless, and they move bytes.
            Operation::Commit => {
                self.patience.stall().and_then(|stall| self.started.checked_add(stall / 4 * 3))
            }
            _ => None,
        };
        let own = self.started.checked_add(self.core.limits.time);
        [self.patience.deadline(), own, standing].into_iter().all(in_time)
    }

    /// The request's last error, with what was tried.
    pub fn ended(&self, error: Error) -> Error {
        match self.made {
            0 | 1 => error,
            made => {
                let took = self.started.elapsed().as_secs_f64();
                error.context(format_args!("tried {made} times in {took:.1}s"))
            }
        }
    }
}

impl Limits {
    /// The pause after so many attempts: anything up to a bound that doubles (full jitter), because those who failed
    /// together must not come back together.
    fn pause(&self, made: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << made.saturating_sub(1).min(20));
        jittered(doubled.min(self.most_pause))
    }
}

fn jittered(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

impl Core {
    /// One line for each time that the breaker opens or closes, whoever's request did it.
    fn tell(&self, change: Option<Change>) {
        let (log, uri) = (self.engine.log(), self.inner.uri());
        match change {
            None => {}
            Some(Change::Opened { failures, lasted, pause }) => {
                let (lasted, pause) = (seconds(lasted), seconds(pause));
                let fields: [(&'static str, &dyn std::fmt::Display); 4] =
                    [("store", &uri), ("failures", &failures), ("for", &lasted), ("next_try_in", &pause)];
                log.warn("store", "the store fails: requests are held back and fail at once", &fields);
            }
            Some(Change::Closed { lasted }) => {
                let fields: [(&'static str, &dyn std::fmt::Display); 2] =
                    [("store", &uri), ("after", &seconds(lasted))];
                log.info("store", "the store answers again: requests go on", &fields);
            }
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}
