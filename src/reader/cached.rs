//! Reads that memory alone can answer.
//!
//! Purpose: `CACHED_ONLY`, and the first try of every blocking read. A plain function on the caller's thread: it waits
//! for nothing and registers no operation; it takes a shard's lock of the cache for each lookup and holds none while
//! it copies. A hit of a reader that goes on tells the engine what to fetch ahead of it, as a read that had to ask does:
//! else whoever tries memory first would have to wait wherever that ends.
//!
//! Trade-off: all or nothing. A range of which one block is missing is answered as a whole by the other path, which
//! copies the same cached blocks again; that is cheaper than to keep account of halves.

use super::{Reader, SegmentBytes, SegmentRef, clip, segment::Segment};
use crate::{
    engine::CallFlags,
    error::{Code, Error, Result},
    metrics::Form,
    object::{Tail, Token},
    store::Key,
};
use bytes::Bytes;
use std::{ops::Range, sync::Arc};

impl Reader {
    /// The bytes of [`read_range`](Reader::read_range), if the tail, the index pages and all blocks are in memory;
    /// `None` if something is missing (`dest` then holds anything), and always without a token, because only a token
    /// says which object stands under the key without asking. A hit allocates nothing.
    ///
    /// `INVALID_ARGUMENT` for a damaged token, `WRONG_STORE`, `OUT_OF_RANGE` and `CORRUPT` as there.
    pub fn try_read_cached(
        self: &Arc<Self>,
        r: &SegmentRef,
        offset: u64,
        dest: &mut [u8],
        flags: &CallFlags,
    ) -> Result<Option<usize>> {
        let mut done = 0;
        let found = self.cached_blocks(r, offset, dest.len() as u64, flags, |bytes, part| {
            let len = part.len();
            dest[done..done + len].copy_from_slice(&bytes[part]);
            done += len;
        })?;
        Ok(found.then_some(done))
    }

    /// The same for [`read_range_bytes`](Reader::read_range_bytes).
    pub fn try_read_bytes_cached(
        self: &Arc<Self>,
        r: &SegmentRef,
        offset: u64,
        len: u64,
        flags: &CallFlags,
    ) -> Result<Option<SegmentBytes>> {
        let mut pieces: Vec<(Bytes, Range<usize>)> = Vec::new();
        if !self.cached_blocks(r, offset, len, flags, |bytes, part| pieces.push((bytes, part)))? {
            return Ok(None);
        }
        Ok(Some(match &pieces[..] {
            [] => SegmentBytes::empty(),
            [(block, part)] => SegmentBytes::new(block.slice(part.clone()), self.lend(block.len())?),
            _ => {
                let len = pieces.iter().map(|(_, part)| part.len()).sum();
                let lent = self.lend(len)?;
                let mut all = Vec::new();
                all.try_reserve_exact(len).map_err(|_| {
                    Error::new(Code::ResourceExhausted, format!("no memory for the {len} bytes of a read"))
                })?;
                for (block, part) in pieces {
                    all.extend_from_slice(&block[part]);
                }
                SegmentBytes::new(all.into(), lent)
            }
        }))
    }

    /// Shows `each` the blocks of a range, one after the other, and what of them is wanted. False if something is
    /// missing; what `each` was shown does not count then.
    fn cached_blocks(
        self: &Arc<Self>,
        r: &SegmentRef,
        offset: u64,
        len: u64,
        flags: &CallFlags,
        mut each: impl FnMut(Bytes, Range<usize>),
    ) -> Result<bool> {
        let Some(token) = &r.token else { return Ok(false) };
        let token = Token::decode(token)?;
        let place = self.place_of(&token)?;
        let Some(tail) = self.shared.cached_tail(token.id) else { return Ok(false) };
        if (token.tail_crc32c, token.object_len) != (tail.crc32c(), tail.object_len()) {
            let what =
                "the receipt's token and the object in memory contradict each other; read by the key alone";
            return Err(Error::new(Code::Corrupt, what));
        }
        let raw = clip(tail.segment_len(), offset, len)?;
        let mut at = raw.start;
        // What is missing is mostly the end, which is still being fetched: known before the rest is copied in vain.
        if !raw.is_empty() && !self.has_byte(&tail, raw.end - 1) {
            return Ok(false);
        }
        while at < raw.end {
            let Some(n) = tail.page_of_raw(at) else { return Ok(false) };
            let Some(page) = self.shared.cached_page(token.id, n) else { return Ok(false) };
            while let Some(block) = page.block_of_raw(at).filter(|_| at < raw.end) {
                let Some(bytes) = self.shared.cached_block(token.id, block.number) else { return Ok(false) };
                let end = raw.end.min(block.raw.end);
                each(bytes, (at - block.raw.start) as usize..(end - block.raw.start) as usize);
                at = end;
            }
        }
        if !raw.is_empty() {
            self.go_on_ahead(&tail, &raw, flags, || {
                let key = Key::new(&r.key)?;
                Ok(Segment::new(key, place.clone(), tail.clone(), self.shared.clone()))
            });
        }
        self.shared.count(Form::Raw, raw.end - raw.start);
        Ok(true)
    }

    /// Whether the block that holds a byte is in memory.
    fn has_byte(&self, tail: &Tail, at: u64) -> bool {
        let page = tail.page_of_raw(at).and_then(|n| self.shared.cached_page(tail.id(), n));
        let block = page.and_then(|page| page.block_of_raw(at));
        block.is_some_and(|block| self.shared.has_block(tail.id(), block.number))
    }
}
