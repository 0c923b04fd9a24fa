//! A destination that its lender can take back at any moment.

use crate::error::{Code, Error, Result};
use bytes::Bytes;
use parking_lot::RwLock;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Memory that may be written: the host's, or a box of our own.
struct Memory {
    start: NonNull<u8>,
    len: usize,
    owned: bool,
}

// SAFETY: `Memory` is a pointer with a promise of its lender (or of `Box`) that it may be used from any
// thread; who writes where is settled by the disjoint ranges and by the lock around it.
unsafe impl Send for Memory {}
// SAFETY: as above; through `&Memory` alone nothing is written.
unsafe impl Sync for Memory {}

impl Memory {
    fn into_box(self) -> Option<Box<[u8]>> {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: owned memory came out of `Box::into_raw` in `LentBuf::owned` with this length, and
        // `ManuallyDrop` sees to it that it is put back into a box once only.
        this.owned
            .then(|| unsafe { Box::from_raw(NonNull::slice_from_raw_parts(this.start, this.len).as_ptr()) })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.owned {
            let inner = Memory { start: self.start, len: self.len, owned: true };
            self.owned = false;
            drop(inner.into_box());
        }
    }
}

struct Shared {
    /// `None` once the memory was given back. Writers to disjoint ranges share the lock; only giving the
    /// memory back takes it exclusively.
    memory: RwLock<Option<Memory>>,
    len: usize,
    claimed: AtomicBool,
}

/// The lender's end of a destination: it hands out the one [`LentRange`] that covers it, and takes the
/// memory back. Clones are the same buffer; any thread may use them.
#[derive(Clone)]
pub struct LentBuf(Arc<Shared>);

impl LentBuf {
    /// Borrows `len` bytes at `start`, NULL only where `len` is 0.
    ///
    /// # Safety
    /// Until [`revoke`](LentBuf::revoke) has returned, the memory is valid for writes of `len` bytes and
    /// nobody else reads or writes it. (If the handle is never revoked, then until all clones and ranges of
    /// it are gone.) What the bytes are before the first write does not matter.
    pub unsafe fn new(start: *mut u8, len: usize) -> LentBuf {
        let start = NonNull::new(start).unwrap_or(NonNull::dangling());
        LentBuf::of(Memory { start, len, owned: false })
    }

    /// A buffer of our own with `len` zeroed bytes, for reads into library memory; ends in
    /// [`into_bytes`](LentBuf::into_bytes).
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if there is no memory.
    pub fn owned(len: usize) -> Result<LentBuf> {
        let memory = Box::into_raw(super::zeroed(len)?);
        // A box is never null; `dangling` is unreachable and keeps this free of a panic.
        let start = NonNull::new(memory.cast::<u8>()).unwrap_or(NonNull::dangling());
        Ok(LentBuf::of(Memory { start, len, owned: true }))
    }

    fn of(memory: Memory) -> LentBuf {
        let len = memory.len;
        LentBuf(Arc::new(Shared { memory: RwLock::new(Some(memory)), len, claimed: AtomicBool::new(false) }))
    }

    /// Lends `dest` for as long as `f` runs, also if it panics.
    pub fn lend<R>(dest: &mut [u8], f: impl FnOnce(LentBuf) -> R) -> R {
        struct Revoke(LentBuf);
        impl Drop for Revoke {
            fn drop(&mut self) {
                self.0.revoke();
            }
        }
        // SAFETY: `dest` is borrowed exclusively until this function returns, and `Revoke` revokes before.
        let lent = Revoke(unsafe { LentBuf::new(dest.as_mut_ptr(), dest.len()) });
        f(lent.0.clone())
    }

    /// Length in bytes, also after it was given back.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there is no byte in it.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The right to write the whole buffer. There is one for each buffer, so that every part of it has one
    /// writer: the first call gets it, later ones get `None`.
    pub fn whole(&self) -> Option<LentRange> {
        let first = !self.0.claimed.swap(true, Ordering::AcqRel);
        first.then(|| LentRange { shared: self.0.clone(), start: 0, end: self.0.len })
    }

