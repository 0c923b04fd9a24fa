//! Errors: one opaque object, so that what an error says can grow.

use super::{
    codes::{SEGLIFT_INVALID_ARGUMENT, SEGLIFT_OK, seglift_code},
    handle::{self, opaque},
    panic::quiet,
    text::printable,
};
use crate::error::Error;
use std::ffi::{CStr, CString, c_char};

/// Why a call failed: a code, a sentence for a human, and what the store said.
/// Ownership: yours, until seglift_error_free; it outlives every other handle.
/// Threads: any number may read it at once. Since 1.0.
pub struct seglift_error {
    _opaque: (),
}
opaque!(seglift_error, b"sl-error", State);

/// The error with its texts as C wants them.
pub(super) struct State {
    error: Error,
    message: CString,
    service_code: CString,
    request_id: CString,
    extended_request_id: CString,
}

impl seglift_error {
    /// An error object that the caller owns.
    pub(super) fn give(error: Error) -> *mut seglift_error {
        handle::give(State {
            message: printable(error.message()),
            service_code: printable(error.service_code()),
            request_id: printable(error.request_id()),
            extended_request_id: printable(error.extended_request_id()),
            error,
        })
    }
}

/// Reads something of an error; `fallback` if there is none.
///
/// # Safety
/// `error` is NULL or a live error, which must stay alive as long as what is returned is used.
unsafe fn read<T>(error: *const seglift_error, fallback: T, what: impl FnOnce(&'static State) -> T) -> T {
    // SAFETY: the caller's promise is ours; 'static is cut to the life of the pointer by the caller.
    unsafe { handle::peek(error) }.map_or(fallback, what)
}

/// # Safety
/// As [`read`].
unsafe fn string(
    error: *const seglift_error,
    what: impl FnOnce(&'static State) -> &'static CStr,
) -> *const c_char {
    // SAFETY: the caller's promise is ours.
    quiet(c"".as_ptr(), || unsafe { read(error, c"", what) }.as_ptr())
}

/// The code that the call returned. NULL is no error: SEGLIFT_OK.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_error_code(error: *const seglift_error) -> seglift_code {
    if error.is_null() {
        return SEGLIFT_OK;
    }
    // SAFETY: NULL or a live error, says the header.
    quiet(SEGLIFT_INVALID_ARGUMENT, || unsafe {
        read(error, SEGLIFT_INVALID_ARGUMENT, |s| s.error.code() as seglift_code)
    })
}

/// What happened, to what, and what to do about it: for a human and a log, no API. Holds no secret.
/// Valid as long as the error; never NULL ("" for NULL). Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_error_message(error: *const seglift_error) -> *const c_char {
    // SAFETY: NULL or a live error, says the header.
    unsafe { string(error, |s| &s.message) }
}

/// The store's HTTP status; 0 if no store answered. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_error_http_status(error: *const seglift_error) -> u32 {
    // SAFETY: NULL or a live error, says the header.
    quiet(0, || unsafe { read(error, 0, |s| u32::from(s.error.http_status())) })
}

/// The store's own code, such as "AccessDenied"; "" if none. Valid as long as the error.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_error_service_code(error: *const seglift_error) -> *const c_char {
    // SAFETY: NULL or a live error, says the header.
    unsafe { string(error, |s| &s.service_code) }
}

/// The store's request id, for its support; "" if none. Valid as long as the error.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_error_request_id(error: *const seglift_error) -> *const c_char {
    // SAFETY: NULL or a live error, says the header.
    unsafe { string(error, |s| &s.request_id) }
}

/// The store's extended request id (x-amz-id-2 of S3); "" if none. Valid as long as the error.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_error_extended_request_id(error: *const seglift_error) -> *const c_char {
    // SAFETY: NULL or a live error, says the header.
    unsafe { string(error, |s| &s.extended_request_id) }
}

/// 1 if the same call may succeed later without anyone changing anything, else 0.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_error_retryable(error: *const seglift_error) -> u32 {
    // SAFETY: NULL or a live error, says the header.
    quiet(0, || unsafe { read(error, 0, |s| u32::from(s.error.retryable())) })
}

/// How many milliseconds the store asks to wait before the next attempt; -1 if it did not say.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_error_retry_after_ms(error: *const seglift_error) -> i64 {
    // SAFETY: NULL or a live error, says the header.
    quiet(-1, || unsafe {
        read(error, -1, |s| {
            s.error.retry_after().map_or(-1, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
        })
    })
}

/// Frees an error. NULL is fine. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_error_free(error: *mut seglift_error) {
    // SAFETY: NULL or a live error that is the caller's, says the header.
    unsafe { handle::free(error) };
}
