//! Segments that are pushed.

use crate::common::*;
use seglift::{
    Code, Driver, Result,
    codec::Codec,
    engine::Call,
    object::{Metadata, Mode},
    writer::{Finish, OnWritable, Receipt, Record, Writer, WriterOptions},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

fn options(key: &str, mode: Mode, codec: Codec) -> WriterOptions {
    WriterOptions {
        key: key.to_owned(),
        mode,
        codec: Some(codec),
        if_exists: Default::default(),
        max_bytes: Some(64 << 20),
        metadata: Metadata::default(),
    }
}

fn open(driver: &Driver, key: &str, mode: Mode, codec: Codec) -> Writer {
    driver.writer(options(key, mode, codec), &Call::default(), None).unwrap()
}

fn commit(writer: &Writer) -> Result<Receipt> {
    writer.commit(Finish::default(), &Call::default())
}

fn append(writer: &Writer, id: u64, time_us: i64, payload: &[u8]) -> Result<()> {
    writer.append(Record { id, time_us, payload }, &Call::default())
}

/// All records of a segment, in batches.
fn records(driver: &Driver, key: &str) -> Vec<(u64, i64, Vec<u8>)> {
    let (mut all, mut next) = (Vec::new(), 0);
    loop {
        let batch = driver.read_records(&by_key(key), next, 0, 100_000, &Call::default()).unwrap();
        all.extend(batch.records().map(|r| (r.id, r.time_us, r.payload.to_vec())));
        next = batch.next_id();
        if batch.at_end() {
            return all;
        }
    }
}

#[test]
fn a_writer_reserves_its_memory_when_it_opens_or_is_busy() {
    for mode in [Mode::Bytes, Mode::Records] {
        let place = Place::memory();
        let engine = engine_with(16 << 20);
        let driver = place.open_on(&engine, "", &[]);
        let open =
            |n: usize| driver.writer(options(&format!("w{n}"), mode, Codec::Zstd), &Call::default(), None);
        let mut writers = Vec::new();
        let busy = loop {
            match open(writers.len()) {
                Ok(writer) => writers.push(writer),
                Err(e) => break e,
            }
        };
        assert_eq!(busy.code(), Code::Busy, "{busy}");
        assert!(writers.len() >= 2, "{} writers fit 16 MiB", writers.len());
        // Pushing takes no more than what was reserved: all can go on, and end.
        let reserved = engine.budget().stats().uploads;
        assert!(reserved > 0);
        for writer in &writers {
            for n in 0..40 {
                match mode {
                    Mode::Bytes => {
                        assert_eq!(writer.write(&noise(n, 20_000), &Call::default()).unwrap(), 20_000)
                    }
                    Mode::Records => append(writer, n, 0, &noise(n, 20_000)).unwrap(),
                }
            }
            assert_eq!(engine.budget().stats().uploads, reserved);
        }
        commit(&writers.pop().unwrap()).unwrap();
        open(100).unwrap();
        writers.iter().for_each(|writer| drop(commit(writer).unwrap()));
        assert_eq!(engine.budget().stats().uploads, 0);
    }
}

#[test]
fn a_segment_that_was_pushed_equals_one_that_was_offloaded_whole() {
    for place in Place::each() {
        for codec in CODECS {
            for len in [0, 1, BLOCK, BLOCK + 1, MANY_PARTS] {
                let (driver, bytes) = (place.open(""), noise(len as u64, len));
                let (whole, pushed) = (format!("{}-{len}", codec.name()), format!("{}-{len}p", codec.name()));
                let expected = offload(&driver, &whole, &bytes, codec).unwrap();
                let writer = open(&driver, &pushed, Mode::Bytes, codec);
                let (mut rest, mut step) = (&bytes[..], 1);
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(step.min(rest.len()));
                    assert_eq!(writer.write(piece, &Call::default()).unwrap(), piece.len());
                    (rest, step) = (after, step * 3 % 50_021 + 1);
                }
                let receipt = commit(&writer).unwrap();
                assert_eq!(
                    (receipt.segment_bytes, receipt.crc64nvme, receipt.blocks, receipt.object_bytes),
                    (expected.segment_bytes, expected.crc64nvme, expected.blocks, expected.object_bytes),
                );
                assert_same(&content(&place, &pushed), &bytes);
                // The data in the object are the same to the byte.
                let data_len = driver.stat(&by_key(&whole), &Call::default()).unwrap().tail().data_len();
                let data = |key: &str| driver.object_range(key, 0, data_len, &Call::default()).unwrap();
                assert_same(&data(&pushed), &data(&whole));
                assert!(offload(&driver, &pushed, &bytes, codec).unwrap().existed);
            }
        }
    }
}

