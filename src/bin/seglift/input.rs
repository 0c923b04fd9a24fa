//! Standard input and other sources without a length, read so that Ctrl-C is heard.
//!
//! A read from a pipe blocks for as long as its writer likes. It therefore happens in a thread of
//! its own, which hands on pieces through a short channel; the main thread waits for a piece or for
//! the interrupt. That thread is never joined: the process may end while it still waits.

use seglift::engine::Cancel;
use std::{
    io::{self, BufRead, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

/// What is read at once: the size in which the library moves bytes.
const PIECE: usize = 256 * 1024;
/// Pieces that wait: enough for reading and compressing to overlap.
const AHEAD: usize = 4;
/// How often a waiting reader looks whether it was interrupted.
const TICK: Duration = Duration::from_millis(100);

/// Bytes that arrive when they like.
pub struct Input {
    pieces: Receiver<io::Result<Vec<u8>>>,
    cancel: Cancel,
    piece: Vec<u8>,
    consumed: usize,
}

impl Input {
    /// Reads `source` until its end.
    pub fn new(mut source: impl Read + Send + 'static, cancel: &Cancel) -> io::Result<Self> {
        let (send, pieces) = sync_channel(AHEAD);
        thread::Builder::new().name("input".into()).spawn(move || {
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                // `take` and `read_to_end` fill the piece without zeroing it first.
                let read = source.by_ref().take(PIECE as u64).read_to_end(&mut piece);
                let last = !matches!(read, Ok(n) if n > 0);
                let piece = read.map(|_| piece);
                if send.send(piece).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Input { pieces, cancel: cancel.clone(), piece: Vec::new(), consumed: 0 })
    }
}

impl BufRead for Input {
    /// What has arrived and was not consumed yet; empty at the end. An interrupt is an error, but not of
    /// [`io::ErrorKind::Interrupted`], which readers take as "try again".
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.consumed == self.piece.len() {
            if self.cancel.is_cancelled() {
                return Err(io::Error::other("interrupted"));
            }
            match self.pieces.recv_timeout(TICK) {
                Ok(piece) => (self.piece, self.consumed) = (piece?, 0),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(&[]),
            }
            if self.piece.is_empty() {
                return Ok(&[]);
            }
        }
        Ok(&self.piece[self.consumed..])
    }

    fn consume(&mut self, n: usize) {
        self.consumed += n;
    }
}

impl Read for Input {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(to)?;
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_arrives_in_order() {
        let bytes: Vec<u8> = (0..3 * PIECE + 17).map(|i| (i % 251) as u8).collect();
        let mut read = Vec::new();
        Input::new(io::Cursor::new(bytes.clone()), &Cancel::new()).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }

    #[test]
    fn an_interrupt_ends_a_read_that_waits() {
        let (pipe, _keeps_it_open) = std::os::unix::net::UnixStream::pair().unwrap();
        let cancel = Cancel::new();
        let mut input = Input::new(pipe, &cancel).unwrap();
        cancel.cancel();
        assert_eq!(input.fill_buf().unwrap_err().to_string(), "interrupted");
    }
}
