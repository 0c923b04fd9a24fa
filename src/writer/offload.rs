//! A sealed segment on its way out, from the request to the receipt.

use super::{
    Context,
    commit::{Pending, already_exists, confirmed, look},
    encode::Encoder,
    learn::learn,
    outlet::{self, Inlet, Outlet},
    parts::Cutter,
    plan::{Plan, most_stored},
    resume::{self, Resume},
    seal::Seal,
    segment::{IfExists, Receipt, Segment, Source},
    source::{OpenSource, load_attachment, measure},
    streamed::{SharedPart, Streamed, checksums_of},
    upload::{Ended, Item, Target},
};
use crate::{
    buf::PIECE,
    codec::Codec,
    engine::{Class, Op},
    error::{Code, Error, Result},
    object::{Mode, ObjectId, Tail},
    store::{BoxFuture, Key},
};
use futures_util::stream;
use std::{
    future::{Future, ready},
    sync::Arc,
    time::Duration,
};

/// What a compressor needs beside the block: zstd's tables at low levels, and the frame.
pub(super) const COMPRESSOR: u64 = 2 << 20;

/// Offloads a segment and returns its receipt.
pub(super) async fn offload(ctx: Arc<Context>, op: Op, segment: Segment) -> Result<Receipt> {
    let key = Key::new(&segment.key)?;
    let codec = segment.codec.unwrap_or(ctx.codec());
    let Segment { source, attachments, metadata, offsets, expected, if_exists, look_first, resume, .. } =
        segment;
    if resume.is_some() && !matches!(source, Source::Path { .. } | Source::File { .. }) {
        let what = "only a file can be offloaded with a resume file: memory is gone with its process";
        return Err(Error::new(Code::InvalidArgument, what));
    }

    op.stage("open the source");
    let (source, attachments) = blocking(&op, move || {
        let source = OpenSource::open(source)?;
        Ok((source, measure(attachments)?))
    })
    .await?;
    op.set_total(source.len());

    let block_size = ctx.block_size(codec);
    // What a sparse file claims to be must not overflow: it is refused by the budget.
    let attached = attachments.iter().fold(0, |sum: u64, (len, _)| sum.saturating_add(*len));
    // Before anything is read: a store that cannot be used as the settings demand says so here.
    learn(&op, &*ctx.store).await?;
    let caps = ctx.store.capabilities();
    let most = most_stored(source.len(), block_size.into(), attached, codec);
    let settings = &ctx.settings;
    let plan = match codec {
        Codec::None => Plan::streamed(settings.upload_part_size, settings.upload_concurrency, most, &caps)?,
        Codec::Zstd => Plan::buffered(settings.upload_part_size, settings.upload_concurrency, most, &caps)?,
    };
    let encoding = if codec == Codec::Zstd { COMPRESSOR + 2 * u64::from(block_size) } else { 0 };
    // Where a store's own bytes are compared, each part needs a piece to read them.
    let comparing = if resume.is_some() { (plan.concurrency * PIECE) as u64 } else { 0 };
    op.stage("wait for memory");
    let memory = (plan.memory + encoding + comparing + index_memory(source.len(), block_size))
        .saturating_add(attached.saturating_mul(2));
    let _memory = ctx.engine.budget().reserve(Class::Upload, memory, &op).await?;

    let mut id = ObjectId::random();
    let about = ctx.about(id, Mode::Bytes, codec, metadata);
    op.stage("read the attachments");
    let mut seal = blocking(&op, move || {
        let mut seal = Seal::new(about)?;
        for (len, attachment) in attachments {
            let raw = load_attachment(attachment.data, len)?;
            seal.attach(&attachment.name, raw)?;
        }
        Ok(seal)
    })
    .await?;
    seal.expect(offsets, expected);

    let info = |id| ctx.info(id, codec, Some(source.len()));
    let resume = match resume {
        None => None,
        Some(path) => {
            let encoding = seal.encoding(resume::encoder(), source.len(), plan.part_size);
            let resume = Resume::prepare(&ctx, &op, path, &key, info, encoding).await?;
            id = resume.id();
            seal.begun(id);
            Some(resume)
        }
    };
    let must_look = resume.as_ref().is_some_and(Resume::must_look);
    let target = Target::new(&ctx, key, info(id), resume);
    if look_first || settings.upload_verify_exists || must_look {
        op.stage("look first");
        if let Some(there) = op.guard(look(ctx.store.as_ref(), &target.key)).await? {
            let compared = compare_first(&ctx, &op, &target.key, there, source, seal, if_exists).await;
            if compared.as_ref().map_or_else(|e| e.code() == Code::AlreadyExists, |_| true) {
                target.not_needed().await;
            }
            return compared;
        }
    }

    let sending = Sending { ctx: &ctx, op: &op, target: &target, id, if_exists };
    let source = Arc::new(source);
    let done = match codec {
        Codec::None => {
            let suffix_len = seal.suffix_len(source.len())?;
            sending.until_done(|| sending.streamed(&source, &seal, suffix_len, &plan)).await
        }
        Codec::Zstd => sending.until_done(|| sending.encoded(&source, &seal, block_size, &plan)).await,
    };
    done.map_err(|e| target.explain(e))
}

