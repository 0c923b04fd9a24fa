//! Clean-up after disasters: `reap` aborts uploads that nobody ended, `sweep` deletes objects that nobody refers to.
//!
//! Purpose: whatever a host loses (its process in the middle of an upload, its memory of an object whose receipt it
//! never stored), an operator gets the room back without a look at single objects.
//!
//! Invariant: what cannot be proven to be garbage of this owner stays. An upload or an object goes only if the store
//! says that it is old enough by the store's own clock, if it is this owner's, and if it is still what was judged.
//! Everything else is left and reported.
//!
//! Trade-off: the proof costs requests, one to three for each candidate and none for what lives. Clean-up is rare
//! and candidates are few; deleting what somebody needs cannot be undone.

mod reap;
mod report;
mod salvage;
mod scrub;
mod scrub_state;
mod sweep;

pub use reap::{ReapOptions, reap};
pub use report::{Item, Report, Tally, Verdict};
pub use salvage::{Gap, Piece, Proof, Salvage, SalvageOptions, Salvaged, Saved};
pub use scrub::Scrub;
pub use scrub_state::{ScrubState, ScrubTally};
pub use sweep::{Step, Sweep, SweepOptions};

use crate::{
    engine::Op,
    error::{Code, Error, Result},
    metrics::Metrics,
    reader::Reader,
    store::{BoxFuture, ObjectStore},
};
use futures_util::{StreamExt, stream};
use std::{fmt::Display, sync::Arc, time::Duration};

/// What clean-up works on: a driver's store, for a driver's owner.
#[derive(Clone)]
pub struct Context {
    /// The store, with its retries.
    pub store: Arc<dyn ObjectStore>,
    /// Reads the tails that say whose an object is.
    pub reader: Arc<Reader>,
    /// The setting `owner`: the boundary of all clean-up.
    pub owner: String,
    /// What was removed is counted there.
    pub metrics: Arc<Metrics>,
}

/// Uploads or objects that are looked at and removed at once: enough to hide the way to the store, few enough to
/// leave it to those who work.
const AT_ONCE: usize = 8;
/// Uploads or keys of one page: what S3 lists in a request.
const PAGE: usize = 1000;

/// Whether something with this time is older than `age`. Strictly, because times are rounded down: what was made in
/// the second of `now` counts as new.
fn is_older(time_us: i64, age: Duration, now_us: i64) -> bool {
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    time_us < now_us.saturating_sub(age)
}

/// A line for each thing that is gone for good, so that an operator can tell later why.
fn log_removed(op: &Op, what: &'static str, name: &dyn Display, bytes: u64) {
    op.engine().log().info(what, "removed", &[("what", name), ("bytes", &bytes)]);
}

/// The operation itself was stopped, which no single thing can answer for.
fn stops_all(error: &Error) -> bool {
    matches!(error.code(), Code::Cancelled | Code::Closed | Code::Forked)
}

/// What all judge, in their order, or the error that stopped everything.
async fn judged(op: &Op, work: Vec<BoxFuture<'_, Item>>) -> Result<Vec<Item>> {
    let items: Vec<Item> =
        op.guard(async { Ok(stream::iter(work).buffered(AT_ONCE).collect().await) }).await?;
    op.check()?;
    match items.iter().filter_map(|item| item.error.as_ref()).find(|e| stops_all(e)) {
        Some(stopped) => Err(stopped.clone()),
        None => Ok(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_in_the_moment_of_the_question_is_not_older_than_nothing() {
        assert!(!is_older(10, Duration::ZERO, 10));
        assert!(is_older(9, Duration::ZERO, 10));
        assert!(!is_older(9, Duration::from_micros(1), 10));
        assert!(!is_older(11, Duration::ZERO, 10));
        assert!(!is_older(0, Duration::MAX, i64::MAX));
    }
}
