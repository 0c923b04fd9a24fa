//! One block's entry in an index page: the encoding, and beside it its inverse.
//!
//! Invariant: a page decodes without its neighbours, because the first entry of a page starts
//! from nothing. What follows from mode, codec and block size is not stored.

use super::{
    block::BlockEntry,
    content::Mode,
    limits,
    span::RecordSpan,
    wire::{Reader, corrupt, put},
};
use crate::{
    codec::{Codec, varint},
    error::Result,
};

/// Encodes or decodes the entries of one page in their order.
#[derive(Clone)]
pub(super) struct EntryCoder {
    mode: Mode,
    codec: Codec,
    /// The records of the block before.
    previous: Option<RecordSpan>,
}

impl EntryCoder {
    /// At the start of a page.
    pub fn new(mode: Mode, codec: Codec) -> Self {
        EntryCoder { mode, codec, previous: None }
    }

    /// The fewest bytes that an entry takes: its CRC32C and one byte for each varint.
    pub fn least_len(mode: Mode, codec: Codec) -> usize {
        4 + usize::from(codec == Codec::Zstd) + if mode == Mode::Records { 6 } else { 0 }
    }

    /// Appends an entry that follows the one before; [`EntryCoder::follow`] makes it that.
    pub fn encode(&self, entry: &BlockEntry, out: &mut Vec<u8>) {
        if self.codec == Codec::Zstd {
            varint::put(out, entry.stored_len.into());
        }
        if let Some(span) = entry.records {
            let (next_id, time) = self.previous.map_or((0, 0), |p| (p.last_id + 1, p.min_time));
            varint::put(out, entry.raw_len.into());
            varint::put(out, span.first_id - next_id);
            varint::put(out, span.count - 1);
            varint::put(out, span.last_id - span.first_id - (span.count - 1));
            varint::put(out, varint::zigzag(span.min_time.wrapping_sub(time)));
            varint::put(out, span.max_time.abs_diff(span.min_time));
        }
        put!(out, entry.crc32c);
    }

    /// Makes `entry` the one before.
    pub fn follow(&mut self, entry: &BlockEntry) {
        self.previous = entry.records;
    }

    /// The next entry; `byte_len` is the block's raw length if the mode makes it arithmetic.
    pub fn decode(&mut self, reader: &mut Reader<'_>, byte_len: u32) -> Result<BlockEntry> {
        let stored_len = if self.codec == Codec::Zstd { Some(reader.varint()?) } else { None };
        let raw_len = if self.mode == Mode::Records { reader.varint()? } else { byte_len.into() };
        if raw_len == 0 || raw_len > limits::MAX_RAW_BLOCK.into() {
            return Err(corrupt(format!("a block of {raw_len} raw bytes is outside the limits")));
        }
        let stored_len = stored_len.unwrap_or(raw_len);
        if stored_len == 0 || stored_len > self.codec.max_stored_len(raw_len) {
            return Err(corrupt(format!(
                "a block of {raw_len} raw bytes cannot be {stored_len} stored bytes"
            )));
        }
        let records = match self.mode {
            Mode::Bytes => None,
            Mode::Records => {
                let span = self.decode_span(reader)?;
                // The smallest record takes three bytes; so a block's count fits 32 bits too.
                if span.count > raw_len / 3 {
                    return Err(corrupt(format!(
                        "{} records do not fit a block of {raw_len} bytes",
                        span.count
                    )));
                }
                Some(span)
            }
        };
        let entry = BlockEntry {
            raw_len: raw_len as u32,
            stored_len: stored_len as u32,
            crc32c: reader.u32()?,
            records,
        };
        self.follow(&entry);
        Ok(entry)
    }

    fn decode_span(&self, reader: &mut Reader<'_>) -> Result<RecordSpan> {
        let gap = reader.varint()?;
        let more = reader.varint()?;
        let missing = reader.varint()?;
        let time = varint::unzigzag(reader.varint()?);
        let time_span = reader.varint()?;
        let span = || {
            let (next_id, base) = match self.previous {
                Some(p) => (p.last_id.checked_add(1)?, p.min_time),
                None => (0, 0),
            };
            let first_id = next_id.checked_add(gap)?;
            let min_time = base.wrapping_add(time);
            Some(RecordSpan {
                count: more.checked_add(1)?,
                first_id,
                last_id: first_id.checked_add(more)?.checked_add(missing)?,
                min_time,
                max_time: min_time.checked_add_unsigned(time_span)?,
            })
        };
        span().ok_or_else(|| corrupt("ids or times of a block run past 64 bits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    /// Decodes an entry of record mode with zstd from its seven varints.
    fn decode(fields: [u64; 7], previous: Option<RecordSpan>) -> Result<BlockEntry> {
        let mut bytes = Vec::new();
        for field in fields {
            varint::put(&mut bytes, field);
        }
        put!(bytes, 0xC0FFEEu32);
        let mut coder = EntryCoder { mode: Mode::Records, codec: Codec::Zstd, previous };
        coder.decode(&mut Reader::new(&bytes, "test"), 0)
    }

    #[test]
    fn an_entry_outside_the_limits_is_corrupt() {
        let good = [100, 300, 5, 9, 0, 0, 0];
        assert_eq!(
            decode(good, None).unwrap().records.map(|span| (span.first_id, span.last_id)),
            Some((5, 14))
        );
        let max = u64::from(limits::MAX_RAW_BLOCK);
        let bound = Codec::Zstd.max_stored_len(300);
        for (field, value) in [
            (0, 0),
            (0, bound + 1),
            (0, u64::MAX),
            (1, 0),
            (1, max + 1),
            (1, u64::MAX),
            (3, 100),
            (3, u64::MAX),
            (4, u64::MAX),
            (6, u64::MAX),
        ] {
            let mut bad = good;
            bad[field] = value;
            let code = decode(bad, None).map_err(|e| e.code());
            assert_eq!(code, Err(Code::Corrupt), "field {field} = {value}");
        }
        let last = RecordSpan::of(u64::MAX, 0);
        assert!(decode(good, Some(last)).is_err(), "no id follows the greatest one");
        assert!(decode([bound, 300, 5, 99, 0, 0, 0], None).is_ok(), "the limits themselves are fine");
    }
}
