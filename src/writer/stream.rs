//! The streaming writer: a segment pushed byte by byte or record by record.
//!
//! Invariant: a writer reserves all its memory when it opens, or does not open; from then on it never waits for
//! memory, only for its own parts to leave. Two threads in one writer are a mistake of the host and get `BUSY`,
//! never a mixed-up segment.
//!
//! Trade-off: what is pushed cannot be read again, so it is encoded on the caller's thread and kept in memory
//! until the store has it. Encoding a block of 256 KiB takes well under a millisecond.

use super::{
    Context, about,
    encode::Encoder,
    offload::COMPRESSOR,
    open::{Counted, Fault, Open},
    outlet,
    parts::Cutter,
    plan::{Plan, most_stored},
    seal::Seal,
    segment::{Finish, Receipt, WriterOptions},
    upload::{Sent, Target},
};
use crate::{
    engine::{Call, Class, Op, OpKind},
    error::{Code, Error, Result},
    object::{Append, Mode, ObjectId, RecordBlockBuilder},
    store::Key,
};
use parking_lot::{Mutex, MutexGuard};
use std::{pin::pin, sync::Arc, time::Instant};
use tokio::sync::oneshot;

/// A record of more bytes than this does not fit what a writer reserves when it opens, and reserves more.
const LARGE: usize = 256 << 10;

/// What a record takes beside its payload, at most: the header of a new block and the record's own (docs/format.md,
/// section 8).
const RECORD: usize = 28 + 6;

/// A record to append.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Greater than the id before it.
    pub id: u64,
    /// Microseconds since 1970 UTC.
    pub time_us: i64,
    /// What it holds, at most 64 MiB.
    pub payload: &'a [u8],
}

/// Called when a writer that was full can take more. It runs on a thread of the engine and must not block.
pub type OnWritable = Box<dyn Fn() + Send + Sync>;

/// A segment in the making. One thread at a time; a second one gets `BUSY`.
///
/// Dropping it aborts what was not committed, in the background.
pub struct Writer(Arc<Shared>);

pub(super) struct Shared {
    pub ctx: Arc<Context>,
    /// Lives as long as the writer; its cancel ends the upload.
    pub op: Op,
    pub key: Key,
    pub mode: Mode,
    pub state: Mutex<State>,
}

pub(super) enum State {
    Open(Box<Open>),
    /// Being committed, committed, aborted, or failed in a way that cannot go on.
    Over(Error),
}

impl Writer {
    /// Opens a writer: reserves its memory or is `BUSY`. A deadline of `call` is for the whole life of the writer;
    /// without one it lives as long as its host pushes. Nothing reaches the store before the first part is full.
    pub(crate) fn open(
        ctx: Arc<Context>,
        options: WriterOptions,
        call: &Call,
        on_writable: Option<OnWritable>,
    ) -> Result<Writer> {
        let key = Key::new(&options.key)?;
        let settings = &ctx.settings;
        let codec = options.codec.unwrap_or(ctx.codec());
        let block_size = ctx.block_size(codec);
        let max_bytes = options.max_bytes.unwrap_or(settings.writer_max_size);
        // Attachments come at the end; room for what they may be at most would make all parts larger for nothing.
        let most = most_stored(max_bytes, block_size.into(), 0, codec);
        let caps = ctx.store.capabilities();
        let plan = Plan::buffered(settings.upload_part_size, settings.upload_concurrency, most, &caps)?;
        let memory = plan.memory + 2 * u64::from(block_size) + COMPRESSOR;
        let memory =
            ctx.engine.budget().try_reserve(Class::Upload, memory).map_err(|e| e.context("writer"))?;

        let op = ctx.engine.start(OpKind::Writer, key.as_str(), call, ctx.writer_limits())?;
        let id = ObjectId::random();
        let seal = Seal::new(ctx.about(id, options.mode, codec, options.metadata))?;
        let cutter = Cutter::new(ctx.engine.pool().clone(), op.clone(), plan.part_size);
        let encoder = Encoder::new(seal, cutter)?;
        let (outlet, inlet) = outlet::channel(plan.slots);
        let target = Target::new(&ctx, key.clone(), ctx.info(id, codec, None), None);
        let (sent, upload) = oneshot::channel();
        let sending = {
            let (target, op, failure) = (target.clone(), op.clone(), inlet.failure());
            async move {
                // It outlives the sending, so that whoever finds it closed also finds the reason.
                let mut items = pin!(inlet.items());
                let sent = target.send(&op, plan.concurrency, items.as_mut()).await.map_err(Error::from);
                if let Err(e) = &sent {
                    let _ = failure.set(e.clone());
                }
                sent
            }
        };
        // The writer's operation ends with its upload, also if the host keeps the handle after a cancel or a close.
        ctx.engine.spawn_with(op.clone(), sending, move |result| {
            // If the commit that should have it was cut off, before or after this, it is aborted.
            drop(sent.send(result.map(Sent::new)));
        });
        let open = Open {
            encoder,
            outlet,
            upload,
            target,
            if_exists: options.if_exists,
            id,
            records: RecordBlockBuilder::new(block_size),
            block: Vec::new(),
            block_size: block_size as usize,
            max_bytes,
            on_writable: on_writable.map(Arc::new),
            waiting: Arc::default(),
            counted: Counted::new(ctx.engine.metrics()),
            large: None,
            memory,
        };
        let state = Mutex::new(State::Open(Box::new(open)));
        Ok(Writer(Arc::new(Shared { ctx, op, key, mode: options.mode, state })))
    }