/// How often an upload that the store has lost is begun again: once for a look-alike that forgets them when it
/// restarts, and a few times for writers that meet at one key.
const RESTARTS: u32 = 3;
/// The pause before that; it doubles.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// A segment on its way to where it goes.
struct Sending<'a> {
    ctx: &'a Arc<Context>,
    op: &'a Op,
    target: &'a Target,
    id: ObjectId,
    if_exists: IfExists,
}

impl Sending<'_> {
    /// Sends the whole segment, again if its upload is gone: its source can be read again.
    async fn until_done<F>(&self, send: impl Fn() -> F) -> Result<Receipt>
    where
        F: Future<Output = Result<Receipt, Ended>>,
    {
        let mut pause = RESTART_PAUSE;
        for _ in 0..RESTARTS {
            let lost = match send().await {
                Err(Ended::Gone(lost)) => lost,
                ended => return Ok(ended?),
            };
            self.note_lost(&lost);
            self.op.stage("begin the upload again");
            let slept = async {
                tokio::time::sleep(pause).await;
                Ok(())
            };
            self.op.guard(slept).await?;
            pause *= 2;
        }
        Ok(send().await?)
    }

    fn note_lost(&self, lost: &Error) {
        self.ctx.engine.metrics().upload_restarts.add(1);
        let log = self.ctx.engine.log();
        log.warn(
            "writer",
            "the store has lost an upload: begun again",
            &[("key", &self.target.key), ("error", lost)],
        );
        self.op.patience().note(lost);
    }

    /// Once, without a codec.
    async fn streamed(
        &self,
        source: &Arc<OpenSource>,
        seal: &Seal,
        suffix_len: u64,
        plan: &Plan,
    ) -> Result<Receipt, Ended> {
        let (pool, op) = (self.ctx.engine.pool().clone(), self.op.clone());
        let streamed = Streamed::new(source.clone(), seal.anew()?, suffix_len, plan.part_size, pool, op)?;
        let count = streamed.parts();
        let parts = stream::iter((0..count).map(|number| {
            let (offset, body) = streamed.part(number);
            let body = Arc::new(SharedPart(body));
            Ok(Item { number, offset, body, last: number + 1 == count, hold: None })
        }));
        let pending = self.target.send(self.op, plan.concurrency, parts).await?;
        self.commit(pending, &|| Box::pin(streamed.tail())).await
    }

    /// Once, compressed.
    async fn encoded(
        &self,
        source: &Arc<OpenSource>,
        seal: &Seal,
        block_size: u32,
        plan: &Plan,
    ) -> Result<Receipt, Ended> {
        let Sending { ctx, op, target, .. } = *self;
        let cutter = Cutter::new(ctx.engine.pool().clone(), op.clone(), plan.part_size);
        let encoder = Encoder::new(seal.anew()?, cutter)?;
        let (outlet, inlet) = outlet::channel(plan.slots);
        let encoding = tokio::spawn(encode(Encoding::new(source.clone(), block_size, encoder, outlet)?));
        let sent = target.send(op, plan.concurrency, inlet.items()).await;
        let encoded = op.guard_deadline_only(async { encoding.await.map_err(ended_early) });
        match (sent, encoded.await) {
            // The encoder's own error is the cause, the uploader's its echo.
            (_, Ok(Err(e))) if e.code() != Code::Cancelled => Err(e.into()),
            (Err(ended), _) => Err(ended),
            (Ok(pending), Ok(Ok(tail))) => self.commit(pending, &|| Box::pin(ready(Ok(tail.clone())))).await,
            (Ok(pending), Ok(Err(e)) | Err(e)) => Err(target.end(pending, e.into()).await),
        }
    }

    async fn commit<'a>(
        &'a self,
        pending: Pending,
        tail: &'a (dyn Fn() -> BoxFuture<'a, Result<Tail>> + Sync),
    ) -> Result<Receipt, Ended> {
        self.ctx.commit(self.op, self.target, self.id, pending, self.if_exists, tail).await
    }
}

