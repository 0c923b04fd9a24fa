//! The block index while a segment is written.
//!
//! Invariant: `push` refuses what the reader would refuse, so that a segment fails at its first
//! impossible block and not at its tail.
//!
//! Trade-off: it keeps the encoded pages and the seek table, 4 bytes a block without a codec and
//! about 15 with zstd. That is 4 MiB for a segment of 64 GiB, and much less than decoded entries.

use super::{
    attachment::{FRAME_HEADER, INDEX_MAGIC, frame_header},
    block::BlockEntry,
    content::Mode,
    entry::EntryCoder,
    limits,
    seek_table::SeekTable,
    span::RecordSpan,
    wire::put,
};
use crate::{
    codec::{Codec, checksum},
    error::{Code, Error, Result},
};

/// A page's length unless told otherwise: one page of memory and of disk, some 600 zstd blocks.
const PAGE_SIZE: usize = 4096;

/// Collects the entries of a segment's blocks and cuts them into pages.
#[derive(Clone)]
pub struct IndexBuilder {
    pub(super) mode: Mode,
    pub(super) codec: Codec,
    pub(super) block_size: u32,
    pub(super) blocks: u32,
    pub(super) raw_len: u64,
    pub(super) stored_len: u64,
    pub(super) records: Option<RecordSpan>,
    /// The page table of the closed pages, encoded.
    pub(super) table: Vec<u8>,
    pub(super) pages: u32,
    pub(super) seek_table: Option<SeekTable>,
    page_size: usize,
    /// The index frame: its header, the closed pages, the open page.
    frame: Vec<u8>,
    open: OpenPage,
    scratch: Vec<u8>,
}

/// The page that takes the next entry.
#[derive(Clone)]
struct OpenPage {
    at: usize,
    first_block: u32,
    first_raw: u64,
    first_stored: u64,
    records: Option<RecordSpan>,
    coder: EntryCoder,
}

