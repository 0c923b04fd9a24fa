//! How bytes are packed and checked: block codecs, checksums, variable-length integers.
//!
//! Invariant: everything here is pure and bounded. A decoder writes into room that its caller
//! has sized from a checked length, so hostile input costs at most that room.
//!
//! Trade-off: this is the only place that names the crates behind it (`zstd`, `crc-fast`), so
//! that another implementation is a change of one file.

pub mod checksum;
pub(crate) mod varint;
mod zstd;

pub use self::zstd::{Compressor, Decompressor, version};

/// How the stored bytes of a block or an attachment come from its raw bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Stored as they are.
    None,
    /// One complete zstd frame with its content size.
    Zstd,
}

impl Codec {
    /// The number that stands in objects and tokens.
    pub const fn number(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Zstd => 1,
        }
    }

    /// The codec with this number, `None` if there is no such.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Codec::None),
            1 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// The name in settings and output: `none` or `zstd`.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Zstd => "zstd",
        }
    }

    /// The block size, in bytes, that a writer uses unless told otherwise.
    ///
    /// Compressed blocks of 256 KiB lose under 2 % of the ratio against one long frame; without
    /// a codec nothing is lost, and 64 KiB wastes less on a small read.
    pub const fn default_block_size(self) -> u32 {
        match self {
            Codec::None => 64 << 10,
            Codec::Zstd => 256 << 10,
        }
    }

    /// The most stored bytes that `raw_len` raw bytes may become in a valid object.
    ///
    /// For zstd this is above its own bound for one frame (`raw + raw / 256 + 64`), so that a
    /// reader can refuse a longer block before it fetches it.
    pub const fn max_stored_len(self, raw_len: u64) -> u64 {
        match self {
            Codec::None => raw_len,
            Codec::Zstd => raw_len + raw_len / 256 + 1024,
        }
    }
}
