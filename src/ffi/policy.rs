//! The planner: which segments to offload, drop and delete.

use super::{
    codes::seglift_code,
    config::seglift_config,
    error::seglift_error,
    handle, panic,
    structs::{Array, Out, c_struct, must_be_zero, required},
    text::invalid,
};
use crate::{
    config::Config,
    error::Result,
    policy::{self, Action, Policy, SegmentState},
};
use std::time::Duration;

/// seglift_policy.flags: offload_before is set.
pub const SEGLIFT_POLICY_HAS_OFFLOAD_BEFORE: u32 = 1;
/// seglift_segment_state.flags: a local copy exists.
pub const SEGLIFT_STATE_LOCAL: u32 = 1;
/// Offload the segment.
pub const SEGLIFT_ACTION_OFFLOAD: u32 = 1;
/// Drop the local copy: the store has the segment for long enough, or its retention is over. DATA LOSS IS MEANT in the
/// second case: a segment without an object has no other copy. See seglift_plan.
pub const SEGLIFT_ACTION_DROP_LOCAL: u32 = 2;
/// Delete the object: the segment's retention is over.
pub const SEGLIFT_ACTION_DELETE_TIERED: u32 = 4;

/// When to offload, drop and delete. seglift_plan_policy fills in the defaults. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_policy {
    /// sizeof(seglift_policy).
    pub size: usize,
    /// Bytes of sealed segments that may stay without an object; the oldest beyond them are offloaded.
    /// 0 = as soon as possible, below 0 = off.
    pub size_threshold: i64,
    /// Age in ms, from sealed_us, at which a sealed segment is offloaded: 0 = as soon as possible, below 0 = off.
    pub age_threshold_ms: i64,
    /// How many ms a local copy stays after its offload: 0 = not at all, below 0 = for ever.
    pub deletion_lag_ms: i64,
    /// Bytes that the log keeps at least, the open segment included; older segments are deleted, also those that have
    /// no object. 0 or below = off.
    pub retention_size: i64,
    /// Age in ms at which a sealed segment is deleted, also one that has no object. 0 or below = off.
    pub retention_age_ms: i64,
    /// With HAS_OFFLOAD_BEFORE: each sealed segment whose next_offset is no higher is offloaded, whatever the
    /// thresholds say.
    pub offload_before: i64,
    /// SEGLIFT_POLICY_* bits.
    pub flags: u32,
    /// Zero.
    pub reserved0: u32,
}

/// What the broker knows of a segment. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_segment_state {
    /// sizeof(seglift_segment_state).
    pub size: usize,
    /// Offset of its first entry; not below 0.
    pub base_offset: i64,
    /// Offset behind its last entry.
    pub next_offset: i64,
    /// Its length.
    pub bytes: u64,
    /// When it was sealed, in us since 1970; 0 = it is open.
    pub sealed_us: i64,
    /// When it was offloaded, in us since 1970, which is when you got the receipt; 0 = not yet.
    pub offloaded_us: i64,
    /// SEGLIFT_STATE_* bits.
    pub flags: u32,
    /// Zero.
    pub reserved0: u32,
}
c_struct! {
    seglift_policy up to reserved0: u32;
    seglift_segment_state up to reserved0: u32;
}

/// Decides for each of the n segments of one log what to do now: actions[i] becomes the SEGLIFT_ACTION_* bits of the
/// i-th, 0 = nothing. Offload in the order of the offsets. The open segment is never touched. Pure: it does nothing,
/// reads no clock and no store, and needs no driver; ask again as often as you like.
///
/// RETENTION DELETES DATA. A segment whose retention is over gets DROP_LOCAL and DELETE_TIERED for the copies that it
/// has, and it gets DROP_LOCAL also if it was never offloaded: then that deletes its ONLY copy. With retention_size and
/// retention_age_ms off, the default, DROP_LOCAL comes only for segments with offloaded_us, so set that only when you have
/// the receipt. A host that has a retention of its own leaves both off.
///
/// Errors: INVALID_ARGUMENT. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_plan(
    policy: *const seglift_policy,
    segments: *const seglift_segment_state,
    n: usize,
    stride: usize,
    now_us: i64,
    actions: *mut u32,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let policy = read(&required(policy)?)?;
            let array = Array::new(segments, n, stride)?;
            if n > 0 && (actions.is_null() || !actions.is_aligned()) {
                return Err(invalid(
                    "actions is NULL or not aligned; give room for one uint32_t for each segment",
                ));
            }
            let states = array.iter().map(|s| state(&s?)).collect::<Result<Vec<_>>>()?;
            for (i, action) in policy::plan(&policy, &states, now_us).into_iter().enumerate() {
                actions.add(i).write(bits(action, &states[i]));
            }
            Ok(())
        })
    }
}

