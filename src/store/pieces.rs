//! Recycled buffers of one piece each, for stores that read into memory of their own.
//!
//! A long read costs a few allocations, not one for each piece. A short answer gets memory of its own size: 64 bytes
//! must not pin 256 KiB. At most [`KEPT`] buffers rest here; more are freed, since an idle store owns little.

use crate::{
    buf::Pool,
    error::{Code, Error, Result},
};
use bytes::Bytes;

/// Bytes in one piece: large enough that a system call and a thread hand-over do not show, small enough to
/// be in the L2 cache still when it is checked and decompressed.
pub(super) use crate::buf::PIECE;

/// Buffers that rest in the pool, 2 MiB in all: two for each of four reads that stream at once.
const KEPT: usize = 8;

/// A pool of buffers of [`PIECE`] bytes. Clones share it.
#[derive(Clone)]
pub(super) struct Pieces(Pool);

impl Default for Pieces {
    fn default() -> Pieces {
        Pieces(Pool::new(KEPT))
    }
}

impl Pieces {
    /// `len` bytes (at most [`PIECE`]) that `fill` has written, or its error.
    pub(super) fn filled(&self, len: usize, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Bytes> {
        if len <= PIECE / 2 {
            let mut buf = zeroed(len)?;
            fill(&mut buf)?;
            return Ok(buf.into());
        }
        let mut piece = self.0.get()?;
        piece.set_len(len)?;
        fill(&mut piece)?;
        Ok(piece.freeze())
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
        assert_eq!(pool.0.idle(), 0, "a slice still reads it");
        assert_eq!(&part[..], [7; 10]);
        drop(part);
        assert_eq!(pool.0.idle(), 1);
    }

    #[test]
    fn a_short_answer_does_not_pin_a_whole_piece() {
        let pool = Pieces::default();
        drop(pool.filled(64, |_| Ok(())).unwrap());
        assert_eq!(pool.0.idle(), 0);
    }

    #[test]
    fn the_pool_rests_with_a_bounded_number_of_buffers() {
        let pool = Pieces::default();
        let many: Vec<_> = (0..3 * KEPT).map(|_| pool.filled(PIECE, |_| Ok(())).unwrap()).collect();
        drop(many);
        assert_eq!(pool.0.idle(), KEPT);
    }
}
