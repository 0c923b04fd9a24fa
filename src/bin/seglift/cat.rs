//! `seglift cat`: a segment, or a part of it, on standard output.

use crate::{
    address::{self, Address, Names},
    app::{App, blob, joined, located},
    args,
    failure::Failure,
    restore::Restore,
    salvage,
    span::Span,
};
use seglift::{Code, Error, object::Mode};
use serde_json::json;

/// Writes what was asked for, as it arrives and in order.
pub fn run(app: &mut App, args: &args::Cat) -> Result<(), Failure> {
    let refuse = |why: &str| Err(Failure::Error(Error::new(Code::InvalidArgument, why)));
    let range = args.range.as_deref().map(|text| Span::parse("--range", text)).transpose()?;
    let records = args.records.as_deref().map(|text| Span::parse("--records", text)).transpose()?;
    if matches!(records, Some(Span::Last(_))) {
        return refuse("--records counts from the first id; `seglift stat` shows the ids that there are");
    }
    let addresses = address::parse(&args.address, Names::Key)?;
    let [address] = &addresses[..] else {
        return refuse("cat takes one object; join several by calling it several times");
    };
    let done = match args.salvage {
        true => salvage::run(app, address, args),
        false => cat(app, address, args, range, records),
    };
    match done {
        Err(Failure::Error(error)) => app.failed(located(address), &error),
        other => other,
    }
}

fn cat(
    app: &mut App,
    address: &Address,
    args: &args::Cat,
    range: Option<Span>,
    records: Option<Span>,
) -> Result<(), Failure> {
    let driver = app.driver(&address.store)?;
    let restore = Restore::open(app, &driver, &address.key)?;
    let stat = &restore.stat;

    let span = match (records, range, &args.attachment, stat.mode()) {
        (Some(span), ..) => Some(span),
        (None, None, None, Mode::Records) => Some(Span::Closed(0, u64::MAX)),
        _ => None,
    };
    if let Some(Span::Closed(first, last)) = span {
        let out = &mut app.out;
        restore.records(first, last, |record| {
            if out.json {
                let position = json!({"id": record.id, "time_us": record.time_us});
                return out.listed(|| joined(position, blob("text", record.payload)), String::new);
            }
            out.bytes(record.payload)?;
            out.bytes(b"\n")
        })?;
        return app.out.flush();
    }
    if app.out.json {
        let why = "--json prints records; these are bytes, which cat writes as they are";
        return Err(Error::new(Code::InvalidArgument, why).into());
    }
    if let Some(name) = &args.attachment {
        restore.attachment(name, |bytes| app.out.bytes(bytes))?;
        return app.out.flush();
    }
    let range = range.unwrap_or(Span::Closed(0, u64::MAX)).of(stat.segment_bytes())?;
    let total = range.end - range.start;
    // A bar between the lines of the data would spoil both.
    let talk = &app.talk;
    let mut progress = (!app.out.is_terminal()).then(|| talk.progress(&address.key));
    let mut done = 0;
    let out = &mut app.out;
    restore.bytes(range, |bytes| {
        out.bytes(bytes)?;
        done += bytes.len() as u64;
        if let Some(progress) = &mut progress {
            progress.update(done, total);
        }
        Ok(())
    })?;
    out.flush()
}
