//! How long the work at hand may go on trying, and what has kept it from success so far.
//!
//! Purpose: a retry deep below an operation must know when that operation ends, so as not to begin a pause that
//! nobody will outlive; and who ends the operation must know what it failed at, since "the deadline passed"
//! alone helps nobody.
//!
//! Invariant: whoever works for an operation finds the operation's own patience with [`Patience::current`],
//! across every await and in the tasks that the engine starts for it. Elsewhere there is no limit, and what is
//! noted goes nowhere.
//!
//! Trade-off: it is set beside the future and not passed along, because each method between an operation and
//! its store would have to carry what only retries read. The price is one thread-local write for each poll.

use crate::error::Error;
use parking_lot::Mutex;
use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

tokio::task_local! {
    static CURRENT: Patience;
}

/// The limit of some work and its last trouble. Clones are the same.
#[derive(Clone, Default)]
pub struct Patience {
    deadline: Option<Instant>,
    trouble: Arc<Mutex<Option<(Instant, Error)>>>,
}

impl Patience {
    /// Patience until `deadline`; `None`: without end.
    pub fn new(deadline: Option<Instant>) -> Patience {
        Patience { deadline, trouble: Arc::default() }
    }

    /// That of the work which is being polled; endless where none was set.
    pub fn current() -> Patience {
        CURRENT.try_with(Patience::clone).unwrap_or_default()
    }

    /// Another limit, the same trouble: for work that outlives who began it, but still tells that one.
    pub fn until(&self, deadline: Option<Instant>) -> Patience {
        Patience { deadline, trouble: self.trouble.clone() }
    }

    /// Runs `work` under this patience.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), work)
    }

    /// When the work ends; `None` if it has no limit.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// An attempt failed and there will be another.
    pub fn note(&self, error: &Error) {
        *self.trouble.lock() = Some((Instant::now(), error.clone()));
    }

    /// The failure that was noted last, and how long ago that was.
    pub fn trouble(&self) -> Option<(Duration, Error)> {
        self.trouble.lock().as_ref().map(|(at, error)| (at.elapsed(), error.clone()))
    }

    /// What to add to a message that says that time ran out: nothing, or the last trouble.
    pub fn cause(&self) -> String {
        match self.trouble() {
            None => String::new(),
            Some((ago, error)) => {
                format!("; the last attempt that failed, {:.1}s before: {error}", ago.as_secs_f64())
            }
        }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[tokio::test]
    async fn work_finds_its_own_patience_and_nothing_leaks_out_of_it() {
        let deadline = Instant::now() + Duration::from_secs(9);
        let patience = Patience::new(Some(deadline));
        let work = async {
            tokio::task::yield_now().await;
            let inner = Patience::current();
            inner.until(None).note(&Error::new(Code::Unavailable, "the wire is cut"));
            inner.deadline()
        };
        assert_eq!(patience.scope(work).await, Some(deadline));
        assert_eq!(Patience::current().deadline(), None);
        let cause = patience.cause();
        assert!(cause.starts_with("; the last attempt that failed, 0.0s before: the wire is cut"), "{cause}");
        assert_eq!(Patience::current().cause(), "");
    }
}
