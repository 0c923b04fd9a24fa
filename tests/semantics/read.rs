//! Reads give the bytes that were offloaded, or an error.

use crate::common::*;
use bytes::Bytes;
use seglift::{
    Code, Driver, Outcome,
    codec::Codec,
    engine::{Call, CallFlags, Event, Queue},
    object::{Metadata, Mode},
    reader::SegmentRef,
    writer::{Attachment, AttachmentData, Finish, Record, Segment, WriterOptions},
};
use std::{
    sync::{Arc, Barrier},
    thread,
};

/// Requests beyond those that are allowed fail with a code that nothing else gives here.
const NO_MORE: &str = "ARCHIVED";
/// From this many bytes on blocks go straight into the caller's buffer.
const DIRECT: usize = 1 << 20;
/// No block is fetched that was not asked for.
const NOT_AHEAD: [(&str, &str); 1] = [("read.ahead.max", "0")];

/// A segment of `len` bytes, and how to name it.
fn put(place: &Place, codec: Codec, len: usize) -> (Bytes, SegmentRef, SegmentRef) {
    let (key, bytes) = (format!("{}-{len}", codec.name()), noise(len as u64, len));
    let receipt = offload(&place.open(""), &key, &bytes, codec).unwrap();
    (bytes, by_key(&key), by_receipt(&receipt))
}

fn open(place: &Place, script: &str) -> Driver {
    place.open_on(&engine(), script, &NOT_AHEAD)
}

fn flagged(set: impl FnOnce(&mut CallFlags)) -> Call {
    let mut call = Call::default();
    set(&mut call.flags);
    call
}

#[test]
fn a_read_returns_the_bytes_that_were_offloaded_or_an_error() {
    for (place, codec) in Place::each().iter().zip(CODECS) {
        let (bytes, by_key, by_receipt) = put(place, codec, 3 << 20);
        for seed in 0..12 {
            // Every fifth answer is wrong in some way: short, long, flipped, broken, refused, late.
            let driver = place.open(&format!("seed={seed}&rate=200"));
            let mut right = 0;
            for n in 0..30_u64 {
                let at = (n * n * 7919 * (seed + 1)) % (3 << 20);
                let len = [1, 5000, 70_000, 2 << 20][n as usize % 4];
                let end = bytes.len().min(at as usize + len);
                let r = if n % 2 == 0 { &by_key } else { &by_receipt };
                let found = match n % 3 {
                    0 => driver.read_range_bytes(r, at, len as u64, &Call::default()).map(|b| b.to_vec()),
                    _ => read(&driver, r, at, len),
                };
                match found {
                    Ok(found) => {
                        assert_same(&found, &bytes[at as usize..end]);
                        right += 1;
                    }
                    Err(e) => assert!(
                        matches!(e.code(), Code::Unavailable | Code::Throttled | Code::Corrupt),
                        "seed {seed}: {e:?}"
                    ),
                }
            }
            assert!(right > 0, "seed {seed} let nothing through");
        }
    }
}

#[test]
fn a_read_is_short_only_at_the_end_of_the_segment() {
    for place in Place::each() {
        for codec in CODECS {
            let (bytes, _, r) = put(&place, codec, 3 * DIRECT + 5);
            let driver = place.open("");
            let end = bytes.len();
            for at in [0, 1, BLOCK - 1, BLOCK, DIRECT, end - DIRECT, end - BLOCK, end - 1, end] {
                for len in [0, 1, BLOCK, BLOCK + 1, DIRECT, DIRECT + 3, end, end + 1] {
                    let wanted = &bytes[at..end.min(at + len)];
                    assert_same(&read(&driver, &r, at as u64, len).unwrap(), wanted);
                    let lent = driver.read_range_bytes(&r, at as u64, len as u64, &Call::default()).unwrap();
                    assert_same(&lent, wanted);
                }
            }
        }
    }
}

