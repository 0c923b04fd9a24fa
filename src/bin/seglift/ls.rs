//! `seglift ls`: the keys of a store.

use crate::{
    address::{self, Names},
    app::{App, pages, time},
    args,
    failure::Failure,
};
use serde_json::json;

/// Prints the keys that begin with the prefix, in byte order.
pub fn run(app: &mut App, args: &args::Ls) -> Result<(), Failure> {
    let call = app.call();
    for address in address::parse(&args.address, Names::Prefix)? {
        let driver = app.driver(&address.store)?;
        let out = &mut app.out;
        pages(&driver, &address.key, &call, |page| {
            for entry in page {
                let (key, at) = (entry.key.as_str(), time(entry.modified_us));
                out.listed(
                    || json!({"key": key, "object_bytes": entry.len, "modified_us": entry.modified_us, "modified": at}),
                    || if args.long { format!("{:>15}  {at}  {key}", entry.len) } else { key.to_string() },
                )?;
            }
            out.flush()
        })?;
    }
    app.out.flush()
}
