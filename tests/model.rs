//! The model: whatever was offloaded, however it was cut, compressed and pushed, reads back as the flat bytes and
//! records that it was.

use proptest::{prelude::*, test_runner::Config as Runs};
use seglift::{
    Driver,
    codec::Codec,
    config::Config,
    engine::{Call, CallFlags, Engine, EngineOptions},
    object::Mode,
    reader::SegmentRef,
    writer::{Finish, IfExists, Record, Segment, Source, WriterOptions},
};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Small blocks and parts, so that a few hundred KiB have many of both.
const BLOCK: usize = 4 << 10;
const PART: usize = 64 << 10;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineOptions::default()).unwrap());

fn driver(uri: &str, small: bool) -> Driver {
    let mut config = Config::new();
    if small {
        config.set("block.size", "4KiB").unwrap();
        config.set("upload.part.size", "64KiB").unwrap();
        config.set("read.fetch.size", "64KiB").unwrap();
    }
    config.set("file.fsync", "false").unwrap();
    Driver::open(&ENGINE, uri, &config).unwrap()
}

static MEMORY: LazyLock<Driver> = LazyLock::new(|| driver("memory:", true));

fn fresh_key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("model/{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Sizes around everything that is cut, and others.
fn sizes() -> impl Strategy<Value = usize> {
    let around = |n: usize| prop_oneof![Just(n - 1), Just(n), Just(n + 1)];
    prop_oneof![
        Just(0),
        Just(1),
        around(BLOCK),
        around(2 * BLOCK),
        around(PART),
        around(3 * PART),
        0..8 * BLOCK,
        0..6 * PART,
    ]
}

/// Bytes that compress, or do not, from a seed.
fn bytes(len: usize, seed: u64, random: bool) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|i| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if random { (state >> 33) as u8 } else { ((i / 97) as u8) ^ ((state >> 60) as u8 & 3) }
        })
        .collect()
}

fn codecs() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::None), Just(Codec::Zstd)]
}

/// How a reader asks.
fn calls() -> impl Strategy<Value = Call> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(no_cache, sequential, random)| Call {
        flags: CallFlags { no_cache, sequential, random, ..CallFlags::default() },
        ..Call::default()
    })
}

fn compare(driver: &Driver, r: &SegmentRef, flat: &[u8], reads: &[(prop::sample::Index, usize, Call)]) {
    for (at, len, call) in reads {
        let at = at.index(flat.len() + 1);
        let end = flat.len().min(at + len);
        let mut back = vec![0xAA; *len];
        let n = driver.read_range(r, at as u64, &mut back, call).unwrap();
        assert!(back[..n] == flat[at..end], "bytes {at}..{end} differ");
        let lent = driver.read_range_bytes(r, at as u64, *len as u64, call).unwrap();
        assert!(lent[..] == flat[at..end], "lent bytes {at}..{end} differ");
    }
}

