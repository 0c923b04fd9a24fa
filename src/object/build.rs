//! Building what follows data and attachments: index frame, tail frame, seek table.
//!
//! Invariant: the writer never makes what the reader refuses, because the tail is read back
//! before it is handed out. And no clock and no chance: UUID and time are given.

use super::{
    attachment::{AttachmentEntry, FRAME_HEADER, TAIL_MAGIC, frame_header},
    content::{ContentIdentity, Mode, ObjectId},
    header::Header,
    index::IndexBuilder,
    metadata::Metadata,
    tail::Tail,
    trailer::{TRAILER, Trailer},
};
use crate::error::{Code, Error, Result};

/// What a tail says, once all blocks and attachments are written.
#[derive(Clone)]
pub struct TailBuilder {
    /// The object's UUID, fresh for each attempt.
    pub id: ObjectId,
    /// When the object is sealed: now, in microseconds since 1970 UTC.
    pub created_us: i64,
    /// The host's identity, at most 1024 bytes.
    pub owner: String,
    /// The host's words about the segment.
    pub metadata: Metadata,
    /// What the segment holds; in record mode [`super::RecordBlockBuilder::content`].
    pub content: ContentIdentity,
    /// First and last offset of a segment of bytes if the host gave them; ignored in record mode.
    pub offsets: Option<(u64, u64)>,
    /// The attachments in the order in which their frames follow the data.
    pub attachments: Vec<AttachmentEntry>,
    /// The index of all blocks.
    pub index: IndexBuilder,
}

/// What a writer puts behind the attachments, in this order.
#[derive(Clone, Debug)]
pub struct TailParts {
    /// The index pages in their frame.
    pub index_frame: Vec<u8>,
    /// Header, page table and trailer in their frame.
    pub tail_frame: Vec<u8>,
    /// The seek table; empty without a codec.
    pub seek_table: Vec<u8>,
    /// The tail as a reader will see it; it gives the receipt's token.
    pub tail: Tail,
}

impl TailBuilder {
    /// Builds the end of the object. The same fields always give the same bytes.
    ///
    /// `INVALID_ARGUMENT` if owner, attachments or offsets are outside the limits, or content and
    /// index contradict each other.
    pub fn finish(mut self) -> Result<TailParts> {
        let index_frame = self.index.take_frame()?;
        let index = self.index;
        let attached: u64 =
            self.attachments.iter().map(|a| FRAME_HEADER as u64 + u64::from(a.stored_len)).sum();
        let tail_position = index.stored_len + attached + index_frame.len() as u64;
        let mut seek_table = index.seek_table;
        if let Some(table) = &mut seek_table {
            for entry in &self.attachments {
                table.push(FRAME_HEADER as u32 + entry.stored_len, 0);
            }
        }
        let header = Header {
            mode: index.mode,
            codec: index.codec,
            block_size: index.block_size,
            blocks: index.blocks,
            segment_len: index.raw_len,
            data_len: index.stored_len,
            content: self.content,
            records: index.records,
            ids: match index.mode {
                Mode::Bytes => self.offsets,
                Mode::Records => index.records.map(|span| (span.first_id, span.last_id)),
            },
            created: self.created_us,
            owner: self.owner,
            attachments: self.attachments,
            metadata: self.metadata,
        };
        if let Some(why) = header.fault() {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("object {} cannot be written: {why}", self.id),
            ));
        }

        let mut tail_frame = vec![0; FRAME_HEADER];
        header.put(&mut tail_frame);
        let header_len = tail_frame.len() - FRAME_HEADER;
        tail_frame.extend_from_slice(&index.table);
        let payload = (tail_frame.len() - FRAME_HEADER + TRAILER) as u32;
        tail_frame[..FRAME_HEADER].copy_from_slice(&frame_header(TAIL_MAGIC, payload));
        Trailer {
            tail_position,
            tail_len: FRAME_HEADER as u32 + payload,
            header_len: header_len as u32,
            pages: index.pages,
            incompatible: 0,
            compatible: 0,
            id: self.id,
        }
        .put(&mut tail_frame);

        let seek_table = seek_table.map_or_else(Vec::new, |mut table| {
            table.push(index_frame.len() as u32, 0);
            table.push(tail_frame.len() as u32, 0);
            table.finish()
        });
        let object_len = tail_position + (tail_frame.len() + seek_table.len()) as u64;
        let tail = Tail::parse(&tail_frame, tail_position, object_len)
            .map_err(|e| Error::new(Code::Internal, format!("a tail was built that cannot be read: {e}")))?;
        Ok(TailParts { index_frame, tail_frame, seek_table, tail })
    }
}
