//! What an object is (its UUID), how it is cut (its mode), and what it holds (its identity).

use std::fmt;

use crate::codec::checksum::Crc64Nvme;

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

/// Small pieces are gathered up to this many bytes: a checksum of 200 bytes takes as long as one of
/// a thousand, so small records would cost four times as much one by one.
const GATHER: usize = 4096;

/// Computes the identity of content that passes by.
#[derive(Clone, Debug, Default)]
pub struct ContentDigest {
    length: u64,
    crc64: Crc64Nvme,
    /// What `crc64` has not seen yet.
    gathered: Vec<u8>,
}

impl ContentDigest {
    /// The digest of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next bytes of a segment of bytes, or of an attachment.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.gathered.len() + bytes.len() > GATHER {
            self.crc64.update(&self.gathered);
            self.gathered.clear();
        }
        if bytes.len() >= GATHER {
            self.crc64.update(bytes);
        } else {
            self.gathered.extend_from_slice(bytes);
        }
    }

    /// Takes in the next record; its payload is at most 64 MiB.
    pub fn record(&mut self, id: u64, time_us: i64, payload: &[u8]) {
        let mut head = [0; 20];
        head[..8].copy_from_slice(&id.to_le_bytes());
        head[8..16].copy_from_slice(&time_us.to_le_bytes());
        head[16..].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        self.bytes(&head);
        self.bytes(payload);
    }

    /// The identity of everything taken in so far; more may follow.
    pub fn identity(&self) -> ContentIdentity {
        let mut crc64 = self.crc64.clone();
        crc64.update(&self.gathered);
        ContentIdentity { length: self.length, crc64: crc64.finalize() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::checksum::crc64nvme;

    #[test]
    fn pieces_of_any_size_give_the_identity_of_the_whole() {
        let bytes: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(i) >> 5) as u8).collect();
        for sizes in [[1, 1, 1], [20, 4076, 4096], [4095, 2, 4097], [20, 200, 9000]] {
            let mut digest = ContentDigest::new();
            let mut rest = &bytes[..];
            for size in sizes.iter().cycle() {
                let (piece, after) = rest.split_at(rest.len().min(*size));
                digest.bytes(piece);
                rest = after;
                let taken = &bytes[..bytes.len() - rest.len()];
                assert_eq!(digest.identity().length, taken.len() as u64);
                if taken.len().is_multiple_of(97) || rest.is_empty() {
                    assert_eq!(digest.identity().crc64, crc64nvme(taken), "pieces of {sizes:?}");
                }
                if rest.is_empty() {
                    break;
                }
            }
        }
    }
}
