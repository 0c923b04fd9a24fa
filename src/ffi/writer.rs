//! Writers: a segment pushed in pieces, bytes or records.

use super::{
    call::{self, seglift_call},
    codes::seglift_code,
    driver::{self, seglift_driver},
    error::seglift_error,
    handle::{self, opaque},
    panic,
    queue::seglift_queue,
    receipt::{self, seglift_receipt},
    segment::{self, seglift_pair, seglift_writer_finish},
    structs::{Array, Out, Place, c_struct, must_be_zero, required},
    text::{blob, text},
};
use crate::{
    driver::Driver,
    engine::Call,
    error::Result,
    writer::{OnWritable, Record, Writer, WriterOptions},
};
use std::{
    ffi::{c_char, c_void},
    ptr,
};

/// A segment that is being written. It is invisible until its commit.
/// Ownership: yours, until seglift_writer_free. Threads: one at a time; a second one is told BUSY. Since 1.0.
pub struct seglift_writer {
    _opaque: (),
}
opaque!(seglift_writer, b"slwriter", State);

/// A writer, its driver, and whether its host wants to wait or to be called.
pub(super) struct State {
    pub(super) driver: Driver,
    pub(super) writer: Writer,
    never_blocks: bool,
}

/// How a segment is written. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_writer_options {
    /// sizeof(seglift_writer_options).
    pub size: usize,
    /// As in seglift_segment.
    pub key: *const c_char,
    /// SEGLIFT_MODE_*.
    pub mode: u32,
    /// SEGLIFT_CODEC_*.
    pub codec: u32,
    /// SEGLIFT_IF_EXISTS_*.
    pub if_exists: u32,
    /// Zero: no flag has a meaning for writers yet.
    pub flags: u32,
    /// Longest segment in bytes, from which the size of the parts follows; 0 = the setting writer.max.size.
    pub max_bytes: u64,
    /// metadata_count structs, metadata_stride bytes apart.
    pub metadata: *const seglift_pair,
    /// How many.
    pub metadata_count: usize,
    /// sizeof(seglift_pair).
    pub metadata_stride: usize,
    /// NULL: write and append wait until there is room. Else they never wait: they take what fits, and when nothing
    /// does they return WOULD_BLOCK, after which this queue gets one SEGLIFT_COMPLETION_WRITABLE when there is room.
    pub queue: *mut seglift_queue,
    /// user_data of those completions.
    pub user_data: *mut c_void,
}

/// A record to append. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_record_in {
    /// sizeof(seglift_record_in).
    pub size: usize,
    /// Higher than that of the record before; gaps are fine.
    pub id: u64,
    /// Any time in us, such as when it was published.
    pub time_us: i64,
    /// The payload.
    pub data: *const c_void,
    /// Its length in bytes, at most 64 MiB.
    pub len: usize,
}
c_struct! {
    seglift_writer_options up to user_data: *mut c_void;
    seglift_record_in up to len: usize;
}

/// Opens a writer and reserves its memory, whose size does not depend on the segment's.
/// Ownership: *writer is yours, until seglift_writer_free. call->deadline_ms is for the whole life of the writer.
/// Errors: BUSY when memory.budget is taken, INVALID_ARGUMENT, CLOSED.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_writer_open(
    driver: *mut seglift_driver,
    options: *const seglift_writer_options,
    call: *const seglift_call,
    writer: *mut *mut seglift_writer,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(writer, ptr::null_mut(), "seglift_writer")?;
            let (driver, call, o) = (driver::borrow(driver)?, call::read(call)?, required(options)?);
            let never_blocks = !o.queue.is_null();
            let on_writable = if never_blocks {
                let signal = handle::borrow(o.queue.cast_const())?.queue.notifier(o.user_data as usize)?;
                Some(Box::new(move || signal.notify()) as OnWritable)
            } else {
                None
            };
            let writer = driver.writer(read_options(&o)?, &call, on_writable)?;
            place.set(handle::give(State { driver: driver.clone(), writer, never_blocks }));
            Ok(())
        })
    }
}

/// # Safety
/// The strings and arrays are as the header asks.
unsafe fn read_options(o: &seglift_writer_options) -> Result<WriterOptions> {
    must_be_zero(o.flags.into(), "seglift_writer_options.flags")?;
    Ok(WriterOptions {
        // SAFETY: the caller's promise is ours.
        key: unsafe { text(o.key, "seglift_writer_options.key") }?.to_owned(),
        mode: segment::mode(o.mode)?,
        codec: segment::codec(o.codec)?,
        if_exists: segment::if_exists(o.if_exists)?,
        max_bytes: (o.max_bytes > 0).then_some(o.max_bytes),
        // SAFETY: the caller's promise is ours.
        metadata: unsafe { segment::metadata(o.metadata, o.metadata_count, o.metadata_stride) }?,
    })
}

