//! The zstd seekable format's seek table, for tools that know nothing of us.
//!
//! It lists every frame of the object, the skippable ones too with nothing to decompress: strict
//! readers demand that the sizes add up to the file. Our reader uses only its end.

use super::{
    attachment::{FRAME_HEADER, frame_header},
    wire::put,
};
use crate::codec::checksum::Crc32c;

/// What the seekable format ends with.
pub(super) const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
const SEEK_TABLE_MAGIC: u32 = 0x184D_2A5E;
pub(super) const ENTRY: u64 = 8;
/// Number of frames, descriptor, magic.
pub(super) const FOOTER: usize = 9;

/// A seek table under construction: 8 bytes of memory a frame.
#[derive(Clone, Debug)]
pub struct SeekTable {
    bytes: Vec<u8>,
    frames: u32,
}

impl SeekTable {
    /// A table without frames.
    pub fn new() -> Self {
        SeekTable { bytes: vec![0; FRAME_HEADER], frames: 0 }
    }

    /// Length in bytes of a table of `frames`.
    pub(super) fn len_of(frames: u64) -> u64 {
        FRAME_HEADER as u64 + ENTRY * frames + FOOTER as u64
    }

    /// Adds the next frame: its length in the object with its own header, and what it
    /// decompresses to, 0 for a skippable frame.
    pub fn push(&mut self, stored_len: u32, raw_len: u32) {
        put!(self.bytes, stored_len, raw_len);
        self.frames += 1;
    }

    /// The finished frame.
    pub fn finish(mut self) -> Vec<u8> {
        let payload = self.bytes.len() - FRAME_HEADER + FOOTER;
        // 2^26 blocks and 1024 attachments stay far below 2^29 entries.
        self.bytes[..FRAME_HEADER].copy_from_slice(&frame_header(SEEK_TABLE_MAGIC, payload as u32));
        put!(self.bytes, self.frames, 0u8, SEEKABLE_MAGIC);
        self.bytes
    }
}

/// What the seek table of an object must be, computed while its index is walked: a few bytes of memory, however many
/// frames there are.
#[derive(Clone, Debug)]
pub struct SeekTableDigest {
    crc: Crc32c,
    frames: u32,
}

impl SeekTableDigest {
    /// Of a table that lists `frames` frames.
    pub fn new(frames: u32) -> Self {
        let mut crc = Crc32c::new();
        // 2^26 blocks and 1024 attachments stay far below 2^29 entries.
        let payload = SeekTable::len_of(frames.into()) - FRAME_HEADER as u64;
        crc.update(&frame_header(SEEK_TABLE_MAGIC, payload as u32));
        SeekTableDigest { crc, frames }
    }

    /// Adds the next frame, as [`SeekTable::push`].
    pub fn push(&mut self, stored_len: u32, raw_len: u32) {
        let mut entry = [0; ENTRY as usize];
        entry[..4].copy_from_slice(&stored_len.to_le_bytes());
        entry[4..].copy_from_slice(&raw_len.to_le_bytes());
        self.crc.update(&entry);
    }

    /// CRC32C of the whole frame, once all frames were pushed.
    pub fn finish(mut self) -> u32 {
        let mut footer = Vec::with_capacity(FOOTER);
        put!(footer, self.frames, 0u8, SEEKABLE_MAGIC);
        self.crc.update(&footer);
        self.crc.finalize()
    }
}

impl Default for SeekTable {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::checksum::crc32c;

    #[test]
    fn the_digest_is_that_of_the_table() {
        for frames in [0u32, 1, 7] {
            let (mut table, mut digest) = (SeekTable::new(), SeekTableDigest::new(frames));
            for n in 0..frames {
                table.push(n * 3 + 1, n * 7);
                digest.push(n * 3 + 1, n * 7);
            }
            assert_eq!(digest.finish(), crc32c(&table.finish()));
        }
    }
}
