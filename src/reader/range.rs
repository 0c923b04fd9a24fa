//! A range of a segment on its way to where it is wanted.
//!
//! Purpose: cut a range into blocks, take those that are in memory, join those that somebody is fetching, and fetch
//! the rest in as few requests as `read.fetch.size` allows, `read.concurrency` of them at a time.
//!
//! What is cached: blocks of which only a part is wanted, and all blocks of reads up to a mebibyte, because somebody
//! reads on from there. Whole blocks of larger reads, and of `SEQUENTIAL` and `NO_CACHE` ones, go straight into the
//! caller's buffer and leave the cache to others. `NO_CACHE` puts nothing into it at all.
//!
//! Invariant: a request runs in a task of the engine which owns all that it needs. The reader waits beside it. If it
//! stops waiting (deadline, cancel), blocks for the cache arrive all the same, the lent buffer refuses the others,
//! and a request that has only such blocks ends. A block that goes into the cache is led by one task; whoever wants
//! it meanwhile joins.
//!
//! Memory: each request's is reserved at once, before anything is claimed, so nobody waits for memory while others
//! wait for him; what arrives for the cache takes its share of it along.

use super::{
    Reader,
    fetch::{Sink, Want, fetch},
    segment::Segment,
    shared::{Value, block_key},
};
use crate::{
    buf::LentRange,
    cache::{Flight, Join},
    codec::Codec,
    engine::{CallFlags, Op, Reservation},
    error::{Code, Error, Result},
    object::Block,
};
use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{mem, ops::Range, pin::pin, sync::Arc};
use tokio::{sync::oneshot, time::Instant};

/// A read of more bytes takes its whole blocks past the cache. What brokers ask for in one fetch stays within it (a
/// mebibyte in Kafka), so several consumers of one place share requests.
const DIRECT: u64 = 1 << 20;
/// Memory for pieces on their way from the store: it may hold one and read another.
pub(super) const PIECES: usize = 512 << 10;

/// How a read treats the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct How {
    /// Whole blocks go straight to the caller.
    direct: bool,
    /// What is fetched besides may be kept.
    keep: bool,
}

impl How {
    /// For a read of `len` bytes into a buffer.
    pub fn of(len: u64, flags: &CallFlags) -> How {
        How { direct: len > DIRECT || flags.sequential || flags.no_cache, keep: !flags.no_cache }
    }

    /// For blocks that nobody has asked for yet.
    pub fn ahead() -> How {
        How { direct: false, keep: true }
    }

    /// For blocks that are handed out as they are.
    pub fn blocks(flags: &CallFlags) -> How {
        How { direct: false, keep: !flags.no_cache }
    }
}

/// A block and what of it is wanted.
pub(super) struct Piece {
    pub block: Block,
    /// Which of its raw bytes.
    pub part: Range<usize>,
    /// Where they go; `None` if the block itself is wanted.
    pub into: Option<LentRange>,
}

impl Piece {
    /// Whether it goes from the request straight into the caller's buffer.
    fn is_direct(&self, how: How) -> bool {
        how.direct && self.into.is_some() && self.part.len() == self.block.raw_len()
    }
}

/// Pieces behind each other in the object, for one request.
#[derive(Default)]
pub(super) struct Group {
    pieces: Vec<Piece>,
    stored: usize,
}

impl Group {
    /// Whether `block` can join: it follows, and the request stays within `most` stored bytes.
    pub fn takes(&self, block: &Block, most: usize) -> bool {
        self.pieces.last().is_none_or(|last| {
            last.block.stored.end == block.stored.start && self.stored + block.stored_len() <= most
        })
    }

