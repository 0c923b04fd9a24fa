//! Memory that moves through seglift: recycled pieces, and buffers that belong to somebody else.
//!
//! Purpose: a byte of a segment is touched as seldom as possible. Sources are read into recycled pieces,
//! and what is fetched is copied or decompressed straight into its destination, which is often memory of
//! the host.
//!
//! Invariant: **no attempt ever writes into a buffer that was given back.** Nobody but this module holds a
//! pointer to lent memory. Whoever wants to touch it asks a token, the token asks the one lock, and
//! revoking takes that lock exclusively: after [`LentBuf::revoke`] the memory cannot be reached at all, by
//! whatever attempt is still on its way.
//!
//! Trade-off: revoking waits for accesses in progress. They are a copy or the decompression of one block
//! each, so that this is a matter of microseconds; never wait or do I/O inside of an access.
//!
//! This is one of the two homes of `unsafe` in the crate: here for raw pointers of a lender and for zeroed
//! memory that may be refused.

mod lent;
mod pool;
mod source;

pub use lent::{LentBuf, LentRange};
pub use pool::{PIECE, PieceBuf, Pool};
pub use source::LentSource;

use crate::error::{Code, Error, Result};
use std::alloc::{Layout, alloc_zeroed};
use std::ptr::NonNull;

/// Zeroed memory of `len` bytes, or `RESOURCE_EXHAUSTED`. Large pieces come from the kernel zeroed already
/// and cost nothing before they are touched.
fn zeroed(len: usize) -> Result<Box<[u8]>> {
    if len == 0 {
        return Ok(Box::default());
    }
    let exhausted = || {
        Error::new(
            Code::ResourceExhausted,
            format!("a buffer of {len} bytes could not be allocated; the process is out of memory"),
        )
    };
    let layout = Layout::array::<u8>(len).map_err(|_| exhausted())?;
    // SAFETY: the layout is not empty, `len` was checked above.
    let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(exhausted)?;
    // SAFETY: `start` points to `len` initialised bytes of the global allocator with the layout that a
    // boxed slice of `len` bytes is freed with, and nobody else has it.
    Ok(unsafe { Box::from_raw(NonNull::slice_from_raw_parts(start, len).as_ptr()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_cannot_be_had_is_an_error_and_no_abort() {
        for len in [usize::MAX, isize::MAX as usize, 1 << 60] {
            assert_eq!(zeroed(len).unwrap_err().code(), Code::ResourceExhausted);
        }
        assert_eq!(&*zeroed(3).unwrap(), &[0, 0, 0]);
        assert!(zeroed(0).unwrap().is_empty());
    }
}
