//! `seglift verify --recursive`: a scrub of whole folders.
//!
//! Objects are verified in the order of their keys, a few at a time, so that small ones do not wait for each other's
//! way to the store. Where it stands is written down only behind an object whose predecessors are all done.

use crate::{
    address::{Address, lies_in},
    app::{App, PAGE, count, located},
    failure::{Failure, exit_status},
    inflight::{Inflight, unexpected},
    talk::Progress,
    verify,
};
use indicatif::HumanBytes;
use seglift::{
    Code, Error,
    driver::{Driver, Outcome, Scrub},
    engine::Call,
    maintain::{ScrubState, ScrubTally},
    reader::SegmentRef,
    store::Entry,
};
use serde_json::json;
use std::{
    collections::VecDeque,
    path::Path,
    time::{Duration, Instant},
};

/// Objects at a time.
const WINDOW: usize = 4;
/// Between two writings of the state: what a killed scrub reads again, at most.
const EVERY: Duration = Duration::from_secs(1);

/// Verifies everything in the folders; prints a line for each object and a sum for each folder.
pub fn run(app: &mut App, folders: &[Address], rate: u64, state: Option<&Path>) -> Result<(), Failure> {
    if state.is_some() && folders.len() != 1 {
        let why = "--state keeps where one folder stands; verify several by calling it several times";
        return Err(Error::new(Code::InvalidArgument, why).into());
    }
    for folder in folders {
        let driver = app.driver(&folder.store)?;
        let mut walk = Walk::begin(&driver, folder, rate, state)?;
        let ended = walk.run(app);
        // Also what was interrupted is done as far as it came.
        let kept = walk.keep();
        ended?;
        kept?;
        walk.end(app)?;
    }
    Ok(())
}

/// A folder that is being verified.
struct Walk<'a> {
    driver: &'a Driver,
    scrub: Scrub,
    folder: &'a Address,
    file: Option<&'a Path>,
    state: ScrubState,
    /// What an earlier run had seen.
    before: ScrubTally,
    kept: Instant,
    /// Listed and not done, the first `inflight.len()` of them under way.
    listed: VecDeque<Entry>,
    inflight: Inflight,
    /// Bytes of the objects that this run has done.
    done: u64,
}

