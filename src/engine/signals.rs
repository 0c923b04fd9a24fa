//! Keeps the host's signal handlers off our threads.
//!
//! A host expects its handlers on its own threads (a JVM and Go even crash elsewhere). So our threads block
//! all signals but those that a thread raises by its own fault: blocked, these would kill the process without
//! the host's crash report.
//!
//! A named leaf of `unsafe`: the signal mask has no safe interface.

use std::mem::MaybeUninit;

/// Blocks all signals in the calling thread, but for faults of its own.
pub(super) fn block() {
    swap(None);
}

/// Blocks signals as [`block`] does until it is dropped: threads that are started meanwhile inherit it from
/// their first instruction on.
pub(super) struct Blocked(libc::sigset_t);

impl Blocked {
    pub(super) fn new() -> Blocked {
        Blocked(swap(None))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        swap(Some(self.0));
    }
}

/// Sets the thread's mask (`None`: all but faults) and returns the former one.
fn swap(mask: Option<libc::sigset_t>) -> libc::sigset_t {
    const FAULTS: [libc::c_int; 7] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT, libc::SIGTRAP, libc::SIGSYS];
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut former = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigfillset` initialises `all`; `pthread_sigmask` initialises `former`, and cannot fail with a
    // valid `how` and valid pointers; both are plain memory of this frame.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        for fault in FAULTS {
            libc::sigdelset(all.as_mut_ptr(), fault);
        }
        let mask = mask.unwrap_or(all.assume_init());
        libc::sigemptyset(former.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, &mask, former.as_mut_ptr());
        former.assume_init()
    }
}
