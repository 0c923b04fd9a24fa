//! Reads that memory alone can answer.
//!
//! Purpose: `CACHED_ONLY`, and the first try of every blocking read. A plain function on the caller's thread: it does
//! not enter the runtime, registers no operation, and on a hit allocates nothing; it takes a shard's lock of the cache
//! for each lookup and holds none while it copies.
//!
//! Trade-off: all or nothing. A range of which one block is missing is answered as a whole by the other path, which
//! copies the same cached blocks again; that is cheaper than to keep account of halves.

use super::{Reader, SegmentRef, clip, segment::Segment};
use crate::{
    engine::CallFlags,
    error::{Code, Error, Result},
    metrics::Form,
    object::Token,
    store::Key,
};

impl Reader {
    /// The bytes of [`read_range`](Reader::read_range), if the tail, the index pages and all blocks are in memory;
    /// `None` if something is missing (`dest` then holds anything), and always without a token, because only a token
    /// says which object stands under the key without asking.
    ///
    /// Starts nothing that does I/O if `flags.cached_only`; otherwise a reader that goes on is fetched ahead of.
    ///
    /// `INVALID_ARGUMENT` for a damaged token, `WRONG_STORE`, `OUT_OF_RANGE` and `CORRUPT` as there.
    pub fn try_read_cached(
        self: &std::sync::Arc<Self>,
        r: &SegmentRef,
        offset: u64,
        dest: &mut [u8],
        flags: &CallFlags,
    ) -> Result<Option<usize>> {
        let Some(token) = &r.token else { return Ok(None) };
        let token = Token::decode(token)?;
        let place = self.place_of(&token)?;
        let Some(tail) = self.shared.cached_tail(token.id) else { return Ok(None) };
        if (token.tail_crc32c, token.object_len) != (tail.crc32c(), tail.object_len()) {
            let what =
                "the receipt's token and the object in memory contradict each other; read by the key alone";
            return Err(Error::new(Code::Corrupt, what));
        }
        let raw = clip(tail.segment_len(), offset, dest.len() as u64)?;
        let mut at = raw.start;
        while at < raw.end {
            let Some(n) = tail.page_of_raw(at) else { return Ok(None) };
            let Some(page) = self.shared.cached_page(token.id, n) else { return Ok(None) };
            while let Some(block) = page.block_of_raw(at).filter(|_| at < raw.end) {
                let Some(bytes) = self.shared.cached_block(token.id, block.number) else { return Ok(None) };
                let end = raw.end.min(block.raw.end);
                let from = (at - block.raw.start) as usize..(end - block.raw.start) as usize;
                let to = (at - raw.start) as usize..(end - raw.start) as usize;
                dest[to].copy_from_slice(&bytes[from]);
                at = end;
            }
        }
        if !flags.cached_only && !raw.is_empty() {
            self.go_on_ahead(&tail, &raw, flags, || {
                let key = Key::new(&r.key)?;
                Ok(Segment::new(key, place.clone(), tail.clone(), self.shared.clone()))
            });
        }
        self.shared.count(Form::Raw, raw.end - raw.start);
        Ok(Some((raw.end - raw.start) as usize))
    }
}
