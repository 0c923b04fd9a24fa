//! Reads of bytes: from memory on the caller's thread where it can, else on the engine's.

use super::{Driver, Outcome, would_block};
use crate::{
    buf::LentBuf,
    engine::{Call, Op, OpKind, Slot},
    error::Result,
    metrics,
    reader::{Reader, SegmentBytes, SegmentRef},
};
use std::{future::Future, sync::Arc, time::Instant};

impl Driver {
    /// Fills `dest` with the bytes of a segment from `offset` on; fewer only at its end. Returns how many. What is in
    /// memory is copied on the calling thread.
    pub fn read_range(&self, r: &SegmentRef, offset: u64, dest: &mut [u8], call: &Call) -> Result<usize> {
        if let Some(done) = self.read_cached(r, offset, dest, call)? {
            return Ok(done);
        }
        LentBuf::lend(dest, |lent| {
            let (op, work) = self.start_read_range(r, offset, lent, call)?;
            self.0.engine.block_on(&op, work)
        })
    }

    /// The part of [`read_range`](Driver::read_range) that memory answers: `None` if it cannot, or `WOULD_BLOCK` if the
    /// call is `cached_only`.
    pub fn read_cached(
        &self,
        r: &SegmentRef,
        offset: u64,
        dest: &mut [u8],
        call: &Call,
    ) -> Result<Option<usize>> {
        self.answer_from_memory(r, call, |reader| reader.try_read_cached(r, offset, dest, &call.flags))
    }

    /// Bytes of a segment in the library's memory, without a copy where one cached block holds them. They outlive the
    /// driver.
    pub fn read_range_bytes(
        &self,
        r: &SegmentRef,
        offset: u64,
        len: u64,
        call: &Call,
    ) -> Result<SegmentBytes> {
        let cached = |reader: &Arc<Reader>| reader.try_read_bytes_cached(r, offset, len, &call.flags);
        if let Some(bytes) = self.answer_from_memory(r, call, cached)? {
            return Ok(bytes);
        }
        let (op, work) = self.start_read_range_bytes(r, offset, len, call)?;
        self.0.engine.block_on(&op, work)
    }

    /// [`read_range_bytes`](Driver::read_range_bytes) that ends in a completion queue.
    pub fn read_range_bytes_submit(
        &self,
        r: &SegmentRef,
        offset: u64,
        len: u64,
        call: &Call,
        slot: Slot<Outcome>,
    ) -> Result<u64> {
        self.spawn(self.start_read_range_bytes(r, offset, len, call), slot, Outcome::Bytes)
    }

    fn start_read_range_bytes(
        &self,
        r: &SegmentRef,
        offset: u64,
        len: u64,
        call: &Call,
    ) -> Result<(Op, impl Future<Output = Result<SegmentBytes>> + Send + 'static)> {
        let op = self.start(OpKind::Read, &r.key, call)?;
        Ok((op.clone(), self.0.reader.clone().read_range_bytes(op, r.clone(), offset, len)))
    }

    /// What memory alone gives. It needs no registration, but it is an operation like any other to whoever counts.
    fn answer_from_memory<T>(
        &self,
        r: &SegmentRef,
        call: &Call,
        read: impl FnOnce(&Arc<Reader>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        self.0.scope.check_open()?;
        let started = Instant::now();
        let cached = read(&self.0.reader);
        let outcome = match &cached {
            Ok(Some(_)) => metrics::Outcome::OK,
            Ok(None) if call.flags.cached_only => return Err(would_block(&r.key)),
            Ok(None) => return Ok(None),
            Err(e) => e.code().into(),
        };
        let metrics = self.0.engine.metrics();
        metrics.operation_accepted(OpKind::Read);
        metrics.operation_ended(OpKind::Read, outcome, started.elapsed());
        cached
    }

    /// Fills lent memory with the bytes of a segment; ends as [`Outcome::Read`], after which the memory is not touched
    /// any more.
    pub fn read_range_submit(
        &self,
        r: &SegmentRef,
        offset: u64,
        dest: LentBuf,
        call: &Call,
        slot: Slot<Outcome>,
    ) -> Result<u64> {
        self.spawn(self.start_read_range(r, offset, dest, call), slot, Outcome::Read)
    }

    fn start_read_range(
        &self,
        r: &SegmentRef,
        offset: u64,
        dest: LentBuf,
        call: &Call,
    ) -> Result<(Op, impl Future<Output = Result<usize>> + Send + 'static)> {
        let op = self.start(OpKind::Read, &r.key, call)?;
        let lent = dest.clone();
        op.on_finish(move || lent.revoke());
        Ok((op.clone(), self.0.reader.clone().read_range(op, r.clone(), offset, dest)))
    }
}
