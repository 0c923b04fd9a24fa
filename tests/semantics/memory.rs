//! What the budget promises. A program of its own, because it counts every byte that is allocated.

#[path = "common.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod common;

use common::*;
use parking_lot::Mutex;
use seglift::{
    Code, Driver,
    engine::{Call, Engine, EngineOptions},
    object::{Metadata, Mode},
    writer::{Finish, Segment, Source, WriterOptions},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// Counts what is allocated; a test that measures runs alone.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static ALONE: Mutex<()> = Mutex::new(());

// SAFETY: everything is done by the system's allocator; only sizes are added up beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const BUDGET: u64 = 16 << 20;
/// Threads, tasks, paths, the buffers of the test's own readers: what is no payload.
const BESIDE: usize = 4 << 20;
/// Three times the budget.
const LEN: usize = 48 << 20;

fn from_file(path: &Path) -> Source {
    Source::Path { path: path.to_owned(), offset: 0, len: None }
}

fn push(driver: &Driver, key: &str) -> seglift::Result<()> {
    let options = WriterOptions {
        key: key.to_owned(),
        mode: Mode::Bytes,
        codec: None,
        if_exists: Default::default(),
        max_bytes: None,
        metadata: Metadata::default(),
    };
    let writer = driver.writer(options, &Call::default(), None)?;
    let piece = noise(1, 100_000);
    for _ in 0..LEN / piece.len() / 4 {
        assert_eq!(writer.write(&piece, &Call::default())?, piece.len());
    }
    writer.commit(Finish::default(), &Call::default()).map(drop)
}

fn read_all(driver: &Driver, key: &str, step: usize, random: u64) -> seglift::Result<()> {
    let mut dest = vec![0; step];
    for at in (0..LEN as u64 / 4).step_by(step) {
        let at = if random > 0 { at * random % (LEN as u64 - step as u64) } else { at };
        driver.read_range(&by_key(key), at, &mut dest, &Call::default())?;
    }
    Ok(())
}

#[test]
fn the_memory_budget_is_never_exceeded() {
    let _alone = ALONE.lock();
    let (place, dir) = (Place::files(), tempfile::tempdir().unwrap());
    let path = dir.path().join("segment");
    std::fs::write(&path, noise(1, LEN)).unwrap();
    let engine = engine_with(BUDGET);
    let usual = [("block.size", "256KiB"), ("upload.part.size", "8MiB"), ("read.fetch.size", "2MiB")];
    let driver = place.open_on(&engine, "", &usual);
    for codec in CODECS {
        let first = Segment { codec: Some(codec), ..Segment::new(codec.name(), from_file(&path)) };
        driver.offload(first, &Call::default()).unwrap();
    }
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let refused = Arc::new(AtomicUsize::new(0));
    let work: Vec<_> = (0..18)
        .map(|n| {
            let (driver, path, refused) = (driver.clone(), path.clone(), refused.clone());
            thread::spawn(move || {
                let codec = CODECS[n % 2];
                let done = match n / 6 {
                    0 => {
                        let segment =
                            Segment { codec: Some(codec), ..Segment::new(format!("o{n}"), from_file(&path)) };
                        driver.offload(segment, &Call::default()).map(drop)
                    }
                    1 => push(&driver, &format!("w{n}")),
                    _ => read_all(&driver, codec.name(), 70_000 * (n - 11), [0, 7919][n / 2 % 2]),
                };
                match done {
                    Ok(()) => {}
                    Err(e) if e.code() == Code::Busy => _ = refused.fetch_add(1, Relaxed),
                    Err(e) => panic!("{n}: {e}"),
                }
            })
        })
        .collect();
    work.into_iter().for_each(|thread| thread.join().unwrap());
    let (stats, grown) = (engine.budget().stats(), PEAK.load(Relaxed) - before);
    assert!(stats.peak <= BUDGET, "{stats:?}");
    assert!(stats.peak > BUDGET / 2 && stats.waits > 0, "nobody was short of memory: {stats:?}");
    assert!(
        grown <= BUDGET as usize + BESIDE,
        "{grown} bytes were allocated for a budget of {BUDGET}: {stats:?}"
    );
    assert!(refused.load(Relaxed) < 12, "nearly everybody was refused");
    assert_eq!((stats.uploads, stats.reads, stats.lent, stats.waiting), (0, 0, 0, 0));
}

#[test]
fn a_request_that_can_never_fit_the_budget_says_which_setting_to_raise() {
    let _alone = ALONE.lock();
    let place = Place::files();
    let small =
        EngineOptions { lent_limit: 1 << 20, memory_budget: BUDGET, cache_size: 0, ..Default::default() };
    let engine = Engine::new(small).unwrap();
    let driver = place.open_on(&engine, "", &[]);
    offload(&driver, "k", &noise(1, 4 << 20), seglift::codec::Codec::None).unwrap();
    let lent = driver.read_range_bytes(&by_key("k"), 0, 4 << 20, &Call::default()).unwrap_err();
    assert_eq!(lent.code(), Code::ResourceExhausted);
    assert!(lent.message().contains("memory.lent.limit"), "{lent}");

    let data = seglift::writer::AttachmentData::Bytes(noise(1, 20 << 20));
    let attachments = vec![seglift::writer::Attachment { name: "a".to_owned(), data }];
    let large = segment("large", &noise(1, 9), seglift::codec::Codec::None);
    let large = driver.offload(Segment { attachments, ..large }, &Call::default()).unwrap_err();
    assert_eq!(large.code(), Code::ResourceExhausted);
    assert!(large.message().contains("memory.budget"), "{large}");
    assert!(!large.retryable(), "waiting does not help");

    let parts = place.open_on(&engine, "", &[("block.size", "4MiB"), ("codec.zstd.level", "1")]);
    let options = WriterOptions {
        key: "w".to_owned(),
        mode: Mode::Bytes,
        codec: None,
        if_exists: Default::default(),
        max_bytes: Some(1 << 50),
        metadata: Metadata::default(),
    };
    let writer = parts.writer(options, &Call::default(), None).err().unwrap();
    assert_eq!(writer.code(), Code::ResourceExhausted, "{writer}");
    assert!(writer.message().contains("memory.budget"), "{writer}");
    place.holds_only(&["k"]);
}
