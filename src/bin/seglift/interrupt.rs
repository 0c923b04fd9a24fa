//! Ctrl-C: what is under way is cancelled, cleaned up, and then the process ends.
//!
//! The signals are taken by a thread of their own, so nothing runs in a signal handler. The first
//! one cancels. If nothing would be left behind, or cleaning up takes too long, or a second one
//! comes, the process ends at once; that is also what frees a main thread that is stuck in a write
//! to a pipe which nobody reads.

use seglift::engine::Cancel;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    io,
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// How long an upload may take to be aborted before we leave it to `reap`: longer than any healthy
/// store needs, short enough for someone who waits at a prompt.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct State {
    signal: AtomicI32,
    holds: AtomicUsize,
}

/// The process's interrupts.
#[derive(Clone)]
pub struct Interrupt {
    cancel: Cancel,
    state: Arc<State>,
}

/// While it lives, an interrupt waits for the command to clean up after itself.
pub struct Hold(Arc<State>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, SeqCst);
    }
}

impl Interrupt {
    /// Takes over SIGINT, SIGTERM and SIGHUP.
    pub fn install() -> io::Result<Self> {
        let interrupt = Interrupt { cancel: Cancel::new(), state: Arc::default() };
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let Interrupt { cancel, state } = interrupt.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                let second = state.signal.swap(signal, SeqCst) != 0;
                cancel.cancel();
                if second || state.holds.load(SeqCst) == 0 {
                    exit(128 + signal);
                }
                thread::spawn(move || {
                    thread::sleep(PATIENCE);
                    exit(128 + signal);
                });
            }
        })?;
        Ok(interrupt)
    }

    /// The token that every call carries.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Announces something to clean up.
    pub fn hold(&self) -> Hold {
        self.state.holds.fetch_add(1, SeqCst);
        Hold(self.state.clone())
    }

    /// The exit status of an interrupted process, once a signal came.
    pub fn status(&self) -> Option<u8> {
        match self.state.signal.load(SeqCst) {
            0 => None,
            signal => u8::try_from(128 + signal).ok(),
        }
    }
}
