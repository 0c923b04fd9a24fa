//! Verifying a segment: everything that its object holds, from the store and past the cache.
//!
//! Every block passes its CRC32C and its codec, every index page and the tail theirs, every attachment its own two;
//! then the CRC-64/NVME of the blocks, combined in their order, must be that of the content. Blocks are digested as
//! they arrive, several requests at a time and whatever the order, and none is kept.
//!
//! It goes on behind what is damaged and counts it. What cannot be fetched at all (the store is away, the deadline
//! passed) is no damage: it ends the run with that error.

use super::{
    Reader, SegmentRef, attachment,
    fetch::{Sink, Want, fetch},
    range::PIECES,
    segment::Segment,
};
use crate::{
    codec::checksum::{Crc64Nvme, crc64nvme},
    engine::Op,
    error::{Code, Error, Result},
    object::{Block, Mode, Page, Tail},
};
use futures_util::{StreamExt, stream::FuturesOrdered};
use parking_lot::Mutex;
use std::{mem, sync::Arc};
use tokio::{sync::oneshot, time::Instant};

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Blocks that the index lists.
    pub blocks: u64,
    /// Blocks that are damaged, or whose index page is.
    pub bad_blocks: u64,
    /// Raw bytes of the segment.
    pub segment_bytes: u64,
    /// Bytes of the object.
    pub object_bytes: u64,
    /// Records that were walked; 0 in byte mode.
    pub records: u64,
    /// Attachments that the tail lists.
    pub attachments: u64,
    /// Attachments that are damaged.
    pub bad_attachments: u64,
    /// The first damage that was found; `None` if all is well.
    pub first_error: Option<Error>,
}

impl VerifyReport {
    /// Notes damage and goes on; any other error ends the run.
    fn note<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(e) if e.code() == Code::Corrupt => {
                self.first_error.get_or_insert(e);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

/// What a block adds to the content.
struct Digest {
    crc64: u64,
    len: u64,
    records: u64,
}

impl Digest {
    fn of(segment: &Segment, block: &Block, raw: &[u8]) -> Result<Digest> {
        if segment.tail().mode() == Mode::Bytes {
            return Ok(Digest { crc64: crc64nvme(raw), len: raw.len() as u64, records: 0 });
        }
        let (mut crc64, mut len, mut records) = (Crc64Nvme::new(), 0, 0);
        for record in segment.tail().record_block(block, raw)?.records() {
            let record = record?;
            let payload = &raw[record.payload];
            let mut head = [0; 20];
            head[..8].copy_from_slice(&record.id.to_le_bytes());
            head[8..16].copy_from_slice(&record.time_us.to_le_bytes());
            head[16..].copy_from_slice(&(payload.len() as u32).to_le_bytes());
            crc64.update(&head);
            crc64.update(payload);
            len += (head.len() + payload.len()) as u64;
            records += 1;
        }
        Ok(Digest { crc64: crc64.finalize(), len, records })
    }
}

/// Blocks of one request, each with what came of it.
type Digested = Vec<(Block, Result<Digest>)>;

/// A verification under way.
struct Run<'a> {
    reader: &'a Reader,
    op: &'a Op,
    segment: Segment,
    report: VerifyReport,
    content: Digest,
    requests: FuturesOrdered<oneshot::Receiver<Digested>>,
}

impl Reader {
    /// Reads and checks everything of a segment. Damage is in the report, not in the result: `first_error` says what
    /// was found first.
    ///
    /// Errors are those that keep it from looking: `NOT_FOUND`, `UNAVAILABLE`, `TIMED_OUT` and their like.
    pub async fn verify(self: Arc<Self>, op: Op, r: SegmentRef) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let Some(segment) = report.note(self.find(&op, &r).await)? else { return Ok(report) };
        let tail = segment.tail().clone();
        report.blocks = tail.block_count().into();
        report.segment_bytes = tail.segment_len();
        report.object_bytes = tail.object_len();
        report.attachments = tail.attachments().len() as u64;
        op.set_total(tail.data_len());
        let content = Digest { crc64: crc64nvme(&[]), len: 0, records: 0 };
        let mut run =
            Run { reader: &self, op: &op, segment, report, content, requests: FuturesOrdered::new() };
        run.tail().await?;
        for n in 0..tail.pages().len() {
            run.page(n).await?;
        }
        while !run.requests.is_empty() {
            run.settle_one().await?;
        }
        run.content()?;
        run.attachments().await?;
        Ok(run.report)
    }
}

