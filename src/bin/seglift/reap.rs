//! `seglift reap`: aborts uploads that were begun and never ended.

use crate::{
    app::App,
    args,
    cleanup::{Total, not_a_store},
    failure::Failure,
};
use seglift::{
    engine::Call,
    maintain::{ReapOptions, Verdict},
};

/// There may be thousands of uploads: the deadline is that of something with an hour's bytes to move.
const LONGER: u64 = 3600 << 20;

/// Reaps a store; prints what is gone.
pub fn run(app: &mut App, args: &args::Reap) -> Result<(), Failure> {
    if let Some(error) = not_a_store(&args.uri) {
        return Err(error.into());
    }
    let driver = app.driver(&args.uri)?;
    let options =
        ReapOptions { older_than: args.older_than, dry_run: args.dry_run, all_owners: args.all_owners };
    let call = Call { deadline: app.deadline("deadline.other", LONGER)?, ..app.call() };
    let report = driver.reap(options, &call)?;
    let mut total = Total::default();
    total.show(app, driver.uri(), &report)?;
    app.talk.note(total.summary("upload"));
    if total.of(Verdict::UnknownOwner).count > 0 {
        app.talk.note(
            "this store does not show whose an upload is; if no other host uses this place, say --all-owners",
        );
    }
    Ok(())
}
