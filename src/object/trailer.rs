//! The trailer: the last 64 bytes of the tail frame, the same in every version of the format.

use super::{
    content::ObjectId,
    wire::{Reader, corrupt, put},
};
use crate::{
    codec::checksum,
    error::{Code, Error, Result},
};

/// Length in bytes.
pub(super) const TRAILER: usize = 64;
/// Its last bytes. The line feed shows a transfer that rewrites line ends.
pub(super) const MAGIC: &[u8; 8] = b"SEGLIFT\n";
/// What this library writes, and the only one that it reads.
const VERSION: u32 = 1;
/// The incompatible flags that this library can read. Bit 0 is reserved for encryption.
const KNOWN_INCOMPATIBLE: u32 = 0;
/// Bytes behind those that the CRC32C covers: itself and the magic.
const UNCOVERED: usize = 4 + MAGIC.len();

/// The trailer's fields but for version, CRC32C and magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub tail_position: u64,
    pub tail_len: u32,
    pub header_len: u32,
    pub pages: u32,
    pub incompatible: u32,
    pub compatible: u32,
    pub id: ObjectId,
}

impl Trailer {
    /// Appends the trailer to the rest of the tail frame, and gives the CRC32C of it all.
    pub fn put(&self, frame: &mut Vec<u8>) -> u32 {
        put!(frame, self.tail_position, self.tail_len, self.header_len, self.pages);
        put!(frame, VERSION, self.incompatible, self.compatible);
        frame.extend_from_slice(self.id.0.as_bytes());
        put!(frame, 0u32);
        let crc32c = checksum::crc32c(frame);
        put!(frame, crc32c);
        frame.extend_from_slice(MAGIC);
        crc32c
    }

    /// The trailer at the end of a tail frame, and its CRC32C, which the whole frame has passed.
    ///
    /// `CORRUPT` if magic, length or CRC32C are wrong; `UNSUPPORTED_VERSION` if they are right and
    /// the object needs a newer reader.
    pub fn get(frame: &[u8]) -> Result<(Self, u32)> {
        let Some((_, bytes)) = frame.split_last_chunk::<TRAILER>() else {
            return Err(corrupt("the tail frame is shorter than its trailer"));
        };
        if !bytes.ends_with(MAGIC) {
            return Err(corrupt("the tail frame does not end with seglift's magic"));
        }
        let mut reader = Reader::new(bytes, "trailer");
        let tail_position = reader.u64()?;
        let (tail_len, header_len, pages) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (version, incompatible, compatible) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let id = ObjectId(uuid::Uuid::from_bytes(reader.array()?));
        reader.u32()?;
        let crc32c = reader.u32()?;
        if tail_len as usize != frame.len() {
            return Err(corrupt(format!(
                "the trailer claims a tail of {tail_len} bytes, found {}",
                frame.len()
            )));
        }
        if checksum::crc32c(&frame[..frame.len() - UNCOVERED]) != crc32c {
            return Err(corrupt("the tail does not match its CRC32C"));
        }
        if version != VERSION || incompatible & !KNOWN_INCOMPATIBLE != 0 {
            return Err(Error::new(
                Code::UnsupportedVersion,
                format!(
                    "object {id} has format version {version} with incompatible flags {incompatible:#x}; this \
                     library reads version {VERSION} without such flags: use a newer one"
                ),
            ));
        }
        Ok((Trailer { tail_position, tail_len, header_len, pages, incompatible, compatible, id }, crc32c))
    }

    /// The tail frame's length, from a trailer whose CRC32C nobody has checked yet.
    pub fn peek_len(suffix: &[u8]) -> Option<u64> {
        let bytes = suffix.last_chunk::<TRAILER>()?;
        let len = bytes[8..12].first_chunk()?;
        Some(u32::from_le_bytes(*len).into())
    }
}