impl Run<'_> {
    /// The tail as it stands in the store now; the one at hand may have come from the cache.
    async fn tail(&mut self) -> Result<()> {
        self.op.stage("tail");
        let position = self.segment.tail().position();
        let held = self.reader.reserve(self.op, (position.end - position.start) as usize).await?;
        let fetched = async {
            let bytes = self.segment.get_all(position.clone()).await?;
            let tail = Tail::parse(&bytes, position.start, self.segment.tail().object_len())?;
            if tail != **self.segment.tail() {
                return Err(super::segment::another_object(self.segment.key(), self.segment.id()));
            }
            Ok(())
        };
        let fetched = self.op.guard(async { Ok(fetched.await) }).await?;
        drop(held);
        self.report.note(fetched)?;
        Ok(())
    }

    /// A page, and the requests for its blocks.
    async fn page(&mut self, n: usize) -> Result<()> {
        self.op.stage("blocks");
        let entry = &self.segment.tail().pages()[n];
        let (position, blocks) = (entry.position.clone(), entry.blocks.len() as u64);
        let held = self.reader.reserve(self.op, (position.end - position.start) as usize).await?;
        let fetched = async {
            let bytes = self.segment.get_all(position).await?;
            Page::parse(&bytes, self.segment.tail(), n)
        };
        let page = self.op.guard(async { Ok(fetched.await) }).await?;
        drop(held);
        let Some(page) = self.report.note(page)? else {
            self.report.bad_blocks += blocks;
            return Ok(());
        };
        let (mut group, mut stored) = (Vec::new(), 0);
        for block in page.blocks() {
            if stored + block.stored_len() > self.reader.options.fetch_size && !group.is_empty() {
                self.request(mem::take(&mut group)).await?;
                stored = 0;
            }
            stored += block.stored_len();
            group.push(block);
        }
        self.request(group).await
    }

    /// Starts the request for neighbouring blocks, once fewer than `read.concurrency` others are on their way.
    async fn request(&mut self, blocks: Vec<Block>) -> Result<()> {
        while self.requests.len() >= self.reader.options.concurrency {
            self.settle_one().await?;
        }
        let largest = |len: fn(&Block) -> usize| blocks.iter().map(len).max().unwrap_or(0);
        let need = largest(Block::stored_len) + largest(Block::raw_len) + PIECES;
        let held = self.reader.reserve(self.op, need).await?;
        let deadline = Instant::now() + self.reader.options.deadline;
        let (mut sender, receiver) = oneshot::channel();
        let segment = self.segment.clone();
        // A task of its own goes on, and so gives its memory back, while this one waits for memory.
        self.reader.engine.spawn_detached(Some(deadline.into_std()), async move {
            let digested = tokio::select! {
                digested = digest(&segment, blocks, deadline) => digested,
                () = sender.closed() => Digested::new(),
            };
            drop(held);
            _ = sender.send(digested);
        });
        self.requests.push_back(receiver);
        Ok(())
    }

    /// Takes the blocks of the oldest request into account.
    async fn settle_one(&mut self) -> Result<()> {
        let gone = || {
            let what = "a request for blocks ended without an answer; repeat the check";
            Error::new(Code::Internal, what).with_retryable(true)
        };
        let Some(blocks) = self.op.guard(async { Ok(self.requests.next().await) }).await? else {
            return Ok(());
        };
        for (block, digest) in blocks.map_err(|_| gone())? {
            self.op.progress(block.stored.end - block.stored.start);
            match self.report.note(digest)? {
                Some(digest) => {
                    self.content.crc64 = Crc64Nvme::combine(self.content.crc64, digest.crc64, digest.len);
                    self.content.len += digest.len;
                    self.content.records += digest.records;
                }
                None => self.report.bad_blocks += 1,
            }
        }
        Ok(())
    }

    /// Whether sound blocks are also the content that was written.
    fn content(&mut self) -> Result<()> {
        self.report.records = self.content.records;
        let promised = self.segment.tail().content();
        let found = (self.content.len, self.content.crc64);
        if self.report.bad_blocks > 0 || found == (promised.length, promised.crc64) {
            return Ok(());
        }
        let what = format!(
            "object {} holds other content than its tail promises: {} bytes with the CRC-64/NVME {:016x} instead of {} \
             with {:016x}; restore the object",
            self.segment.id(),
            found.0,
            found.1,
            promised.length,
            promised.crc64,
        );
        self.report.note::<()>(Err(Error::new(Code::Corrupt, what)))?;
        Ok(())
    }

    async fn attachments(&mut self) -> Result<()> {
        self.op.stage("attachments");
        let tail = self.segment.tail().clone();
        for entry in tail.attachments() {
            let need = entry.entry.content.length as usize + entry.entry.stored_len as usize;
            let held = self.reader.reserve(self.op, need).await?;
            let fetched = self.op.guard(async { Ok(attachment::fetch(&self.segment, entry).await) }).await?;
            drop(held);
            if self.report.note(fetched)?.is_none() {
                self.report.bad_attachments += 1;
            }
        }
        Ok(())
    }
}

/// Fetches neighbouring blocks and digests each as it arrives.
async fn digest(segment: &Segment, blocks: Vec<Block>, deadline: Instant) -> Digested {
    let digests = Arc::new(Mutex::new(Vec::with_capacity(blocks.len())));
    let wants = blocks.into_iter().map(|block| {
        let (segment, digests, of) = (segment.clone(), digests.clone(), block.clone());
        let sink = Sink::Own(Box::new(move |raw| {
            let digest = raw.and_then(|raw| Digest::of(&segment, &of, &raw));
            digests.lock().push((of, digest));
        }));
        Want { block, sink }
    });
    // Nothing goes into a lent buffer here, so the result has nothing to say that the sinks have not heard.
    _ = fetch(segment, wants.collect(), deadline).await;
    let mut digests = mem::take(&mut *digests.lock());
    // A block that was fetched twice comes last.
    digests.sort_unstable_by_key(|(block, _)| block.number);
    digests
}
