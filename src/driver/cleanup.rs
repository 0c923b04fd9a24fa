//! Reap, sweep and scrub through a driver: the same deadlines, cancels and queues as for everything else.

use super::{Driver, Outcome};
use crate::{
    engine::{Call, Op, OpKind, Slot},
    error::Result,
    maintain::{self, Piece, ReapOptions, Report, SalvageOptions, Step, SweepOptions},
    reader::{SegmentRef, VerifyReport},
};
use std::sync::Arc;

operation! {
    /// Aborts uploads that were begun and never ended, and reports on each upload that it met. What was aborted before
    /// an error stays so; call it again.
    reap, reap_submit(options: ReapOptions) -> Report,
    Reap of "uploads", |report| Outcome::Reaped(Box::new(report));
    |inner, op| maintain::reap(inner.maintain.clone(), op, options)
}

impl Driver {
    /// Begins a sweep: nothing is read or deleted before its first step.
    ///
    /// # Errors
    /// `CLOSED`, `FORKED`.
    pub fn sweep(&self, options: SweepOptions) -> Result<Sweep> {
        self.check_open()?;
        let sweep = maintain::Sweep::new(self.0.maintain.clone(), options);
        Ok(Sweep { driver: self.clone(), sweep })
    }
}

/// A sweep through a driver, step by step. Clones are the same one; any thread may use it, one step at a time.
#[derive(Clone)]
pub struct Sweep {
    driver: Driver,
    sweep: maintain::Sweep,
}

impl Sweep {
    /// Feeds keys that the host refers to, in strictly increasing byte order over all feeds; see
    /// [`maintain::Sweep::feed`]. A step takes as many as a page of the listing allows, perhaps none: feed the others
    /// again.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a key that is out of order, `BUSY` while another step runs, and what the store says.
    pub fn feed(&self, live: Vec<String>, call: &Call) -> Result<Step> {
        let (op, step) = self.feeding(live, call)?;
        self.driver.0.engine.block_on(&op, step)
    }

    /// [`feed`](Sweep::feed) that ends in a completion queue.
    ///
    /// # Errors
    /// `CLOSED`, `FORKED`.
    pub fn feed_submit(&self, live: Vec<String>, call: &Call, slot: Slot<Outcome>) -> Result<u64> {
        self.driver.spawn(self.feeding(live, call), slot, |step| Outcome::Swept(Box::new(step)))
    }

    /// Sweeps on behind the last live key; repeat it until [`Step::done`].
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where no key was fed, `BUSY` while another step runs, and what the store says.
    pub fn finish(&self, call: &Call) -> Result<Step> {
        let (op, step) = self.finishing(call)?;
        self.driver.0.engine.block_on(&op, step)
    }

    /// [`finish`](Sweep::finish) that ends in a completion queue.
    ///
    /// # Errors
    /// `CLOSED`, `FORKED`.
    pub fn finish_submit(&self, call: &Call, slot: Slot<Outcome>) -> Result<u64> {
        self.driver.spawn(self.finishing(call), slot, |step| Outcome::Swept(Box::new(step)))
    }

    fn feeding(
        &self,
        live: Vec<String>,
        call: &Call,
    ) -> Result<(Op, impl Future<Output = Result<Step>> + use<>)> {
        let op = self.driver.start(OpKind::Sweep, "a feed", call)?;
        Ok((op.clone(), self.sweep.clone().feed(op, live)))
    }

    fn finishing(&self, call: &Call) -> Result<(Op, impl Future<Output = Result<Step>> + use<>)> {
        let op = self.driver.start(OpKind::Sweep, "the rest", call)?;
        Ok((op.clone(), self.sweep.clone().finish(op)))
    }
}

impl Driver {
    /// Verifies without being felt: what the [`Scrub`] reads is `rate` bytes each second at most (0: no limit), has no
    /// place in the cache, and leaves places for those who read. Nothing is read before its first object.
    ///
    /// # Errors
    /// `CLOSED`, `FORKED`.
    pub fn scrub(&self, rate: u64) -> Result<Scrub> {
        self.check_open()?;
        Ok(Scrub { driver: self.clone(), scrub: maintain::Scrub::new(self.0.maintain.clone(), rate), rate })
    }
}

/// A scrub through a driver. Clones are the same one and share its rate; any number of threads may use it, each for
/// another object.
#[derive(Clone)]
pub struct Scrub {
    driver: Driver,
    scrub: maintain::Scrub,
    rate: u64,
}

impl Scrub {
    /// Bytes each second, at most; 0 is no limit.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Reads and checks everything of a segment, as [`Driver::verify`]. Its deadline should leave room for the rate.
    ///
    /// # Errors
    /// Those of [`Driver::verify`].
    pub fn verify(&self, r: &SegmentRef, call: &Call) -> Result<VerifyReport> {
        let op = self.driver.start(OpKind::Verify, &r.key, call)?;
        self.driver.0.engine.block_on(&op, self.scrub.clone().verify(op.clone(), r.clone()))
    }

    /// [`verify`](Scrub::verify) that ends in a completion queue.
    ///
    /// # Errors
    /// `CLOSED`, `FORKED`.
    pub fn verify_submit(&self, r: &SegmentRef, call: &Call, slot: Slot<Outcome>) -> Result<u64> {
        let started = self.driver.start(OpKind::Verify, &r.key, call);
        let started = started.map(|op| (op.clone(), self.scrub.clone().verify(op, r.clone())));
        self.driver.spawn(started, slot, |report| Outcome::Verified(Box::new(report)))
    }
}

impl Driver {
    /// Salvages a damaged object: its blocks in order, as far as checksums vouch for them, and the gaps between them.
    /// Nothing is read before the first [`Salvage::next`].
    ///
    /// # Errors
    /// `CLOSED`, `FORKED`.
    pub fn salvage(&self, key: &str, options: SalvageOptions) -> Result<Salvage> {
        self.check_open()?;
        let salvage = maintain::Salvage::new(self.0.maintain.clone(), key, options);
        Ok(Salvage { driver: self.clone(), salvage, key: key.into() })
    }
}

/// A salvage through a driver, piece by piece. It holds some 5 MiB of the budget until its end. Clones are the same
/// one; any thread may use it, one step at a time.
#[derive(Clone)]
pub struct Salvage {
    driver: Driver,
    salvage: maintain::Salvage,
    key: Arc<str>,
}

impl Salvage {
    /// The next piece. The first step finds out what is left: without a sound tail it reads the whole object, and
    /// so it does where index pages are damaged. After an error the same step can be tried again.
    ///
    /// # Errors
    /// `NOT_FOUND`, `UNSUPPORTED_VERSION`, `BUSY` while another step runs, and what the store says.
    pub fn next(&self, call: &Call) -> Result<Piece> {
        let op = self.driver.start(OpKind::Verify, &self.key, call)?;
        self.driver.0.engine.block_on(&op, self.salvage.clone().next(op.clone()))
    }
}
