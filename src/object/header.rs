//! The tail's header: what the segment is, apart from where its blocks lie.

use super::{
    attachment::{self, AttachmentEntry},
    content::{ContentIdentity, Mode},
    index::is_block_size,
    limits,
    metadata::Metadata,
    span::RecordSpan,
    wire::{Reader, corrupt, put, put_string},
};
use crate::{codec::Codec, error::Result};

/// The fixed fields and an empty owner: no header is shorter.
pub(super) const LEAST_HEADER: usize = 92 + 2;

const IDS_PRESENT: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub mode: Mode,
    pub codec: Codec,
    pub block_size: u32,
    pub blocks: u32,
    pub segment_len: u64,
    pub data_len: u64,
    pub content: ContentIdentity,
    /// Record mode: what all records cover.
    pub records: Option<RecordSpan>,
    /// First and last id: of the records, or in byte mode what the host gave.
    pub ids: Option<(u64, u64)>,
    pub created: i64,
    pub owner: String,
    pub attachments: Vec<AttachmentEntry>,
    pub metadata: Metadata,
}

impl Header {
    /// Why it cannot stand in an object. The parts have checked themselves.
    pub fn fault(&self) -> Option<String> {
        let say = |why: &str| Some(why.to_owned());
        if self.owner.len() > limits::MAX_OWNER {
            return say("the owner is longer than 1024 bytes");
        }
        if self.attachments.len() > limits::MAX_ATTACHMENTS {
            return say("there are more than 1024 attachments");
        }
        if let Some(name) = attachment::duplicate(&self.attachments) {
            return Some(format!("two attachments are named {name:?}"));
        }
        if self.ids.is_some_and(|(first, last)| first > last) {
            return say("the first id is greater than the last");
        }
        if self.records.is_some_and(|span| !span.is_possible()) {
            return say("number, ids or times of the records contradict each other");
        }
        if self.blocks > limits::MAX_BLOCKS {
            return say("there are more than 2^26 blocks");
        }
        if self.codec == Codec::None && self.data_len != self.segment_len {
            return say("without a codec the data must be as long as the segment");
        }
        match self.mode {
            Mode::Bytes if self.records.is_some() => say("there are records in byte mode"),
            Mode::Bytes if self.content.length != self.segment_len => {
                say("the content of byte mode must be the segment")
            }
            Mode::Bytes if self.segment_len.div_ceil(self.block_size.into()) != u64::from(self.blocks) => {
                say("the number of blocks does not follow from segment length and block size")
            }
            Mode::Records if self.records.map(|span| (span.first_id, span.last_id)) != self.ids => {
                say("the ids are not those of the records")
            }
            Mode::Records if self.records.is_some() != (self.blocks > 0) => {
                say("there are records without blocks, or blocks without records")
            }
            _ => None,
        }
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[
            self.mode.number(),
            self.codec.number(),
            self.block_size.trailing_zeros() as u8,
            if self.ids.is_some() { IDS_PRESENT } else { 0 },
        ]);
        put!(out, self.blocks, self.segment_len, self.data_len, self.content.length, self.content.crc64);
        let (first_id, last_id) = self.ids.unwrap_or_default();
        let none = RecordSpan { count: 0, first_id, last_id, min_time: 0, max_time: 0 };
        self.records.unwrap_or(none).put(out);
        put!(out, self.created, self.attachments.len() as u16, self.metadata.len() as u16);
        put_string(out, &self.owner);
        for entry in &self.attachments {
            entry.put(out);
        }
        self.metadata.put(out);
    }

    pub fn get(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "tail header");
        let [mode, codec, block_size, presence] = reader.array()?;
        let mode = Mode::from_number(mode).ok_or_else(|| corrupt(format!("the mode {mode} is unknown")))?;
        let codec =
            Codec::from_number(codec).ok_or_else(|| corrupt(format!("the codec {codec} is unknown")))?;
        let block_size = 1u32
            .checked_shl(block_size.into())
            .filter(|&size| is_block_size(size))
            .ok_or_else(|| corrupt(format!("a block size of 2^{block_size} bytes is outside the limits")))?;
        let blocks = reader.u32()?;
        let (segment_len, data_len) = (reader.u64()?, reader.u64()?);
        let content = ContentIdentity { length: reader.u64()?, crc64: reader.u64()? };
        let span = RecordSpan::get(&mut reader)?;
        let records = (span.count > 0).then_some(span);
        let ids = (presence & IDS_PRESENT != 0).then_some((span.first_id, span.last_id));
        let created = reader.i64()?;
        let (attachments, pairs) = (reader.u16()?, reader.u16()?);
        let owner = reader.string()?.to_owned();
        // Each row is decoded before the next is allocated, so a false number costs nothing.
        let attachments =
            (0..attachments).map(|_| AttachmentEntry::get(&mut reader)).collect::<Result<_>>()?;
        let metadata = Metadata::get_from(&mut reader, pairs)?;
        let header = Header {
            mode,
            codec,
            block_size,
            blocks,
            segment_len,
            data_len,
            content,
            records,
            ids,
            created,
            owner,
            attachments,
            metadata,
        };
        match header.fault() {
            None => Ok(header),
            Some(why) => Err(corrupt(why)),
        }
    }
}
