//! What a policy promises, by example and for thousands of random logs.

use proptest::{collection::vec, option, prelude::*};
use seglift::policy::{Action, Policy, SegmentState, plan};
use std::time::Duration;

use Action::{DeleteLocal, Expire, Keep, Offload};

const HOUR_US: i64 = 3_600_000_000;
const NOW: i64 = 1_000 * HOUR_US;
const HOUR: Duration = Duration::from_secs(3600);

/// A log of local segments of 100 bytes and 10 offsets each, an hour apart, the youngest open.
fn log(count: u64) -> Vec<SegmentState> {
    let segment = |n: u64| SegmentState {
        base_offset: n * 10,
        next_offset: n * 10 + 10,
        size_bytes: 100,
        newest_us: NOW - (count - 1 - n) as i64 * HOUR_US,
        sealed: n + 1 < count,
        local: true,
        ..SegmentState::default()
    };
    (0..count).map(segment).collect()
}

fn offloaded(mut log: Vec<SegmentState>, which: impl IntoIterator<Item = (usize, i64)>) -> Vec<SegmentState> {
    for (n, hours_ago) in which {
        log[n].offloaded = true;
        log[n].offloaded_us = NOW - hours_ago * HOUR_US;
    }
    log
}

fn size_threshold(bytes: u64) -> Policy {
    Policy { size_threshold: Some(bytes), ..Policy::default() }
}

#[test]
fn a_policy_with_everything_off_does_nothing() {
    assert_eq!(plan(&Policy::default(), &offloaded(log(4), [(0, 900)]), NOW), [Keep; 4]);
    assert_eq!(plan(&size_threshold(0), &[], NOW), []);
}

#[test]
fn threshold_zero_offloads_every_sealed_segment_even_an_empty_one() {
    let mut log = log(4);
    log[2].size_bytes = 0;
    assert_eq!(plan(&size_threshold(0), &log, NOW), [Offload, Offload, Offload, Keep]);
}

#[test]
fn a_threshold_is_what_may_stay_not_what_must_gather_first() {
    assert_eq!(plan(&size_threshold(250), &log(5), NOW), [Offload, Offload, Keep, Keep, Keep]);
    assert_eq!(plan(&size_threshold(200), &log(5), NOW), [Offload, Offload, Keep, Keep, Keep]);
    assert_eq!(plan(&size_threshold(199), &log(5), NOW), [Offload, Offload, Offload, Keep, Keep]);
    assert_eq!(plan(&size_threshold(400), &log(5), NOW), [Keep; 5]);
}

#[test]
fn what_is_offloaded_does_not_count_against_the_threshold() {
    let log = offloaded(log(5), [(0, 1), (1, 1)]);
    assert_eq!(plan(&size_threshold(200), &log, NOW), [Keep; 5]);
    assert_eq!(plan(&size_threshold(100), &log, NOW), [Keep, Keep, Offload, Keep, Keep]);
}

#[test]
fn age_counts_from_the_newest_record_and_takes_all_older_segments_along() {
    let policy = Policy { age_threshold: Some(2 * HOUR), ..Policy::default() };
    assert_eq!(plan(&policy, &log(5), NOW), [Offload, Offload, Offload, Keep, Keep]);
    let mut with_a_future = log(5);
    with_a_future[0].newest_us = i64::MAX;
    assert_eq!(plan(&policy, &with_a_future, NOW), [Offload, Offload, Offload, Keep, Keep]);
}

#[test]
fn by_hand_everything_before_an_offset_goes_with_all_thresholds_off() {
    let by_hand = |offset| Policy { offload_before: Some(offset), ..Policy::default() };
    assert_eq!(plan(&by_hand(20), &log(4), NOW), [Offload, Offload, Keep, Keep]);
    assert_eq!(plan(&by_hand(19), &log(4), NOW), [Offload, Keep, Keep, Keep]);
    assert_eq!(plan(&by_hand(u64::MAX), &log(4), NOW), [Offload, Offload, Offload, Keep]);
    assert_eq!(plan(&by_hand(0), &log(4), NOW), [Keep; 4]);
}

#[test]
fn a_hole_that_a_failure_left_is_filled_before_anything_younger_goes() {
    let log = offloaded(log(5), [(0, 1), (2, 1)]);
    assert_eq!(plan(&size_threshold(10_000), &log, NOW), [Keep, Offload, Keep, Keep, Keep]);
}

#[test]
fn a_local_copy_stays_for_the_lag_and_a_lag_that_is_off_keeps_it() {
    let log = offloaded(log(4), [(0, 5), (1, 4), (2, 3)]);
    let lag = |lag| Policy { deletion_lag: lag, ..Policy::default() };
    assert_eq!(plan(&lag(Some(4 * HOUR)), &log, NOW), [DeleteLocal, DeleteLocal, Keep, Keep]);
    assert_eq!(plan(&lag(Some(Duration::ZERO)), &log, NOW), [DeleteLocal, DeleteLocal, DeleteLocal, Keep]);
    assert_eq!(plan(&lag(None), &log, NOW), [Keep; 4]);
}

