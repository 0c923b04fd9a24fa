//! How much was counted in the last while.
//!
//! Invariant: counting is one atomic step and never waits, however many count at once. Trade-off: a ring of few
//! buckets, so the while is as exact as one of them is long; a count that races with the change of a bucket may be
//! lost, which no reader of a rate notices.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bits of a bucket that count; the others say which bucket it is. 2^44 is 16 TiB in one of them.
const COUNT: u32 = 44;
const MOST: u64 = (1 << COUNT) - 1;
/// Numbers of buckets start over after so many: 12 days of seconds, longer than any that is looked at stays unused.
const NUMBERS: u64 = 1 << (64 - COUNT);

/// Counts over the last `N - 1` buckets of `MS` milliseconds and the one that is not over yet. Times are milliseconds
/// after whatever its user begins with.
#[derive(Debug)]
pub struct Recent<const N: usize, const MS: u64>([AtomicU64; N]);

impl<const N: usize, const MS: u64> Default for Recent<N, MS> {
    fn default() -> Self {
        Recent(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl<const N: usize, const MS: u64> Recent<N, MS> {
    /// Counts `n` at `now_ms`.
    pub fn add(&self, now_ms: u64, n: u64) {
        let bucket = now_ms / MS;
        let number = bucket % NUMBERS;
        let place = &self.0[(bucket % N as u64) as usize];
        // A failed update is one by somebody else, which is tried on again; it never gives up.
        let _ = place.fetch_update(Relaxed, Relaxed, |old| {
            let before = if old >> COUNT == number { old & MOST } else { 0 };
            Some(number << COUNT | before.saturating_add(n).min(MOST))
        });
    }

    /// What was counted, as seen at `now_ms`.
    pub fn sum(&self, now_ms: u64) -> u64 {
        let bucket = now_ms / MS;
        let first = bucket.saturating_sub(N as u64 - 1);
        let counted = |bucket: u64| {
            let seen = self.0[(bucket % N as u64) as usize].load(Relaxed);
            if seen >> COUNT == bucket % NUMBERS { seen & MOST } else { 0 }
        };
        (first..=bucket).map(counted).sum()
    }

    /// What was counted for each second, as seen at `now_ms`.
    pub fn per_second(&self, now_ms: u64) -> u64 {
        let begun = (now_ms / MS).saturating_sub(N as u64 - 1) * MS;
        // A tenth of a second at least: what has just begun has no rate yet.
        let span = (now_ms - begun).max(100);
        (u128::from(self.sum(now_ms)) * 1000 / u128::from(span)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_the_last_buckets_and_forgets_what_is_older() {
        let recent = Recent::<4, 1000>::default();
        assert_eq!(recent.sum(0), 0);
        recent.add(0, 5);
        recent.add(999, 5);
        recent.add(1000, 1);
        assert_eq!([recent.sum(1000), recent.sum(3999), recent.sum(4000), recent.sum(5000)], [11, 11, 1, 0]);
        // Its place was taken by a later one.
        recent.add(8000, 7);
        assert_eq!(recent.sum(8000), 7);
        recent.add(8001, u64::MAX);
        assert_eq!(recent.sum(8001), MOST, "it is full, and runs over into nothing");
    }

    #[test]
    fn the_rate_follows_what_happens_now() {
        let recent = Recent::<4, 1000>::default();
        for second in 0..10 {
            recent.add(second * 1000 + 500, 100);
        }
        assert_eq!(recent.per_second(10_000), 100);
        assert_eq!(recent.per_second(60_000), 0, "it stands still");
        let begun = Recent::<4, 1000>::default();
        begun.add(10, 100);
        assert_eq!(begun.per_second(20), 1000, "no rate of a moment");
    }

    #[test]
    fn what_many_count_at_once_is_all_counted() {
        let recent = Recent::<2, 1000>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| recent.add(7, 3)));
            }
        });
        assert_eq!(recent.sum(7), 120_000);
    }
}
