//! How large the parts of an upload are, how many are under way, and what memory that takes.
//!
//! Invariant: an upload knows its memory before it begins and reserves it at once, so nobody waits for
//! more memory while holding some.

use crate::{
    codec::Codec,
    error::{Code, Error, Result},
    store::Capabilities,
};

/// Bytes in memory for one part that is streamed from its source: a piece that the store sends and one that
/// is being read.
const STREAMED: u64 = 2 * PIECE;
const PIECE: u64 = crate::buf::PIECE as u64;
/// The part size of buffered uploads where the store takes parts of any size: large enough that a part's
/// cost (a `pwrite`, a task) vanishes, small enough that many writers fit the budget.
const SMALL_PART: u64 = 1 << 20;
/// What a buffered upload may hold in parts, unless a single part is larger.
const BUFFERED: u64 = 24 << 20;
/// Part sizes are rounded up to this where the number of parts demands larger ones.
const ROUND: u64 = 1 << 20;

/// The shape of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Length of all parts but the last, in bytes.
    pub part_size: u64,
    /// Parts under way at once.
    pub concurrency: usize,
    /// Parts in memory at once, the one that is being filled included; 0 if none lies in memory.
    pub slots: usize,
    /// Bytes of memory that the parts take at most.
    pub memory: u64,
}

impl Plan {
    /// For an upload whose parts are read from their source as they are sent.
    pub fn streamed(
        part_setting: u64,
        concurrency: usize,
        object_len: u64,
        caps: &Capabilities,
    ) -> Result<Plan> {
        let part_size = part_size(part_setting, object_len, caps)?;
        let concurrency = concurrency.min(object_len.div_ceil(part_size).max(1) as usize);
        Ok(Plan { part_size, concurrency, slots: 0, memory: concurrency as u64 * STREAMED })
    }

    /// For an upload whose parts lie in memory. `object_len` is the most that it can become.
    pub fn buffered(
        part_setting: u64,
        concurrency: usize,
        object_len: u64,
        caps: &Capabilities,
    ) -> Result<Plan> {
        let wanted = if caps.min_part <= SMALL_PART { part_setting.min(SMALL_PART) } else { part_setting };
        let part_size = part_size(wanted, object_len, caps)?;
        // One more than are sent: it is filled meanwhile. A block that crosses the end of a full part
        // overshoots by less than a piece.
        let slots = (BUFFERED / part_size).clamp(1, concurrency as u64 + 1);
        let memory = object_len.min(slots * part_size.next_multiple_of(PIECE)) + PIECE;
        Ok(Plan { part_size, concurrency: concurrency.min(slots as usize), slots: slots as usize, memory })
    }
}

fn part_size(wanted: u64, object_len: u64, caps: &Capabilities) -> Result<u64> {
    let least = object_len.div_ceil(u64::from(caps.max_parts));
    let part = if least > wanted { least.next_multiple_of(ROUND) } else { wanted };
    let part = part.max(caps.min_part);
    if part > caps.max_part {
        return Err(Error::new(
            Code::InvalidArgument,
            format!(
                "an object of up to {object_len} bytes does not fit the store, which takes {} parts of {} bytes; \
                 declare a smaller maximum or cut the segment",
                caps.max_parts, caps.max_part
            ),
        ));
    }
    Ok(part)
}

/// The most that a segment of `raw` bytes can become with attachments of `attached` bytes: zstd adds less than 1
/// in 128 and a few bytes a block; index, seek table and tail take less than 64 bytes a block.
pub(super) fn most_stored(raw: u64, block_size: u64, attached: u64, codec: Codec) -> u64 {
    let blocks = raw / block_size + 1;
    let data = match codec {
        Codec::None => raw,
        Codec::Zstd => raw.saturating_add(raw / 128),
    };
    data.saturating_add(blocks.saturating_mul(256))
        .saturating_add(attached.saturating_add(attached / 128))
        .saturating_add(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S3: Capabilities = Capabilities {
        atomic_create: true,
        min_part: 5 << 20,
        max_part: 5 << 30,
        max_parts: 10_000,
        dates_by_begin: true,
    };
    const FILE: Capabilities = Capabilities {
        atomic_create: true,
        min_part: 1,
        max_part: u64::MAX,
        max_parts: u32::MAX,
        dates_by_begin: false,
    };

    #[test]
    fn parts_grow_so_that_ten_thousand_suffice() {
        let plan = Plan::streamed(8 << 20, 4, 1 << 40, &S3).unwrap();
        assert!((1u64 << 40).div_ceil(plan.part_size) <= 10_000);
        assert_eq!(plan.part_size % ROUND, 0);
    }

    #[test]
    fn the_memory_of_a_streamed_upload_does_not_grow_with_the_part_size() {
        let small = Plan::streamed(8 << 20, 4, 1 << 34, &S3).unwrap();
        let large = Plan::streamed(512 << 20, 4, 1 << 34, &S3).unwrap();
        assert_eq!(small.memory, large.memory);
    }

    #[test]
    fn a_buffered_upload_takes_small_parts_where_it_may_and_serial_ones_where_they_are_large() {
        assert_eq!(Plan::buffered(8 << 20, 4, 1 << 34, &FILE).unwrap().part_size, SMALL_PART);
        let s3 = Plan::buffered(8 << 20, 4, 1 << 34, &S3).unwrap();
        assert_eq!((s3.part_size, s3.slots), (8 << 20, 3));
        let large = Plan::buffered(64 << 20, 4, 1 << 34, &S3).unwrap();
        assert_eq!((large.part_size, large.slots), (64 << 20, 1));
    }

    #[test]
    fn what_no_store_could_hold_is_refused_before_it_begins() {
        let e = Plan::streamed(8 << 20, 4, 1 << 60, &S3).unwrap_err();
        assert_eq!(e.code(), Code::InvalidArgument);
    }
}
