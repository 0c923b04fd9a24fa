//! A whole object that was tampered with. Bytes: 1 for the kind of object, 1 for which checksums are made right again,
//! 8 of an offset and an id to read from; then edits of 6 bytes: what and where to change.
//!
//! Oracle: the reader, in each of its ways, gives what a second reader without cache, requests and parallelism
//! (tests/format_support) gives, or `CORRUPT` or `UNSUPPORTED_VERSION` where that has an error. A part of the segment is
//! that part of the whole. Verifying finds damage wherever reading does. Where no checksum was forged, what is read is
//! what was written.

use super::{
    Input, forge,
    reader_support::format::{Given, Object, Recipe, Source},
};
use bytes::Bytes;
use futures_util::stream;
use seglift::{
    Code, Error, Result,
    buf::LentBuf,
    codec::checksum::crc32c,
    engine::{Call, Defaults, Engine, EngineOptions, Op, OpKind},
    object::{Block, Mode, Page, Tail},
    reader::{ReadOptions, Reader, SegmentRef, Shared},
    store::{
        Body, BoxFuture, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage, ObjectStore, Upload,
        UploadInfo,
    },
};
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

const SEAL_BLOCKS: u8 = 1;
const SEAL_PAGES: u8 = 2;
const SEAL_TAIL: u8 = 4;
/// Any of them.
pub(super) const SEALS: u8 = SEAL_BLOCKS | SEAL_PAGES | SEAL_TAIL;

/// What claims more is read at its start and its end only.
const WHOLE: u64 = 4 << 20;

/// An object before it is tampered with.
pub(super) struct Base {
    pub object: Vec<u8>,
    pub tail: Tail,
    pub blocks: Vec<Block>,
    content: Recipe,
}

impl Base {
    /// One of eight kinds.
    pub fn of(kind: u8) -> &'static Base {
        &BASES[usize::from(kind % 8)]
    }

    /// The object after the edits that the rest of the input asks for, and after its checksums were made right as far as
    /// `seals` says.
    pub fn tampered(&self, mut input: Input<'_>, seals: u8) -> Vec<u8> {
        let mut object = self.object.clone();
        while !input.is_empty() {
            edit(&mut object, self, &mut input);
        }
        if object.len() == self.object.len() {
            reseal(&mut object, self, seals);
        }
        object
    }
}

static BASES: LazyLock<Vec<Base>> = LazyLock::new(|| {
    let base = |kind: u8| {
        let (object, tail) = forge::object_of(kind, if kind & 4 == 0 { 4096 } else { 16 });
        let page = |n| {
            let position = tail.page_position(n);
            Page::parse(&object[position.start as usize..position.end as usize], &tail, n).unwrap()
        };
        let blocks = (0..tail.pages().len()).flat_map(|n| page(n).blocks().collect::<Vec<_>>()).collect();
        let content = Object::open(&object, 64 << 10).unwrap().read_all().unwrap();
        Base { tail, blocks, content, object }
    };
    (0..8).map(base).collect()
});

