//! Scrub: verifies one object after the other for as long as it takes, without being felt.
//!
//! Invariant: a scrub leaves no trace in the cache, and it never has more requests under way than [`CONCURRENCY`] for
//! each object that is verified at a time, of the 128 reads that a store is sent unless told otherwise: who reads
//! always finds a place. All that it reads keeps to one rate.
//!
//! Trade-off: what it costs is time. A petabyte at 50 MiB/s takes eight months, so a scrub can be interrupted and
//! goes on where it stood ([`ScrubState`]). The walk itself is the caller's: a listing and a loop, which every host
//! has anyway.

use super::Context;
use crate::{
    engine::Op,
    error::Result,
    reader::{Gently, SegmentRef, VerifyReport},
    store::Pace,
};
use std::{sync::Arc, time::Instant};

/// Requests for one object at a time: one on its way while the other is digested.
const CONCURRENCY: usize = 2;
/// Largest request: what hides the way to a store, and no more than a quarter of a second of the rate.
const LARGEST_FETCH: u64 = 4 << 20;
/// Smallest request that a rate leads to: below it requests cost more than their bytes.
const SMALLEST_FETCH: u64 = 256 << 10;

/// Verifies objects at a rate that they share. Clones are the same one; any number of tasks may use it.
#[derive(Clone)]
pub struct Scrub {
    context: Context,
    gently: Gently,
}

impl Scrub {
    /// A scrub that reads `rate` bytes each second at most; 0 is no limit. Does no I/O.
    pub fn new(context: Context, rate: u64) -> Scrub {
        let pace = Pace::new(rate, Instant::now()).map(Arc::new);
        let fetch_size = match rate {
            0 => LARGEST_FETCH,
            rate => (rate / 4).clamp(SMALLEST_FETCH, LARGEST_FETCH),
        };
        Scrub { context, gently: Gently { pace, fetch_size: fetch_size as usize, concurrency: CONCURRENCY } }
    }

    /// [`Reader::verify`](crate::reader::Reader::verify) at the rate.
    pub async fn verify(self, op: Op, r: SegmentRef) -> Result<VerifyReport> {
        self.context.reader.clone().verify_gently(op, r, self.gently).await
    }
}
