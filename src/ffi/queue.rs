//! Completion queues: where asynchronous calls end.

use super::{
    bytes::seglift_bytes,
    cleanup::{seglift_cleanup, seglift_cleanup_free},
    codes::{SEGLIFT_OK, seglift_code},
    delete::{seglift_results, seglift_results_free},
    engine::{self, seglift_engine},
    error::{seglift_error, seglift_error_free},
    handle::{self, opaque},
    info::{seglift_info, seglift_info_free},
    list::Walk,
    panic::{call, quiet},
    receipt::{self, seglift_receipt},
    records::{seglift_records, seglift_records_free},
    structs::{Out, Place, c_struct, check_stride},
    text::{invalid, timeout},
    verify::{self, seglift_verify_report},
};
use crate::{
    driver::Outcome,
    engine::{Completion, Engine, Event, Queue},
    error::{Code, Error},
};
use parking_lot::Mutex;
use std::{collections::HashMap, ffi::c_void, ptr, sync::Arc};

/// The id of an asynchronous operation, unique in its engine, never 0. Since 1.0.
pub type seglift_op = u64;

/// seglift_completion.kind: an operation ended.
pub const SEGLIFT_COMPLETION_OPERATION: u32 = 0;
/// seglift_completion.kind: a writer that returned WOULD_BLOCK has room again, or has failed: call it.
pub const SEGLIFT_COMPLETION_WRITABLE: u32 = 1;

/// Where asynchronous calls end. Each accepted operation puts exactly one completion here.
/// Ownership: yours, until seglift_queue_free. Threads: any number at once; several may poll. Since 1.0.
pub struct seglift_queue {
    _opaque: (),
}
opaque!(seglift_queue, b"sl-queue", State);

/// A queue, and the listers that wait for a page.
pub(super) struct State {
    pub(super) queue: Queue<Outcome>,
    pub(super) listings: Mutex<HashMap<seglift_op, Arc<Walk>>>,
    _engine: Arc<Engine>,
}

/// How an operation ended. The poller owns what the pointers point to: take a pointer out by setting it to NULL and
/// free it yourself, or leave it to seglift_completion_clear. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_completion {
    /// The library: how many bytes it wrote.
    pub size: usize,
    /// The id that the submit returned; 0 for WRITABLE.
    pub op: seglift_op,
    /// What the submit was given.
    pub user_data: *mut c_void,
    /// SEGLIFT_COMPLETION_*.
    pub kind: u32,
    /// How it ended.
    pub code: seglift_code,
    /// Bytes read, entries listed, keys deleted, live keys taken by a sweep.
    pub count: u64,
    /// Unless code is OK or END. seglift_error_free.
    pub error: *mut seglift_error,
    /// Of offload_segment and writer_commit. seglift_receipt_free.
    pub receipt: *mut seglift_receipt,
    /// Of read_range_bytes, read_attachment and get_object_range. seglift_bytes_free.
    pub bytes: *mut seglift_bytes,
    /// Of read_records. seglift_records_free.
    pub records: *mut seglift_records,
    /// Of stat. seglift_info_free.
    pub info: *mut seglift_info,
    /// Of delete, also when code is not OK. seglift_results_free.
    pub results: *mut seglift_results,
    /// Of verify, also when code is CORRUPT. seglift_verify_report_free.
    pub report: *mut seglift_verify_report,
    /// Of reap, sweep_feed and sweep_finish. seglift_cleanup_free.
    pub cleanup: *mut seglift_cleanup,
}
c_struct! { seglift_completion up to cleanup: *mut seglift_cleanup; }

impl State {
    /// A completion as C sees it.
    fn to_c(&self, completion: Completion<Outcome>) -> seglift_completion {
        let mut c = seglift_completion {
            size: size_of::<seglift_completion>(),
            op: 0,
            user_data: completion.user_data as *mut c_void,
            kind: SEGLIFT_COMPLETION_OPERATION,
            code: SEGLIFT_OK,
            count: 0,
            error: ptr::null_mut(),
            receipt: ptr::null_mut(),
            bytes: ptr::null_mut(),
            records: ptr::null_mut(),
            info: ptr::null_mut(),
            results: ptr::null_mut(),
            report: ptr::null_mut(),
            cleanup: ptr::null_mut(),
        };
        let Event::Done { op, result } = completion.event else {
            c.kind = SEGLIFT_COMPLETION_WRITABLE;
            return c;
        };
        c.op = op;
        let walk = self.listings.lock().remove(&op);
        let failed = match (result, walk) {
            (Ok(Outcome::Listed(page)), Some(walk)) => walk.end(Ok(page)).map(|n| c.count = n as u64).err(),
            (Err(e), Some(walk)) => walk.end(Err(e)).err(),
            (Err(e), None) => Some(e),
            (Ok(outcome), _) => fill(&mut c, outcome),
        };
        if let Some(e) = failed {
            c.code = e.code() as seglift_code;
            if e.code() != Code::End {
                c.error = seglift_error::give(e);
            }
        }
        c
    }
}

