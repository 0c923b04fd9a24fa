//! Cutting an object into parts, where its bytes do not stand anywhere to be read again: compressed
//! segments, and segments that are pushed.
//!
//! Invariant: all parts but the last are exactly as long as told, and the last is never empty. A part is
//! closed only when a byte comes that does not fit any more, so the last part is known as the last.
//!
//! Trade-off: a finished part lies in memory, in recycled pieces, until the store has it; that is why such
//! uploads take small parts where the store allows them, and reserve their memory before they begin.

use crate::{
    buf::{PieceBuf, Pool},
    codec::checksum::{Crc32c, crc32c},
    engine::Op,
    error::Result,
    store::{Body, ByteStream},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::{collections::VecDeque, sync::Arc};

/// A finished part of an object.
pub(super) struct Part {
    /// Counted from 0.
    pub number: u32,
    /// Where it begins in the object, in bytes.
    pub offset: u64,
    /// Nothing comes after it.
    pub last: bool,
    /// Its bytes.
    pub body: Arc<Buffered>,
}

/// Bytes that lie in memory until the store has them.
pub(super) struct Buffered {
    pieces: Vec<Bytes>,
    len: u64,
    crc32c: u32,
    op: Op,
}

impl Body for Buffered {
    fn len(&self) -> u64 {
        self.len
    }

    fn open(&self) -> ByteStream {
        let op = self.op.clone();
        pause_within!(PartInside, stream::iter(self.pieces.clone()))
            .map(move |piece| {
                op.progress(piece.len() as u64);
                Ok(piece)
            })
            .boxed()
    }

    fn crc32c(&self) -> Option<u32> {
        Some(self.crc32c)
    }
}

/// Takes an object's bytes in order and gives its parts.
pub(super) struct Cutter {
    pool: Pool,
    op: Op,
    part_size: u64,
    number: u32,
    offset: u64,
    open: Option<PieceBuf>,
    pieces: Vec<Bytes>,
    len: u64,
    crc32c: u32,
    full: VecDeque<Part>,
}

impl Cutter {
    pub fn new(pool: Pool, op: Op, part_size: u64) -> Cutter {
        Cutter {
            pool,
            op,
            part_size,
            number: 0,
            offset: 0,
            open: None,
            pieces: Vec::new(),
            len: 0,
            crc32c: 0,
            full: VecDeque::new(),
        }
    }

    /// Takes the next bytes and returns their CRC32C, computed while they are hot and used twice: for the
    /// block that they are and, combined, for the part.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<u32> {
        let mut whole = 0;
        while !bytes.is_empty() {
            if self.len == self.part_size {
                self.close(false);
            }
            let room = (self.part_size - self.len).min(bytes.len() as u64) as usize;
            let fragment = &bytes[..room];
            let crc = crc32c(fragment);
            whole = Crc32c::combine(whole, crc, room as u64);
            self.crc32c = Crc32c::combine(self.crc32c, crc, room as u64);
            self.len += room as u64;
            self.copy(fragment)?;
            bytes = &bytes[room..];
        }
        Ok(whole)
    }

    fn copy(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let piece = match &mut self.open {
                Some(piece) => piece,
                none => none.insert(self.pool.get()?),
            };
            let taken = piece.fill_from(bytes);
            bytes = &bytes[taken..];
            if piece.room() == 0 {
                self.pieces.extend(self.open.take().map(PieceBuf::freeze));
            }
        }
        Ok(())
    }

    fn close(&mut self, last: bool) {
        self.pieces.extend(self.open.take().map(PieceBuf::freeze));
        let body = Buffered {
            pieces: std::mem::take(&mut self.pieces),
            len: self.len,
            crc32c: self.crc32c,
            op: self.op.clone(),
        };
        self.full.push_back(Part { number: self.number, offset: self.offset, last, body: Arc::new(body) });
        self.number += 1;
        self.offset += self.len;
        (self.len, self.crc32c) = (0, 0);
    }

    /// The oldest part that is full and not taken yet.
    pub fn take(&mut self) -> Option<Part> {
        self.full.pop_front()
    }

    /// Closes the last part.
    pub fn finish(&mut self) {
        self.close(true);
    }
}
