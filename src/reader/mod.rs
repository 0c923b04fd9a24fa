//! Reading: range -> tail -> pages -> blocks -> cache -> store -> verify.
//!
//! Purpose: any range, record or attachment of a segment, from the caller's point of view a `pread`: no handle, no
//! position, any number of threads on one segment. What makes it quick (cache, single flight, read-ahead) is
//! shared by all readers of an engine and keyed by object UUID, so that no reader owns a buffer or a state.
//!
//! Invariant: **a caller never sees a byte that was not verified since it left the store.** A block passes its CRC32C
//! and its codec before it is handed over or kept; what fails is fetched once more past the cache, then the read is
//! `CORRUPT`. Nothing is written into a lent buffer once its call has returned, because the buffer itself refuses.
//!
//! Trade-off: the unit is the block. A read of one byte fetches and checks 64 to 256 KiB, because a checksum for less
//! would make the index as large as the data of small records; the rest of the block stays in the cache for the
//! read that nearly always follows.
//!
//! | file | its thing |
//! |---|---|
//! | `locate` | from a reference to the tail |
//! | `cached` | the reads that memory alone answers, on the caller's thread |
//! | `range` | from a range to blocks: memory, flights, requests |
//! | `fetch` | one request, and its blocks one by one to their places |
//! | `fill` | what goes into the cache whoever asked for it: tails, pages, blocks, read-ahead |
//! | `ahead` | who reads on, and how far ahead of him to fetch |
//! | `segment`, `shared` | a segment that was found; what the readers of an engine have in common |
//! | `bytes`, `records`, `attachment`, `stat`, `verify` | what else can be asked, and how it is handed out |
//! | `damage` | what `verify` found, and where |

mod ahead;
mod attachment;
mod bytes;
mod cached;
mod damage;
mod fetch;
mod fill;
mod locate;
mod range;
mod records;
mod segment;
mod shared;
mod stat;
mod verify;

pub(crate) use self::verify::Gently;
pub use self::{
    bytes::SegmentBytes,
    damage::{Damage, Part, VerifyReport},
    records::{RecordBatch, RecordView},
    shared::{Shared, Value},
    stat::Stat,
};

use self::{
    ahead::Hint,
    range::How,
    segment::{Place, Segment},
};
use crate::{
    buf::LentBuf,
    codec::Codec,
    config::Settings,
    engine::{CallFlags, Engine, Op},
    error::{Code, Error, Result},
    metrics::Form,
    object::Tail,
    store::{GetRange, Key, ObjectStore, fingerprint},
};
use std::{ops::Range, sync::Arc, time::Duration};

/// Which segment: its key and, if the host kept it, the token of its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRef {
    /// The segment's key.
    pub key: String,
    /// The token as the receipt had it. It saves a request for each read.
    pub token: Option<Vec<u8>>,
}

/// The settings that reading has.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// `read.fetch.size`: stored bytes of one request at most; a single block may be larger.
    pub fetch_size: usize,
    /// `read.concurrency`: requests of one read at a time, at least 1.
    pub concurrency: usize,
    /// `read.ahead.max`: bytes to fetch ahead of a reader that goes on, at most; 0 is off.
    pub ahead_max: u64,
    /// `deadline.read`: what a request for the cache may take, whoever waits for it.
    pub deadline: Duration,
}

impl From<&Settings> for ReadOptions {
    fn from(settings: &Settings) -> Self {
        ReadOptions {
            fetch_size: settings.read_fetch_size,
            concurrency: settings.read_concurrency,
            ahead_max: settings.read_ahead_max as u64,
            deadline: settings.deadline_read,
        }
    }
}

/// Reads the segments of one store. Any number of threads may use one.
pub struct Reader {
    engine: Engine,
    shared: Arc<Shared>,
    /// The driver's own store first, then the earlier ones.
    places: Vec<Place>,
    options: ReadOptions,
}

impl Reader {
    /// A reader of `store`; receipts of `previous` stores are followed there.
    pub fn new(
        engine: &Engine,
        shared: Arc<Shared>,
        store: Arc<dyn ObjectStore>,
        previous: Vec<Arc<dyn ObjectStore>>,
        options: ReadOptions,
    ) -> Arc<Reader> {
        let place = |store: Arc<dyn ObjectStore>| Place { fingerprint: fingerprint(store.uri()), store };
        let places = std::iter::once(store).chain(previous).map(place).collect();
        Arc::new(Reader { engine: engine.clone(), shared, places, options })
    }

    /// Fills `dest` with the bytes of the segment from `offset` on; fewer only at its end. Returns how many. In record
    /// mode the segment is its raw blocks, what `zstd -d` of the object gives.
    ///
    /// `OUT_OF_RANGE` where `offset` lies behind the end (at the end there are 0 bytes), `NOT_FOUND`, `CORRUPT`,
    /// `WRONG_STORE`, and what the store or the budget says.
    pub async fn read_range(
        self: Arc<Self>,
        op: Op,
        r: SegmentRef,
        offset: u64,
        dest: LentBuf,
    ) -> Result<usize> {
        let segment = self.find(&op, &r).await?;
        let len = u64::try_from(dest.len()).unwrap_or(u64::MAX);
        let raw = clip(segment.tail().segment_len(), offset, len)?;
        let len = (raw.end - raw.start) as usize;
        op.set_total(len as u64);
        let Some(mut whole) = dest.whole().filter(|_| len > 0) else { return Ok(0) };
        let flags = op.call().flags;
        self.go_on_ahead(segment.tail(), &raw, &flags, || Ok(segment.clone()));
        self.read_into(&op, &segment, raw, whole.split_to(len), How::of(len as u64, &flags)).await?;
        self.shared.count(Form::Raw, len as u64);
        Ok(len)
    }

