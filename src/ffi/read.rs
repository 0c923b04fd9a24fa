//! Reads of byte ranges: into the caller's memory, or as counted bytes without a copy.

use super::{
    bytes::seglift_bytes,
    call::{self, seglift_call},
    codes::seglift_code,
    driver::{self, seglift_driver},
    error::seglift_error,
    panic,
    receipt::SEGLIFT_TOKEN_MAX,
    structs::{Place, c_struct, required},
    text::{blob, check_blob, invalid, text},
};
use crate::{error::Result, reader::SegmentRef};
use std::{
    ffi::{c_char, c_void},
    ptr,
};

/// Which segment to read. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_ref {
    /// sizeof(seglift_ref).
    pub size: usize,
    /// The key that it was offloaded under.
    pub key: *const c_char,
    /// The receipt's token; NULL = the library looks for the object's tail itself, which costs a request more.
    pub token: *const c_void,
    /// Its length in bytes.
    pub token_len: usize,
}
c_struct! { seglift_ref up to token_len: usize; }

/// The reference in Rust's words.
///
/// # Safety
/// `segment` is NULL or a struct as the header asks.
pub(super) unsafe fn segment_ref(segment: *const seglift_ref) -> Result<SegmentRef> {
    // SAFETY: the caller's promise is ours, here and below.
    let r = unsafe { required(segment) }?;
    if r.token_len > SEGLIFT_TOKEN_MAX {
        return Err(invalid(format!(
            "seglift_ref.token_len is {}; no token is longer than 128 bytes",
            r.token_len
        )));
    }
    // SAFETY: see above.
    let token = unsafe { blob(r.token, r.token_len, "seglift_ref.token") }?;
    Ok(SegmentRef {
        // SAFETY: see above.
        key: unsafe { text(r.key, "seglift_ref.key") }?.to_owned(),
        token: (!token.is_empty()).then(|| token.to_vec()),
    })
}

/// Reads len bytes of the segment from offset into buf. *nread is less than len only at the end of the segment; at
/// its very end it is 0. Every byte was verified.
/// Errors: OUT_OF_RANGE past the end, NOT_FOUND, NOT_FOUND_OR_DENIED, CORRUPT, ARCHIVED, WRONG_STORE, WOULD_BLOCK
/// (CACHED_ONLY), TIMED_OUT, CANCELLED, BUSY, RESOURCE_EXHAUSTED, CLOSED; then the contents of buf mean nothing.
/// Threads: any; blocks; what is in memory is answered without a change of thread. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_read_range(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    offset: u64,
    buf: *mut c_void,
    len: usize,
    call: *const seglift_call,
    nread: *mut usize,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(nread, 0, "number of bytes read")?;
            check_blob(buf, len, "buf")?;
            let dest =
                if len == 0 { &mut [][..] } else { std::slice::from_raw_parts_mut(buf.cast::<u8>(), len) };
            let n = driver::borrow(driver)?.read_range(
                &segment_ref(segment)?,
                offset,
                dest,
                &call::read(call)?,
            )?;
            place.set(n);
            Ok(())
        })
    }
}

/// Reads as seglift_read_range, into memory of the library: without a copy where one cached block holds the range.
/// Ownership: *bytes is yours, until seglift_bytes_free; fewer than len bytes only at the end of the segment.
/// Errors: as seglift_read_range; BUSY when memory.lent.limit is reached. Threads: any; blocks; what is in memory is
/// answered without a change of thread. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_read_range_bytes(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    offset: u64,
    len: u64,
    call: *const seglift_call,
    bytes: *mut *mut seglift_bytes,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(bytes, ptr::null_mut(), "seglift_bytes")?;
            let read = driver::borrow(driver)?.read_range_bytes(
                &segment_ref(segment)?,
                offset,
                len,
                &call::read(call)?,
            )?;
            place.set(seglift_bytes::of_segment(read));
            Ok(())
        })
    }
}