    pub fn push(&mut self, piece: Piece) {
        self.stored += piece.block.stored_len();
        self.pieces.push(piece);
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Memory that fetching it takes at most.
    pub fn need(&self, codec: Codec, how: How) -> usize {
        let own = self.pieces.iter().filter(|piece| !piece.is_direct(how));
        let kept: usize = own.map(|piece| piece.block.raw_len()).sum();
        let largest = self.pieces.iter().map(|piece| piece.block.stored_len()).max().unwrap_or(0);
        kept + PIECES + if codec == Codec::Zstd { largest } else { 0 }
    }
}

/// How a piece comes.
enum Source {
    /// Somebody fetches it for the cache, perhaps this read.
    Flight(Join<Value>),
    /// A request of this read brings it past the cache.
    Own(oneshot::Receiver<Result<Bytes>>),
    /// A request of this read writes it into the caller's buffer.
    Lent,
}

/// A piece that is on its way.
pub(super) struct Coming {
    source: Source,
    part: Range<usize>,
    into: Option<LentRange>,
}

/// What was launched for a group.
pub(super) struct Launched {
    coming: Vec<Coming>,
    /// Speaks for what goes into the caller's buffer, if anything does.
    lent: Option<oneshot::Receiver<Result<()>>>,
}

impl Launched {
    /// Waits until all pieces are where they are wanted, and hands out the blocks that were wanted themselves.
    pub async fn arrive(self) -> Result<Vec<Bytes>> {
        let gone = || {
            let what = "a request for blocks ended without an answer; repeat the read";
            Error::new(Code::Internal, what).with_retryable(true)
        };
        let mut blocks = Vec::new();
        for Coming { source, part, into } in self.coming {
            let bytes = match source {
                Source::Flight(join) => block_of(join.landed().await?)?,
                Source::Own(receiver) => receiver.await.map_err(|_| gone())??,
                Source::Lent => continue,
            };
            match into {
                Some(mut range) => range.write(0, &bytes[part])?,
                None => blocks.push(bytes),
            }
        }
        if let Some(lent) = self.lent {
            lent.await.map_err(|_| gone())??;
        }
        Ok(blocks)
    }
}

fn block_of(value: Value) -> Result<Bytes> {
    match value {
        Value::Block(bytes, _) => Ok(bytes),
        Value::Page(_) | Value::Tail(_) => {
            Err(Error::new(Code::Internal, "a block's place held another value"))
        }
    }
}

impl Reader {
    /// Brings `raw`, which is not empty and lies inside the segment, to `dest`, which is as long.
    pub(super) async fn read_into(
        self: &Arc<Self>,
        op: &Op,
        segment: &Segment,
        raw: Range<u64>,
        mut dest: LentRange,
        how: How,
    ) -> Result<()> {
        op.stage("blocks");
        let mut running = FuturesUnordered::new();
        let mut group = Group::default();
        let mut at = raw.start;
        while let Some(n) = segment.tail().page_of_raw(at).filter(|_| at < raw.end) {
            let page = self.page(op, segment, n).await?;
            let first = page.block_of_raw(at).map_or(0, |block| block.number);
            for block in page.blocks_from(first).take_while(|block| block.raw.start < raw.end) {
                let part = part_of(&block, &raw);
                let mut into = dest.split_to(part.len());
                at = block.raw.end;
                op.progress(part.len() as u64);
                if let Some(bytes) = self.shared.cached_block(segment.id(), block.number) {
                    into.write(0, &bytes[part])?;
                    continue;
                }
                if !group.takes(&block, self.options.fetch_size) {
                    self.launch_in_turn(op, segment, mem::take(&mut group), how, &mut running).await?;
                }
                group.push(Piece { block, part, into: Some(into) });
            }
        }
        self.launch_in_turn(op, segment, group, how, &mut running).await?;
        while let Some(arrived) = op.guard(async { Ok(running.next().await) }).await? {
            arrived?;
        }
        Ok(())
    }

    /// Launches the group once fewer than `read.concurrency` others are on their way and its memory is reserved.
    async fn launch_in_turn(
        self: &Arc<Self>,
        op: &Op,
        segment: &Segment,
        group: Group,
        how: How,
        running: &mut FuturesUnordered<BoxFuture<'static, Result<Vec<Bytes>>>>,
    ) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        while running.len() >= self.options.concurrency {
            op.guard(async { running.next().await.unwrap_or(Ok(Vec::new())) }).await?;
        }
        let held = self.reserve(op, group.need(segment.tail().codec(), how)).await?;
        running.push(Box::pin(self.launch(segment, group, how, held).arrive()));
        Ok(())
    }

