//! Whether a store can do what a broker will ask of it, found out before the broker does.
//!
//! An examination is a list of checks in a fixed order, each with one [`Finding`]: what was seen and, where
//! something is wrong, what to do about it. Checks use the store's own code, so what they find is what a driver
//! would meet. They do not retry: a store that fails every other request is to be seen.
//!
//! Invariant: it leaves nothing behind. What it makes is called `.seglift-probe-<uuid>`, is noted *before* the
//! request goes out, and is removed at the end, also after a failure and when the examination is stopped. Where
//! the credentials do not let us remove a probe, none is made.
//!
//! Trade-off: an [`Access`] decides which checks must pass, and one for reading changes nothing in the store. So
//! reads are only proven there with an object that exists.

pub(super) mod objects;
pub mod policy;

pub(in crate::store) use super::key::PROBE;
use super::{Key, LocalStore, OpenOptions, S3Store, open, s3::Place};
use crate::error::{Code, Error, Result};
pub(super) use objects::Probe;
use std::{future::Future, pin::Pin, time::Duration};

/// The longest that one check may take: longer than any request that a broker would wait for.
pub const CHECK_TIME: Duration = Duration::from_secs(30);

/// An examination that is stopped waits so long for what is being made, so that it can be removed: ten times what
/// a small object takes, and not more than somebody waits who pressed Ctrl-C.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// What a driver of the store is going to do, and so which checks must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Reads segments.
    Read,
    /// Offloads segments and reads them.
    Write,
    /// All of that, and lists, deletes and cleans up.
    Admin,
}

impl Access {
    /// Every access, the least first.
    pub const ALL: [Access; 3] = [Access::Read, Access::Write, Access::Admin];

    /// Its word on the command line and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::Admin => "admin",
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, but somebody should know.
    Warn,
    /// A driver will fail here.
    Fail,
    /// Not checked; the detail says why.
    Skipped,
}

impl State {
    /// Its word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "fail",
            State::Skipped => "skipped",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The check's name, lower case with dashes; it never changes its meaning.
    pub check: &'static str,
    /// How it ended.
    pub state: State,
    /// One sentence about what was seen.
    pub detail: String,
    /// What to do about it; may have several lines, some to be pasted.
    pub remedy: Option<String>,
    /// Why it failed, for [`State::Fail`].
    pub error: Option<Error>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Ok, detail: detail.into(), remedy: None, error: None }
    }

    /// It works, but: `remedy`.
    pub fn warn(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), state: State::Warn, ..Self::ok(check, detail) }
    }

    /// A driver will fail here, with `error`.
    pub fn fail(check: &'static str, error: &Error) -> Self {
        Self { state: State::Fail, error: Some(error.clone()), ..Self::ok(check, error.message()) }
    }

    /// Not checked, and why.
    pub fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self { state: State::Skipped, ..Self::ok(check, why) }
    }

    /// The same finding with something to do about it.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// What is to be examined for.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which checks must pass.
    pub access: Access,
    /// An object that exists, to prove reads with where nothing may be written.
    pub key: Option<Key>,
}

/// Gets each finding as soon as it is there.
pub type Report<'a> = dyn FnMut(Finding) + Send + 'a;

/// Examines the store that `uri` names and reports every finding in order. When `stop` is ready the current check
/// is dropped, a write once it has ended, and what was made is removed before this returns.
///
/// # Errors
/// What keeps the checks from beginning: a URI or an option that cannot be. `CANCELLED` if `stop` was ready. What
/// the checks find is no error.
pub async fn examine(
    uri: &str,
    options: &OpenOptions,
    question: &Question,
    stop: impl Future<Output = ()> + Send,
    report: &mut Report<'_>,
) -> Result<()> {
    let mut stop: Stop<'_> = Box::pin(stop);
    match uri.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => {
            let folder = super::open::folder(rest)?;
            LocalStore::examine(&folder, options.fsync, question, &mut stop, report).await
        }
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("s3") => {
            let store = S3Store::open(Place::parse(rest)?, &options.s3)?;
            store.examine(question, &mut stop, report).await
        }
        _ => {
            let store = open(uri, options)?;
            let probe = Probe::new(&*store);
            let ended = until(&mut stop, &probe, objects::objects(&probe, question, report)).await;
            probe.clean(report).await;
            ended
        }
    }
}

/// Something that ends an examination early.
pub(super) type Stop<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Runs `work` unless `stop` comes first; then until nothing is being made.
pub(super) async fn until(
    stop: &mut Stop<'_>,
    probe: &Probe<'_>,
    work: impl Future<Output = ()>,
) -> Result<()> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        () = stop => {}
        () = &mut work => return Ok(()),
    }
    // A write that is dropped half-way may yet take effect, and then after its object was removed.
    tokio::select! {
        biased;
        _ = tokio::time::timeout(SETTLE_TIME, probe.settle()) => {}
        () = &mut work => {}
    }
    Err(Error::new(Code::Cancelled, "the examination was stopped"))
}

/// Waits for `work`, but not longer than [`CHECK_TIME`].
pub(super) async fn within<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(CHECK_TIME, work).await.unwrap_or_else(|_| {
        let text = format!("{what} did not end within {} seconds", CHECK_TIME.as_secs());
        Err(Error::new(Code::TimedOut, text))
    })
}
