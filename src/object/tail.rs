//! The tail of an object that is being read: what it is, and which index page to fetch.
//!
//! Invariant: every position that a `Tail` gives lies inside the object and where the layout
//! wants it. A tail that was parsed at another position, or of an object of another length, is
//! refused, so a seglift object inside a segment is never taken for the outer one.

use std::ops::Range;

use super::{
    attachment::{Attachment, AttachmentEntry, FRAME_HEADER, TAIL_MAGIC},
    content::{ContentIdentity, Mode, ObjectId},
    header::{Header, LEAST_HEADER},
    index::table_entry_len,
    limits,
    metadata::Metadata,
    seek_table::SeekTable,
    span::RecordSpan,
    token::Token,
    trailer::{TRAILER, Trailer},
    wire::{Reader, corrupt},
};
use crate::{codec::Codec, error::Result};

/// The shortest and longest tail frames.
pub(super) const LEAST_TAIL: u64 = (FRAME_HEADER + LEAST_HEADER + TRAILER) as u64;
pub(super) const MAX_TAIL: u64 =
    (FRAME_HEADER + limits::MAX_HEADER + limits::MAX_PAGE_TABLE + TRAILER) as u64;

/// One entry of the page table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageEntry {
    /// Where the page lies in the object.
    pub position: Range<u64>,
    /// CRC32C of the page.
    pub crc32c: u32,
    /// Its blocks, by number.
    pub blocks: Range<u32>,
    /// The bytes of the segment that they hold.
    pub raw: Range<u64>,
    /// Where their stored bytes lie in the object.
    pub stored: Range<u64>,
    /// What their records cover; `None` in byte mode.
    pub records: Option<RecordSpan>,
}

/// A parsed and checked tail. Plain data: any number of threads may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    trailer: Trailer,
    crc32c: u32,
    object_len: u64,
    /// Its attachments have moved to `attachments`, where they have positions.
    header: Header,
    attachments: Vec<Attachment>,
    pages: Vec<PageEntry>,
}

impl Tail {
    /// Parses the tail frame `bytes`, which stand at `position` in an object of `object_len`
    /// bytes.
    ///
    /// `CORRUPT` if they are no tail frame, are damaged, or do not fit that place;
    /// `UNSUPPORTED_VERSION` if the object needs a newer library.
    pub fn parse(bytes: &[u8], position: u64, object_len: u64) -> Result<Self> {
        if bytes.len() as u64 > MAX_TAIL {
            return Err(corrupt(format!("a tail of {} bytes is outside the limits", bytes.len())));
        }
        let (trailer, crc32c) = Trailer::get(bytes)?;
        Self::parse_checked(bytes, trailer, crc32c, position, object_len)
            .map_err(|e| e.context(format_args!("tail of object {}", trailer.id)))
    }

    fn parse_checked(
        bytes: &[u8],
        trailer: Trailer,
        crc32c: u32,
        position: u64,
        object_len: u64,
    ) -> Result<Self> {
        if trailer.tail_position != position {
            return Err(corrupt(format!(
                "it belongs at {} and was found at {position}",
                trailer.tail_position
            )));
        }
        let mut frame = Reader::new(bytes, "tail frame");
        let (magic, payload) = (frame.u32()?, frame.u32()?);
        if magic != TAIL_MAGIC || payload as usize != frame.remaining() {
            return Err(corrupt("it is not one frame of its own"));
        }
        if trailer.header_len as usize > limits::MAX_HEADER {
            return Err(corrupt(format!("a header of {} bytes is outside the limits", trailer.header_len)));
        }
        let mut header = Header::get(frame.take(trailer.header_len as usize)?)?;
        let table_len = (trailer.pages as usize).saturating_mul(table_entry_len(header.mode));
        if table_len > limits::MAX_PAGE_TABLE || frame.remaining() != table_len + TRAILER {
            return Err(corrupt("header, page table and trailer do not add up to its length"));
        }
        let (attachments, index_position) =
            place_attachments(std::mem::take(&mut header.attachments), header.data_len)?;
        let pages = parse_page_table(frame.take(table_len)?, trailer.pages, &header, index_position)?;
        let index_end = pages.last().map_or(index_position + FRAME_HEADER as u64, |page| page.position.end);
        if index_end != position {
            return Err(corrupt(format!(
                "data, attachments and index end at {index_end}, the tail begins at {position}"
            )));
        }
        let seek_table = match header.codec {
            Codec::None => 0,
            Codec::Zstd => SeekTable::len_of(u64::from(header.blocks) + attachments.len() as u64 + 2),
        };
        let end = position.checked_add(bytes.len() as u64 + seek_table);
        if end != Some(object_len) {
            return Err(corrupt(format!(
                "the object has {object_len} bytes, not those that its tail implies"
            )));
        }
        Ok(Tail { trailer, crc32c, object_len, header, attachments, pages })
    }

