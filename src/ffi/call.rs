//! How a call shall run: deadline, stall limit, cancel token, hints.

use super::{
    cancel::seglift_cancel,
    handle,
    structs::{self, c_struct, must_be_zero},
    text::invalid,
};
use crate::{
    engine::{Call, CallFlags},
    error::Result,
};
use std::time::Duration;

/// Answer from memory, or WOULD_BLOCK: the call itself does no I/O. Of a reader that goes on, a hit still has the library
/// fetch ahead, unless RANDOM or NO_CACHE is set as well.
pub const SEGLIFT_CALL_CACHED_ONLY: u32 = 1;
/// Leave nothing in the cache: for what will not be read again.
pub const SEGLIFT_CALL_NO_CACHE: u32 = 2;
/// What follows will be read soon: read ahead.
pub const SEGLIFT_CALL_SEQUENTIAL: u32 = 4;
/// What follows will not be read: fetch no more than is asked for.
pub const SEGLIFT_CALL_RANDOM: u32 = 8;

/// How a call shall run. Every function that may do I/O takes one; NULL = all defaults. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_call {
    /// sizeof(seglift_call).
    pub size: usize,
    /// Total time in ms, queueing and retries included; 0 = the setting deadline.*; below 0 is invalid.
    pub deadline_ms: i64,
    /// Offloads and writers: longest time in ms without a byte moved; 0 = the setting stall; below 0 is invalid.
    pub stall_ms: i64,
    /// SEGLIFT_CALL_* bits.
    pub flags: u32,
    /// Higher first among those that wait; 0 = normal.
    pub priority: i32,
    /// NULL = it can be cancelled by seglift_op_cancel only, if it is asynchronous.
    pub cancel: *const seglift_cancel,
}
c_struct! { seglift_call up to cancel: *const seglift_cancel; }

/// The call in Rust's words.
///
/// # Safety
/// `call` is NULL or a struct as the header asks; its token is live.
pub(super) unsafe fn read(call: *const seglift_call) -> Result<Call> {
    // SAFETY: the caller's promise is ours.
    let Some(c) = (unsafe { structs::optional(call) })? else { return Ok(Call::default()) };
    let known =
        SEGLIFT_CALL_CACHED_ONLY | SEGLIFT_CALL_NO_CACHE | SEGLIFT_CALL_SEQUENTIAL | SEGLIFT_CALL_RANDOM;
    must_be_zero(u64::from(c.flags & !known), "seglift_call.flags")?;
    let has = |bit| c.flags & bit != 0;
    Ok(Call {
        deadline: limit(c.deadline_ms, "deadline_ms")?,
        stall: limit(c.stall_ms, "stall_ms")?,
        flags: CallFlags {
            cached_only: has(SEGLIFT_CALL_CACHED_ONLY),
            no_cache: has(SEGLIFT_CALL_NO_CACHE),
            sequential: has(SEGLIFT_CALL_SEQUENTIAL),
            random: has(SEGLIFT_CALL_RANDOM),
        },
        priority: c.priority,
        // SAFETY: the caller vouches for the token.
        cancel: if c.cancel.is_null() { None } else { Some(unsafe { handle::borrow(c.cancel) }?.clone()) },
    })
}

fn limit(ms: i64, field: &str) -> Result<Option<Duration>> {
    match ms {
        0 => Ok(None),
        1.. => Ok(Some(Duration::from_millis(ms as u64))),
        _ => Err(invalid(format!(
            "seglift_call.{field} is {ms}; give milliseconds, or 0 for the setting's value"
        ))),
    }
}
