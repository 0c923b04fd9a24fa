//! Bytes each second, for all bodies together that go one way.
//!
//! Each piece gets the next free moment in one line, so that bodies share the rate evenly and none starves.

use parking_lot::Mutex;
use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

/// How much may go out at once after a silence: enough that a few pieces do not wait for a timer each, little enough
/// that a link is not flooded.
const BURST: Duration = Duration::from_millis(100);

/// A rate, and when its next byte may go.
pub(crate) struct Pace {
    rate: NonZeroU64,
    free: Mutex<Instant>,
}

impl Pace {
    /// `rate` bytes each second; `None` for 0, which is no limit.
    pub fn new(rate: u64, now: Instant) -> Option<Pace> {
        Some(Pace { rate: NonZeroU64::new(rate)?, free: Mutex::new(now) })
    }

    /// When a piece of `len` bytes may go, if not at once. Its place in the line is taken, also if it never goes.
    pub fn place(&self, len: usize, now: Instant) -> Option<Instant> {
        let takes = Duration::from_secs_f64(len as f64 / self.rate.get() as f64);
        let mut free = self.free.lock();
        let begin = (*free).max(now.checked_sub(BURST).unwrap_or(now));
        // A line that is longer than the clock can say is as good as endless.
        *free = begin.checked_add(takes).unwrap_or(begin);
        Some(begin).filter(|begin| *begin > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_together_keep_the_rate_whatever_the_size_of_their_pieces() {
        for piece in [1000, 64 << 10, 256 << 10] {
            let start = Instant::now();
            let pace = Pace::new(1 << 20, start).unwrap();
            let (mut now, mut sent) = (start, 0);
            while sent < 10 << 20 {
                now = pace.place(piece, now).unwrap_or(now);
                sent += piece;
            }
            let took = (now - start).as_secs_f64();
            assert!((9.6..=10.1).contains(&took), "10 MiB at 1 MiB/s took {took} s in pieces of {piece}");
        }
    }

    #[test]
    fn a_silence_saves_up_a_moment_and_no_more() {
        let start = Instant::now();
        let pace = Pace::new(1000, start).unwrap();
        let later = start + Duration::from_secs(3600);
        assert_eq!(pace.place(100, later), None);
        assert_eq!(pace.place(100, later), None, "the first took what the silence had saved");
        assert_eq!(pace.place(1, later), Some(later + BURST));
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        assert!(Pace::new(0, Instant::now()).is_none());
    }
}
