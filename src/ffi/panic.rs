//! No panic crosses the boundary.
//!
//! A panic that unwinds into C is undefined, one that aborts takes the broker with it. So each export runs
//! inside [`call`] or [`quiet`], and a panic becomes `INTERNAL` with the panic's own words.

use super::{
    codes::{SEGLIFT_OK, seglift_code},
    error::seglift_error,
};
use crate::error::{Code, Error, Result};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs the body of an export that returns a code. `*err` becomes NULL on success and at the normal end of a
/// sequence (`END`), else a new error that the caller owns.
///
/// # Safety
/// `err` is NULL or may be written.
pub(super) unsafe fn call(err: *mut *mut seglift_error, body: impl FnOnce() -> Result<()>) -> seglift_code {
    let body = || {
        provoked();
        body()
    };
    let failed = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(internal(payload))).err();
    let code = failed.as_ref().map_or(SEGLIFT_OK, |e| e.code() as seglift_code);
    if !err.is_null() {
        let raw = failed.filter(|e| e.code() != Code::End).map_or(std::ptr::null_mut(), seglift_error::give);
        // SAFETY: not NULL, and the caller vouches that it may be written.
        unsafe { err.write(raw) };
    }
    code
}

/// Runs the body of an export that cannot report an error; `fallback` is its answer after a panic.
pub(super) fn quiet<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    let body = || {
        provoked();
        body()
    };
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            drop(internal(payload));
            fallback
        }
    }
}

/// The panic that tests of the boundary ask for: in every export while the variable is set. Before the export looks at
/// anything, so that what it was given does not matter.
#[cfg(feature = "testing")]
fn provoked() {
    if std::env::var_os("SEGLIFT_TEST_PANIC").is_some() {
        panic!("SEGLIFT_TEST_PANIC is set");
    }
}

#[cfg(not(feature = "testing"))]
fn provoked() {}

fn internal(payload: Box<dyn Any + Send>) -> Error {
    let said = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        // Dropping a stranger's payload may panic again, here where nothing would catch it.
        _ => {
            std::mem::forget(payload);
            return Error::new(
                Code::Internal,
                "a defect in seglift: a panic without words; please report it",
            );
        }
    };
    Error::new(Code::Internal, format!("a defect in seglift, please report it: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_internal_with_its_words() {
        let mut err = std::ptr::null_mut();
        // SAFETY: `err` is a local variable.
        let code = unsafe { call(&mut err, || panic!("the {} broke", "spring")) };
        assert_eq!(code, Code::Internal as seglift_code);
        // SAFETY: `call` made the error, and it is freed once.
        unsafe {
            let message = std::ffi::CStr::from_ptr(super::super::error::seglift_error_message(err));
            assert!(message.to_str().unwrap().ends_with("the spring broke"), "{message:?}");
            super::super::error::seglift_error_free(err);
        }
    }

    #[test]
    fn a_payload_whose_drop_panics_does_not_escape() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(quiet(7, || std::panic::panic_any(Bomb)), 7);
    }

    #[test]
    fn the_end_of_a_sequence_makes_no_error_object() {
        let mut err = std::ptr::dangling_mut();
        // SAFETY: `err` is a local variable.
        let code = unsafe { call(&mut err, || Err(Error::new(Code::End, "no more"))) };
        assert_eq!((code, err.is_null()), (Code::End as seglift_code, true));
    }
}
