//! The circuit breaker of a store: after a long row of failures requests fail at once, and one at a time tries
//! whether the store is back.
//!
//! ```text
//!            a row of failures, long enough
//!   closed ─────────────────────────────────► open ◄──────────────┐
//!     ▲                                        │ its pause is over │ it fails: a pause twice as long
//!     │              it succeeds               ▼                   │
//!     └───────────────────────────────────── half-open: one request
//! ```
//!
//! Purpose: while a store is down, hosts hear so in microseconds and not at their deadlines, and a store that
//! comes back is not met by all that waited for it.
//!
//! Invariant: any answer from the store, also one that was on its way, closes the breaker. A probe that is
//! dropped without an answer, or is without one for long, lets the next one go. Nothing here sleeps or logs: it is told the time, and tells
//! what changed.
//!
//! Trade-off: a row of failures must also last for a while. A hundred requests that fail in one instant are a
//! moment's failure, which retries hide; a breaker that opened then would turn it into errors.

use crate::{
    error::{Code, Error, Result},
    metrics::{BreakerState, Metrics},
    status::{self, BreakerStatus},
};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The longest pause between two probes: what a store that is back costs at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long who comes while a probe is under way is told to wait: an answer of a store that works takes less.
const PROBE: Duration = Duration::from_millis(250);
/// After how long without an answer a probe keeps nobody else from trying: a large part may take minutes on a slow
/// line, and what one is waiting for may be what waits for it.
const OVERDUE: Duration = Duration::from_secs(3);

/// When it opens, and for how long at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Limits {
    /// Failures in a row; 0 switches the breaker off.
    pub failures: u32,
    /// What the row must last.
    pub time: Duration,
    /// The first pause.
    pub pause: Duration,
}

enum Phase {
    Closed,
    Open { until: Instant, pause: Duration },
    HalfOpen { until: Instant, pause: Duration },
}

struct State {
    phase: Phase,
    /// Failures since the last answer, the time of the first and what the last one said.
    row: u32,
    since: Option<Instant>,
    cause: Option<Error>,
}

/// The breaker of one store.
pub(super) struct Breaker {
    limits: Limits,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

/// Leave to send one request. Whoever has it says how the request went.
#[must_use]
pub(super) struct Leave {
    breaker: Arc<Breaker>,
    is_probe: bool,
}

/// No leave: what to tell the host, and when to ask again.
#[derive(Debug)]
pub(super) struct Refused {
    pub error: Error,
    pub wait: Duration,
}

/// What a request's end changed, for the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened { failures: u32, lasted: Duration, pause: Duration },
    Closed { lasted: Duration },
}

impl Breaker {
    pub fn new(limits: Limits, metrics: Arc<Metrics>) -> Arc<Breaker> {
        let state = State { phase: Phase::Closed, row: 0, since: None, cause: None };
        Arc::new(Breaker { limits, metrics, state: Mutex::new(state) })
    }

    /// Leave for one request, or why not.
    pub fn enter(self: &Arc<Self>, now: Instant) -> Result<Leave, Refused> {
        let mut state = self.state.lock();
        let leave = |is_probe| Leave { breaker: self.clone(), is_probe };
        match state.phase {
            Phase::Closed => Ok(leave(false)),
            Phase::Open { until, pause } if until <= now => {
                state.phase = Phase::HalfOpen { until: now + OVERDUE, pause };
                self.metrics.breaker_transitions.of(BreakerState::HalfOpen).add(1);
                Ok(leave(true))
            }
            Phase::HalfOpen { until, pause } if until <= now => {
                state.phase = Phase::HalfOpen { until: now + OVERDUE, pause };
                Ok(leave(true))
            }
            Phase::Open { until, .. } => Err(state.refuse(now, until - now)),
            Phase::HalfOpen { until, .. } => Err(state.refuse(now, PROBE.min(until - now))),
        }
    }

    /// The store answered.
    pub fn alive(&self, now: Instant) -> Option<Change> {
        let mut state = self.state.lock();
        state.row = 0;
        state.cause = None;
        let since = state.since.take();
        if matches!(state.phase, Phase::Closed) {
            return None;
        }
        state.phase = Phase::Closed;
        self.metrics.breakers_open.sub(1);
        self.metrics.breaker_transitions.of(BreakerState::Closed).add(1);
        let lasted = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        Some(Change::Closed { lasted })
    }