    /// The operation that lives as long as the writer.
    pub(crate) fn op(&self) -> &Op {
        &self.0.op
    }

    /// Pushes bytes; waits while the writer is full, up to the call's deadline. Returns how many were taken: all,
    /// unless an error came after some were.
    pub fn write(&self, bytes: &[u8], call: &Call) -> Result<usize> {
        self.0.write(bytes, Some(call)).map(|(taken, _)| taken)
    }

    /// [`write`](Writer::write) that also says why not all bytes were taken.
    pub(crate) fn write_all(&self, bytes: &[u8], call: &Call) -> Result<(usize, Option<Error>)> {
        self.0.write(bytes, Some(call))
    }

    /// Pushes as many bytes as the writer takes without waiting; `WOULD_BLOCK` if none, and then `on_writable` is
    /// called once there is room.
    pub fn try_write(&self, bytes: &[u8]) -> Result<usize> {
        self.0.write(bytes, None).map(|(taken, _)| taken)
    }

    /// Pushes a record; waits while the writer is full, up to the call's deadline. `INVALID_ARGUMENT` for an id that
    /// is not greater than the last or a payload over 64 MiB; the writer can go on then.
    pub fn append(&self, record: Record<'_>, call: &Call) -> Result<()> {
        self.0.append(record, Some(call))
    }

    /// Pushes a record if that needs no waiting, else `WOULD_BLOCK`, and then `on_writable` is called once there is
    /// room.
    pub fn try_append(&self, record: Record<'_>) -> Result<()> {
        self.0.append(record, None)
    }

    /// Commits the segment. After an error the writer is over, unless the attachments were the reason.
    pub fn commit(&self, finish: Finish, call: &Call) -> Result<Receipt> {
        let (op, work) = self.start_commit(finish, call)?;
        self.0.ctx.engine.block_on(&op, work)
    }

    /// The commit as work that is run elsewhere.
    pub(crate) fn start_commit(
        &self,
        finish: Finish,
        call: &Call,
    ) -> Result<(Op, impl Future<Output = Result<Receipt>> + Send + 'static)> {
        let shared = self.0.clone();
        // Held by the commit from here on: a second commit, or a write meanwhile, is BUSY.
        let open = shared.take_open(busy())?;
        let op = match shared.start(call) {
            Ok(op) => op,
            Err(e) => {
                *shared.state.lock() = State::Open(open);
                return Err(e);
            }
        };
        let work = {
            let op = op.clone();
            // Made here, so that a commit that never runs ends the writer too.
            let ending = Ending(shared.clone());
            async move {
                let _ending = ending;
                shared.commit(op, open, finish).await
            }
        };
        Ok((op, work))
    }

    /// Gives the segment up and removes what was sent of it. Repeating it is success, and so is doing it after the
    /// driver was closed.
    pub fn abort(&self, call: &Call) -> Result<()> {
        let (op, work) = self.start_abort(call)?;
        self.0.ctx.engine.block_on(&op, work)
    }

    /// The abort as work that is run elsewhere.
    pub(crate) fn start_abort(
        &self,
        call: &Call,
    ) -> Result<(Op, impl Future<Output = Result<()>> + Send + 'static)> {
        let shared = self.0.clone();
        let op = shared.ctx.engine.start(OpKind::Writer, shared.key.as_str(), call, shared.ctx.limits())?;
        let open = match shared.take_open(over("it was aborted")) {
            Ok(open) => Some(open),
            Err(e) if e.code() == Code::Busy => return Err(e),
            // Over already, well or not: there is nothing to give up.
            Err(_) => None,
        };
        let work = {
            let op = op.clone();
            async move {
                let Some(open) = open else { return Ok(()) };
                op.stage("abort");
                shared.op.cancel();
                let Open { upload, target, outlet, .. } = *open;
                drop(outlet);
                if let Ok(Ok(pending)) = op.guard_deadline_only(async { Ok(upload.await) }).await? {
                    target.abort(pending.claim()).await;
                }
                Ok(())
            }
        };
        Ok((op, work))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if matches!(&*self.0.state.lock(), State::Open(_)) {
            self.0.op.cancel();
        }
    }
}

/// Ends a writer whose commit was cut off (a panic, a shutdown), which else would be `BUSY` for ever.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(&*state, State::Over(e) if e.code() == Code::Busy) {
            *state = State::Over(over("its commit was cut off; push the segment again with the same key"));
            drop(state);
            self.0.op.cancel();
        }
    }
}

