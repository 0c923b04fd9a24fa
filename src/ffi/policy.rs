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
    policy::{self, Policy, SegmentState},
};

/// seglift_policy.flags: offload_before is set.
pub const SEGLIFT_POLICY_HAS_OFFLOAD_BEFORE: u32 = 1;
/// seglift_segment_state.flags: a local copy exists.
pub const SEGLIFT_STATE_LOCAL: u32 = 1;
/// Offload the segment.
pub const SEGLIFT_ACTION_OFFLOAD: u32 = 1;
/// Drop the local copy: the tiered one is old enough.
pub const SEGLIFT_ACTION_DROP_LOCAL: u32 = 2;
/// Delete the tiered copy: retention is over.
pub const SEGLIFT_ACTION_DELETE_TIERED: u32 = 4;

/// When to offload, drop and delete. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_policy {
    /// sizeof(seglift_policy).
    pub size: usize,
    /// Bytes that may stay local before segments are offloaded: 0 = as soon as possible, below 0 = off.
    pub size_threshold: i64,
    /// Age in ms at which a segment is offloaded: 0 = as soon as possible, below 0 = off.
    pub age_threshold_ms: i64,
    /// How many ms a local copy stays after its offload; below 0 = for ever.
    pub deletion_lag_ms: i64,
    /// Bytes that the log may have in all before its oldest segments are deleted; below 0 = off.
    pub retention_size: i64,
    /// Age in ms at which a segment is deleted; below 0 = off.
    pub retention_age_ms: i64,
    /// With HAS_OFFLOAD_BEFORE: offload every segment that ends at or before this offset, whatever the thresholds.
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
    /// Offset of its first entry.
    pub base_offset: i64,
    /// Offset behind its last entry.
    pub next_offset: i64,
    /// Its length.
    pub bytes: u64,
    /// When it was sealed, in us since 1970; 0 = it is open.
    pub sealed_us: i64,
    /// When it was offloaded, in us since 1970; 0 = not yet.
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

/// Decides for each of n segments, oldest first, what to do now: actions[i] becomes the SEGLIFT_ACTION_* bits of
/// the i-th. Pure: it does nothing, reads no clock and no store, and needs no driver.
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
                return Err(invalid("actions is NULL or not aligned; give room for one uint32_t for each segment"));
            }
            let states = array.iter().map(|s| state(&s?)).collect::<crate::Result<Vec<_>>>()?;
            for (i, action) in policy::plan(&policy, &states, now_us)?.into_iter().enumerate() {
                actions.add(i).write(action.bits());
            }
            Ok(())
        })
    }
}

fn read(p: &seglift_policy) -> crate::Result<Policy> {
    must_be_zero(p.reserved0.into(), "seglift_policy.reserved0")?;
    must_be_zero((p.flags & !SEGLIFT_POLICY_HAS_OFFLOAD_BEFORE).into(), "seglift_policy.flags")?;
    Ok(Policy {
        size_threshold: p.size_threshold,
        age_threshold_ms: p.age_threshold_ms,
        deletion_lag_ms: p.deletion_lag_ms,
        retention_size: p.retention_size,
        retention_age_ms: p.retention_age_ms,
        offload_before: (p.flags & SEGLIFT_POLICY_HAS_OFFLOAD_BEFORE != 0).then_some(p.offload_before),
    })
}

fn state(s: &seglift_segment_state) -> crate::Result<SegmentState> {
    must_be_zero(s.reserved0.into(), "seglift_segment_state.reserved0")?;
    must_be_zero((s.flags & !SEGLIFT_STATE_LOCAL).into(), "seglift_segment_state.flags")?;
    Ok(SegmentState {
        base_offset: s.base_offset,
        next_offset: s.next_offset,
        bytes: s.bytes,
        sealed_us: s.sealed_us,
        offloaded_us: s.offloaded_us,
        local: s.flags & SEGLIFT_STATE_LOCAL != 0,
    })
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
            let settings = if config.is_null() { Config::new().settings()? } else { handle::peek(config)?.settings()? };
            let p = Policy::from(&settings);
            out.write(seglift_policy {
                size: size_of::<seglift_policy>(),
                size_threshold: p.size_threshold,
                age_threshold_ms: p.age_threshold_ms,
                deletion_lag_ms: p.deletion_lag_ms,
                retention_size: p.retention_size,
                retention_age_ms: p.retention_age_ms,
                offload_before: p.offload_before.unwrap_or(0),
                flags: if p.offload_before.is_some() { SEGLIFT_POLICY_HAS_OFFLOAD_BEFORE } else { 0 },
                reserved0: 0,
            });
            Ok(())
        })
    }
}
