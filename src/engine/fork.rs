//! Which process we are in.
//!
//! Purpose: after `fork` the child has one thread and a copy of all our memory: locks may be held by threads
//! that do not exist, and no operation would ever end. So what was made before the fork is refused with
//! `FORKED`, and what is made after it works.
//!
//! Invariant: the generation changes in the child before any code of the child runs. What remembers the
//! generation that it was made in knows with one relaxed load whether it is still at home.
//!
//! Trade-off: children that do not run `pthread_atfork` handlers (`vfork`, a raw `clone`) are not noticed.
//! They may call nothing but `exec` anyway. And what is made in the child still shares the allocator and the
//! lock library with the parent's threads: a fork in the very moment that one of these holds an internal lock
//! of them leaves it locked. glibc's allocator knows of forks; for the locks this is a matter of nanoseconds.
//!
//! A named leaf of `unsafe`: one call into libc, and one pointer that is leaked on purpose.

use crate::error::{Code, Error, Result};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(1);

extern "C" fn in_the_child() {
    // Nothing but this: a child of a process with threads may only do what is async-signal-safe.
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The number of forks between the first process and this one, plus one. From the first call on, forks are
/// noticed.
pub fn generation() -> u64 {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // SAFETY: the handler is a function of this library, which is never unloaded (`-z nodelete`), and is
        // async-signal-safe. A failure means that there is no memory for one list entry, and leaves forks
        // unnoticed, which is what every other library does.
        unsafe { libc::pthread_atfork(None, None, Some(in_the_child)) };
    });
    GENERATION.load(Ordering::Relaxed)
}

/// Whether this process was forked by one that had asked [`generation`].
pub fn is_child() -> bool {
    generation() > 1
}

/// `FORKED` unless `made_in` is the generation of this process.
///
/// # Errors
/// `FORKED`.
pub fn check(made_in: u64) -> Result<()> {
    if made_in == GENERATION.load(Ordering::Relaxed) { Ok(()) } else { Err(forked()) }
}

#[cold]
fn forked() -> Error {
    Error::new(
        Code::Forked,
        "this handle was made before a fork and does not work in the child; open a new one in this process",
    )
}

struct Node<T> {
    generation: u64,
    value: T,
}

/// A global that starts anew in every child: no lock of it can have been left locked by a thread that the
/// child does not have.
pub(crate) struct PerProcess<T: 'static> {
    current: AtomicPtr<Node<T>>,
}

impl<T: Default + Sync> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        PerProcess { current: AtomicPtr::new(ptr::null_mut()) }
    }

    /// This process's value. What the parent had is leaked: using or dropping it may wait for ever.
    pub(crate) fn get(&'static self) -> &'static T {
        let generation = generation();
        let mut seen = self.current.load(Ordering::Acquire);
        loop {
            // SAFETY: pointers in `current` come from `Box::into_raw` below and are never freed.
            if let Some(node) = unsafe { seen.as_ref() }
                && node.generation == generation
            {
                return &node.value;
            }
            let fresh = Box::into_raw(Box::new(Node { generation, value: T::default() }));
            match self.current.compare_exchange(seen, fresh, Ordering::AcqRel, Ordering::Acquire) {
                // SAFETY: `fresh` is published and never freed from here on.
                Ok(_) => return unsafe { &(*fresh).value },
                Err(other) => {
                    // SAFETY: `fresh` was not published: it is ours alone.
                    drop(unsafe { Box::from_raw(fresh) });
                    seen = other;
                }
            }
        }
    }
}
