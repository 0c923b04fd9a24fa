//! Parsing what nobody has vouched for takes memory in proportion to it, whatever it claims.

mod format_support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use format_support::{Object, kinds, reseal};
use seglift::object::Tail;

/// The system's allocator, which remembers the largest request. Only an allocator can see them,
/// and it cannot be written without `unsafe`.
struct Watching;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
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

// One test: another one's allocations would be counted too.
#[test]
fn a_forged_tail_cannot_make_the_parser_allocate_more_than_a_few_times_its_length() {
    let (mut forgeries, mut worst) = (0, 0);
    for (name, recipe) in kinds() {
        let (object, tail) = recipe.build();
        let position = tail.position();
        for at in position.start as usize..position.end as usize - 12 {
            for change in [0x01, 0x80, 0xFF] {
                let mut forged = object.clone();
                forged[at] ^= change;
                reseal(&mut forged, &tail);
                let frame = forged[position.start as usize..position.end as usize].to_vec();
                LARGEST.store(0, Relaxed);
                let parsed = Tail::parse(&frame, position.start, forged.len() as u64);
                let pages = parsed.map(|tail| {
                    let object = Object { bytes: &forged, tail };
                    (0..object.tail.pages().len()).filter_map(|n| object.page(n).ok()).count()
                });
                let largest = LARGEST.load(Relaxed);
                // A page table entry of 28 bytes becomes 120, a block of 4 becomes 24.
                assert!(
                    largest <= 8 * frame.len(),
                    "{name}: byte {at} ^ {change:#x}: {largest} bytes, {pages:?}"
                );
                worst = worst.max(largest);
                forgeries += 1;
            }
        }
    }
    assert!(
        forgeries > 1000 && worst > 100,
        "{forgeries} forgeries, at worst {worst} bytes: the watch works"
    );
}
