//! Verifying a segment: everything that its object holds, from the store and past the cache.
//!
//! Every block passes its CRC32C and its codec, every index page and the tail theirs, every attachment its own two;
//! then the CRC-64/NVME of the blocks, combined in their order, must be that of the content. What no checksum covers
//! follows from the rest and is compared: the headers of the frames, and the seek table. Blocks are digested as they
//! arrive, several requests at a time and whatever the order, and none is kept: a scrub must not drive out of the
//! cache what others need.
//!
//! It goes on behind what is damaged and counts it. What cannot be fetched at all (the store is away, the deadline
//! passed) is no damage: it ends the run with that error.

use super::{
    ReadOptions, Reader, SegmentRef,
    damage::{Damage, Part, VerifyReport},
    fetch::{Sink, Want, fetch},
    fill::twice,
    range::PIECES,
    segment::Segment,
};
use crate::{
    codec::{
        Decompressor,
        checksum::{Crc32c, Crc64Nvme, crc64nvme},
    },
    engine::Op,
    error::{Code, Error, Result},
    object::{
        Attachment, Block, ContentDigest, ContentIdentity, FRAME_HEADER, Mode, Page, RecordSpan,
        SeekTableDigest,
    },
    store::Pace,
};
use futures_util::{StreamExt, stream::FuturesOrdered};
use parking_lot::Mutex;
use std::{mem, ops::Range, sync::Arc};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

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
        let (mut content, mut records) = (ContentDigest::new(), 0);
        for record in segment.tail().record_block(block, raw)?.records() {
            let record = record?;
            content.record(record.id, record.time_us, &raw[record.payload]);
            records += 1;
        }
        let ContentIdentity { length: len, crc64 } = content.identity();
        Ok(Digest { crc64, len, records })
    }
}

/// Blocks of one request, each with what came of it.
type Digested = Vec<(Block, Result<Digest>)>;

/// What slows a verification down for the sake of others.
#[derive(Clone)]
pub(crate) struct Gently {
    /// Bytes each second, for all who share it; `None` is no limit.
    pub pace: Option<Arc<Pace>>,
    /// Bytes of one request, at most; a single block may be larger.
    pub fetch_size: usize,
    /// Requests at a time.
    pub concurrency: usize,
}

/// A verification under way.
struct Run<'a> {
    reader: &'a Reader,
    op: &'a Op,
    segment: Segment,
    how: Gently,
    report: VerifyReport,
    content: Digest,
    /// Record mode: the last id of the blocks that were settled.
    last_id: Option<u64>,
    /// What the seek table must be; `None` without one, or once a page that belongs to it is lost.
    seek_table: Option<SeekTableDigest>,
    requests: FuturesOrdered<oneshot::Receiver<Digested>>,
}

impl Reader {
    /// Reads and checks everything of a segment. Damage is in the report, not in the result: `first_error` says what
    /// was found first, `damage` where all of it is.
    ///
    /// Errors are those that keep it from looking: `NOT_FOUND`, `UNAVAILABLE`, `TIMED_OUT` and their like.
    pub async fn verify(self: Arc<Self>, op: Op, r: SegmentRef) -> Result<VerifyReport> {
        let ReadOptions { fetch_size, concurrency, .. } = self.options;
        self.verify_gently(op, r, Gently { pace: None, fetch_size, concurrency }).await
    }

    /// [`verify`](Reader::verify) at a rate, for whoever has time.
    pub(crate) async fn verify_gently(
        self: Arc<Self>,
        op: Op,
        r: SegmentRef,
        how: Gently,
    ) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let found = self.find_fresh(&op, &r).await;
        let Some(segment) = report.note(found, |e| Damage::beside(Part::Tail, 0..0, e))? else {
            return Ok(report);
        };
        let tail = segment.tail().clone();
        report.blocks = tail.block_count().into();
        report.segment_bytes = tail.segment_len();
        report.object_bytes = tail.object_len();
        report.attachments = tail.attachments().len() as u64;
        report.ids = tail.records().map(|span| (span.first_id, span.last_id));
        op.set_total(tail.data_len());
        let content = Digest { crc64: crc64nvme(&[]), len: 0, records: 0 };
        let frames = tail.block_count() + tail.attachments().len() as u32 + 2;
        let seek_table = (!tail.seek_table().is_empty()).then(|| SeekTableDigest::new(frames));
        let requests = FuturesOrdered::new();
        let last_id = None;
        let mut run =
            Run { reader: &self, op: &op, segment, how, report, content, last_id, seek_table, requests };
        run.index_header().await?;
        for n in 0..tail.pages().len() {
            run.page(n).await?;
        }
        run.settle_all().await?;
        run.content()?;
        run.attachments().await?;
        run.seek_table().await?;
        Ok(run.report)
    }
}

