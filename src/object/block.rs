//! A block as the writer hands it to the index, and as a reader gets it back.

use std::ops::Range;

use super::span::RecordSpan;

/// What the index keeps of a block that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockEntry {
    /// Raw bytes, 1 to the limit; in byte mode the block size, less only in the last block.
    pub raw_len: u32,
    /// Bytes in the object; equal to `raw_len` without a codec.
    pub stored_len: u32,
    /// CRC32C of the stored bytes.
    pub crc32c: u32,
    /// What the block's records cover; `None` in byte mode.
    pub records: Option<RecordSpan>,
}

/// A block found in an index page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Counted from 0 through the whole segment.
    pub number: u32,
    /// Where its stored bytes lie in the object.
    pub stored: Range<u64>,
    /// Which bytes of the segment it holds.
    pub raw: Range<u64>,
    /// CRC32C of the stored bytes.
    pub crc32c: u32,
    /// What its records cover; `None` in byte mode.
    pub records: Option<RecordSpan>,
}

impl Block {
    /// Raw length in bytes; it is within the limits and fits memory.
    pub fn raw_len(&self) -> usize {
        (self.raw.end - self.raw.start) as usize
    }

    /// Stored length in bytes; it is within the limits and fits memory.
    pub fn stored_len(&self) -> usize {
        (self.stored.end - self.stored.start) as usize
    }
}