impl State {
    fn append(&self, record: &seglift_record_in, call: &Call) -> Result<()> {
        // SAFETY: the record came through `structs`, whose caller vouches for its payload.
        let payload = unsafe { blob(record.data, record.len, "seglift_record_in.data") }?;
        let record = Record { id: record.id, time_us: record.time_us, payload };
        if self.never_blocks { self.writer.try_append(record) } else { self.writer.append(record, call) }
    }
}

/// Appends bytes to a segment in byte mode. Without a queue all len bytes are taken, or it fails and *written says how
/// many were; with one, *written may be less.
/// The bytes are yours again when it returns.
/// Errors: WOULD_BLOCK (nothing was taken), OUT_OF_RANGE (over max_bytes), INVALID_ARGUMENT (record mode), CLOSED
/// (committed or aborted), or the error that ended the upload: it stays. Threads: one; blocks without a queue.
/// Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_writer_write(
    writer: *mut seglift_writer,
    data: *const c_void,
    len: usize,
    call: *const seglift_call,
    written: *mut usize,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(written, 0, "number of bytes written")?;
            let (state, call) = (handle::borrow(writer.cast_const())?, call::read(call)?);
            let data = blob(data, len, "data")?;
            if state.never_blocks {
                place.set(state.writer.try_write(data)?);
                return Ok(());
            }
            // Who was promised that all is taken must not find a hole: what is missing is an error.
            let (taken, why_not_all) = state.writer.write_all(data, &call)?;
            place.set(taken);
            why_not_all.map_or(Ok(()), Err)
        })
    }
}

/// Appends one record to a segment in record mode; its payload is yours again when it returns.
/// Errors: as seglift_writer_write; INVALID_ARGUMENT if the id is not higher than the last one. Threads: one; blocks
/// without a queue. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_writer_append(
    writer: *mut seglift_writer,
    record: *const seglift_record_in,
    call: *const seglift_call,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            handle::borrow(writer.cast_const())?.append(&required(record)?, &call::read(call)?)
        })
    }
}

/// Appends n records, stride bytes apart. *appended is how many were taken, also when it fails: with WOULD_BLOCK or
/// an error, those after them were not. Errors: as seglift_writer_append; OK if n is 0. Threads: one; blocks without a
/// queue. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_writer_append_many(
    writer: *mut seglift_writer,
    records: *const seglift_record_in,
    n: usize,
    stride: usize,
    call: *const seglift_call,
    appended: *mut usize,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(appended, 0, "number of records appended")?;
            let (state, call) = (handle::borrow(writer.cast_const())?, call::read(call)?);
            for (i, record) in Array::new(records, n, stride)?.iter().enumerate() {
                state.append(&record?, &call)?;
                place.set(i + 1);
            }
            Ok(())
        })
    }
}

/// Commits what was written as one object; afterwards the writer is CLOSED, whatever the outcome. It ends as
/// seglift_offload_segment does. finish and receipt may be NULL.
/// Errors: as seglift_offload_segment. Threads: one; blocks. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_writer_commit(
    writer: *mut seglift_writer,
    finish: *const seglift_writer_finish,
    call: *const seglift_call,
    receipt: *mut seglift_receipt,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let out = Out::optional(receipt)?;
            let (state, call) = (handle::borrow(writer.cast_const())?, call::read(call)?);
            let done = state.writer.commit(segment::finish(finish)?, &call)?;
            if let Some(out) = out {
                out.write(receipt::to_c(&done));
            }
            Ok(())
        })
    }
}

/// Gives up what was written and removes it from the store; afterwards the writer is CLOSED.
/// Errors: CLOSED, TIMED_OUT (the removal goes on in the background). Threads: one; blocks. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_writer_abort(
    writer: *mut seglift_writer,
    call: *const seglift_call,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe { panic::call(err, || handle::borrow(writer.cast_const())?.writer.abort(&call::read(call)?)) }
}

/// Frees a writer. NULL is fine. What was not committed is aborted in the background; a commit that was submitted
/// goes on. Threads: none uses it any more. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_writer_free(writer: *mut seglift_writer) {
    // SAFETY: NULL or a writer that is the caller's, says the header.
    unsafe { handle::free(writer) };
}
