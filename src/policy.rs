//! What to do with each segment of one log: offload it, drop its local copy, or delete it.
//!
//! **Purpose.** A pure planner. A host lists its segments, asks for a [`plan`] as often as it
//! likes, and carries out what it says; nothing is remembered in between, so a crash or a failed
//! action needs no repair: the next plan starts from what is true then.
//!
//! **Invariants.** An open segment is never touched. What is offloaded, together with what the plan
//! offloads, is a run from the oldest segment without a hole. A local copy is dropped only when its
//! segment is offloaded. Retention deletes from the oldest on and stops at the first segment that
//! must stay. Nothing overflows, whatever clocks and sizes say.
//!
//! **Trade-off.** One log at a time and every segment on every call: two passes over a few thousand
//! plain structs cost microseconds, and an incremental planner would have state that can be wrong.

use crate::{clock::whole_us, config::Settings};
use std::time::Duration;

/// When to do what. `None` is "never by this rule"; the default never does anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Bytes of sealed segments without an object that may stay. The oldest beyond them are due;
    /// with 0 every sealed segment is, even an empty one.
    pub size_threshold: Option<u64>,
    /// A sealed segment whose newest record is this old is due.
    pub age_threshold: Option<Duration>,
    /// Everything before this offset is due, whatever the thresholds say: each sealed segment whose
    /// last offset lies below it. The segment that holds the offset itself stays, so the offset
    /// after the last one means "all there is".
    pub offload_before: Option<u64>,
    /// How long a local copy stays after its segment was offloaded.
    pub deletion_lag: Option<Duration>,
    /// A log keeps at least this many bytes, counting each segment once, the open one included: a
    /// segment expires if what is left without it and all older ones is still as much.
    pub retention_size: Option<u64>,
    /// A sealed segment whose newest record is this old expires.
    pub retention_age: Option<Duration>,
}

impl From<&Settings> for Policy {
    fn from(settings: &Settings) -> Self {
        Policy {
            size_threshold: settings.policy_size_threshold,
            age_threshold: settings.policy_age_threshold,
            offload_before: None,
            deletion_lag: settings.policy_deletion_lag,
            retention_size: settings.policy_retention_size,
            retention_age: settings.policy_retention_age,
        }
    }
}

/// What a host knows about one segment. Times are microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentState {
    /// The first offset, or where the first would be.
    pub base_offset: u64,
    /// The offset after the last one; equals `base_offset` if the segment is empty.
    pub next_offset: u64,
    /// Bytes of the segment, as the host counts them in its log.
    pub size_bytes: u64,
    /// The time of the newest record, or when the segment was sealed.
    pub newest_us: i64,
    /// When the segment was offloaded; counts only if `offloaded`.
    pub offloaded_us: i64,
    /// Nothing will be appended any more.
    pub sealed: bool,
    /// The store holds it: the host has a receipt.
    pub offloaded: bool,
    /// The host still holds it.
    pub local: bool,
}

/// What to do with a segment now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Nothing.
    #[default]
    Keep = 0,
    /// Put it into the store. Take these in the order of their offsets.
    Offload = 1,
    /// Drop the local copy; the store has the segment.
    DeleteLocal = 2,
    /// Its retention is over: delete the object, if there is one, and the local copy.
    Expire = 3,
}

/// What to do with each of `segments` at the time `now_us`, in the order in which they are given;
/// their own order is that of their offsets and need not be kept by the caller.
///
/// An expired segment is not offloaded first. A segment that the plan offloads keeps its local
/// copy until a later plan finds it offloaded long enough ago. One that is neither local nor
/// offloaded (lost, or being deleted) can only expire, and holds up no other.
pub fn plan(policy: &Policy, segments: &[SegmentState], now_us: i64) -> Vec<Action> {
    let mut oldest_first: Vec<usize> = (0..segments.len()).collect();
    oldest_first.sort_by_key(|i| (segments[*i].base_offset, segments[*i].next_offset));

    let mut actions = vec![Action::Keep; segments.len()];
    let (gone, kept) = oldest_first.split_at(expired(policy, segments, &oldest_first, now_us));
    for i in gone {
        actions[*i] = Action::Expire;
    }

    // A log has one open segment, at its end: what is listed behind one is not old, whatever it is.
    let sealed = kept.iter().position(|i| !segments[*i].sealed).map_or(kept, |open| &kept[..open]);
    let due = due(policy, segments, sealed, now_us);
    for (age_rank, i) in sealed.iter().enumerate() {
        let segment = &segments[*i];
        let lag_over = policy.deletion_lag.is_some_and(|lag| is_past(segment.offloaded_us, lag, now_us));
        actions[*i] = match (segment.local, segment.offloaded) {
            (true, false) if age_rank < due => Action::Offload,
            (true, true) if lag_over => Action::DeleteLocal,
            _ => Action::Keep,
        };
    }
    actions
}

/// How many of the oldest segments have expired.
fn expired(policy: &Policy, segments: &[SegmentState], oldest_first: &[usize], now_us: i64) -> usize {
    let mut left: u128 = segments.iter().map(|segment| u128::from(segment.size_bytes)).sum();
    let is_kept = |i: &usize| {
        let segment = &segments[*i];
        left -= u128::from(segment.size_bytes);
        let by_size = policy.retention_size.is_some_and(|least| left >= u128::from(least));
        let by_age = policy.retention_age.is_some_and(|age| is_past(segment.newest_us, age, now_us));
        !segment.sealed || !(by_size || by_age)
    };
    oldest_first.iter().position(is_kept).unwrap_or(oldest_first.len())
}

/// How many of the oldest of `sealed` should be in the store.
///
/// The youngest segment that any rule names takes all older ones with it: a timestamp from the
/// future in one segment must not hold up the others for ever, and a failure in the middle is made
/// good before anything younger goes.
fn due(policy: &Policy, segments: &[SegmentState], sealed: &[usize], now_us: i64) -> usize {
    // Bytes of this and all younger sealed segments that the store does not have.
    let mut waiting: u128 = 0;
    let is_due = |i: &usize| {
        let segment = &segments[*i];
        if !segment.offloaded && segment.local {
            waiting += u128::from(segment.size_bytes);
        }
        let by_size = policy.size_threshold.is_some_and(|most| most == 0 || waiting > u128::from(most));
        let by_age = policy.age_threshold.is_some_and(|age| is_past(segment.newest_us, age, now_us));
        let by_hand = policy.offload_before.is_some_and(|offset| segment.next_offset <= offset);
        segment.offloaded || by_size || by_age || by_hand
    };
    sealed.iter().rposition(is_due).map_or(0, |youngest| youngest + 1)
}

/// Whether `span` has passed since `since_us`; a moment in the future has not begun to age.
fn is_past(since_us: i64, span: Duration, now_us: i64) -> bool {
    now_us.checked_sub(since_us).map_or(now_us > since_us, |age| age >= whole_us(span))
}