    /// Takes the memory back: waits for writes in progress (a block each) and refuses all later ones.
    /// Repeating it does nothing. Must not be called from within [`LentRange::with_mut`].
    pub fn revoke(&self) {
        let memory = self.0.memory.write().take();
        drop(memory);
    }

    /// Whether the memory was given back.
    pub fn is_revoked(&self) -> bool {
        self.0.memory.read().is_none()
    }

    /// Revokes a buffer of our own and hands its bytes out without a copy. `None` if the memory belongs to
    /// a lender or was given back before.
    pub fn into_bytes(self) -> Option<Bytes> {
        let memory = self.0.memory.write().take()?;
        memory.into_box().map(Bytes::from)
    }
}

impl fmt::Debug for LentBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentBuf").field("len", &self.0.len).field("revoked", &self.is_revoked()).finish()
    }
}

/// The only right to write a part of a [`LentBuf`]. No two ranges of a buffer overlap.
pub struct LentRange {
    shared: Arc<Shared>,
    start: usize,
    end: usize,
}

impl LentRange {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is no byte in it.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Two ranges, up to and from `mid`; a `mid` past the end leaves the second one empty.
    pub fn split_at(self, mid: usize) -> (LentRange, LentRange) {
        let at = self.start.saturating_add(mid).min(self.end);
        let second = LentRange { shared: self.shared.clone(), start: at, end: self.end };
        (LentRange { end: at, ..self }, second)
    }

    /// Cuts the first `n` bytes off (all, if there are fewer) and returns them.
    pub fn split_to(&mut self, n: usize) -> LentRange {
        let at = self.start.saturating_add(n).min(self.end);
        let first = LentRange { shared: self.shared.clone(), start: self.start, end: at };
        self.start = at;
        first
    }

    /// Copies `bytes` to position `at` of the range.
    ///
    /// # Errors
    /// `CLOSED` if the buffer was given back (nothing was written), `INTERNAL` if they do not fit.
    pub fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let end = at.saturating_add(bytes.len());
        self.with_mut(at..end, |to| to.copy_from_slice(bytes))
    }

    /// Lets `f` write `part` of the range, counted from its start: to decompress straight into place.
    /// `f` must neither wait nor revoke the buffer: who takes it back waits for `f`.
    ///
    /// # Errors
    /// `CLOSED` if the buffer was given back (`f` is not called), `INTERNAL` if `part` is not within.
    pub fn with_mut<R>(&mut self, part: Range<usize>, f: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        if part.start > part.end || part.end > self.len() {
            return Err(Error::new(
                Code::Internal,
                format!("bytes {part:?} were to be written into a range of {} bytes", self.len()),
            ));
        }
        let memory = self.shared.memory.read();
        let Some(memory) = memory.as_ref() else {
            return Err(Error::new(
                Code::Closed,
                "the destination was given back; nothing was written to it",
            ));
        };
        // SAFETY: `start + part` lies within the buffer by construction and by the check above; the memory
        // is there as long as the lock is held (`revoke` takes it exclusively); no other range covers these
        // bytes, and `&mut self` keeps this one from being used twice at a time. Memory of a lender counts
        // as initialised: it came from outside, so that the compiler knows nothing of what it holds.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(memory.start.as_ptr().add(self.start + part.start), part.len())
        };
        Ok(f(bytes))
    }
}

