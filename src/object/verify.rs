//! The gate through which stored bytes become raw bytes.
//!
//! Invariant: nothing that failed its CRC32C is ever decoded, and what does not decode is
//! `CORRUPT` with a message that names the object, the part and its place, for whoever has to
//! find it in the store.

use super::{
    attachment::{ATTACHMENT_MAGIC, Attachment, FRAME_HEADER, INDEX_MAGIC, frame_header},
    block::Block,
    record::RecordBlock,
    tail::Tail,
    wire::corrupt,
};
use crate::{
    codec::{Codec, Decompressor, checksum},
    error::{Code, Error, Result},
};
use std::fmt::Display;

impl Tail {
    /// Checks the stored bytes of a block: length and CRC32C. Without a codec they are the raw
    /// bytes then. `CORRUPT` if they are damaged.
    pub fn check_block(&self, block: &Block, stored: &[u8]) -> Result<()> {
        check(stored, block.stored_len(), block.crc32c).map_err(|e| self.in_block(block, e))
    }

    /// Checks the stored bytes of a block and decodes them into `raw`, which must have
    /// [`Block::raw_len`] bytes.
    ///
    /// `CORRUPT` if the bytes are damaged or do not decode; `raw` then holds anything.
    /// `INVALID_ARGUMENT` if `raw` has another length.
    pub fn decode_block(
        &self,
        block: &Block,
        stored: &[u8],
        decompressor: &mut Decompressor,
        raw: &mut [u8],
    ) -> Result<()> {
        if raw.len() != block.raw_len() {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("a buffer of {} bytes for a block of {}", raw.len(), block.raw_len()),
            ));
        }
        self.check_block(block, stored)?;
        decode(self.codec(), stored, decompressor, raw).map_err(|e| self.in_block(block, e))
    }

    /// The records of a block from its raw bytes; they must be those that the index promises.
    ///
    /// `CORRUPT` if they are not.
    pub fn record_block<'a>(&self, block: &Block, raw: &'a [u8]) -> Result<RecordBlock<'a>> {
        let parse = || {
            let records = RecordBlock::parse(raw)?;
            match block.records {
                Some(span)
                    if records.len() == raw.len()
                        && records.first_id() == span.first_id
                        && u64::from(records.count()) == span.count =>
                {
                    Ok(records.ending_with(span.last_id))
                }
                _ => Err(corrupt("its header does not match the index")),
            }
        };
        parse().map_err(|e| self.in_block(block, e))
    }

    /// Checks the stored bytes of an attachment and decodes them.
    ///
    /// `CORRUPT` if they are damaged, do not decode, or do not have the promised content;
    /// `RESOURCE_EXHAUSTED` if there is no memory for the raw bytes (at most 64 MiB).
    pub fn decode_attachment(
        &self,
        attachment: &Attachment,
        stored: &[u8],
        decompressor: &mut Decompressor,
    ) -> Result<Vec<u8>> {
        let entry = &attachment.entry;
        let mut open = || {
            check(stored, entry.stored_len as usize, entry.crc32c)?;
            let len = entry.content.length as usize;
            let mut raw = Vec::new();
            raw.try_reserve_exact(len)
                .map_err(|_| Error::new(Code::ResourceExhausted, format!("no memory for {len} raw bytes")))?;
            raw.resize(len, 0);
            decode(entry.codec, stored, decompressor, &mut raw)?;
            if checksum::crc64nvme(&raw) != entry.content.crc64 {
                return Err(corrupt("it does not match its CRC-64/NVME"));
            }
            Ok(raw)
        };
        open().map_err(|e| {
            let at = attachment.stored.start;
            e.context(format_args!("attachment {:?} of object {} at {at}", entry.name, self.id()))
        })
    }

    /// Checks the 8 bytes in front of an attachment: stock zstd stumbles where they are damaged. `CORRUPT` then.
    pub fn check_attachment_header(&self, attachment: &Attachment, header: &[u8]) -> Result<()> {
        let expected = frame_header(ATTACHMENT_MAGIC, attachment.entry.stored_len);
        let what = format_args!("attachment {:?}", attachment.entry.name);
        self.check_header(what, attachment.frame().start, header, expected)
    }

    /// Checks the 8 bytes in front of the index pages. `CORRUPT` if they are others.
    pub fn check_index_header(&self, header: &[u8]) -> Result<()> {
        let frame = self.index_frame();
        // The writer refuses an index of more than 4 GiB, and a tail that lies further behind has no such frame.
        let len = u32::try_from(frame.end - frame.start - FRAME_HEADER as u64).unwrap_or(u32::MAX);
        self.check_header("the block index", frame.start, header, frame_header(INDEX_MAGIC, len))
    }

    fn check_header(
        &self,
        what: impl Display,
        at: u64,
        header: &[u8],
        expected: [u8; FRAME_HEADER],
    ) -> Result<()> {
        if header == expected {
            return Ok(());
        }
        let id = self.id();
        Err(corrupt(format!("the frame header of {what} of object {id} at {at} is damaged")))
    }

    fn in_block(&self, block: &Block, error: Error) -> Error {
        error.context(format_args!(
            "block {} of object {} at {}",
            block.number,
            self.id(),
            block.stored.start
        ))
    }
}

fn check(stored: &[u8], len: usize, crc32c: u32) -> Result<()> {
    if stored.len() != len {
        return Err(corrupt(format!("it has {} stored bytes instead of {len}", stored.len())));
    }
    let found = checksum::crc32c(stored);
    if found != crc32c {
        return Err(corrupt(format!("its stored bytes have the CRC32C {found:08x} instead of {crc32c:08x}")));
    }
    Ok(())
}

fn decode(codec: Codec, stored: &[u8], decompressor: &mut Decompressor, raw: &mut [u8]) -> Result<()> {
    match codec {
        Codec::Zstd => decompressor.decompress_block(stored, raw),
        Codec::None if stored.len() == raw.len() => {
            raw.copy_from_slice(stored);
            Ok(())
        }
        Codec::None => Err(corrupt("its stored length is not its raw length")),
    }
}
