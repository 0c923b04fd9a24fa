//! One request for a run of neighbouring blocks, and each block on its way from there to its place.
//!
//! Purpose: pieces of a body are taken as they arrive and never collected. A block without a codec that the
//! caller wants whole is copied once, from the piece into the caller's buffer, its CRC32C computed while it is
//! hot; a compressed one is decompressed from the piece, or from a scratch buffer where pieces cut it, straight
//! into the same place.
//!
//! Invariant: no byte is handed over before its block has passed its CRC32C. A block that fails is fetched once
//! more in a request of its own, past every cache; what fails again is `CORRUPT`, and the other blocks of the
//! run are not affected. What is written into a lent buffer before the check stays between us and a call that
//! has not returned; where the call has returned, the buffer refuses the write.
//!
//! Trade-off: blocks are decompressed on the runtime's threads, 0.3 ms for 256 KiB, with a yield after each, so
//! that other requests get their turn: a hop to the blocking pool costs about a tenth of that and a copy of the
//! context. Only blocks of more than a mebibyte (a large record) step aside for as long as they take.

use super::segment::Segment;
use crate::{
    buf::LentRange,
    codec::{Codec, Decompressor, checksum::Crc32c},
    engine::Patience,
    error::{Code, Error, Result},
    metrics::Form,
    object::Block,
    store::ByteStream,
};
use bytes::Bytes;
use futures_util::StreamExt;
use std::ops::Range;
use tokio::time::{Instant, timeout_at};

/// Above this many raw bytes a block is decompressed beside the runtime: 1 ms, ten times what a task should take
/// between two awaits and still less than a request.
const DECODE_ASIDE: usize = 1 << 20;

/// Takes a block in memory of its own, or why there is none.
pub(super) type Deliver = Box<dyn FnOnce(Result<Bytes>) + Send>;

/// Where the raw bytes of a block go.
pub(super) enum Sink {
    /// Into the caller's buffer; the range is exactly the block's.
    Lent(LentRange),
    /// Into memory of its own.
    Own(Deliver),
}

/// A block that is wanted.
pub(super) struct Want {
    pub block: Block,
    pub sink: Sink,
}

/// Fetches `wants`, which lie behind each other in the object, with one request.
///
/// Each `Own` sink hears of its own block. The result speaks for the lent ones: the first error of any, or of
/// the request. What has not arrived at the `deadline` is `TIMED_OUT`.
pub(super) async fn fetch(segment: &Segment, wants: Vec<Want>, deadline: Instant) -> Result<()> {
    let decompressor = segment.shared().decompressor(segment.tail().codec());
    let mut run = Run { segment, deadline, decompressor: None, scratch: Vec::new(), lent: Ok(()) };
    let mut wants = wants.into_iter();
    let mut damaged = Vec::new();
    let received = match decompressor {
        Ok(decompressor) => {
            run.decompressor = decompressor;
            run.receive(&mut wants, &mut damaged).await
        }
        Err(e) => Err(e),
    };
    if let Err(error) = received {
        // The last first: readers wait for blocks in order, so that whoever has heard of the failure and tries again joins
        // none of these fetches.
        for want in wants.rev() {
            run.deliver(want.sink, Err(error.clone()));
        }
    }
    for want in damaged {
        run.fetch_again(want).await;
    }
    segment.shared().give_back(run.decompressor);
    run.lent
}

struct Run<'a> {
    segment: &'a Segment,
    deadline: Instant,
    /// There with codec zstd.
    decompressor: Option<Decompressor>,
    /// Stored bytes of a compressed block that arrives in several pieces.
    scratch: Vec<u8>,
    /// What the lent sinks came to.
    lent: Result<()>,
}

