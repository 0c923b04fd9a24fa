//! `seglift verify`: reads whole objects and checks every checksum in them.

use crate::{
    address::{self, Address, Names},
    app::{App, count, joined, located},
    args,
    failure::{self, Failure},
    inflight::{Inflight, unexpected},
    scrub,
    talk::one_line,
};
use indicatif::HumanBytes;
use seglift::{
    Code, Error,
    driver::{Driver, Outcome, Scrub},
    engine::Call,
    reader::{Damage, Part, SegmentRef, VerifyReport},
};
use serde_json::{Value, json};
use std::{ops::Range, time::Duration};

/// Most lines about one object where people look; `--json` has all.
const MOST_LINES: usize = 20;

/// Verifies what the addresses name; prints a line for each object, good or bad, and below a bad one where it is bad.
pub fn run(app: &mut App, args: &args::Verify) -> Result<(), Failure> {
    let names = if args.recursive { Names::Prefix } else { Names::Key };
    let addresses = address::parse(&args.addresses, names)?;
    if args.recursive {
        return scrub::run(app, &addresses, args.rate, args.state.as_deref());
    }
    let mut good = 0;
    let named = app.batches(&addresses, false, |app, driver, batch| {
        let scrub = driver.scrub(args.rate)?;
        for address in batch {
            match verify(app, driver, &scrub, &address.key) {
                Ok(report) => good += u64::from(show(app, address, &report)?),
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

fn verify(app: &App, driver: &Driver, scrub: &Scrub, key: &str) -> Result<VerifyReport, Error> {
    let object = SegmentRef { key: key.to_string(), token: None };
    // How long it may take depends on how much there is to read; without a tail there is not much.
    let bytes = match driver.stat(&object, &app.call()) {
        Ok(stat) => stat.object_bytes(),
        Err(e) if e.code() == Code::Corrupt => 0,
        Err(e) => return Err(e),
    };
    let call = Call { deadline: deadline(app, scrub, bytes)?, ..app.call() };
    let mut progress = app.talk.progress(&format!("verify {key}"));
    let mut inflight = Inflight::new(driver, 1)?;
    inflight.submit(|slot| match scrub.rate() {
        0 => driver.verify_submit(&object, &call, slot),
        _ => scrub.verify_submit(&object, &call, slot),
    })?;
    match inflight.next(|done, total| progress.update(done, total))? {
        Outcome::Verified(report) => Ok(*report),
        other => Err(unexpected(&other)),
    }
}

/// How long an object of `bytes` may take at the rate of `scrub`; `None` where the settings say.
pub fn deadline(app: &App, scrub: &Scrub, bytes: u64) -> Result<Option<Duration>, Error> {
    let at_rate = Duration::from_secs(bytes.checked_div(scrub.rate()).unwrap_or(0));
    Ok(app.deadline("deadline.other", bytes)?.map(|deadline| deadline + 2 * at_rate))
}

/// Prints what was found of an object, and counts it if it is bad. Whether it is good.
pub fn show(app: &mut App, address: &Address, report: &VerifyReport) -> Result<bool, Failure> {
    let out = &mut app.out;
    let Some(error) = &report.first_error else {
        let text = || summary(&address.key, "ok", report);
        app.talk.aside(|| out.result(|| found(address, report), text))?;
        return Ok(true);
    };
    // In JSON the report and the error are one object, which `failed` prints.
    if !out.json {
        let text = summary(&address.key, error.code().name(), report) + &places(report);
        app.talk.aside(|| out.result(|| Value::Null, || text))?;
    }
    app.failed(found(address, report), error)?;
    Ok(false)
}

fn found(address: &Address, report: &VerifyReport) -> Value {
    let mut object = joined(
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
    );
    if report.first_error.is_some() {
        let damage: Vec<Value> = report.damage.iter().map(damaged).collect();
        let good: Vec<Value> = report.good_bytes().iter().map(bytes).collect();
        object = joined(object, json!({"damage": damage, "good_bytes": good}));
        if report.ids.is_some() {
            let good: Vec<Value> = report.good_records().into_iter().map(ids).collect();
            object = joined(object, json!({"good_records": good}));
        }
    }
    object
}

fn damaged(damage: &Damage) -> Value {
    let mut object = json!({"part": damage.part.name(), "error": failure::to_json(&damage.error)});
    if !damage.stored.is_empty() {
        let len = damage.stored.end - damage.stored.start;
        object = joined(object, json!({"position": damage.stored.start, "stored_bytes": len}));
    }
    if !damage.raw.is_empty() {
        object = joined(object, json!({"blocks": damage.blocks, "bytes": bytes(&damage.raw)}));
    }
    if let Some(records) = damage.records {
        object = joined(object, json!({"records": ids(records)}));
    }
    if !damage.attachment.is_empty() {
        object = joined(object, json!({"attachment": damage.attachment}));
    }
    object
}

/// A range as the command line takes it: both ends included.
fn bytes(range: &Range<u64>) -> Value {
    json!({"first": range.start, "last": range.end - 1})
}

fn ids((first, last): (u64, u64)) -> Value {
    json!({"first_id": first, "last_id": last})
}

/// The stretches of a damaged object, as lines below its summary.
fn places(report: &VerifyReport) -> String {
    let mut lines: Vec<String> = Vec::new();
    for damage in &report.damage {
        let mut line = String::from("bad   ");
        match damage.part {
            Part::Attachment | Part::Frame if !damage.attachment.is_empty() => {
                let frame = if damage.part == Part::Frame { "frame header of " } else { "" };
                line += &format!("{frame}attachment {}", one_line(&damage.attachment));
            }
            part if damage.raw.is_empty() => line += part.name(),
            part => {
                line += &format!("bytes {}-{}", damage.raw.start, damage.raw.end - 1);
                if let Some((first, last)) = damage.records {
                    line += &format!(", records {first}-{last}");
                }
                line += &match part {
                    Part::Block => format!(": {}", count(damage.blocks, "block")),
                    _ => format!(": {} ({})", part.name(), count(damage.blocks, "block")),
                };
            }
        }
        if !damage.stored.is_empty() {
            line += &format!(" at {} of the object", damage.stored.start);
        }
        lines.push(line);
    }
    if report.ids.is_some() {
        let good = report.good_records().into_iter();
        lines.extend(good.map(|(first, last)| format!("good  records {first}-{last}")));
    } else {
        let good = report.good_bytes().into_iter();
        lines.extend(good.map(|range| format!("good  bytes {}-{}", range.start, range.end - 1)));
    }
    let more = lines.len().saturating_sub(MOST_LINES);
    lines.truncate(MOST_LINES);
    if more > 0 {
        lines.push(format!("and {more} more; --json has all"));
    }
    lines.into_iter().map(|line| format!("\n  {line}")).collect()
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
