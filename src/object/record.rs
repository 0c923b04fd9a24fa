//! Record mode: cutting records into blocks, and finding them in a block again.
//!
//! Invariant: ids increase strictly, within a block and from block to block; a record never spans
//! blocks. A block says its own length and number of records, so a decompressed stream can be
//! walked without the index.
//!
//! Trade-off: records have no offsets of their own, a search walks the block: some microseconds
//! for 256 KiB, against 4 bytes a record in every object.

use std::ops::Range;

use super::{
    content::{ContentDigest, ContentIdentity},
    limits,
    span::RecordSpan,
    wire::{Reader, corrupt, put},
};
use crate::{
    codec::varint,
    error::{Code, Error, Result},
};

const MAGIC: &[u8; 4] = b"SLRB";
/// Magic, raw length, count, first id, first time.
const HEADER: usize = 28;
const COUNT_AT: usize = 8;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// It is in the block.
    Fits,
    /// It is not: the block is full. Finish the block and append the record again.
    Full,
}

/// Cuts records into blocks and keeps the identity of their content.
#[derive(Clone, Debug)]
pub struct RecordBlockBuilder {
    block_size: usize,
    raw: Vec<u8>,
    span: Option<RecordSpan>,
    last_id: Option<u64>,
    last_time: i64,
    content: ContentDigest,
}

impl RecordBlockBuilder {
    /// A builder of blocks that aim at `block_size` raw bytes.
    pub fn new(block_size: u32) -> Self {
        RecordBlockBuilder {
            block_size: block_size as usize,
            raw: Vec::new(),
            span: None,
            last_id: None,
            last_time: 0,
            content: ContentDigest::new(),
        }
    }

    /// Adds a record: its id, its time in microseconds since 1970 UTC, its payload.
    ///
    /// A record that does not fit the rest of the block is not taken (`Full`); an empty block
    /// takes any. `INVALID_ARGUMENT` if the id is not greater than the last one or the payload
    /// longer than 64 MiB, `RESOURCE_EXHAUSTED` if memory is short; the record is not taken then.
    pub fn append(&mut self, id: u64, time_us: i64, payload: &[u8]) -> Result<Append> {
        if let Some(last) = self.last_id.filter(|&last| id <= last) {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("record {id} follows record {last}; ids must increase"),
            ));
        }
        if payload.len() > limits::MAX_PAYLOAD {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("record {id} has {} bytes; the limit is 64 MiB", payload.len()),
            ));
        }
        let (id_delta, time_delta) = match self.span {
            Some(span) => (id - span.last_id, varint::zigzag(time_us.wrapping_sub(self.last_time))),
            None => (0, 0),
        };
        let payload_len = payload.len() as u64;
        let head = varint::len(id_delta) + varint::len(time_delta) + varint::len(payload_len);
        let header = if self.span.is_some() { 0 } else { HEADER };
        let need = header + head + payload.len();
        if self.span.is_some() && self.raw.len() + need > self.block_size {
            return Ok(Append::Full);
        }
        self.raw.try_reserve(need).map_err(|_| {
            Error::new(Code::ResourceExhausted, format!("no memory for record {id} of {payload_len} bytes"))
        })?;
        if self.span.is_none() {
            self.raw.extend_from_slice(MAGIC);
            put!(self.raw, 0u32, 0u32, id, time_us);
        }
        varint::put(&mut self.raw, id_delta);
        varint::put(&mut self.raw, time_delta);
        varint::put(&mut self.raw, payload_len);
        self.raw.extend_from_slice(payload);

        let follows = RecordSpan::join(&mut self.span, &RecordSpan::of(id, time_us));
        debug_assert!(follows, "the id was compared above");
        self.last_id = Some(id);
        self.last_time = time_us;
        self.content.record(id, time_us, payload);
        Ok(Append::Fits)
    }

    /// Raw bytes of the open block, 0 if it has no record.
    pub fn open_len(&self) -> usize {
        self.raw.len()
    }

    /// Ends the block: `raw` becomes its raw bytes and gives its allocation to the next block.
    /// `None` if there is no record; `raw` is empty then.
    pub fn finish(&mut self, raw: &mut Vec<u8>) -> Option<RecordSpan> {
        raw.clear();
        let span = self.span.take()?;
        let (len, count) = (self.raw.len() as u32, span.count as u32);
        self.raw[4..8].copy_from_slice(&len.to_le_bytes());
        self.raw[COUNT_AT..12].copy_from_slice(&count.to_le_bytes());
        std::mem::swap(&mut self.raw, raw);
        Some(span)
    }

    /// The identity of all records that were taken so far, however they were cut.
    pub fn content(&self) -> ContentIdentity {
        self.content.identity()
    }
}

