//! What a reader makes of damaged, moved and replaced objects: the right bytes or a typed error.
#![cfg(feature = "testing")]

mod reader_support;

use reader_support::{
    Tape, World, engine, flagged,
    format::{BLOCK, Recipe, Source, kinds, mixed, records},
    options, with_fresh_id,
};
use seglift::{
    Code,
    cache::{CacheKey, Kind, Place},
    codec::Codec,
    engine::{Call, Class, Engine, EngineOptions},
    reader::{Part, Reader, SegmentRef, Shared, Value},
    store::{GetRange, MemoryStore, fingerprint},
};
use std::sync::Arc;

const KINDS: [Codec; 2] = [Codec::None, Codec::Zstd];

fn recipe(codec: Codec, len: usize) -> Recipe {
    let mut recipe = Recipe::new(codec, Source::Bytes(mixed(len)));
    recipe.page_size = 4096;
    recipe
}

#[test]
fn a_block_that_comes_damaged_once_is_fetched_again_alone_and_right() {
    for codec in KINDS {
        for call in [Call::default(), flagged(|f| f.sequential = true), flagged(|f| f.no_cache = true)] {
            // Get 1 is for the tail, get 2 for the blocks.
            let world = World::with(options(), "get=2:flip-40000");
            let put = world.put("k", &recipe(codec, 60_000));
            assert!(world.read_with(&call, &put.with_token, 0, 60_000).unwrap() == mixed(60_000), "{call:?}");
            let asked = world.store.take();
            let GetRange::Range(again) = &asked[2] else { panic!("{asked:?}") };
            assert!(asked.len() == 3 && again.end - again.start <= u64::from(BLOCK), "{asked:?}");
        }
    }
}

#[test]
fn a_block_that_stays_damaged_is_corrupt_and_the_message_says_which() {
    for codec in KINDS {
        for call in [Call::default(), flagged(|f| f.sequential = true), flagged(|f| f.no_cache = true)] {
            let world = World::with(options(), "get=2:flip-40000,3:flip-8");
            let put = world.put("k", &recipe(codec, 60_000));
            let error = world.read_with(&call, &put.with_token, 0, 60_000).unwrap_err();
            assert_eq!(error.code(), Code::Corrupt);
            let message = error.message();
            assert!(message.contains(&put.tail.id().to_string()), "{message}");
            // Byte 5000 of the object: without a codec a place in the second block.
            assert!(codec == Codec::Zstd || message.contains("block 1 "), "{message}");
            // The store is well again, and nothing wrong was kept.
            assert!(world.read(&put.with_token, 0, 60_000).unwrap() == mixed(60_000));
        }
    }
}

#[test]
fn a_tail_and_a_page_that_come_damaged_once_are_fetched_again() {
    for script in ["get=1:flip-100", "get=1:flip-3000"] {
        for with_token in [true, false] {
            let world = World::with(options(), script);
            let put = world.put("k", &recipe(Codec::Zstd, 60_000));
            let r = if with_token { &put.with_token } else { &put.by_key };
            assert!(world.read(r, 0, 60_000).unwrap() == mixed(60_000), "{script} {with_token}");
        }
    }
}

#[test]
fn an_answer_that_breaks_off_is_an_error_of_the_store_and_not_wrong_bytes() {
    for script in ["get=2:break-5000", "get=2:short-5000", "get=2:UNAVAILABLE"] {
        let world = World::with(options(), script);
        let put = world.put("k", &recipe(Codec::None, 60_000));
        assert_eq!(world.code(&put.with_token, 0, 60_000), Some(Code::Unavailable), "{script}");
        assert!(world.read(&put.with_token, 0, 60_000).unwrap() == mixed(60_000));
    }
}

