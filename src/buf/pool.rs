//! Recycled pieces of one size.
//!
//! Purpose: the source of an offload is read, and what is small is assembled, in pieces whose pages are
//! mapped already; allocating and zeroing them anew would cost more than reading into them.
//!
//! Invariant: a piece is initialised memory from its first moment on, so that recycling needs neither
//! zeroing nor `unsafe`; what a former user left behind lies past `len` and is reached only by
//! [`PieceBuf::capacity_mut`].
//!
//! Trade-off: idle pieces are memory that no budget counts, so there is a bound to them; above it pieces go
//! back to the allocator.

use crate::error::{Code, Error, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Length of a piece in bytes: long enough that a system call for each does not count, short enough that
/// it is still in the processor's cache when it is checksummed and sent.
pub const PIECE: usize = 256 * 1024;

struct Shared {
    idle: Mutex<Vec<Box<[u8]>>>,
    max_idle: usize,
    in_use: AtomicUsize,
}

/// A source of [`PieceBuf`]s; cheap to clone, all clones are one pool. Any number of threads may use it.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

impl Pool {
    /// A pool that keeps at most `max_idle` unused pieces (of [`PIECE`] bytes each).
    pub fn new(max_idle: usize) -> Pool {
        Pool(Arc::new(Shared {
            idle: Mutex::new(Vec::with_capacity(max_idle)),
            max_idle,
            in_use: AtomicUsize::new(0),
        }))
    }

    /// An empty piece, recycled if there is one.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if a new one was needed and there is no memory.
    pub fn get(&self) -> Result<PieceBuf> {
        let recycled = self.0.idle.lock().pop();
        let memory = match recycled {
            Some(memory) => memory,
            None => super::zeroed(PIECE)?,
        };
        self.0.in_use.fetch_add(1, Ordering::Relaxed);
        Ok(PieceBuf { memory, len: 0, home: self.0.clone() })
    }

    /// Pieces that wait for their next use.
    pub fn idle(&self) -> usize {
        self.0.idle.lock().len()
    }

    /// Pieces that are in use, frozen ones included.
    pub fn in_use(&self) -> usize {
        self.0.in_use.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.idle()).field("in_use", &self.in_use()).finish()
    }
}

/// A piece of [`PIECE`] bytes of which the first `len` count. Returns to its pool when it is dropped.
pub struct PieceBuf {
    memory: Box<[u8]>,
    len: usize,
    home: Arc<Shared>,
}

impl PieceBuf {
    /// All [`PIECE`] bytes, to read into; follow with [`set_len`](PieceBuf::set_len). What stands there is
    /// unspecified.
    pub fn capacity_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// How many bytes count, from the first.
    ///
    /// # Errors
    /// `INTERNAL` if `len` is more than [`PIECE`].
    pub fn set_len(&mut self, len: usize) -> Result<()> {
        if len > self.memory.len() {
            return Err(Error::new(Code::Internal, format!("a piece of {PIECE} bytes cannot hold {len}")));
        }
        self.len = len;
        Ok(())
    }

    /// Appends as much of `bytes` as fits and returns how many bytes that was.
    pub fn fill_from(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room());
        self.memory[self.len..self.len + n].copy_from_slice(&bytes[..n]);
        self.len += n;
        n
    }

    /// How many bytes still fit.
    pub fn room(&self) -> usize {
        self.memory.len() - self.len
    }

    /// The bytes that count, immutable and shareable; the piece returns to its pool with the last of them.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for PieceBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl DerefMut for PieceBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.len]
    }
}

impl AsRef<[u8]> for PieceBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for PieceBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceBuf").field("len", &self.len).finish()
    }
}

impl Drop for PieceBuf {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        self.home.in_use.fetch_sub(1, Ordering::Relaxed);
        let mut idle = self.home.idle.lock();
        if idle.len() < self.home.max_idle {
            idle.push(memory);
        } else {
            // The allocator may take its time: not under the lock.
            drop(idle);
            drop(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_used_again_after_the_last_of_its_frozen_bytes_is_gone() {
        let pool = Pool::new(4);
        let mut piece = pool.get().unwrap();
        let place = piece.capacity_mut().as_ptr();
        assert_eq!(piece.fill_from(b"hello"), 5);
        let bytes = piece.freeze();
        let tail = bytes.slice(3..);
        drop(bytes);
        assert_eq!((pool.idle(), pool.in_use(), &tail[..]), (0, 1, &b"lo"[..]));
        drop(tail);
        assert_eq!((pool.idle(), pool.in_use()), (1, 0));
        let mut again = pool.get().unwrap();
        assert!(again.is_empty(), "nothing of the former user counts");
        assert_eq!(again.capacity_mut().as_ptr(), place);
    }

    #[test]
    fn no_more_pieces_stay_idle_than_was_told() {
        let pool = Pool::new(2);
        let pieces: Vec<_> = (0..5).map(|_| pool.get().unwrap()).collect();
        assert_eq!(pool.in_use(), 5);
        drop(pieces);
        assert_eq!((pool.idle(), pool.in_use()), (2, 0));
    }

    #[test]
    fn a_piece_takes_what_fits_and_says_how_much() {
        let mut piece = Pool::new(1).get().unwrap();
        piece.set_len(PIECE - 2).unwrap();
        assert_eq!((piece.fill_from(b"abc"), piece.room(), piece.len()), (2, 0, PIECE));
        assert_eq!(&piece[PIECE - 2..], b"ab");
        assert_eq!(piece.set_len(PIECE + 1).unwrap_err().code(), Code::Internal);
    }

    #[test]
    fn threads_that_share_a_pool_never_share_a_piece() {
        let pool = Pool::new(3);
        std::thread::scope(|s| {
            for id in 0..8_u8 {
                let pool = pool.clone();
                s.spawn(move || {
                    for round in 0..500_u32 {
                        let mut piece = pool.get().unwrap();
                        let mark = [id, round as u8, id ^ 0x55];
                        for chunk in piece.capacity_mut().chunks_exact_mut(4096) {
                            chunk[..3].copy_from_slice(&mark);
                        }
                        std::thread::yield_now();
                        assert!(piece.capacity_mut().chunks_exact(4096).all(|c| c[..3] == mark));
                    }
                });
            }
        });
        assert!(pool.idle() <= 3);
        assert_eq!(pool.in_use(), 0);
    }
}
