//! What a read asks of the store: how often, for which bytes, and for whom.
#![cfg(feature = "testing")]

mod reader_support;

use reader_support::{
    Put, Tape, World, flagged,
    format::{BLOCK, Recipe, Source, mixed, records},
    options, until,
};
use seglift::{
    Code,
    buf::LentBuf,
    codec::Codec,
    engine::{Call, CallFlags, Cancel, Engine, EngineOptions},
    metrics::{CacheKind, Direction, Outcome, Request},
    reader::{ReadOptions, SegmentRef},
    store::{GetRange, MemoryStore, MeteredStore},
};
use std::{sync::Arc, thread, time::Duration};

const MIB: usize = 1 << 20;

fn bytes(world: &World, codec: Codec, len: usize) -> (Put, Vec<u8>) {
    let flat = mixed(len);
    let mut recipe = Recipe::new(codec, Source::Bytes(flat.clone()));
    recipe.page_size = 4096;
    (world.put("k", &recipe), flat)
}

#[test]
fn with_a_token_a_small_segment_takes_one_request_for_its_tail_and_index_and_one_for_its_bytes() {
    for codec in [Codec::None, Codec::Zstd] {
        let world = World::new();
        let (put, _) = bytes(&world, codec, 20_000);
        world.read(&put.with_token, 5000, 10).unwrap();
        let asked = world.store.take();
        assert_eq!(asked.len(), 2, "{asked:?}");
        let GetRange::Range(tail) = &asked[0] else { panic!("{asked:?}") };
        assert_eq!(tail.end, put.tail.position().end, "exactly up to the tail's end");
        world.read(&put.with_token, 0, 10).unwrap();
        assert_eq!(world.store.take().len(), 1, "tail and index are in memory");
        world.read(&put.with_token, 4000, 4000).unwrap();
        assert_eq!(world.store.take(), [], "all of it is in memory");
    }
}

#[test]
fn without_a_token_each_read_asks_for_the_end_of_the_object_and_nothing_else_that_is_in_memory() {
    let world = World::new();
    let (put, _) = bytes(&world, Codec::Zstd, 20_000);
    world.read(&put.by_key, 5000, 10).unwrap();
    assert_eq!(world.store.take().len(), 2);
    world.read(&put.by_key, 5000, 10).unwrap();
    assert!(matches!(world.store.take()[..], [GetRange::Suffix(65_536)]));
}

#[test]
fn neighbouring_blocks_share_a_request_of_exactly_their_bytes() {
    let world = World::new();
    let (put, flat) = bytes(&world, Codec::None, 60_000);
    let block = u64::from(BLOCK);
    assert!(world.read(&put.with_token, 5000, 20_000).unwrap() == flat[5000..25_000]);
    assert_eq!(world.store.take()[1..], [GetRange::Range(block..7 * block)]);
    assert!(world.read(&put.with_token, 20_000, 20_000).unwrap() == flat[20_000..40_000]);
    assert_eq!(world.store.take(), [GetRange::Range(7 * block..10 * block)], "only what is missing");
}

#[test]
fn a_large_read_is_cut_into_requests_of_the_fetch_size() {
    let world = World::new();
    let (put, flat) = bytes(&world, Codec::None, 300_000);
    assert!(world.read(&put.with_token, 0, 300_000).unwrap() == flat);
    let asked = world.store.take();
    for range in &asked[1..] {
        let GetRange::Range(range) = range else { panic!("{asked:?}") };
        assert!(range.end - range.start <= options().fetch_size as u64 && range.start % 65_536 == 0);
    }
    assert_eq!(asked.len(), 1 + 300_000usize.div_ceil(65_536));
}

#[test]
fn eight_readers_of_one_place_take_one_request() {
    for codec in [Codec::None, Codec::Zstd] {
        let world = Arc::new(World::new());
        let (put, flat) = bytes(&world, codec, 60_000);
        world.read(&put.with_token, 0, 1).unwrap();
        world.store.take();
        world.store.close();
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let (world, r) = (world.clone(), put.with_token.clone());
                thread::spawn(move || world.read(&r, 30_000, 4000).unwrap())
            })
            .collect();
        until(|| world.engine.running() == 8);
        world.store.wait_for(1);
        world.store.open();
        for reader in readers {
            assert!(reader.join().unwrap() == flat[30_000..34_000]);
        }
        assert_eq!(world.store.take().len(), 1);
    }
}

