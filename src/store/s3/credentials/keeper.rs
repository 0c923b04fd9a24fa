//! Keeps credentials and renews them.
//!
//! Invariants: they are renewed before they expire, by one request while the others go on with the old; while the
//! old are valid, a failed renewal fails nobody; an error says when what there was expired.
//!
//! Trade-off: the SDK could keep identities itself, but it renews them 10 s before their end and fails all requests
//! when that fails. So its cache is off and this one answers, with a lock that nobody holds while waiting.

use crate::error::{Code, Error, Result};
use aws_credential_types::Credentials;
use parking_lot::Mutex;
use std::{
    future::Future,
    time::{Duration, Instant, SystemTime},
};

/// Credentials are renewed so long before they expire, or when a quarter of their life is left where that is
/// later. An instance's next ones are there five minutes ahead.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>
const AHEAD: Duration = Duration::from_secs(300);
/// What tells no expiry is asked for again so often: a rotated file of credentials takes effect without a restart.
const UNTOLD: Duration = Duration::from_secs(900);
/// Credentials that are valid for less are as good as expired: a request must arrive before their end.
const LAST_MOMENT: Duration = Duration::from_secs(10);
/// After a failed renewal the next one waits for so long while the old credentials are valid.
const AGAIN: Duration = Duration::from_secs(15);

/// Credentials and who gave them.
#[derive(Clone)]
pub(super) struct Held {
    pub credentials: Credentials,
    pub provider: String,
    renew_at: SystemTime,
}

impl Held {
    pub fn new(credentials: Credentials, provider: String) -> Held {
        let now = SystemTime::now();
        let renew_at = match credentials.expiry() {
            None => now + UNTOLD,
            Some(end) => {
                let life = end.duration_since(now).unwrap_or_default();
                now + (life - AHEAD.min(life / 4)).min(life.saturating_sub(LAST_MOMENT))
            }
        };
        Held { credentials, provider, renew_at }
    }

    pub fn expires(&self) -> Option<SystemTime> {
        self.credentials.expiry()
    }

    fn is_fresh(&self) -> bool {
        SystemTime::now() < self.renew_at
    }

    fn is_valid(&self) -> bool {
        self.expires().is_none_or(|end| SystemTime::now() + LAST_MOMENT < end)
    }

    fn expired(&self) -> String {
        let end = self.expires().map(time).unwrap_or_default();
        format!("the credentials of {} expired at {end}", self.provider)
    }
}

/// In RFC 3339, to the second.
pub(super) fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// What keeps them.
#[derive(Default)]
pub(super) struct Keeper {
    state: Mutex<State>,
    /// Held by whoever renews.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// The last failure, for those who waited for the same answer.
    failed: Option<(Instant, Error)>,
}

impl Keeper {
    /// What is kept now.
    pub fn held(&self) -> Option<Held> {
        self.state.lock().held.clone()
    }

    /// Keeps nothing any more.
    pub fn forget(&self) {
        *self.state.lock() = State::default();
    }