/// Puts an outcome into its place. Returns the error that goes with it: a batch has one beside its results.
fn fill(c: &mut seglift_completion, outcome: Outcome) -> Option<Error> {
    match outcome {
        Outcome::Done => {}
        // A page whose lister was never told of it.
        Outcome::Listed(page) => c.count = page.entries.len() as u64,
        Outcome::Read(n) => c.count = n as u64,
        Outcome::Receipt(r) => c.receipt = Box::into_raw(Box::new(receipt::to_c(&r))),
        Outcome::Bytes(bytes) => {
            c.count = bytes.len() as u64;
            c.bytes = seglift_bytes::of_segment(bytes);
        }
        Outcome::Records(batch) => c.records = seglift_records::give(batch),
        Outcome::Stat(stat) => c.info = seglift_info::give(*stat),
        Outcome::Verified(report) => {
            c.report = Box::into_raw(Box::new(verify::to_c(&report)));
            return report.first_error;
        }
        Outcome::Reaped(report) => c.cleanup = seglift_cleanup::of_reap(*report),
        Outcome::Swept(step) => {
            c.count = step.taken as u64;
            c.cleanup = seglift_cleanup::of_sweep(*step);
        }
        Outcome::Deleted(done) => {
            let (results, good, first) = seglift_results::give(done);
            (c.results, c.count) = (results, good);
            return first;
        }
    }
    None
}

/// A queue for at most capacity operations that are in flight or not yet polled; a submit beyond is BUSY. engine may be
/// NULL; the operations may be of drivers of this engine only.
/// Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_queue_new(
    engine: *mut seglift_engine,
    capacity: usize,
    queue: *mut *mut seglift_queue,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            let place = Place::new(queue, ptr::null_mut(), "seglift_queue")?;
            let engine = engine::resolve(engine)?;
            let made = Queue::new(capacity)?;
            place.set(handle::give(State { queue: made, listings: Mutex::default(), _engine: engine }));
            Ok(())
        })
    }
}

/// A file descriptor that is readable while completions wait: level-triggered, for poll, epoll and kqueue. It belongs
/// to the queue: do not read, write or close it. -1 if there is none: the queue is NULL, inherited through a fork, or the
/// process has no descriptor left. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_queue_fd(queue: *const seglift_queue) -> i32 {
    // SAFETY: NULL or a live queue, says the header.
    quiet(-1, || unsafe { handle::borrow(queue).and_then(|state| state.queue.fd()).unwrap_or(-1) })
}

/// Takes up to max completions out, in the order in which they came; waits timeout_ms for the first one (0 = not at
/// all, -1 = for ever). *n is how many; 0 after a time-out, which is OK. out is an array with stride bytes for each;
/// nothing in it needs to be set before.
/// Ownership: each completion is yours; give it to seglift_completion_clear. Errors: CLOSED when the queue is shut
/// down and empty. Threads: any number at once; each completion goes to one. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_queue_poll(
    queue: *mut seglift_queue,
    out: *mut seglift_completion,
    max: usize,
    stride: usize,
    timeout_ms: i64,
    n: *mut usize,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            let place = Place::new(n, 0, "number of completions")?;
            check_stride::<seglift_completion>(stride)?;
            if out.is_null() || !out.is_aligned() || max == 0 {
                return Err(invalid(
                    "out is NULL or not aligned, or max is 0: there is no room for a completion",
                ));
            }
            let state = handle::borrow(queue.cast_const())?;
            for (i, completion) in state.queue.poll(max, Some(timeout(timeout_ms)?))?.into_iter().enumerate()
            {
                Out::element(out, i, stride).write(state.to_c(completion));
                place.set(i + 1);
            }
            Ok(())
        })
    }
}

/// Shuts a queue down: submits are refused with CLOSED, operations in flight are cancelled, and each puts its completion
/// here within timeout_ms (-1 = as long as it takes). Poll until CLOSED.
/// Errors: TIMED_OUT if operations are still ending: call again. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_queue_shutdown(
    queue: *mut seglift_queue,
    timeout_ms: i64,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe { call(err, || handle::borrow(queue.cast_const())?.queue.shutdown(timeout(timeout_ms)?)) }
}

/// Frees a queue and the completions that nobody polled. NULL is fine.
/// Errors: BUSY while operations are in flight (shut it down first) or a writer signals to it. Threads: none
/// uses it any more. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_queue_free(
    queue: *mut seglift_queue,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            if let Ok(state) = handle::borrow(queue.cast_const()) {
                state.queue.try_free()?;
            }
            drop(handle::take(queue));
            Ok(())
        })
    }
}

/// Frees what a completion still holds and sets its pointers to NULL. NULL is fine.
/// Threads: the poller. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_completion_clear(completion: *mut seglift_completion) {
    // SAFETY: NULL or a completion that a poll filled in, says the header; what was taken out is NULL.
    quiet((), || unsafe {
        let Some(c) = completion.as_mut() else { return };
        seglift_error_free(std::mem::replace(&mut c.error, ptr::null_mut()));
        seglift_receipt_free(std::mem::replace(&mut c.receipt, ptr::null_mut()));
        super::bytes::seglift_bytes_free(std::mem::replace(&mut c.bytes, ptr::null_mut()));
        seglift_records_free(std::mem::replace(&mut c.records, ptr::null_mut()));
        seglift_info_free(std::mem::replace(&mut c.info, ptr::null_mut()));
        seglift_results_free(std::mem::replace(&mut c.results, ptr::null_mut()));
        seglift_verify_report_free(std::mem::replace(&mut c.report, ptr::null_mut()));
        seglift_cleanup_free(std::mem::replace(&mut c.cleanup, ptr::null_mut()));
    });
}

/// Frees a receipt that came in a completion. NULL is fine. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_receipt_free(receipt: *mut seglift_receipt) {
    if !receipt.is_null() {
        // SAFETY: made by `fill` with `Box`, and the caller's, says the header.
        drop(unsafe { Box::from_raw(receipt) });
    }
}

/// Frees a report that came in a completion. NULL is fine. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_verify_report_free(report: *mut seglift_verify_report) {
    if !report.is_null() {
        // SAFETY: made by `fill` with `Box`, and the caller's, says the header.
        drop(unsafe { Box::from_raw(report) });
    }
}
