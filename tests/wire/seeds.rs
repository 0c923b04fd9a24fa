//! Random faults under random work, against a model of what must be there.
//!
//! Work and faults come from one number. What fails prints it, with the command that repeats it.

use super::site::{Behind, LARGE, SMALL, Site, all, content, is_full, is_typed, offload, read, timed};
use seglift::{Code::*, Error, codec::Codec, engine::Call, reader::SegmentRef};
use std::{
    collections::BTreeSet,
    env,
    time::{Duration, Instant},
};

/// What a host has in mind for a read or an offload.
const DEADLINE: Duration = Duration::from_secs(10);
const KEYS: usize = 4;
/// Operations of a schedule.
const STEPS: usize = 30;
/// Requests of 1,000 that fail.
const RATE: u64 = 120;

/// What may be under a key: contents by their number and length, or nothing.
#[derive(Clone, Debug)]
struct Known(BTreeSet<Option<(u64, usize)>>);

/// Runs schedules: `quick` of them, or `full` with SCALE=full, or those that SEGLIFT_SEED names (7, 100-200). `test` is the target
/// that runs them.
pub fn schedules(site: &Site, test: &str, name: &str, quick: u64, full: u64) {
    // Always the same, so that what passes today passes tomorrow.
    let number = |text: &str| text.parse::<u64>().expect("SEGLIFT_SEED is a number, or two of them: 100-200");
    let seeds: Vec<u64> = match env::var("SEGLIFT_SEED").as_deref() {
        Err(_) => (1..=if is_full() { full } else { quick }).collect(),
        Ok(given) => match given.split_once('-') {
            Some((from, to)) => (number(from)..=number(to)).collect(),
            None => vec![number(given)],
        },
    };
    let started = Instant::now();
    let faults = std::sync::atomic::AtomicUsize::new(0);
    all(&seeds, |_, &seed| {
        let again = format!(
            "{name}, seed {seed}; again: SEGLIFT_SEED={seed} cargo test --release --features testing --test {test} a_schedule"
        );
        let hit = schedule(site, seed, &again);
        faults.fetch_add(hit, std::sync::atomic::Ordering::Relaxed);
    });
    println!(
        "{name}: {} schedules of {STEPS} operations with {} faults in {:.0} s",
        seeds.len(),
        faults.into_inner(),
        started.elapsed().as_secs_f64()
    );
    site.is_empty_after_reap();
}

/// One schedule. How many faults it met.
fn schedule(site: &Site, seed: u64, again: &str) -> usize {
    let behind = site.behind(&format!("seed-{seed}"), &format!("seed={seed}&rate={RATE}"), &[]);
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut known = vec![Known([None].into()); KEYS];
    for step in 0..STEPS {
        let n = dice.usize(..KEYS);
        let what = format!("{again}, step {step}");
        match dice.usize(..10) {
            0..4 => write(site, &behind, n, &mut known[n], &mut dice, &what),
            4..8 => look(site, &behind, n, &mut known[n], &mut dice, &what),
            8 => list(site, &behind, &mut known, &what),
            _ => delete(site, &behind, n, &mut known[n], &what),
        }
    }
    let faults = behind.proxy.faults();
    // What is there now is what the model says, to one who meets no faults.
    behind.proxy.play("".parse().unwrap());
    for (n, known) in known.iter_mut().enumerate() {
        look(site, &behind, n, known, &mut dice, &format!("{again}, at the end"));
        assert_eq!(known.0.len(), 1, "{again}, at the end: {known:?}");
        delete(site, &behind, n, known, &format!("{again}, at the end"));
        assert_eq!(known.0, [None].into(), "{again}, at the end");
    }
    faults
}

fn key(n: usize) -> String {
    format!("k{n}")
}

/// An error that a fault may lead to, and not one that tells of a mistake.
fn comes_of_faults(error: &Error, site: &Site, what: &str) {
    is_typed(error, site);
    let codes =
        [Unavailable, TimedOut, Throttled, PermissionDenied, NotFoundOrDenied, OutcomeUnknown, Corrupt, Busy];
    assert!(codes.contains(&error.code()), "{what}: {error}");
}

