//! What can be learnt and saved of damaged objects.

use crate::common::*;
use bytes::Bytes;
use seglift::{
    Code, Driver,
    codec::Codec,
    engine::{Call, CallFlags},
    maintain::{Gap, Piece, Proof, SalvageOptions, Salvaged, Saved},
    object::{Metadata, Mode},
    writer::{Finish, Record, WriterOptions},
};
use std::{
    fs,
    ops::Range,
    time::{Duration, Instant},
};

const BLOCKS: usize = 40;
const LEN: usize = BLOCKS * BLOCK - 100;

/// A segment in a folder, without a codec so that block n stands at n times the block size.
struct Damaged {
    place: Place,
    bytes: Bytes,
}

impl Damaged {
    fn new() -> Damaged {
        let (place, bytes) = (Place::files(), noise(3, LEN));
        offload(&place.open(""), "k", &bytes, Codec::None).unwrap();
        Damaged { place, bytes }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let Place::Files(dir) = &self.place else { panic!("it is in a folder") };
        let path = dir.path().join("k");
        let mut object = fs::read(&path).unwrap();
        change(&mut object);
        fs::remove_file(&path).unwrap();
        fs::write(&path, object).unwrap();
    }

    /// Flips a bit in each of these blocks.
    fn damage(&self, blocks: &[usize]) {
        self.change(|object| blocks.iter().for_each(|n| object[n * BLOCK + 7] ^= 1));
    }
}

fn past_the_cache() -> Call {
    Call { flags: CallFlags { no_cache: true, ..CallFlags::default() }, ..Call::default() }
}

fn read_all(driver: &Driver, range: Range<u64>) -> seglift::Result<Vec<u8>> {
    let mut dest = vec![0; (range.end - range.start) as usize];
    let n = driver.read_range(&by_key("k"), range.start, &mut dest, &past_the_cache())?;
    dest.truncate(n);
    Ok(dest)
}

fn salvage(driver: &Driver, key: &str, unchecked: bool) -> (Vec<Saved>, Vec<Gap>, Salvaged) {
    let salvage = driver.salvage(key, SalvageOptions { unchecked }).unwrap();
    let (mut saved, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match salvage.next(&Call::default()).unwrap() {
            Piece::Saved(block) => saved.push(block),
            Piece::Gap(gap) => gaps.push(gap),
            Piece::End(end) => return (saved, gaps, end),
        }
    }
}

#[test]
fn verify_names_every_range_of_a_damaged_segment_that_cannot_be_read() {
    let it = Damaged::new();
    it.damage(&[3, 4, 17, BLOCKS - 1]);
    let driver = it.place.open("");
    let report = driver.verify(&by_key("k"), &Call::default()).unwrap();
    let block = BLOCK as u64;
    let bad: Vec<Range<u64>> = report.damage.iter().map(|damage| damage.raw.clone()).collect();
    assert_eq!(
        bad,
        [
            3 * block..5 * block,
            17 * block..18 * block,
            (LEN as u64).next_multiple_of(block) - block..LEN as u64
        ]
    );
    for range in bad {
        assert_eq!(code(read_all(&driver, range)), Code::Corrupt);
    }
}

#[test]
fn what_verify_calls_good_can_be_read() {
    let it = Damaged::new();
    it.damage(&[0, 9, 10, 30]);
    let driver = it.place.open("");
    let report = driver.verify(&by_key("k"), &Call::default()).unwrap();
    let good = report.good_bytes();
    assert_eq!(good.len(), 3);
    for range in &good {
        let found = read_all(&driver, range.clone()).unwrap();
        assert_same(&found, &it.bytes[range.start as usize..range.end as usize]);
    }
    let sum: u64 = good.iter().map(|range| range.end - range.start).sum();
    assert_eq!(sum, (LEN - 4 * BLOCK) as u64);
}

#[test]
fn verify_leaves_nothing_in_the_cache() {
    for place in Place::each() {
        let bytes = noise(1, LEN);
        let receipt = offload(&place.open(""), "k", &bytes, Codec::Zstd).unwrap();
        let driver = place.open("");
        for r in [by_key("k"), by_receipt(&receipt)] {
            assert!(driver.verify(&r, &Call::default()).unwrap().first_error.is_none());
            assert!(driver.scrub(0).unwrap().verify(&r, &Call::default()).unwrap().first_error.is_none());
        }
        assert_eq!(driver.engine().budget().stats().cache, 0);
    }
}

