//! Encoding blocks: compress, checksum, index, cut into parts. One pass over each block, on the thread of
//! whoever brings it.

use super::{
    parts::{Cutter, Part},
    seal::{Seal, Suffix},
};
use crate::{
    codec::{Codec, Compressor, checksum::Crc64Nvme},
    error::Result,
    object::{BlockEntry, ContentIdentity, Mode, RecordSpan, Tail},
};

/// Makes an object of blocks that come in order.
pub(super) struct Encoder {
    seal: Seal,
    cutter: Cutter,
    compressor: Option<Compressor>,
    /// The block that is being compressed; its allocation is used again.
    frame: Vec<u8>,
    crc64: Crc64Nvme,
    raw_len: u64,
}

impl Encoder {
    pub fn new(seal: Seal, cutter: Cutter) -> Result<Encoder> {
        let compressor = match seal.about().codec {
            Codec::None => None,
            Codec::Zstd => Some(Compressor::new(seal.about().zstd_level)?),
        };
        Ok(Encoder { seal, cutter, compressor, frame: Vec::new(), crc64: Crc64Nvme::new(), raw_len: 0 })
    }

    pub fn seal(&mut self) -> &mut Seal {
        &mut self.seal
    }

    pub fn mode(&self) -> Mode {
        self.seal.about().mode
    }

    /// Raw bytes so far.
    pub fn raw_len(&self) -> u64 {
        self.raw_len
    }

    /// Takes the next block: in byte mode of block size but for the last, in record mode with what it covers.
    pub fn block(&mut self, raw: &[u8], records: Option<RecordSpan>) -> Result<()> {
        if records.is_none() {
            self.crc64.update(raw);
        }
        let stored = match &mut self.compressor {
            None => raw,
            Some(compressor) => {
                compressor.compress_block(raw, &mut self.frame)?;
                &self.frame
            }
        };
        let crc32c = self.cutter.push(stored)?;
        let entry =
            BlockEntry { raw_len: raw.len() as u32, stored_len: stored.len() as u32, crc32c, records };
        // The frame of a large record; what is usual stays.
        let usual = 2 * self.seal.block_size() as usize;
        self.frame.shrink_to(usual);
        self.raw_len += raw.len() as u64;
        self.seal.block(entry, raw)
    }

    /// The oldest part that is full and not taken yet.
    pub fn take(&mut self) -> Option<Part> {
        self.cutter.take()
    }

    /// Closes the object. `content` is that of all records; in byte mode it is known here.
    pub fn finish(mut self, content: Option<ContentIdentity>) -> Result<(Vec<Part>, Tail)> {
        let (len, crc64) = content.map_or((self.raw_len, self.crc64.finalize()), |c| (c.length, c.crc64));
        let suffix: Suffix = self.seal.finish(len, crc64)?;
        for piece in suffix.pieces() {
            self.cutter.push(piece)?;
        }
        self.cutter.finish();
        let mut parts = Vec::new();
        while let Some(part) = self.cutter.take() {
            parts.push(part);
        }
        Ok((parts, suffix.tail))
    }
}
