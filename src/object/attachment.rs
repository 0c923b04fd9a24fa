//! Attachments: named blobs behind the data, each in a skippable frame of its own.

use std::ops::Range;

use super::{
    content::ContentIdentity,
    limits,
    wire::{Reader, corrupt, put, put_string},
};
use crate::{
    codec::{Codec, checksum},
    error::{Code, Error, Result},
};

/// Bytes of a skippable frame in front of its payload.
pub const FRAME_HEADER: usize = 8;

/// The frames' magic numbers, distinct so that a salvager can tell them apart without a tail.
pub(super) const ATTACHMENT_MAGIC: u32 = 0x184D_2A53;
pub(super) const INDEX_MAGIC: u32 = 0x184D_2A54;
pub(super) const TAIL_MAGIC: u32 = 0x184D_2A55;

/// The 8 bytes in front of the payload of a skippable frame.
pub(super) fn frame_header(magic: u32, payload_len: u32) -> [u8; FRAME_HEADER] {
    let mut header = [0; FRAME_HEADER];
    header[..4].copy_from_slice(&magic.to_le_bytes());
    header[4..].copy_from_slice(&payload_len.to_le_bytes());
    header
}

/// What a writer puts into the object in front of the `stored_len` stored bytes of an attachment.
pub fn attachment_frame_header(stored_len: u32) -> [u8; 8] {
    frame_header(ATTACHMENT_MAGIC, stored_len)
}

/// One row of the attachment table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentEntry {
    /// Unique in the object, 1 to 255 bytes of UTF-8.
    pub name: String,
    /// How the stored bytes come from the raw ones.
    pub codec: Codec,
    /// Bytes in the object, without the frame's header.
    pub stored_len: u32,
    /// CRC32C of the stored bytes.
    pub crc32c: u32,
    /// Raw length and CRC-64/NVME.
    pub content: ContentIdentity,
}

impl AttachmentEntry {
    /// The row for `raw`, stored as `stored`: the same bytes, or one zstd frame of them.
    ///
    /// `INVALID_ARGUMENT` if the name is empty or longer than 255 bytes, or `raw` longer than
    /// 64 MiB.
    pub fn new(name: impl Into<String>, codec: Codec, raw: &[u8], stored: &[u8]) -> Result<Self> {
        let entry = AttachmentEntry {
            name: name.into(),
            codec,
            stored_len: u32::try_from(stored.len()).unwrap_or(u32::MAX),
            crc32c: checksum::crc32c(stored),
            content: ContentIdentity { length: raw.len() as u64, crc64: checksum::crc64nvme(raw) },
        };
        match entry.fault() {
            None => Ok(entry),
            Some(why) => Err(Error::new(
                Code::InvalidArgument,
                format!("attachment {:?} cannot be stored: {why}", entry.name),
            )),
        }
    }

    /// Why it cannot stand in an object.
    fn fault(&self) -> Option<&'static str> {
        if self.name.is_empty() || self.name.len() > limits::MAX_NAME {
            Some("its name must have 1 to 255 bytes")
        } else if self.content.length > limits::MAX_ATTACHMENT as u64 {
            Some("it is longer than 64 MiB; split it")
        } else if u64::from(self.stored_len) > self.codec.max_stored_len(self.content.length)
            || self.codec == Codec::None && u64::from(self.stored_len) != self.content.length
        {
            Some("its stored length does not fit its raw length")
        } else {
            None
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_string(out, &self.name);
        out.push(self.codec.number());
        put!(out, self.stored_len, self.crc32c, self.content.length as u32, self.content.crc64);
    }

    pub(super) fn get(reader: &mut Reader<'_>) -> Result<Self> {
        let name = reader.string()?.to_owned();
        let number = reader.u8()?;
        let codec = Codec::from_number(number)
            .ok_or_else(|| corrupt(format!("attachment {name:?} has the unknown codec {number}")))?;
        let (stored_len, crc32c) = (reader.u32()?, reader.u32()?);
        let content = ContentIdentity { length: reader.u32()?.into(), crc64: reader.u64()? };
        let entry = AttachmentEntry { name, codec, stored_len, crc32c, content };
        match entry.fault() {
            None => Ok(entry),
            Some(why) => Err(corrupt(format!("attachment {:?}: {why}", entry.name))),
        }
    }
}

/// The first name that occurs twice.
pub(super) fn duplicate(entries: &[AttachmentEntry]) -> Option<&str> {
    let mut names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// An attachment of an object that is being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its row of the table.
    pub entry: AttachmentEntry,
    /// Where its stored bytes lie in the object, without the frame's header.
    pub stored: Range<u64>,
}

impl Attachment {
    /// Where its whole frame lies in the object.
    pub fn frame(&self) -> Range<u64> {
        self.stored.start - FRAME_HEADER as u64..self.stored.end
    }
}
