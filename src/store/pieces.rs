//! Recycled buffers of one piece each, for stores that read into memory of their own.
//!
//! A buffer goes out as [`Bytes`] and comes back by itself when the last reader lets go of it, so a long
//! read costs two allocations, not one for each piece. A short answer gets memory of its own size: 64 bytes
//! must not pin 256 KiB. At most [`KEPT`] buffers rest here; more are freed, since an idle store owns little.

use crate::error::{Code, Error, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;

/// Bytes in one piece: large enough that a system call and a thread hand-over do not show, small enough to
/// be in the L2 cache still when it is checked and decompressed.
pub(super) const PIECE: usize = 256 << 10;

/// Buffers that rest in the pool, 2 MiB in all: two for each of four reads that stream at once.
const KEPT: usize = 8;

/// A pool of buffers of [`PIECE`] bytes. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Pieces(Arc<Mutex<Vec<Box<[u8]>>>>);

/// A buffer on loan; goes back to its pool when dropped.
struct Loan {
    buf: Box<[u8]>,
    home: Pieces,
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.buf
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut free = self.home.0.lock();
        if self.buf.len() == PIECE && free.len() < KEPT {
            free.push(std::mem::take(&mut self.buf));
        }
    }
}

impl Pieces {
    /// `len` bytes (at most [`PIECE`]) that `fill` has written, or its error.
    pub(super) fn filled(&self, len: usize, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Bytes> {
        debug_assert!(len <= PIECE);
        let recycled = if len > PIECE / 2 { self.0.lock().pop() } else { None };
        let buf = match recycled {
            Some(buf) => buf,
            None => zeroed(if len > PIECE / 2 { PIECE } else { len })?.into_boxed_slice(),
        };
        let mut loan = Loan { buf, home: self.clone() };
        fill(&mut loan.buf[..len])?;
        Ok(Bytes::from_owner(loan).slice(..len))
    }
}

/// `len` zero bytes, or `RESOURCE_EXHAUSTED` where memory has run out.
pub(super) fn zeroed(len: usize) -> Result<Vec<u8>> {
    let mut buf = with_capacity(len)?;
    buf.resize(len, 0);
    Ok(buf)
}

/// Room for `len` bytes, or `RESOURCE_EXHAUSTED` where memory has run out.
pub(super) fn with_capacity(len: usize) -> Result<Vec<u8>> {
    let mut buf = Vec::new();
    buf.try_reserve_exact(len).map_err(|_| {
        Error::new(
            Code::ResourceExhausted,
            format!("no memory for {len} bytes; give the process more or ask for less"),
        )
    })?;
    Ok(buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_the_last_reader_lets_go() {
        let pool = Pieces::default();
        let sevens = |buf: &mut [u8]| {
            buf.fill(7);
            Ok(())
        };
        let whole = pool.filled(PIECE, sevens).unwrap();
        let part = whole.slice(10..20);
        drop(whole);
        assert_eq!(pool.0.lock().len(), 0, "a slice still reads it");
        assert_eq!(&part[..], [7; 10]);
        drop(part);
        assert_eq!(pool.0.lock().len(), 1);
    }

    #[test]
    fn a_short_answer_does_not_pin_a_whole_piece() {
        let pool = Pieces::default();
        drop(pool.filled(64, |_| Ok(())).unwrap());
        assert_eq!(pool.0.lock().len(), 0);
    }

    #[test]
    fn the_pool_rests_with_a_bounded_number_of_buffers() {
        let pool = Pieces::default();
        let many: Vec<_> = (0..3 * KEPT).map(|_| pool.filled(PIECE, |_| Ok(())).unwrap()).collect();
        drop(many);
        assert_eq!(pool.0.lock().len(), KEPT);
    }
}