#[test]
fn records_in_front_of_a_damaged_index_page_are_returned_before_the_error() {
    for codec in KINDS {
        let world = World::new();
        let all = records(4000);
        let mut recipe = Recipe::new(codec, Source::Records(all.clone()));
        recipe.page_size = 4096;
        let (mut object, tail) = with_fresh_id(&recipe);
        let page = tail.pages()[1].records.unwrap();
        let before: Vec<u64> = all.iter().map(|record| record.0).filter(|id| *id < page.first_id).collect();
        object[tail.page_position(1).start as usize] ^= 1;
        world.put_bytes("k", object);
        let read = |first| {
            let r = SegmentRef { key: "k".to_owned(), token: None };
            world.run(&Call::default(), |reader, op| reader.read_records(op, r, first, 0, 0))
        };
        let (mut first, mut found) = (0, Vec::new());
        let error = loop {
            match read(first) {
                Ok(batch) => {
                    assert!(!batch.is_empty() && !batch.at_end(), "{batch:?}");
                    found.extend(batch.records().map(|record| record.id));
                    first = batch.next_id();
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), Code::Corrupt);
        assert!(found == before, "{} of {} records", found.len(), before.len());
    }
}

#[test]
fn a_flipped_bit_anywhere_gives_the_right_bytes_or_a_typed_error() {
    // Without a cache, so that no copy of before the damage answers.
    let engine =
        Engine::new(EngineOptions { threads: 2, cache_size: 0, ..EngineOptions::default() }).unwrap();
    let world = World::on(engine, Tape::new(Arc::new(MemoryStore::private())), options());
    for (name, recipe) in kinds() {
        let (object, tail) = recipe.build();
        let len = tail.segment_len() as usize + 1;
        world.put_bytes(name, object.clone());
        let by_key = |key: &str| SegmentRef { key: key.to_owned(), token: None };
        let whole = world.read(&by_key(name), 0, len).unwrap();
        // Every byte of what is not data, and of the data each 7th: all blocks, all parts of a frame.
        let data = tail.data_len() as usize;
        let places = (0..data).step_by(7).chain(data..object.len());
        for at in places {
            let key = format!("{name}-{at}");
            let mut damaged = object.clone();
            damaged[at] ^= 1 << (at % 8);
            world.put_bytes(&key, damaged);
            match world.read(&by_key(&key), 0, len) {
                Ok(bytes) => assert!(bytes == whole, "{name}: a flip at {at} gave wrong bytes"),
                Err(e) => {
                    let typed = [Code::Corrupt, Code::UnsupportedVersion, Code::NotFound].contains(&e.code());
                    assert!(typed, "{name}: a flip at {at} gave {e:?}");
                    assert!(e.code() != Code::NotFound, "{name}: damage at {at} is not absence");
                }
            }
        }
    }
}

#[test]
fn no_flipped_bit_escapes_a_verification_and_what_it_calls_good_can_be_read() {
    let engine =
        Engine::new(EngineOptions { threads: 2, cache_size: 0, ..EngineOptions::default() }).unwrap();
    let world = World::on(engine, Tape::new(Arc::new(MemoryStore::private())), options());
    for (name, recipe) in kinds() {
        let (object, tail) = recipe.build();
        let by_key = |key: &str| SegmentRef { key: key.to_owned(), token: None };
        world.put_bytes(name, object.clone());
        let whole = world.read(&by_key(name), 0, tail.segment_len() as usize + 1).unwrap();
        let data = tail.data_len() as usize;
        for at in (0..data).step_by(101).chain(data..object.len()) {
            let key = format!("{name}-{at}");
            let mut damaged = object.clone();
            damaged[at] ^= 1 << (at % 8);
            world.put_bytes(&key, damaged);
            let r = by_key(&key);
            let verified = world.run(&Call::default(), |reader, op| reader.verify(op, r.clone()));
            let report = verified.unwrap_or_else(|e| panic!("{key}: {e}"));
            let [damage] = &report.damage[..] else { panic!("{key}: {:?}", report.damage) };
            assert!(report.first_error.is_some(), "{key}");
            if damage.part != Part::Tail {
                assert!(damage.stored.contains(&(at as u64)), "{key}: {damage:?}");
            }
            for good in report.good_bytes() {
                let bytes = world.read(&r, good.start, (good.end - good.start) as usize).unwrap();
                assert!(bytes == whole[good.start as usize..good.end as usize], "{key}: {good:?}");
            }
        }
    }
}

#[test]
fn a_truncated_object_is_corrupt_with_and_without_a_token() {
    let world = World::new();
    let put = world.put("k", &recipe(Codec::Zstd, 10_000));
    let (object, tail) = with_fresh_id(&recipe(Codec::Zstd, 10_000));
    let token = tail.token(fingerprint(world.store_uri())).encode().to_vec();
    for cut in [1, 9, 64, 100, object.len() / 2, object.len() - 1, object.len()] {
        let key = format!("cut-{cut}");
        world.put_bytes(&key, object[..object.len() - cut].to_vec());
        for token in [None, Some(token.clone())] {
            let r = SegmentRef { key: key.clone(), token };
            assert_eq!(world.code(&r, 0, 10), Some(Code::Corrupt), "{cut} bytes cut off, {r:?}");
        }
    }
    assert!(world.read(&put.with_token, 0, 10).is_ok());
}

#[test]
fn a_receipt_of_another_object_is_corrupt_and_never_answers_with_that_objects_bytes() {
    let world = World::new();
    let old = world.put("old", &recipe(Codec::Zstd, 10_000));
    let new = world.put("new", &recipe(Codec::Zstd, 10_000));
    let longer = world.put("longer", &recipe(Codec::Zstd, 90_000));
    for under in ["new", "longer"] {
        let r = SegmentRef { key: under.to_owned(), token: old.with_token.token.clone() };
        let error = world.read(&r, 0, 10).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt);
        assert!(error.message().contains("another object"), "{error}");
    }
    assert!(world.read(&new.with_token, 0, 10).is_ok() && world.read(&longer.with_token, 0, 10).is_ok());
    // The tail is in memory now, the blocks are not: the object's length gives the other one away.
    let r = SegmentRef { key: "longer".to_owned(), token: old.with_token.token.clone() };
    world.read(&old.with_token, 0, 1).unwrap();
    assert_eq!(world.code(&r, 5000, 10), Some(Code::Corrupt));
}

