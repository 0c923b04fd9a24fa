//! Whole objects in memory, assembled and read from the parts of `seglift::object`.
//!
//! This is what a writer and a reader do, without I/O: nothing here repeats the format.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::ops::Range;

use seglift::{
    Code, Error, Result,
    codec::{Codec, Compressor, Decompressor, checksum},
    object::{
        Append, AttachmentEntry, Block, BlockEntry, CONTENT_TYPE, ContentIdentity, IndexBuilder, Located,
        Metadata, Mode, ObjectId, Page, RecordBlockBuilder, RecordSpan, Tail, TailBuilder, TailParts,
        attachment_frame_header, locate_tail,
    },
};

/// The smallest block size, so that small objects have several blocks.
pub const BLOCK: u32 = 4096;
/// A page size that gives small objects several pages.
pub const PAGE: usize = 16;

/// A record as a test gives it.
pub type Given = (u64, i64, Vec<u8>);

/// What an object is made of.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub codec: Codec,
    pub source: Source,
    pub attachments: Vec<(String, Codec, Vec<u8>)>,
    pub page_size: usize,
}

#[derive(Clone, Debug)]
pub enum Source {
    Bytes(Vec<u8>),
    Records(Vec<Given>),
}

impl Recipe {
    pub fn new(codec: Codec, source: Source) -> Self {
        Recipe { codec, source, attachments: Vec::new(), page_size: PAGE }
    }

    pub fn attach(mut self, name: &str, codec: Codec, raw: &[u8]) -> Self {
        self.attachments.push((name.to_owned(), codec, raw.to_owned()));
        self
    }

    pub fn mode(&self) -> Mode {
        match self.source {
            Source::Bytes(_) => Mode::Bytes,
            Source::Records(_) => Mode::Records,
        }
    }

    /// Writes the object: its bytes and the tail as the writer keeps it.
    pub fn build(&self) -> (Vec<u8>, Tail) {
        let (mut object, builder) = self.build_data();
        let TailParts { index_frame, tail_frame, seek_table, tail } = builder.finish().unwrap();
        object.extend([index_frame, tail_frame, seek_table].concat());
        (object, tail)
    }

    /// Writes data and attachments, and gives what is needed for the rest.
    pub fn build_data(&self) -> (Vec<u8>, TailBuilder) {
        let mut object = Vec::new();
        let mut index =
            IndexBuilder::new(self.mode(), self.codec, BLOCK).unwrap().with_page_size(self.page_size);
        let mut compressor = Compressor::new(1).unwrap();
        let mut stored = Vec::new();
        let mut put = |raw: &[u8], records: Option<RecordSpan>| {
            match self.codec {
                Codec::None => stored = raw.to_vec(),
                Codec::Zstd => compressor.compress_block(raw, &mut stored).unwrap(),
            }
            let entry = BlockEntry {
                raw_len: raw.len() as u32,
                stored_len: stored.len() as u32,
                crc32c: checksum::crc32c(&stored),
                records,
            };
            index.push(entry).unwrap();
            object.extend_from_slice(&stored);
        };
        let content = match &self.source {
            Source::Bytes(bytes) => {
                bytes.chunks(BLOCK as usize).for_each(|raw| put(raw, None));
                ContentIdentity { length: bytes.len() as u64, crc64: checksum::crc64nvme(bytes) }
            }
            Source::Records(records) => {
                let mut blocks = RecordBlockBuilder::new(BLOCK);
                let mut raw = Vec::new();
                for (id, time, payload) in records {
                    if blocks.append(*id, *time, payload).unwrap() == Append::Full {
                        let span = blocks.finish(&mut raw);
                        put(&raw, span);
                        assert_eq!(blocks.append(*id, *time, payload).unwrap(), Append::Fits);
                    }
                }
                if let Some(span) = blocks.finish(&mut raw) {
                    put(&raw, Some(span));
                }
                blocks.content()
            }
        };
        let mut attachments = Vec::new();
        for (name, codec, raw) in &self.attachments {
            let mut stored = raw.clone();
            if *codec == Codec::Zstd {
                Compressor::new(1).unwrap().compress_block(raw, &mut stored).unwrap();
            }
            attachments.push(AttachmentEntry::new(name, *codec, raw, &stored).unwrap());
            object.extend(attachment_frame_header(stored.len() as u32));
            object.extend(stored);
        }
        let mut metadata = Metadata::new();
        metadata.insert(CONTENT_TYPE, "text/plain").unwrap();
        metadata.insert("topic", "orders").unwrap();
        let builder = TailBuilder {
            id: ObjectId(uuid::Uuid::from_u128(0x0123_4567_89AB_4CDE_8F01_2345_6789_ABCD)),
            created_us: 1_700_000_000_000_000,
            owner: "cluster-a".to_owned(),
            metadata,
            content,
            offsets: (self.mode() == Mode::Bytes).then_some((1000, 1999)),
            attachments,
            index,
        };
        (object, builder)
    }
}

