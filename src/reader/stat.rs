//! What a tail says about its segment, for hosts and tools.

use super::segment::Segment;
use crate::{
    codec::Codec,
    object::{Attachment, Mode, ObjectId, Tail, Token},
};
use std::sync::Arc;

/// What is known of a segment without reading its data. Cheap to clone; outlives its driver.
#[derive(Clone, Debug)]
pub struct Stat {
    key: Arc<str>,
    tail: Arc<Tail>,
    token: [u8; Token::LEN],
}

impl Stat {
    pub(super) fn new(segment: &Segment) -> Self {
        Stat {
            key: segment.key().as_str().into(),
            tail: segment.tail().clone(),
            token: segment.tail().token(segment.fingerprint()).encode(),
        }
    }

    /// The key that was asked for.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Everything that the object's tail says: sizes, codec, mode, records, metadata, attachments, page table.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// A token for later reads, as the receipt had it.
    pub fn token(&self) -> &[u8] {
        &self.token
    }

    /// The object's UUID.
    pub fn object_id(&self) -> ObjectId {
        self.tail.id()
    }

    /// The host that wrote it.
    pub fn owner(&self) -> &str {
        self.tail.owner()
    }

    /// Raw bytes of the segment; what byte reads count in.
    pub fn segment_bytes(&self) -> u64 {
        self.tail.segment_len()
    }

    /// Bytes of the whole object in the store.
    pub fn object_bytes(&self) -> u64 {
        self.tail.object_len()
    }

    /// CRC-64/NVME of the segment; in record mode of its records, however they were cut into blocks.
    pub fn crc64nvme(&self) -> u64 {
        self.tail.content().crc64
    }

    /// Codec of the blocks.
    pub fn codec(&self) -> Codec {
        self.tail.codec()
    }

    /// Bytes or records.
    pub fn mode(&self) -> Mode {
        self.tail.mode()
    }

    /// Raw bytes of a block; in record mode what the blocks aimed at.
    pub fn block_size(&self) -> u32 {
        self.tail.block_size()
    }

    /// Number of blocks.
    pub fn blocks(&self) -> u32 {
        self.tail.block_count()
    }

    /// Number of records; 0 in byte mode.
    pub fn records(&self) -> u64 {
        self.tail.records().map_or(0, |span| span.count)
    }

    /// First and last id of the records; in byte mode first and last offset if the host gave them.
    pub fn offsets(&self) -> Option<(u64, u64)> {
        self.tail.ids()
    }

    /// When the object was written, µs since 1970 UTC by its writer's clock.
    pub fn created_us(&self) -> i64 {
        self.tail.created_us()
    }

    /// Version of the format; a tail of any other is refused before it gets here.
    pub fn format_version(&self) -> u32 {
        1
    }

    /// Name and value of the host's metadata, ascending by name.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.tail.metadata().iter()
    }

    /// The attachments in their order.
    pub fn attachments(&self) -> &[Attachment] {
        self.tail.attachments()
    }
}
