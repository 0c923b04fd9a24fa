//! What time it is, asked in one place, so that policy and format code can be tested at any hour.
//!
//! Wall time says when something happened, in microseconds since 1970 as records carry it; it may
//! jump. Monotonic time says how long something took; it never goes back, and means nothing to
//! another process. Sleeping and time-outs are the runtime's and not here.

use parking_lot::Mutex;
use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A source of both kinds of time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Microseconds since 1970-01-01 UTC, negative before.
    fn now_us(&self) -> i64;

    /// Time since a moment that stays the same for the life of the clock.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    pub fn new() -> Self {
        SystemClock { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => whole_us(since),
            Err(before) => -whole_us(before.duration()),
        }
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A clock that stands until it is told.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<(i64, Duration)>,
}

impl ManualClock {
    /// A clock at this wall time; its monotonic time begins at zero.
    pub fn at_us(now_us: i64) -> Self {
        ManualClock { now: Mutex::new((now_us, Duration::ZERO)) }
    }

    /// Lets time pass, on both clocks.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        now.0 = now.0.saturating_add(whole_us(by));
        now.1 = now.1.saturating_add(by);
    }

    /// Makes the wall clock jump, as an administrator or a time server does.
    pub fn set_us(&self, now_us: i64) {
        self.now.lock().0 = now_us;
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.now.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().1
    }
}

/// A span in whole microseconds; one that does not fit (292,000 years) is the longest that does.
pub fn whole_us(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_knows_the_century_and_never_goes_back() {
        let clock = SystemClock::new();
        // 2025-01-01 and 2100-01-01.
        assert!((1_735_689_600_000_000..4_102_444_800_000_000).contains(&clock.now_us()));
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told_and_a_jump_moves_the_wall_alone() {
        let clock = ManualClock::at_us(1_000);
        clock.advance(Duration::from_micros(5));
        assert_eq!((clock.now_us(), clock.monotonic()), (1_005, Duration::from_micros(5)));
        clock.set_us(-7);
        assert_eq!((clock.now_us(), clock.monotonic()), (-7, Duration::from_micros(5)));
        clock.advance(Duration::MAX);
        assert_eq!(clock.now_us(), i64::MAX - 7);
    }
}
