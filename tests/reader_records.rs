//! Records, attachments, raw objects, and the verification of all that.
#![cfg(feature = "testing")]

mod reader_support;

use proptest::prelude::*;
use reader_support::{
    Put, World,
    format::{BLOCK, Given, Recipe, Source, kinds, mixed, records},
    options, with_fresh_id,
};
use seglift::{
    Code, Result,
    codec::Codec,
    engine::Call,
    reader::{RecordBatch, SegmentBytes, SegmentRef, VerifyReport},
};

const KINDS: [Codec; 2] = [Codec::None, Codec::Zstd];

fn read(world: &World, r: &SegmentRef, first: u64, max_records: u64, max_bytes: u64) -> Result<RecordBatch> {
    let r = r.clone();
    world.run(&Call::default(), |reader, op| reader.read_records(op, r, first, max_records, max_bytes))
}

fn given(batch: &RecordBatch) -> Vec<Given> {
    batch.records().map(|record| (record.id, record.time_us, record.payload.to_vec())).collect()
}

/// What a batch must hold: the definition, over the flat list.
fn expected(all: &[Given], first: u64, max_records: u64, max_bytes: u64) -> (Vec<Given>, u64, bool) {
    let unlimited = |n: u64| if n == 0 { u64::MAX } else { n };
    let mut left = unlimited(max_bytes);
    let mut out: Vec<Given> = Vec::new();
    for record in
        all.iter().filter(|record| record.0 >= first).take(unlimited(max_records).min(1 << 20) as usize)
    {
        let len = record.2.len() as u64;
        if len > left && !out.is_empty() {
            break;
        }
        left = left.saturating_sub(len);
        out.push(record.clone());
        if left == 0 {
            break;
        }
    }
    let next = out.last().map_or(first, |record| record.0 + 1);
    (out, next, all.last().is_none_or(|last| last.0 < next))
}

fn check(world: &World, put: &Put, all: &[Given], first: u64, max_records: u64, max_bytes: u64) {
    let batch = read(world, &put.with_token, first, max_records, max_bytes).unwrap();
    let found = (given(&batch), batch.next_id(), batch.at_end());
    assert!(
        found == expected(all, first, max_records, max_bytes),
        "from {first}, {max_records} records, {max_bytes} bytes"
    );
}

#[test]
fn records_come_from_the_first_id_on_within_both_limits_but_always_one() {
    for codec in KINDS {
        let (world, all) = (World::new(), records(90));
        let put = world.put("k", &Recipe::new(codec, Source::Records(all.clone())));
        let (low, high) = (all[0].0, all[all.len() - 1].0);
        for first in [0, low, low + 1, all[31].0 - 1, all[50].0, all[17].0, high, high + 1, u64::MAX] {
            for max_records in [0, 1, 7, 1000] {
                for max_bytes in [0, 1, 500, 5000, 1 << 20] {
                    check(&world, &put, &all, first, max_records, max_bytes);
                }
            }
        }
    }
}

#[test]
fn reading_on_from_each_batch_gives_every_record_once() {
    let (world, all) = (World::new(), records(90));
    let put = world.put("k", &Recipe::new(Codec::Zstd, Source::Records(all.clone())));
    let (mut found, mut next) = (Vec::new(), 0);
    loop {
        let batch = read(&world, &put.with_token, next, 11, 3000).unwrap();
        found.extend(given(&batch));
        next = batch.next_id();
        if batch.at_end() {
            break;
        }
        assert!(!batch.is_empty(), "it goes on");
    }
    assert!(found == all);
}

#[test]
fn a_segment_without_records_is_at_its_end_at_once() {
    let world = World::new();
    let put = world.put("k", &Recipe::new(Codec::Zstd, Source::Records(Vec::new())));
    let batch = read(&world, &put.with_token, 5, 0, 0).unwrap();
    assert!(batch.is_empty() && batch.at_end() && batch.next_id() == 5);
}

