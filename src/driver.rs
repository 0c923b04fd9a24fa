//! A driver: the connection of an engine to one store, one method per operation.
//!
//! Every operation comes in two shapes. The plain one blocks the calling thread (any but the engine's own); the
//! `_submit` one returns at once and ends in a completion queue. Both start the same future under the same
//! deadline, so they promise the same.
//!
//! Invariant: after [`close`](Driver::close) nothing starts, and what was started has ended or been cancelled.
//! Trade-off: a driver is a few hundred bytes and one registration per running operation; a broker may open
//! hundreds. Threads, memory and caches belong to the engine.

use crate::{
    clock::SystemClock,
    config::{self, CacheVerify, Config, Settings},
    engine::{Call, Defaults, Engine, Op, OpKind, Scope, Slot},
    error::{Code, Error, Result},
    maintain::{self, Report, Step},
    reader::{ReadOptions, Reader, RecordBatch, SegmentBytes, SegmentRef, Shared, Stat, VerifyReport},
    store::{self, Key, LimitStore, ListPage, MeteredStore, ObjectStore, RetryStore},
    writer::{self, Finish, OnWritable, Receipt, Segment, Writer, WriterOptions},
};
use std::{future::Future, sync::Arc, time::Duration};

/// What an asynchronous operation gave.
#[derive(Debug)]
pub enum Outcome {
    /// It is done; there is nothing more to say.
    Done,
    /// An offload or a commit.
    Receipt(Box<Receipt>),
    /// Bytes that were read into the caller's buffer.
    Read(usize),
    /// Bytes in the library's memory.
    Bytes(SegmentBytes),
    /// Records.
    Records(RecordBatch),
    /// What a segment is.
    Stat(Box<Stat>),
    /// What a check found.
    Verified(Box<VerifyReport>),
    /// One answer per key, in the order of the keys.
    Deleted(Vec<Result<()>>),
    /// A page of a listing.
    Listed(ListPage),
    /// What a reap found and did.
    Reaped(Box<Report>),
    /// What a step of a sweep found and did.
    Swept(Box<Step>),
}

/// The connection of an engine to one store. Clones are the same driver; any number of threads may use it.
#[derive(Clone)]
pub struct Driver(Arc<Inner>);

struct Inner {
    engine: Engine,
    settings: Arc<Settings>,
    store: Arc<dyn ObjectStore>,
    reader: Arc<Reader>,
    writer: Arc<writer::Context>,
    maintain: maintain::Context,
    scope: Scope,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.engine.metrics().open_drivers.sub(1);
    }
}

impl Driver {
    /// Connects `engine` to the store that `uri` names, with the driver settings of `config`. Blocks for a few system
    /// calls at most and reads nothing from the store.
    ///
    /// `INVALID_ARGUMENT` for a URI that cannot be, `INVALID_CONFIG`, and what the store says if it cannot be opened.
    pub fn open(engine: &Engine, uri: &str, config: &Config) -> Result<Driver> {
        engine.check_fork()?;
        let Target { uri, config, settings, options } = Target::new(engine, uri, config)?;
        let (uri, config) = (uri.as_str(), &*config);
        let open = |uri: &str| -> Result<Arc<dyn ObjectStore>> {
            // Counted within the retries: each attempt by itself.
            let counted = MeteredStore::new(store::open(uri, &options)?, engine.metrics().clone());
            let limited = LimitStore::new(counted, engine, &settings);
            Ok(RetryStore::new(limited, engine, &settings))
        };
        let store = open(uri)?;
        let previous: Result<Vec<_>> = settings
            .store_previous
            .iter()
            .map(|uri| open(uri).map_err(|e| e.context("setting store.previous")))
            .collect();
        let reader = Reader::new(
            engine,
            Shared::of(engine, settings.cache_memory_verify == CacheVerify::Always),
            store.clone(),
            previous?,
            ReadOptions::from(&*settings),
        );
        let scope = Scope::of_driver(store.uri());
        let writer = Arc::new(writer::Context {
            scope: scope.clone(),
            fingerprint: store::fingerprint(store.uri()),
            store: store.clone(),
            engine: engine.clone(),
            settings: settings.clone(),
            block_size: config
                .given(config::Scope::Driver)
                .any(|key| key == "block.size")
                .then_some(settings.block_size as u32),
            clock: SystemClock::new(),
        });
        let maintain = maintain::Context {
            store: store.clone(),
            reader: reader.clone(),
            owner: settings.owner.clone(),
            metrics: engine.metrics().clone(),
        };
        engine.log().info("driver", "opened", &[("store", &store.uri())]);
        warn_of_lost_settings(engine, config, &settings);
        engine.metrics().open_drivers.add(1);
        let engine = engine.clone();
        Ok(Driver(Arc::new(Inner { engine, settings, store, reader, writer, maintain, scope })))
    }

    /// The store's canonical URI, without credentials.
    pub fn uri(&self) -> &str {
        self.0.store.uri()
    }

