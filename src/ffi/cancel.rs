//! Cancel tokens.

use super::{
    codes::seglift_code,
    error::seglift_error,
    handle::{self, opaque},
    panic::{call, quiet},
    structs::Place,
};
use crate::engine::Cancel;
use std::ptr;

/// A request to stop: one token for any number of calls, synchronous and asynchronous (seglift_call.cancel).
/// Ownership: yours, until seglift_cancel_free, which may come while calls still run. Threads: any number at once.
/// Since 1.0.
pub struct seglift_cancel {
    _opaque: (),
}
opaque!(seglift_cancel, b"slcancel", Cancel);

/// A token that nobody has used yet. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_cancel_new(
    cancel: *mut *mut seglift_cancel,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            let place = Place::new(cancel, ptr::null_mut(), "seglift_cancel")?;
            place.set(handle::give(Cancel::new()));
            Ok(())
        })
    }
}

/// Asks all calls with this token, those of now and those to come, to stop. They end soon: with CANCELLED, or with
/// their result if that was certain already; a commit that was sent is settled first. NULL is fine.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_cancel_request(cancel: *mut seglift_cancel) {
    // SAFETY: NULL or a live token, says the header.
    quiet((), || unsafe {
        if let Ok(cancel) = handle::borrow(cancel.cast_const()) {
            cancel.cancel();
        }
    });
}

/// Frees a token; it cancels nothing. NULL is fine. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_cancel_free(cancel: *mut seglift_cancel) {
    // SAFETY: NULL or a token that is the caller's, says the header.
    unsafe { handle::free(cancel) };
}
