//! What a run of records covers: of a block, of an index page, or of a segment.

use std::cmp;

use super::wire::{Reader, put};
use crate::error::Result;

/// The records of a block, a page or a segment: how many, which ids, which times.
///
/// Times are bounds, not those of the first and last record: brokers' clocks step back, and a
/// search by time needs bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSpan {
    /// Number of records, at least 1.
    pub count: u64,
    /// Id of the first record.
    pub first_id: u64,
    /// Id of the last record; the ids between may have gaps.
    pub last_id: u64,
    /// Least time, in microseconds since 1970 UTC.
    pub min_time: i64,
    /// Greatest time, in microseconds since 1970 UTC.
    pub max_time: i64,
}

impl RecordSpan {
    /// Encoded length in bytes.
    pub(super) const LEN: usize = 40;

    /// The span of one record.
    pub(super) fn of(id: u64, time: i64) -> Self {
        RecordSpan { count: 1, first_id: id, last_id: id, min_time: time, max_time: time }
    }

    /// Whether it can describe records at all.
    pub(super) fn is_possible(&self) -> bool {
        self.count > 0
            && self.min_time <= self.max_time
            && self.last_id.checked_sub(self.first_id).is_some_and(|distance| distance >= self.count - 1)
    }

    /// Takes into `all` the span that follows; `false`, and nothing is changed, if it does not.
    pub(super) fn join(all: &mut Option<RecordSpan>, next: &RecordSpan) -> bool {
        let joined = match all {
            None => *next,
            Some(all) if next.first_id <= all.last_id => return false,
            Some(all) => RecordSpan {
                // Both counts are at most the distance of their ids, so the sum fits.
                count: all.count.saturating_add(next.count),
                first_id: all.first_id,
                last_id: next.last_id,
                min_time: cmp::min(all.min_time, next.min_time),
                max_time: cmp::max(all.max_time, next.max_time),
            },
        };
        *all = Some(joined);
        true
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put!(out, self.count, self.first_id, self.last_id, self.min_time, self.max_time);
    }

    pub(super) fn get(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(RecordSpan {
            count: reader.u64()?,
            first_id: reader.u64()?,
            last_id: reader.u64()?,
            min_time: reader.i64()?,
            max_time: reader.i64()?,
        })
    }
}
