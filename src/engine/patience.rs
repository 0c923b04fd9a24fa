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
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

tokio::task_local! {
    static CURRENT: Patience;
}

/// Flights that an operation joins and hears of; more would fail for the same reason.
const FOLLOWED: usize = 8;

/// What kept some work from success.
#[derive(Default)]
struct Trouble {
    last: Option<(Instant, Error)>,
    /// That of others whose work this one waits for.
    followed: Vec<Weak<Mutex<Trouble>>>,
}

/// The limits of some work and its last trouble. Clones are the same.
#[derive(Clone, Default)]
pub struct Patience {
    deadline: Option<Instant>,
    stall: Option<Duration>,
    trouble: Arc<Mutex<Trouble>>,
}

impl Patience {
    /// Patience until `deadline`, and for `stall` without a byte moved; `None`: without end.
    pub fn new(deadline: Option<Instant>, stall: Option<Duration>) -> Patience {
        Patience { deadline, stall, trouble: Arc::default() }
    }

    /// That of the work which is being polled; endless where none was set.
    pub fn current() -> Patience {
        CURRENT.try_with(Patience::clone).unwrap_or_default()
    }

    /// Another deadline and no other limit, the same trouble: for work that outlives who began it, but still tells
    /// that one.
    pub fn until(&self, deadline: Option<Instant>) -> Patience {
        Patience { deadline, stall: None, trouble: self.trouble.clone() }
    }

    /// Runs `work` under this patience.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), work)
    }

    /// When the work ends; `None` if it has no limit.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long the work may stand still; `None` if for ever.
    pub fn stall(&self) -> Option<Duration> {
        self.stall
    }

    /// An attempt failed and there will be another.
    pub fn note(&self, error: &Error) {
        self.trouble.lock().last = Some((Instant::now(), error.clone()));
    }

    /// From now on this work waits for that of `other`, whose trouble is its own.
    pub fn follow(&self, other: &Patience) {
        if Arc::ptr_eq(&self.trouble, &other.trouble) {
            return;
        }
        let other = Arc::downgrade(&other.trouble);
        let mut trouble = self.trouble.lock();
        trouble.followed.retain(|followed| followed.strong_count() > 0 && !followed.ptr_eq(&other));
        if trouble.followed.len() == FOLLOWED {
            trouble.followed.remove(0);
        }
        trouble.followed.push(other);
    }

    /// The failure that was noted last, and how long ago that was.
    pub fn trouble(&self) -> Option<(Duration, Error)> {
        let (own, followed) = {
            let trouble = self.trouble.lock();
            (trouble.last.clone(), trouble.followed.clone())
        };
        // One lock at a time: two operations may wait for each other's flights.
        let others = followed.iter().filter_map(|other| other.upgrade()?.lock().last.clone());
        let (at, error) = others.chain(own).max_by_key(|(at, _)| *at)?;
        Some((at.elapsed(), error))
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
        let patience = Patience::new(Some(deadline), None);
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

    #[test]
    fn who_waits_for_others_hears_what_keeps_them_as_long_as_they_try() {
        let (waits, others) = (Patience::default(), [(); FOLLOWED + 2].map(|()| Patience::default()));
        for other in &others {
            waits.follow(other);
            waits.follow(other);
            other.follow(&waits);
        }
        waits.follow(&waits);
        waits.note(&Error::new(Code::Unavailable, "its own"));
        others[FOLLOWED].note(&Error::new(Code::Unavailable, "another's"));
        assert_eq!(waits.trouble().unwrap().1.message(), "another's");
        drop(others);
        assert_eq!(waits.trouble().unwrap().1.message(), "its own");
        assert!(waits.trouble.lock().followed.len() <= FOLLOWED);
    }
}
