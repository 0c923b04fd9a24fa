//! `seglift cat --salvage`: what is provably still good of a damaged segment, and the names of the gaps.
//!
//! Data go to standard output as they are found. What is missing is said on standard error, where a script that
//! keeps the data does not meet it; with `--json` everything is a line of standard output.

use crate::{
    address::Address,
    app::{App, blob, count, joined, located},
    args,
    failure::Failure,
};
use indicatif::HumanBytes;
use seglift::{
    Code, Error,
    driver::Driver,
    engine::Call,
    maintain::{Gap, Piece, Proof, SalvageOptions, Salvaged, Saved},
    object::Mode,
};
use serde_json::{Value, json};

/// Zeros that are written at once.
const ZEROS: &[u8] = &[0; 64 << 10];
/// What an object is taken to have, for the deadline, where the store does not say: a TiB.
const UNKNOWN: u64 = 1 << 40;

/// Writes what can be saved; fails with `CORRUPT` if that is not all.
pub fn run(app: &mut App, address: &Address, args: &args::Cat) -> Result<(), Failure> {
    if args.fill && app.out.json {
        let why = "--fill is for data as they are; the objects of --json have offsets instead";
        return Err(Error::new(Code::InvalidArgument, why).into());
    }
    let driver = app.driver(&address.store)?;
    let bytes = size(app, &driver, &address.key);
    // It may have to be read twice.
    let deadline = app.deadline("deadline.other", bytes.saturating_mul(2))?;
    let call = Call { deadline, ..app.call() };
    let salvage = driver.salvage(&address.key, SalvageOptions { unchecked: args.unchecked })?;
    let (mut unproven, mut unchecked, mut done) = (0, 0, 0);
    let talk = app.talk.clone();
    let mut progress = (!app.out.is_terminal()).then(|| talk.progress(&format!("salvage {}", address.key)));
    let end = loop {
        match salvage.next(&call)? {
            Piece::Saved(saved) => {
                if args.fill && saved.mode() == Mode::Records {
                    let why = "--fill keeps the offsets of bytes; this segment holds records";
                    return Err(Error::new(Code::InvalidArgument, why).into());
                }
                unchecked += u64::from(saved.proof == Proof::None);
                done += saved.bytes.len() as u64;
                write(app, &saved)?;
            }
            Piece::Gap(gap) => {
                unproven += gap.unproven;
                name(app, &gap)?;
                if let Some(len) = gap.len.filter(|_| args.fill) {
                    fill(app, len)?;
                }
            }
            Piece::End(end) => break end,
        }
        if let Some(progress) = &mut progress {
            progress.update(done, 0);
        }
    };
    drop(progress);
    app.out.flush()?;
    let about = joined(located(address), json!({"salvaged": sum(&end, unproven, unchecked)}));
    match lack(&end, unproven, unchecked) {
        Some(why) => app.failed(about, &Error::new(Code::Corrupt, format!("{}: {why}", address.key))),
        None if app.out.json => app.out.result(|| about, String::new),
        None => Ok(()),
    }
}

/// How long the object is, for the deadline; not every store tells everybody.
fn size(app: &App, driver: &Driver, key: &str) -> u64 {
    let listed = driver.list(key, None, 1, &app.call());
    let entry = listed.ok().and_then(|page| page.entries.into_iter().find(|entry| entry.key.as_str() == key));
    entry.map_or(UNKNOWN, |entry| entry.len)
}

fn write(app: &mut App, saved: &Saved) -> Result<(), Failure> {
    let out = &mut app.out;
    let proof = match saved.proof {
        Proof::Crc32c => "crc32c",
        Proof::Content => "content",
        Proof::None => "none",
    };
    if saved.mode() == Mode::Bytes {
        if !out.json {
            return out.bytes(&saved.bytes);
        }
        let at = json!({"offset": saved.offset, "bytes": saved.bytes.len(), "proof": proof});
        return out.listed(|| joined(at, blob("text", &saved.bytes)), String::new);
    }
    for (id, time_us, payload) in saved.records() {
        if out.json {
            let position = json!({"id": id, "time_us": time_us, "proof": proof});
            out.listed(|| joined(position, blob("text", payload)), String::new)?;
        } else {
            out.bytes(payload)?;
            out.bytes(b"\n")?;
        }
    }
    Ok(())
}

fn fill(app: &mut App, mut len: u64) -> Result<(), Failure> {
    while len > 0 {
        let piece = len.min(ZEROS.len() as u64);
        app.out.bytes(&ZEROS[..piece as usize])?;
        len -= piece;
    }
    Ok(())
}

/// Says what is missing.
fn name(app: &mut App, gap: &Gap) -> Result<(), Failure> {
    if app.out.json {
        let last = gap.offset.zip(gap.len).map(|(at, len)| at + len.saturating_sub(1));
        let object = json!({"gap": {
            "first": gap.offset, "last": last, "bytes": gap.len, "blocks": gap.blocks, "unproven": gap.unproven,
            "first_id": gap.first_id, "last_id": gap.last_id, "position": gap.stored.start,
        }});
        return app.out.listed(|| object, String::new);
    }
    let what = match (gap.first_id, gap.last_id, gap.offset, gap.len) {
        (Some(first), Some(last), ..) => format!("records {first}-{last}"),
        (Some(first), None, ..) => format!("records from {first} on"),
        (None, _, Some(at), Some(len)) => format!("bytes {at}-{}", at + len.saturating_sub(1)),
        (None, _, Some(at), None) => format!("everything from byte {at} on"),
        (None, _, None, _) => "something that nobody can name".to_owned(),
    };
    let mut text = format!("missing: {what}");
    if let Some(blocks) = gap.blocks {
        text += &format!(", {}", count(blocks, "block"));
    }
    if gap.unproven > 0 {
        text += &format!(", {} of which can be decoded and not proven", gap.unproven);
    }
    app.talk.note(format_args!("{text}; at {} of the object", gap.stored.start));
    Ok(())
}

fn sum(end: &Salvaged, unproven: u64, unchecked: u64) -> Value {
    json!({
        "whole": end.whole && unchecked == 0, "tail": end.tail, "index": end.index,
        "segment_bytes": end.segment_bytes, "bytes": end.bytes, "blocks": end.blocks, "records": end.records,
        "gaps": end.gaps, "unproven": unproven, "unchecked": unchecked,
    })
}

/// What it lacks to be the segment, all of it proven.
fn lack(end: &Salvaged, unproven: u64, unchecked: u64) -> Option<String> {
    if end.whole && unchecked == 0 {
        return None;
    }
    let of = end.segment_bytes.map_or(String::new(), |bytes| format!(" of {}", HumanBytes(bytes)));
    let mut text = format!("saved {}{of} in {}", HumanBytes(end.bytes), count(end.blocks, "block"));
    if !end.index {
        text += "; no checksum of any block is left";
    }
    if end.gaps > 0 {
        text += &format!(
            "; {} named above",
            if end.gaps == 1 { "a gap is".into() } else { format!("{} gaps are", end.gaps) }
        );
    }
    if unchecked > 0 {
        text += &format!(
            "; {} may be wrong, because nothing vouches for what is in them",
            count(unchecked, "block")
        );
    }
    if unproven > 0 {
        text += &format!("; {} more with --unchecked, which may be wrong", count(unproven, "block"));
    }
    Some(text)
}