impl IndexBuilder {
    /// An empty index. `block_size` is in bytes, a power of two from 4 KiB to 64 MiB; in record
    /// mode it is what the blocks aim at.
    ///
    /// `INVALID_ARGUMENT` for another block size.
    pub fn new(mode: Mode, codec: Codec, block_size: u32) -> Result<Self> {
        if !is_block_size(block_size) {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("a block size of {block_size} bytes is no power of two from 4 KiB to 64 MiB"),
            ));
        }
        Ok(IndexBuilder {
            mode,
            codec,
            block_size,
            blocks: 0,
            raw_len: 0,
            stored_len: 0,
            records: None,
            table: Vec::new(),
            pages: 0,
            seek_table: (codec == Codec::Zstd).then(SeekTable::new),
            page_size: PAGE_SIZE,
            frame: vec![0; FRAME_HEADER],
            open: OpenPage {
                at: FRAME_HEADER,
                first_block: 0,
                first_raw: 0,
                first_stored: 0,
                records: None,
                coder: EntryCoder::new(mode, codec),
            },
            scratch: Vec::new(),
        })
    }

    /// Cuts pages at `bytes` instead of 4 KiB; a page holds at least one entry. At most 1 MiB.
    pub fn with_page_size(mut self, bytes: usize) -> Self {
        self.page_size = bytes.min(limits::MAX_PAGE);
        self
    }

    /// Adds the block that follows.
    ///
    /// `INVALID_ARGUMENT` if the segment has too many blocks for an object, `INTERNAL` if the
    /// entry cannot follow (a defect of the writer). Nothing is changed then.
    pub fn push(&mut self, entry: BlockEntry) -> Result<()> {
        if let Some(why) = self.fault(&entry) {
            return Err(Error::new(
                Code::Internal,
                format!("block {} cannot be indexed: {why}", self.blocks),
            ));
        }
        if self.blocks == limits::MAX_BLOCKS
            || self.table.len() + self.table_entry_len() > limits::MAX_PAGE_TABLE
        {
            return Err(Error::new(
                Code::InvalidArgument,
                format!(
                    "the segment has more blocks than an object can index ({}); use larger blocks",
                    self.blocks
                ),
            ));
        }
        self.encode(&entry);
        if !self.page_is_empty() && self.frame.len() - self.open.at + self.scratch.len() > self.page_size {
            self.close_page();
            self.encode(&entry);
        }
        self.frame.extend_from_slice(&self.scratch);
        self.open.coder.follow(&entry);
        if let Some(span) = entry.records {
            let follows =
                RecordSpan::join(&mut self.open.records, &span) && RecordSpan::join(&mut self.records, &span);
            debug_assert!(follows, "fault() has checked the order");
        }
        if let Some(table) = &mut self.seek_table {
            table.push(entry.stored_len, entry.raw_len);
        }
        self.blocks += 1;
        self.raw_len += u64::from(entry.raw_len);
        self.stored_len += u64::from(entry.stored_len);
        Ok(())
    }

    /// Number of blocks so far.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Raw bytes of all blocks so far.
    pub fn raw_len(&self) -> u64 {
        self.raw_len
    }

    /// Stored bytes of all blocks so far: where the next block begins in the object.
    pub fn stored_len(&self) -> u64 {
        self.stored_len
    }

    /// The memory that the index holds, in bytes.
    pub fn memory(&self) -> usize {
        let seek_table = if self.seek_table.is_some() { 8 * self.blocks as usize } else { 0 };
        self.frame.capacity() + self.table.capacity() + seek_table
    }

    /// Closes the last page and gives the index frame.
    pub(super) fn take_frame(&mut self) -> Result<Vec<u8>> {
        if !self.page_is_empty() {
            self.close_page();
        }
        let mut frame = std::mem::take(&mut self.frame);
        let payload = u32::try_from(frame.len() - FRAME_HEADER).map_err(|_| {
            Error::new(Code::InvalidArgument, "the block index exceeds 4 GiB; use larger blocks")
        })?;
        frame[..FRAME_HEADER].copy_from_slice(&frame_header(INDEX_MAGIC, payload));
        Ok(frame)
    }

    fn encode(&mut self, entry: &BlockEntry) {
        self.scratch.clear();
        self.open.coder.encode(entry, &mut self.scratch);
    }

    fn page_is_empty(&self) -> bool {
        self.frame.len() == self.open.at
    }

    fn table_entry_len(&self) -> usize {
        table_entry_len(self.mode)
    }

    fn close_page(&mut self) {
        let page = &self.frame[self.open.at..];
        let open = &self.open;
        put!(
            self.table,
            open.first_block,
            page.len() as u32,
            checksum::crc32c(page),
            open.first_raw,
            open.first_stored
        );
        if let Some(span) = open.records {
            span.put(&mut self.table);
        }
        self.pages += 1;
        self.open = OpenPage {
            at: self.frame.len(),
            first_block: self.blocks,
            first_raw: self.raw_len,
            first_stored: self.stored_len,
            records: None,
            coder: EntryCoder::new(self.mode, self.codec),
        };
    }

    /// Why the entry cannot follow.
    fn fault(&self, entry: &BlockEntry) -> Option<&'static str> {
        let stored = u64::from(entry.stored_len);
        if entry.raw_len == 0 || entry.raw_len > limits::MAX_RAW_BLOCK {
            return Some("its raw length is outside the limits");
        }
        if entry.stored_len == 0 || stored > self.codec.max_stored_len(entry.raw_len.into()) {
            return Some("its stored length is outside the limits");
        }
        if self.codec == Codec::None && entry.stored_len != entry.raw_len {
            return Some("without a codec it must be stored as it is");
        }
        match (self.mode, entry.records) {
            (Mode::Bytes, None) if entry.raw_len > self.block_size => {
                Some("it is longer than the block size")
            }
            (Mode::Bytes, None) if !self.raw_len.is_multiple_of(self.block_size.into()) => {
                Some("only the last block may be shorter than the block size")
            }
            (Mode::Records, Some(span))
                if !span.is_possible() || span.count > u64::from(entry.raw_len / 3) =>
            {
                Some("its count, ids or times contradict each other")
            }
            (Mode::Records, Some(span)) if self.records.is_some_and(|all| span.first_id <= all.last_id) => {
                Some("its ids do not follow those of the block before")
            }
            (Mode::Bytes, None) | (Mode::Records, Some(_)) => None,
            (Mode::Bytes, Some(_)) | (Mode::Records, None) => {
                Some("it does not belong to the segment's mode")
            }
        }
    }
}

/// Bytes of one entry of the page table.
pub(super) fn table_entry_len(mode: Mode) -> usize {
    match mode {
        Mode::Bytes => 28,
        Mode::Records => 28 + RecordSpan::LEN,
    }
}

/// Whether blocks of byte mode may have this size.
pub(super) fn is_block_size(bytes: u32) -> bool {
    bytes.is_power_of_two() && (limits::MIN_BLOCK_SIZE..=limits::MAX_BLOCK_SIZE).contains(&bytes)
}