#[test]
fn records_come_back_with_their_ids_times_and_payloads() {
    for place in Place::each() {
        for codec in CODECS {
            let driver = place.open("");
            let writer = open(&driver, codec.name(), Mode::Records, codec);
            let (mut given, mut id) = (Vec::new(), 0);
            for n in 0..600_u64 {
                // Gaps small and huge, times forth and back, payloads from nothing to several blocks.
                let time = [0, i64::MIN, i64::MAX, -1, 1_700_000_000_000_000 - n as i64][n as usize % 5];
                given.push((id, time, noise(n, [0, 1, 700, 3000][n as usize % 4]).to_vec()));
                id += [1, 2, 1000, 1 << 40][n as usize % 4];
            }
            given.push((u64::MAX, 5, b"the last id".to_vec()));
            for (id, time, payload) in &given {
                append(&writer, *id, *time, payload).unwrap();
            }
            let receipt = commit(&writer).unwrap();
            assert_eq!(receipt.records, given.len() as u64);
            let fresh = place.open("");
            assert!(records(&fresh, codec.name()) == given);
            let stat = fresh.stat(&by_key(codec.name()), &Call::default()).unwrap();
            assert_eq!((stat.records(), stat.offsets()), (given.len() as u64, Some((0, u64::MAX))));
            // From an id that is there, from one in a gap, from behind the last but one.
            for n in [0, 1, 77, 599, 600] {
                let batch =
                    fresh.read_records(&by_receipt(&receipt), given[n].0, 1, 0, &Call::default()).unwrap();
                assert_eq!(batch.get(0).map(|r| r.id), Some(given[n].0));
                let after = given[n].0.saturating_add(1);
                let batch = fresh.read_records(&by_receipt(&receipt), after, 1, 0, &Call::default()).unwrap();
                let next = given.get(n + 1).or((n == 600).then_some(&given[600]));
                assert_eq!(batch.get(0).map(|r| r.id), next.map(|r| r.0), "after {n}");
            }
            assert!(fresh.verify(&by_receipt(&receipt), &Call::default()).unwrap().first_error.is_none());
        }
    }
}

#[test]
fn record_ids_must_increase_and_a_refused_record_changes_nothing() {
    for codec in CODECS {
        let place = Place::memory();
        let driver = place.open("");
        let writer = open(&driver, "k", Mode::Records, codec);
        let too_long = vec![0; (64 << 20) + 1];
        let mut given = Vec::new();
        for n in 0..20_u64 {
            // Some of them where the next record opens a new block.
            let payload = noise(n, 1200);
            append(&writer, 10 * n + 5, n as i64, &payload).unwrap();
            given.push((10 * n + 5, n as i64, payload.to_vec()));
            for refused in [0, 10 * n, 10 * n + 5] {
                assert_eq!(code(append(&writer, refused, 0, &noise(1, 1200))), Code::InvalidArgument);
                let record = Record { id: refused, time_us: 0, payload: b"x" };
                assert_eq!(code(writer.try_append(record)), Code::InvalidArgument);
            }
            let e = append(&writer, 1000, 0, &too_long).unwrap_err();
            assert!(matches!(e.code(), Code::InvalidArgument | Code::OutOfRange), "{e}");
            assert_eq!(code(writer.write(b"bytes", &Call::default())), Code::InvalidArgument);
        }
        commit(&writer).unwrap();
        assert!(records(&driver, "k") == given);
    }
}

#[test]
fn a_record_larger_than_a_block_comes_back_whole() {
    for place in Place::each() {
        for codec in CODECS {
            let driver = place.open("");
            let writer = open(&driver, codec.name(), Mode::Records, codec);
            let lens = [10, BLOCK + 1, 10, 300_000, 0, 5 << 20, 10];
            for (id, len) in lens.into_iter().enumerate() {
                append(&writer, id as u64, 0, &noise(id as u64, len)).unwrap();
            }
            commit(&writer).unwrap();
            let all = records(&place.open(""), codec.name());
            assert_eq!(all.len(), lens.len());
            for ((id, _, payload), len) in all.iter().zip(lens) {
                assert_same(payload, &noise(*id, len));
            }
            // One is always given, however little was asked for.
            let one = driver.read_records(&by_key(codec.name()), 5, 0, 1, &Call::default()).unwrap();
            assert_eq!((one.len(), one.get(0).unwrap().payload.len()), (1, 5 << 20));
        }
    }
}

#[test]
fn a_full_writer_would_block_and_says_once_when_it_has_room() {
    for script in ["part=*:delay-200ms", "part=1:delay-200ms,2+:UNAVAILABLE"] {
        let place = Place::memory();
        let driver = place.open(script);
        let calls = Arc::new(AtomicU32::new(0));
        let called = calls.clone();
        let on_writable: OnWritable = Box::new(move || {
            called.fetch_add(1, Ordering::SeqCst);
        });
        let writer = driver
            .writer(options("k", Mode::Bytes, Codec::None), &Call::default(), Some(on_writable))
            .unwrap();
        let (bytes, mut taken) = (noise(1, 8 << 20), 0);
        let failed = 'rounds: {
            for round in 1..=3 {
                // Until it is full; then again, which changes nothing.
                let mut full = 0;
                while full < 3 {
                    match writer.try_write(&bytes[taken..taken + 10_000]) {
                        Ok(n) => taken += n,
                        Err(e) if e.code() == Code::WouldBlock => full += 1,
                        Err(e) => break 'rounds Some(e),
                    }
                    assert!(taken < 4 << 20, "it is never full");
                }
                assert_eq!(calls.load(Ordering::SeqCst), round - 1, "it was called before there was room");
                until(|| calls.load(Ordering::SeqCst) == round, || "it was not called".to_owned());
                thread::sleep(Duration::from_millis(20));
                assert_eq!(calls.load(Ordering::SeqCst), round, "it was called twice");
            }
            None
        };
        match failed {
            // A writer whose upload failed says so, instead of waiting for room for ever.
            Some(e) => assert_eq!((e.code(), script.contains("UNAVAILABLE")), (Code::Unavailable, true)),
            None => {
                assert!(!script.contains("UNAVAILABLE"));
                commit(&writer).unwrap();
                assert_same(&content(&place, "k"), &bytes[..taken]);
            }
        }
    }
}