/// An object that is being read; every byte comes from `bytes`, which may be damaged.
pub struct Object<'a> {
    pub bytes: &'a [u8],
    pub tail: Tail,
}

impl<'a> Object<'a> {
    /// Finds the tail from the last `suffix` bytes.
    pub fn open(bytes: &'a [u8], suffix: usize) -> Result<Self> {
        let end = &bytes[bytes.len().saturating_sub(suffix)..];
        let len = bytes.len() as u64;
        let tail = match locate_tail(end, len)? {
            Located::Here { within, position } => Tail::parse(&end[within], position, len)?,
            Located::Fetch(range) => Tail::parse(get(bytes, range.clone())?, range.start, len)?,
        };
        Ok(Object { bytes, tail })
    }

    pub fn page(&self, n: usize) -> Result<Page> {
        Page::parse(get(self.bytes, self.tail.page_position(n))?, &self.tail, n)
    }

    pub fn block(&self, block: &Block) -> Result<Vec<u8>> {
        let mut raw = vec![0; block.raw_len()];
        let stored = get(self.bytes, block.stored.clone())?;
        self.tail.decode_block(block, stored, &mut Decompressor::new()?, &mut raw)?;
        Ok(raw)
    }

    /// The bytes of the segment in `range`, found through the index.
    pub fn read_range(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let page =
                self.page(self.tail.page_of_raw(at).expect("an offset inside the segment has a page"))?;
            let first = page.block_of_raw(at).expect("the page has the offset");
            for block in page.blocks_from(first.number).take_while(|block| block.raw.start < range.end) {
                let raw = self.block(&block)?;
                let end = range.end.min(block.raw.end);
                out.extend_from_slice(
                    &raw[(at - block.raw.start) as usize..(end - block.raw.start) as usize],
                );
                at = end;
            }
        }
        Ok(out)
    }

    /// Up to `max` records from the first one whose id is `id` or greater, through the index.
    pub fn read_records(&self, mut id: u64, max: usize) -> Result<Vec<Given>> {
        let mut out = Vec::new();
        while out.len() < max {
            let Some(n) = self.tail.page_of_record(id) else { break };
            let block =
                self.page(n)?.block_of_record(id).expect("the page has a record of that id or greater");
            let raw = self.block(&block)?;
            for record in self.tail.record_block(&block, &raw)?.seek(id)?.take(max - out.len()) {
                let record = record?;
                out.push((record.id, record.time_us, raw[record.payload].to_vec()));
            }
            match block.records.expect("record mode").last_id.checked_add(1) {
                Some(next) => id = next,
                None => break,
            }
        }
        Ok(out)
    }

    pub fn read_attachment(&self, name: &str) -> Result<Vec<u8>> {
        let found = self.tail.attachment(name);
        let attachment =
            found.ok_or_else(|| Error::new(Code::NotFound, format!("no attachment {name:?}")))?;
        let stored = get(self.bytes, attachment.stored.clone())?;
        self.tail.decode_attachment(attachment, stored, &mut Decompressor::new()?)
    }

    /// Everything: that of the recipe, or an error.
    pub fn read_all(&self) -> Result<Recipe> {
        let source = match self.tail.mode() {
            Mode::Bytes => Source::Bytes(self.read_range(0..self.tail.segment_len())?),
            Mode::Records => Source::Records(self.read_records(0, usize::MAX)?),
        };
        let mut recipe = Recipe::new(self.tail.codec(), source);
        for attachment in self.tail.attachments() {
            let raw = self.read_attachment(&attachment.entry.name)?;
            recipe = recipe.attach(&attachment.entry.name, attachment.entry.codec, &raw);
        }
        Ok(recipe)
    }
}

