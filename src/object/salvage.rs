//! What can still be said of an object whose index or tail is damaged.
//!
//! Purpose: a reader believes an index only if it passes its own checksum. A salvager has to do with one that does
//! not, because what is damaged there is mostly a few bytes, and the CRC32Cs of all other blocks still stand in it.
//!
//! Invariant: a [`Clue`] proves nothing. What proves a block is that its stored bytes have the CRC32C that stands in
//! the place of its entry: damage meets that by chance once in 2^32. So nothing here needs to be right; it only has to
//! stay within its limits.
//!
//! Trade-off: clues are taken from two sides, the entry and the data (a zstd frame and a block of records say how long
//! they are). So one wrong length loses its own block and not all that follow.

use super::{
    attachment::{ATTACHMENT_MAGIC, INDEX_MAGIC, TAIL_MAGIC},
    content::Mode,
    index::is_block_size,
    limits,
    record::RecordBlock,
    wire::Reader,
};
use crate::codec::{Codec, Decompressor, checksum::Crc32c, varint};

/// The most bytes that an entry of an index page takes: seven varints and a CRC32C.
pub const MOST_ENTRY: usize = 7 * varint::MAX_LEN + 4;
/// Bytes at the start of a block that show how long it is: a zstd frame header has 18 at most, that of records 28.
pub const BLOCK_START: usize = 32;

/// How an object is cut into blocks, as far as that is known or guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes or records.
    pub mode: Mode,
    /// The codec of the blocks.
    pub codec: Codec,
    /// Raw bytes of a block in byte mode.
    pub block_size: u32,
}

/// What may be true of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clue {
    /// Its stored bytes, 1 to the limit.
    pub stored_len: u64,
    /// Their CRC32C.
    pub crc32c: u32,
    /// Bytes that its entry takes in the index.
    pub used: usize,
}

impl Shape {
    /// The fewest bytes that an entry takes.
    pub fn least_entry(&self) -> usize {
        self.fields() + 4
    }

    /// Varints of an entry: with zstd the stored length, in record mode the raw length and five of its records.
    fn fields(&self) -> usize {
        usize::from(self.codec == Codec::Zstd) + if self.mode == Mode::Records { 6 } else { 0 }
    }

    /// The most raw bytes that a block may have.
    pub fn most_raw(&self) -> u64 {
        match self.mode {
            Mode::Bytes => self.block_size.into(),
            Mode::Records => limits::MAX_RAW_BLOCK.into(),
        }
    }

    /// The most stored bytes that a block may have.
    pub fn most_stored(&self) -> u64 {
        self.codec.max_stored_len(self.most_raw())
    }

    /// What the entry at the start of `index` says of its block. `byte_len` is the raw length that follows from the
    /// block's number in byte mode.
    pub fn clue(&self, index: &[u8], byte_len: u64) -> Option<Clue> {
        let mut reader = Reader::new(index, "index");
        let mut first = None;
        for _ in 0..self.fields() {
            let before = reader.remaining();
            let field = reader.varint().ok()?;
            // No writer makes a longer one than it must; damage that joins two fields does.
            if varint::len(field) != before - reader.remaining() {
                return None;
            }
            first.get_or_insert(field);
        }
        // With zstd the first field is the stored length, else that of records the raw length, which is the same.
        self.crc_behind(index.len(), reader, first.unwrap_or(byte_len))
    }

    /// What the same entry says of a block that is `own` bytes long, as its data claim.
    pub fn clue_for(&self, index: &[u8], own: u64) -> Option<Clue> {
        let mut reader = Reader::new(index, "index");
        match (self.mode, self.codec) {
            // However its bytes read, the length takes as many as it must.
            (Mode::Bytes, Codec::Zstd) => drop(reader.take(varint::len(own)).ok()?),
            _ => {
                for _ in 0..self.fields() {
                    reader.varint().ok()?;
                }
            }
        }
        self.crc_behind(index.len(), reader, own)
    }

    fn crc_behind(&self, len: usize, mut reader: Reader<'_>, stored_len: u64) -> Option<Clue> {
        let crc32c = reader.u32().ok()?;
        let used = len - reader.remaining();
        (1..=self.most_stored()).contains(&stored_len).then_some(Clue { stored_len, crc32c, used })
    }

    /// Raw bytes of the block `stored`, as it declares them.
    pub fn raw_len(&self, stored: &[u8]) -> Option<u64> {
        let len = match self.codec {
            Codec::None => stored.len() as u64,
            Codec::Zstd => Decompressor::frame_raw_len(stored)?,
        };
        (1..=self.most_raw()).contains(&len).then_some(len)
    }

