//! What stands behind an object's data: attachments, index, tail.
//!
//! A [`Seal`] is begun before the first byte is read, so that every limit that can be checked early (owner,
//! metadata, attachments) is an error before anything was sent; it collects the blocks, and closes the object.

use super::{commit::Identity, segment::Digest};
use crate::{
    clock::{Clock, SystemClock},
    codec::{
        Codec, Compressor,
        checksum::{Crc32c, Crc64Nvme, crc32c},
    },
    error::{Code, Error, Result},
    object::{
        AttachmentEntry, BlockEntry, ContentIdentity, Encoding, IndexBuilder, Metadata, Mode, ObjectId, Tail,
        TailBuilder, attachment_frame_header,
    },
};
use bytes::Bytes;

/// What is said of a segment before its first byte.
pub(super) struct About {
    pub id: ObjectId,
    /// Tells the time at which the object is sealed.
    pub clock: SystemClock,
    pub owner: String,
    pub metadata: Metadata,
    pub mode: Mode,
    pub codec: Codec,
    pub zstd_level: i32,
    pub block_size: u32,
}

/// The end of an object in the making.
pub(super) struct Seal {
    about: About,
    index: IndexBuilder,
    offsets: Option<(u64, u64)>,
    expected: Option<Digest>,
    attachments: Vec<AttachmentEntry>,
    /// The attachments' frames as they will stand in the object.
    frames: Vec<Bytes>,
    /// CRC32C of the raw data so far: a writer learns only at its end whether the host has one to compare.
    crc32c: u32,
}

impl Seal {
    pub fn new(about: About) -> Result<Seal> {
        let index = IndexBuilder::new(about.mode, about.codec, about.block_size)?;
        Ok(Seal {
            about,
            index,
            offsets: None,
            expected: None,
            attachments: Vec::new(),
            frames: Vec::new(),
            crc32c: 0,
        })
    }

    /// Says what the host knows: offsets and its own digest.
    pub fn expect(&mut self, offsets: Option<(u64, u64)>, expected: Option<Digest>) {
        self.offsets = offsets;
        self.expected = expected;
    }

    /// Says that the object was begun earlier, with this UUID.
    pub fn begun(&mut self, id: ObjectId) {
        self.about.id = id;
    }

    /// What the object's bytes depend on, beside the segment's; before its first block.
    pub fn encoding(&self, encoder: String, segment_len: u64, part_size: u64) -> Encoding {
        let About { codec, zstd_level, block_size, .. } = self.about;
        let zstd_level = if codec == Codec::Zstd { zstd_level } else { 0 };
        Encoding { encoder, segment_len, codec, zstd_level, block_size, part_size, words: self.words() }
    }

