//! Defects on purpose, for `scripts/sanitize.sh`: a sanitizer that does not find these would find nothing.
//!
//! Each breaks a rule that the library's own documentation states for lent memory, so that it also proves that the
//! library, and not only the test, was built with the sanitizer. Never among the tests that `cargo test` runs (`test = false`
//! in Cargo.toml): without a sanitizer what they do is undefined.

use seglift::buf::LentBuf;
use std::{hint::black_box, thread};

const LEN: usize = 64 << 10;

#[test]
fn memory_that_the_library_fills_after_it_was_freed() {
    let mut memory = vec![0_u8; LEN];
    // SAFETY: none, that is the point: the memory is freed before the buffer is revoked.
    let lent = unsafe { LentBuf::new(memory.as_mut_ptr(), LEN) };
    let mut range = lent.whole().unwrap();
    drop(black_box(memory));
    range.write(100, b"too late").unwrap();
}

#[test]
fn memory_that_the_host_reads_while_the_library_fills_it() {
    let mut memory = vec![0_u8; LEN];
    let start = memory.as_mut_ptr() as usize;
    // SAFETY: none, that is the point: another thread reads the memory while it is lent.
    let lent = unsafe { LentBuf::new(memory.as_mut_ptr(), LEN) };
    let mut range = lent.whole().unwrap();
    let reader = thread::spawn(move || {
        // SAFETY: none, as above.
        (0..LEN)
            .map(|at| u64::from(unsafe { std::ptr::read_volatile((start as *const u8).add(at)) }))
            .sum::<u64>()
    });
    for at in 0..LEN {
        range.write(at, b"x").unwrap();
    }
    black_box(reader.join().unwrap());
}

#[test]
fn memory_that_nobody_has_any_more() {
    let buffer = LentBuf::owned(LEN).unwrap();
    std::mem::forget(black_box(buffer));
}