/// Memory for the index of a segment: entries and seek table, and the same once more while the tail is built.
fn index_memory(len: u64, block_size: u32) -> u64 {
    (len / u64::from(block_size) + 1) * 32
}

/// Runs `work` where it may block, and gives up waiting for it when the operation ends.
pub(super) async fn blocking<T: Send + 'static>(
    op: &Op,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    op.guard(async {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(ended_early)?
    })
    .await
}

/// A task panicked, or the runtime shuts down.
pub(super) fn ended_early(e: tokio::task::JoinError) -> Error {
    Error::new(Code::Internal, format!("a task ended early: {e}"))
}

/// A segment that is being compressed.
struct Encoding {
    source: Arc<OpenSource>,
    encoder: Encoder,
    outlet: Outlet,
    /// As long as a block.
    block: Vec<u8>,
    /// How far the source was read.
    at: u64,
}

impl Encoding {
    fn new(source: Arc<OpenSource>, block_size: u32, encoder: Encoder, outlet: Outlet) -> Result<Encoding> {
        let mut block = Vec::new();
        block.try_reserve_exact(block_size as usize).map_err(|_| {
            Error::new(Code::ResourceExhausted, format!("no memory for a block of {block_size} bytes"))
        })?;
        block.resize(block_size as usize, 0);
        Ok(Encoding { source, encoder, outlet, block, at: 0 })
    }

    /// Reads, compresses and hands over blocks until no slot is free, or all of them. Blocks on the file system.
    fn advance(mut self) -> Result<Encoding> {
        while self.at < self.source.len() && self.outlet.try_ready()? {
            let len = (self.source.len() - self.at).min(self.block.len() as u64);
            let block = &mut self.block[..len as usize];
            self.source.read_at(self.at, block)?;
            self.encoder.block(block, None)?;
            self.at += len;
            self.outlet.send_full(&mut self.encoder)?;
        }
        Ok(self)
    }
}

/// Compresses and hands over the whole segment. It waits for slots here and not where it compresses: threads that may
/// block are few, and a store's disk may need one before a slot is free.
async fn encode(mut work: Encoding) -> Result<Tail> {
    while work.at < work.source.len() {
        work.outlet.ready().await?;
        work = tokio::task::spawn_blocking(|| work.advance()).await.map_err(ended_early)??;
    }
    let Encoding { encoder, mut outlet, .. } = work;
    let (parts, tail) = tokio::task::spawn_blocking(|| encoder.finish(None)).await.map_err(ended_early)??;
    for part in parts {
        outlet.ready().await?;
        outlet.send(part)?;
    }
    Ok(tail)
}

/// A retry that found the key taken before it sent anything: reads its source and compares.
async fn compare_first(
    ctx: &Arc<Context>,
    op: &Op,
    key: &Key,
    there: Tail,
    source: OpenSource,
    seal: Seal,
    if_exists: IfExists,
) -> Result<Receipt> {
    let len = source.len();
    if if_exists == IfExists::Fail || there.mode() != Mode::Bytes || there.content().length != len {
        return Err(already_exists(key, &there, if_exists));
    }
    op.stage("compare with what is there");
    let (pool, reading) = (ctx.engine.pool().clone(), op.clone());
    let (crc64, crc32c) = blocking(op, move || checksums_of(&source, &pool, &reading)).await?;
    if seal.identity(len, crc64, crc32c)?.same(&there, if_exists) {
        confirmed(op, ctx.store.as_ref(), key, None).await?;
        Ok(ctx.receipt(key, &there, true))
    } else {
        Err(already_exists(key, &there, if_exists))
    }
}

impl Inlet {
    /// The parts as items to send.
    pub(super) fn items(self) -> impl stream::Stream<Item = Result<Item>> + Send {
        stream::unfold(self, |mut inlet| async move {
            let out = inlet.next().await?;
            let item = Item {
                number: out.part.number,
                offset: out.part.offset,
                last: out.part.last,
                body: out.part.body,
                hold: Some(out.hold),
            };
            Some((Ok(item), inlet))
        })
    }
}
