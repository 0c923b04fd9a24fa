//! The operations of one driver, so that closing it ends them and nothing else.

use super::fork;
use super::op::{Op, Shared};
use crate::error::{Code, Error, Result};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

#[derive(Default)]
struct State {
    /// Weakly: an operation that everybody else forgot has ended.
    running: HashMap<u64, Weak<Shared>>,
    closed: bool,
}

struct Inner {
    generation: u64,
    name: String,
    store: Option<Arc<str>>,
    state: Mutex<State>,
    drained: Condvar,
}

/// Operations that end together. Clones are the same scope; any thread may use them.
#[derive(Clone)]
pub struct Scope(Arc<Inner>);

impl Scope {
    /// An open scope; `name` is what messages call it.
    pub fn new(name: impl Into<String>) -> Scope {
        Scope::make(name.into(), None)
    }

    /// The open scope of a driver of the store `uri`, which the status then tells of each operation.
    pub fn of_driver(uri: &str) -> Scope {
        Scope::make(format!("the driver of {uri}"), Some(uri.into()))
    }

    fn make(name: String, store: Option<Arc<str>>) -> Scope {
        Scope(Arc::new(Inner {
            generation: fork::generation(),
            name,
            store,
            state: Mutex::default(),
            drained: Condvar::new(),
        }))
    }

    /// Makes `op` a part of the scope until it ends.
    ///
    /// # Errors
    /// `CLOSED` once the scope is closed, `FORKED`.
    pub fn enter(&self, op: &Op) -> Result<()> {
        self.check_open()?;
        let inner = self.0.clone();
        let id = op.id();
        if let Some(store) = &self.0.store {
            op.works_in(store);
        }
        {
            let mut state = self.0.state.lock();
            if state.closed {
                return Err(self.closed());
            }
            state.running.insert(id, Arc::downgrade(&op.0));
        }
        op.on_finish(move || {
            let mut state = inner.state.lock();
            state.running.remove(&id);
            if state.running.is_empty() {
                inner.drained.notify_all();
            }
        });
        Ok(())
    }

    /// `CLOSED` once it is closed, `FORKED` in a child.
    ///
    /// # Errors
    /// Those.
    pub fn check_open(&self) -> Result<()> {
        fork::check(self.0.generation)?;
        if self.0.state.lock().closed { Err(self.closed()) } else { Ok(()) }
    }

    /// How many operations of it run.
    pub fn running(&self) -> usize {
        self.0.state.lock().running.len()
    }

    /// Refuses new operations, cancels those that run, and waits for their ends. May be repeated.
    ///
    /// # Errors
    /// `TIMED_OUT` if some have not ended within `timeout`; call it again. `FORKED`.
    pub fn close(&self, timeout: Duration) -> Result<()> {
        fork::check(self.0.generation)?;
        let until = Instant::now().checked_add(timeout);
        let mut state = self.0.state.lock();
        state.closed = true;
        let running: Vec<Op> = state.running.values().filter_map(Weak::upgrade).map(Op).collect();
        // Outside of the lock: the last handle of an operation comes back here.
        parking_lot::MutexGuard::unlocked(&mut state, || {
            running.iter().for_each(Op::cancel);
            drop(running);
        });
        while !state.running.is_empty() {
            match until {
                None => self.0.drained.wait(&mut state),
                Some(until) => {
                    if self.0.drained.wait_until(&mut state, until).timed_out() && !state.running.is_empty() {
                        let message = format!(
                            "{}: {} operations have not ended; close it again",
                            self.0.name,
                            state.running.len()
                        );
                        return Err(Error::new(Code::TimedOut, message));
                    }
                }
            }
        }
        Ok(())
    }

    fn closed(&self) -> Error {
        Error::new(Code::Closed, format!("{} is closed", self.0.name))
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("name", &self.0.name).field("running", &self.running()).finish()
    }
}
