//! Records: from an id on, as many as asked for, without a copy.
//!
//! The batch keeps the blocks alive that its records lie in, so a record is a slice of a block of the cache. All
//! blocks count as lent. A batch that would pass `memory.lent.limit` ends early instead of failing, as long as it
//! has a record; `next_id` says where to read on, as always.

use super::{Reader, SegmentRef, range::How, segment::Segment};
use crate::{
    engine::{Op, Reservation},
    error::{Code, Error, Result},
    metrics::Form,
    object::{Block, Mode},
};
use ::bytes::Bytes;
use std::{fmt, ops::Range, sync::Arc};

/// A record of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Unique in the segment, greater than that of the record before.
    pub id: u64,
    /// µs since 1970 UTC.
    pub time_us: i64,
    /// What the host wrote.
    pub payload: &'a [u8],
}

/// Records in the order of their ids. Immutable; a clone shares the memory, which counts as lent until the last one
/// is dropped. Outlives its driver.
#[derive(Clone)]
pub struct RecordBatch(Arc<Held>);

struct Held {
    blocks: Vec<(Bytes, Reservation)>,
    records: Vec<Place>,
    next_id: u64,
    at_end: bool,
}

/// Where a record lies: 32 bytes each.
struct Place {
    id: u64,
    time_us: i64,
    block: u32,
    start: u32,
    len: u32,
}

impl RecordBatch {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.0.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.records.is_empty()
    }

    /// The record at `index`, counted from 0.
    pub fn get(&self, index: usize) -> Option<RecordView<'_>> {
        let Place { id, time_us, block, start, len } = self.0.records.get(index)?;
        let (block, _) = self.0.blocks.get(*block as usize)?;
        let payload = block.get(*start as usize..(*start + *len) as usize)?;
        Some(RecordView { id: *id, time_us: *time_us, payload })
    }

    /// All of them, in order.
    pub fn records(&self) -> impl Iterator<Item = RecordView<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Where to read on: the id of the last record + 1, or the id that was asked for if there is none.
    pub fn next_id(&self) -> u64 {
        self.0.next_id
    }

    /// Whether the segment has no later record.
    pub fn at_end(&self) -> bool {
        self.0.at_end
    }
}

impl fmt::Debug for RecordBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Held { next_id, at_end, .. } = &*self.0;
        write!(f, "RecordBatch({} records, next {next_id}, at end: {at_end})", self.len())
    }
}

impl Reader {
    /// Records from the first one whose id is `first` or greater: at most `max_records`, payloads of at most
    /// `max_bytes` together, but always one if there is any. 0 is no limit of one's own for either; the limit of lent
    /// memory remains.
    ///
    /// Behind the last record the batch is empty and `at_end`. A batch ends in front of a damaged block or index
    /// page; a call that begins there is `CORRUPT`. `INVALID_ARGUMENT` for a segment of bytes, `RESOURCE_EXHAUSTED` where not one block fits `memory.lent.limit`, and the errors of
    /// [`read_range`](Reader::read_range).
    pub async fn read_records(
        self: Arc<Self>,
        op: Op,
        r: SegmentRef,
        first: u64,
        max_records: u64,
        max_bytes: u64,
    ) -> Result<RecordBatch> {
        let segment = self.find(&op, &r).await?;
        if segment.tail().mode() != Mode::Records {
            let what = format!("segment \"{}\" holds bytes, not records; read it by offset", segment.key());
            return Err(Error::new(Code::InvalidArgument, what));
        }
        let flags = op.call().flags;
        let limits = Limits { records: no_limit(max_records), bytes: no_limit(max_bytes) };
        let mut batch = Batch { limits, from: first, ..Batch::default() };
        let mut covered: Option<Range<u64>> = None;
        let mut one_by_one = false;
        while !batch.full {
            let mut blocks = match self.next_blocks(&op, &segment, &batch).await {
                // Of a damaged index page nobody knows its blocks: it ends a batch as a damaged block does.
                Err(e) if e.code() == Code::Corrupt && !batch.records.is_empty() => break,
                blocks => blocks?,
            };
            if blocks.is_empty() {
                break;
            }
            if one_by_one {
                blocks.truncate(1);
            }
            let loaded = match self.blocks(&op, &segment, blocks.clone(), How::blocks(&flags)).await {
                // What stands in front of a damaged block is handed out; the error is for who asks for more.
                Err(e) if e.code() == Code::Corrupt && blocks.len() > 1 => {
                    one_by_one = true;
                    continue;
                }
                Err(e) if e.code() == Code::Corrupt && !batch.records.is_empty() => break,
                loaded => loaded?,
            };
            for block in &blocks {
                covered = Some(covered.map_or(block.raw.start, |c| c.start)..block.raw.end);
            }
            for (block, bytes) in blocks.iter().zip(loaded) {
                if batch.full {
                    break;
                }
                let lent = match self.lend(block.raw_len()) {
                    Err(e) if batch.records.is_empty() => return Err(e),
                    Err(_) => {
                        batch.full = true;
                        break;
                    }
                    Ok(lent) => lent,
                };
                batch.take(&segment, block, bytes, lent)?;
                op.progress(block.raw_len() as u64);
            }
        }
        if let Some(raw) = covered {
            self.go_on_ahead(segment.tail(), &raw, &flags, || Ok(segment.clone()));
        }
        let last = segment.tail().records().map(|span| span.last_id);
        let at_end = last.is_none_or(|last| batch.from > last || batch.last == Some(last));
        self.shared.count(Form::Raw, batch.bytes);
        let Batch { blocks, records, from: next_id, .. } = batch;
        Ok(RecordBatch(Arc::new(Held { blocks, records, next_id, at_end })))
    }