#[test]
fn a_segment_of_bytes_has_no_records_to_read() {
    let world = World::new();
    let put = world.put("k", &Recipe::new(Codec::Zstd, Source::Bytes(mixed(100))));
    assert_eq!(read(&world, &put.with_token, 0, 1, 1).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_batch_counts_as_lent_until_its_last_clone_is_dropped() {
    let world = World::new();
    let put = world.put("k", &Recipe::new(Codec::None, Source::Records(records(60))));
    let batch = read(&world, &put.with_token, 0, 0, 0).unwrap();
    assert_eq!(world.engine.budget().stats().lent, put.tail.segment_len());
    let copy = batch.clone();
    drop(batch);
    assert_eq!(copy.len(), 60);
    drop(copy);
    assert_eq!(world.engine.budget().stats().lent, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_records_read_back_from_any_id_with_any_limits(
        given in prop::collection::vec((1u64..50, any::<i64>(), 0usize..6000), 0..80),
        reads in prop::collection::vec((0u64..4000, 0u64..40, 0u64..20_000), 1..20),
        zstd: bool,
    ) {
        let text = mixed(6000);
        let mut id = 0;
        let all: Vec<Given> = given
            .into_iter()
            .map(|(gap, time, len)| {
                id += gap;
                (id, time, text[..len].to_vec())
            })
            .collect();
        let world = World::new();
        let put = world.put("k", &Recipe::new(KINDS[usize::from(zstd)], Source::Records(all.clone())));
        for (first, max_records, max_bytes) in reads {
            check(&world, &put, &all, first, max_records, max_bytes);
        }
    }

    #[test]
    fn any_bytes_read_back_in_any_ranges(
        len in 0usize..200_000,
        reads in prop::collection::vec((0f64..1.1, 0f64..1.1, 0u8..4), 1..30),
        zstd: bool,
    ) {
        let flat = mixed(len);
        let world = World::with(seglift::reader::ReadOptions { ahead_max: 1 << 20, ..options() }, "");
        let put = world.put("k", &Recipe::new(KINDS[usize::from(zstd)], Source::Bytes(flat.clone())));
        for (offset, want, flag) in reads {
            let (offset, want) = ((offset * len as f64) as usize, (want * len as f64) as usize);
            let call = reader_support::flagged(|f| {
                (f.sequential, f.no_cache, f.random) = (flag == 1, flag == 2, flag == 3);
            });
            match world.read_with(&call, &put.with_token, offset as u64, want) {
                Ok(bytes) => prop_assert!(bytes == flat[offset..len.min(offset + want)]),
                Err(e) => prop_assert!(e.code() == Code::OutOfRange && offset > len, "{:?}", e),
            }
        }
    }
}

fn attachment(world: &World, r: &SegmentRef, name: &str) -> Result<SegmentBytes> {
    let (r, name) = (r.clone(), name.to_owned());
    world.run(&Call::default(), |reader, op| reader.read_attachment(op, r, name))
}

#[test]
fn attachments_come_back_verified_and_an_unknown_one_is_out_of_range() {
    for (name, recipe) in kinds() {
        let world = World::new();
        let put = world.put("k", &recipe);
        for (attached, _, raw) in &recipe.attachments {
            assert!(
                attachment(&world, &put.with_token, attached).unwrap()[..] == raw[..],
                "{name} {attached}"
            );
        }
        let error = attachment(&world, &put.with_token, "nothing").unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange);
    }
}

#[test]
fn an_attachment_that_comes_damaged_once_is_fetched_again_and_twice_is_corrupt() {
    let recipe =
        Recipe::new(Codec::Zstd, Source::Bytes(mixed(100))).attach("index", Codec::None, &mixed(3000));
    let world = World::with(options(), "get=2:flip-99");
    let put = world.put("k", &recipe);
    assert!(attachment(&world, &put.with_token, "index").unwrap()[..] == mixed(3000));
    let world = World::with(options(), "get=2:flip-99,3:flip-7");
    let put = world.put("k", &recipe);
    assert_eq!(attachment(&world, &put.with_token, "index").unwrap_err().code(), Code::Corrupt);
}

#[test]
fn a_range_of_the_raw_object_is_its_stored_bytes() {
    let world = World::new();
    let (object, _) = with_fresh_id(&Recipe::new(Codec::Zstd, Source::Bytes(mixed(9000))));
    world.put_bytes("k", object.clone());
    let read = |offset, len| {
        world.run(&Call::default(), |reader, op| reader.object_range(op, "k".to_owned(), offset, len))
    };
    assert!(read(0, u64::MAX).unwrap()[..] == object);
    assert!(read(100, 50).unwrap()[..] == object[100..150]);
    assert!(read(100, 0).unwrap().is_empty());
    assert_eq!(read(object.len() as u64, 1).unwrap_err().code(), Code::OutOfRange);
}

fn verify(world: &World, key: &str) -> Result<VerifyReport> {
    let r = SegmentRef { key: key.to_owned(), token: None };
    world.run(&Call::default(), |reader, op| reader.verify(op, r))
}

#[test]
fn a_sound_segment_of_any_kind_verifies_with_all_its_parts_counted() {
    for (name, recipe) in kinds() {
        let world = World::new();
        let put = world.put("k", &recipe);
        let report = verify(&world, "k").unwrap();
        assert!(report.first_error.is_none(), "{name}: {report:?}");
        assert_eq!(report.blocks, u64::from(put.tail.block_count()));
        assert_eq!(
            (report.segment_bytes, report.object_bytes),
            (put.tail.segment_len(), put.tail.object_len())
        );
        assert_eq!(report.records, put.tail.records().map_or(0, |span| span.count));
        assert_eq!((report.attachments, report.bad_attachments), (recipe.attachments.len() as u64, 0));
    }
}

#[test]
fn verifying_counts_all_that_is_damaged_and_goes_on() {
    for codec in KINDS {
        let world = World::new();
        let recipe = Recipe::new(codec, Source::Bytes(mixed(60_000)))
            .attach("a", Codec::None, &mixed(3000))
            .attach("b", Codec::None, &mixed(2000));
        let (mut object, tail) = with_fresh_id(&recipe);
        let stored = tail.data_len() as usize;
        for at in [0, stored - 1, tail.attachments()[1].stored.start as usize] {
            object[at] ^= 1;
        }
        world.put_bytes("k", object.clone());
        let report = verify(&world, "k").unwrap();
        assert_eq!((report.blocks, report.bad_blocks), (60_000u64.div_ceil(u64::from(BLOCK)), 2));
        assert_eq!((report.attachments, report.bad_attachments), (2, 1));
        assert_eq!(report.first_error.unwrap().code(), Code::Corrupt);

        let page = tail.page_position(0).start as usize;
        object[page] ^= 1;
        world.put_bytes("page", object);
        let report = verify(&world, "page").unwrap();
        assert!(report.bad_blocks > 1 && report.first_error.is_some(), "{report:?}");
    }
}

#[test]
fn sound_blocks_in_the_place_of_others_do_not_verify() {
    // Two blocks swapped, with an index that says so: only the content's CRC-64/NVME can tell.
    let world = World::new();
    let text = mixed(2 * BLOCK as usize);
    let (a, b) = text.split_at(BLOCK as usize);
    let (swapped, _) = Recipe::new(Codec::None, Source::Bytes([b, a].concat())).build_data();
    let (_, right) = Recipe::new(Codec::None, Source::Bytes(text.clone())).build_data();
    let (_, mut forged) = Recipe::new(Codec::None, Source::Bytes([b, a].concat())).build_data();
    forged.content = right.content;
    let parts = forged.finish().unwrap();
    world.put_bytes("k", [swapped, parts.index_frame, parts.tail_frame, parts.seek_table].concat());
    let report = verify(&world, "k").unwrap();
    assert_eq!(report.bad_blocks, 0);
    assert!(report.first_error.unwrap().message().contains("CRC-64/NVME"));
}

#[test]
fn verifying_what_is_not_there_or_not_reachable_is_an_error_and_no_damage() {
    assert_eq!(verify(&World::new(), "k").unwrap_err().code(), Code::NotFound);
    let world = World::with(options(), "get=3:UNAVAILABLE");
    world.put("k", &Recipe::new(Codec::None, Source::Bytes(mixed(60_000))));
    assert_eq!(verify(&world, "k").unwrap_err().code(), Code::Unavailable);
}
