//! The object format: one segment is one object, indexed at its tail.
//!
//! Purpose: turn blocks, records and attachments into the bytes around the data, and find a
//! block, a record or an attachment in such bytes again. `docs/format.md` is the contract; this is
//! its first implementation.
//!
//! Invariant: pure. Bytes in, bytes out; no I/O, no clock, no thread. The same input builds the
//! same bytes. What is parsed has been checked against its checksum, its limits and its
//! neighbours: positions of a [`Tail`] or a [`Page`] lie inside the object, increase strictly and
//! never overlap, so a reader may allocate and fetch by them.
//!
//! Trade-off: a tail is checked whole (its table holds 28 or 68 bytes for each index page, about
//! 600 or 200 zstd blocks), an index page when it is first needed. A second room for the index
//! pages costs one more range read, but keeps the first read small for a huge segment.
//!
//! The way in: [`IndexBuilder`] takes an entry per block, [`RecordBlockBuilder`] cuts records into
//! blocks, [`TailBuilder`] gives index frame, tail frame, seek table and [`Token`]. The way out:
//! [`locate_tail`] or a token finds the tail, [`Tail`] the page, [`Page`] the block,
//! [`RecordBlock`] the record.

mod attachment;
mod block;
mod build;
mod content;
mod entry;
mod header;
mod index;
mod locate;
mod metadata;
mod page;
mod record;
mod resume;
pub mod salvage;
mod seek_table;
mod span;
mod tail;
mod token;
mod trailer;
mod verify;
mod wire;

pub use self::{
    attachment::{Attachment, AttachmentEntry, FRAME_HEADER, attachment_frame_header},
    block::{Block, BlockEntry},
    build::{TailBuilder, TailParts},
    content::{ContentDigest, ContentIdentity, Mode, ObjectId},
    index::IndexBuilder,
    locate::{LEAST_SUFFIX, Located, locate_tail},
    metadata::{CONTENT_TYPE, Metadata},
    page::Page,
    record::{Append, Record, RecordBlock, RecordBlockBuilder, Records},
    resume::{Encoding, ResumeBlob},
    seek_table::{SeekTable, SeekTableDigest},
    span::RecordSpan,
    tail::{PageEntry, Tail},
    token::Token,
};

/// What a reader refuses before it allocates for it, and a writer never writes.
pub mod limits {
    /// Smallest block of byte mode: below a page of memory the index outgrows its use.
    pub const MIN_BLOCK_SIZE: u32 = 4 << 10;
    /// Largest block of byte mode; a reader needs memory for a whole block.
    pub const MAX_BLOCK_SIZE: u32 = 64 << 20;
    /// Largest payload of a record: above the message limits of the brokers in use.
    pub const MAX_PAYLOAD: usize = 64 << 20;
    /// Largest raw block: a payload of [`MAX_PAYLOAD`], 28 bytes of block header and 6 bytes of
    /// varints, rounded up.
    pub const MAX_RAW_BLOCK: u32 = (64 << 20) + 64;
    /// Most blocks: 16 TiB in blocks of 256 KiB, and half of what the zstd seekable format takes.
    pub const MAX_BLOCKS: u32 = 1 << 26;
    /// Largest index page; what a read may have to fetch and check before its first byte.
    pub const MAX_PAGE: usize = 1 << 20;
    /// Largest tail header; twice what attachments, metadata and owner at their limits take.
    pub const MAX_HEADER: usize = 1 << 20;
    /// Largest page table. 2^26 blocks of byte mode take 3.3 MiB; record mode, with about 200 blocks
    /// to a page, reaches it at 12 TiB.
    pub const MAX_PAGE_TABLE: usize = 16 << 20;
    /// Most attachments; Kafka has six.
    pub const MAX_ATTACHMENTS: usize = 1024;
    /// Largest raw attachment: it is verified as a whole, so it must fit into memory.
    pub const MAX_ATTACHMENT: usize = 64 << 20;
    /// Longest name of an attachment or of a metadata pair, in bytes.
    pub const MAX_NAME: usize = 255;
    /// Most metadata pairs.
    pub const MAX_METADATA_PAIRS: usize = 1024;
    /// All names and values of the metadata together, in bytes: 64 KiB.
    pub const MAX_METADATA: usize = 64 << 10;
    /// Longest owner, in bytes.
    pub const MAX_OWNER: usize = 1024;
}
