//! What a host keeps of an upload under way, so that another process can go on with it.
//!
//! Purpose: an upload that is resumed must give the same object bit for bit, else its parts cannot be compared with what the
//! store has. So this says where the upload is, what in the object does not follow from the segment (its UUID), and
//! everything that the encoding depends on.
//!
//! Invariant: it is believed only whole: a CRC32C covers all of it. Whoever changed it on purpose gains nothing: what
//! is at the store is compared with the source, and an upload is looked for only under the key that the host asked for.
//!
//! Trade-off: host's words and attachments are a digest, not a copy. It only decides whether comparing is worth while.

use super::{
    content::ObjectId,
    wire::{Reader, corrupt, put, put_string},
};
use crate::{
    codec::{Codec, checksum},
    error::{Code, Error, Result},
};

/// Its first bytes. The line feed shows a transfer that rewrites line ends.
const MAGIC: &[u8; 15] = b"SEGLIFT-RESUME\n";
const VERSION: u8 = 1;

/// What is kept of an upload under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeBlob {
    /// The object's key in its store.
    pub key: String,
    /// Which store it goes to; its meaning is the driver's.
    pub store_fingerprint: u64,
    /// What the store finds the upload by, at most 2,048 bytes.
    pub upload: String,
    /// The UUID that the object will have.
    pub id: ObjectId,
    /// What its bytes depend on.
    pub encoding: Encoding,
}

/// What the bytes of an object depend on, beside its segment, its UUID and the time of its sealing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// The versions of the encoder and of its compressor, at most 255 bytes.
    pub encoder: String,
    /// Raw bytes of the segment.
    pub segment_len: u64,
    /// The codec of the blocks.
    pub codec: Codec,
    /// The level of zstd; 0 without a codec.
    pub zstd_level: i32,
    /// Raw bytes of a block.
    pub block_size: u32,
    /// Bytes of a part of the upload but the last.
    pub part_size: u64,
    /// CRC-64/NVME of what the tail says of the host's: owner, metadata, offsets, attachments.
    pub words: u64,
}

impl Encoding {
    /// What is another in `now`, for a human; `None` if the bytes will be the same.
    pub fn differs(&self, now: &Encoding) -> Option<&'static str> {
        let differences = [
            (self.encoder != now.encoder, "another version of the encoder began the upload"),
            (self.segment_len != now.segment_len, "the segment had another length"),
            (
                self.codec != now.codec || self.zstd_level != now.zstd_level,
                "the codec or its level was another",
            ),
            (self.block_size != now.block_size, "the block size was another"),
            (self.part_size != now.part_size, "the part size was another"),
            (self.words != now.words, "owner, metadata, offsets or attachments were others"),
        ];
        differences.into_iter().find_map(|(differs, what)| differs.then_some(what))
    }
}

impl ResumeBlob {
    /// Longest encoding in bytes: more is none.
    pub const MAX: usize = 8 << 10;
    /// Longest id of an upload in bytes. S3 sets no limit; what it gives has some 150.
    pub const MAX_UPLOAD: usize = 2048;