    /// The engine that runs the driver's operations.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The settings that the driver was opened with.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Refuses new operations (`CLOSED`), cancels those that run, and waits until they have ended: an offload whose
    /// commit was sent settles first. `TIMED_OUT` if some have not ended in time; call it again then.
    pub fn close(&self, timeout: Duration) -> Result<()> {
        self.0.scope.close(timeout)?;
        self.0.engine.log().info("driver", "closed", &[("store", &self.uri())]);
        Ok(())
    }

    /// For what a host builds on a driver and uses later, so that it hears at once that it comes too late.
    ///
    /// # Errors
    /// `CLOSED` once it is closed, `FORKED` in a child.
    pub fn check_open(&self) -> Result<()> {
        self.0.scope.check_open()
    }

    /// Offloads a segment.
    pub fn offload(&self, segment: Segment, call: &Call) -> Result<Receipt> {
        let (op, work) = self.start_offload(segment, call)?;
        self.0.engine.block_on(&op, work)
    }

    /// Offloads a segment; ends as [`Outcome::Receipt`].
    pub fn offload_submit(&self, segment: Segment, call: &Call, slot: Slot<Outcome>) -> Result<u64> {
        self.spawn(self.start_offload(segment, call), slot, |receipt| Outcome::Receipt(Box::new(receipt)))
    }

    fn start_offload(
        &self,
        segment: Segment,
        call: &Call,
    ) -> Result<(Op, impl Future<Output = Result<Receipt>> + Send + 'static)> {
        let op = self.start(OpKind::Offload, &segment.key, call)?;
        if let writer::Source::Lent(source) = &segment.source {
            let source = source.clone();
            op.on_finish(move || source.revoke());
        }
        Ok((op.clone(), writer::offload(self.0.writer.clone(), op, segment)))
    }
}