#[test]
fn a_clock_that_jumped_back_deletes_nothing_early() {
    let mut log = offloaded(log(2), [(0, 0)]);
    log[0].offloaded_us = NOW + 1;
    let policy = Policy { deletion_lag: Some(Duration::ZERO), ..Policy::default() };
    assert_eq!(plan(&policy, &log, NOW), [Keep; 2]);
}

#[test]
fn retention_by_size_never_leaves_less_than_it_says() {
    let keep = |bytes| Policy { retention_size: Some(bytes), ..Policy::default() };
    let log = offloaded(log(4), [(0, 1)]);
    assert_eq!(plan(&keep(400), &log, NOW), [Keep; 4]);
    assert_eq!(plan(&keep(300), &log, NOW), [Expire, Keep, Keep, Keep]);
    assert_eq!(plan(&keep(299), &log, NOW), [Expire, Keep, Keep, Keep]);
    assert_eq!(plan(&keep(0), &log, NOW), [Expire, Expire, Expire, Keep]);
}

#[test]
fn retention_by_age_stops_at_the_first_segment_that_must_stay() {
    let policy = Policy { retention_age: Some(2 * HOUR), ..Policy::default() };
    assert_eq!(plan(&policy, &log(5), NOW), [Expire, Expire, Expire, Keep, Keep]);
    let mut young_first = log(5);
    young_first[1].newest_us = NOW;
    assert_eq!(plan(&policy, &young_first, NOW), [Expire, Keep, Keep, Keep, Keep]);
}

#[test]
fn an_expired_segment_is_not_offloaded_first() {
    let policy = Policy { size_threshold: Some(0), retention_size: Some(200), ..Policy::default() };
    assert_eq!(plan(&policy, &log(4), NOW), [Expire, Expire, Offload, Keep]);
}

#[test]
fn a_segment_that_is_nowhere_holds_up_no_other() {
    let mut log = log(4);
    log[0].local = false;
    assert_eq!(plan(&size_threshold(0), &log, NOW), [Keep, Offload, Offload, Keep]);
}

// ---- for any log ----

fn policies() -> impl Strategy<Value = Policy> {
    let size = || option::of(prop_oneof![Just(0), 0u64..3_000, any::<u64>()]);
    let time = || option::of(prop_oneof![Just(0), 0u64..400, any::<u64>()].prop_map(Duration::from_micros));
    (size(), time(), option::of(0u64..200), time(), size(), time()).prop_map(
        |(size_threshold, age_threshold, offload_before, deletion_lag, retention_size, retention_age)| {
            Policy {
                size_threshold,
                age_threshold,
                offload_before,
                deletion_lag,
                retention_size,
                retention_age,
            }
        },
    )
}

/// Logs without gaps in any state of offloading, with clocks that jump, the last segment perhaps open.
fn logs() -> impl Strategy<Value = Vec<SegmentState>> {
    let segment = (0u64..20, 0u64..500, 0i64..1_000, 0i64..1_000, any::<bool>(), any::<bool>());
    (vec(segment, 0..12), any::<bool>()).prop_map(|(segments, open)| {
        let (mut next, last) = (0, segments.len().saturating_sub(1));
        let build = |(n, (count, size_bytes, newest_us, offloaded_us, offloaded, local))| {
            let base_offset = next;
            next += count;
            let sealed = n < last || !open;
            let (offloaded, local) = (offloaded && sealed, local || !sealed);
            SegmentState {
                base_offset,
                next_offset: next,
                size_bytes,
                newest_us,
                offloaded_us,
                sealed,
                offloaded,
                local,
            }
        };
        segments.into_iter().enumerate().map(build).collect()
    })
}

/// Anything that fits the types: what a hostile or broken host may pass.
fn chaos() -> impl Strategy<Value = Vec<SegmentState>> {
    let segment = any::<(u64, u64, u64, i64, i64, bool, bool, bool)>();
    let build =
        |(base_offset, next_offset, size_bytes, newest_us, offloaded_us, sealed, offloaded, local)| {
            SegmentState {
                base_offset,
                next_offset,
                size_bytes,
                newest_us,
                offloaded_us,
                sealed,
                offloaded,
                local,
            }
        };
    vec(segment.prop_map(build), 0..20)
}

fn waiting(log: &[SegmentState], actions: &[Action]) -> u64 {
    let waits =
        |(s, action): &(&SegmentState, &Action)| s.sealed && s.local && !s.offloaded && **action == Keep;
    log.iter().zip(actions).filter(waits).map(|(s, _)| s.size_bytes).sum()
}