    /// The blocks that the batch needs next, as far as the index can tell, but not too many at one time.
    async fn next_blocks(&self, op: &Op, segment: &Segment, batch: &Batch) -> Result<Vec<Block>> {
        let mut blocks = Vec::new();
        if batch.last == Some(u64::MAX) {
            return Ok(blocks);
        }
        let Some(n) = segment.tail().page_of_record(batch.from) else { return Ok(blocks) };
        let page = self.page(op, segment, n).await?;
        let Some(first) = page.block_of_record(batch.from) else { return Ok(blocks) };
        // One request's worth at a time: a batch that ends early has not fetched much too much.
        let most = (self.options.fetch_size as u64).min(batch.limits.bytes.saturating_sub(batch.bytes));
        let (mut raw, mut records) = (0, batch.records.len() as u64);
        for block in page.blocks_from(first.number) {
            if raw >= most || records >= batch.limits.records {
                break;
            }
            raw += block.raw_len() as u64;
            // Some records of the first block may lie in front of the one that is wanted.
            if !blocks.is_empty() {
                records += block.records.map_or(0, |span| span.count);
            }
            blocks.push(block);
        }
        if blocks.is_empty() {
            blocks.push(first);
        }
        Ok(blocks)
    }
}

fn no_limit(n: u64) -> u64 {
    if n == 0 { u64::MAX } else { n }
}

#[derive(Default)]
struct Limits {
    records: u64,
    bytes: u64,
}

/// A batch in the making.
#[derive(Default)]
struct Batch {
    limits: Limits,
    blocks: Vec<(Bytes, Reservation)>,
    records: Vec<Place>,
    /// Payload bytes so far.
    bytes: u64,
    /// The least id that may come next.
    from: u64,
    /// The id of the last record so far.
    last: Option<u64>,
    /// A limit was reached.
    full: bool,
}

impl Batch {
    /// Takes the records of a block, from the next one wanted on, up to the limits.
    fn take(&mut self, segment: &Segment, block: &Block, bytes: Bytes, lent: Reservation) -> Result<()> {
        let (number, before) = (self.blocks.len() as u32, self.records.len());
        for record in segment.tail().record_block(block, &bytes)?.seek(self.from)? {
            let record = record
                .map_err(|e| e.context(format_args!("block {} of object {}", block.number, segment.id())))?;
            let len = record.payload.len() as u64;
            let one_more = self.records.len() as u64 + 1;
            let fits = one_more <= self.limits.records && self.bytes.saturating_add(len) <= self.limits.bytes;
            if !fits && !self.records.is_empty() {
                self.full = true;
                break;
            }
            self.bytes += len;
            self.from = record.id.saturating_add(1);
            self.last = Some(record.id);
            self.records.push(Place {
                id: record.id,
                time_us: record.time_us,
                block: number,
                start: record.payload.start as u32,
                len: len as u32,
            });
        }
        if self.records.len() == before && !self.full {
            // The index led here, so it claims an id that no record has; it would lead here for ever.
            let what = format!(
                "block {} of object {} has no record from id {} on, but its index says so",
                block.number,
                segment.id(),
                self.from
            );
            return Err(Error::new(Code::Corrupt, what));
        }
        self.full |= self.records.len() as u64 >= self.limits.records || self.bytes >= self.limits.bytes;
        self.blocks.push((bytes, lent));
        Ok(())
    }
}
