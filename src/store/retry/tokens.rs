//! The retry budget: how many attempts a store may be sent beyond the first ones.
//!
//! A store that fails everything would otherwise be sent each request as many times as `retry.attempts` says, at
//! the worst moment. A retry costs a token; a request that succeeds earns a tenth of one, and a few come back with
//! time. So a moment's failure of very many requests is retried in full, and a long one adds a tenth to the load.

use parking_lot::Mutex;
use std::time::Instant;

/// What a success earns: retries are at most a tenth of what succeeds, as in the SDKs of the large clouds.
const EARNED: f64 = 0.1;
/// Tokens that come back each second, so that a store that is used rarely has retries again after an outage.
const PER_SECOND: f64 = 1.0;

/// A bucket of tokens. A capacity of 0 means that nothing is counted.
pub(super) struct Tokens {
    capacity: f64,
    state: Mutex<State>,
}

struct State {
    level: f64,
    at: Instant,
}

impl Tokens {
    /// A bucket that is full at `now`.
    pub fn new(capacity: u32, now: Instant) -> Tokens {
        let capacity = f64::from(capacity);
        Tokens { capacity, state: Mutex::new(State { level: capacity, at: now }) }
    }

    /// Takes the token for one retry; false if there is none.
    pub fn take(&self, now: Instant) -> bool {
        if self.capacity == 0.0 {
            return true;
        }
        let mut state = self.state.lock();
        let passed = now.saturating_duration_since(state.at);
        state.level = (state.level + passed.as_secs_f64() * PER_SECOND).min(self.capacity);
        state.at = now;
        let is_there = state.level >= 1.0;
        if is_there {
            state.level -= 1.0;
        }
        is_there
    }

    /// A request succeeded.
    pub fn earn(&self) {
        if self.capacity > 0.0 {
            let mut state = self.state.lock();
            state.level = (state.level + EARNED).min(self.capacity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn drain(tokens: &Tokens, now: Instant) -> usize {
        std::iter::repeat_with(|| tokens.take(now)).take(1000).take_while(|taken| *taken).count()
    }

    #[test]
    fn an_outage_has_so_many_retries_as_the_budget_and_then_few() {
        let mut now = Instant::now();
        let tokens = Tokens::new(20, now);
        assert_eq!(drain(&tokens, now), 20);
        for _ in 0..35 {
            tokens.earn();
        }
        assert_eq!(drain(&tokens, now), 3, "a tenth of what succeeded");
        now += Duration::from_secs(5);
        assert_eq!(drain(&tokens, now), 5, "one each second");
        now += Duration::from_secs(5000);
        assert_eq!(drain(&tokens, now), 20, "never more than the budget");
    }

    #[test]
    fn a_budget_of_zero_counts_nothing() {
        let now = Instant::now();
        assert_eq!(drain(&Tokens::new(0, now), now), 1000);
    }
}
