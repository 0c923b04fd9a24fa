//! Thousands of operations of every kind at once, while everything goes wrong.
//!
//! Several threads call and submit whatever a driver can do. Meanwhile the store fails, lies about answers, hangs and
//! panics; calls are cancelled by token and by number; deadlines are short; buffers are taken back; drivers are closed
//! and completion queues shut down under load, and others opened in their place. Then there is peace, and the books are compared:
//!
//! - every operation ended once, none took long, and none with an error that nothing explains;
//! - every byte that was read was right, and every receipt can be read by a driver that knows nothing;
//! - what was not committed for certain is not there;
//! - the memory budget was never exceeded, and nothing but the cache holds any of it; no operation, no piece, no lent
//!   buffer and no descriptor is left.
//!
//! What each thread asks for, and what goes wrong at which request, follows from the seed; how the threads meet does not. A
//! failure prints the seed and the command. There are 5,000 in memory and as many on files; `SCALE=full`
//! makes it 100,000 each.

mod action;
mod book;
mod faults;
mod peace;
mod world;

use seglift::engine::{Engine, EngineOptions};
use std::{
    sync::{Mutex, MutexGuard, Once},
    time::{SystemTime, UNIX_EPOCH},
};
use world::{Place, World};

const WORKERS: usize = 6;

/// Operations of one test: there are two. Sanitizers, under which each takes many times as long, want fewer.
fn operations() -> usize {
    if let Ok(operations) = std::env::var("SEGLIFT_OPERATIONS") {
        return operations.parse().expect("SEGLIFT_OPERATIONS is a number");
    }
    if std::env::var("SCALE").is_ok_and(|scale| scale == "full") { 100_000 } else { 5_000 }
}

/// One test at a time: each counts the descriptors of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|failed| failed.into_inner())
}

fn seed() -> u64 {
    let given =
        std::env::var("SEGLIFT_SEED").ok().map(|seed| seed.parse().expect("SEGLIFT_SEED is a number"));
    let now =
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| t.as_nanos() as u64 % 1_000_000_007);
    given.unwrap_or_else(now)
}

/// Panics that the store throws on purpose say nothing new.
fn hush() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload_as_str().is_some_and(|text| text.contains("on purpose")) {
                tell(panic);
            }
        }));
    });
}

fn run(place: Place, test: &str) {
    let _alone = alone();
    hush();
    let seed = seed();
    let said = std::panic::catch_unwind(|| {
        // The first runtime of a process opens two sockets for signals, which stay for the next ones.
        drop(Engine::new(EngineOptions::default()));
        let before = descriptors();
        let world = World::new(place, seed);
        world.storm(WORKERS, operations());
        world.compare();
        drop(world);
        // The engine's threads end by themselves, a moment later.
        world::until(
            || descriptors().len() <= before.len(),
            || format!("open are {:?}, and before {before:?}", descriptors()),
        );
    });
    if let Err(panic) = said {
        eprintln!(
            "again: SEGLIFT_SEED={seed} cargo test --release --features testing --test chaos {test} -- --exact"
        );
        std::panic::resume_unwind(panic);
    }
}

/// What the process has open, by the names that Linux gives them.
fn descriptors() -> Vec<String> {
    let all = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    // The look itself is one that is gone by now.
    let mut open: Vec<_> =
        all.filter_map(|fd| Some(std::fs::read_link(fd.path()).ok()?.display().to_string())).collect();
    open.sort();
    open
}

#[test]
fn operations_on_memory_end_once_each_whatever_goes_wrong() {
    run(Place::memory(), "operations_on_memory_end_once_each_whatever_goes_wrong");
}

#[test]
fn operations_on_files_end_once_each_whatever_goes_wrong() {
    run(Place::files(), "operations_on_files_end_once_each_whatever_goes_wrong");
}
