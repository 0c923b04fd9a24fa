//! How much memory something takes at most, and how long: an allocator that counts.

use parking_lot::{Mutex, MutexGuard};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The system's allocator, which counts what lives.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(live, Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ALONE: Mutex<()> = Mutex::new(());

/// One test at a time, so that what is measured is its own.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock()
}

/// What `work` gives, and the most bytes that lived during it beside those that lived before. Fails if it takes longer
/// than a minute: what is hostile may be slow, and must not hang.
pub fn bytes_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Relaxed);
    MOST.store(before, Relaxed);
    let begun = Instant::now();
    let result = work();
    assert!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());
    (result, MOST.load(Relaxed).saturating_sub(before))
}

#[test]
fn the_measure_sees_an_allocation_that_is_gone_again() {
    let _alone = alone();
    let ((), most) = bytes_of(|| drop(std::hint::black_box(vec![0u8; 5 << 20])));
    assert!((5 << 20..6 << 20).contains(&most), "{most}");
}