fn read(p: &seglift_policy) -> Result<Policy> {
    must_be_zero(p.reserved0.into(), "seglift_policy.reserved0")?;
    must_be_zero((p.flags & !SEGLIFT_POLICY_HAS_OFFLOAD_BEFORE).into(), "seglift_policy.flags")?;
    let above_zero = |value: i64| u64::try_from(value).ok().filter(|v| *v > 0);
    let has_before = p.flags & SEGLIFT_POLICY_HAS_OFFLOAD_BEFORE != 0;
    Ok(Policy {
        size_threshold: u64::try_from(p.size_threshold).ok(),
        age_threshold: u64::try_from(p.age_threshold_ms).ok().map(Duration::from_millis),
        offload_before: if has_before {
            Some(offset(p.offload_before, "seglift_policy.offload_before")?)
        } else {
            None
        },
        deletion_lag: u64::try_from(p.deletion_lag_ms).ok().map(Duration::from_millis),
        retention_size: above_zero(p.retention_size),
        retention_age: above_zero(p.retention_age_ms).map(Duration::from_millis),
    })
}

fn state(s: &seglift_segment_state) -> Result<SegmentState> {
    must_be_zero(s.reserved0.into(), "seglift_segment_state.reserved0")?;
    must_be_zero((s.flags & !SEGLIFT_STATE_LOCAL).into(), "seglift_segment_state.flags")?;
    Ok(SegmentState {
        base_offset: offset(s.base_offset, "seglift_segment_state.base_offset")?,
        next_offset: offset(s.next_offset, "seglift_segment_state.next_offset")?,
        size_bytes: s.bytes,
        newest_us: s.sealed_us,
        offloaded_us: s.offloaded_us,
        sealed: s.sealed_us != 0,
        offloaded: s.offloaded_us != 0,
        local: s.flags & SEGLIFT_STATE_LOCAL != 0,
    })
}

fn offset(offset: i64, field: &str) -> Result<u64> {
    u64::try_from(offset).map_err(|_| invalid(format!("{field} is {offset}; an offset is 0 or more")))
}

/// An action as C sees it: an expired segment says which of its copies there are to delete.
fn bits(action: Action, segment: &SegmentState) -> u32 {
    match action {
        Action::Keep => 0,
        Action::Offload => SEGLIFT_ACTION_OFFLOAD,
        Action::DeleteLocal => SEGLIFT_ACTION_DROP_LOCAL,
        Action::Expire if segment.local && segment.offloaded => {
            SEGLIFT_ACTION_DROP_LOCAL | SEGLIFT_ACTION_DELETE_TIERED
        }
        Action::Expire if segment.local => SEGLIFT_ACTION_DROP_LOCAL,
        Action::Expire => SEGLIFT_ACTION_DELETE_TIERED,
    }
}

/// The policy that the policy.* settings of a configuration ask for; config may be NULL for the defaults.
/// Errors: INVALID_CONFIG. Threads: one for the configuration. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_plan_policy(
    config: *const seglift_config,
    policy: *mut seglift_policy,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let out = Out::required(policy)?;
            let settings = if config.is_null() {
                Config::new().settings()?
            } else {
                handle::peek(config)?.settings()?
            };
            let p = Policy::from(&settings);
            let off_or = |value: Option<u64>| value.map_or(-1, |v| i64::try_from(v).unwrap_or(i64::MAX));
            let ms = |value: Option<Duration>| {
                off_or(value.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
            };
            out.write(seglift_policy {
                size: size_of::<seglift_policy>(),
                size_threshold: off_or(p.size_threshold),
                age_threshold_ms: ms(p.age_threshold),
                deletion_lag_ms: ms(p.deletion_lag),
                retention_size: off_or(p.retention_size),
                retention_age_ms: ms(p.retention_age),
                offload_before: 0,
                flags: 0,
                reserved0: 0,
            });
            Ok(())
        })
    }
}