#[test]
fn two_threads_in_one_writer_are_told_that_it_is_busy() {
    let place = Place::memory();
    let driver = place.open("part=*:delay-60ms");
    let writer = Arc::new(open(&driver, "k", Mode::Bytes, Codec::None));
    let bytes = noise(1, 2 << 20);
    let (pushing, pushed) = (writer.clone(), bytes.clone());
    let thread = thread::spawn(move || pushing.write(&pushed, &Call::default()).unwrap());
    until_stage(&driver, "wait for room");
    assert_eq!(code(writer.write(b"x", &Call::default())), Code::Busy);
    assert_eq!(code(writer.try_write(b"x")), Code::Busy);
    assert_eq!(code(commit(&writer)), Code::Busy);
    assert_eq!(code(writer.abort(&Call::default())), Code::Busy);
    assert_eq!(thread.join().unwrap(), bytes.len());
    commit(&writer).unwrap();
    assert_same(&content(&place, "k"), &bytes);

    // While it is being committed as well; then it is over.
    let driver = place.open("commit=1:delay-300ms");
    let writer = Arc::new(open(&driver, "c", Mode::Bytes, Codec::None));
    writer.write(&bytes, &Call::default()).unwrap();
    let committing = writer.clone();
    let thread = thread::spawn(move || commit(&committing));
    until_stage(&driver, "commit");
    assert_eq!(code(writer.try_write(b"x")), Code::Busy);
    assert_eq!(code(commit(&writer)), Code::Busy);
    thread.join().unwrap().unwrap();
    assert_eq!(code(writer.try_write(b"x")), Code::Closed);
    assert_eq!(code(commit(&writer)), Code::Closed);
    assert_same(&content(&place, "c"), &bytes);
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing_behind() {
    for place in Place::each() {
        for codec in CODECS {
            for (script, len) in
                [("", 0), ("", 100), ("", 2 << 20), ("part=2:stall", 100_000), ("begin=1:stall", 100_000)]
            {
                let driver = place.open(script);
                for way in ["drop", "abort", "abort twice"] {
                    let writer = open(&driver, "a/b/c", Mode::Bytes, codec);
                    writer.write(&noise(1, len), &Call::default()).unwrap();
                    if way != "drop" {
                        writer.abort(&Call::default()).unwrap();
                        assert_eq!(code(writer.try_write(b"x")), Code::Closed);
                        assert_eq!(code(commit(&writer)), Code::Closed);
                    }
                    if way == "abort twice" {
                        writer.abort(&Call::default()).unwrap();
                    }
                    drop(writer);
                    place.holds_only(&[]);
                    until(|| driver.engine().running() == 0, || "an operation runs".to_owned());
                    until(|| driver.engine().budget().stats().uploads == 0, || "memory is held".to_owned());
                }
            }
        }
    }
}

#[test]
fn a_writer_takes_no_more_than_was_declared() {
    for codec in CODECS {
        let driver = Place::memory().open("");
        let declared =
            |key: &str, mode| WriterOptions { max_bytes: Some(100_000), ..options(key, mode, codec) };
        let writer = driver.writer(declared("bytes", Mode::Bytes), &Call::default(), None).unwrap();
        writer.write(&noise(1, 60_000), &Call::default()).unwrap();
        assert_eq!(code(writer.write(&noise(1, 40_001), &Call::default())), Code::OutOfRange);
        writer.write(&noise(2, 40_000), &Call::default()).unwrap();
        assert_eq!(code(writer.try_write(b"x")), Code::OutOfRange);
        assert_eq!(commit(&writer).unwrap().segment_bytes, 100_000);

        // Of records the bytes count that they take in the segment.
        for len in [0, 1, 100, 33_000, 99_990] {
            let key = format!("records-{len}");
            let writer = driver.writer(declared(&key, Mode::Records), &Call::default(), None).unwrap();
            let refused = (0..).find_map(|id| append(&writer, id, 0, &noise(id, len)).err()).unwrap();
            assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
            let receipt = commit(&writer).unwrap();
            assert!(receipt.segment_bytes <= 100_000, "{len}: {}", receipt.segment_bytes);
            assert!(receipt.segment_bytes + len as u64 + 100 > 100_000, "{len}: {}", receipt.segment_bytes);
        }
    }
}