    /// How it stands.
    pub fn look(&self, now: Instant) -> BreakerStatus {
        let state = self.state.lock();
        let (phase, until) = match state.phase {
            Phase::Closed => (status::Breaker::Closed, None),
            Phase::Open { until, .. } => (status::Breaker::Open, Some(until)),
            Phase::HalfOpen { .. } => (status::Breaker::HalfOpen, None),
        };
        BreakerStatus {
            state: phase,
            failures: state.row,
            failing_s: state.since.map(|since| now.saturating_duration_since(since).as_secs_f64()),
            next_try_s: until.map(|until| until.saturating_duration_since(now).as_secs_f64()),
            last: state.cause.as_ref().map(Into::into),
        }
    }

    fn failing(&self, now: Instant, error: &Error, is_probe: bool) -> Option<Change> {
        if self.limits.failures == 0 {
            return None;
        }
        let mut state = self.state.lock();
        let lasted = now.saturating_duration_since(*state.since.get_or_insert(now));
        state.row = state.row.saturating_add(1);
        state.cause = Some(error.clone());
        match state.phase {
            Phase::Closed if state.row >= self.limits.failures && lasted >= self.limits.time => {
                let pause = self.limits.pause;
                state.phase = Phase::Open { until: now + pause, pause };
                self.metrics.breakers_open.add(1);
                self.metrics.breaker_transitions.of(BreakerState::Open).add(1);
                Some(Change::Opened { failures: state.row, lasted, pause })
            }
            Phase::HalfOpen { pause, .. } if is_probe => {
                let pause = (pause * 2).min(LONGEST_PAUSE.max(self.limits.pause));
                state.phase = Phase::Open { until: now + pause, pause };
                self.metrics.breaker_transitions.of(BreakerState::Open).add(1);
                // Still the same outage: nothing that a log must repeat.
                None
            }
            _ => None,
        }
    }
}

impl State {
    fn refuse(&self, now: Instant, wait: Duration) -> Refused {
        let lasted = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let last = self.cause.clone().unwrap_or_else(|| Error::new(Code::Unavailable, "no answer"));
        let message = format!(
            "the store has been failing for {:.1}s, so requests are held back; next try in {:.1}s (last answer: {last})",
            lasted.as_secs_f64(),
            wait.as_secs_f64(),
        );
        let error = Error::new(Code::Unavailable, message).with_retry_after(wait).with_service(
            last.http_status(),
            last.service_code(),
            last.request_id(),
            last.extended_request_id(),
        );
        Refused { error, wait }
    }
}

impl Leave {
    /// The store answered, whatever it said.
    pub fn alive(mut self, now: Instant) -> Option<Change> {
        self.is_probe = false;
        self.breaker.alive(now)
    }