/// Declares an operation's two shapes from the one future.
macro_rules! operation {
    (
        $(#[doc = $doc:literal])+
        $name:ident, $submit:ident($($arg:ident: $type:ty),*) -> $result:ty, $kind:ident of $what:expr, $outcome:expr;
        |$inner:ident, $op:ident| $work:expr
    ) => {
        impl Driver {
            $(#[doc = $doc])+
            pub fn $name(&self, $($arg: $type,)* call: &Call) -> Result<$result> {
                let $op = self.start(OpKind::$kind, $what, call)?;
                let (op, $inner) = ($op.clone(), &self.0);
                self.0.engine.block_on(&op, $work)
            }

            #[doc = concat!("[`", stringify!($name), "`](Driver::", stringify!($name), ") that ends in a completion queue.")]
            pub fn $submit(
                &self,
                $($arg: $type,)*
                call: &Call,
                slot: Slot<Outcome>,
            ) -> Result<u64> {
                let started = self.start(OpKind::$kind, $what, call).map(|$op| {
                    let (op, $inner) = ($op.clone(), &self.0);
                    (op, $work)
                });
                self.spawn(started, slot, $outcome)
            }
        }
    };
}

operation! {
    /// Records from the first id that is at least `first`: at least one, at most `max_records`, and no more than
    /// `max_bytes` of payload unless the first alone has more.
    read_records, read_records_submit(r: &SegmentRef, first: u64, max_records: u64, max_bytes: u64) -> RecordBatch,
    ReadRecords of &r.key, Outcome::Records;
    |inner, op| inner.reader.clone().read_records(op, r.clone(), first, max_records, max_bytes)
}

operation! {
    /// An attachment, whole.
    read_attachment, read_attachment_submit(r: &SegmentRef, name: &str) -> SegmentBytes,
    ReadAttachment of &r.key, Outcome::Bytes;
    |inner, op| inner.reader.clone().read_attachment(op, r.clone(), name.to_owned())
}

operation! {
    /// What a segment is.
    stat, stat_submit(r: &SegmentRef) -> Stat,
    Stat of &r.key, |stat| Outcome::Stat(Box::new(stat));
    |inner, op| inner.reader.clone().stat(op, r.clone())
}

operation! {
    /// Reads and checks everything of a segment. Damage is in the report, not an error.
    verify, verify_submit(r: &SegmentRef) -> VerifyReport,
    Verify of &r.key, |report| Outcome::Verified(Box::new(report));
    |inner, op| inner.reader.clone().verify(op, r.clone())
}

operation! {
    /// Removes segments: one answer per key, in their order. What is not there is success; a key that cannot be is
    /// its own `INVALID_ARGUMENT`.
    delete, delete_submit(keys: &[String]) -> Vec<Result<()>>,
    Delete of &describe(keys), Outcome::Deleted;
    |inner, op| delete(inner.store.clone(), op, keys.to_vec())
}

operation! {
    /// Keys that begin with `prefix` and come after `after`, in byte order, at most `max` (at least 1) of them.
    list, list_submit(prefix: &str, after: Option<&str>, max: usize) -> ListPage,
    List of prefix, Outcome::Listed;
    |inner, op| list(inner.store.clone(), op, prefix.to_owned(), after.map(str::to_owned), max)
}

operation! {
    /// Bytes of an object as they are stored, whether it is one of ours or not; fewer only at its end.
    object_range, object_range_submit(key: &str, offset: u64, len: u64) -> SegmentBytes,
    ObjectRange of key, Outcome::Bytes;
    |inner, op| inner.reader.clone().object_range(op, key.to_owned(), offset, len)
}

mod cleanup;
mod open;
mod read;

pub use cleanup::{Salvage, Scrub, Sweep};
pub use open::Target;

use open::warn_of_lost_settings;

impl Driver {
    /// Opens a streaming writer, which reserves its memory now or is `BUSY`. With `on_writable`, that is called after a
    /// `WOULD_BLOCK`, once there is room.
    pub fn writer(
        &self,
        options: WriterOptions,
        call: &Call,
        on_writable: Option<OnWritable>,
    ) -> Result<Writer> {
        self.0.scope.check_open()?;
        let writer = Writer::open(self.0.writer.clone(), options, call, on_writable)?;
        self.0.scope.enter(writer.op())?;
        Ok(writer)
    }

    /// Commits a writer; ends as [`Outcome::Receipt`].
    pub fn commit_submit(
        &self,
        writer: &Writer,
        finish: Finish,
        call: &Call,
        slot: Slot<Outcome>,
    ) -> Result<u64> {
        self.spawn(writer.start_commit(finish, call), slot, |receipt| Outcome::Receipt(Box::new(receipt)))
    }

    /// Aborts a writer; ends as [`Outcome::Done`].
    pub fn abort_submit(&self, writer: &Writer, call: &Call, slot: Slot<Outcome>) -> Result<u64> {
        self.spawn(writer.start_abort(call), slot, |()| Outcome::Done)
    }

    fn start(&self, kind: OpKind, what: &str, call: &Call) -> Result<Op> {
        self.0.scope.check_open()?;
        if call.flags.cached_only {
            // What memory can answer was answered before this.
            return Err(would_block(what));
        }
        let settings = &self.0.settings;
        let limits = match kind {
            OpKind::Offload | OpKind::Writer => self.0.writer.limits(),
            OpKind::Read | OpKind::ReadRecords | OpKind::ReadAttachment => {
                Defaults { deadline: Some(settings.deadline_read), stall: None }
            }
            _ => Defaults { deadline: Some(settings.deadline_other), stall: None },
        };
        let op = self.0.engine.start(kind, what, call, limits)?;
        self.0.scope.enter(&op)?;
        Ok(op)
    }

    /// Runs what was started; a start that failed takes no place in the queue.
    fn spawn<T: Send + 'static>(
        &self,
        started: Result<(Op, impl Future<Output = Result<T>> + Send + 'static)>,
        slot: Slot<Outcome>,
        outcome: impl FnOnce(T) -> Outcome + Send + 'static,
    ) -> Result<u64> {
        match started {
            Ok((op, work)) => {
                let id = op.id();
                self.0.engine.spawn(op, slot, async move { work.await.map(outcome) });
                Ok(id)
            }
            Err(e) => {
                slot.withdraw();
                Err(e)
            }
        }
    }
}

/// Whether a URI names a place in S3, or leaves that to the settings.
async fn delete(store: Arc<dyn ObjectStore>, op: Op, keys: Vec<String>) -> Result<Vec<Result<()>>> {
    let mut results: Vec<Result<()>> = Vec::with_capacity(keys.len());
    let (mut valid, mut places) = (Vec::new(), Vec::new());
    for key in &keys {
        match Key::new(key) {
            Ok(key) => {
                places.push(results.len());
                valid.push(key);
                results.push(Ok(()));
            }
            Err(e) => results.push(Err(e)),
        }
    }
    pause!(DeleteBefore);
    let deleted = op.guard(async { Ok(store.delete(&valid).await) }).await?;
    pause!(DeleteAfter);
    for (place, result) in places.into_iter().zip(deleted) {
        results[place] = result;
    }
    Ok(results)
}

async fn list(
    store: Arc<dyn ObjectStore>,
    op: Op,
    prefix: String,
    after: Option<String>,
    max: usize,
) -> Result<ListPage> {
    if max == 0 {
        return Err(Error::new(
            Code::InvalidArgument,
            "a page of a listing holds at least one entry; max is 0",
        ));
    }
    op.guard(store.list(&prefix, after.as_deref(), max)).await
}

fn describe(keys: &[String]) -> String {
    match keys {
        [one] => one.clone(),
        many => format!("{} keys", many.len()),
    }
}

fn would_block(what: &str) -> Error {
    Error::new(Code::WouldBlock, format!("{what} is not in memory, and the call forbids I/O (CACHED_ONLY)"))
}