    /// The object's UUID.
    pub fn id(&self) -> ObjectId {
        self.trailer.id
    }

    /// Whether the segment is bytes or records.
    pub fn mode(&self) -> Mode {
        self.header.mode
    }

    /// The codec of the blocks.
    pub fn codec(&self) -> Codec {
        self.header.codec
    }

    /// Raw bytes of a block in byte mode; in record mode what the blocks aimed at.
    pub fn block_size(&self) -> u32 {
        self.header.block_size
    }

    /// Number of blocks.
    pub fn block_count(&self) -> u32 {
        self.header.blocks
    }

    /// Raw bytes of all blocks: the segment's length, in record mode with the blocks' headers.
    pub fn segment_len(&self) -> u64 {
        self.header.segment_len
    }

    /// Stored bytes of all blocks, which begin the object.
    pub fn data_len(&self) -> u64 {
        self.header.data_len
    }

    /// Bytes of the whole object.
    pub fn object_len(&self) -> u64 {
        self.object_len
    }

    /// Where the tail frame lies in the object.
    pub fn position(&self) -> Range<u64> {
        self.trailer.tail_position..self.trailer.tail_position + u64::from(self.trailer.tail_len)
    }

    /// The tail's CRC32C; it covers the CRC32Cs of pages and attachments, and so of everything.
    pub fn crc32c(&self) -> u32 {
        self.crc32c
    }

    /// What the segment holds.
    pub fn content(&self) -> ContentIdentity {
        self.header.content
    }

    /// What all records cover; `None` in byte mode and without records.
    pub fn records(&self) -> Option<RecordSpan> {
        self.header.records
    }

    /// First and last id of the records, in byte mode first and last offset as the host gave them.
    pub fn ids(&self) -> Option<(u64, u64)> {
        self.header.ids
    }

    /// When the object was created, in microseconds since 1970 UTC, by its writer's clock: at the end of its data, when
    /// only its commit is left to do.
    pub fn created_us(&self) -> i64 {
        self.header.created
    }

    /// The host's identity, such as a cluster id.
    pub fn owner(&self) -> &str {
        &self.header.owner
    }

    /// The host's words about the segment.
    pub fn metadata(&self) -> &Metadata {
        &self.header.metadata
    }

    /// Flags of newer writers that an older reader may ignore.
    pub fn compatible_flags(&self) -> u32 {
        self.trailer.compatible
    }

    /// All attachments in the order of the object.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// The attachment of this name.
    pub fn attachment(&self, name: &str) -> Option<&Attachment> {
        self.attachments.iter().find(|attachment| attachment.entry.name == name)
    }

    /// Whether it holds this segment, whatever its codec, block size, UUID and time.
    pub fn has_segment(&self, mode: Mode, content: ContentIdentity) -> bool {
        self.header.mode == mode && self.header.content == content
    }

    /// Whether it holds exactly these attachments, in any order. The names given are unique.
    pub fn has_attachments(&self, attachments: &[AttachmentEntry]) -> bool {
        self.attachments.len() == attachments.len()
            && attachments.iter().all(|other| {
                self.attachment(&other.name).is_some_and(|own| own.entry.content == other.content)
            })
    }

    /// The page table.
    pub fn pages(&self) -> &[PageEntry] {
        &self.pages
    }

    /// Which page has the block with byte `offset` of the segment; `None` at its end and behind.
    pub fn page_of_raw(&self, offset: u64) -> Option<usize> {
        let page = self.pages.partition_point(|page| page.raw.end <= offset);
        (page < self.pages.len()).then_some(page)
    }

    /// Which page has the first record whose id is `id` or greater; `None` if there is none.
    pub fn page_of_record(&self, id: u64) -> Option<usize> {
        let page = self.pages.partition_point(|page| page.records.is_none_or(|span| span.last_id < id));
        (page < self.pages.len()).then_some(page)
    }

    /// Where page `n` lies in the object.
    ///
    /// # Panics
    /// If there is no such page.
    pub fn page_position(&self, n: usize) -> Range<u64> {
        self.pages[n].position.clone()
    }

