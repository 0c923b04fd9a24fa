//! Uploading a segment without a codec: each part is read from its source while it is sent, and read again
//! if it must be sent again.
//!
//! The source is read once, in pieces of 256 KiB into recycled buffers, and each piece is checksummed while
//! it is hot: a CRC32C for each fragment (block ∩ part) and a CRC-64/NVME for the part. Blocks, parts and
//! content get their checksums from those by combination. What stands behind the data (attachments, index,
//! tail) depends on all of them, so a part that reaches into it waits until the last data part was read.
//! Its length does not depend on them, which is why the length of every part is known before the first.
//!
//! Invariant: a part that is read again must give the same checksums, else the source changed: an error.
//! Memory: two pieces for each part under way, whatever the part size.

use super::{
    seal::{Seal, Suffix},
    source::OpenSource,
};
use crate::{
    buf::{PIECE, Pool},
    codec::checksum::{Crc32c, Crc64Nvme, crc32c},
    engine::Op,
    error::{Code, Error, Result},
    object::Tail,
    store::{Body, ByteStream},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::{
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// Pieces that are in memory and are read without a pause, on whose thread it may be: a quarter of a millisecond.
const PIECES_AT_ONCE: u64 = 4;
/// How long nothing may move while a part waits for what the others read, before it reads that itself.
const STILL: Duration = Duration::from_secs(1);

/// Checksums of the data in one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PartDigest {
    /// CRC32C of each fragment: the data cut at the ends of blocks and of the part.
    fragments: Vec<u32>,
    crc64: u64,
}

/// One segment on its way, shared by the bodies of its parts.
pub(super) struct Streamed {
    source: Arc<OpenSource>,
    pool: Pool,
    op: Op,
    block_size: u64,
    part_size: u64,
    object_len: u64,
    digests: Vec<OnceLock<PartDigest>>,
    unread: AtomicUsize,
    seal: Mutex<Option<Seal>>,
    suffix: OnceLock<Result<Suffix>>,
    suffix_ready: Notify,
}

impl Streamed {
    /// Plans the object: `suffix_len` bytes will follow the data.
    pub fn new(
        source: Arc<OpenSource>,
        seal: Seal,
        suffix_len: u64,
        part_size: u64,
        pool: Pool,
        op: Op,
    ) -> Result<Arc<Streamed>> {
        let data_parts = source.len().div_ceil(part_size) as usize;
        let this = Streamed {
            block_size: seal.block_size(),
            part_size,
            object_len: source.len() + suffix_len,
            digests: (0..data_parts).map(|_| OnceLock::new()).collect(),
            unread: AtomicUsize::new(data_parts),
            seal: Mutex::new(Some(seal)),
            suffix: OnceLock::new(),
            suffix_ready: Notify::new(),
            source,
            pool,
            op,
        };
        if data_parts == 0 {
            this.finish();
        }
        Ok(Arc::new(this))
    }

    /// Number of parts.
    pub fn parts(&self) -> u32 {
        self.object_len.div_ceil(self.part_size) as u32
    }

    /// The body of part `number`, and where it begins in the object.
    pub fn part(self: &Arc<Self>, number: u32) -> (u64, Arc<PartBody>) {
        let start = u64::from(number) * self.part_size;
        let end = (start + self.part_size).min(self.object_len);
        (
            start,
            Arc::new(PartBody { segment: self.clone(), number, range: start..end, crc32c: OnceLock::new() }),
        )
    }

    /// The object's tail. A store may refuse an object before it has read all of it; then the rest of the source
    /// is read for the checksums alone.
    pub async fn tail(self: &Arc<Self>) -> Result<Tail> {
        self.read_missing().await?;
        Ok(self.wait_for_suffix().await?.tail.clone())
    }

    /// What stands behind the data, for a part that is being sent. The others may be waiting for the very place at
    /// the store that this part holds: so where nothing moves, it reads what they have not read, and waits for nobody.
    async fn suffix(self: &Arc<Self>) -> Result<&Suffix> {
        loop {
            match timeout(STILL, self.wait_for_suffix()).await {
                Ok(suffix) => return suffix,
                Err(_) if self.op.snapshot().idle < STILL => {}
                Err(_) => self.read_missing().await?,
            }
        }
    }

    /// Reads for their checksums the parts that were not read so far.
    async fn read_missing(self: &Arc<Self>) -> Result<()> {
        for (number, digest) in self.digests.iter().enumerate() {
            if digest.get().is_none() {
                let mut body = SharedPart(self.part(number as u32).1).open();
                while digest.get().is_none() {
                    body.next().await.transpose()?;
                }
            }
        }
        Ok(())
    }

    async fn wait_for_suffix(&self) -> Result<&Suffix> {
        loop {
            let ready = self.suffix_ready.notified();
            if let Some(suffix) = self.suffix.get() {
                return suffix.as_ref().map_err(Error::clone);
            }
            ready.await;
        }
    }

    fn data_range(&self, number: u32) -> Range<u64> {
        let start = u64::from(number) * self.part_size;
        start..(start + self.part_size).min(self.source.len())
    }

    /// Notes the checksums of a part that was read to its end.
    fn read(&self, number: u32, digest: PartDigest) -> Result<()> {
        let slot = &self.digests[number as usize];
        match slot.set(digest) {
            Ok(()) => {
                if self.unread.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.finish();
                }
                Ok(())
            }
            Err(again) if slot.get() == Some(&again) => Ok(()),
            Err(_) => Err(Error::new(
                Code::SourceFailed,
                "the source gave other bytes when it was read again; offload only sealed segments",
            )),
        }
    }

    /// All data were read: combines the checksums and builds what follows the data.
    fn finish(&self) {
        let Some(seal) = self.seal.lock().take() else { return };
        let _ = self.suffix.set(self.build(seal));
        self.suffix_ready.notify_waiters();
    }

    fn build(&self, mut seal: Seal) -> Result<Suffix> {
        let (mut crc64, mut block_crc, mut block_len) = (0, 0, 0);
        for (number, digest) in self.digests.iter().enumerate() {
            let range = self.data_range(number as u32);
            let digest =
                digest.get().ok_or_else(|| Error::new(Code::Internal, "a part was counted but not read"))?;
            crc64 = Crc64Nvme::combine(crc64, digest.crc64, range.end - range.start);
            let mut at = range.start;
            for &fragment in &digest.fragments {
                let end = fragment_end(at, range.end, self.block_size);
                block_crc =
                    if block_len == 0 { fragment } else { Crc32c::combine(block_crc, fragment, end - at) };
                block_len += end - at;
                at = end;
                if at.is_multiple_of(self.block_size) || at == self.source.len() {
                    seal.plain_block(block_len as u32, block_crc)?;
                    (block_crc, block_len) = (0, 0);
                }
            }
        }
        seal.finish(self.source.len(), crc64)
    }
}