/// Without a cache: each input has the same UUID.
pub(super) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    Engine::new(EngineOptions { threads: 1, cache_size: 0, ..EngineOptions::default() }).unwrap()
});

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let base = Base::of(input.u8());
    let seals = input.u8();
    let (offset, id) = (u64::from(input.u32()), u64::from(input.u32()));
    let object = base.tampered(input, seals);
    let forged = seals & SEALS != 0;
    let opened = Object::open(&object, 64 << 10);
    let reader = Way::to(&object);
    let tail = match opened {
        Ok(ref opened) => opened.tail.clone(),
        Err(e) => {
            refused(&e);
            return refused(&reader.stat().expect_err("another reader refuses the tail"));
        }
    };
    assert_eq!(reader.stat().unwrap(), tail);
    let flat = opened.unwrap();
    let whole = tail.segment_len() <= WHOLE;
    let truth = if whole { Some(flat.read_all()) } else { None };
    if let (false, Some(Ok(content))) = (forged, &truth) {
        assert!(
            super::reader_support::format::same(content, &base.content),
            "wrong content passed every checksum"
        );
    }
    let report = reader.verify();
    let mut damaged = false;
    for attachment in tail.attachments() {
        let name = &attachment.entry.name;
        damaged |= agree(reader.attachment(name), flat.read_attachment(name));
    }
    if whole {
        damaged |= agree(reader.range(0, tail.segment_len()), flat.read_range(0..tail.segment_len()));
    }
    let start = if tail.segment_len() == 0 { 0 } else { offset % tail.segment_len() };
    let end = tail.segment_len().min(start + 9000);
    damaged |= agree(reader.range(start, 9000), flat.read_range(start..end));
    if tail.mode() == Mode::Records && whole {
        damaged |= agree(reader.records(0), flat.read_records(0, usize::MAX));
        damaged |= agree(reader.records(id), flat.read_records(id, usize::MAX));
    }
    assert!(!damaged || report.is_some(), "reading met damage and verifying did not");
    if report.is_none()
        && let Some(truth) = truth
    {
        let recipe = truth.expect("verified and not readable");
        if let Source::Bytes(bytes) = recipe.source {
            assert_eq!(seglift::codec::checksum::crc64nvme(&bytes), tail.content().crc64);
        }
    }
}

/// One change: of any byte, of a number, of two stretches that change places, or a cut.
fn edit(object: &mut Vec<u8>, base: &Base, input: &mut Input<'_>) {
    let (what, value) = (input.u8(), input.u8());
    let tail = &base.tail;
    let (index, end) = (tail.pages().first().map_or(0, |page| page.position.start), tail.position());
    // Where meaning is dense must be met as often as the data.
    let area = match what >> 5 {
        0 => 0..tail.data_len(),
        1 => tail.data_len()..index,
        2 => index..end.start,
        3 | 4 => end.start..end.end,
        5 => {
            end.end - forge::TRAILER as u64 - forge::entry_len(tail) as u64 * tail.pages().len() as u64
                ..end.end
        }
        6 => end.end..base.object.len() as u64,
        _ => 0..base.object.len() as u64,
    };
    let at = area.start + u64::from(input.u32()) % (area.end - area.start).max(1);
    let at = (at as usize).min(object.len());
    let len = object.len();
    let width = |n: usize| at..(at + n).min(len);
    match what & 0x1F {
        0..8 => object.get_mut(at).into_iter().for_each(|byte| *byte = value),
        8..16 => object.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (value % 8)),
        16 => object[width(4)].fill(value),
        17 => object[width(8)].fill(value),
        18..23 => {
            // A number of four bytes goes a little up or down.
            if let Some(bytes) = object.get_mut(at..at + 4) {
                let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                let moved = number.wrapping_add_signed(i32::from(value as i8));
                bytes.copy_from_slice(&moved.to_le_bytes());
            }
        }
        23..26 => {
            let other = (at + 1 + usize::from(value)).min(object.len());
            let len = (other - at).min(object.len() - other);
            let (front, back) = object.split_at_mut(other);
            front[at..at + len].swap_with_slice(&mut back[..len]);
        }
        26 => object.truncate(at),
        27 => object.extend(std::iter::repeat_n(value, usize::from(value))),
        28 => {
            // Two blocks change places, checksums and all: each then passes its own.
            let blocks = &base.blocks;
            if let [.., a, b] = &blocks[..blocks.len().min(2 + usize::from(value) % 8)] {
                let len = a.stored_len().min(b.stored_len());
                let (a, b) = (a.stored.start as usize, b.stored.start as usize);
                if b + len <= object.len() {
                    let (front, back) = object.split_at_mut(b);
                    front[a..a + len].swap_with_slice(&mut back[..len]);
                }
            }
        }
        _ => {}
    }
}

