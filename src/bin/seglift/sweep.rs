//! `seglift sweep`: deletes objects that no list of live keys names.

use crate::{
    app::{App, PAGE},
    args,
    cleanup::{Total, not_a_store},
    failure::Failure,
    live::Live,
};
use seglift::{driver::Sweep, maintain::SweepOptions, maintain::Verdict};

/// Sweeps a store beside a list; prints what is gone or would be.
pub fn run(app: &mut App, args: &args::Sweep) -> Result<(), Failure> {
    if let Some(error) = not_a_store(&args.uri) {
        return Err(error.into());
    }
    let driver = app.driver(&args.uri)?;
    let mut live = Live::open(app, &args.live)?;
    // The sweep counts the grace from its own begin, and the list is older.
    let grace = args.grace.saturating_add(live.age());
    let sweep = driver.sweep(SweepOptions { prefix: args.prefix.clone(), grace, delete: args.delete })?;
    let mut total = Total::default();
    let store = driver.uri().to_owned();
    loop {
        let mut batch = Vec::new();
        while batch.len() < PAGE
            && let Some(key) = live.next()?
        {
            batch.push(key);
        }
        if batch.is_empty() {
            break;
        }
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