#[test]
fn a_read_at_the_end_is_empty_and_one_behind_it_is_out_of_range() {
    for codec in CODECS {
        let place = Place::memory();
        for len in [0, 1, BLOCK, 100_000] {
            let (_, by_key, by_receipt) = put(&place, codec, len);
            let driver = place.open("");
            // The second time it is in memory.
            for r in [&by_key, &by_receipt, &by_receipt] {
                for ask in [0, 1, 1 << 20] {
                    assert_eq!(read(&driver, r, len as u64, ask).unwrap(), b"");
                    assert!(
                        driver
                            .read_range_bytes(r, len as u64, ask as u64, &Call::default())
                            .unwrap()
                            .is_empty()
                    );
                    for behind in [len as u64 + 1, u64::MAX] {
                        assert_eq!(code(read(&driver, r, behind, ask)), Code::OutOfRange);
                        let result = driver.read_range_bytes(r, behind, ask as u64, &Call::default());
                        assert_eq!(code(result), Code::OutOfRange);
                    }
                }
            }
        }
    }
}

#[test]
fn a_damaged_block_is_fetched_once_more_past_the_caches() {
    for codec in CODECS {
        let place = Place::memory();
        for len in [BLOCK, DIRECT] {
            let (bytes, _, r) = put(&place, codec, len + BLOCK);
            // The tail, the damaged answer, the block once more, and not one request beyond these.
            let driver = open(&place, &format!("get=2:flip-999,4+:{NO_MORE}"));
            assert_same(&read(&driver, &r, 0, len).unwrap(), &bytes[..len]);
            assert_eq!(code(read(&driver, &r, len as u64, 1)), Code::Archived);
        }
        let (_, r, _) = put(&place, codec, 1);
        let driver = open(&place, "get=1:flip-99999,2:flip-3");
        assert_eq!(read(&driver, &r, 0, 1).unwrap().len(), 1);
    }
}

#[test]
fn a_block_that_stays_damaged_is_corrupt_and_no_byte_of_it_is_returned() {
    for codec in CODECS {
        let place = Place::memory();
        let (bytes, _, r) = put(&place, codec, 2 * DIRECT);
        for (at, len) in
            [(0, 1), (BLOCK - 1, 1), (0, BLOCK), (0, 3 * BLOCK), (0, DIRECT), (BLOCK / 2, DIRECT)]
        {
            let driver = open(&place, "get=2+:flip-9");
            let error = read(&driver, &r, at as u64, len).unwrap_err();
            assert_eq!(error.code(), Code::Corrupt, "{at} {len}: {error}");
            let lent = driver.read_range_bytes(&r, at as u64, len as u64, &Call::default());
            assert_eq!(code(lent), Code::Corrupt);
            // Nothing of it stays in memory either.
            let mut dest = vec![0x77; len];
            let result = driver.read_range(&r, at as u64, &mut dest, &flagged(|f| f.cached_only = true));
            assert_eq!((code(result), dest), (Code::WouldBlock, vec![0x77; len]));
        }
        // Its neighbour is not affected.
        let driver = open(&place, "get=2:flip-9");
        assert_same(&read(&driver, &r, BLOCK as u64, BLOCK).unwrap(), &bytes[BLOCK..2 * BLOCK]);
    }
}

#[test]
fn an_object_of_a_newer_format_is_refused_before_any_byte_is_returned() {
    let place = Place::files();
    let Place::Files(dir) = &place else { unreachable!("it is a folder") };
    let golden = |name: &str| format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(golden("future-incompatible-flag.seglift"), dir.path().join("k")).unwrap();
    std::fs::copy(golden("future-compatible-flag.seglift"), dir.path().join("fine")).unwrap();
    let (driver, r) = (place.open(""), by_key("k"));
    let mut dest = [0x77; 100];
    let refused = driver.read_range(&r, 0, &mut dest, &Call::default());
    assert_eq!((code(refused), dest), (Code::UnsupportedVersion, [0x77; 100]));
    assert_eq!(code(driver.read_range_bytes(&r, 0, 1, &Call::default())), Code::UnsupportedVersion);
    assert_eq!(code(driver.read_records(&r, 0, 0, 0, &Call::default())), Code::UnsupportedVersion);
    assert_eq!(code(driver.read_attachment(&r, "x", &Call::default())), Code::UnsupportedVersion);
    assert_eq!(code(driver.stat(&r, &Call::default())), Code::UnsupportedVersion);
    assert!(!read(&driver, &by_key("fine"), 0, 100).unwrap().is_empty());
}