/// Makes checksums right from the data upwards, as far as `seals` says.
fn reseal(object: &mut [u8], base: &Base, seals: u8) {
    let tail = &base.tail;
    let frame = tail.position().start as usize..tail.position().end as usize;
    if seals & SEAL_BLOCKS != 0 {
        let index = tail.pages().iter().map(|page| page.position.start as usize..page.position.end as usize);
        let index: Vec<_> = index.collect();
        for block in &base.blocks {
            let found = crc32c(&object[block.stored.start as usize..block.stored.end as usize]);
            index.iter().any(|page| replace(&mut object[page.clone()], block.crc32c, found));
        }
        for attachment in tail.attachments() {
            let found = crc32c(&object[attachment.stored.start as usize..attachment.stored.end as usize]);
            replace(&mut object[frame.clone()], attachment.entry.crc32c, found);
        }
    }
    if seals & SEAL_PAGES != 0 {
        for (n, page) in tail.pages().iter().enumerate() {
            let found = crc32c(&object[page.position.start as usize..page.position.end as usize]);
            let entry = frame.start + forge::entry_at(&object[frame.clone()], tail, n);
            object[entry + 8..entry + 12].copy_from_slice(&found.to_le_bytes());
        }
    }
    if seals & SEAL_TAIL != 0 {
        forge::seal_frame(&mut object[frame]);
    }
}

/// Replaces a checksum where it stands; it is as good as unique.
fn replace(bytes: &mut [u8], old: u32, new: u32) -> bool {
    let at = bytes.windows(4).position(|window| window == old.to_le_bytes());
    at.into_iter().for_each(|at| bytes[at..at + 4].copy_from_slice(&new.to_le_bytes()));
    at.is_some()
}

/// Whether there was damage: for both readers, or for neither and then they found the same.
fn agree<T: PartialEq>(found: Result<T>, truth: Result<T>) -> bool {
    match (found, truth) {
        (Ok(found), Ok(truth)) => {
            assert!(found == truth, "two readers read different things");
            false
        }
        (Err(e), Err(_)) => {
            refused(&e);
            true
        }
        (Ok(_), Err(e)) => panic!("the second reader refuses it: {e:?}"),
        (Err(e), Ok(_)) => panic!("only the reader refuses it: {e:?}"),
    }
}

fn refused(e: &Error) {
    assert!(matches!(e.code(), Code::Corrupt | Code::UnsupportedVersion), "{e:?}");
}

/// A store that is one object, and its reader.
pub(super) fn open(object: &[u8]) -> (Arc<dyn ObjectStore>, Arc<Reader>) {
    let options =
        ReadOptions { fetch_size: 16 << 10, concurrency: 2, ahead_max: 0, deadline: Duration::from_secs(60) };
    let store: Arc<dyn ObjectStore> = Arc::new(One(Bytes::copy_from_slice(object)));
    let reader = Reader::new(&ENGINE, Shared::of(&ENGINE, false), store.clone(), Vec::new(), options);
    (store, reader)
}

/// An operation that ends in a minute at the latest.
pub(super) fn op() -> Op {
    let defaults = Defaults { deadline: Some(Duration::from_secs(60)), stall: None };
    ENGINE.start(OpKind::Read, "fuzz", &Call::default(), defaults).unwrap()
}

/// The reader on its way to one object.
struct Way(Arc<Reader>);

impl Way {
    fn to(object: &[u8]) -> Way {
        Way(open(object).1)
    }