impl<'a> Walk<'a> {
    fn begin(
        driver: &'a Driver,
        folder: &'a Address,
        rate: u64,
        file: Option<&'a Path>,
    ) -> Result<Walk<'a>, Failure> {
        let (store, name) = (driver.uri().to_owned(), folder.key.clone());
        let kept = file.map(|file| ScrubState::load(file, &store, &name)).transpose()?.flatten();
        let state = kept.unwrap_or(ScrubState { store, folder: name, ..ScrubState::default() });
        Ok(Walk {
            driver,
            scrub: driver.scrub(rate)?,
            folder,
            file,
            before: state.tally,
            state,
            kept: Instant::now(),
            listed: VecDeque::new(),
            inflight: Inflight::new(driver, WINDOW)?,
            done: 0,
        })
    }

    fn run(&mut self, app: &mut App) -> Result<(), Failure> {
        if !self.state.after.is_empty() {
            app.talk.note(format_args!("going on behind {}", self.state.after));
        }
        let mut after = Some(self.state.after.clone()).filter(|after| !after.is_empty());
        let mut more = true;
        let talk = app.talk.clone();
        let mut progress = talk.progress(&format!("verify {}", self.folder.key));
        loop {
            while more && self.listed.len() < WINDOW {
                let page = self.driver.list(&self.folder.key, after.as_deref(), PAGE, &app.call())?;
                after = page.entries.last().map(|entry| entry.key.to_string());
                more = page.more && after.is_some();
                let inside = |entry: &Entry| lies_in(entry.key.as_str(), &self.folder.key);
                self.listed.extend(page.entries.into_iter().filter(inside));
            }
            while self.inflight.len() < WINDOW.min(self.listed.len()) {
                let entry = &self.listed[self.inflight.len()];
                let object = SegmentRef { key: entry.key.to_string(), token: None };
                // They share the rate.
                let deadline = verify::deadline(app, &self.scrub, entry.len.saturating_mul(WINDOW as u64))?;
                let call = Call { deadline, ..app.call() };
                self.inflight.submit(|slot| self.scrub.verify_submit(&object, &call, slot))?;
            }
            if self.inflight.len() == 0 {
                return Ok(());
            }
            self.next(app, &mut progress)?;
            if self.kept.elapsed() >= EVERY {
                self.keep()?;
            }
        }
    }

    /// Takes the next object into account.
    fn next(&mut self, app: &mut App, progress: &mut Progress<'_>) -> Result<(), Failure> {
        let done = self.done;
        let outcome = self.inflight.next(|bytes, _| progress.update(done + bytes, 0));
        let Some(entry) = self.listed.pop_front() else {
            return Err(Error::new(Code::Internal, "an object was verified that nobody listed").into());
        };
        let address = Address { store: self.folder.store.clone(), key: entry.key.to_string() };
        let tally = &mut self.state.tally;
        let mut counted = *tally;
        counted.objects += 1;
        counted.bytes += entry.len;
        match outcome {
            Ok(Outcome::Verified(report)) => {
                counted.damaged += u64::from(!verify::show(app, &address, &report)?);
            }
            Ok(other) => return Err(unexpected(&other).into()),
            // Retention goes on while a scrub does.
            Err(error) if error.code() == Code::NotFound => {
                counted = ScrubTally { gone: tally.gone + 1, ..*tally };
            }
            // The next run is to look at it: what it stands at must not pass it.
            Err(error) if self.file.is_some() && says_nothing_of_the_object(error.code()) => {
                return Err(error.context(&address.key).into());
            }
            Err(error) => {
                counted.failed += 1;
                app.failed(located(&address), &error)?;
            }
        }
        *tally = counted;
        self.done += entry.len;
        self.state.after = address.key;
        Ok(())
    }

    /// Writes down where it stands.
    fn keep(&mut self) -> Result<(), Failure> {
        self.kept = Instant::now();
        match self.file {
            Some(file) if !self.state.after.is_empty() => Ok(self.state.save(file)?),
            _ => Ok(()),
        }
    }

    fn end(&self, app: &mut App) -> Result<(), Failure> {
        let ScrubTally { objects, bytes, damaged, failed, gone } = self.state.tally;
        if objects + gone == 0 {
            let message =
                format!("there is nothing in the folder \"{}\" of {}", self.folder.key, self.folder.store);
            return app.failed(located(self.folder), &Error::new(Code::NotFound, message));
        }
        // What an earlier run found is as bad as what this one did.
        if self.before.damaged > 0 {
            app.count(Code::Corrupt);
        }
        if self.before.failed > 0 {
            app.count(Code::Internal);
        }
        if app.out.json {
            let object = json!({
                "store": self.folder.store, "folder": self.folder.key, "objects": objects, "object_bytes": bytes,
                "good": objects - damaged - failed, "damaged": damaged, "failed": failed, "gone": gone,
            });
            app.out.result(|| object, String::new)?;
        }
        let mut text = format!("{} of {} are good", objects - damaged - failed, count(objects, "object"));
        for (n, what) in
            [(damaged, "damaged"), (failed, "could not be looked at"), (gone, "deleted meanwhile")]
        {
            if n > 0 {
                text += &format!(", {n} {what}");
            }
        }
        app.talk.note(format_args!("{text}; {}", HumanBytes(bytes)));
        match self.file {
            Some(file) => Ok(ScrubState::remove(file)?),
            None => Ok(()),
        }
    }
}

/// Whether any object would have failed so: the store is away, or it does not take the credentials (any more).
fn says_nothing_of_the_object(code: Code) -> bool {
    code == Code::Unauthenticated || exit_status(code) == 7
}