proptest! {
    #![proptest_config(Runs { cases: 600, failure_persistence: None, ..Runs::default() })]

    #[test]
    fn an_offloaded_segment_reads_as_the_flat_bytes(
        len in sizes(),
        seed in any::<u64>(),
        random in any::<bool>(),
        codec in codecs(),
        with_token in any::<bool>(),
        reads in prop::collection::vec((any::<prop::sample::Index>(), 0..3 * PART, calls()), 1..6),
    ) {
        let flat = bytes(len, seed, random);
        let mut segment = Segment::new(fresh_key(), Source::Bytes(flat.clone().into()));
        segment.codec = Some(codec);
        let receipt = MEMORY.offload(segment, &Call::default()).unwrap();
        prop_assert_eq!(receipt.segment_bytes, len as u64);
        let r = SegmentRef { key: receipt.key.clone(), token: with_token.then(|| receipt.token.clone()) };
        compare(&MEMORY, &r, &flat, &reads);
        let report = MEMORY.verify(&r, &Call::default()).unwrap();
        prop_assert_eq!((report.bad_blocks, report.segment_bytes), (0, len as u64));
        MEMORY.delete(&[receipt.key], &Call::default()).unwrap().remove(0).unwrap();
    }

    #[test]
    fn a_pushed_segment_is_the_offloaded_one(
        len in sizes(),
        seed in any::<u64>(),
        codec in codecs(),
        cuts in prop::collection::vec(1usize..2 * PART, 1..12),
        reads in prop::collection::vec((any::<prop::sample::Index>(), 0..2 * PART, calls()), 1..4),
    ) {
        let flat = bytes(len, seed, false);
        let options = WriterOptions {
            key: fresh_key(),
            mode: Mode::Bytes,
            codec: Some(codec),
            if_exists: IfExists::Fail,
            max_bytes: Some(len as u64),
            metadata: Default::default(),
        };
        let writer = MEMORY.writer(options, &Call::default(), None).unwrap();
        let mut rest = &flat[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*cut));
            prop_assert_eq!(writer.write(now, &Call::default()).unwrap(), now.len());
            rest = later;
            if rest.is_empty() { break }
        }
        let pushed = writer.commit(Finish::default(), &Call::default()).unwrap();
        let mut again = Segment::new(pushed.key.clone(), Source::Bytes(flat.clone().into()));
        again.codec = Some(codec);
        prop_assert!(MEMORY.offload(again, &Call::default()).unwrap().existed);
        compare(&MEMORY, &SegmentRef { key: pushed.key.clone(), token: Some(pushed.token) }, &flat, &reads);
        MEMORY.delete(&[pushed.key], &Call::default()).unwrap().remove(0).unwrap();
    }

    #[test]
    fn records_come_back_from_any_id_on(
        records in prop::collection::vec((1u64..50, -1_000i64..1_000_000, prop_oneof![
            8 => 0usize..600,
            1 => BLOCK - 40..BLOCK + 40,
            1 => BLOCK..3 * PART,
        ]), 0..120),
        first in 0u64..1000,
        seed in any::<u64>(),
        codec in codecs(),
        asks in prop::collection::vec((any::<prop::sample::Index>(), 0u64..3, 1u64..200, 1u64..200_000), 1..6),
    ) {
        let mut id = first;
        let all: Vec<(u64, i64, Vec<u8>)> = records
            .iter()
            .enumerate()
            .map(|(i, (gap, time, len))| {
                id += gap;
                (id, *time, bytes(*len, seed ^ i as u64, i % 3 == 0))
            })
            .collect();
        let options = WriterOptions {
            key: fresh_key(),
            mode: Mode::Records,
            codec: Some(codec),
            if_exists: IfExists::Fail,
            max_bytes: None,
            metadata: Default::default(),
        };
        let writer = MEMORY.writer(options, &Call::default(), None).unwrap();
        for (id, time_us, payload) in &all {
            writer.append(Record { id: *id, time_us: *time_us, payload }, &Call::default()).unwrap();
        }
        let receipt = writer.commit(Finish::default(), &Call::default()).unwrap();
        prop_assert_eq!(receipt.records, all.len() as u64);
        let r = SegmentRef { key: receipt.key.clone(), token: Some(receipt.token) };
        for (near, off, max_records, max_bytes) in asks {
            let from = match all.len() {
                0 => off,
                n => all[near.index(n)].0.saturating_sub(1) + off,
            };
            let batch = MEMORY.read_records(&r, from, max_records, max_bytes, &Call::default()).unwrap();
            let due: Vec<_> = all.iter().filter(|(id, ..)| *id >= from).collect();
            let got: Vec<_> = batch.records().map(|r| (r.id, r.time_us, r.payload.to_vec())).collect();
            prop_assert!(got.len() as u64 <= max_records);
            prop_assert_eq!(got.is_empty(), due.is_empty());
            let payload: usize = got.iter().map(|(.., p)| p.len()).sum();
            prop_assert!(got.len() <= 1 || payload as u64 <= max_bytes);
            for (got, due) in got.iter().zip(&due) {
                prop_assert_eq!(got, *due);
            }
            prop_assert_eq!(batch.at_end(), got.len() == due.len());
            if let Some((last, ..)) = got.last() {
                prop_assert_eq!(batch.next_id(), last + 1);
            }
        }
        MEMORY.delete(&[receipt.key], &Call::default()).unwrap().remove(0).unwrap();
    }
}

/// A segment of more than 4 GiB, nearly all of it a hole, with islands of data at the edges of 32 bits.
#[test]
fn a_sparse_segment_over_4_gib_reads_back_at_every_island() {
    const LEN: u64 = (4 << 30) + 12_345;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segment.log");
    let file = File::create(&path).unwrap();
    file.set_len(LEN).unwrap();
    let islands = [0, 1 << 20, (2 << 30) - 3000, (1 << 31) + 1, (4 << 30) - 5000, LEN - 6000];
    for (i, at) in islands.iter().enumerate() {
        file.write_all_at(&bytes(6000, i as u64, true), *at).unwrap();
    }
    let tier = driver(&format!("file://{}", dir.path().join("tier").display()), false);
    let segment = Segment::new("sparse", Source::Path { path, offset: 0, len: None });
    let receipt = tier.offload(segment, &Call::default()).unwrap();
    assert_eq!(receipt.segment_bytes, LEN);
    let r = SegmentRef { key: "sparse".into(), token: Some(receipt.token) };
    for at in islands {
        // A little before the island, so that hole and data meet inside of the read.
        let from = at.saturating_sub(1000);
        let mut back = vec![0xAA; 8000];
        let n = tier.read_range(&r, from, &mut back, &Call::default()).unwrap();
        let mut flat = vec![0; n];
        file_read(&dir.path().join("segment.log"), from, &mut flat);
        assert!(back[..n] == flat[..], "bytes from {from} on differ");
    }
}

fn file_read(path: &std::path::Path, at: u64, into: &mut [u8]) {
    File::open(path).unwrap().read_exact_at(into, at).unwrap();
}