fn write(site: &Site, behind: &Behind, n: usize, known: &mut Known, dice: &mut fastrand::Rng, what: &str) {
    let (number, codec) = (dice.u64(..3), dice.choice([Codec::None, Codec::Zstd]).unwrap());
    let len = if dice.usize(..4) == 0 { LARGE } else { dice.usize(..SMALL) / 50_000 * 50_000 };
    // Without bytes all contents are the same.
    let number = if len == 0 { 0 } else { number };
    let mine = Some((number, len));
    match timed(what, DEADLINE, |call| offload(&behind.driver, &key(n), &content(number, len), codec, call)) {
        Ok(receipt) => {
            // It says whether it was there: then the model must have thought so possible.
            let free = known.0.contains(&None);
            assert!(
                if receipt.existed { known.0.contains(&mine) } else { free },
                "{what}: {known:?}, {receipt:?}"
            );
            known.0 = [mine].into();
        }
        Err(e) if e.code() == AlreadyExists => {
            known.0.retain(|there| there.is_some() && *there != mine);
            assert!(!known.0.is_empty(), "{what}: nothing else can be there: {e}");
        }
        Err(e) => {
            comes_of_faults(&e, site, what);
            // Unknown is the only error after which it may be there.
            if e.code() == OutcomeUnknown && known.0.contains(&None) {
                known.0.insert(mine);
            }
        }
    }
}

fn look(site: &Site, behind: &Behind, n: usize, known: &mut Known, dice: &mut fastrand::Rng, what: &str) {
    let r = SegmentRef { key: key(n), token: None };
    let start = dice.usize(..SMALL) as u64;
    let end = start + if dice.bool() { LARGE as u64 } else { 1 + dice.u64(..40_000) };
    match timed(what, DEADLINE, |call| -> Result<_, Error> {
        // The length first, or a short segment would look like another's beginning.
        let stat = behind.driver.stat(&r, call)?;
        let len = stat.segment_bytes();
        Ok((len, if start < len { read(&behind.driver, &r, start..end, call)? } else { Vec::new() }))
    }) {
        Ok((len, bytes)) => {
            known.0.retain(|there| {
                there.is_some_and(|(number, has)| {
                    let all = content(number, has);
                    let from = (start as usize).min(has);
                    has as u64 == len && bytes[..] == all[from..has.min((end as usize).max(from))]
                })
            });
            assert!(!known.0.is_empty(), "{what}: {} bytes of {len} from {start} are nobody's", bytes.len());
        }
        Err(e) if e.code() == NotFound => {
            assert!(known.0.contains(&None), "{what}: {known:?}: {e}");
            known.0 = [None].into();
        }
        Err(e) => {
            comes_of_faults(&e, site, what);
            assert!(behind.proxy.faults() > 0, "{what}: {e} without a fault");
        }
    }
}

fn list(site: &Site, behind: &Behind, known: &mut [Known], what: &str) {
    match timed(what, DEADLINE, |call| behind.driver.list("", None, 100, call)) {
        Ok(page) => {
            let listed: BTreeSet<String> =
                page.entries.iter().map(|entry| entry.key.as_str().into()).collect();
            for (n, known) in known.iter_mut().enumerate() {
                let there = listed.contains(&key(n));
                known.0.retain(|content| content.is_some() == there);
                assert!(!known.0.is_empty(), "{what}: {} is listed: {there}", key(n));
            }
        }
        Err(e) => comes_of_faults(&e, site, what),
    }
}

fn delete(site: &Site, behind: &Behind, n: usize, known: &mut Known, what: &str) {
    let done = timed(what, DEADLINE, |call: &Call| behind.driver.delete(&[key(n)], call));
    match done.and_then(|mut each| each.remove(0)) {
        Ok(()) => known.0 = [None].into(),
        Err(e) => {
            comes_of_faults(&e, site, what);
            known.0.insert(None);
        }
    }
}