    /// The most bytes that the block takes which begins with `start`, its first [`BLOCK_START`] bytes (fewer at the end
    /// of the object): so many are enough for [`own_len`](Shape::own_len). `None` if no block begins so, or it does
    /// not say.
    pub fn room(&self, start: &[u8]) -> Option<u64> {
        let len = match (self.codec, self.mode) {
            (Codec::Zstd, _) => Decompressor::frame_raw_len(start)?,
            (Codec::None, Mode::Records) => RecordBlock::claimed_len(start)?.into(),
            (Codec::None, Mode::Bytes) => return None,
        };
        (1..=self.most_raw()).contains(&len).then(|| self.codec.max_stored_len(len))
    }

    /// How long the block at the start of `bytes` is by its own account, `None` if it is not all there.
    pub fn own_len(&self, bytes: &[u8]) -> Option<u64> {
        let room = self.room(bytes)?;
        let len = match self.codec {
            Codec::None => room,
            Codec::Zstd => Decompressor::frame_stored_len(bytes)? as u64,
        };
        (len <= room && len <= bytes.len() as u64).then_some(len)
    }

    /// The raw bytes of a block, if they can be had: those of one frame, or whole records.
    pub fn decode(&self, stored: &[u8], decompressor: &mut Decompressor) -> Option<Vec<u8>> {
        let len = self.raw_len(stored)?;
        let mut raw = Vec::new();
        raw.try_reserve_exact(len as usize).ok()?;
        match self.codec {
            Codec::None => raw.extend_from_slice(stored),
            Codec::Zstd => {
                raw.resize(len as usize, 0);
                decompressor.decompress_block(stored, &mut raw).ok()?;
            }
        }
        if self.mode == Mode::Records {
            let block = RecordBlock::parse(&raw).ok()?;
            let whole = block.len() == raw.len() && block.records().all(|record| record.is_ok());
            return whole.then_some(raw);
        }
        Some(raw)
    }
}

/// Where index frames may begin in `bytes`: the offset and the length that is claimed for the payload.
pub fn index_frames(bytes: &[u8]) -> impl Iterator<Item = (usize, u32)> + '_ {
    let magic = INDEX_MAGIC.to_le_bytes();
    bytes
        .windows(8)
        .enumerate()
        .filter(move |(_, window)| window.starts_with(&magic))
        .filter_map(|(at, window)| Some((at, u32::from_le_bytes(*window.last_chunk()?))))
}

/// Whether the frame of an attachment begins with these bytes.
pub fn is_attachment_frame(bytes: &[u8]) -> bool {
    bytes.starts_with(&ATTACHMENT_MAGIC.to_le_bytes())
}

/// Whether a tail frame begins with these bytes, as far as they go.
pub fn is_tail_frame(bytes: &[u8]) -> bool {
    let magic = TAIL_MAGIC.to_le_bytes();
    let len = bytes.len().min(magic.len());
    bytes[..len] == magic[..len]
}

/// What the first bytes of a tail frame say of the shape, though nothing vouches for them.
pub fn shape_in_tail(frame: &[u8]) -> Option<Shape> {
    let mut header = Reader::new(frame.get(8..)?, "tail header");
    let [mode, codec, block_size] = header.array().ok()?;
    let block_size = 1u32.checked_shl(block_size.into()).filter(|&size| is_block_size(size))?;
    Some(Shape { mode: Mode::from_number(mode)?, codec: Codec::from_number(codec)?, block_size })
}

/// All shapes that an object with such an index may have, the likeliest first: `start` are its first bytes, `data`
/// the most bytes that its blocks take, `index` the bytes of its entries.
pub fn shapes(start: &[u8], data: u64, index: u64) -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut add = |mode, codec, block_size| shapes.push(Shape { mode, codec, block_size });
    let zstd = Decompressor::frame_raw_len(start);
    let sizes = || (0..u32::BITS).map(|n| 1u32 << n).filter(|&size| is_block_size(size));
    if let Some(raw) = zstd {
        add(Mode::Records, Codec::Zstd, limits::MAX_BLOCK_SIZE);
        // A block of bytes is as long as its frame says, or it is the only one.
        let size = sizes().find(|&size| raw <= size.into()).unwrap_or(limits::MAX_BLOCK_SIZE);
        add(Mode::Bytes, Codec::Zstd, size);
    }
    if RecordBlock::claimed_len(start).is_some() {
        add(Mode::Records, Codec::None, limits::MAX_BLOCK_SIZE);
    }
    // Without a codec an entry is a CRC32C, so their number bounds the block size. Attachments make the data look
    // longer than they are, seldom by much: the largest that fits is the likeliest.
    let blocks = index / 4;
    let fits = |size: &u32| blocks > 0 && (blocks - 1) * u64::from(*size) < data;
    sizes()
        .filter(fits)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .for_each(|size| add(Mode::Bytes, Codec::None, size));
    if zstd.is_none() && index > 0 {
        // The first block may be the damaged one, and show nothing.
        add(Mode::Records, Codec::Zstd, limits::MAX_BLOCK_SIZE);
        add(Mode::Records, Codec::None, limits::MAX_BLOCK_SIZE);
        let default = Codec::Zstd.default_block_size();
        sizes().filter(|&size| size == default).for_each(|size| add(Mode::Bytes, Codec::Zstd, size));
        sizes().filter(|&size| size != default).for_each(|size| add(Mode::Bytes, Codec::Zstd, size));
    }
    shapes
}

