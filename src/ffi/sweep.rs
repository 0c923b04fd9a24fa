//! Sweep: a walk over the store beside the host's list of what it refers to.

use super::{
    call::{self, seglift_call},
    cleanup::{age, seglift_cleanup},
    codes::seglift_code,
    delete::read_keys,
    driver::{self, seglift_driver},
    error::seglift_error,
    handle::{self, opaque},
    panic,
    queue::{seglift_op, seglift_queue},
    structs::{self, Place, c_struct, must_be_zero},
    submit::Submit,
    text::optional,
};
use crate::{driver::Sweep, error::Result, maintain::SweepOptions};
use std::{
    ffi::{c_char, c_void},
    ptr,
};

/// seglift_sweep_options.flags: delete. Without it a sweep only reports.
pub const SEGLIFT_SWEEP_DELETE: u32 = 1;

/// What to sweep, and how carefully. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_sweep_options {
    /// sizeof(seglift_sweep_options).
    pub size: usize,
    /// Only keys that begin with this text, and all that you feed must; NULL = the whole store. Copied.
    pub prefix: *const c_char,
    /// How long an object must have been there before the sweep began, in ms, by the store's clock; 0 = a day. Longer than
    /// you take from the last byte of an offload, over its commit, until its key is in the list that you feed.
    pub grace_ms: i64,
    /// SEGLIFT_SWEEP_* bits.
    pub flags: u32,
    /// Zero.
    pub reserved0: u32,
}
c_struct! { seglift_sweep_options up to reserved0: u32; }

/// A sweep: deletes objects of this owner that you do not refer to. Begin it, then feed the keys that you refer to in
/// byte order, all of them, then finish it. To stop, free it: nothing behind the last key that was fed is deleted.
/// Ownership: yours, until seglift_sweep_free. Threads: one at a time. Since 1.0.
pub struct seglift_sweep {
    _opaque: (),
}
opaque!(seglift_sweep, b"sl-sweep", Sweep);

/// Begins a sweep. Nothing is read or deleted yet. options may be NULL: a dry run over the whole store with a day of
/// grace. Ownership: *sweep is yours, until seglift_sweep_free. Errors: INVALID_ARGUMENT, UNSUPPORTED_FIELD, CLOSED.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_sweep_begin(
    driver: *mut seglift_driver,
    options: *const seglift_sweep_options,
    sweep: *mut *mut seglift_sweep,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(sweep, ptr::null_mut(), "seglift_sweep")?;
            let begun = driver::borrow(driver)?.sweep(read_options(options)?)?;
            place.set(handle::give(begun));
            Ok(())
        })
    }
}

/// # Safety
/// `options` is NULL or a struct as the header asks.
unsafe fn read_options(options: *const seglift_sweep_options) -> Result<SweepOptions> {
    // SAFETY: the caller's promise is ours.
    let o = unsafe { structs::optional(options) }?.unwrap_or(seglift_sweep_options {
        size: size_of::<seglift_sweep_options>(),
        prefix: ptr::null(),
        grace_ms: 0,
        flags: 0,
        reserved0: 0,
    });
    must_be_zero(u64::from(o.flags & !SEGLIFT_SWEEP_DELETE), "seglift_sweep_options.flags")?;
    must_be_zero(u64::from(o.reserved0), "seglift_sweep_options.reserved0")?;
    Ok(SweepOptions {
        // SAFETY: the caller's promise is ours.
        prefix: unsafe { optional(o.prefix, "seglift_sweep_options.prefix") }?.unwrap_or("").to_owned(),
        grace: age(o.grace_ms, "seglift_sweep_options.grace_ms")?,
        delete: o.flags & SEGLIFT_SWEEP_DELETE != 0,
    })
}

/// Feeds n keys that you refer to, in strictly increasing byte order over all feeds, and judges the objects between them.
/// A call does one page of the store; *taken is how many keys it took, perhaps none: feed the others again, until all are
/// taken. After an error none were taken; feed them again. cleanup may be NULL.
/// Ownership: *cleanup is yours, until seglift_cleanup_free. Errors: INVALID_ARGUMENT (a key is out of order, is no key,
/// or does not begin with the prefix: nothing was judged), BUSY, PERMISSION_DENIED, UNAVAILABLE, TIMED_OUT, CANCELLED,
/// CLOSED. Threads: one; blocks. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_sweep_feed(
    sweep: *mut seglift_sweep,
    keys: *const *const c_char,
    n: usize,
    call: *const seglift_call,
    taken: *mut usize,
    cleanup: *mut *mut seglift_cleanup,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let taken = Place::new(taken, 0, "number of keys taken")?;
            let place = Place::optional(cleanup, ptr::null_mut(), "seglift_cleanup")?;
            let sweep = handle::borrow(sweep.cast_const())?;
            let step = sweep.feed(read_keys(keys, n)?, &call::read(call)?)?;
            taken.set(step.taken);
            if let Some(place) = place {
                place.set(seglift_cleanup::of_sweep(step));
            }
            Ok(())
        })
    }
}

/// Says that the list is complete, and judges a page of what lies behind its last key. Call it until *done is 1.
/// A list without a key is refused, because the sweep would delete everything. cleanup may be NULL.
/// Ownership: *cleanup is yours, until seglift_cleanup_free. Errors: INVALID_ARGUMENT (no key was fed), else as
/// seglift_sweep_feed. Threads: one; blocks. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_sweep_finish(
    sweep: *mut seglift_sweep,
    call: *const seglift_call,
    done: *mut u32,
    cleanup: *mut *mut seglift_cleanup,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let done = Place::new(done, 0, "word whether it is done")?;
            let place = Place::optional(cleanup, ptr::null_mut(), "seglift_cleanup")?;
            let step = handle::borrow(sweep.cast_const())?.finish(&call::read(call)?)?;
            done.set(step.done.into());
            if let Some(place) = place {
                place.set(seglift_cleanup::of_sweep(step));
            }
            Ok(())
        })
    }
}

/// Frees a sweep; a step that is under way ends by itself. NULL is fine. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_sweep_free(sweep: *mut seglift_sweep) {
    // SAFETY: NULL or a sweep that is the caller's, says the header.
    unsafe { handle::free(sweep) };
}

/// Starts a feed of a sweep; keys are copied, count is how many were taken, and the completion has the cleanup.
/// Threads: one for the sweep. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_sweep_feed_submit(
    sweep: *mut seglift_sweep,
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
        Submit { call, queue, user_data, op, err }.run(|call, seat| {
            handle::borrow(sweep.cast_const())?.feed_submit(read_keys(keys, n)?, call, seat.take()?)
        })
    }
}

/// Starts a finish of a sweep; the completion has the cleanup, which says whether it is done.
/// Threads: one for the sweep. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_sweep_finish_submit(
    sweep: *mut seglift_sweep,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }
            .run(|call, seat| handle::borrow(sweep.cast_const())?.finish_submit(call, seat.take()?))
    }
}
