//! `seglift ls`: the keys of a store.

use crate::{
    address::{self, Names},
    app::{App, located, pages, time},
    args,
    failure::Failure,
};
use seglift::{Code, Error};
use serde_json::json;

/// Prints the keys that begin with the prefix, in byte order.
pub fn run(app: &mut App, args: &args::Ls) -> Result<(), Failure> {
    let call = app.call();
    for address in address::parse(&args.address, Names::Prefix)? {
        let driver = app.driver(&address.store)?;
        let out = &mut app.out;
        let mut none = true;
        pages(&driver, &address.key, &call, |page| {
            none &= page.is_empty();
            for entry in page {
                let (key, at) = (entry.key.as_str(), time(entry.modified_us));
                out.listed(
                    || json!({"key": key, "object_bytes": entry.len, "modified_us": entry.modified_us, "modified": at}),
                    || if args.long { format!("{:>15}  {at}  {key}", entry.len) } else { key.to_string() },
                )?;
            }
            out.flush()
        })?;
        // An empty store is no error; a mistyped prefix is.
        if none && !address.key.is_empty() {
            let message = format!("no key in {} begins with \"{}\"", address.store, address.key);
            app.failed(located(&address), &Error::new(Code::NotFound, message))?;
        }
    }
    Ok(())
}
