//! An index page that is being read: where each of its blocks lies.
//!
//! Invariant: a page is decoded whole or not at all, and its blocks fill exactly the place that
//! the page table gives it, in the segment, in the object and in the ids.
//!
//! Trade-off: decoded, a block takes 24 bytes (64 in record mode) instead of 4 to 20, so that a
//! search is a search and no decoding; [`Page::memory`] says what a cache has to count.

use std::ops::Range;

use super::{
    block::Block,
    content::Mode,
    entry::EntryCoder,
    limits,
    span::RecordSpan,
    tail::{PageEntry, Tail},
    wire::{Reader, corrupt},
};
use crate::{codec::checksum, error::Result};

/// A decoded index page. Plain data: any number of threads may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    first_block: u32,
    blocks: Vec<Start>,
    /// In record mode one for each block, else empty.
    spans: Vec<RecordSpan>,
    raw_end: u64,
    stored_end: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    raw: u64,
    stored: u64,
    crc32c: u32,
}

impl Page {
    /// Decodes `bytes`, the page `n` of `tail`.
    ///
    /// `CORRUPT` if they do not match their CRC32C, or contradict the page table.
    ///
    /// # Panics
    /// If the tail has no page `n`.
    pub fn parse(bytes: &[u8], tail: &Tail, n: usize) -> Result<Self> {
        let entry = &tail.pages()[n];
        Self::decode(bytes, tail, entry).map_err(|e| {
            e.context(format_args!("index page {n} of object {} at {}", tail.id(), entry.position.start))
        })
    }

    fn decode(bytes: &[u8], tail: &Tail, entry: &PageEntry) -> Result<Self> {
        let expected = entry.position.end - entry.position.start;
        if bytes.len() as u64 != expected || bytes.len() > limits::MAX_PAGE {
            return Err(corrupt(format!("it has {} bytes instead of {expected}", bytes.len())));
        }
        if checksum::crc32c(bytes) != entry.crc32c {
            return Err(corrupt("it does not match its CRC32C"));
        }
        let count = entry.blocks.len();
        if count > bytes.len() / EntryCoder::least_len(tail.mode(), tail.codec()) {
            return Err(corrupt(format!("{count} blocks do not fit it")));
        }
        let mut page = Page {
            first_block: entry.blocks.start,
            blocks: Vec::with_capacity(count),
            spans: Vec::with_capacity(if tail.mode() == Mode::Records { count } else { 0 }),
            raw_end: entry.raw.start,
            stored_end: entry.stored.start,
        };
        let mut reader = Reader::new(bytes, "index page");
        let mut coder = EntryCoder::new(tail.mode(), tail.codec());
        let mut records = None;
        for _ in 0..count {
            let byte_len = u64::from(tail.block_size()).min(tail.segment_len().saturating_sub(page.raw_end));
            let block = coder.decode(&mut reader, byte_len as u32)?;
            page.blocks.push(Start { raw: page.raw_end, stored: page.stored_end, crc32c: block.crc32c });
            if let Some(span) = block.records {
                let follows = RecordSpan::join(&mut records, &span);
                debug_assert!(follows, "ids are encoded as distances, so they increase");
                page.spans.push(span);
            }
            // At most 2^18 blocks of 2^27 bytes are added to a position inside the object.
            page.raw_end = page.raw_end.saturating_add(block.raw_len.into());
            page.stored_end = page.stored_end.saturating_add(block.stored_len.into());
        }
        if reader.remaining() > 0 {
            return Err(corrupt("bytes are left behind its last block"));
        }
        if (page.raw_end, page.stored_end, records) != (entry.raw.end, entry.stored.end, entry.records) {
            return Err(corrupt("its blocks do not add up to what the page table says"));
        }
        Ok(page)
    }

    /// Number of blocks, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "no page is empty")]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The numbers of its blocks.
    pub fn numbers(&self) -> Range<u32> {
        self.first_block..self.first_block + self.blocks.len() as u32
    }

    /// The memory that it holds, in bytes.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&self.blocks[..]) + size_of_val(&self.spans[..])
    }

    /// The block with byte `offset` of the segment, if it is in this page.
    pub fn block_of_raw(&self, offset: u64) -> Option<Block> {
        let after = self.blocks.partition_point(|start| start.raw <= offset);
        (offset < self.raw_end && after > 0).then(|| self.at(after - 1))
    }

    /// The block with the first record of this page whose id is `id` or greater.
    pub fn block_of_record(&self, id: u64) -> Option<Block> {
        let at = self.spans.partition_point(|span| span.last_id < id);
        (at < self.spans.len()).then(|| self.at(at))
    }

    /// Its blocks from the one with this `number` on; all of them if it lies before the page.
    pub fn blocks_from(&self, number: u32) -> impl ExactSizeIterator<Item = Block> + '_ {
        let skip = number.saturating_sub(self.first_block) as usize;
        (skip.min(self.blocks.len())..self.blocks.len()).map(|at| self.at(at))
    }

    /// All its blocks in their order.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = Block> + '_ {
        self.blocks_from(self.first_block)
    }

    fn at(&self, at: usize) -> Block {
        let start = self.blocks[at];
        let (raw_end, stored_end) =
            self.blocks.get(at + 1).map_or((self.raw_end, self.stored_end), |next| (next.raw, next.stored));
        Block {
            number: self.first_block + at as u32,
            stored: start.stored..stored_end,
            raw: start.raw..raw_end,
            crc32c: start.crc32c,
            records: self.spans.get(at).copied(),
        }
    }
}