    /// Claims each piece (in memory by now, on its way for somebody else, ours) and starts a task that fetches ours.
    /// Does not wait, so what is claimed is at once in the hands of the task that brings it.
    pub(super) fn launch(
        self: &Arc<Self>,
        segment: &Segment,
        group: Group,
        how: How,
        mut held: Reservation,
    ) -> Launched {
        let mut coming = Vec::with_capacity(group.pieces.len());
        // One run of neighbours, unless pieces between them come from elsewhere by now.
        let mut runs: Vec<Vec<Want>> = Vec::new();
        let mut end = None;
        for piece in group.pieces {
            let block = piece.block.clone();
            let (piece, sink) = self.claim(segment, piece, how, &mut held);
            coming.push(piece);
            let Some(sink) = sink else { continue };
            if end != Some(block.stored.start) {
                runs.push(Vec::new());
            }
            end = Some(block.stored.end);
            if let Some(run) = runs.last_mut() {
                run.push(Want { block, sink });
            }
        }
        Launched { coming, lent: self.start(segment, runs, held) }
    }

    /// How a piece comes, and if it is ours to fetch, where it goes first.
    fn claim(
        &self,
        segment: &Segment,
        piece: Piece,
        how: How,
        held: &mut Reservation,
    ) -> (Coming, Option<Sink>) {
        let key = block_key(segment.id(), piece.block.number);
        let direct = piece.is_direct(how);
        let Piece { block, part, into } = piece;
        if direct || !how.keep {
            // It is not led, so nobody waits for it; but if somebody else brings it, it need not come twice.
            if let Some(join) = self.shared.flights.join(&key) {
                self.shared.metrics.single_flight_joins.add(1);
                return (Coming { source: Source::Flight(join), part, into }, None);
            }
            return match into {
                Some(range) if direct => {
                    (Coming { source: Source::Lent, part, into: None }, Some(Sink::Lent(range)))
                }
                into => {
                    let (sender, receiver) = oneshot::channel();
                    let sink = Sink::Own(Box::new(move |arrived| _ = sender.send(arrived)));
                    (Coming { source: Source::Own(receiver), part, into }, Some(sink))
                }
            };
        }
        let lead = match self.shared.flights.join_or_lead(key) {
            Flight::Lead(lead) => lead,
            Flight::Join(join) => {
                self.shared.metrics.single_flight_joins.add(1);
                return (Coming { source: Source::Flight(join), part, into }, None);
            }
        };
        let coming = Coming { source: Source::Flight(lead.join()), part, into };
        // Between the first look and this one somebody may have brought it.
        if let Some(value) = self.shared.cached_meanwhile(&key) {
            lead.land(Ok(value));
            return (coming, None);
        }
        let (shared, share) = (self.shared.clone(), held.split(block.raw_len() as u64));
        let sink = Sink::Own(Box::new(move |arrived| {
            lead.land(arrived.map(|bytes| {
                let value = shared.block_value(bytes);
                shared.keep(key, value.clone(), share);
                value
            }));
        }));
        (coming, Some(sink))
    }

    /// Starts the task that fetches `runs`, one after the other in the memory of `held`. The receiver is there if
    /// something goes into the caller's buffer.
    fn start(
        &self,
        segment: &Segment,
        runs: Vec<Vec<Want>>,
        held: Reservation,
    ) -> Option<oneshot::Receiver<Result<()>>> {
        let is_lent = |want: &Want| matches!(want.sink, Sink::Lent(_));
        let lent = runs.iter().flatten().any(is_lent);
        let own = !runs.iter().flatten().all(is_lent);
        if runs.is_empty() {
            return None;
        }
        let (mut sender, receiver) = oneshot::channel();
        let (segment, deadline) = (segment.clone(), Instant::now() + self.options.deadline);
        self.engine.spawn_detached(Some(deadline.into_std()), async move {
            let work = async {
                let mut result = Ok(());
                for run in runs {
                    result = result.and(fetch(&segment, run, deadline).await);
                }
                result
            };
            let result = {
                let mut work = pin!(work);
                tokio::select! {
                    result = &mut work => result,
                    // Nobody waits any more. The cache still takes what is its own.
                    () = sender.closed(), if lent => match own {
                        true => work.await,
                        false => Ok(()),
                    },
                }
            };
            drop(held);
            _ = sender.send(result);
        });
        lent.then_some(receiver)
    }
}

/// Which raw bytes of `block` lie in `raw`.
fn part_of(block: &Block, raw: &Range<u64>) -> Range<usize> {
    let start = raw.start.max(block.raw.start) - block.raw.start;
    let end = raw.end.min(block.raw.end) - block.raw.start;
    start as usize..end as usize
}
