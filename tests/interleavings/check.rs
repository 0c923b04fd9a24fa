//! How many orders are walked, and how one of them is walked again.

use shuttle::{
    Config, FailurePersistence, MaxSteps, Runner,
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler},
};

/// Orders for each test and each of the two ways to choose them. A planted defect in one of the cores shows within a few
/// hundred.
const QUICK: usize = 1_500;
const FULL: usize = 150_000;

/// Changes of thread at chosen places: defects that need more than three are rare.
const CHANGES: usize = 3;

/// Runs `test` in many orders; it panics, or shuttle does for it when nobody can go on.
pub fn every_order(test: impl Fn() + Send + Sync + Copy + 'static) {
    let config = || {
        let mut config = Config::new();
        // The messages of errors are formatted on these stacks.
        config.stack_size = 256 << 10;
        config.failure_persistence = FailurePersistence::Print;
        // A hundred times as many as the longest order that ends; more means that somebody tries in vain for ever.
        config.max_steps = MaxSteps::FailAfter(100_000);
        config
    };
    if let Ok(schedule) = std::env::var("SEGLIFT_SCHEDULE") {
        Runner::new(ReplayScheduler::new_from_encoded(&schedule), config()).run(test);
        return;
    }
    let orders = if std::env::var("SCALE").is_ok_and(|scale| scale == "full") { FULL } else { QUICK };
    Runner::new(RandomScheduler::new(orders), config()).run(test);
    Runner::new(PctScheduler::new(CHANGES, orders), config()).run(test);
}
