//! Deletes, each key with its own result.

use super::{
    call::{self, seglift_call},
    codes::{SEGLIFT_OK, SEGLIFT_OUT_OF_RANGE, seglift_code},
    driver::{self, seglift_driver},
    error::{seglift_error, seglift_error_code, seglift_error_free},
    handle::{self, opaque},
    panic::{self, quiet},
    structs::Place,
    text::{invalid, text},
};
use crate::error::{Error, Result};
use std::{ffi::c_char, ptr};

/// The results of a batch, one for each key.
/// Ownership: yours, until seglift_results_free, which frees its errors too. Threads: any number at once. Since 1.0.
pub struct seglift_results {
    _opaque: (),
}
opaque!(seglift_results, b"slresult", State);

/// An error, or NULL, for each key.
pub(super) struct State(Vec<*mut seglift_error>);

impl Drop for State {
    fn drop(&mut self) {
        for error in &self.0 {
            // SAFETY: made by `give`, freed here only; NULL is fine.
            unsafe { seglift_error_free(*error) };
        }
    }
}

impl seglift_results {
    /// Results that the caller owns, how many succeeded, and the first failure.
    pub(super) fn give(results: Vec<Result<()>>) -> (*mut seglift_results, u64, Option<Error>) {
        let good = results.iter().filter(|r| r.is_ok()).count() as u64;
        let first = results.iter().find_map(|r| r.as_ref().err().cloned());
        let errors = results.into_iter().map(|r| r.err().map_or(ptr::null_mut(), seglift_error::give));
        (handle::give(State(errors.collect())), good, first)
    }
}

/// Deletes n objects. What is not there is deleted already: success. An error of one key does not keep the others.
/// The call returns OK when all succeeded, else the first failure's code. results may be NULL.
/// Ownership: *results is yours, until seglift_results_free; it is NULL only when nothing was tried.
/// Errors: PERMISSION_DENIED, UNAVAILABLE, TIMED_OUT, CANCELLED, CLOSED. Threads: any; blocks. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_delete(
    driver: *mut seglift_driver,
    keys: *const *const c_char,
    n: usize,
    call: *const seglift_call,
    results: *mut *mut seglift_results,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::optional(results, ptr::null_mut(), "seglift_results")?;
            let done = driver::borrow(driver)?.delete(&read_keys(keys, n)?, &call::read(call)?)?;
            let (all, _, first) = seglift_results::give(done);
            match place {
                Some(place) => place.set(all),
                None => seglift_results_free(all),
            }
            first.map_or(Ok(()), Err)
        })
    }
}

/// The keys of a batch.
///
/// # Safety
/// `keys` is NULL or points to `n` pointers to strings as the header asks.
pub(super) unsafe fn read_keys(keys: *const *const c_char, n: usize) -> Result<Vec<String>> {
    if n > 0 && (keys.is_null() || !keys.is_aligned()) || n > isize::MAX as usize / size_of::<*const c_char>()
    {
        return Err(invalid(format!("keys is NULL, not aligned, or has an impossible length of {n}")));
    }
    // SAFETY: checked, and the caller vouches for the strings.
    (0..n).map(|i| unsafe { text(*keys.add(i), &format!("keys[{i}]")) }.map(str::to_owned)).collect()
}

/// The number of keys of the batch; 0 for NULL. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_results_count(results: *const seglift_results) -> usize {
    // SAFETY: NULL or live results, says the header.
    quiet(0, || unsafe { handle::peek(results).map_or(0, |s| s.0.len()) })
}

/// The code of the i-th key; OUT_OF_RANGE if there is none. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_results_code(results: *const seglift_results, i: usize) -> seglift_code {
    // SAFETY: NULL or live results, says the header; their errors are as live as they.
    quiet(SEGLIFT_OUT_OF_RANGE, || unsafe {
        match handle::peek(results).ok().and_then(|s| s.0.get(i)) {
            Some(error) if error.is_null() => SEGLIFT_OK,
            Some(error) => seglift_error_code(*error),
            None => SEGLIFT_OUT_OF_RANGE,
        }
    })
}

/// The error of the i-th key, NULL if it succeeded. It belongs to the results: do not free it.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_results_error(
    results: *const seglift_results,
    i: usize,
) -> *const seglift_error {
    // SAFETY: NULL or live results, says the header.
    quiet(ptr::null(), || unsafe {
        handle::peek(results).ok().and_then(|s| s.0.get(i)).map_or(ptr::null(), |error| error.cast_const())
    })
}

/// Frees results. NULL is fine. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_results_free(results: *mut seglift_results) {
    // SAFETY: NULL or results that are the caller's, says the header.
    unsafe { handle::free(results) };
}
