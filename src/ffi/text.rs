//! Strings and blobs that C hands in: checked, then borrowed for the length of the call; and strings that go out.

use crate::error::{Code, Error, Result};
use std::{
    ffi::{CStr, CString, c_char, c_void},
    time::Duration,
};

/// `INVALID_ARGUMENT` with a message.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

/// A NUL-terminated UTF-8 string that must be there. `what` names it in the message.
///
/// # Safety
/// `text` is NULL or points to a NUL-terminated string that stays as it is during the call.
pub(super) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise is ours.
    unsafe { optional(text, what) }?.ok_or_else(|| invalid(format!("{what} is NULL")))
}

/// A NUL-terminated UTF-8 string, `None` if NULL.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn optional<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and the caller vouches for the terminator.
    let bytes = unsafe { CStr::from_ptr(text) };
    bytes
        .to_str()
        .map(Some)
        .map_err(|e| invalid(format!("{what} is not UTF-8 from byte {} on", e.valid_up_to())))
}

/// A blob. NULL is fine when `len` is 0.
///
/// # Safety
/// `data` is NULL or points to `len` bytes that stay as they are during the call.
pub(super) unsafe fn blob<'a>(data: *const c_void, len: usize, what: &str) -> Result<&'a [u8]> {
    check_blob(data, len, what)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL, at most isize::MAX bytes, and the caller vouches for them.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// What can be checked of a pointer and a length without touching the memory.
pub(super) fn check_blob(data: *const c_void, len: usize, what: &str) -> Result<()> {
    if len > isize::MAX as usize {
        return Err(invalid(format!("the length of {what} is {len}: no object in memory is as large")));
    }
    if data.is_null() && len > 0 {
        return Err(invalid(format!("{what} is NULL but its length is {len}")));
    }
    Ok(())
}

/// A copy of a blob whose memory is asked for, not taken: blobs may be large, and a broker that is out of memory
/// shall get an error.
pub(super) fn copy(blob: &[u8], what: &str) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(blob.len()).map_err(|_| {
        Error::new(Code::ResourceExhausted, format!("no memory for the {} bytes of {what}", blob.len()))
    })?;
    copy.extend_from_slice(blob);
    Ok(copy)
}

/// A time to wait: milliseconds, -1 = for ever.
pub(super) fn timeout(ms: i64) -> Result<Duration> {
    match ms {
        // 136 years: as good as for ever, and no clock overflows when it is added.
        -1 => Ok(Duration::from_secs(u64::from(u32::MAX))),
        0.. => Ok(Duration::from_millis(ms as u64)),
        _ => Err(invalid(format!("timeout_ms is {ms}; give 0 or more, or -1 to wait for ever"))),
    }
}

/// `text` for C. A NUL inside would hide the rest, so it is written as `\0`.
pub(super) fn printable(text: &str) -> CString {
    CString::new(text.replace('\0', "\\0")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_inside_a_message_is_made_printable() {
        assert_eq!(printable("a\0b").to_str().unwrap(), "a\\0b");
    }

    #[test]
    fn a_string_that_is_not_utf8_is_refused_with_the_position() {
        // SAFETY: a literal.
        let e = unsafe { text(c"ab\xff".as_ptr(), "key") }.unwrap_err();
        assert_eq!((e.code(), e.message()), (Code::InvalidArgument, "key is not UTF-8 from byte 2 on"));
    }

    #[test]
    fn a_length_over_isize_max_is_refused_without_a_look_at_the_memory() {
        let e = check_blob(std::ptr::dangling(), isize::MAX as usize + 1, "buf").unwrap_err();
        assert_eq!(e.code(), Code::InvalidArgument);
    }

    #[test]
    fn null_is_an_empty_blob_but_not_a_longer_one() {
        // SAFETY: NULL is allowed.
        unsafe {
            assert!(blob(std::ptr::null(), 0, "data").unwrap().is_empty());
            assert_eq!(blob(std::ptr::null(), 1, "data").unwrap_err().code(), Code::InvalidArgument);
        }
    }

    #[test]
    fn minus_one_waits_for_ever_and_less_is_refused() {
        assert!(timeout(-1).unwrap() > Duration::from_secs(1 << 31));
        assert_eq!(timeout(0).unwrap(), Duration::ZERO);
        assert_eq!(timeout(-2).unwrap_err().code(), Code::InvalidArgument);
    }
}