impl Run<'_> {
    /// Waits until `bytes` may be asked for.
    async fn pace(&self, bytes: u64) -> Result<()> {
        let len = usize::try_from(bytes).unwrap_or(usize::MAX);
        match self.how.pace.as_ref().and_then(|pace| pace.place(len, std::time::Instant::now())) {
            Some(at) => {
                let wait = async {
                    sleep_until(at.into()).await;
                    Ok(())
                };
                self.op.guard(wait).await
            }
            None => Ok(()),
        }
    }

    /// A small range of the object in one piece, judged by `check`, fetched once more if it is damaged.
    async fn small<T>(&self, range: Range<u64>, check: impl Fn(Vec<u8>) -> Result<T>) -> Result<Result<T>> {
        let len = range.end - range.start;
        self.pace(len).await?;
        let held = self.reader.reserve(self.op, len as usize).await?;
        let fetch =
            twice(self.segment.shared(), || async { check(self.segment.get_all(range.clone()).await?) });
        let checked = self.op.guard(async { Ok(fetch.await) }).await;
        drop(held);
        checked
    }

    /// The frame header in front of the index pages.
    async fn index_header(&mut self) -> Result<()> {
        let tail = self.segment.tail().clone();
        let start = tail.index_frame().start;
        let header = start..start + FRAME_HEADER as u64;
        let checked = self.small(header.clone(), |bytes| tail.check_index_header(&bytes)).await?;
        self.report.note(checked, |e| Damage::beside(Part::Frame, header, e))?;
        Ok(())
    }

    /// A page, and the requests for its blocks.
    async fn page(&mut self, n: usize) -> Result<()> {
        self.op.stage("blocks");
        let tail = self.segment.tail().clone();
        let entry = &tail.pages()[n];
        let page = self.small(entry.position.clone(), |bytes| Page::parse(&bytes, &tail, n)).await?;
        if page.is_err() {
            // So that the report has the damage in the order of the segment.
            self.settle_all().await?;
            self.seek_table = None;
        }
        let records = if page.is_err() { self.ids(entry.records) } else { None };
        let lost = |error| Damage {
            part: Part::Index,
            stored: entry.position.clone(),
            raw: entry.raw.clone(),
            records,
            blocks: entry.blocks.len() as u64,
            attachment: String::new(),
            error,
        };
        let Some(page) = self.report.note(page, lost)? else { return Ok(()) };
        let (mut group, mut stored) = (Vec::new(), 0);
        for block in page.blocks() {
            if let Some(table) = &mut self.seek_table {
                // A block's lengths are within the limits, far below 32 bits.
                table.push(block.stored_len() as u32, block.raw_len() as u32);
            }
            if stored + block.stored_len() > self.how.fetch_size && !group.is_empty() {
                self.request(mem::take(&mut group)).await?;
                stored = 0;
            }
            stored += block.stored_len();
            group.push(block);
        }
        self.request(group).await
    }

    /// Starts the request for neighbouring blocks, once few enough others are on their way.
    async fn request(&mut self, blocks: Vec<Block>) -> Result<()> {
        while self.requests.len() >= self.how.concurrency {
            self.settle_one().await?;
        }
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
        self.pace(last.stored.end - first.stored.start).await?;
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

    async fn settle_all(&mut self) -> Result<()> {
        while !self.requests.is_empty() {
            self.settle_one().await?;
        }
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
            let records = self.ids(block.records);
            let lost = |error| Damage {
                part: Part::Block,
                stored: block.stored.clone(),
                raw: block.raw.clone(),
                records,
                blocks: 1,
                attachment: String::new(),
                error,
            };
            if let Some(digest) = self.report.note(digest, lost)? {
                self.content.crc64 = Crc64Nvme::combine(self.content.crc64, digest.crc64, digest.len);
                self.content.len += digest.len;
                self.content.records += digest.records;
            }
        }
        Ok(())
    }

    /// The ids that a block or a page answers for: from behind the last one before it, so that what lies between two
    /// such ranges ends with a record that is there.
    fn ids(&mut self, span: Option<RecordSpan>) -> Option<(u64, u64)> {
        let span = span?;
        let first = self.last_id.map_or(span.first_id, |last| last.saturating_add(1).min(span.first_id));
        self.last_id = Some(span.last_id);
        Some((first, span.last_id))
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
        let tail = self.segment.tail();
        // Nobody can say which block it is, so none counts as good.
        let mut damage = Damage::beside(Part::Content, 0..tail.data_len(), Error::new(Code::Corrupt, what));
        damage.raw = 0..tail.segment_len();
        damage.records = self.report.ids;
        self.report.add(damage);
        Ok(())
    }

    async fn attachments(&mut self) -> Result<()> {
        self.op.stage("attachments");
        let tail = self.segment.tail().clone();
        for entry in tail.attachments() {
            let frame = entry.frame();
            let raw = entry.entry.content.length as usize;
            self.pace(frame.end - frame.start).await?;
            let held = self.reader.reserve(self.op, raw + (frame.end - frame.start) as usize).await?;
            let fetched = twice(self.segment.shared(), || async {
                let bytes = self.segment.get_all(frame.clone()).await?;
                let (header, stored) = bytes.split_at(FRAME_HEADER);
                // The codec of an attachment is its own, whatever that of the blocks.
                tail.decode_attachment(entry, stored, &mut Decompressor::new()?)?;
                Ok(tail.check_attachment_header(entry, header))
            });
            let fetched = self.op.guard(async { Ok(fetched.await) }).await?;
            drop(held);
            let lost = |part| {
                let mut damage = Damage::beside(part, frame.clone(), Error::new(Code::Corrupt, ""));
                damage.attachment = entry.entry.name.clone();
                damage
            };
            match self.report.note(fetched, |error| Damage { error, ..lost(Part::Attachment) })? {
                Some(header) => {
                    self.report.note(header, |error| Damage { error, ..lost(Part::Frame) })?;
                }
                None => self.report.bad_attachments += 1,
            }
        }
        Ok(())
    }

    /// Whether the seek table lists what is there.
    async fn seek_table(&mut self) -> Result<()> {
        let Some(mut expected) = self.seek_table.take() else { return Ok(()) };
        self.op.stage("seek table");
        let tail = self.segment.tail().clone();
        let frames = tail.attachments().iter().map(Attachment::frame);
        for frame in frames.chain([tail.index_frame(), tail.position()]) {
            // The writer refuses frames of more than 4 GiB.
            expected.push(u32::try_from(frame.end - frame.start).unwrap_or(u32::MAX), 0);
        }
        let (place, expected) = (tail.seek_table(), expected.finish());
        self.pace(place.end - place.start).await?;
        let held = self.reader.reserve(self.op, PIECES).await?;
        let checked = twice(self.segment.shared(), || async {
            let mut body = self.segment.get(place.clone()).await?.body;
            let mut crc = Crc32c::new();
            while let Some(piece) = body.next().await {
                crc.update(&piece?);
            }
            if crc.finalize() == expected {
                return Ok(());
            }
            let (id, at) = (self.segment.id(), place.start);
            let what = format!("the seek table of object {id} at {at} does not list the object's frames");
            Err(Error::new(Code::Corrupt, what))
        });
        let checked = self.op.guard(async { Ok(checked.await) }).await?;
        drop(held);
        self.report.note(checked, |e| Damage::beside(Part::SeekTable, place, e))?;
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
