//! The way of a segment out of the store, shared by `cat` and `get`: in order, at bounded memory,
//! with several reads in flight.
//!
//! The first thing read is the tail. Everything after it is asked for with the tail's token, so a
//! segment that is removed, or replaced by one of the same name, while it is read is an error and
//! never a mixture.

use crate::{
    app::App,
    failure::Failure,
    inflight::{Inflight, unexpected},
};
use seglift::{
    Result,
    driver::{Driver, Outcome},
    engine::{Call, CallFlags},
    reader::{RecordView, SegmentRef, Stat},
};
use std::ops::Range;

/// Reads in flight beside the one that is written out.
const WINDOW: usize = 4;

/// A segment that is being read.
pub struct Restore {
    /// What its tail says.
    pub stat: Stat,
    driver: Driver,
    object: SegmentRef,
    call: Call,
    /// Bytes of one read; a multiple of every block size, so that no block is fetched twice.
    piece: u64,
}

impl Restore {
    /// Reads the tail of `key`.
    pub fn open(app: &App, driver: &Driver, key: &str) -> Result<Self> {
        // Every byte passes once: it would only drive others out of the cache.
        let flags = CallFlags { sequential: true, no_cache: true, ..CallFlags::default() };
        let call = Call { flags, ..app.call() };
        let stat = driver.stat(&SegmentRef { key: key.to_string(), token: None }, &call)?;
        let object = SegmentRef { key: key.to_string(), token: Some(stat.token().to_vec()) };
        // All pieces together stay within half of what may be lent.
        let room = app.config.settings()?.memory_lent_limit as u64 / (2 * (WINDOW as u64 + 1));
        let block = u64::from(stat.block_size()).max(1);
        let piece = (room.min(4 << 20) / block).max(1) * block;
        Ok(Restore { stat, driver: driver.clone(), object, call, piece })
    }

    /// Hands the bytes of `range` to `each`, in order. The range lies within the segment.
    pub fn bytes(
        &self,
        range: Range<u64>,
        mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut inflight = Inflight::new(&self.driver, WINDOW)?;
        let mut next = range.start;
        loop {
            while next < range.end && inflight.len() < WINDOW {
                // Up to the next multiple of a piece, so that all reads but the first begin with a block.
                let end = (next / self.piece + 1).saturating_mul(self.piece).min(range.end);
                inflight.submit(|slot| {
                    self.driver.read_range_bytes_submit(&self.object, next, end - next, &self.call, slot)
                })?;
                next = end;
            }
            if inflight.len() == 0 {
                return Ok(());
            }
            match inflight.next(|_, _| {})? {
                Outcome::Bytes(bytes) => each(&bytes)?,
                other => return Err(unexpected(&other).into()),
            }
        }
    }

    /// Hands the records with the ids `first` to `last` to `each`.
    pub fn records(
        &self,
        first: u64,
        last: u64,
        mut each: impl FnMut(RecordView<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut next = first;
        loop {
            // Where a batch ends is known only when it is there; the reader's own prefetch overlaps.
            let batch = self.driver.read_records(&self.object, next, 0, self.piece, &self.call)?;
            for record in batch.records() {
                if record.id > last {
                    return Ok(());
                }
                each(record)?;
            }
            if batch.at_end() || batch.next_id() > last {
                return Ok(());
            }
            next = batch.next_id();
        }
    }

    /// The attachment `name`.
    pub fn attachment(
        &self,
        name: &str,
        each: impl FnOnce(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        each(&self.driver.read_attachment(&self.object, name, &self.call)?)
    }
}