impl Run<'_> {
    /// Takes the wanted blocks from the body, one after the other. Leaves in `wants` those that it did not get to.
    async fn receive(&mut self, wants: &mut std::vec::IntoIter<Want>, damaged: &mut Vec<Want>) -> Result<()> {
        let (Some(first), Some(last)) = (wants.as_slice().first(), wants.as_slice().last()) else {
            return Ok(());
        };
        let mut body = self.open(first.block.stored.start..last.block.stored.end).await?;
        while let Some(want) = wants.as_mut_slice().first_mut() {
            let arrived = match self.arrive(want, &mut body).await {
                Ok(bytes) => {
                    self.segment.shared().count(Form::Stored, want.block.stored_len() as u64);
                    Ok(bytes)
                }
                Err(Arrival::Block(e)) => Err(e),
                Err(Arrival::Body(e)) => return Err(e),
            };
            match (wants.next(), arrived) {
                (Some(want), Err(e)) if e.code() == Code::Corrupt => {
                    self.segment.shared().metrics.checksum_failures.add(1);
                    damaged.push(want);
                }
                (Some(want), arrived) => self.deliver(want.sink, arrived),
                (None, _) => {}
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn open(&self, range: Range<u64>) -> Result<Body> {
        let get =
            timeout_at(self.deadline, self.segment.get(range)).await.unwrap_or_else(|_| Err(timed_out()))?;
        Ok(Body { stream: get.body, piece: Bytes::new(), deadline: self.deadline })
    }

    /// The second and last attempt at a block whose bytes were wrong.
    async fn fetch_again(&mut self, mut want: Want) {
        let metrics = &self.segment.shared().metrics;
        metrics.corrupt_refetches.add(1);
        let arrived = match self.open(want.block.stored.clone()).await {
            Ok(mut body) => self.arrive(&mut want, &mut body).await.map_err(Arrival::into_error),
            Err(e) => Err(e),
        };
        if arrived.as_ref().is_err_and(|e| e.code() == Code::Corrupt) {
            metrics.checksum_failures.add(1);
        }
        self.deliver(want.sink, arrived);
    }

    fn deliver(&mut self, sink: Sink, result: Result<Bytes>) {
        match (sink, result) {
            (Sink::Own(deliver), result) => deliver(result),
            (Sink::Lent(_), Err(e)) if self.lent.is_ok() => self.lent = Err(e),
            (Sink::Lent(_), _) => {}
        }
    }

    /// Takes one block from the body, verifies it and brings it to its place. The bytes are empty for a lent sink.
    async fn arrive(&mut self, want: &mut Want, body: &mut Body) -> Result<Bytes, Arrival> {
        match self.segment.tail().codec() {
            Codec::None => self.arrive_plain(want, body).await,
            Codec::Zstd => self.arrive_compressed(want, body).await,
        }
    }

    async fn arrive_plain(&mut self, want: &mut Want, body: &mut Body) -> Result<Bytes, Arrival> {
        let Want { block, sink } = want;
        let mut own = Vec::new();
        let mut failed = match sink {
            Sink::Own(_) => reserve(&mut own, block.raw_len()).err(),
            Sink::Lent(_) => None,
        };
        let (mut crc, mut got) = (Crc32c::new(), 0);
        while got < block.stored_len() {
            let piece = body.take(block.stored_len() - got).await?;
            // Also after a failure the body must be drained up to the next block.
            if failed.is_none() {
                crc.update(&piece);
                match sink {
                    Sink::Own(_) => own.extend_from_slice(&piece),
                    Sink::Lent(range) => failed = range.write(got, &piece).err(),
                }
            }
            got += piece.len();
        }
        match failed {
            Some(e) => Err(Arrival::Block(e)),
            None if crc.finalize() != block.crc32c => Err(Arrival::Block(self.segment.damaged(block))),
            None => Ok(own.into()),
        }
    }

    async fn arrive_compressed(&mut self, want: &mut Want, body: &mut Body) -> Result<Bytes, Arrival> {
        let Want { block, sink } = want;
        let mut piece = body.take(block.stored_len()).await?;
        if piece.len() < block.stored_len() {
            self.scratch.clear();
            let room = reserve(&mut self.scratch, block.stored_len());
            let mut got = 0;
            loop {
                if room.is_ok() {
                    self.scratch.extend_from_slice(&piece);
                }
                got += piece.len();
                if got == block.stored_len() {
                    break;
                }
                piece = body.take(block.stored_len() - got).await?;
            }
            room.map_err(Arrival::Block)?;
            piece = Bytes::new();
        }
        let stored: &[u8] = if piece.is_empty() { &self.scratch } else { &piece };
        let tail = self.segment.tail();
        let Some(decompressor) = &mut self.decompressor else {
            return Err(Arrival::Block(Error::new(
                Code::Internal,
                "a compressed block came without a decompressor",
            )));
        };
        let mut decode = || match sink {
            Sink::Lent(range) => {
                range.with_mut(0..block.raw_len(), |raw| {
                    tail.decode_block(block, stored, decompressor, raw)
                })??;
                Ok(Bytes::new())
            }
            Sink::Own(_) => {
                let mut raw = Vec::new();
                reserve(&mut raw, block.raw_len())?;
                raw.resize(block.raw_len(), 0);
                tail.decode_block(block, stored, decompressor, &mut raw)?;
                Ok(raw.into())
            }
        };
        let decoded =
            if block.raw_len() > DECODE_ASIDE { tokio::task::block_in_place(&mut decode) } else { decode() };
        decoded.map_err(Arrival::Block)
    }
}

/// Why a block did not arrive.
enum Arrival {
    /// This block cannot be used; the body stands at the next one.
    Block(Error),
    /// The body ended or broke.
    Body(Error),
}

impl Arrival {
    fn into_error(self) -> Error {
        match self {
            Arrival::Block(e) | Arrival::Body(e) => e,
        }
    }
}

/// A body and what is left of its last piece.
struct Body {
    stream: ByteStream,
    piece: Bytes,
    deadline: Instant,
}

impl Body {
    /// The next bytes: at least one, at most `most`.
    async fn take(&mut self, most: usize) -> Result<Bytes, Arrival> {
        while self.piece.is_empty() {
            self.piece = match timeout_at(self.deadline, self.stream.next()).await {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(e))) => return Err(Arrival::Body(e)),
                Err(_) => return Err(Arrival::Body(timed_out())),
                Ok(None) => {
                    let what =
                        "the store's answer ended before the last byte that it had promised; try again";
                    return Err(Arrival::Body(Error::new(Code::Unavailable, what)));
                }
            };
        }
        Ok(self.piece.split_to(most.min(self.piece.len())))
    }
}

fn timed_out() -> Error {
    let cause = Patience::current().cause();
    let what = format!("a request for blocks had not ended at the deadline of reads (deadline.read){cause}");
    Error::new(Code::TimedOut, what)
}

fn reserve(into: &mut Vec<u8>, len: usize) -> Result<()> {
    into.try_reserve_exact(len)
        .map_err(|_| Error::new(Code::ResourceExhausted, format!("no memory for a block of {len} bytes")))
}