/// A record in a block's raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Unique in the segment, greater than that of the record before.
    pub id: u64,
    /// Microseconds since 1970 UTC.
    pub time_us: i64,
    /// Where its payload lies in the block's raw bytes.
    pub payload: Range<usize>,
}

/// A block of records whose header has been checked.
#[derive(Clone, Copy, Debug)]
pub struct RecordBlock<'a> {
    raw: &'a [u8],
    count: u32,
    first_id: u64,
    first_time: i64,
    /// As the index says, if it was asked.
    last_id: Option<u64>,
}

impl<'a> RecordBlock<'a> {
    /// The block at the start of `raw`, which may go on with others.
    ///
    /// `CORRUPT` if there is none. The records themselves are checked as they are walked.
    pub fn parse(raw: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(raw, "record block");
        if reader.array()? != *MAGIC {
            return Err(corrupt("a record block does not begin with its magic"));
        }
        let (len, count) = (reader.u32()? as usize, reader.u32()?);
        let (first_id, first_time) = (reader.u64()?, reader.i64()?);
        if len < HEADER || len > raw.len() || count == 0 {
            return Err(corrupt(format!(
                "a record block claims {count} records in {len} bytes, {} are there",
                raw.len()
            )));
        }
        Ok(RecordBlock { raw: &raw[..len], count, first_id, first_time, last_id: None })
    }

    /// The block, whose last record must have this id: else whoever goes on behind it would leave out records of the next
    /// block, or read on for ever.
    pub(super) fn ending_with(self, last_id: u64) -> Self {
        RecordBlock { last_id: Some(last_id), ..self }
    }

    /// Raw bytes that the block at the start of `raw` claims to have, of which the first 28 must be there. `None` if no
    /// block begins there.
    pub fn claimed_len(raw: &[u8]) -> Option<u32> {
        let len = raw.get(4..8).filter(|_| raw.starts_with(MAGIC) && raw.len() >= HEADER)?;
        let len = u32::from_le_bytes(*len.first_chunk()?);
        (len as usize > HEADER).then_some(len)
    }

    /// Raw bytes of the block; the next one begins there.
    #[allow(clippy::len_without_is_empty, reason = "a block has at least its header")]
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Number of records, at least 1.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Id of the first record.
    pub fn first_id(&self) -> u64 {
        self.first_id
    }

    /// Time of the first record in microseconds since 1970 UTC.
    pub fn first_time(&self) -> i64 {
        self.first_time
    }

    /// Its records from the first on.
    pub fn records(&self) -> Records<'a> {
        Records {
            raw: self.raw,
            at: HEADER,
            left: self.count,
            id: self.first_id,
            time: self.first_time,
            first: true,
            last_id: self.last_id,
        }
    }

    /// Its records from the first one with `id` or a greater one on; none if all are smaller.
    ///
    /// `CORRUPT` if the block is damaged in front of it.
    pub fn seek(&self, id: u64) -> Result<Records<'a>> {
        let mut records = self.records();
        loop {
            let here = records.clone();
            match records.next() {
                Some(Ok(record)) if record.id < id => {}
                Some(Err(e)) => return Err(e),
                _ => return Ok(here),
            }
        }
    }
}

/// Walks the records of a block. The first error is the last item.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    raw: &'a [u8],
    at: usize,
    left: u32,
    /// Of the record before; of the first record in front of it.
    id: u64,
    time: i64,
    first: bool,
    last_id: Option<u64>,
}

