//! The asynchronous twins: the same arguments without the outputs, then a queue, a word of the host's, and the id.

use super::{
    call::{self, seglift_call},
    codes::seglift_code,
    delete::read_keys,
    driver::{self, seglift_driver},
    error::seglift_error,
    handle,
    list::seglift_lister,
    panic,
    queue::{seglift_op, seglift_queue},
    read::{seglift_ref, segment_ref},
    segment::{self, seglift_segment, seglift_writer_finish},
    structs::Place,
    text::{check_blob, text},
    writer::seglift_writer,
};
use crate::{
    buf::LentBuf,
    driver::Outcome,
    engine::{Call, Slot},
    error::{Code, Error, Result},
};
use std::{
    ffi::{c_char, c_void},
    sync::Arc,
};

/// What every submit is given besides its own arguments.
pub(super) struct Submit {
    pub call: *const seglift_call,
    pub queue: *mut seglift_queue,
    pub user_data: *mut c_void,
    pub op: *mut seglift_op,
    pub err: *mut *mut seglift_error,
}

/// The completion's place in the queue until an operation has it. Dropped before that, it is free again: a submit
/// that fails makes no completion.
pub(super) struct Seat(Option<Slot<Outcome>>);

impl Seat {
    /// The place, for the operation that begins now.
    pub(super) fn take(mut self) -> Result<Slot<Outcome>> {
        self.0.take().ok_or_else(|| Error::new(Code::Internal, "a place in a queue was taken twice"))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.withdraw();
        }
    }
}

impl Submit {
    /// Takes the completion's place in the queue, starts the operation, and hands out its id.
    ///
    /// # Safety
    /// The pointers are as the header asks.
    pub(super) unsafe fn run(self, start: impl FnOnce(&Call, Seat) -> Result<seglift_op>) -> seglift_code {
        // SAFETY: the caller's promise is ours.
        unsafe {
            panic::call(self.err, || {
                let place = Place::optional(self.op, 0, "operation's id")?;
                let (call, queue) = (call::read(self.call)?, handle::borrow(self.queue.cast_const())?);
                let id = start(&call, Seat(Some(queue.queue.reserve(self.user_data as usize)?)))?;
                if let Some(place) = place {
                    place.set(id);
                }
                Ok(())
            })
        }
    }
}

/// Starts an offload; its completion has the receipt. Structs, strings, metadata and attachments are copied; memory of
/// a BYTES source is lent until the completion was polled. It never blocks: BUSY when the queue is full, and then, as
/// after every submit that fails, no completion comes. op may be NULL. This holds for every submit.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_offload_segment_submit(
    driver: *mut seglift_driver,
    segment: *const seglift_segment,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }.run(|call, seat| {
            driver::borrow(driver)?.offload_submit(segment::read(segment)?, call, seat.take()?)
        })
    }
}

/// Starts a read into buf, which is lent until the completion was polled; count is the number of bytes read.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_read_range_submit(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    offset: u64,
    buf: *mut c_void,
    len: usize,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }.run(|call, seat| {
            check_blob(buf, len, "buf")?;
            // `buf` has `len` bytes, says the header, and the engine revokes it before it posts the completion.
            let dest = LentBuf::new(buf.cast(), len);
            driver::borrow(driver)?.read_range_submit(
                &segment_ref(segment)?,
                offset,
                dest,
                call,
                seat.take()?,
            )
        })
    }
}

/// Starts a read into memory of the library; the completion has the bytes. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_read_range_bytes_submit(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    offset: u64,
    len: u64,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }.run(|call, seat| {
            driver::borrow(driver)?.read_range_bytes_submit(
                &segment_ref(segment)?,
                offset,
                len,
                call,
                seat.take()?,
            )
        })
    }
}

/// Starts a read of records; the completion has them. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_read_records_submit(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    first: u64,
    max_records: u64,
    max_bytes: u64,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }.run(|call, seat| {
            let (driver, segment) = (driver::borrow(driver)?, segment_ref(segment)?);
            driver.read_records_submit(&segment, first, max_records, max_bytes, call, seat.take()?)
        })
    }
}

/// Starts a read of an attachment; the completion has its bytes. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_read_attachment_submit(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    name: *const c_char,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }.run(|call, seat| {
            let (driver, segment) = (driver::borrow(driver)?, segment_ref(segment)?);
            driver.read_attachment_submit(&segment, text(name, "name")?, call, seat.take()?)
        })
    }
}

/// Starts a stat; the completion has the info. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_stat_submit(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }
            .run(|call, seat| driver::borrow(driver)?.stat_submit(&segment_ref(segment)?, call, seat.take()?))
    }
}

/// Starts a verify; the completion has the report, also when its code is CORRUPT. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_verify_submit(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }.run(|call, seat| {
            driver::borrow(driver)?.verify_submit(&segment_ref(segment)?, call, seat.take()?)
        })
    }
}

/// Starts deletes; the completion has a result for each key. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_delete_submit(
    driver: *mut seglift_driver,
    keys: *const *const c_char,
    n: usize,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }
            .run(|call, seat| driver::borrow(driver)?.delete_submit(&read_keys(keys, n)?, call, seat.take()?))
    }
}

/// Starts loading a page; count is its number of entries, code is END after the last page. The page is in the lister once
/// the completion was polled; until then the lister is BUSY. Returns END, and no completion comes, if the end is known.
/// Threads: one for the lister. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_list_next_submit(
    lister: *mut seglift_lister,
    max: usize,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }.run(|call, seat| {
            let (lister, queue) = (handle::borrow(lister.cast_const())?, handle::borrow(queue.cast_const())?);
            let (prefix, after) = lister.walk.begin()?;
            // Held until the id is known: a poll that is quicker waits for it.
            let mut listings = queue.listings.lock();
            let page = super::list::page(max);
            let started = seat
                .take()
                .and_then(|slot| lister.driver.list_submit(prefix, after.as_deref(), page, call, slot));
            match started {
                Ok(id) => {
                    listings.insert(id, Arc::clone(&lister.walk));
                    Ok(id)
                }
                Err(e) => lister.walk.end(Err(e)).map(|_| 0),
            }
        })
    }
}

/// Starts a read of an object as it lies in the store; the completion has the bytes. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_get_object_range_submit(
    driver: *mut seglift_driver,
    key: *const c_char,
    offset: u64,
    len: u64,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }.run(|call, seat| {
            let (driver, key) = (driver::borrow(driver)?, text(key, "key")?);
            driver.object_range_submit(key, offset, len, call, seat.take()?)
        })
    }
}

/// Starts a commit; the completion has the receipt. The writer is CLOSED for writes from now on, and may be freed.
/// Threads: one for the writer. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_writer_commit_submit(
    writer: *mut seglift_writer,
    finish: *const seglift_writer_finish,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }.run(|call, seat| {
            let state = handle::borrow(writer.cast_const())?;
            state.driver.commit_submit(&state.writer, segment::finish(finish)?, call, seat.take()?)
        })
    }
}

/// Starts an abort. The writer is CLOSED for writes from now on, and may be freed.
/// Threads: one for the writer. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_writer_abort_submit(
    writer: *mut seglift_writer,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }.run(|call, seat| {
            let state = handle::borrow(writer.cast_const())?;
            state.driver.abort_submit(&state.writer, call, seat.take()?)
        })
    }
}