    /// It as bytes to keep. `INTERNAL` if a text is longer than it may be.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        for (text, most) in [
            (&self.key, u16::MAX.into()),
            (&self.upload, Self::MAX_UPLOAD),
            (&self.encoding.encoder, u8::MAX.into()),
        ] {
            if text.len() > most {
                let what = format!("a text of {} bytes is too long to be kept for a resume", text.len());
                return Err(Error::new(Code::Internal, what));
            }
            put_string(&mut out, text);
        }
        out.extend_from_slice(self.id.0.as_bytes());
        let Encoding { segment_len, codec, zstd_level, block_size, part_size, words, .. } = &self.encoding;
        put!(out, self.store_fingerprint, segment_len, part_size, words);
        put!(out, zstd_level, block_size, codec.number());
        let crc32c = checksum::crc32c(&out);
        put!(out, crc32c);
        Ok(out)
    }

    /// What a host kept.
    ///
    /// `INVALID_ARGUMENT` if it is something else altogether, which must not be overwritten; `UNSUPPORTED_VERSION` if a newer
    /// library made it; `CORRUPT` if it was damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            let what = "it does not begin as the resume file of an upload does";
            return Err(Error::new(Code::InvalidArgument, what));
        };
        match rest.first() {
            Some(&VERSION) => {}
            Some(&version) if version > VERSION => {
                let what = format!("the resume file has version {version}, which this library does not know");
                return Err(Error::new(Code::UnsupportedVersion, what));
            }
            _ => return Err(corrupt("the resume file ends behind its first bytes, or has no version")),
        }
        let damaged = || corrupt("the resume file's checksum does not match");
        let (covered, crc32c) = bytes.split_last_chunk().ok_or_else(damaged)?;
        if bytes.len() > Self::MAX || checksum::crc32c(covered) != u32::from_le_bytes(*crc32c) {
            return Err(damaged());
        }
        let mut reader = Reader::new(&covered[MAGIC.len() + 1..], "resume file");
        let mut text = || reader.string().map(str::to_owned);
        let (key, upload, encoder) = (text()?, text()?, text()?);
        let id = ObjectId(uuid::Uuid::from_bytes(reader.array()?));
        let store_fingerprint = reader.u64()?;
        let (segment_len, part_size, words) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (zstd_level, block_size) = (i32::from_le_bytes(reader.array()?), reader.u32()?);
        let [codec] = reader.array()?;
        let codec =
            Codec::from_number(codec).ok_or_else(|| corrupt("the resume file names no known codec"))?;
        if reader.remaining() > 0 || upload.len() > Self::MAX_UPLOAD {
            return Err(corrupt("the resume file is longer than what it says"));
        }
        let encoding = Encoding { encoder, segment_len, codec, zstd_level, block_size, part_size, words };
        Ok(ResumeBlob { key, store_fingerprint, upload, id, encoding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blob() -> ResumeBlob {
        ResumeBlob {
            key: "topic/0/segment".into(),
            store_fingerprint: 7,
            upload: "1-cs-0-abc".into(),
            id: ObjectId(uuid::Uuid::from_u128(42)),
            encoding: Encoding {
                encoder: "seglift 1, zstd 2".into(),
                segment_len: 1 << 40,
                codec: Codec::Zstd,
                zstd_level: -7,
                block_size: 1 << 18,
                part_size: 8 << 20,
                words: u64::MAX,
            },
        }
    }

    /// Gives `bytes` the checksum that belongs to them, as somebody does who knows the format.
    fn forged(mut bytes: Vec<u8>) -> Vec<u8> {
        let end = bytes.len() - 4;
        let crc32c = checksum::crc32c(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc32c.to_le_bytes());
        bytes
    }

    #[test]
    fn what_was_kept_comes_back() {
        let bytes = blob().encode().unwrap();
        assert_eq!(ResumeBlob::decode(&bytes).unwrap(), blob());
        let long = ResumeBlob { key: "k".repeat(900), upload: "u".repeat(2048), ..blob() };
        let bytes = long.encode().unwrap();
        assert!(bytes.len() <= ResumeBlob::MAX);
        assert_eq!(ResumeBlob::decode(&bytes).unwrap(), long);
    }

    #[test]
    fn a_text_that_could_not_be_read_back_is_not_kept() {
        for blob in [
            ResumeBlob { upload: "u".repeat(2049), ..blob() },
            ResumeBlob { key: "k".repeat(1 << 16), ..blob() },
            ResumeBlob { encoding: Encoding { encoder: "e".repeat(256), ..blob().encoding }, ..blob() },
        ] {
            assert_eq!(blob.encode().unwrap_err().code(), Code::Internal);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let bytes = blob().encode().unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let code = ResumeBlob::decode(&damaged).unwrap_err().code();
                let foreign = at < MAGIC.len();
                assert_eq!(code == Code::InvalidArgument, foreign, "byte {at} bit {bit}: {code}");
            }
            assert!(ResumeBlob::decode(&bytes[..at]).is_err(), "the first {at} bytes");
        }
        assert!(ResumeBlob::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_newer_version_and_another_file_are_told_apart() {
        let mut newer = blob().encode().unwrap();
        newer[MAGIC.len()] = 2;
        assert_eq!(ResumeBlob::decode(&newer).unwrap_err().code(), Code::UnsupportedVersion);
        for other in [&b""[..], b"SEGLIFT\n", b"a broker's log", MAGIC] {
            let code = ResumeBlob::decode(other).unwrap_err().code();
            assert_eq!(code == Code::Corrupt, other == MAGIC, "{other:?}");
        }
    }

    #[test]
    fn each_difference_has_its_words() {
        let was = blob().encoding;
        assert_eq!(was.differs(&was), None);
        let others = [
            Encoding { encoder: "other".into(), ..was.clone() },
            Encoding { segment_len: 0, ..was.clone() },
            Encoding { codec: Codec::None, ..was.clone() },
            Encoding { zstd_level: 3, ..was.clone() },
            Encoding { block_size: 4096, ..was.clone() },
            Encoding { part_size: 1, ..was.clone() },
            Encoding { words: 0, ..was.clone() },
        ];
        for other in &others {
            assert!(was.differs(other).is_some(), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_behind_a_true_checksum_are_read_or_refused(
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = forged([&MAGIC[..], &[VERSION], &rest, &[0; 4]].concat());
            if let Ok(blob) = ResumeBlob::decode(&bytes) {
                prop_assert_eq!(blob.encode().unwrap(), bytes);
            }
        }

        #[test]
        fn what_somebody_changed_who_knows_the_format_is_read_or_refused(at in 16usize..130, byte: u8) {
            let mut bytes = blob().encode().unwrap();
            let at = at % (bytes.len() - 4);
            bytes[at] = byte;
            let bytes = forged(bytes);
            if let Ok(blob) = ResumeBlob::decode(&bytes) {
                prop_assert_eq!(blob.encode().unwrap(), bytes);
            }
        }
    }
}
