//! What an object is (its UUID), how it is cut (its mode), and what it holds (its identity).

use std::fmt;

/// Whether a segment is a run of bytes or of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Bytes of the host's own making; blocks of equal size, read by offset.
    Bytes,
    /// Records with ids and times; blocks end between records, read by id.
    Records,
}

impl Mode {
    /// The number that stands in objects and tokens.
    pub const fn number(self) -> u8 {
        match self {
            Mode::Bytes => 0,
            Mode::Records => 1,
        }
    }

    /// The mode with this number, `None` if there is no such.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Mode::Bytes),
            1 => Some(Mode::Records),
            _ => None,
        }
    }

    /// The name in output: `bytes` or `records`.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Bytes => "bytes",
            Mode::Records => "records",
        }
    }
}

/// The UUID of one attempt to write an object: never two objects with the same, so caches are
/// keyed by it and an unknown outcome is settled by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub uuid::Uuid);

impl ObjectId {
    /// A fresh random one.
    pub fn random() -> Self {
        ObjectId(uuid::Uuid::new_v4())
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a segment or an attachment holds, whatever its codec, block size, UUID and time.
///
/// In record mode it is that of the canonical stream: for each record its id (`u64`), its time
/// (`i64`), its payload's length (`u32`), all little-endian, and its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentIdentity {
    /// Raw bytes, or bytes of the canonical stream.
    pub length: u64,
    /// CRC-64/NVME of the same.
    pub crc64: u64,
}