impl Records<'_> {
    fn decode(&mut self) -> Option<Record> {
        let mut field = || {
            let (value, len) = varint::get(&self.raw[self.at..])?;
            self.at += len;
            Some(value)
        };
        let (id, time, payload_len) = (field()?, field()?, field()?);
        // The first record repeats the header (both deltas are 0), all others have a greater id.
        if self.first != (id == 0) || (self.first && time != 0) {
            return None;
        }
        self.first = false;
        self.id = self.id.checked_add(id)?;
        self.time = self.time.wrapping_add(varint::unzigzag(time));
        let end = self.at.checked_add(usize::try_from(payload_len).ok()?)?;
        let is_last = self.left == 1;
        let ends_elsewhere = end < self.raw.len() || self.last_id.is_some_and(|last| last != self.id);
        if end > self.raw.len() || (is_last && ends_elsewhere) {
            return None;
        }
        let payload = self.at..end;
        self.at = end;
        Some(Record { id: self.id, time_us: self.time, payload })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        match self.decode() {
            Some(record) => {
                self.left -= 1;
                Some(Ok(record))
            }
            None => {
                self.left = 0;
                Some(Err(corrupt(format!(
                    "the record behind record {} is damaged (byte {} of its block)",
                    self.id, self.at
                ))))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left as usize))
    }
}

impl std::iter::FusedIterator for Records<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of two records whose encoded fields are given: id delta, time delta, payload length.
    fn block(records: [[u64; 3]; 2], behind: usize) -> Vec<u8> {
        let mut raw = MAGIC.to_vec();
        put!(raw, 0u32, 2u32, 7u64, 50i64);
        for fields in records {
            for field in fields {
                varint::put(&mut raw, field);
            }
            raw.extend(vec![b'p'; fields[2].min(4) as usize]);
        }
        raw.extend(vec![0; behind]);
        let len = raw.len() as u32;
        raw[4..8].copy_from_slice(&len.to_le_bytes());
        raw
    }

    fn ids(raw: &[u8]) -> Result<Vec<u64>> {
        RecordBlock::parse(raw)?.records().map(|record| record.map(|record| record.id)).collect()
    }

    #[test]
    fn a_block_whose_records_break_a_rule_is_corrupt() {
        let (first, second) = ([0, 0, 4], [3, 1, 2]);
        assert_eq!(ids(&block([first, second], 0)).unwrap(), [7, 10]);
        for (what, raw) in [
            ("the first id is not that of the header", block([[1, 0, 4], second], 0)),
            ("the first time is not that of the header", block([[0, 1, 4], second], 0)),
            ("an id occurs twice", block([first, [0, 1, 2]], 0)),
            ("an id runs past 64 bits", block([first, [u64::MAX - 6, 1, 2]], 0)),
            ("a payload runs past the block", block([first, [3, 1, 5]], 0)),
            ("a payload is longer than memory", block([first, [3, 1, u64::MAX]], 0)),
            ("bytes are left behind the last record", block([first, second], 1)),
        ] {
            assert_eq!(ids(&raw).map_err(|e| e.code()), Err(Code::Corrupt), "{what}");
            let walked = RecordBlock::parse(&raw).unwrap().records().count();
            assert!(walked <= 2, "{what}: the walk ends with the error");
        }
    }

    #[test]
    fn a_block_whose_header_breaks_a_rule_is_corrupt() {
        let good = block([[0, 0, 4], [3, 1, 2]], 0);
        for (at, value) in [(0, 0u32), (4, 27), (4, good.len() as u32 + 1), (8, 0)] {
            let mut raw = good.clone();
            raw[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert_eq!(
                RecordBlock::parse(&raw).err().map(|e| e.code()),
                Some(Code::Corrupt),
                "{value} at {at}"
            );
        }
        for len in 0..good.len() {
            assert!(RecordBlock::parse(&good[..len]).is_err(), "cut at {len}");
        }
    }
}