impl Shared {
    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        self.state.try_lock().ok_or_else(busy)
    }

    /// An operation for one call, which ends with the driver.
    fn start(&self, call: &Call) -> Result<Op> {
        let op = self.ctx.engine.start(OpKind::Writer, self.key.as_str(), call, self.ctx.limits())?;
        self.ctx.scope.enter(&op)?;
        Ok(op)
    }

    /// Takes the open writer out; from then on calls get `instead`.
    fn take_open(&self, instead: Error) -> Result<Box<Open>> {
        let mut state = self.lock()?;
        match std::mem::replace(&mut *state, State::Over(instead)) {
            State::Open(open) => Ok(open),
            State::Over(e) => {
                *state = State::Over(e.clone());
                Err(e)
            }
        }
    }

    /// Runs `work` on the open writer. An error that `work` calls fatal ends the writer.
    fn with_open<T>(&self, mode: Mode, work: impl FnOnce(&mut Open) -> Result<T, Fault>) -> Result<T> {
        self.ctx.scope.check_open()?;
        let mut state = self.lock()?;
        let open = match &mut *state {
            State::Open(open) => open,
            State::Over(e) => return Err(e.clone()),
        };
        if mode != self.mode {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("the writer of {} takes {}, not {}", self.key, self.mode.name(), mode.name()),
            ));
        }
        match work(open) {
            Ok(done) => Ok(done),
            Err(Fault::Refused(e)) => Err(e),
            Err(Fault::Fatal(e)) => {
                let e = about("writer", self.key.as_str(), e);
                *state = State::Over(e.clone());
                self.op.cancel();
                Err(e)
            }
        }
    }

    /// How many bytes were taken, and why not all.
    fn write(&self, bytes: &[u8], wait: Option<&Call>) -> Result<(usize, Option<Error>)> {
        self.with_open(Mode::Bytes, |open| {
            open.check_room(bytes.len())?;
            let (mut rest, mut since) = (bytes, None);
            while !rest.is_empty() {
                if let Err(fault) = self.make_ready(open, wait, &mut since) {
                    let taken = bytes.len() - rest.len();
                    return match fault {
                        Fault::Refused(e) if taken > 0 => Ok((taken, Some(e))),
                        fault => Err(fault),
                    };
                }
                rest = open.push(rest).map_err(Fault::Fatal)?;
            }
            Ok((bytes.len(), None))
        })
    }

    fn append(&self, record: Record<'_>, wait: Option<&Call>) -> Result<()> {
        self.with_open(Mode::Records, |open| {
            open.check_room(record.payload.len() + RECORD)?;
            self.make_ready(open, wait, &mut None)?;
            // Smaller ones share a block, whose memory the writer has.
            let large = record.payload.len() > LARGE.max(open.block_size);
            let large = match large {
                true => {
                    let extra = 2 * record.payload.len() as u64;
                    Some(self.ctx.engine.budget().try_reserve(Class::Upload, extra)?)
                }
                false => None,
            };
            let taken = open.records.append(record.id, record.time_us, record.payload)?;
            if taken == Append::Full {
                open.close_record_block().map_err(Fault::Fatal)?;
                open.records.append(record.id, record.time_us, record.payload)?;
            }
            open.large = large.or(open.large.take());
            Ok(())
        })
    }

    /// Waits for room, or says that there is none. All waits of a call together end at its deadline, which counts from
    /// the first one: `since`.
    fn make_ready(
        &self,
        open: &mut Open,
        wait: Option<&Call>,
        since: &mut Option<Instant>,
    ) -> Result<(), Fault> {
        if open.outlet.try_ready().map_err(Fault::Fatal)? {
            return Ok(());
        }
        let engine = &self.ctx.engine;
        let Some(call) = wait else {
            open.call_when_writable(engine);
            return Err(Fault::Refused(Error::new(
                Code::WouldBlock,
                format!("the writer of {} is full: its parts are on their way to the store", self.key),
            )));
        };
        let waited = since.get_or_insert_with(Instant::now).elapsed();
        let limit = call.deadline.or(self.ctx.limits().deadline);
        let op = self.start(&Call { deadline: limit.map(|d| d.saturating_sub(waited)), ..call.clone() })?;
        let (slots, waiting) = (open.outlet.slots(), op.clone());
        op.stage("wait for room");
        let slot = engine.block_on(&op, async move {
            waiting.guard(async { Ok(slots.acquire_owned().await.ok()) }).await
        })?;
        open.outlet.give(slot).map_err(Fault::Fatal)
    }
}

fn busy() -> Error {
    Error::new(Code::Busy, "the writer is in use by another call; use a writer from one thread at a time")
}

pub(super) fn over(why: &str) -> Error {
    Error::new(Code::Closed, format!("the writer is closed: {why}"))
}