    /// Where the frame of the index pages lies, with its header: between the attachments and the tail.
    pub fn index_frame(&self) -> Range<u64> {
        let start = self.attachments.last().map_or(self.header.data_len, |last| last.stored.end);
        start..self.trailer.tail_position
    }

    /// Where the seek table lies: behind the tail frame, and empty without a codec.
    pub fn seek_table(&self) -> Range<u64> {
        self.position().end..self.object_len
    }

    /// The receipt's token of this object in the store with this fingerprint.
    pub fn token(&self, store_fingerprint: u64) -> Token {
        Token {
            mode: self.header.mode,
            codec: self.header.codec,
            id: self.trailer.id,
            object_len: self.object_len,
            segment_len: self.header.segment_len,
            tail_position: self.trailer.tail_position,
            tail_len: self.trailer.tail_len,
            tail_crc32c: self.crc32c,
            store_fingerprint,
            incompatible_flags: self.trailer.incompatible,
        }
    }

    /// The memory that it holds, in bytes, about.
    pub fn memory(&self) -> usize {
        let names: usize =
            self.attachments.iter().map(|a| size_of::<Attachment>() + a.entry.name.len()).sum();
        let pairs: usize =
            self.header.metadata.iter().map(|(name, value)| 64 + name.len() + value.len()).sum();
        size_of::<Self>()
            + self.header.owner.len()
            + names
            + pairs
            + self.pages.len() * size_of::<PageEntry>()
    }
}

/// The attachments with their positions, and the position of the index frame behind them.
fn place_attachments(entries: Vec<AttachmentEntry>, data_len: u64) -> Result<(Vec<Attachment>, u64)> {
    let mut at = data_len;
    let mut placed = Vec::with_capacity(entries.len());
    for entry in entries {
        let start = at.checked_add(FRAME_HEADER as u64);
        let stored = start.and_then(|start| Some(start..start.checked_add(entry.stored_len.into())?));
        let stored = stored.ok_or_else(|| corrupt("the attachments run past 64 bits"))?;
        at = stored.end;
        placed.push(Attachment { entry, stored });
    }
    match at.checked_add(FRAME_HEADER as u64) {
        Some(_) => Ok((placed, at)),
        None => Err(corrupt("the index runs past 64 bits")),
    }
}

fn parse_page_table(
    table: &[u8],
    count: u32,
    header: &Header,
    index_position: u64,
) -> Result<Vec<PageEntry>> {
    // The table is as long as its count wants, so this allocates a few times what was fetched.
    let mut pages: Vec<PageEntry> = Vec::with_capacity(count as usize);
    let mut reader = Reader::new(table, "page table");
    let mut at = index_position + FRAME_HEADER as u64;
    let mut all: Option<RecordSpan> = None;
    for n in 0..count {
        let (first_block, len, crc32c) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (raw, stored) = (reader.u64()?, reader.u64()?);
        let records = if header.mode == Mode::Records { Some(RecordSpan::get(&mut reader)?) } else { None };
        let wrong = |why: &str| Err(corrupt(format!("page {n}: {why}")));
        let follows = match pages.last_mut() {
            None => (first_block, raw, stored) == (0, 0, 0),
            Some(before) => {
                (before.blocks.end, before.raw.end, before.stored.end) = (first_block, raw, stored);
                !before.blocks.is_empty() && !before.raw.is_empty() && !before.stored.is_empty()
            }
        };
        if !follows || first_block >= header.blocks || raw >= header.segment_len || stored >= header.data_len
        {
            return wrong("its first block is not where it must be");
        }
        if len == 0 || len as usize > limits::MAX_PAGE {
            return wrong("its length is outside the limits");
        }
        if let Some(span) = records
            && !(span.is_possible() && RecordSpan::join(&mut all, &span))
        {
            return wrong("its records do not follow those of the page before");
        }
        let Some(end) = at.checked_add(len.into()) else { return wrong("it runs past 64 bits") };
        pages.push(PageEntry {
            position: at..end,
            crc32c,
            blocks: first_block..header.blocks,
            raw: raw..header.segment_len,
            stored: stored..header.data_len,
            records,
        });
        at = end;
    }
    if pages.is_empty() && (header.blocks, header.segment_len, header.data_len) != (0, 0, 0) {
        return Err(corrupt("there are blocks but no index pages"));
    }
    if all != header.records {
        return Err(corrupt("the pages' records are not those of the header"));
    }
    Ok(pages)
}