/// A range of the object: positions of a checked tail never leave it.
fn get(bytes: &[u8], range: Range<u64>) -> Result<&[u8]> {
    Ok(&bytes[range.start as usize..range.end as usize])
}

/// Half text that compresses, half noise that does not, in turns of some thousand bytes.
pub fn mixed(len: usize) -> Vec<u8> {
    let mut state = 0x5EED_u64;
    let mut out = Vec::with_capacity(len + 64);
    while out.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (out.len() / 6000).is_multiple_of(2) {
            out.extend(format!("order {} of customer {}\n", out.len(), state >> 54).bytes());
        } else {
            out.extend((state >> 16).to_le_bytes());
        }
    }
    out.truncate(len);
    out
}

/// Records with gaps in their ids, clocks that step back, empty payloads, and some that are larger
/// than a block.
pub fn records(count: u64) -> Vec<Given> {
    let text = mixed(9000);
    (0..count)
        .map(|i| {
            let len = match i % 41 {
                0 => 0,
                17 => 6000,
                n => (n * 13) as usize,
            };
            let id = 1000 + i * 3 + u64::from(i > 30) * 1_000_000;
            let time = 1_700_000_000_000_000 + (i as i64) * 1000 - i64::from(i % 7 == 0) * 50_000;
            (id, time, text[..len].to_vec())
        })
        .collect()
}

/// One small object of each kind, by name.
pub fn kinds() -> Vec<(&'static str, Recipe)> {
    let mut out = Vec::new();
    for (codec, bytes, rec, empty) in [
        (Codec::None, "bytes-none", "records-none", "empty-none"),
        (Codec::Zstd, "bytes-zstd", "records-zstd", "empty-zstd"),
    ] {
        out.push((bytes, attached(Recipe::new(codec, Source::Bytes(mixed(13_001))))));
        out.push((rec, attached(Recipe::new(codec, Source::Records(records(40))))));
        out.push((empty, Recipe::new(codec, Source::Bytes(Vec::new()))));
    }
    out
}

fn attached(recipe: Recipe) -> Recipe {
    let index = mixed(3000);
    recipe
        .attach("offset-index", Codec::Zstd, &index)
        .attach("leader-epochs", Codec::None, b"0 0\n1 57\n")
        .attach("empty", Codec::None, b"")
}

/// Whether two recipes hold the same content.
pub fn same(a: &Recipe, b: &Recipe) -> bool {
    let source = match (&a.source, &b.source) {
        (Source::Bytes(a), Source::Bytes(b)) => a == b,
        (Source::Records(a), Source::Records(b)) => a == b,
        _ => false,
    };
    source && a.attachments == b.attachments
}

/// Recomputes the CRC32C of the tail of `object`, as only a forger or a newer writer would.
pub fn reseal(object: &mut [u8], tail: &Tail) {
    let position = tail.position();
    let frame = &mut object[position.start as usize..position.end as usize];
    let at = frame.len() - 12;
    let crc32c = checksum::crc32c(&frame[..at]);
    frame[at..at + 4].copy_from_slice(&crc32c.to_le_bytes());
}

/// Where the trailer's incompatible flags stand in the object; the compatible ones follow.
pub fn flags_at(tail: &Tail) -> usize {
    tail.position().end as usize - 64 + 24
}
