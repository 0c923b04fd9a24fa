//! `seglift sweep`: deletes objects that no list of live keys names.

use crate::{
    app::{App, PAGE},
    args,
    cleanup::{Total, not_a_store},
    failure::{Failure, local},
    input::Input,
};
use seglift::{Code, Error, driver::Sweep, maintain::SweepOptions, maintain::Verdict};
use std::{
    fs::File,
    io::{BufRead, BufReader, stdin},
    path::Path,
};

/// Sweeps a store beside a list; prints what is gone or would be.
pub fn run(app: &mut App, args: &args::Sweep) -> Result<(), Failure> {
    if let Some(error) = not_a_store(&args.uri) {
        return Err(error.into());
    }
    let driver = app.driver(&args.uri)?;
    let options = SweepOptions { prefix: args.prefix.clone(), grace: args.grace, delete: args.delete };
    let sweep = driver.sweep(options)?;
    let mut keys = keys(app, &args.live)?;
    let mut total = Total::default();
    let store = driver.uri().to_owned();
    let mut fed = 0u64;
    loop {
        let mut batch = Vec::new();
        while batch.len() < PAGE
            && let Some(key) = keys.next(fed + batch.len() as u64 + 1)?
        {
            batch.push(key);
        }
        if batch.is_empty() {
            break;
        }
        fed += batch.len() as u64;
        feed(app, &sweep, batch, &store, &mut total)?;
    }
    loop {
        let step = sweep.finish(&app.call())?;
        total.show(app, &store, &step.report)?;
        if step.done {
            break;
        }
    }
    app.talk.note(total.summary("object"));
    if total.of(Verdict::WouldRemove).count > 0 {
        app.talk.note("nothing was deleted; say --delete to do it");
    }
    Ok(())
}

/// Feeds a batch, in as many steps as it takes.
fn feed(
    app: &mut App,
    sweep: &Sweep,
    mut batch: Vec<String>,
    store: &str,
    total: &mut Total,
) -> Result<(), Failure> {
    while !batch.is_empty() {
        let step = sweep.feed(batch.clone(), &app.call())?;
        batch.drain(..step.taken);
        total.show(app, store, &step.report)?;
    }
    Ok(())
}

/// The lines of a list.
struct Keys {
    from: Box<dyn BufRead>,
    name: String,
}

fn keys(app: &App, list: &Path) -> Result<Keys, Failure> {
    let name = list.display().to_string();
    let failed = |e: std::io::Error| local(format!("reading {name}"), &e);
    let from: Box<dyn BufRead> = match list == Path::new("-") {
        true => Box::new(Input::new(stdin(), app.interrupt.cancel()).map_err(failed)?),
        false => Box::new(BufReader::new(File::open(list).map_err(failed)?)),
    };
    Ok(Keys { from, name })
}

impl Keys {
    /// The key on line `number`; none at the end of the list.
    fn next(&mut self, number: u64) -> Result<Option<String>, Failure> {
        let mut line = Vec::new();
        let failed = |e| local(format!("reading {}", self.name), &e);
        if self.from.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(None);
        }
        // A list that was cut off in the middle of a key must not delete the object of that key.
        if line.pop() != Some(b'\n') {
            let message = format!(
                "line {number} of {} has no end; a list that may have been cut off is not swept by",
                self.name
            );
            return Err(Error::new(Code::InvalidArgument, message).into());
        }
        String::from_utf8(line).map(Some).map_err(|_| {
            let message = format!("line {number} of {} is not UTF-8", self.name);
            Error::new(Code::InvalidArgument, message).into()
        })
    }
}
