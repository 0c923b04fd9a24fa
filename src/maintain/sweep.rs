//! Sweep: deletes objects that the host no longer refers to.
//!
//! The host feeds the keys that it refers to, in byte order, and they are merged with the store's listing, which is
//! in byte order too. So neither has to fit into memory, and a feed that breaks off has judged nothing behind its
//! last key.
//!
//! Invariant: an object is deleted only if the listing has it and the feed does not, if it was sealed and committed longer
//! than the grace before the sweep began, if its tail names this owner, and if it is still the listed object at the
//! moment of the delete. The time is asked for once, at the first step: what is sealed while a sweep goes on is
//! new to it, however long it goes on.
//!
//! Two clocks tell the age. The store's tells when an object was committed; but Amazon S3 dates an object that came in parts
//! by the beginning of its upload, which may lie days before the commit. So there its tail is asked, too, where the host's
//! clock tells when it was sealed.
//!
//! Trade-off: a step does one page of the listing, so that its work and its report are bounded and a host can stop
//! between two of them. It takes a loop to feed a list.

use super::{Context, Item, PAGE, Report, Verdict, is_older, judged, log_removed};
use crate::{
    engine::Op,
    error::{Code, Error, Result},
    store::{BoxFuture, Capabilities, Entry, Key, Removal},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// How late a host's clock may be against the store's. S3 refuses requests that are signed with one that differs by more
/// than 15 minutes (`RequestTimeTooSkewed`, https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html), so such
/// a host could not have written the object.
const SKEW_US: i64 = 15 * 60 * 1_000_000;

/// What to sweep, and how carefully.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepOptions {
    /// Only keys that begin with this text; the fed ones must begin with it, too.
    pub prefix: String,
    /// How long an object must have been there before the sweep began. Longer than a host takes, from the moment at which it
    /// has read the last byte of a segment, over its commit, until the key is in the list that it feeds.
    pub grace: Duration,
    /// Delete. Otherwise only report.
    pub delete: bool,
}

/// What a step did.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// How many of the fed keys were taken, from the first on. Feed the others again.
    pub taken: usize,
    /// Of a finish: nothing is left to do.
    pub done: bool,
    /// What was met.
    pub report: Report,
}

/// A sweep under way. Clones are the same one; one step at a time.
#[derive(Clone)]
pub struct Sweep {
    context: Context,
    options: Arc<SweepOptions>,
    state: Arc<Mutex<State>>,
}

/// How far the merge has come. Changes only when a step has ended well.
#[derive(Default)]
struct State {
    /// When the sweep began, by the store's clock.
    now_us: Option<i64>,
    /// Entries that are listed and not judged.
    page: VecDeque<Entry>,
    /// The last key that was listed.
    listed: Option<String>,
    /// The listing has ended.
    at_end: bool,
    /// The last key that was fed or judged: the next one must be higher.
    floor: Option<String>,
    /// Whether any key was fed.
    fed: bool,
    finishing: bool,
    done: bool,
}

