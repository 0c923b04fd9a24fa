//! Reads that memory alone can answer.
//!
//! Purpose: `CACHED_ONLY`, and the first try of every blocking read. A plain function on the caller's thread: it waits
//! for nothing and registers no operation; it takes a shard's lock of the cache for each lookup and holds none while
//! it copies. A hit of a reader that goes on tells the engine what to fetch ahead of it, as a read that had to ask does:
//! else whoever tries memory first would have to wait wherever that ends.
//!
//! Trade-off: all or nothing. A range of which one block is missing is answered as a whole by the other path, which
//! copies the same cached blocks again; that is cheaper than to keep account of halves.

use super::{
    Reader, SegmentBytes, SegmentRef, clip,
    segment::{Place, Segment},
};
use crate::{
    engine::CallFlags,
    error::{Code, Error, Result},
    metrics::Form,
    object::{Block, Tail, Token},
    store::Key,
};
use bytes::Bytes;
use std::{ops::Range, sync::Arc};

/// A range of a segment whose tail is in memory.
struct Wanted<'a> {
    r: &'a SegmentRef,
    place: &'a Place,
    tail: Arc<Tail>,
    raw: Range<u64>,
}

impl Reader {
    /// The bytes of [`read_range`](Reader::read_range), if the tail, the index pages and all blocks are in memory;
    /// `None` if something is missing (`dest` then holds anything), and always without a token, because only a token
    /// says which object stands under the key without asking. Unless it has something fetched ahead, a hit allocates
    /// nothing.
    ///
    /// `INVALID_ARGUMENT` for a damaged token, `WRONG_STORE`, `OUT_OF_RANGE` and `CORRUPT` as there.
    pub fn try_read_cached(
        self: &Arc<Self>,
        r: &SegmentRef,
        offset: u64,
        dest: &mut [u8],
        flags: &CallFlags,
    ) -> Result<Option<usize>> {
        let Some(wanted) = self.wanted(r, offset, dest.len() as u64)? else { return Ok(None) };
        let mut done = 0;
        let all = self.show(&wanted, flags, |block, part| {
            let len = part.len();
            dest[done..done + len].copy_from_slice(&block[part]);
            done += len;
        });
        Ok(all.then_some(done))
    }

    /// The same for [`read_range_bytes`](Reader::read_range_bytes), with its `RESOURCE_EXHAUSTED`.
    pub fn try_read_bytes_cached(
        self: &Arc<Self>,
        r: &SegmentRef,
        offset: u64,
        len: u64,
        flags: &CallFlags,
    ) -> Result<Option<SegmentBytes>> {
        let Some(wanted) = self.wanted(r, offset, len)? else { return Ok(None) };
        let len = (wanted.raw.end - wanted.raw.start) as usize;
        if len == 0 {
            return Ok(Some(SegmentBytes::empty()));
        }
        let Some(first) = self.peek_block(&wanted.tail, wanted.raw.start) else { return Ok(None) };
        if wanted.raw.end <= first.raw.end {
            let (lent, mut bytes) = (self.lend(first.raw_len())?, Bytes::new());
            let all = self.show(&wanted, flags, |block, part| bytes = block.slice(part));
            return Ok(all.then(|| SegmentBytes::new(bytes, lent)));
        }
        let (lent, mut bytes) = (self.lend(len)?, Vec::new());
        bytes.try_reserve_exact(len).map_err(|_| {
            Error::new(Code::ResourceExhausted, format!("no memory for the {len} bytes of a read"))
        })?;
        let all = self.show(&wanted, flags, |block, part| bytes.extend_from_slice(&block[part]));
        Ok(all.then(|| SegmentBytes::new(bytes.into(), lent)))
    }

    /// The range as far as the segment has it. `None` without a token, without the tail, and where the last block is
    /// missing: what is missing is mostly the end, which is still being fetched, and the rest need not be copied then.
    fn wanted<'a>(&'a self, r: &'a SegmentRef, offset: u64, len: u64) -> Result<Option<Wanted<'a>>> {
        let Some(token) = &r.token else { return Ok(None) };
        let token = Token::decode(token)?;
        let place = self.place_of(&token)?;
        let Some(tail) = self.shared.cached_tail(token.id) else { return Ok(None) };
        if (token.tail_crc32c, token.object_len) != (tail.crc32c(), tail.object_len()) {
            let what =
                "the receipt's token and the object in memory contradict each other; read by the key alone";
            return Err(Error::new(Code::Corrupt, what));
        }
        let raw = clip(tail.segment_len(), offset, len)?;
        let there = raw.is_empty() || self.peek_block(&tail, raw.end - 1).is_some();
        Ok(there.then_some(Wanted { r, place, tail, raw }))
    }

    /// The block that holds a byte, if it is in memory; no use of it.
    fn peek_block(&self, tail: &Tail, at: u64) -> Option<Block> {
        let page = self.shared.peek_page(tail.id(), tail.page_of_raw(at)?)?;
        page.block_of_raw(at).filter(|block| self.shared.has_block(tail.id(), block.number))
    }

    /// Shows `each` the blocks of the range, one after the other, and what of them is wanted. False if something is
    /// missing; what `each` was shown does not count then.
    fn show(
        self: &Arc<Self>,
        Wanted { r, place, tail, raw }: &Wanted<'_>,
        flags: &CallFlags,
        mut each: impl FnMut(Bytes, Range<usize>),
    ) -> bool {
        let mut at = raw.start;
        while at < raw.end {
            let page = tail.page_of_raw(at).and_then(|n| self.shared.cached_page(tail.id(), n));
            let Some(page) = page else { return false };
            while let Some(block) = page.block_of_raw(at).filter(|_| at < raw.end) {
                let Some(bytes) = self.shared.cached_block(tail.id(), block.number) else { return false };
                let end = raw.end.min(block.raw.end);
                each(bytes, (at - block.raw.start) as usize..(end - block.raw.start) as usize);
                at = end;
            }
        }
        if !raw.is_empty() {
            self.go_on_ahead(tail, raw, flags, || {
                Ok(Segment::new(Key::new(&r.key)?, (*place).clone(), tail.clone(), self.shared.clone()))
            });
        }
        self.shared.count(Form::Raw, raw.end - raw.start);
        true
    }
}