#[test]
fn a_scrub_keeps_to_its_rate_and_no_read_waits_for_it() {
    let place = Place::memory();
    let driver = place.open("");
    for key in ["a", "b"] {
        offload(&driver, key, &noise(1, 1 << 20), Codec::None).unwrap();
    }
    let scrub = driver.scrub(1 << 20).unwrap();
    let started = Instant::now();
    let scrubbing = std::thread::spawn(move || {
        // Two objects share the rate.
        let one = {
            let scrub = scrub.clone();
            std::thread::spawn(move || scrub.verify(&by_key("a"), &Call::default()).unwrap())
        };
        let reports = [scrub.verify(&by_key("b"), &Call::default()).unwrap(), one.join().unwrap()];
        (reports, started.elapsed())
    });
    until_stage(&driver, "blocks");
    let begun = Instant::now();
    for offset in (0..1 << 20).step_by(BLOCK) {
        assert_eq!(read(&driver, &by_key("a"), offset, BLOCK).unwrap().len(), BLOCK);
    }
    let reads = begun.elapsed();
    assert!(!scrubbing.is_finished(), "the reads took {reads:?}, as long as the scrub");
    let (reports, took) = scrubbing.join().unwrap();
    assert!(reports.iter().all(|report| report.first_error.is_none()));
    // 2 MiB at 1 MiB/s, but for the first tenth of a second and the last request of a quarter.
    assert!(took > Duration::from_millis(1400), "{took:?}");
}

#[test]
fn salvage_hands_out_no_byte_that_no_checksum_covers() {
    // Each byte of the object in turn: tests/maintain_salvage.rs. Here the object as a whole, cut in the middle.
    let it = Damaged::new();
    it.change(|object| object.truncate(LEN / 2));
    let driver = it.place.open("");
    let (saved, gaps, end) = salvage(&driver, "k", false);
    assert_eq!((saved.len(), gaps.len(), end.index, end.whole), (0, 1, false, false));
    let (saved, ..) = salvage(&driver, "k", true);
    assert!(!saved.is_empty() && saved.iter().all(|saved| saved.proof == Proof::None));
}

#[test]
fn salvage_hands_out_every_block_that_its_checksum_proves() {
    // With the tail, without it, and with an object that was cut behind the index.
    for what in ["tail", "no tail", "cut"] {
        let it = Damaged::new();
        it.damage(&[5, 6]);
        it.change(|object| match what {
            "no tail" => *object.last_mut().unwrap() ^= 1,
            "cut" => object.truncate(object.len() - 80),
            _ => {}
        });
        let (saved, gaps, end) = salvage(&it.place.open(""), "k", false);
        let numbers: Vec<u32> = saved.iter().map(|saved| saved.number).collect();
        let expected: Vec<u32> = (0..BLOCKS as u32).filter(|n| ![5, 6].contains(n)).collect();
        assert_eq!(numbers, expected, "{what}");
        for saved in saved {
            assert_eq!((saved.proof, saved.mode()), (Proof::Crc32c, Mode::Bytes));
            let at = saved.offset.unwrap() as usize;
            assert_same(&saved.bytes, &it.bytes[at..at + saved.bytes.len()]);
        }
        assert_eq!((gaps.len(), end.tail), (1, what == "tail"));
    }
}

#[test]
fn salvage_names_what_is_missing() {
    let it = Damaged::new();
    it.damage(&[5, 6, BLOCKS - 1]);
    let (_, gaps, end) = salvage(&it.place.open(""), "k", false);
    let [first, last] = &gaps[..] else { panic!("{gaps:?}") };
    assert_eq!(
        (first.offset, first.len, first.blocks),
        (Some(5 * BLOCK as u64), Some(2 * BLOCK as u64), Some(2))
    );
    assert_eq!((last.offset, last.blocks), (Some(((BLOCKS - 1) * BLOCK) as u64), Some(1)));
    assert_eq!((end.gaps, end.whole, end.segment_bytes), (2, false, Some(LEN as u64)));
}

#[test]
fn records_in_front_of_a_damaged_block_are_returned_before_the_error() {
    let place = Place::files();
    let driver = place.open("");
    let options = WriterOptions {
        key: "k".to_owned(),
        mode: Mode::Records,
        codec: Some(Codec::None),
        if_exists: Default::default(),
        max_bytes: Some(16 << 20),
        metadata: Metadata::default(),
    };
    let writer = driver.writer(options, &Call::default(), None).unwrap();
    for id in 0..1000u64 {
        writer.append(Record { id, time_us: 0, payload: &noise(id, 100) }, &Call::default()).unwrap();
    }
    writer.commit(Finish::default(), &Call::default()).unwrap();
    let it = Damaged { place, bytes: Bytes::new() };
    it.damage(&[5]);
    let driver = it.place.open("");
    let batch = driver.read_records(&by_key("k"), 0, 0, 0, &Call::default()).unwrap();
    assert!(batch.len() > 100 && !batch.at_end());
    assert!(batch.records().enumerate().all(|(n, record)| record.id == n as u64));
    let next = batch.next_id();
    assert_eq!(code(driver.read_records(&by_key("k"), next, 0, 0, &Call::default())), Code::Corrupt);
    let report = driver.verify(&by_key("k"), &Call::default()).unwrap();
    let (first, last) = report.damage[0].records.unwrap();
    assert_eq!(first, next);
    assert_eq!(
        driver.read_records(&by_key("k"), last + 1, 0, 0, &Call::default()).unwrap().get(0).unwrap().id,
        last + 1
    );
}