    fn run<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Reader>, Op, SegmentRef) -> F,
    ) -> Result<T> {
        let op = op();
        let segment = SegmentRef { key: "k".to_owned(), token: None };
        ENGINE.block_on(&op, work(self.0.clone(), op.clone(), segment))
    }

    fn stat(&self) -> Result<Tail> {
        self.run(|reader, op, r| reader.stat(op, r)).map(|stat| stat.tail().clone())
    }

    fn range(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let buffer = LentBuf::owned(len as usize).unwrap();
        let n = self.run(|reader, op, r| reader.read_range(op, r, offset, buffer.clone()))?;
        Ok(buffer.into_bytes().unwrap()[..n].to_vec())
    }

    /// All records from `first` on, batch after batch: one ends in front of damage, which the next call meets.
    fn records(&self, first: u64) -> Result<Vec<Given>> {
        let (mut from, mut given) = (first, Vec::new());
        loop {
            let batch = self.run(|reader, op, r| reader.read_records(op, r, from, 0, 0))?;
            given.extend(batch.records().map(|record| (record.id, record.time_us, record.payload.to_vec())));
            if batch.at_end() {
                return Ok(given);
            }
            assert!(!batch.is_empty() && batch.next_id() > from, "a batch brings the reader no further");
            from = batch.next_id();
        }
    }

    fn attachment(&self, name: &str) -> Result<Vec<u8>> {
        let name = name.to_owned();
        self.run(|reader, op, r| reader.read_attachment(op, r, name)).map(|bytes| bytes.to_vec())
    }

    /// The damage that verifying finds first.
    fn verify(&self) -> Option<Error> {
        let report = self.run(|reader, op, r| reader.verify(op, r)).unwrap();
        report.first_error.inspect(refused)
    }
}

/// A store that is one object.
struct One(Bytes);

impl One {
    fn only_reads<T>() -> Result<T> {
        Err(Error::new(Code::PermissionDenied, "this store is for reading"))
    }
}

impl ObjectStore for One {
    fn uri(&self) -> &str {
        "memory:one"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { atomic_create: true, min_part: 1, max_part: 1, max_parts: 1, dates_by_begin: false }
    }

    fn put<'a>(&'a self, _: &'a Key, _: &'a UploadInfo, _: Arc<dyn Body>) -> BoxFuture<'a, Commit> {
        Box::pin(async { Commit::NotDone(One::only_reads::<()>().unwrap_err()) })
    }

    fn begin<'a>(&'a self, _: &'a Key, _: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>> {
        Box::pin(async { One::only_reads() })
    }

    fn get<'a>(&'a self, _: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>> {
        Box::pin(async move {
            let object_len = self.0.len() as u64;
            let range = range.within(object_len)?;
            let bytes = self.0.slice(range.start as usize..range.end as usize);
            let body = Box::pin(stream::once(async move { Ok(bytes) }));
            Ok(Get { object_len, range, tag: None, body })
        })
    }

    fn head<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, Result<Entry>> {
        Box::pin(async { One::only_reads() })
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
        Box::pin(async { keys.iter().map(|_| One::only_reads()).collect() })
    }

    fn list<'a>(&'a self, _: &'a str, _: Option<&'a str>, _: usize) -> BoxFuture<'a, Result<ListPage>> {
        Box::pin(async { One::only_reads() })
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |kind: u8, seals: u8, edits: &[[u8; 6]]| {
        [&[kind, seals][..], &5000u32.to_le_bytes(), &1006u32.to_le_bytes(), &edits.concat()].concat()
    };
    let mut seeds: Vec<_> = (0..8).map(|kind| seed(kind, 0, &[])).collect();
    for kind in 0..8 {
        // One bit of data, index, header and page table; two blocks; a cut: with right checksums and without.
        for seals in [0, SEALS] {
            seeds.push(seed(kind, seals, &[[8, 3, 40, 0, 0, 0]]));
            seeds.push(seed(kind, seals, &[[0x48, 3, 2, 0, 0, 0]]));
            seeds.push(seed(kind, seals, &[[0x68, 3, 20, 0, 0, 0]]));
            seeds.push(seed(kind, seals, &[[0xB2, 1, 4, 0, 0, 0]]));
            seeds.push(seed(kind, seals, &[[28, 2, 0, 0, 0, 0]]));
            seeds.push(seed(kind, seals, &[[0xFA, 0, 9, 1, 0, 0]]));
        }
    }
    seeds
}