    /// The store failed.
    pub fn failing(mut self, now: Instant, error: &Error) -> Option<Change> {
        let is_probe = std::mem::take(&mut self.is_probe);
        self.breaker.failing(now, error, is_probe)
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        // Cancelled, or it failed before it reached the store: nothing was learnt, so another may try at once.
        if self.is_probe {
            let mut state = self.breaker.state.lock();
            if let Phase::HalfOpen { pause, .. } = state.phase {
                state.phase = Phase::Open { until: Instant::now(), pause };
            }
        }
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        if !matches!(self.state.get_mut().phase, Phase::Closed) {
            self.metrics.breakers_open.sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { failures: 3, time: Duration::from_secs(5), pause: Duration::from_secs(1) };

    fn breaker() -> (Arc<Breaker>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        (Breaker::new(LIMITS, metrics.clone()), metrics)
    }

    fn down() -> Error {
        Error::new(Code::Unavailable, "connection refused").with_service(503, "Down", "id", "x")
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Fails at 0, 3 and 6 s; open at the last.
    fn open(breaker: &Arc<Breaker>, start: Instant) -> Instant {
        for at in [0, 3] {
            assert_eq!(breaker.enter(start).unwrap().failing(start + secs(at), &down()), None);
        }
        let opened = breaker.enter(start).unwrap().failing(start + secs(6), &down());
        assert_eq!(opened, Some(Change::Opened { failures: 3, lasted: secs(6), pause: secs(1) }));
        start + secs(6)
    }

    #[test]
    fn it_opens_after_a_row_of_failures_that_lasts_and_says_since_when_and_why() {
        let (breaker, metrics) = breaker();
        let now = open(&breaker, Instant::now());
        let refused = breaker.enter(now).err().unwrap();
        let look = breaker.look(now);
        assert_eq!((look.state, look.failures), (status::Breaker::Open, 3));
        assert_eq!((look.failing_s, look.next_try_s), (Some(6.0), Some(1.0)));
        assert_eq!(
            look.last.map(|last| (last.http_status, last.service_code)),
            Some((503, "Down".to_owned()))
        );
        assert_eq!((refused.wait, refused.error.retry_after()), (secs(1), Some(secs(1))));
        let message = refused.error.message();
        assert!(message.contains("failing for 6.0s") && message.contains("next try in 1.0s"), "{message}");
        assert!(message.contains("connection refused"), "{message}");
        assert_eq!((refused.error.http_status(), refused.error.service_code()), (503, "Down"));
        assert_eq!(metrics.breakers_open.value(), 1);
        drop(breaker);
        assert_eq!(metrics.breakers_open.value(), 0, "a store that is closed is not counted");
    }

    #[test]
    fn an_answer_ends_the_row_and_many_failures_in_one_instant_do_not_open_it() {
        let (breaker, _) = breaker();
        let start = Instant::now();
        for _ in 0..100 {
            assert_eq!(breaker.enter(start).unwrap().failing(start, &down()), None);
        }
        assert_eq!(breaker.enter(start).unwrap().alive(start + secs(4)), None);
        for _ in 0..100 {
            assert_eq!(breaker.enter(start).unwrap().failing(start + secs(7), &down()), None);
        }
    }

    #[test]
    fn one_request_at_a_time_tries_whether_the_store_is_back() {
        let (breaker, metrics) = breaker();
        let now = open(&breaker, Instant::now()) + secs(1);
        let probe = breaker.enter(now).unwrap();
        assert_eq!(breaker.look(now).state, status::Breaker::HalfOpen);
        assert_eq!(breaker.enter(now).err().unwrap().wait, PROBE);
        assert_eq!(probe.failing(now, &down()), None);
        assert_eq!(breaker.enter(now).err().unwrap().wait, secs(2), "the pause doubles");
        let now = now + secs(2);
        drop(breaker.enter(now).unwrap());
        let probe = breaker.enter(now.max(Instant::now())).expect("a probe without an answer keeps no place");
        assert_eq!(probe.alive(now), Some(Change::Closed { lasted: secs(9) }));
        assert!(breaker.enter(now).is_ok());
        let look = breaker.look(now);
        assert_eq!(
            (look.state, look.failures, look.failing_s, look.last),
            (status::Breaker::Closed, 0, None, None)
        );
        assert_eq!(metrics.breakers_open.value(), 0);
        let count = |state| metrics.breaker_transitions.of(state).value();
        assert_eq!(count(BreakerState::Open), 2);
        assert_eq!(count(BreakerState::HalfOpen), 3);
        assert_eq!(count(BreakerState::Closed), 1);
    }

    #[test]
    fn a_probe_that_takes_long_keeps_nobody_else_from_trying() {
        let (breaker, _) = breaker();
        let now = open(&breaker, Instant::now()) + secs(1);
        let slow = breaker.enter(now).unwrap();
        assert!(breaker.enter(now + OVERDUE / 2).is_err());
        let second = breaker.enter(now + OVERDUE).expect("the first is overdue");
        assert!(breaker.enter(now + OVERDUE).is_err(), "one more, not all");
        assert!(second.alive(now + OVERDUE).is_some());
        assert_eq!(slow.failing(now + OVERDUE, &down()), None);
        assert!(breaker.enter(now + OVERDUE).is_ok(), "what was late does not open it again");
    }

    #[test]
    fn an_answer_that_was_on_its_way_closes_it() {
        let (breaker, _) = breaker();
        let start = Instant::now();
        let before = breaker.enter(start).unwrap();
        let now = open(&breaker, start);
        assert!(before.alive(now).is_some());
        assert!(breaker.enter(now).is_ok());
    }

    #[test]
    fn the_pause_grows_to_a_limit() {
        let (breaker, _) = breaker();
        let mut now = open(&breaker, Instant::now());
        for _ in 0..10 {
            now += LONGEST_PAUSE;
            breaker.enter(now).unwrap().failing(now, &down());
        }
        assert_eq!(breaker.enter(now).err().unwrap().wait, LONGEST_PAUSE);
    }

    #[test]
    fn no_failures_means_no_breaker() {
        let breaker = Breaker::new(Limits { failures: 0, ..LIMITS }, Arc::new(Metrics::new()));
        let start = Instant::now();
        for n in 0..100 {
            assert_eq!(breaker.enter(start).unwrap().failing(start + secs(n), &down()), None);
        }
    }
}