#[test]
fn a_token_saves_the_search_for_the_tail() {
    for codec in CODECS {
        let place = Place::memory();
        let (bytes, by_key, by_receipt) = put(&place, codec, 100_000);
        // Once for the tail, once for the block; from then on everything is in memory.
        let driver = open(&place, &format!("get=3+:{NO_MORE}&head=*:{NO_MORE}&list=*:{NO_MORE}"));
        for _ in 0..3 {
            assert_same(&read(&driver, &by_receipt, 10, 100).unwrap(), &bytes[10..110]);
            assert_eq!(driver.stat(&by_receipt, &Call::default()).unwrap().segment_bytes(), 100_000);
        }
        // Without it each call looks at what stands under the key now.
        assert_eq!(code(read(&driver, &by_key, 10, 100)), Code::Archived);
    }
}

#[test]
fn a_token_of_another_store_is_wrong_store_unless_that_store_is_listed_as_previous() {
    for (old, new) in [(Place::memory(), Place::files()), (Place::files(), Place::memory())] {
        let (bytes, _, r) = put(&old, Codec::Zstd, 1000);
        assert_eq!(code(read(&new.open(""), &r, 0, 10)), Code::WrongStore);
        // Even where the same key holds another segment now.
        offload(&new.open(""), &r.key, &noise(5, 1000), Codec::Zstd).unwrap();
        assert_eq!(code(read(&new.open(""), &r, 0, 10)), Code::WrongStore);
        let previous = old.open("").uri().to_owned();
        let listed = new.open_on(&engine(), "", &[("store.previous", &previous)]);
        assert_same(&read(&listed, &r, 0, 1000).unwrap(), &bytes);
        assert_same(&read(&listed, &by_key(&r.key), 0, 1000).unwrap(), &noise(5, 1000));
    }
}

#[test]
fn a_read_that_allows_no_io_answers_from_memory_or_would_block() {
    for codec in CODECS {
        let place = Place::memory();
        let (bytes, by_key, by_receipt) = put(&place, codec, 100_000);
        let driver = open(&place, "");
        // A hit of one who reads on would bring the neighbour.
        let cached = flagged(|f| (f.cached_only, f.random) = (true, true));
        let ask = |r, at, dest: &mut [u8]| driver.read_range(r, at, dest, &cached);
        let mut dest = [0; 100];
        assert_eq!(code(ask(&by_receipt, 10, &mut dest)), Code::WouldBlock);
        read(&driver, &by_receipt, 0, 10).unwrap();
        assert_eq!(ask(&by_receipt, 10, &mut dest).unwrap(), 100);
        assert_same(&dest, &bytes[10..110]);
        assert_same(&driver.read_range_bytes(&by_receipt, 10, 100, &cached).unwrap(), &bytes[10..110]);
        // One block is there and its neighbour is not.
        assert_eq!(code(ask(&by_receipt, BLOCK as u64 - 50, &mut dest)), Code::WouldBlock);
        let over = driver.read_range_bytes(&by_receipt, BLOCK as u64 - 50, 100, &cached);
        assert_eq!(code(over.map(drop)), Code::WouldBlock);
        // What stands under a key is not known to memory.
        assert_eq!(code(ask(&by_key, 10, &mut dest)), Code::WouldBlock);
        // It enters no thread of the engine: none of its operations was ever started.
        let before = driver.engine().status();
        assert!(before.running.is_empty());
        assert_eq!(code(driver.stat(&by_receipt, &cached)), Code::WouldBlock);
        assert_eq!(code(driver.offload(segment("x", &bytes, codec), &cached)), Code::WouldBlock);
        assert_eq!(keys(&driver), [by_key.key.as_str()]);
    }
}