#[test]
fn a_read_from_memory_alone_gives_what_is_there_and_asks_nothing() {
    let world = World::new();
    let (put, flat) = bytes(&world, Codec::Zstd, 60_000);
    let flags = CallFlags { cached_only: true, ..CallFlags::default() };
    let mut dest = vec![0; 4000];
    assert_eq!(world.reader.try_read_cached(&put.with_token, 3000, &mut dest, &flags).unwrap(), None);
    world.read(&put.with_token, 3000, 4000).unwrap();
    world.store.take();
    assert_eq!(world.reader.try_read_cached(&put.with_token, 3000, &mut dest, &flags).unwrap(), Some(4000));
    assert!(dest == flat[3000..7000]);
    assert_eq!(world.reader.try_read_cached(&put.with_token, 7000, &mut dest, &flags).unwrap(), None);
    assert_eq!(world.reader.try_read_cached(&put.by_key, 3000, &mut dest, &flags).unwrap(), None, "no token");
    let end = world.reader.try_read_cached(&put.with_token, 60_000, &mut dest, &flags);
    assert_eq!(end.unwrap(), Some(0));
    let behind = world.reader.try_read_cached(&put.with_token, 60_001, &mut dest, &flags);
    assert_eq!(behind.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(world.store.take(), []);
}

#[test]
fn a_fetch_whose_reader_timed_out_lands_in_the_cache() {
    let world = World::new();
    let (put, flat) = bytes(&world, Codec::Zstd, 60_000);
    world.read(&put.with_token, 0, 1).unwrap();
    world.store.close();
    let call = Call { deadline: Some(Duration::from_millis(50)), ..Call::default() };
    assert_eq!(world.read_with(&call, &put.with_token, 30_000, 100).unwrap_err().code(), Code::TimedOut);
    world.store.take();
    world.store.open();
    let mut dest = vec![0; 100];
    let flags = CallFlags { cached_only: true, ..CallFlags::default() };
    until(|| world.reader.try_read_cached(&put.with_token, 30_000, &mut dest, &flags).unwrap().is_some());
    assert!(dest == flat[30_000..30_100]);
    assert_eq!(world.store.take(), [], "and it was not asked for again");
}

#[test]
fn a_cancelled_read_never_writes_into_its_buffer_after_it_has_returned() {
    for codec in [Codec::None, Codec::Zstd] {
        let world = World::new();
        let (put, _) = bytes(&world, codec, 2 * MIB);
        world.read(&put.with_token, 0, 1).unwrap();
        world.store.take();
        world.store.close();
        let cancel = Cancel::new();
        let call = Call { cancel: Some(cancel.clone()), ..flagged(|f| f.sequential = true) };
        let (buffer, r) = (LentBuf::owned(2 * MIB).unwrap(), put.with_token.clone());
        let op = world.op(&call);
        let lent = buffer.clone();
        op.on_finish(move || lent.revoke());
        thread::scope(|scope| {
            let read = scope.spawn(|| {
                let work = world.reader.clone().read_range(op.clone(), r, 0, buffer.clone());
                world.engine.block_on(&op, work)
            });
            world.store.wait_for(options().concurrency);
            cancel.cancel();
            assert_eq!(read.join().unwrap().unwrap_err().code(), Code::Cancelled);
        });
        assert!(buffer.is_revoked(), "the buffer refuses whatever comes now");
        world.store.open();
        // Requests for nobody but the caller end with him: their memory comes back.
        until(|| world.engine.budget().stats().reads == 0);
    }
}

#[test]
fn a_read_that_leaves_nothing_in_the_cache_leaves_nothing() {
    let world = World::new();
    let (put, flat) = bytes(&world, Codec::Zstd, 60_000);
    let call = flagged(|f| f.no_cache = true);
    for _ in 0..2 {
        assert!(world.read_with(&call, &put.with_token, 5000, 20_000).unwrap() == flat[5000..25_000]);
        assert!(!world.store.take().is_empty());
    }
}

#[test]
fn a_reader_that_goes_on_finds_the_next_bytes_in_memory() {
    for codec in [Codec::None, Codec::Zstd] {
        let world = World::with(ReadOptions { ahead_max: 4 << 20, ..options() }, "");
        let (put, flat) = bytes(&world, codec, 3 * MIB);
        world.read(&put.with_token, 0, 10_000).unwrap();
        world.read(&put.with_token, 10_000, 10_000).unwrap();
        let (mut dest, flags) = (vec![0; 100_000], CallFlags::default());
        until(|| {
            world.reader.try_read_cached(&put.with_token, 400_000, &mut dest, &flags).unwrap().is_some()
        });
        assert!(dest == flat[400_000..500_000]);
    }
}

#[test]
fn a_reader_that_goes_on_in_memory_is_fetched_ahead_of_before_that_ends() {
    for codec in [Codec::None, Codec::Zstd] {
        let world = World::with(ReadOptions { ahead_max: 4 << 20, ..options() }, "");
        let (put, flat) = bytes(&world, codec, 3 * MIB);
        world.read_with(&flagged(|f| f.random = true), &put.with_token, 0, 20_000).unwrap();
        world.store.take();
        let flags = CallFlags { cached_only: true, ..CallFlags::default() };
        let (jumps, reads_on) = (CallFlags { random: true, ..flags }, flags);
        let mut dest = vec![0; 10_000];
        for flags in [jumps, reads_on] {
            assert_eq!(world.store.take(), [], "nobody went on so far");
            for at in [0, 10_000] {
                assert!(
                    world.reader.try_read_cached(&put.with_token, at, &mut dest, &flags).unwrap().is_some()
                );
            }
        }
        until(|| {
            world.reader.try_read_cached(&put.with_token, 400_000, &mut dest, &jumps).unwrap().is_some()
        });
        assert!(dest == flat[400_000..410_000]);
    }
}

#[test]
fn bytes_that_are_in_memory_are_lent_without_a_request() {
    for codec in [Codec::None, Codec::Zstd] {
        let world = World::new();
        let (put, flat) = bytes(&world, codec, 60_000);
        let flags = CallFlags { cached_only: true, ..CallFlags::default() };
        let ask = |at, len| world.reader.try_read_bytes_cached(&put.with_token, at, len, &flags).unwrap();
        assert!(ask(3000, 4000).is_none());
        world.read(&put.with_token, 0, 60_000).unwrap();
        world.store.take();
        for range in [3000..3100, 1000..40_000, 59_000..60_000, 60_000..60_000] {
            let bytes = ask(range.start as u64, range.len() as u64 + 7).unwrap();
            assert!(bytes[..range.len()] == flat[range.clone()] && bytes.len() <= range.len() + 7);
        }
        assert_eq!(world.store.take(), []);
    }
}

#[test]
fn a_reader_that_jumps_is_not_fetched_ahead_of() {
    let world = World::with(ReadOptions { ahead_max: 4 << 20, ..options() }, "");
    let (put, _) = bytes(&world, Codec::None, 3 * MIB);
    let random = flagged(|f| f.random = true);
    world.read_with(&random, &put.with_token, 0, 10_000).unwrap();
    world.read_with(&random, &put.with_token, 10_000, 10_000).unwrap();
    world.read(&put.with_token, 2_000_000, 10).unwrap();
    world.read(&put.with_token, 500_000, 10).unwrap();
    let most: u64 = world.store.take()[1..]
        .iter()
        .map(|asked| match asked {
            GetRange::Range(range) => range.end - range.start,
            GetRange::Suffix(n) => *n,
        })
        .sum();
    assert!(most <= 10 * u64::from(BLOCK), "{most} bytes were asked for");
}

#[test]
fn a_hundred_reads_at_once_stay_within_the_budget_and_all_end() {
    let tight = EngineOptions {
        threads: 2,
        memory_budget: 16 << 20,
        lent_limit: 4 << 20,
        cache_size: 4 << 20,
        ..Default::default()
    };
    let store = Tape::new(Arc::new(MemoryStore::private()));
    let world = World::on(Engine::new(tight).unwrap(), store, ReadOptions { fetch_size: MIB, ..options() });
    let world = Arc::new(world);
    let (put, flat) = bytes(&world, Codec::Zstd, 4 * MIB);
    let flat = Arc::new(flat);
    let readers: Vec<_> = (0..100usize)
        .map(|i| {
            let (world, r, flat) = (world.clone(), put.with_token.clone(), flat.clone());
            thread::spawn(move || {
                let (offset, call) = ((i * 37_777) % (3 * MIB), flagged(|f| f.no_cache = i % 2 == 0));
                assert!(
                    world.read_with(&call, &r, offset as u64, MIB).unwrap() == flat[offset..offset + MIB]
                );
            })
        })
        .collect();
    while readers.iter().any(|reader| !reader.is_finished()) {
        let stats = world.engine.budget().stats();
        assert!(stats.used <= stats.limit && stats.peak <= stats.limit, "{stats:?}");
        thread::sleep(Duration::from_millis(1));
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    until(|| world.engine.budget().stats().reads == 0);
}

#[test]
fn library_memory_counts_as_lent_until_it_is_dropped_and_has_its_limit() {
    let world = World::new();
    let (put, _) = bytes(&world, Codec::Zstd, 60_000);
    let read = |offset, len| {
        let r = put.with_token.clone();
        world.run(&Call::default(), |reader, op| reader.read_range_bytes(op, r, offset, len))
    };
    let one = read(0, 10).unwrap();
    assert_eq!(world.engine.budget().stats().lent, u64::from(BLOCK), "the block that it keeps alive");
    let copy = one.clone();
    drop(one);
    let many = read(0, 50_000).unwrap();
    assert_eq!(world.engine.budget().stats().lent, u64::from(BLOCK) + 50_000);
    drop((copy, many));
    assert_eq!(world.engine.budget().stats().lent, 0);
}

#[test]
fn records_that_are_in_memory_are_not_asked_for_again() {
    let world = World::new();
    let put = world.put("k", &Recipe::new(Codec::Zstd, Source::Records(records(60))));
    for expected in [true, false] {
        let r = put.with_token.clone();
        world.run(&Call::default(), |reader, op| reader.read_records(op, r, 0, 0, 0)).unwrap();
        assert_eq!(!world.store.take().is_empty(), expected);
    }
}

#[test]
fn requests_bytes_hits_and_shared_fetches_are_counted() {
    let engine = reader_support::engine();
    let metrics = engine.metrics().clone();
    let counted = MeteredStore::new(Arc::new(MemoryStore::private()), metrics.clone());
    let world = World::on(engine, Tape::new(counted), options());
    let (put, _) = bytes(&world, Codec::None, 60_000);
    for _ in 0..3 {
        world.read(&put.with_token, 0, 60_000).unwrap();
    }
    let asked = world.store.take().len() as u64;
    let ends = || metrics.store_requests.of(Request::Get).of(Outcome::OK).value();
    until(|| ends() == asked);
    assert_eq!(metrics.store_request_seconds.of(Request::Get).count(), asked);
    // The tail comes with up to 16 KiB in front of it.
    assert!((60_000..80_000).contains(&metrics.store_bytes.of(Direction::Down).value()));
    assert!(metrics.store_bytes.of(Direction::Up).value() == put.tail.object_len());
    assert!(metrics.cache_hits.of(CacheKind::Memory).value() > 0);
    assert_eq!(world.code(&by_key("nothing"), 0, 1), Some(Code::NotFound));
    let missing = Outcome::from(Code::NotFound);
    assert_eq!(metrics.store_requests.of(Request::Get).of(missing).value(), 1);
}

fn by_key(key: &str) -> SegmentRef {
    SegmentRef { key: key.to_owned(), token: None }
}
