//! What a caller may say about a call: how long, how, how urgent, and "stop".

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Hints of one call; all off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallFlags {
    /// Answer from memory or return `WOULD_BLOCK`; waits for nothing.
    pub cached_only: bool,
    /// Leave nothing of this call in the caches.
    pub no_cache: bool,
    /// The caller will read on from here: read ahead at once.
    pub sequential: bool,
    /// The caller jumps: never read ahead.
    pub random: bool,
}

/// How one call is to be run; the default is what the driver's settings say.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Time for the whole call, waiting included; `None`: the setting's.
    pub deadline: Option<Duration>,
    /// Time without a byte moved after which an offload or a writer gives up; `None`: the setting's.
    pub stall: Option<Duration>,
    /// Hints.
    pub flags: CallFlags,
    /// Among those that wait for memory the higher goes first, equals in their order; 0 by default.
    pub priority: i32,
    /// Stops the call from outside.
    pub cancel: Option<Cancel>,
}

/// A token that stops calls: made by the host, given to any number of them, used from any thread. Clones are
/// the same token. Once cancelled it stays so.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    wake: Notify,
}

impl Cancel {
    /// A token that nobody has cancelled.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Stops all calls that have this token, now and later. Does not wait for their end.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        self.0.wake.notify_waiters();
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Returns once it is cancelled. Needs no runtime.
    pub async fn cancelled(&self) {
        // A waiter counts from the moment it is made, so that a cancel between check and wait wakes it.
        let woken = self.0.wake.notified();
        if !self.is_cancelled() {
            woken.await;
        }
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}