    /// CRC-64/NVME of what the tail says of the host's.
    fn words(&self) -> u64 {
        let mut digest = Crc64Nvme::new();
        let mut word = |bytes: &[u8]| {
            digest.update(&(bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        word(self.about.owner.as_bytes());
        for (name, value) in self.about.metadata.iter() {
            word(name.as_bytes());
            word(value);
        }
        // Between the lists, which have no lengths of their own.
        word(&[]);
        for attachment in &self.attachments {
            word(attachment.name.as_bytes());
            word(&attachment.content.length.to_le_bytes());
            word(&attachment.content.crc64.to_le_bytes());
        }
        if let Some((first, last)) = self.offsets {
            word(&[first.to_le_bytes(), last.to_le_bytes()].concat());
        }
        digest.finalize()
    }

    pub fn about(&self) -> &About {
        &self.about
    }

    pub fn block_size(&self) -> u64 {
        self.about.block_size.into()
    }

    /// Adds an attachment, compressed where the segment is and it helps.
    pub fn attach(&mut self, name: &str, raw: Bytes) -> Result<()> {
        if self.attachments.iter().any(|a| a.name == name) {
            return Err(Error::new(Code::InvalidArgument, format!("two attachments have the name {name:?}")));
        }
        let (codec, stored) = match self.about.codec {
            Codec::None => (Codec::None, raw.clone()),
            Codec::Zstd => {
                let mut frame = Vec::new();
                Compressor::new(self.about.zstd_level)?.compress_block(&raw, &mut frame)?;
                if frame.len() < raw.len() { (Codec::Zstd, frame.into()) } else { (Codec::None, raw.clone()) }
            }
        };
        let entry = AttachmentEntry::new(name, codec, &raw, &stored)?;
        self.frames.push(Bytes::copy_from_slice(&attachment_frame_header(entry.stored_len)));
        self.frames.push(stored);
        self.attachments.push(entry);
        Ok(())
    }

    /// Adds a block that is stored as it is.
    pub fn plain_block(&mut self, len: u32, crc32c: u32) -> Result<()> {
        self.crc32c = Crc32c::combine(self.crc32c, crc32c, len.into());
        self.index.push(BlockEntry { raw_len: len, stored_len: len, crc32c, records: None })
    }

    /// Adds a block whose raw bytes are at hand.
    pub fn block(&mut self, entry: BlockEntry, raw: &[u8]) -> Result<()> {
        let sum = if self.about.codec == Codec::None { entry.crc32c } else { crc32c(raw) };
        self.crc32c = Crc32c::combine(self.crc32c, sum, raw.len() as u64);
        self.index.push(entry)
    }

    /// The same as it was before its first block.
    pub fn anew(&self) -> Result<Seal> {
        Ok(Seal {
            about: About {
                clock: self.about.clock.clone(),
                metadata: self.about.metadata.clone(),
                owner: self.about.owner.clone(),
                ..self.about
            },
            index: IndexBuilder::new(self.about.mode, self.about.codec, self.about.block_size)?,
            offsets: self.offsets,
            expected: self.expected,
            attachments: self.attachments.clone(),
            frames: self.frames.clone(),
            crc32c: 0,
        })
    }

    /// Length in bytes of what will follow `data_len` plain bytes; it does not depend on what they are.
    pub fn suffix_len(&self, data_len: u64) -> Result<u64> {
        let mut rehearsal = Seal { expected: None, ..self.anew()? };
        let mut rest = data_len;
        while rest > 0 {
            let len = rest.min(self.block_size());
            rehearsal.plain_block(len as u32, 0)?;
            rest -= len;
        }
        Ok(rehearsal.finish(data_len, 0)?.len())
    }

    /// Compares with the host's digest.
    fn check(&self, crc64: u64, crc32c: u32) -> Result<()> {
        let (name, found, wanted) = match self.expected {
            Some(Digest::Crc32c(wanted)) => ("CRC32C", crc32c.into(), u64::from(wanted)),
            Some(Digest::Crc64Nvme(wanted)) => ("CRC-64/NVME", crc64, wanted),
            None => return Ok(()),
        };
        if found == wanted {
            return Ok(());
        }
        Err(Error::new(
            Code::SourceFailed,
            format!(
                "the segment's {name} is {found:#x} and the host expects {wanted:#x}; nothing was committed. \
                 The source is damaged or is not the segment that was meant"
            ),
        ))
    }

    /// What the object would be compared by, if a source of these checksums were sent. `SOURCE_FAILED` if the host's
    /// digest does not match.
    pub fn identity(&self, length: u64, crc64: u64, crc32c: u32) -> Result<Identity> {
        self.check(crc64, crc32c)?;
        let attachments = self.attachments.clone();
        Ok(Identity { mode: self.about.mode, content: ContentIdentity { length, crc64 }, attachments })
    }

    /// Closes the object: `content_len` and `crc64` are its content identity. `SOURCE_FAILED` if the host's
    /// digest does not match.
    pub fn finish(self, content_len: u64, crc64: u64) -> Result<Suffix> {
        self.check(crc64, self.crc32c)?;
        let parts = TailBuilder {
            id: self.about.id,
            // Now and not at the beginning: where a store dates what came in parts by the beginning of its upload, only
            // this shows a sweep that the object is new, however long the upload took.
            created_us: self.about.clock.now_us(),
            owner: self.about.owner,
            metadata: self.about.metadata,
            content: ContentIdentity { length: content_len, crc64 },
            offsets: self.offsets,
            attachments: self.attachments,
            index: self.index,
        }
        .finish()?;
        let mut suffix = Suffix { pieces: Vec::new(), len: 0, tail: parts.tail };
        for piece in self.frames {
            suffix.push(piece);
        }
        for piece in [parts.index_frame, parts.tail_frame, parts.seek_table] {
            suffix.push(piece.into());
        }
        Ok(suffix)
    }
}

/// Everything behind the data, in order.
pub(super) struct Suffix {
    pieces: Vec<(u64, Bytes)>,
    len: u64,
    /// The tail as a reader will see it.
    pub tail: Tail,
}

impl Suffix {
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            let start = self.len;
            self.len += piece.len() as u64;
            self.pieces.push((start, piece));
        }
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// The pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter().map(|(_, piece)| piece)
    }

    /// Bytes from position `from`, which lies inside: at least one, at most `most`.
    pub fn slice(&self, from: u64, most: usize) -> Bytes {
        let i = self.pieces.partition_point(|(start, _)| *start <= from) - 1;
        let (start, piece) = &self.pieces[i];
        let at = (from - start) as usize;
        piece.slice(at..piece.len().min(at + most))
    }
}
