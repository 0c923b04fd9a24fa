//! Finding the tail frame from the last bytes of an object.
//!
//! With codec zstd the object ends with a seek table whose last entry is the tail frame, so its
//! place follows from the last 17 bytes; without a codec it ends with the trailer. So one read of
//! the end, and at most one more, finds every tail.
//!
//! Nothing here is checked by a CRC32C yet: a wrong place is found out by [`super::Tail::parse`].

use std::ops::Range;

use super::{
    seek_table::{ENTRY, FOOTER, SEEKABLE_MAGIC, SeekTable},
    tail::{LEAST_TAIL, MAX_TAIL},
    trailer::{MAGIC, TRAILER, Trailer},
    wire::{Reader, corrupt},
};
use crate::error::{Code, Error, Result};

/// The fewest last bytes of an object from which its tail can be found. Read 64 KiB: they nearly
/// always hold the tail itself.
pub const LEAST_SUFFIX: usize = TRAILER;

/// Where the tail frame is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// Inside the suffix.
    Here {
        /// Which bytes of the suffix are the tail frame.
        within: Range<usize>,
        /// Its position in the object.
        position: u64,
    },
    /// Fetch this range of the object; at most 17 MiB.
    Fetch(Range<u64>),
}

/// Finds the tail frame of an object of `object_len` bytes whose last bytes are `suffix`.
///
/// `CORRUPT` if the object does not end as one of ours does, `INVALID_ARGUMENT` if the suffix is
/// longer than the object, or shorter than it and than [`LEAST_SUFFIX`].
pub fn locate_tail(suffix: &[u8], object_len: u64) -> Result<Located> {
    let suffix_len = suffix.len() as u64;
    if suffix_len > object_len || suffix_len < object_len.min(LEAST_SUFFIX as u64) {
        return Err(Error::new(
            Code::InvalidArgument,
            format!(
                "{suffix_len} bytes cannot be the end of an object of {object_len}; give its last 64 KiB"
            ),
        ));
    }
    if object_len < LEAST_TAIL {
        return Err(corrupt(format!("{object_len} bytes are too few for a seglift object")));
    }
    let (tail_len, behind) = if suffix.ends_with(MAGIC) {
        (Trailer::peek_len(suffix), 0)
    } else if suffix.ends_with(&SEEKABLE_MAGIC.to_le_bytes()) {
        let (len, seek_table) = last_of_seek_table(suffix)?;
        (Some(len), seek_table)
    } else {
        return Err(corrupt(
            "the object ends neither with seglift's magic nor with that of a zstd seek table",
        ));
    };
    let range = tail_len.filter(|len| (LEAST_TAIL..=MAX_TAIL).contains(len)).and_then(|len| {
        let end = object_len.checked_sub(behind)?;
        Some(end.checked_sub(len)?..end)
    });
    let Some(range) = range else {
        return Err(corrupt("the object's end is damaged: no tail frame can stand where it points"));
    };
    let suffix_start = object_len - suffix_len;
    Ok(match range.start.checked_sub(suffix_start) {
        Some(start) => Located::Here {
            within: start as usize..(range.end - suffix_start) as usize,
            position: range.start,
        },
        None => Located::Fetch(range),
    })
}

/// The length of the frame in front of the seek table, and that of the table.
fn last_of_seek_table(suffix: &[u8]) -> Result<(u64, u64)> {
    let Some((_, end)) = suffix.split_last_chunk::<{ ENTRY as usize + FOOTER }>() else {
        return Err(corrupt("the seek table is cut off"));
    };
    let mut reader = Reader::new(end, "seek table");
    let (tail_len, raw_len) = (reader.u32()?, reader.u32()?);
    let (frames, descriptor) = (reader.u32()?, reader.u8()?);
    if raw_len != 0 || descriptor != 0 || frames < 2 {
        return Err(corrupt("the object ends with a zstd seek table that seglift did not write"));
    }
    Ok((tail_len.into(), SeekTable::len_of(frames.into())))
}
