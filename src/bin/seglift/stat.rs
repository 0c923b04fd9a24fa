//! `seglift stat`: what an object holds, and how it lies there.

use crate::{
    address::{self, Names},
    app::{App, blob, count, digest, joined, located, time},
    args,
    failure::Failure,
    map::{Frame, Map},
    talk::one_line,
};
use indicatif::HumanBytes;
use seglift::{
    Result,
    driver::Driver,
    engine::Call,
    object::Page,
    reader::{SegmentRef, Stat},
};
use serde_json::{Value, json};
use std::{env, fmt::Write};

/// Index pages that lie together are fetched together, up to this many bytes.
const FETCH: u64 = 1 << 20;

/// Shows what the addresses name.
pub fn run(app: &mut App, args: &args::Stat) -> Result<(), Failure> {
    let addresses = address::parse(&args.addresses, Names::Key)?;
    let ascii = args.ascii || !locale_is_utf8();
    app.batches(&addresses, false, |app, driver, batch| {
        for address in batch {
            let call = app.call();
            let object = SegmentRef { key: address.key.clone(), token: None };
            let looked =
                driver.stat(&object, &call).and_then(|stat| Ok((blocks(driver, &stat, &call)?, stat)));
            match looked {
                Ok((map, stat)) => {
                    app.out.result(
                        || joined(located(address), to_json(&stat, &map)),
                        || text(&stat, &map, ascii),
                    )?;
                }
                Err(error) => app.failed(located(address), &error)?,
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// A locale that is not named counts as UTF-8: that is what a terminal of today shows.
fn locale_is_utf8() -> bool {
    let named = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = named("LC_ALL").or_else(|| named("LC_CTYPE")).or_else(|| named("LANG"));
    locale.is_none_or(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

/// Reads the index, of which the tail has only the table of its pages.
fn blocks(driver: &Driver, stat: &Stat, call: &Call) -> Result<Map> {
    let tail = stat.tail();
    let mut map = Map::new(tail.block_count());
    let mut first = 0;
    while first < tail.pages().len() {
        let start = tail.page_position(first).start;
        let together =
            tail.pages()[first..].iter().take_while(|page| page.position.end - start <= FETCH).count().max(1);
        let end = tail.page_position(first + together - 1).end;
        let bytes = driver.object_range(stat.key(), start, end - start, call)?;
        for n in first..first + together {
            let at = tail.page_position(n);
            // A short answer is for the page to refuse: it does not match its length.
            let page = bytes.get((at.start - start) as usize..(at.end - start) as usize).unwrap_or_default();
            for block in Page::parse(page, tail, n)?.blocks() {
                map.add(block.number, block.raw.end - block.raw.start, block.stored.end - block.stored.start);
            }
        }
        first += together;
    }
    Ok(map)
}

/// What follows the blocks, in the order of the object.
fn frames(stat: &Stat) -> [Frame; 4] {
    let tail = stat.tail();
    let attachments = stat.attachments();
    let frame = |letter, name, count, stored| Frame { letter, name, count, stored };
    [
        frame(
            'a',
            if attachments.len() == 1 { "attachment" } else { "attachments" },
            attachments.len(),
            attachments.iter().map(|a| u64::from(a.entry.stored_len)).sum(),
        ),
        frame('i', "index", 1, tail.pages().iter().map(|page| page.position.end - page.position.start).sum()),
        frame('t', "tail", 1, tail.position().end - tail.position().start),
        frame('s', "seek table", 1, tail.object_len() - tail.position().end),
    ]
}

fn text(stat: &Stat, map: &Map, ascii: bool) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let mut line = |name: &str, value: String| _ = writeln!(text, "  {name:<11}  {}", one_line(&value));
    let size = |bytes: u64| match bytes {
        ..1024 => count(bytes, "byte"),
        _ => format!("{bytes} bytes ({})", HumanBytes(bytes)),
    };
    let (raw, stored) = (stat.segment_bytes(), stat.object_bytes());
    line("object", format!("{}, format {}, owner {}", stat.object_id(), stat.format_version(), stat.owner()));
    line("created", time(stat.created_us()));
    line("segment", format!("{}, CRC-64/NVME {}", size(raw), digest(stat.crc64nvme())));
    let ratio = if raw > 0 {
        format!(", {:.1} % of the segment", stored as f64 / raw as f64 * 100.0)
    } else {
        String::new()
    };
    line("stored", format!("{}, codec {}{ratio}", size(stored), stat.codec().name()));
    line("blocks", format!("{} of {}", stat.blocks(), HumanBytes(u64::from(stat.block_size()))));
    if let Some(span) = stat.tail().records() {
        line("records", format!("{}, ids {} to {}", span.count, span.first_id, span.last_id));
        if (span.min_time, span.max_time) != (0, 0) {
            line("times", format!("{} to {}", time(span.min_time), time(span.max_time)));
        }
    } else if let Some((first, last)) = stat.offsets() {
        line("offsets", format!("{first} to {last}"));
    }
    for (i, (name, value)) in stat.metadata().enumerate() {
        let value =
            std::str::from_utf8(value).map_or_else(|_| count(value.len() as u64, "byte"), str::to_string);
        line(if i == 0 { "metadata" } else { "" }, format!("{name} = {value}"));
    }
    for (i, attachment) in stat.attachments().iter().enumerate() {
        let entry = &attachment.entry;
        let stored = if u64::from(entry.stored_len) == entry.content.length {
            String::new()
        } else {
            format!(", {} stored", entry.stored_len)
        };
        line(
            if i == 0 { "attachments" } else { "" },
            format!("{}, {}{stored}", entry.name, size(entry.content.length)),
        );
    }
    format!("{}\n{text}\n{}", one_line(stat.key()), map.draw(&frames(stat), ascii))
}

fn to_json(stat: &Stat, map: &Map) -> Value {
    let tail = stat.tail();
    let attachments: Vec<Value> = stat
        .attachments()
        .iter()
        .map(|attachment| {
            let entry = &attachment.entry;
            json!({
                "name": entry.name,
                "bytes": entry.content.length,
                "stored_bytes": entry.stored_len,
                "codec": entry.codec.name(),
                "crc64nvme": digest(entry.content.crc64),
                "position": attachment.stored.start,
            })
        })
        .collect();
    let metadata: Vec<Value> =
        stat.metadata().map(|(name, value)| joined(json!({"name": name}), blob("value", value))).collect();
    let [_, index, tail_frame, seek_table] = frames(stat);
    let mut object = json!({
        "object_id": stat.object_id().to_string(),
        "format_version": stat.format_version(),
        "owner": stat.owner(),
        "created_us": stat.created_us(),
        "created": time(stat.created_us()),
        "segment_bytes": stat.segment_bytes(),
        "object_bytes": stat.object_bytes(),
        "crc64nvme": digest(stat.crc64nvme()),
        "codec": stat.codec().name(),
        "mode": stat.mode().name(),
        "block_size": stat.block_size(),
        "blocks": stat.blocks(),
        "metadata": metadata,
        "attachments": attachments,
        "data_bytes": tail.data_len(),
        "index_bytes": index.stored,
        "tail_position": tail.position().start,
        "tail_bytes": tail_frame.stored,
        "seek_table_bytes": seek_table.stored,
        "map": {
            "blocks_per_cell": map.per_cell,
            "cells": map.cells.iter().map(|cell| json!([cell.raw, cell.stored])).collect::<Vec<_>>(),
        },
    });
    if let Some(span) = tail.records() {
        object["records"] = json!({
            "count": span.count,
            "first_id": span.first_id,
            "last_id": span.last_id,
            "min_time_us": span.min_time,
            "max_time_us": span.max_time,
        });
    } else if let Some((first, last)) = stat.offsets() {
        object["offsets"] = json!({"first": first, "last": last});
    }
    object
}
