//! Records: batches of them, walked in place.

use super::{
    call::{self, seglift_call},
    codes::seglift_code,
    driver::{self, seglift_driver},
    error::seglift_error,
    handle::{self, opaque},
    panic::{self, quiet},
    read::{seglift_ref, segment_ref},
    structs::{Out, Place, c_struct},
};
use crate::{
    error::{Code, Error},
    reader::RecordBatch,
};
use std::{ffi::c_void, ptr};

/// A batch of records, and where the walk over it stands.
/// Ownership: yours, until seglift_records_free; it outlives its driver, and counts against memory.lent.limit.
/// Threads: one at a time. Since 1.0.
pub struct seglift_records {
    _opaque: (),
}
opaque!(seglift_records, b"slrecord", State);

/// A batch and the index of its next record.
pub(super) struct State {
    batch: RecordBatch,
    next: usize,
}

impl seglift_records {
    /// A batch that the caller owns.
    pub(super) fn give(batch: RecordBatch) -> *mut seglift_records {
        handle::give(State { batch, next: 0 })
    }
}

/// A record of a batch. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_record {
    /// You: sizeof(seglift_record). The library: how many bytes it wrote.
    pub size: usize,
    /// The id that it was appended with.
    pub id: u64,
    /// The time that it was appended with, in us.
    pub time_us: i64,
    /// The payload, inside the batch: valid until seglift_records_free.
    pub data: *const c_void,
    /// Its length in bytes.
    pub len: usize,
}
c_struct! { seglift_record up to len: usize; }

/// Reads records from the first one whose id is first or higher: at least one if there is any, then as long as
/// neither max_records nor max_bytes of payload is exceeded (0 = as much as one fetch brings). A batch without
/// records means that the segment has no such record.
/// Errors: INVALID_ARGUMENT for a segment in byte mode; else as seglift_read_range. Threads: any; blocks.
/// Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_read_records(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    first: u64,
    max_records: u64,
    max_bytes: u64,
    call: *const seglift_call,
    records: *mut *mut seglift_records,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(records, ptr::null_mut(), "seglift_records")?;
            let (driver, segment, call) = (driver::borrow(driver)?, segment_ref(segment)?, call::read(call)?);
            place.set(seglift_records::give(driver.read_records(
                &segment,
                first,
                max_records,
                max_bytes,
                &call,
            )?));
            Ok(())
        })
    }
}

/// The number of records in the batch; 0 for NULL. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_records_count(records: *const seglift_records) -> usize {
    // SAFETY: NULL or a live batch, says the header.
    quiet(0, || unsafe { handle::peek(records).map_or(0, |s| s.batch.len()) })
}

/// The next record of the batch. END after the last. Threads: one. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_records_next(
    records: *mut seglift_records,
    record: *mut seglift_record,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let out = Out::required(record)?;
            let state = handle::peek_mut(records)?;
            let Some(found) = state.batch.get(state.next) else {
                return Err(Error::new(Code::End, "the batch has no more records"));
            };
            out.write(seglift_record {
                size: size_of::<seglift_record>(),
                id: found.id,
                time_us: found.time_us,
                data: found.payload.as_ptr().cast(),
                len: found.payload.len(),
            });
            state.next += 1;
            Ok(())
        })
    }
}

/// Where to read on: the id of the batch's last record + 1; of an empty batch, the id that was asked for.
/// Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_records_next_id(records: *const seglift_records) -> u64 {
    // SAFETY: NULL or a live batch, says the header.
    quiet(0, || unsafe { handle::peek(records).map_or(0, |s| s.batch.next_id()) })
}

/// 1 if the segment has no record behind the batch, else 0. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_records_at_end(records: *const seglift_records) -> u32 {
    // SAFETY: NULL or a live batch, says the header.
    quiet(0, || unsafe { handle::peek(records).map_or(0, |s| s.batch.at_end().into()) })
}

/// Frees a batch and the payloads in it. NULL is fine. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_records_free(records: *mut seglift_records) {
    // SAFETY: NULL or a batch that is the caller's, says the header.
    unsafe { handle::free(records) };
}