fn fragment_end(at: u64, part_end: u64, block_size: u64) -> u64 {
    ((at / block_size + 1) * block_size).min(part_end)
}

/// One part of a [`Streamed`] segment.
pub(super) struct PartBody {
    segment: Arc<Streamed>,
    number: u32,
    range: Range<u64>,
    crc32c: OnceLock<u32>,
}

/// How far a stream of a part has come.
struct Progress {
    at: u64,
    digest: PartDigest,
    crc64: Crc64Nvme,
    fragment: Crc32c,
    /// CRC32C of all bytes before the open fragment.
    crc32c: u32,
}

impl PartBody {
    async fn next(self: Arc<Self>, mut state: Progress) -> Result<Option<(Bytes, (Arc<Self>, Progress))>> {
        let data_end = self.range.end.min(self.segment.source.len());
        if state.at < data_end {
            let (piece, state) = self.read_piece(state, data_end).await?;
            self.segment.op.progress(piece.len() as u64);
            if state.at == data_end {
                self.segment.read(self.number, state.digest.clone())?;
            }
            return Ok(Some((piece, (self, state))));
        }
        if state.at < self.range.end {
            let suffix = self.segment.suffix().await?;
            let from = state.at - self.segment.source.len();
            let most = (self.range.end - state.at).min(PIECE as u64) as usize;
            let piece = suffix.slice(from, most);
            state.crc32c = Crc32c::combine(state.crc32c, crc32c(&piece), piece.len() as u64);
            state.at += piece.len() as u64;
            return Ok(Some((piece, (self, state))));
        }
        let _ = self.crc32c.set(state.crc32c);
        Ok(None)
    }