#[test]
fn readers_of_the_same_block_share_one_request() {
    for codec in CODECS {
        let place = Place::memory();
        let (bytes, _, r) = put(&place, codec, 100_000);
        let script = format!("get=1:delay-100ms,2:delay-300ms,3+:{NO_MORE}");
        let (driver, barrier) = (open(&place, &script), Arc::new(Barrier::new(16)));
        let readers: Vec<_> = (0..16)
            .map(|n| {
                let (driver, r, barrier, bytes) = (driver.clone(), r.clone(), barrier.clone(), bytes.clone());
                thread::spawn(move || {
                    barrier.wait();
                    let found = match n % 2 {
                        0 => read(&driver, &r, n, 1000).unwrap(),
                        _ => driver.read_range_bytes(&r, n, 1000, &Call::default()).unwrap().to_vec(),
                    };
                    assert_same(&found, &bytes[n as usize..n as usize + 1000]);
                })
            })
            .collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    }
}

#[test]
fn a_fill_of_the_cache_outlives_the_reader_that_asked_for_it() {
    for codec in CODECS {
        let place = Place::memory();
        let (bytes, _, r) = put(&place, codec, 100_000);
        let script = format!("get=2:delay-300ms,3+:{NO_MORE}");
        for cancels in [false, true] {
            let driver = open(&place, &script);
            let mut dest = [0; 100];
            let (call, cancel) = cancellable();
            let expected = if cancels { Code::Cancelled } else { Code::TimedOut };
            let call = if cancels { call } else { within(100) };
            let named = r.clone();
            let result = at_stage(
                &driver,
                "blocks",
                move |driver| driver.read_range(&named, 0, &mut [0; 100], &call),
                || {
                    if cancels {
                        cancel.cancel()
                    }
                },
            );
            assert_eq!(code(result), expected);
            // The next one joins, or finds it in memory.
            assert_eq!(driver.read_range(&r, 50, &mut dest, &Call::default()).unwrap(), 100);
            assert_same(&dest, &bytes[50..150]);
        }
    }
}

#[test]
fn a_buffer_that_was_given_back_is_never_written() {
    for codec in CODECS {
        let place = Place::memory();
        let (_, _, r) = put(&place, codec, 3 * DIRECT);
        // Part of the first block goes through the cache, so its request goes on; the rest goes straight to `dest`.
        for (at, len) in [(100, 2 * DIRECT), (100, 100)] {
            let driver = open(&place, "get=2:delay-300ms");
            let mut dest = vec![0; len];
            let result = driver.read_range(&r, at, &mut dest, &within(100));
            assert_eq!(code(result), Code::TimedOut);
            dest.fill(0x77);
            let cached = || driver.read_range(&r, at, &mut [0; 100], &flagged(|f| f.cached_only = true));
            until(|| cached().is_ok(), || format!("{:?}", cached()));
            until(|| driver.engine().budget().stats().reads == 0, || "a request runs".to_owned());
            assert!(dest.iter().all(|&byte| byte == 0x77), "it was written after the call had returned");
        }
    }
}

