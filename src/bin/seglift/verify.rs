//! `seglift verify`: reads whole objects and checks every checksum in them.

use crate::{
    address::{self, Address, Names},
    app::{App, count, joined, located},
    args,
    failure::Failure,
    inflight::{Inflight, unexpected},
};
use indicatif::HumanBytes;
use seglift::{
    Error,
    driver::{Driver, Outcome},
    engine::Call,
    reader::{SegmentRef, VerifyReport},
};
use serde_json::{Value, json};

/// Verifies what the addresses name; prints a line for each object, good or bad.
pub fn run(app: &mut App, args: &args::Verify) -> Result<(), Failure> {
    let names = if args.recursive { Names::Prefix } else { Names::Key };
    let addresses = address::parse(&args.addresses, names)?;
    let mut good = 0;
    let named = app.batches(&addresses, args.recursive, |app, driver, batch| {
        for address in batch {
            match verify(app, driver, &address.key) {
                Ok(report) => match &report.first_error {
                    None => {
                        good += 1;
                        app.out
                            .result(|| found(address, &report), || summary(&address.key, "ok", &report))?;
                    }
                    Some(error) => {
                        // In JSON the report and the error are one object, which `failed` prints.
                        if !app.out.json {
                            let text = summary(&address.key, error.code().name(), &report);
                            app.out.result(|| Value::Null, || text)?;
                        }
                        app.failed(found(address, &report), error)?;
                    }
                },
                Err(error) => app.failed(located(address), &error)?,
            }
        }
        Ok(())
    })?;
    if named > 1 {
        app.talk.note(format_args!("{good} of {} are good", count(named as u64, "object")));
    }
    Ok(())
}

fn verify(app: &App, driver: &Driver, key: &str) -> Result<VerifyReport, Error> {
    let object = SegmentRef { key: key.to_string(), token: None };
    // How long it may take depends on how much there is to read.
    let bytes = driver.stat(&object, &app.call())?.object_bytes();
    let call = Call { deadline: app.deadline("deadline.other", bytes)?, ..app.call() };
    let mut progress = app.talk.progress(&format!("verify {key}"));
    let mut inflight = Inflight::new(driver, 1)?;
    inflight.submit(|slot| driver.verify_submit(&object, &call, slot))?;
    match inflight.next(|done, total| progress.update(done, total))? {
        Outcome::Verified(report) => Ok(*report),
        other => Err(unexpected(&other)),
    }
}

fn found(address: &Address, report: &VerifyReport) -> Value {
    joined(
        located(address),
        json!({
            "ok": report.first_error.is_none(),
            "blocks": report.blocks,
            "bad_blocks": report.bad_blocks,
            "segment_bytes": report.segment_bytes,
            "object_bytes": report.object_bytes,
            "records": report.records,
            "attachments": report.attachments,
            "bad_attachments": report.bad_attachments,
        }),
    )
}

fn summary(key: &str, verdict: &str, report: &VerifyReport) -> String {
    let mut text = format!("{key}: {verdict}, {}", HumanBytes(report.segment_bytes));
    let mut part = |bad: u64, all: u64, name: &str| {
        if bad > 0 {
            text += &format!(", {bad} of {} bad", count(all, name));
        } else if all > 0 {
            text += &format!(", {}", count(all, name));
        }
    };
    part(report.bad_blocks, report.blocks, "block");
    part(0, report.records, "record");
    part(report.bad_attachments, report.attachments, "attachment");
    text
}