#[test]
fn a_damaged_token_is_an_invalid_argument_and_a_bad_key_too() {
    let world = World::new();
    let put = world.put("k", &recipe(Codec::Zstd, 100));
    let mut token = put.with_token.token.clone().unwrap();
    token[30] ^= 1;
    for token in [token, vec![], vec![1; 68]] {
        let r = SegmentRef { key: "k".to_owned(), token: Some(token) };
        assert_eq!(world.code(&r, 0, 1), Some(Code::InvalidArgument));
    }
    let r = SegmentRef { key: "../k".to_owned(), token: None };
    assert_eq!(world.code(&r, 0, 1), Some(Code::InvalidArgument));
}

#[test]
fn a_receipt_of_an_earlier_store_is_followed_there_and_one_of_a_strange_store_is_refused() {
    let (before, now) = (World::new(), World::new());
    let put = before.put("k", &recipe(Codec::Zstd, 10_000));
    assert_eq!(now.code(&put.with_token, 0, 10), Some(Code::WrongStore));
    let mut dest = [0; 10];
    let refused = now.reader.try_read_cached(&put.with_token, 0, &mut dest, &Default::default());
    assert_eq!(refused.unwrap_err().code(), Code::WrongStore);

    let engine = now.engine.clone();
    let shared = Shared::of(&engine, false);
    let reader = Reader::new(&engine, shared, now.store.clone(), vec![before.store.clone()], options());
    let now = World { reader, ..now };
    assert!(now.read(&put.with_token, 0, 10_000).unwrap() == mixed(10_000));
    assert_eq!(now.store.take(), [], "the earlier store was asked");
}

#[test]
fn a_block_that_turns_bad_in_memory_is_noticed_and_fetched_again_where_every_hit_is_verified() {
    for (codec, verify_hits) in [(Codec::None, true), (Codec::Zstd, true), (Codec::None, false)] {
        let world = World::new();
        let engine = engine();
        let shared = Shared::of(&engine, verify_hits);
        let reader = Reader::new(&engine, shared.clone(), world.store.clone(), Vec::new(), options());
        let world = World { engine, shared, reader, ..world };
        let put = world.put("k", &recipe(codec, 10_000));
        let right = mixed(10_000);
        assert!(world.read(&put.with_token, 0, 10_000).unwrap() == right);

        // One bit of the second block, as a bad memory does it: the checksum beside it stays as it was.
        let key = CacheKey { object: put.tail.id().0.as_u128(), kind: Kind::Block, number: 1 };
        let Some(Value::Block(bytes, crc32c)) = world.shared.cache().get(&key) else { panic!("no block") };
        assert_eq!(crc32c.is_some(), verify_hits);
        let mut wrong = bytes.to_vec();
        wrong[7] ^= 1;
        let memory = world.engine.budget().try_reserve(Class::Read, wrong.len() as u64).unwrap();
        let kept =
            world.shared.cache().insert(key, Value::Block(wrong.into(), crc32c), memory, Place::Probation);
        assert!(kept.is_ok());

        world.store.take();
        let read = world.read(&put.with_token, 0, 10_000).unwrap();
        let failures = world.engine.metrics().checksum_failures.value();
        if verify_hits {
            assert!(read == right, "wrong bytes of the cache were handed out");
            assert_eq!((world.store.take().len(), failures), (1, 1));
        } else {
            // That is what the setting is for.
            assert!(read != right && failures == 0);
        }
    }
}

#[test]
fn what_is_no_object_of_ours_is_corrupt() {
    let world = World::new();
    for (key, bytes) in [("empty", vec![]), ("short", vec![7; 10]), ("long", mixed(100_000))] {
        world.put_bytes(key, bytes);
        let r = SegmentRef { key: key.to_owned(), token: None };
        assert_eq!(world.code(&r, 0, 1), Some(Code::Corrupt), "{key}");
    }
}