impl fmt::Debug for LentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentRange").field("start", &self.start).field("end", &self.end).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::time::{Duration, Instant};

    fn lend(memory: &mut [u8]) -> LentBuf {
        // SAFETY: each test revokes before it touches `memory` again, and outlives the threads that write.
        unsafe { LentBuf::new(memory.as_mut_ptr(), memory.len()) }
    }

    #[test]
    fn nothing_is_written_into_a_buffer_that_was_given_back() {
        let mut memory = [7_u8; 8];
        let buf = lend(&mut memory);
        let mut range = buf.whole().unwrap();
        range.write(2, b"ab").unwrap();
        buf.revoke();
        assert_eq!(range.write(4, b"cd").unwrap_err().code(), Code::Closed);
        assert_eq!(range.with_mut(0..8, |_| unreachable!("not called")).unwrap_err().code(), Code::Closed);
        buf.revoke();
        assert_eq!(&memory, &[7, 7, b'a', b'b', 7, 7, 7, 7]);
    }

    #[test]
    fn giving_back_waits_for_a_write_in_progress() {
        let mut memory = vec![0_u8; 4096];
        let buf = lend(&mut memory);
        let mut range = buf.whole().unwrap();
        let (entered, in_f) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            range.with_mut(0..4096, |to| {
                entered.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(80));
                to.fill(9);
            })
        });
        in_f.recv().unwrap();
        let start = Instant::now();
        buf.revoke();
        assert!(start.elapsed() >= Duration::from_millis(40), "revoke came back during the write");
        assert!(memory.iter().all(|&b| b == 9), "the write was over when the memory came back");
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn there_is_one_writer_for_every_byte() {
        let buf = LentBuf::owned(10).unwrap();
        let mut all = buf.whole().unwrap();
        assert!(buf.whole().is_none() && buf.clone().whole().is_none());
        let mut head = all.split_to(4);
        let (mut mid, mut rest) = all.split_at(5);
        assert_eq!((head.len(), mid.len(), rest.len()), (4, 5, 1));
        std::thread::scope(|s| {
            s.spawn(|| head.write(0, b"aaaa").unwrap());
            s.spawn(|| mid.write(0, b"bbbbb").unwrap());
            s.spawn(|| rest.write(0, b"c").unwrap());
        });
        assert_eq!(rest.write(0, b"cc").unwrap_err().code(), Code::Internal);
        assert_eq!(mid.write(usize::MAX, b"c").unwrap_err().code(), Code::Internal);
        assert_eq!(&buf.into_bytes().unwrap()[..], b"aaaabbbbbc");
    }

    #[test]
    fn splitting_past_the_end_leaves_nothing_on_the_other_side() {
        let mut all = LentBuf::owned(3).unwrap().whole().unwrap();
        assert_eq!(all.split_to(usize::MAX).len(), 3);
        let (a, b) = all.split_at(usize::MAX);
        assert!(a.is_empty() && b.is_empty());
    }

    #[test]
    fn bytes_of_our_own_come_out_once_and_lent_ones_never() {
        let buf = LentBuf::owned(3).unwrap();
        let other = buf.clone();
        assert_eq!(buf.into_bytes().unwrap().len(), 3);
        assert!(other.into_bytes().is_none());
        let mut memory = [0_u8; 1];
        assert!(lend(&mut memory).into_bytes().is_none());
        // SAFETY: no byte is lent.
        let none = unsafe { LentBuf::new(std::ptr::null_mut(), 0) };
        none.whole().unwrap().write(0, b"").unwrap();
    }

    #[test]
    fn late_writers_never_reach_memory_that_its_owner_uses_again() {
        static WRITES: AtomicU64 = AtomicU64::new(0);
        for round in 0..200_u32 {
            let mut memory = vec![0_u8; 64 * 1024];
            let buf = lend(&mut memory);
            let mut rest = buf.whole().unwrap();
            let writers: Vec<_> = (0..4)
                .map(|_| {
                    let mut range = rest.split_to(16 * 1024);
                    std::thread::spawn(move || {
                        // Bounded, so that a buffer that is never taken back fails instead of hanging.
                        for _ in 0..1_000_000 {
                            if range.write(0, &[1; 16 * 1024]).is_err() {
                                return true;
                            }
                            WRITES.fetch_add(1, Ordering::Relaxed);
                        }
                        false
                    })
                })
                .collect();
            for _ in 0..round * 20 {
                std::hint::spin_loop();
            }
            buf.revoke();
            memory.fill(2);
            for writer in writers {
                assert!(writer.join().unwrap(), "a writer was never refused");
            }
            assert!(memory.iter().all(|&b| b == 2));
        }
        assert!(WRITES.load(Ordering::Relaxed) > 0, "the writers ran before they were refused");
    }
}