    /// The same bytes in the library's memory; without a copy where one block holds them. Fewer than `len` only at the
    /// end of the segment.
    ///
    /// The errors of [`read_range`](Reader::read_range), and `RESOURCE_EXHAUSTED` where the host holds as much as
    /// `memory.lent.limit` allows.
    pub async fn read_range_bytes(
        self: Arc<Self>,
        op: Op,
        r: SegmentRef,
        offset: u64,
        len: u64,
    ) -> Result<SegmentBytes> {
        let segment = self.find(&op, &r).await?;
        let raw = clip(segment.tail().segment_len(), offset, len)?;
        op.set_total(raw.end - raw.start);
        if raw.is_empty() {
            return Ok(SegmentBytes::empty());
        }
        let flags = op.call().flags;
        self.go_on_ahead(segment.tail(), &raw, &flags, || Ok(segment.clone()));
        if let Some(block) = self.block_that_holds(&op, &segment, &raw).await? {
            let lent = self.lend(block.raw_len())?;
            let part = (raw.start - block.raw.start) as usize..(raw.end - block.raw.start) as usize;
            let blocks = self.blocks(&op, &segment, vec![block], How::blocks(&flags)).await?;
            return match blocks.into_iter().next() {
                Some(bytes) => {
                    self.shared.count(Form::Raw, part.len() as u64);
                    Ok(SegmentBytes::new(bytes.slice(part), lent))
                }
                None => Err(Error::new(Code::Internal, "a block was asked for and none came")),
            };
        }
        let len = raw.end - raw.start;
        let lent = self.lend(usize::try_from(len).unwrap_or(usize::MAX))?;
        let buffer = LentBuf::owned(len as usize)?;
        if let Some(whole) = buffer.whole() {
            self.read_into(&op, &segment, raw, whole, How::of(len, &flags)).await?;
        }
        let bytes = buffer
            .into_bytes()
            .ok_or_else(|| Error::new(Code::Internal, "a buffer of our own was taken away"))?;
        self.shared.count(Form::Raw, len);
        Ok(SegmentBytes::new(bytes, lent))
    }

    /// What the tail says.
    pub async fn stat(self: Arc<Self>, op: Op, r: SegmentRef) -> Result<Stat> {
        Ok(Stat::new(&self.find(&op, &r).await?))
    }

    /// Bytes of the object as they are stored, whether it is one of ours or not; fewer than `len` only at its end.
    ///
    /// `OUT_OF_RANGE` where `offset` lies behind the end, `RESOURCE_EXHAUSTED` at the limit of `memory.lent.limit`.
    pub async fn object_range(
        self: Arc<Self>,
        op: Op,
        key: String,
        offset: u64,
        len: u64,
    ) -> Result<SegmentBytes> {
        let key = Key::new(&key)?;
        if len == 0 {
            return Ok(SegmentBytes::empty());
        }
        op.stage("object");
        op.guard(async {
            let range = GetRange::Range(offset..offset.saturating_add(len));
            let get = self.places[0].get(&key, range).await?;
            let lent = self.lend(usize::try_from(get.range.end - get.range.start).unwrap_or(usize::MAX))?;
            Ok(SegmentBytes::new(get.collect().await?.into(), lent))
        })
        .await
    }

    /// Starts to fetch what the reader of `raw` will ask for next, if positions or `flags` show that it reads on.
    fn go_on_ahead(
        self: &Arc<Self>,
        tail: &Tail,
        raw: &Range<u64>,
        flags: &CallFlags,
        segment: impl FnOnce() -> Result<Segment>,
    ) {
        let hint = match (flags.random || flags.no_cache, flags.sequential) {
            (true, _) => Hint::Random,
            (false, true) => Hint::Sequential,
            (false, false) => Hint::None,
        };
        let max = self.options.ahead_max.min(self.shared.ahead_limit());
        // Without a codec a request brings as many bytes of the segment as it has itself.
        let request = if tail.codec() == Codec::None { self.options.fetch_size as u64 } else { u64::MAX };
        let next = self.shared.ahead.note(tail.id(), raw.clone(), tail.segment_len(), hint, max, request);
        if let Some(next) = next
            && let Ok(segment) = segment()
        {
            let reader = self.clone();
            // Each of its requests has a deadline of its own.
            self.engine.spawn_detached(None, async move { reader.fetch_ahead(&segment, next).await });
        }
    }
}

/// The part of `len` bytes from `offset` on that a segment of `segment_len` bytes has.
fn clip(segment_len: u64, offset: u64, len: u64) -> Result<Range<u64>> {
    if offset > segment_len {
        let what =
            format!("offset {offset} lies behind the end of the segment, which has {segment_len} bytes");
        return Err(Error::new(Code::OutOfRange, what));
    }
    Ok(offset..segment_len.min(offset.saturating_add(len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_the_end_and_refused_behind_it() {
        assert_eq!(clip(10, 0, 5).unwrap(), 0..5);
        assert_eq!(clip(10, 8, 5).unwrap(), 8..10);
        assert_eq!(clip(10, 10, 5).unwrap(), 10..10);
        assert_eq!(clip(10, 3, u64::MAX).unwrap(), 3..10);
        assert_eq!(clip(0, 0, 1).unwrap(), 0..0);
        assert_eq!(clip(10, 11, 0).unwrap_err().code(), Code::OutOfRange);
        assert_eq!(clip(10, u64::MAX, u64::MAX).unwrap_err().code(), Code::OutOfRange);
    }
}
