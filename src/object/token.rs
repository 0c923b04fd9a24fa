//! The receipt's token: where the tail is, and the proof that it is the right one.

use super::{
    content::{Mode, ObjectId},
    tail::{LEAST_TAIL, MAX_TAIL},
    wire::{Reader, put},
};
use crate::{
    codec::{Codec, checksum},
    error::{Code, Error, Result},
};

const VERSION: u8 = 1;

/// What a host keeps of an offload, opaque to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whether the segment is bytes or records.
    pub mode: Mode,
    /// The codec of the blocks.
    pub codec: Codec,
    /// The object's UUID.
    pub id: ObjectId,
    /// Bytes of the whole object.
    pub object_len: u64,
    /// Raw bytes of the segment.
    pub segment_len: u64,
    /// Where the tail frame begins in the object.
    pub tail_position: u64,
    /// Bytes of the tail frame.
    pub tail_len: u32,
    /// The tail's CRC32C.
    pub tail_crc32c: u32,
    /// Which store the object was written to; its meaning is the driver's.
    pub store_fingerprint: u64,
    /// The object's incompatible flags.
    pub incompatible_flags: u32,
}

impl Token {
    /// Encoded length in bytes. Hosts keep up to 128; the rest is room for later versions.
    pub const LEN: usize = 68;

    /// The token as bytes to keep.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = Vec::with_capacity(Self::LEN);
        out.extend_from_slice(&[VERSION, self.mode.number(), self.codec.number(), 0]);
        put!(out, self.tail_len);
        out.extend_from_slice(self.id.0.as_bytes());
        put!(out, self.object_len, self.segment_len, self.tail_position);
        put!(out, self.tail_crc32c, self.store_fingerprint, self.incompatible_flags);
        let crc32c = checksum::crc32c(&out);
        put!(out, crc32c);
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// The token that a host kept.
    ///
    /// `UNSUPPORTED_VERSION` if a newer library made it, `INVALID_ARGUMENT` if it is no token or
    /// was damaged. The object can still be read without it.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || {
            Error::new(
                Code::InvalidArgument,
                "the receipt's token is damaged; read without it, by the key alone",
            )
        };
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&version) if version > VERSION && bytes.len() <= 128 => {
                return Err(Error::new(
                    Code::UnsupportedVersion,
                    format!(
                        "the receipt's token has version {version}; use a newer library, or the key alone"
                    ),
                ));
            }
            _ => return Err(damaged()),
        }
        let (covered, crc32c) = bytes.split_last_chunk().ok_or_else(damaged)?;
        if bytes.len() != Self::LEN || checksum::crc32c(covered) != u32::from_le_bytes(*crc32c) {
            return Err(damaged());
        }
        let mut reader = Reader::new(covered, "token");
        let [_, mode, codec, _] = reader.array()?;
        let tail_len = reader.u32()?;
        let token = Token {
            mode: Mode::from_number(mode).ok_or_else(damaged)?,
            codec: Codec::from_number(codec).ok_or_else(damaged)?,
            tail_len,
            id: ObjectId(uuid::Uuid::from_bytes(reader.array()?)),
            object_len: reader.u64()?,
            segment_len: reader.u64()?,
            tail_position: reader.u64()?,
            tail_crc32c: reader.u32()?,
            store_fingerprint: reader.u64()?,
            incompatible_flags: reader.u32()?,
        };
        let tail_end = token.tail_position.checked_add(tail_len.into());
        let fits = tail_end.is_some_and(|end| end <= token.object_len);
        if !fits || !(LEAST_TAIL..=MAX_TAIL).contains(&tail_len.into()) {
            return Err(damaged());
        }
        Ok(token)
    }
}
