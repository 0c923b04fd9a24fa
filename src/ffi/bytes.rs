//! Bytes: immutable, counted, alive as long as anyone holds them.

use super::{
    handle::{self, opaque},
    panic::quiet,
    text::printable,
};
use crate::reader::SegmentBytes;
use std::{
    ffi::{CString, c_void},
    sync::Arc,
};

/// Bytes that the library made: a range of a segment, an attachment, a document. Immutable.
/// Ownership: counted. Whoever gets one holds a count and gives it back with seglift_bytes_free; they outlive
/// the driver and the engine that made them. What comes from a segment counts against memory.lent.limit until
/// the last count is back, so do not hoard.
/// Threads: any number at once. Since 1.0.
pub struct seglift_bytes {
    _opaque: (),
}
opaque!(seglift_bytes, b"sl-bytes", Arc<State>);

/// Where the bytes lie.
pub(super) enum State {
    /// In a block of the cache or a buffer of a read.
    Segment(SegmentBytes),
    /// In a document of ours, with a NUL behind it.
    Text(CString),
}

impl State {
    fn as_slice(&self) -> &[u8] {
        match self {
            State::Segment(bytes) => bytes,
            State::Text(text) => text.as_bytes(),
        }
    }
}

impl seglift_bytes {
    /// Bytes of a segment, with one count for the caller.
    pub(super) fn of_segment(bytes: SegmentBytes) -> *mut seglift_bytes {
        handle::give(Arc::new(State::Segment(bytes)))
    }

    /// A text, with one count for the caller.
    pub(super) fn of_text(text: &str) -> *mut seglift_bytes {
        handle::give(Arc::new(State::Text(printable(text))))
    }
}

/// The first byte. Valid as long as you hold a count; NULL for NULL, and maybe for no bytes. Behind a text (JSON,
/// metrics, a log line) stands a NUL that seglift_bytes_len does not count.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_bytes_data(bytes: *const seglift_bytes) -> *const c_void {
    // SAFETY: NULL or live bytes, says the header.
    quiet(std::ptr::null(), || unsafe {
        handle::peek(bytes).map_or(std::ptr::null(), |state| state.as_slice().as_ptr().cast())
    })
}

/// The number of bytes; 0 for NULL. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_bytes_len(bytes: *const seglift_bytes) -> usize {
    // SAFETY: NULL or live bytes, says the header.
    quiet(0, || unsafe { handle::peek(bytes).map_or(0, |state| state.as_slice().len()) })
}

/// One more count, for another holder; the pointer that it returns is freed on its own. Copies nothing.
/// NULL for NULL. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_bytes_ref(bytes: *mut seglift_bytes) -> *mut seglift_bytes {
    // SAFETY: NULL or live bytes, says the header.
    quiet(std::ptr::null_mut(), || unsafe {
        handle::peek(bytes.cast_const()).map_or(std::ptr::null_mut(), |state| handle::give(Arc::clone(state)))
    })
}

/// Gives one count back; after the last one the memory is free. NULL is fine.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_bytes_free(bytes: *mut seglift_bytes) {
    // SAFETY: NULL or live bytes of which the caller holds a count, says the header.
    unsafe { handle::free(bytes) };
}