    /// The next piece of the data. A disk may be cold, and a thread of the runtime never waits for one: what is not in
    /// memory is read aside.
    async fn read_piece(self: &Arc<Self>, state: Progress, data_end: u64) -> Result<(Bytes, Progress)> {
        let (at, len) = (state.at, (data_end - state.at).min(PIECE as u64) as usize);
        let mut piece = self.segment.pool.get()?;
        piece.set_len(len)?;
        if self.segment.source.read_resident(at, &mut piece) {
            // The threads of the runtime are others' too.
            if (at / PIECE as u64).is_multiple_of(PIECES_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        } else {
            let source = self.segment.source.clone();
            let read = tokio::task::spawn_blocking(move || source.read_at(at, &mut piece).map(|()| piece));
            piece = read
                .await
                .map_err(|e| Error::new(Code::Internal, format!("reading the source ended early: {e}")))??;
        }
        let state = self.digest(state, &piece, data_end);
        Ok((piece.freeze(), state))
    }

    /// Where the stream stands behind `piece`.
    fn digest(&self, mut state: Progress, piece: &[u8], data_end: u64) -> Progress {
        let segment = &self.segment;
        let mut rest = piece;
        state.crc64.update(rest);
        while !rest.is_empty() {
            let end = fragment_end(state.at, data_end, segment.block_size);
            let (fragment, after) = rest.split_at(rest.len().min((end - state.at) as usize));
            state.fragment.update(fragment);
            state.at += fragment.len() as u64;
            if state.at == end {
                let crc = std::mem::take(&mut state.fragment).finalize();
                let len = end - (end - 1) / segment.block_size * segment.block_size;
                let len = len.min(end - self.range.start);
                state.crc32c = Crc32c::combine(state.crc32c, crc, len);
                state.digest.fragments.push(crc);
            }
            rest = after;
        }
        if state.at == data_end {
            state.digest.crc64 = state.crc64.finalize();
        }
        state
    }
}

/// A part's body is behind two counts: the store's, and the streams that it opened.
pub(super) struct SharedPart(pub Arc<PartBody>);

impl Body for SharedPart {
    fn len(&self) -> u64 {
        self.0.range.end - self.0.range.start
    }

    fn open(&self) -> ByteStream {
        let state = Progress {
            at: self.0.range.start,
            digest: PartDigest::default(),
            crc64: Crc64Nvme::new(),
            fragment: Crc32c::new(),
            crc32c: 0,
        };
        let pieces = stream::try_unfold((self.0.clone(), state), |(body, state)| body.next(state));
        pause_within!(PartInside, pieces).boxed()
    }

    fn crc32c(&self) -> Option<u32> {
        self.0.crc32c.get().copied()
    }
}

/// The CRC-64/NVME and the CRC32C of a source, read from its beginning to its end: what a retry compares before it
/// sends anything. Blocks on the file system.
pub(super) fn checksums_of(source: &OpenSource, pool: &Pool, op: &Op) -> Result<(u64, u32)> {
    let (mut at, mut crc64, mut crc32) = (0, Crc64Nvme::new(), Crc32c::new());
    while at < source.len() {
        // Nobody waits for this thread any more once the operation has ended.
        op.check()?;
        let mut piece = pool.get()?;
        let len = (source.len() - at).min(PIECE as u64) as usize;
        source.read_at(at, &mut piece.capacity_mut()[..len])?;
        piece.set_len(len)?;
        crc64.update(&piece);
        crc32.update(&piece);
        op.progress(len as u64);
        at += len as u64;
    }
    Ok((crc64.finalize(), crc32.finalize()))
}
