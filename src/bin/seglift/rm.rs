//! `seglift rm`: removes objects, and says of each whether it is gone.

use crate::{
    address::{self, Names},
    app::{App, count, joined, located},
    args,
    failure::Failure,
};
use serde_json::json;

/// Removes what the addresses name; prints the keys that are gone.
pub fn run(app: &mut App, args: &args::Rm) -> Result<(), Failure> {
    let names = if args.recursive { Names::Prefix } else { Names::Key };
    let addresses = address::parse(&args.addresses, names)?;
    let mut gone = 0u64;
    let named = app.batches(&addresses, args.recursive, |app, driver, batch| {
        let keys: Vec<String> = batch.iter().map(|address| address.key.clone()).collect();
        let results = if args.dry_run {
            keys.iter().map(|_| Ok(())).collect()
        } else {
            driver.delete(&keys, &app.call())?
        };
        for (address, result) in batch.iter().zip(results) {
            match result {
                Ok(()) => {
                    gone += 1;
                    let object = || joined(located(address), json!({"removed": !args.dry_run}));
                    app.out.listed(object, || address.key.clone())?;
                }
                Err(error) => app.failed(located(address), &error)?,
            }
        }
        app.out.flush()
    })?;
    if args.recursive || args.dry_run || named > 1 {
        let done = if args.dry_run { "would remove" } else { "removed" };
        app.talk.note(format_args!("{done} {}", count(gone, "object")));
    }
    Ok(())
}