/// The length of the block at the start of `bytes` that has this CRC32C and ends where an attachment may begin; what
/// the last block needs when nobody knows where the data end.
pub fn len_before_attachment(bytes: &[u8], crc32c: u32) -> Option<u64> {
    let magic = ATTACHMENT_MAGIC.to_le_bytes();
    let (mut crc, mut done) = (Crc32c::new(), 0);
    for (at, _) in bytes.windows(4).enumerate().filter(|(at, window)| *at > 0 && *window == magic) {
        crc.update(&bytes[done..at]);
        done = at;
        if crc.finalize() == crc32c {
            return Some(at as u64);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::{Compressor, checksum::crc32c},
        object::{BlockEntry, entry::EntryCoder, span::RecordSpan},
    };

    fn shape(mode: Mode, codec: Codec) -> Shape {
        Shape { mode, codec, block_size: 4096 }
    }

    #[test]
    fn a_clue_is_what_the_entry_says_and_the_data_can_stand_in_for_a_damaged_length() {
        for (mode, codec) in [
            (Mode::Bytes, Codec::None),
            (Mode::Bytes, Codec::Zstd),
            (Mode::Records, Codec::None),
            (Mode::Records, Codec::Zstd),
        ] {
            let shape = shape(mode, codec);
            let span = RecordSpan { count: 3, first_id: 900, last_id: 902, min_time: -5, max_time: 5 };
            let raw_len = 4096;
            let stored_len = if codec == Codec::Zstd { 1000 } else { raw_len };
            let records = (mode == Mode::Records).then_some(span);
            let mut index = Vec::new();
            let entry = BlockEntry { raw_len, stored_len, crc32c: 0xC0FFEE, records };
            EntryCoder::new(mode, codec).encode(&entry, &mut index);
            let used = index.len();
            assert!(used >= shape.least_entry() && used <= MOST_ENTRY);
            index.extend([7; 9]);
            let expected = Some(Clue { stored_len: stored_len.into(), crc32c: 0xC0FFEE, used });
            assert_eq!(shape.clue(&index, raw_len.into()), expected);
            assert_eq!(shape.clue_for(&index, stored_len.into()), expected);
            if codec == Codec::Zstd {
                index[0] ^= 1;
                assert_ne!(shape.clue(&index, raw_len.into()), expected);
                assert_eq!(shape.clue_for(&index, stored_len.into()), expected);
            }
            assert_eq!(shape.clue(&index[..used - 1], raw_len.into()), None, "cut off");
        }
    }

    #[test]
    fn a_block_says_how_long_it_is_and_what_it_holds() {
        let (mut stored, mut decompressor) = (Vec::new(), Decompressor::new().unwrap());
        let raw: Vec<u8> = (0..4096u32).map(|n| ((n * n) >> 3) as u8).collect();
        Compressor::new(1).unwrap().compress_block(&raw, &mut stored).unwrap();
        let len = stored.len();
        stored.extend([9; 40]);
        let zstd = shape(Mode::Bytes, Codec::Zstd);
        assert_eq!(zstd.own_len(&stored), Some(len as u64));
        assert_eq!(zstd.own_len(&stored[..len - 1]), None);
        assert_eq!(zstd.decode(&stored[..len], &mut decompressor), Some(raw.clone()));
        assert_eq!(zstd.decode(&stored, &mut decompressor), None, "more than a frame");
        assert_eq!(Shape { block_size: 2048, ..zstd }.decode(&stored[..len], &mut decompressor), None);
        assert_eq!(shape(Mode::Records, Codec::Zstd).decode(&stored[..len], &mut decompressor), None);
        assert_eq!(shape(Mode::Bytes, Codec::None).own_len(&stored), None);
    }

    #[test]
    fn the_last_block_ends_in_front_of_an_attachment_whose_magic_may_also_stand_in_it() {
        let magic = ATTACHMENT_MAGIC.to_le_bytes();
        let block = [&b"abc"[..], &magic, b"def"].concat();
        let bytes = [&block[..], &magic, b"payload"].concat();
        assert_eq!(len_before_attachment(&bytes, crc32c(&block)), Some(block.len() as u64));
        assert_eq!(len_before_attachment(&bytes, 1), None);
    }

    #[test]
    fn the_shapes_of_an_object_without_a_codec_follow_from_the_number_of_its_entries() {
        let plain = |s: &&Shape| (s.mode, s.codec) == (Mode::Bytes, Codec::None);
        let shapes_of = shapes(b"text", 10 * 65536 + 5, 44);
        let sizes: Vec<_> = shapes_of.iter().filter(plain).map(|s| s.block_size).collect();
        assert_eq!(sizes, [65536, 32768, 16384, 8192, 4096]);
        assert_eq!(shapes(b"", 0, 0), []);
    }
}
