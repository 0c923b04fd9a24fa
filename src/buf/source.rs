//! A source that its lender can take back at any moment.

use crate::error::{Code, Error, Result};
use bytes::Bytes;
use parking_lot::RwLock;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

enum Memory {
    Lent(NonNull<u8>),
    Owned(Bytes),
}

// SAFETY: the lender promised (`LentSource::new`) that the memory may be read from any thread.
unsafe impl Send for Memory {}
// SAFETY: as above; the memory is only read.
unsafe impl Sync for Memory {}

struct Shared {
    memory: RwLock<Option<Memory>>,
    len: usize,
}

/// Bytes that are read while an offload runs and not after it: after [`revoke`](LentSource::revoke) no
/// attempt reads what its owner may have freed. Clones are the same source; any thread may use them.
#[derive(Clone)]
pub struct LentSource(Arc<Shared>);

impl LentSource {
    /// Borrows `len` bytes at `start`, NULL only where `len` is 0.
    ///
    /// # Safety
    /// Until [`revoke`](LentSource::revoke) has returned, the memory is valid for reads of `len` bytes, holds
    /// initialised bytes, and nobody writes it. (If it is never revoked, then until all clones are gone.)
    pub unsafe fn new(start: *const u8, len: usize) -> LentSource {
        let start = NonNull::new(start.cast_mut()).unwrap_or(NonNull::dangling());
        LentSource::of(Memory::Lent(start), len)
    }

    /// The same face for bytes of our own.
    pub fn owned(bytes: impl Into<Bytes>) -> LentSource {
        let bytes = bytes.into();
        let len = bytes.len();
        LentSource::of(Memory::Owned(bytes), len)
    }

    fn of(memory: Memory, len: usize) -> LentSource {
        LentSource(Arc::new(Shared { memory: RwLock::new(Some(memory)), len }))
    }

    /// Length in bytes, also after it was given back.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there is no byte in it.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// Copies the bytes from `offset` on into `to`, which they must fill.
    ///
    /// # Errors
    /// `CLOSED` if the source was given back, `INTERNAL` if the range is not within.
    pub fn copy_out(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(to.len());
        self.with(offset..end, |from| to.copy_from_slice(from))
    }

    /// Lets `f` look at a range in place: to compress or to checksum it without a copy. `f` must neither
    /// wait nor revoke the source: who takes it back waits for `f`.
    ///
    /// # Errors
    /// `CLOSED` if the source was given back (`f` is not called), `INTERNAL` if the range is not within.
    pub fn with<R>(&self, range: Range<usize>, f: impl FnOnce(&[u8]) -> R) -> Result<R> {
        if range.start > range.end || range.end > self.0.len {
            return Err(Error::new(
                Code::Internal,
                format!("bytes {range:?} were to be read from a source of {} bytes", self.0.len),
            ));
        }
        match &*self.0.memory.read() {
            None => Err(Error::new(Code::Closed, "the source was given back; nothing was read from it")),
            Some(Memory::Owned(bytes)) => Ok(f(&bytes[range])),
            Some(Memory::Lent(start)) => {
                // SAFETY: the range is within (checked above), and the memory is there and unchanged while
                // the lock is held, because `revoke` takes it exclusively.
                let bytes =
                    unsafe { std::slice::from_raw_parts(start.as_ptr().add(range.start), range.len()) };
                Ok(f(bytes))
            }
        }
    }

    /// Gives the memory back: waits for accesses in progress and refuses all later ones. Repeating it does
    /// nothing. Must not be called from within [`with`](LentSource::with).
    pub fn revoke(&self) {
        let memory = self.0.memory.write().take();
        drop(memory);
    }
}

impl fmt::Debug for LentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentSource").field("len", &self.0.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_from_a_source_that_was_given_back() {
        let memory = b"segment".to_vec();
        // SAFETY: `memory` outlives the source and is not written.
        let source = unsafe { LentSource::new(memory.as_ptr(), memory.len()) };
        let late = source.clone();
        let mut to = [0; 3];
        source.copy_out(2, &mut to).unwrap();
        assert_eq!((&to, late.len()), (b"gme", 7));
        source.revoke();
        assert_eq!(late.copy_out(0, &mut to).unwrap_err().code(), Code::Closed);
        assert_eq!(late.with(0..1, |_| unreachable!("not called")).unwrap_err().code(), Code::Closed);
    }

    #[test]
    fn a_range_outside_of_the_source_is_refused() {
        let source = LentSource::owned(vec![1, 2, 3]);
        assert_eq!(source.with(1..3, |b| b.to_vec()).unwrap(), [2, 3]);
        assert_eq!(source.copy_out(2, &mut [0; 2]).unwrap_err().code(), Code::Internal);
        assert_eq!(source.copy_out(usize::MAX, &mut [0; 2]).unwrap_err().code(), Code::Internal);
    }

    #[test]
    fn giving_a_source_back_waits_for_its_readers() {
        for round in 0..100_u32 {
            let mut memory = vec![3_u8; 64 * 1024];
            // SAFETY: the memory is written only after `revoke` has returned.
            let source = unsafe { LentSource::new(memory.as_ptr(), memory.len()) };
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let source = source.clone();
                    std::thread::spawn(move || {
                        // Bounded, so that a source that is never taken back fails instead of hanging.
                        for _ in 0..1_000_000 {
                            match source.with(0..64 * 1024, |b| b.iter().all(|&x| x == 3)) {
                                Ok(same) => assert!(same, "the owner wrote while it was read"),
                                Err(_) => return true,
                            }
                        }
                        false
                    })
                })
                .collect();
            for _ in 0..round * 50 {
                std::hint::spin_loop();
            }
            source.revoke();
            memory.fill(4);
            for reader in readers {
                assert!(reader.join().unwrap(), "a reader was never refused");
            }
        }
    }
}