    /// Valid credentials. `ask` gets new ones where there are none or where they end soon; `warn` hears of an
    /// answer that is of no use while the old credentials are.
    ///
    /// # Errors
    /// What `ask` said, and `UNAUTHENTICATED` where it gave what has expired.
    pub async fn get<F: Future<Output = Result<Held>>>(
        &self,
        ask: impl FnOnce() -> F,
        warn: impl FnOnce(&Held, &str),
    ) -> Result<Credentials> {
        let started = Instant::now();
        let old = self.held();
        let _renewing = match &old {
            Some(held) if held.is_fresh() => return Ok(held.credentials.clone()),
            Some(held) if held.is_valid() => match self.renewing.try_lock() {
                Ok(guard) => guard,
                Err(_) => return Ok(held.credentials.clone()),
            },
            _ => self.renewing.lock().await,
        };
        // Somebody else may have asked while this one waited for the lock.
        {
            let state = self.state.lock();
            match (&state.held, &state.failed) {
                (Some(held), _) if held.is_fresh() => return Ok(held.credentials.clone()),
                (None, Some((when, error))) if *when >= started => return Err(error.clone()),
                _ => {}
            }
        }
        let answer = ask().await;
        let mut state = self.state.lock();
        match (answer, old) {
            (Ok(held), _) if held.is_valid() => {
                let credentials = held.credentials.clone();
                *state = State { held: Some(held), failed: None };
                Ok(credentials)
            }
            (answer, Some(mut old)) if old.is_valid() => {
                old.renew_at = SystemTime::now() + AGAIN;
                state.held = Some(old.clone());
                drop(state);
                warn(&old, &answer.map_or_else(|e| e.to_string(), |held| held.expired()));
                Ok(old.credentials)
            }
            (answer, old) => {
                let error = match (answer, old) {
                    (Ok(held), _) => {
                        let remedy = "is this machine's clock right? Else look at who gave them";
                        Error::new(Code::Unauthenticated, format!("{}; {remedy}", held.expired()))
                    }
                    (Err(e), None) => e,
                    (Err(e), Some(old)) => {
                        e.context(format_args!("{}, and renewing them failed", old.expired()))
                    }
                };
                *state = State { held: None, failed: Some((Instant::now(), error.clone())) };
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    /// Credentials with the name `key` that are valid for `left` and are to be renewed at once if `due`.
    fn held(key: &str, left: Option<i64>, due: bool) -> Held {
        let now = SystemTime::now();
        let end = left.map(|left| match u64::try_from(left) {
            Ok(left) => now + Duration::from_secs(left),
            Err(_) => now - Duration::from_secs(left.unsigned_abs()),
        });
        let mut held = Held::new(Credentials::new(key, "hunter2", None, end, "test"), "the test".into());
        if due {
            held.renew_at = now;
        }
        held
    }

    fn keeper(held: Held) -> Keeper {
        let keeper = Keeper::default();
        keeper.state.lock().held = Some(held);
        keeper
    }

    fn quiet(_: &Held, problem: &str) {
        panic!("warned of {problem}");
    }

    async fn key(keeper: &Keeper, answer: Result<Held>) -> Result<String> {
        let credentials = keeper.get(|| async { answer }, |_, _| {}).await?;
        Ok(credentials.access_key_id().to_owned())
    }

    fn failure() -> Error {
        Error::new(Code::Unavailable, "nobody answers")
    }

    #[test]
    fn renewal_is_due_five_minutes_ahead_or_with_a_quarter_of_a_short_life_left() {
        for (left, due) in
            [(Some(3600), 3300), (Some(400), 300), (Some(20), 10), (Some(11), 1), (Some(5), 0), (None, 900)]
        {
            let held = held("a", left, false);
            let wait = held.renew_at.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64();
            assert!((wait - f64::from(due)).abs() < 1.0, "{left:?}: {wait}");
        }
    }

    #[tokio::test]
    async fn fresh_credentials_are_used_without_asking() {
        let keeper = keeper(held("old", Some(3600), false));
        let asked = keeper.get(|| async { panic!("asked") }, quiet).await.unwrap();
        assert_eq!(asked.access_key_id(), "old");
    }

    #[tokio::test]
    async fn credentials_that_end_soon_are_renewed() {
        let keeper = keeper(held("old", Some(100), true));
        assert_eq!(key(&keeper, Ok(held("new", Some(3600), false))).await.unwrap(), "new");
        assert_eq!(keeper.held().unwrap().credentials.access_key_id(), "new");
    }

    #[tokio::test]
    async fn a_failed_renewal_goes_on_with_credentials_that_are_still_valid_and_is_told() {
        for answer in [Err(failure()), Ok(held("expired", Some(-5), false))] {
            let keeper = keeper(held("old", Some(100), true));
            let mut told = String::new();
            let got = keeper.get(|| async { answer }, |_, problem| told = problem.to_owned()).await.unwrap();
            assert_eq!(got.access_key_id(), "old");
            assert!(told.contains("nobody answers") || told.contains("expired at 2"), "{told}");
            // And the next request does not ask again at once.
            let got = keeper.get(|| async { panic!("asked") }, quiet).await.unwrap();
            assert_eq!(got.access_key_id(), "old");
        }
    }

    #[tokio::test]
    async fn once_expired_an_error_says_who_gave_them_and_when_they_ended() {
        let expired = keeper(held("old", Some(-60), true));
        let error = key(&expired, Err(failure())).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        let told = error.to_string();
        assert!(
            told.starts_with("the credentials of the test expired at 2") && told.contains("nobody answers"),
            "{told}"
        );
        let error = key(&Keeper::default(), Ok(held("old", Some(-60), true))).await.unwrap_err();
        assert!(error.code() == Code::Unauthenticated && error.message().contains("expired at"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn many_requests_without_credentials_ask_once_and_share_answer_and_failure() {
        for fails in [false, true] {
            let (keeper, asked) = (Keeper::default(), AtomicUsize::new(0));
            let one = async || {
                let ask = || async {
                    asked.fetch_add(1, SeqCst);
                    tokio::task::yield_now().await;
                    if fails { Err(failure()) } else { Ok(held("new", None, false)) }
                };
                keeper.get(ask, quiet).await.is_err()
            };
            let all = futures_util::future::join_all((0..20).map(|_| one())).await;
            assert_eq!((all, asked.load(SeqCst)), (vec![fails; 20], 1));
        }
    }

    #[tokio::test]
    async fn while_one_renews_the_others_go_on_with_the_old() {
        let keeper = keeper(held("old", Some(100), true));
        let (release, wait) = tokio::sync::oneshot::channel::<()>();
        let renewing = keeper.get(
            || async {
                wait.await.unwrap();
                Ok(held("new", None, false))
            },
            quiet,
        );
        let other = async {
            let got = keeper.get(|| async { panic!("asked") }, quiet).await.unwrap();
            release.send(()).unwrap();
            got
        };
        let (renewed, other) = tokio::join!(biased; renewing, other);
        assert_eq!((renewed.unwrap().access_key_id(), other.access_key_id()), ("new", "old"));
    }

    #[tokio::test]
    async fn forgotten_credentials_are_asked_for_anew() {
        let keeper = keeper(held("old", None, false));
        keeper.forget();
        assert_eq!(key(&keeper, Ok(held("new", None, false))).await.unwrap(), "new");
    }
}
