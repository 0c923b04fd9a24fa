//! The fuzz targets without a fuzzer: the committed corpus, and a fixed number of mutations of it.
//!
//! `make fuzz` looks for what is new; this keeps what was found, on the stable compiler, in seconds. Each run does the
//! same: the mutations follow from SEED (1 unless the environment says otherwise), which a failure prints with the input.
//! `SCALE=full` does a hundred times as many. `FUZZ_INPUT=file` runs one input: a failure's, or an artifact of libFuzzer.
#![cfg(feature = "testing")]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::{TARGETS, Target};
use parking_lot::Mutex;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The system's allocator, which remembers the largest request.
struct Watching;

/// Of any thread: an engine works in threads of its own.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Of this thread.
    static OWN_LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// What another thread takes below that is no input's: the test harness spawns threads and keeps what tests print.
const OF_THE_HARNESS: usize = 1 << 20;

/// The largest request for the input that just ran.
fn largest() -> usize {
    let others = Some(LARGEST.load(Relaxed)).filter(|largest| *largest > OF_THE_HARNESS);
    OWN_LARGEST.get().max(others.unwrap_or(0))
}

// SAFETY: every call goes to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        OWN_LARGEST.set(OWN_LARGEST.get().max(layout.size()));
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// One target at a time, so that an allocation is that of its input.
static ALONE: Mutex<()> = Mutex::new(());

/// No input may take longer: they are a few KiB.
const SLOW: Duration = Duration::from_secs(20);
/// Longest input that mutations make.
const LONGEST: usize = 64 << 10;

fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name)
}

/// The committed inputs, in the order of their names.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = folder(target);
    let names = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}; run make bless", folder.display()));
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.iter().map(|name| fs::read(name).unwrap()).collect()
}

/// Runs one input; a panic or a breach of the bounds names the file to see it again with.
fn execute(target: &Target, input: &[u8], what: &str) {
    LARGEST.store(0, Relaxed);
    OWN_LARGEST.set(0);
    let begun = Instant::now();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        (target.run)(input);
        let (largest, bound) = (largest(), (target.allocation)(input.len()));
        assert!(
            largest <= bound,
            "{largest} bytes were allocated at once for an input of {}; {bound} may be",
            input.len()
        );
        assert!(begun.elapsed() < SLOW, "{:?} for an input of {} bytes", begun.elapsed(), input.len());
    }));
    if let Err(panic) = ran {
        let file = env::temp_dir().join(format!("seglift-fuzz-{}", target.name));
        fs::write(&file, input).unwrap();
        eprintln!(
            "{what} of target {}; to see it again: FUZZ_INPUT={} cargo test --release --features testing \
             --test fuzz_corpus {}",
            target.name,
            file.display(),
            target.name
        );
        resume_unwind(panic);
    }
}

fn survives(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let _alone = ALONE.lock();
    if let Some(file) = env::var_os("FUZZ_INPUT") {
        return (target.run)(&fs::read(file).unwrap());
    }
    // What a target makes once for all inputs is not an input's.
    let corpus = corpus(target);
    assert!(!corpus.is_empty());
    (target.run)(&corpus[0]);
    for (n, input) in corpus.iter().enumerate() {
        execute(target, input, &format!("input {n} of the corpus"));
    }
    let seed = env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let full = env::var("SCALE").is_ok_and(|scale| scale == "full");
    let executions = if full { 100 * target.executions } else { target.executions };
    let mut random = fastrand::Rng::with_seed(seed);
    for n in 0..executions {
        let input = mutated(&mut random, &corpus);
        execute(target, &input, &format!("mutation {n} with SEED={seed}"));
    }
    println!("{name}: {} inputs of the corpus and {executions} mutations with SEED={seed}", corpus.len());
}

/// An input of the corpus with one to eight changes.
fn mutated(random: &mut fastrand::Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = random.choice(corpus).unwrap().clone();
    for _ in 0..1 << random.u8(0..4) {
        let at = random.usize(0..=input.len());
        let most = 1 << random.u8(0..8);
        let len = random.usize(0..=(input.len() - at).min(most));
        match random.u8(0..10) {
            0 | 1 => input.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << random.u8(0..8)),
            2 => input.get_mut(at).into_iter().for_each(|byte| *byte = random.u8(..)),
            3 => {
                // The numbers at which things go wrong, in the sizes that they have.
                let number = *random
                    .choice(&[0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 1 << 31, u64::MAX >> 1, u64::MAX])
                    .unwrap();
                let width = *random.choice(&[1, 2, 4, 8]).unwrap();
                if let Some(bytes) = input.get_mut(at..at + width) {
                    bytes.copy_from_slice(&number.to_le_bytes()[..width]);
                }
            }
            4 => drop(input.drain(at..at + len)),
            5 => {
                let copy = input[at..at + len].to_vec();
                input.splice(at..at, copy);
            }
            6 => {
                let noise: Vec<u8> = (0..random.usize(0..16)).map(|_| random.u8(..)).collect();
                input.splice(at..at, noise);
            }
            7 => {
                let other = random.choice(corpus).unwrap();
                let from = random.usize(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            8 => input.truncate(input.len() - len.min(input.len())),
            _ => input[at..at + len].reverse(),
        }
    }
    input.truncate(LONGEST);
    input
}

macro_rules! targets {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                survives(stringify!($name));
            }
        )+

        #[test]
        fn every_target_is_run_here_and_by_the_fuzzer() {
            let ours = [$(stringify!($name)),+];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), ours);
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
            let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
            for name in ours {
                let program = format!("[[bin]]\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
                assert!(manifest.contains(&program), "fuzz/Cargo.toml lacks {name}");
                let called = fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs"))).unwrap();
                assert!(called.contains(&format!("seglift_fuzz::{name}::run")), "{called}");
            }
        }
    };
}

targets!(tail page records block token resume config uri key s3_answer object salvage scrub_state);

#[test]
fn the_corpus_holds_the_seeds_of_its_targets() {
    let bless = env::var_os("SEGLIFT_BLESS").is_some();
    let _alone = ALONE.lock();
    for target in TARGETS {
        for (n, seed) in (target.seeds)().iter().enumerate() {
            let file = folder(target).join(format!("seed-{n:02}"));
            if bless {
                fs::create_dir_all(folder(target)).unwrap();
                fs::write(&file, seed).unwrap();
            }
            let committed = fs::read(&file).unwrap_or_default();
            assert!(&committed == seed, "{} is not what its target makes; run make bless", file.display());
        }
    }
}