/// One thing to judge.
enum Task<'a> {
    /// Listed and fed.
    Live(&'a Entry),
    /// Fed and not listed.
    Missing(&'a str),
    /// Listed and not fed.
    Candidate(&'a Entry),
}

impl Sweep {
    /// A sweep that has not begun. Does no I/O.
    pub fn new(context: Context, options: SweepOptions) -> Sweep {
        Sweep { context, options: Arc::new(options), state: Arc::default() }
    }

    /// Takes keys that the host refers to, in strictly increasing byte order, and judges what lies between them, as far
    /// as a page of the listing goes. `INVALID_ARGUMENT` for a key that is out of order or lies outside of the prefix:
    /// then nothing was judged. After any error the same keys may be fed again.
    pub async fn feed(self, op: Op, live: Vec<String>) -> Result<Step> {
        let live = &live[..live.len().min(PAGE)];
        let mut state = self.enter()?;
        if state.finishing {
            return Err(Error::new(
                Code::InvalidArgument,
                "the sweep was told that its list is complete; begin another to feed more keys",
            ));
        }
        self.check_order(&state, live)?;
        if live.is_empty() {
            return Ok(Step::default());
        }
        self.step(&op, &mut state, live, false).await
    }

    /// Judges a page of what lies behind the last fed key; to be repeated until it is [`done`](Step::done).
    /// `INVALID_ARGUMENT` where no key was fed: an empty list is more likely a mistake than a wish.
    pub async fn finish(self, op: Op) -> Result<Step> {
        let mut state = self.enter()?;
        if !state.fed {
            return Err(Error::new(
                Code::InvalidArgument,
                "the list of live keys is empty, and a sweep would delete everything; if that is what you want, delete the objects by their keys",
            ));
        }
        if state.done {
            return Ok(Step { done: true, ..Step::default() });
        }
        state.finishing = true;
        self.step(&op, &mut state, &[], true).await
    }

    fn enter(&self) -> Result<tokio::sync::MutexGuard<'_, State>> {
        self.state
            .try_lock()
            .map_err(|_| Error::new(Code::Busy, "a step of this sweep is under way; wait for its end"))
    }

    fn check_order(&self, state: &State, live: &[String]) -> Result<()> {
        let mut before = state.floor.as_deref();
        for key in live {
            let wrong = |why: String| Err(Error::new(Code::InvalidArgument, why));
            if !key.starts_with(&self.options.prefix) {
                let prefix = &self.options.prefix;
                return wrong(format!(
                    "the live key \"{key}\" does not begin with the prefix \"{prefix}\" of the sweep"
                ));
            }
            if let Err(e) = Key::new(key) {
                return Err(e.context("the list of live keys"));
            }
            match before {
                Some(before) if key.as_str() <= before => {
                    return wrong(format!(
                        "live keys must come in increasing byte order, each once: \"{key}\" came after \"{before}\"; sort them with LC_ALL=C sort -u"
                    ));
                }
                _ => before = Some(key),
            }
        }
        Ok(())
    }

    async fn step(&self, op: &Op, state: &mut State, live: &[String], last: bool) -> Result<Step> {
        let store = &self.context.store;
        let now_us = match state.now_us {
            Some(now) => now,
            None => {
                op.stage("clock");
                *state.now_us.insert(op.guard(store.now()).await?)
            }
        };
        if state.page.is_empty() && !state.at_end {
            op.stage("list");
            let page = op.guard(store.list(&self.options.prefix, state.listed.as_deref(), PAGE)).await?;
            state.at_end = !page.more;
            state.listed = page.entries.last().map(|e| e.key.to_string()).or(state.listed.take());
            state.page = page.entries.into();
        }
        let (tasks, passed, taken) = merge(&state.page, live, last, state.at_end);
        op.stage(if self.options.delete { "delete" } else { "look" });
        let mut work: Vec<BoxFuture<'_, Item>> = Vec::with_capacity(tasks.len());
        for task in tasks {
            work.push(Box::pin(self.judge(op, now_us, task)));
        }
        let mut report = Report::default();
        judged(op, work).await?.into_iter().for_each(|item| report.add(item));
        let passed = state.page.drain(..passed).next_back().map(|entry| entry.key.to_string());
        let taken_to = live[..taken].last().cloned();
        state.floor = [state.floor.take(), passed, taken_to].into_iter().flatten().max();
        state.fed |= taken > 0;
        state.done = last && state.page.is_empty() && state.at_end;
        Ok(Step { taken, done: state.done, report })
    }

    async fn judge(&self, op: &Op, now_us: i64, task: Task<'_>) -> Item {
        let item = |entry: &Entry, verdict, error| Item {
            name: entry.key.to_string(),
            upload_id: String::new(),
            verdict,
            bytes: entry.len,
            time_us: entry.modified_us,
            error,
        };
        match task {
            Task::Live(entry) => item(entry, Verdict::Live, None),
            Task::Missing(key) => self.missing(key).await,
            Task::Candidate(entry) => {
                let (verdict, error) = match self.candidate(op, now_us, entry).await {
                    Ok(verdict) => (verdict, None),
                    Err((verdict, e)) => (verdict, Some(e)),
                };
                item(entry, verdict, error)
            }
        }
    }

    /// A key that the listing did not have may have been committed since.
    async fn missing(&self, key: &str) -> Item {
        let found = match Key::new(key) {
            Ok(key) => self.context.store.head(&key).await,
            Err(e) => Err(e),
        };
        let (verdict, bytes, time_us, error) = match found {
            Ok(entry) => (Verdict::Live, entry.len, entry.modified_us, None),
            Err(e) if e.code() == Code::NotFound => (Verdict::Missing, 0, 0, None),
            Err(e) if e.code() == Code::NotFoundOrDenied => (Verdict::Missing, 0, 0, Some(e)),
            Err(e) => (Verdict::Failed, 0, 0, Some(e)),
        };
        Item { name: key.to_owned(), upload_id: String::new(), verdict, bytes, time_us, error }
    }

    async fn candidate(
        &self,
        op: &Op,
        now_us: i64,
        entry: &Entry,
    ) -> std::result::Result<Verdict, (Verdict, Error)> {
        if !is_older(entry.modified_us, self.options.grace, now_us) {
            return Ok(Verdict::Young);
        }
        let tail = match self.context.reader.tail(op, &entry.key).await {
            Ok(tail) => tail,
            Err(e) if e.code() == Code::NotFound => return Ok(Verdict::Gone),
            Err(e) if hides_the_owner(e.code()) => return Err((Verdict::Unreadable, e)),
            Err(e) => return Err((Verdict::Failed, e)),
        };
        if tail.owner() != self.context.owner {
            return Ok(Verdict::OtherOwner);
        }
        if tail.object_len() != entry.len {
            return Ok(Verdict::Changed);
        }
        let newest_us = newest_us(entry, tail.created_us(), &self.context.store.capabilities());
        if !is_older(newest_us, self.options.grace, now_us) {
            return Ok(Verdict::Young);
        }
        if !self.options.delete {
            return Ok(Verdict::WouldRemove);
        }
        let failed = |e| (Verdict::Failed, e);
        pause!(SweepBeforeDelete);
        let deleted = self.context.store.delete_unchanged(entry).await;
        pause!(SweepAfterDelete);
        Ok(match deleted.map_err(failed)? {
            Removal::Removed => {
                self.context.metrics.swept_objects.add(1);
                self.context.metrics.swept_bytes.add(entry.len);
                log_removed(op, "sweep", &entry.key, entry.len);
                Verdict::Removed
            }
            Removal::Gone => Verdict::Gone,
            Removal::Changed => Verdict::Changed,
        })
    }
}

/// The latest time, by the store's clock, at which an object may have been committed that was sealed at `sealed_us` and
/// committed at once.
fn newest_us(entry: &Entry, sealed_us: i64, store: &Capabilities) -> i64 {
    let in_parts = entry.len > store.min_part;
    match store.dates_by_begin && in_parts {
        true => entry.modified_us.max(sealed_us.saturating_add(SKEW_US)),
        false => entry.modified_us,
    }
}

/// Whether an object that is there does not say whose it is: damaged, foreign, newer than we, cold, or not for us.
fn hides_the_owner(code: Code) -> bool {
    matches!(
        code,
        Code::Corrupt
            | Code::UnsupportedVersion
            | Code::Archived
            | Code::NotFoundOrDenied
            | Code::PermissionDenied
            | Code::OutOfRange
    )
}

/// Merges a page of the listing with live keys, both in increasing order: what is to be judged, and how many of the
/// page and of the live keys that takes. Nothing behind the last live key is judged unless it is the `last` of all,
/// and no live key is missing before the listing has passed it or is `at_end`.
fn merge<'a>(
    page: &'a VecDeque<Entry>,
    live: &'a [String],
    last: bool,
    at_end: bool,
) -> (Vec<Task<'a>>, usize, usize) {
    let mut tasks = Vec::with_capacity(page.len());
    let (mut judged, mut taken) = (0, 0);
    for entry in page {
        let key = entry.key.as_str();
        while let Some(missing) = live.get(taken).filter(|live| live.as_str() < key) {
            tasks.push(Task::Missing(missing));
            taken += 1;
        }
        match live.get(taken) {
            Some(live) if live == key => {
                tasks.push(Task::Live(entry));
                taken += 1;
            }
            None if !last => return (tasks, judged, taken),
            _ => tasks.push(Task::Candidate(entry)),
        }
        judged += 1;
    }
    if at_end {
        tasks.extend(live[taken..].iter().map(|key| Task::Missing(key)));
        taken = live.len();
    }
    (tasks, judged, taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(page: &str, live: &str, last: bool, at_end: bool) -> (String, usize, usize) {
        let entry = |key| Entry { key: Key::new(key).unwrap(), len: 1, modified_us: 0 };
        let page: VecDeque<Entry> = page.split_whitespace().map(entry).collect();
        let live: Vec<String> = live.split_whitespace().map(str::to_owned).collect();
        let (tasks, passed, taken) = merge(&page, &live, last, at_end);
        let text = tasks.iter().map(|task| match task {
            Task::Live(entry) => format!("={}", entry.key),
            Task::Missing(key) => format!("?{key}"),
            Task::Candidate(entry) => format!("-{}", entry.key),
        });
        (text.collect::<Vec<_>>().join(" "), passed, taken)
    }

    #[test]
    fn what_came_in_parts_is_as_old_as_its_sealing_where_the_store_dates_it_by_its_beginning() {
        let store = |dates_by_begin| Capabilities {
            atomic_create: true,
            min_part: 100,
            max_part: 1000,
            max_parts: 10,
            dates_by_begin,
        };
        let newest = |len, modified_us, sealed_us, dates_by_begin| {
            let entry = Entry { key: Key::new("k").unwrap(), len, modified_us };
            newest_us(&entry, sealed_us, &store(dates_by_begin))
        };
        let sealed = 7 * SKEW_US;
        assert_eq!(newest(101, SKEW_US, sealed, true), 8 * SKEW_US);
        assert_eq!(newest(101, 9 * SKEW_US, sealed, true), 9 * SKEW_US);
        assert_eq!(newest(101, SKEW_US, i64::MAX, true), i64::MAX);
        // One request, or a store that says when it was committed.
        assert_eq!(newest(100, SKEW_US, sealed, true), SKEW_US);
        assert_eq!(newest(101, SKEW_US, sealed, false), SKEW_US);
    }

    #[test]
    fn a_page_and_live_keys_are_merged_up_to_the_last_live_key() {
        let is = |text: &str, judged, taken| (text.to_owned(), judged, taken);
        assert_eq!(merged("a b c d e", "b d", false, true), is("-a =b -c =d", 4, 2));
        assert_eq!(merged("a b c d e", "b d", true, true), is("-a =b -c =d -e", 5, 2));
        assert_eq!(merged("b d", "a b c e", false, true), is("?a =b ?c -d ?e", 2, 4));
        // More is listed later: what lies behind the page waits for it.
        assert_eq!(merged("b d", "a b c e", false, false), is("?a =b ?c -d", 2, 3));
        assert_eq!(merged("b d", "a", false, false), is("?a", 0, 1));
        assert_eq!(merged("", "a", false, true), is("?a", 0, 1));
        assert_eq!(merged("", "a", false, false), is("", 0, 0));
        assert_eq!(merged("a b", "", true, false), is("-a -b", 2, 0));
    }
}
