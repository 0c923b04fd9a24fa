//! Runs the future of an operation and delivers its result once.
//!
//! Invariant: whatever happens to the future (it returns, panics, is dropped with the runtime), first it is
//! gone with everything that it held, then the finalizers have run, then the result is delivered.

use super::Engine;
use super::op::Op;
use super::patience::Patience;
use super::queue::Slot;
use crate::error::{Code, Error, Result};
use futures_util::FutureExt;
use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc;
use std::time::Instant;

thread_local! {
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Marks the calling thread as one of an engine's.
pub(super) fn mark_thread() {
    OURS.set(true);
}

/// Whether the calling thread belongs to an engine.
pub(super) fn on_engine_thread() -> bool {
    OURS.get()
}

impl Engine {
    /// Runs the future on the engine's threads and parks the calling thread until it has ended.
    ///
    /// The caller may be any thread but one of an engine: there it could wait for itself, so that it is
    /// refused. (On a worker of the host's own async runtime it blocks that worker, nothing of ours.)
    ///
    /// # Errors
    /// What the future returns; `INTERNAL` if it panics; `FORKED`; `INVALID_ARGUMENT` on our own threads.
    pub fn block_on<T: Send + 'static>(
        &self,
        op: &Op,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let refused = self.check_fork().err().or_else(|| {
            on_engine_thread().then(|| {
                Error::new(
                    Code::InvalidArgument,
                    "a call that waits was made on one of seglift's own threads (in a callback?), where it could \
                     wait for itself; make it from another thread or use its asynchronous form",
                )
            })
        });
        if let Some(error) = refused {
            let result = Err(error);
            op.finish(&result);
            return result;
        }
        let (deliver, delivered) = mpsc::sync_channel(1);
        self.spawn_with(op.clone(), future, move |result| {
            // The receiver is this very call, which waits.
            let _ = deliver.send(result);
        });
        delivered.recv().unwrap_or_else(|_| Err(op.cut_off("its result was lost")))
    }

    /// Runs the future on the engine's threads; its result goes to the slot's queue. Never blocks.
    pub fn spawn<T: Send + 'static>(
        &self,
        op: Op,
        slot: Slot<T>,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) {
        let mut slot = slot;
        slot.bind(&op);
        self.spawn_with(op, future, move |result| slot.complete(result));
    }

    /// Runs the future on the engine's threads and calls `deliver` with its result there, once. `deliver`
    /// must not wait.
    pub fn spawn_with<T: Send + 'static>(
        &self,
        op: Op,
        future: impl Future<Output = Result<T>> + Send + 'static,
        deliver: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        let landing = Landing { op, deliver: Some(deliver), _of: std::marker::PhantomData };
        self.handle().spawn(async move {
            // Declared before the future is polled, so that it is dropped after it.
            let landing = landing;
            let result = drive(&landing.op, future).await;
            landing.land(result);
        });
    }

    /// Runs a future that nobody waits for, such as a fill of the cache that outlives the read that began it.
    /// It keeps the engine's threads alive until it ends. `deadline` is its own, which it must keep by itself; what
    /// it fails at, the operation that began it can tell too.
    pub fn spawn_detached(
        &self,
        deadline: Option<Instant>,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let engine = self.clone();
        let patience = Patience::current().until(deadline);
        self.handle().spawn(async move {
            let _engine = engine;
            patience.scope(future).await;
        });
    }
}

async fn drive<T>(op: &Op, future: impl Future<Output = Result<T>>) -> Result<T> {
    op.begin();
    tokio::select! {
        biased;
        // Whatever state the panic broke goes away with the future.
        ended = AssertUnwindSafe(op.patience().scope(future)).catch_unwind() => match ended {
            Ok(result) => result,
            Err(panic) => Err(op.cut_off(&format!("a panic: {}", panic_message(&*panic)))),
        },
        error = op.backstop() => Err(error),
    }
}

/// What a panic said.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

struct Landing<T, D: FnOnce(Result<T>)> {
    op: Op,
    deliver: Option<D>,
    _of: std::marker::PhantomData<fn(T)>,
}

impl<T, D: FnOnce(Result<T>)> Landing<T, D> {
    fn land(mut self, result: Result<T>) {
        self.end(result);
    }

    fn end(&mut self, result: Result<T>) {
        if let Some(deliver) = self.deliver.take() {
            self.op.finish(&result);
            deliver(result);
        }
    }
}

impl<T, D: FnOnce(Result<T>)> Drop for Landing<T, D> {
    fn drop(&mut self) {
        // Only when the task was dropped before its end.
        if self.deliver.is_some() {
            self.end(Err(self.op.cut_off("it was dropped before its end")));
        }
    }
}