#[test]
fn a_missing_object_is_not_found_and_a_damaged_one_is_corrupt() {
    let place = Place::files();
    let Place::Files(dir) = &place else { unreachable!("it is a folder") };
    let codes = |r: &SegmentRef| {
        let (driver, call) = (place.open(""), Call::default());
        let verified = driver.verify(r, &call).and_then(|report| report.first_error.map_or(Ok(()), Err));
        [
            driver.stat(r, &call).err(),
            driver.read_range(r, 0, &mut [0; 9], &call).err(),
            driver.read_range_bytes(r, 0, 9, &call).err(),
            driver.read_records(r, 0, 0, 0, &call).err(),
            driver.read_attachment(r, "a", &call).err(),
            verified.err(),
        ]
        .map(|e| e.map(|e| e.code()))
    };
    for codec in CODECS {
        let (_, by_key, by_receipt) = put(&place, codec, 1000);
        let path = dir.path().join(&by_key.key);
        let whole = std::fs::read(&path).unwrap();
        for missing in ["nothing", "nothing/at/all", &format!("{}/in-an-object", by_key.key)] {
            let there = SegmentRef { key: missing.to_owned(), ..by_receipt.clone() };
            assert_eq!(codes(&there), [Some(Code::NotFound); 6], "{missing}");
            assert_eq!(codes(&super::common::by_key(missing)), [Some(Code::NotFound); 6], "{missing}");
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [vec![], b"not ours".to_vec(), whole[..whole.len() - 1].to_vec(), flipped] {
            std::fs::write(&path, &damaged).unwrap();
            for r in [&by_key, &by_receipt] {
                if codec == Codec::Zstd && damaged.len() == whole.len() && r.token.is_some() {
                    // The last byte is the seek table's, and a token goes past it.
                    continue;
                }
                assert_eq!(codes(r), [Some(Code::Corrupt); 6], "{codec:?} {} {r:?}", damaged.len());
            }
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(codes(&by_receipt), [Some(Code::NotFound); 6]);
    }
}

#[test]
fn bytes_that_were_lent_outlive_their_driver() {
    for place in Place::each() {
        let data = AttachmentData::Bytes(noise(3, 5000));
        let attachments = vec![Attachment { name: "a".to_owned(), data }];
        let whole = Segment { attachments, ..segment("k", &noise(1, MANY_PARTS), Codec::Zstd) };
        let driver = place.open("");
        driver.offload(whole, &Call::default()).unwrap();
        let options = WriterOptions {
            key: "r".to_owned(),
            mode: Mode::Records,
            codec: None,
            if_exists: Default::default(),
            max_bytes: None,
            metadata: Metadata::default(),
        };
        let writer = driver.writer(options, &Call::default(), None).unwrap();
        writer.append(Record { id: 7, time_us: 1, payload: b"seven" }, &Call::default()).unwrap();
        writer.commit(Finish::default(), &Call::default()).unwrap();
        drop(writer);
        let call = Call::default();
        let block = driver.read_range_bytes(&by_key("k"), 10, 100, &call).unwrap();
        let blocks = driver.read_range_bytes(&by_key("k"), 10, 300_000, &call).unwrap();
        let attachment = driver.read_attachment(&by_key("k"), "a", &call).unwrap();
        let records = driver.read_records(&by_key("r"), 0, 0, 0, &call).unwrap();
        let stat = driver.stat(&by_key("k"), &call).unwrap();
        let error = driver.stat(&by_key("none"), &call).unwrap_err();
        let queue: Queue<Outcome> = Queue::new(1).unwrap();
        driver.read_range_bytes_submit(&by_key("k"), 0, 9, &call, queue.reserve(1).unwrap()).unwrap();
        driver.close(ms(5000)).unwrap();
        drop(driver);
        assert_same(&block, &noise(1, MANY_PARTS)[10..110]);
        assert_same(&blocks, &noise(1, MANY_PARTS)[10..300_010]);
        assert_same(&attachment, &noise(3, 5000));
        assert_eq!(records.get(0).unwrap().payload, b"seven");
        assert_eq!((stat.segment_bytes(), error.code()), (MANY_PARTS as u64, Code::NotFound));
        let mut polled = queue.poll(1, Some(ms(5000))).unwrap();
        assert!(matches!(polled.remove(0).event, Event::Done { .. }));
        thread::spawn(move || drop((block, blocks, records))).join().unwrap();
    }
}
