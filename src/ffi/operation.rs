//! Operations in flight, by their id.

use super::{
    codes::seglift_code,
    engine::{self, seglift_engine},
    error::seglift_error,
    panic::call,
    queue::seglift_op,
    structs::{Out, c_struct},
};
use crate::engine::Progress;
use std::time::Duration;

/// seglift_progress_info.state: no operation of this engine ever had this id.
pub const SEGLIFT_PROGRESS_UNKNOWN: u32 = 0;
/// It waits for memory or a permit.
pub const SEGLIFT_PROGRESS_QUEUED: u32 = 1;
/// It runs.
pub const SEGLIFT_PROGRESS_RUNNING: u32 = 2;
/// It is over: its completion is or was in its queue, and the other fields are 0.
pub const SEGLIFT_PROGRESS_DONE: u32 = 3;

/// How far an operation has come. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_progress_info {
    /// You: sizeof(seglift_progress_info). The library: how many bytes it wrote.
    pub size: usize,
    /// SEGLIFT_PROGRESS_UNKNOWN, _QUEUED, _RUNNING or _DONE.
    pub state: u32,
    /// Zero.
    pub reserved0: u32,
    /// Bytes moved.
    pub bytes_done: u64,
    /// Bytes to move; 0 = not known.
    pub bytes_total: u64,
    /// Time since it began, in ms.
    pub age_ms: i64,
    /// Time since a byte was moved, in ms.
    pub idle_ms: i64,
}
c_struct! { seglift_progress_info up to idle_ms: i64; }

/// Asks an operation to stop; its completion comes all the same. OK also when it is over. engine may be NULL.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_op_cancel(
    engine: *mut seglift_engine,
    op: seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            engine::resolve(engine)?.cancel(op);
            Ok(())
        })
    }
}

/// How far an operation has come. OK also for an unknown one: its state says so. engine may be NULL.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_progress(
    engine: *mut seglift_engine,
    op: seglift_op,
    progress: *mut seglift_progress_info,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            let out = Out::required(progress)?;
            let engine = engine::resolve(engine)?;
            let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
            let of = |p: Progress| seglift_progress_info {
                size: size_of::<seglift_progress_info>(),
                state: if p.queued { SEGLIFT_PROGRESS_QUEUED } else { SEGLIFT_PROGRESS_RUNNING },
                reserved0: 0,
                bytes_done: p.bytes_done,
                bytes_total: p.bytes_total,
                age_ms: ms(p.age),
                idle_ms: ms(p.idle),
            };
            out.write(engine.progress(op).map_or_else(|| nothing(engine.knew(op)), of));
            Ok(())
        })
    }
}

/// The answer for an operation that does not run.
fn nothing(known: bool) -> seglift_progress_info {
    let state = if known { SEGLIFT_PROGRESS_DONE } else { SEGLIFT_PROGRESS_UNKNOWN };
    let size = size_of::<seglift_progress_info>();
    seglift_progress_info { size, state, reserved0: 0, bytes_done: 0, bytes_total: 0, age_ms: 0, idle_ms: 0 }
}