/// The log after its host did what the plan says.
fn carried_out(log: &[SegmentState], actions: &[Action], now_us: i64) -> Vec<SegmentState> {
    let act = |(segment, action): (&SegmentState, &Action)| match action {
        Keep => Some(*segment),
        Offload => Some(SegmentState { offloaded: true, offloaded_us: now_us, ..*segment }),
        DeleteLocal => Some(SegmentState { local: false, ..*segment }),
        Expire => None,
    };
    log.iter().zip(actions).filter_map(act).collect()
}

const AT: i64 = 600;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_open_segment_is_never_touched(policy in policies(), log in chaos(), now: i64) {
        for (segment, action) in log.iter().zip(plan(&policy, &log, now)) {
            prop_assert!(segment.sealed || action == Keep);
        }
    }

    #[test]
    fn a_local_copy_goes_only_if_its_segment_is_in_the_store_for_the_whole_lag(
        policy in policies(), log in chaos(), now: i64,
    ) {
        for (segment, action) in log.iter().zip(plan(&policy, &log, now)) {
            if action == DeleteLocal {
                let lag = i128::try_from(policy.deletion_lag.unwrap().as_micros()).unwrap().min(i128::from(i64::MAX));
                prop_assert!(segment.offloaded && segment.local);
                prop_assert!(i128::from(now) - i128::from(segment.offloaded_us) >= lag);
            }
        }
    }

    #[test]
    fn only_what_is_local_and_not_yet_in_the_store_is_offloaded(policy in policies(), log in chaos(), now: i64) {
        for (segment, action) in log.iter().zip(plan(&policy, &log, now)) {
            prop_assert!(action != Offload || (segment.local && !segment.offloaded));
        }
    }

    #[test]
    fn what_is_offloaded_is_a_run_from_the_oldest_without_a_hole(policy in policies(), log in logs()) {
        let after = carried_out(&log, &plan(&policy, &log, AT), AT);
        let existing = after.iter().filter(|s| s.local || s.offloaded).map(|s| s.offloaded);
        prop_assert!(existing.is_sorted_by(|older, younger| older >= younger), "{after:?}");
    }

    #[test]
    fn no_more_than_the_size_threshold_waits_and_no_segment_goes_without_need(log in logs(), most in 0u64..3_000) {
        let actions = plan(&size_threshold(most), &log, AT);
        prop_assert!(waiting(&log, &actions) <= most);
        // With nothing in the store yet, the youngest that goes is needed: one fewer would be too few.
        if most > 0 && log.iter().all(|s| !s.offloaded) && let Some(last) = actions.iter().rposition(|a| *a == Offload) {
            prop_assert!(waiting(&log, &actions) + log[last].size_bytes > most);
        }
    }

    #[test]
    fn expired_segments_are_the_oldest_and_what_retention_keeps_stays(policy in policies(), log in logs()) {
        let actions = plan(&policy, &log, AT);
        let count = actions.iter().take_while(|action| **action == Expire).count();
        prop_assert!(actions[count..].iter().all(|action| *action != Expire));
        let over = |n: usize| {
            let left: u64 = log[n + 1..].iter().map(|s| s.size_bytes).sum();
            let aged = |limit: Duration| u128::try_from(AT - log[n].newest_us).is_ok_and(|age| age >= limit.as_micros());
            log[n].sealed && (policy.retention_size.is_some_and(|least| left >= least) || policy.retention_age.is_some_and(aged))
        };
        prop_assert!((0..count).all(over));
        prop_assert!(count == log.len() || !over(count));
    }

    #[test]
    fn the_order_in_which_segments_are_listed_does_not_matter(
        policy in policies(), log in logs(), keys in vec(any::<u32>(), 12),
    ) {
        let mut order: Vec<usize> = (0..log.len()).collect();
        // Two empty segments at one offset have no order of their own.
        prop_assume!(log.windows(2).all(|w| (w[0].base_offset, w[0].next_offset) < (w[1].base_offset, w[1].next_offset)));
        order.sort_by_key(|i| keys[*i]);
        let shuffled: Vec<_> = order.iter().map(|i| log[*i]).collect();
        let (expected, actions) = (plan(&policy, &log, AT), plan(&policy, &shuffled, AT));
        for (action, i) in actions.iter().zip(order) {
            prop_assert_eq!(*action, expected[i]);
        }
    }

    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do_but_to_drop_local_copies(
        policy in policies(), log in logs(),
    ) {
        let after = carried_out(&log, &plan(&policy, &log, AT), AT);
        let again = plan(&policy, &after, AT);
        prop_assert!(again.iter().all(|action| matches!(action, Keep | DeleteLocal)), "{after:?} {again:?}");
        let settled = carried_out(&after, &again, AT);
        prop_assert!(plan(&policy, &settled, AT).iter().all(|action| *action == Keep));
    }
}
