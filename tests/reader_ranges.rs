//! Ranges of segments, whatever their codec and mode and however they are asked for.
#![cfg(feature = "testing")]

mod reader_support;

use reader_support::{
    World, flagged,
    format::{BLOCK, Recipe, Source, mixed, records},
};
use seglift::{Code, codec::Codec, engine::Call, reader::SegmentRef};

const KINDS: [Codec; 2] = [Codec::None, Codec::Zstd];

fn recipe(codec: Codec, len: usize) -> Recipe {
    Recipe::new(codec, Source::Bytes(mixed(len)))
}

#[test]
fn every_range_around_block_edges_is_that_of_the_flat_bytes() {
    let block = BLOCK as usize;
    for codec in KINDS {
        for len in [1, block - 1, block, block + 1, 10 * block + 17] {
            let (world, flat) = (World::new(), mixed(len));
            let put = world.put("k", &recipe(codec, len));
            let edges = [0, 1, block - 1, block, block + 1, 3 * block, len / 2, len - 1, len];
            for &offset in edges.iter().filter(|&&at| at <= len) {
                for want in [0, 1, block, block + 1, len, len + 100] {
                    let expected = &flat[offset..len.min(offset + want)];
                    for r in [&put.with_token, &put.by_key] {
                        for call in [
                            Call::default(),
                            flagged(|f| f.no_cache = true),
                            flagged(|f| f.sequential = true),
                            flagged(|f| f.random = true),
                        ] {
                            let got = world.read_with(&call, r, offset as u64, want).unwrap();
                            assert!(got == expected, "{codec:?} {len} {offset}+{want} {call:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn an_offset_at_the_end_gives_nothing_and_one_behind_it_is_out_of_range() {
    for codec in KINDS {
        for len in [0, 5000] {
            let world = World::new();
            let put = world.put("k", &recipe(codec, len));
            assert!(world.read(&put.with_token, len as u64, 10).unwrap().is_empty());
            for offset in [len as u64 + 1, 1 << 40, u64::MAX] {
                assert_eq!(world.code(&put.with_token, offset, 10), Some(Code::OutOfRange));
            }
        }
    }
}

#[test]
fn a_segment_of_records_reads_by_offset_as_its_raw_blocks() {
    for codec in KINDS {
        let world = World::new();
        let recipe = Recipe::new(codec, Source::Records(records(60)));
        let (object, tail) = recipe.build();
        let flat = reader_support::format::Object { bytes: &object, tail: tail.clone() };
        let flat = flat.read_range(0..tail.segment_len()).unwrap();
        let put = world.put("k", &recipe);
        assert!(world.read(&put.by_key, 0, flat.len() + 1).unwrap() == flat);
        assert!(world.read(&put.by_key, 5000, 9000).unwrap() == flat[5000..14_000]);
    }
}

#[test]
fn library_memory_holds_the_same_bytes() {
    for codec in KINDS {
        let (world, flat) = (World::new(), mixed(50_000));
        let put = world.put("k", &recipe(codec, 50_000));
        for (offset, len) in
            [(0, 10), (4000, 96), (4000, 97), (4096, 4096), (100, 40_000), (49_999, 5), (50_000, 5)]
        {
            let r = put.with_token.clone();
            let bytes = world
                .run(&Call::default(), |reader, op| reader.read_range_bytes(op, r, offset, len))
                .unwrap();
            assert!(
                bytes[..] == flat[offset as usize..flat.len().min((offset + len) as usize)],
                "{offset}+{len}"
            );
        }
    }
}

#[test]
fn a_missing_object_is_not_found_with_and_without_a_token() {
    let world = World::new();
    let put = world.put("k", &recipe(Codec::Zstd, 100));
    let elsewhere = |r: &SegmentRef| SegmentRef { key: "other".to_owned(), token: r.token.clone() };
    assert_eq!(world.code(&elsewhere(&put.by_key), 0, 1), Some(Code::NotFound));
    assert_eq!(world.code(&elsewhere(&put.with_token), 0, 1), Some(Code::NotFound));
}

#[test]
fn stat_tells_what_was_written_and_gives_the_token_again() {
    for codec in KINDS {
        let world = World::new();
        let put = world.put("k", &recipe(codec, 10_000).attach("index", Codec::Zstd, &mixed(3000)));
        let by_key = put.by_key.clone();
        let stat = world.run(&Call::default(), |reader, op| reader.stat(op, by_key)).unwrap();
        assert_eq!((stat.key(), stat.segment_bytes(), stat.blocks()), ("k", 10_000, 3));
        assert_eq!((stat.codec(), stat.object_id()), (codec, put.tail.id()));
        assert_eq!(Some(stat.token()), put.with_token.token.as_deref());
        assert_eq!(stat.attachments()[0].entry.name, "index");
    }
}
