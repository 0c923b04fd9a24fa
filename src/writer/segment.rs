//! What a host hands over, and what it gets back.

use crate::{
    buf::LentSource,
    codec::Codec,
    object::{Metadata, Mode, ObjectId},
};
use bytes::Bytes;
use std::{fs::File, path::PathBuf};

/// Where a segment's bytes come from. All but a streaming writer can be read again, so a part that failed
/// is sent again from its source and nothing is kept in memory for that.
#[derive(Debug)]
pub enum Source {
    /// A file by name, opened when the offload begins.
    Path {
        /// The file.
        path: PathBuf,
        /// Where the segment begins in it, in bytes.
        offset: u64,
        /// The segment's length in bytes; `None` is up to the end.
        len: Option<u64>,
    },
    /// An open file, read with `pread`: its position does not matter and does not move.
    File {
        /// The file, owned by the offload until it ends.
        file: File,
        /// Where the segment begins in it, in bytes.
        offset: u64,
        /// The segment's length in bytes; `None` is up to the end.
        len: Option<u64>,
    },
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes that the caller lent until the completion; see [`LentSource`].
    Lent(LentSource),
}

/// A named blob that travels with a segment.
#[derive(Debug)]
pub struct Attachment {
    /// Its name, unique in the segment.
    pub name: String,
    /// Its bytes.
    pub data: AttachmentData,
}

/// Where an attachment's bytes come from. They are held in memory until the offload ends.
#[derive(Debug)]
pub enum AttachmentData {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A whole file.
    Path(PathBuf),
}

/// The host's own checksum of a segment. If it does not match what was read, nothing is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// CRC32C (RFC 3720, appendix B.4).
    Crc32c(u32),
    /// CRC-64/NVME, the checksum of the content identity. Of a record segment it covers the canonical
    /// stream of docs/format.md, section 5.
    Crc64Nvme(u64),
}

/// What a key that is taken already means. It is never overwritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfExists {
    /// Success if the object holds the same content, attachments included; else `ALREADY_EXISTS`.
    #[default]
    SucceedIfSame,
    /// Success if it holds the same segment, whatever its attachments; else `ALREADY_EXISTS`.
    SucceedIfSameSegment,
    /// `ALREADY_EXISTS`.
    Fail,
}

/// A sealed segment to offload.
#[derive(Debug)]
pub struct Segment {
    /// The object's name in the store, chosen by the host.
    pub key: String,
    /// Its bytes.
    pub source: Source,
    /// Blobs that travel with it.
    pub attachments: Vec<Attachment>,
    /// Names and values that travel with it.
    pub metadata: Metadata,
    /// The host's first and last offset in the segment, both inclusive.
    pub offsets: Option<(u64, u64)>,
    /// The host's checksum of the segment.
    pub expected: Option<Digest>,
    /// What a taken key means.
    pub if_exists: IfExists,
    /// Look for the object before any byte is sent: for a retry that expects to find it.
    pub look_first: bool,
    /// The codec; `None` is the setting `codec`.
    pub codec: Option<Codec>,
    /// Where the offload keeps what another one needs to go on with it: the path of a small file, which is there from
    /// the first part on until the offload is settled. [`Source::Path`] and [`Source::File`] only. An offload that fails
    /// then keeps what it has sent, and is repeated with the same key and file, or ended by a reap.
    pub resume: Option<PathBuf>,
}

impl Segment {
    /// A segment with defaults for all but its key and its bytes.
    pub fn new(key: impl Into<String>, source: Source) -> Segment {
        Segment {
            key: key.into(),
            source,
            attachments: Vec::new(),
            metadata: Metadata::default(),
            offsets: None,
            expected: None,
            if_exists: IfExists::default(),
            look_first: false,
            codec: None,
            resume: None,
        }
    }
}

/// How a streaming writer begins.
#[derive(Debug)]
pub struct WriterOptions {
    /// The object's name in the store, chosen by the host.
    pub key: String,
    /// Bytes or records.
    pub mode: Mode,
    /// The codec; `None` is the setting `codec`.
    pub codec: Option<Codec>,
    /// What a taken key means.
    pub if_exists: IfExists,
    /// The most raw bytes that will be written; `None` is the setting `writer.max.size`. The part size
    /// follows from it, since the length is not known before the end.
    pub max_bytes: Option<u64>,
    /// Names and values that travel with the segment.
    pub metadata: Metadata,
}

/// How a streaming writer ends.
#[derive(Debug, Default)]
pub struct Finish {
    /// Blobs that travel with the segment.
    pub attachments: Vec<Attachment>,
    /// The host's first and last offset in the segment, both inclusive; byte mode only.
    pub offsets: Option<(u64, u64)>,
    /// The host's checksum of the segment.
    pub expected: Option<Digest>,
}

/// Proof of a committed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The object's name in the store.
    pub key: String,
    /// The object's own identity.
    pub object_id: ObjectId,
    /// Raw length in bytes.
    pub segment_bytes: u64,
    /// Length of the object in the store, in bytes, with attachments and index.
    pub object_bytes: u64,
    /// CRC-64/NVME of the content.
    pub crc64nvme: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// Number of records; 0 in byte mode.
    pub records: u64,
    /// The codec of the blocks.
    pub codec: Codec,
    /// Bytes or records.
    pub mode: Mode,
    /// The same content was there already: nothing was written, and all else describes what is there.
    pub existed: bool,
    /// The store created the object in one atomic step. If not, the driver looked before and after.
    pub atomic_create: bool,
    /// Bytes of parts that the store had from an earlier attempt and that were not sent again.
    pub resumed_bytes: u64,
    /// What saves later reads the search; at most 128 bytes, opaque.
    pub token: Vec<u8>,
}
