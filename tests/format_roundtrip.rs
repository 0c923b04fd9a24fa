//! What goes into an object comes out of it: bytes by offset, records by id, attachments by name.

mod format_support;

use std::{
    io::Write,
    process::{Command, Stdio},
};

use format_support::{BLOCK, Given, Object, Recipe, Source, kinds, mixed, records, same};
use proptest::prelude::*;
use seglift::{
    Code,
    codec::{Codec, checksum},
    object::{
        Append, AttachmentEntry, BlockEntry, IndexBuilder, LEAST_SUFFIX, Located, Mode, Page, RecordBlock,
        RecordBlockBuilder, Token, locate_tail,
    },
};

const CODECS: [Codec; 2] = [Codec::None, Codec::Zstd];

#[test]
fn every_kind_of_object_gives_everything_back() {
    for (name, recipe) in kinds() {
        let (object, tail) = recipe.build();
        let opened = Object::open(&object, 64 << 10).unwrap();
        assert!(opened.tail == tail, "{name}: the reader sees the writer's tail");
        assert!(same(&opened.read_all().unwrap(), &recipe), "{name}");
        assert_eq!(tail.owner(), "cluster-a");
        assert_eq!(tail.metadata().content_type(), Some("text/plain"));
        assert_eq!(tail.created_us(), 1_700_000_000_000_000);
        assert_eq!(tail.object_len(), object.len() as u64);
    }
}

#[test]
fn the_same_input_builds_the_same_bytes() {
    for (name, recipe) in kinds() {
        assert!(recipe.build().0 == recipe.build().0, "{name}");
    }
}

#[test]
fn segments_around_a_block_boundary_come_back_from_every_interesting_offset() {
    let block = u64::from(BLOCK);
    for codec in CODECS {
        for len in [0, 1, 2, block - 1, block, block + 1, 2 * block, 5 * block - 1, 9 * block + 1] {
            let bytes = mixed(len as usize);
            let (object, tail) = Recipe::new(codec, Source::Bytes(bytes.clone())).build();
            let opened = Object::open(&object, 4096).unwrap();
            assert_eq!((tail.segment_len(), u64::from(tail.block_count())), (len, len.div_ceil(block)));
            let edges = [0, 1, block - 1, block, block + 1, 3 * block, len.saturating_sub(1), len];
            for start in edges.into_iter().filter(|&at| at <= len) {
                for end in edges.into_iter().filter(|&at| at >= start && at <= len) {
                    let read = opened.read_range(start..end).unwrap();
                    assert!(read == bytes[start as usize..end as usize], "{codec:?} {len} {start}..{end}");
                }
            }
            assert_eq!(tail.page_of_raw(len), None, "there is nothing at the end");
            assert_eq!(tail.page_of_raw(u64::MAX), None);
        }
    }
}

#[test]
fn records_are_found_by_their_id_and_by_the_ids_in_the_gaps() {
    let given = records(200);
    for codec in CODECS {
        let (object, tail) = Recipe::new(codec, Source::Records(given.clone())).build();
        let opened = Object::open(&object, 4096).unwrap();
        assert!(tail.pages().len() > 3, "the search crosses pages");
        for (at, (id, ..)) in given.iter().enumerate() {
            for (asked, expected) in [(id - 1, at), (*id, at), (id + 1, at + 1)] {
                let read = opened.read_records(asked, 3).unwrap();
                assert!(read == given[expected..given.len().min(expected + 3)], "{codec:?} id {asked}");
            }
        }
        assert!(opened.read_records(u64::MAX, 1).unwrap().is_empty());
        let span = tail.records().unwrap();
        assert_eq!(tail.ids(), Some((span.first_id, span.last_id)));
        assert_eq!(
            (span.count, span.min_time, span.max_time),
            (200, given.iter().map(|r| r.1).min().unwrap(), given.iter().map(|r| r.1).max().unwrap())
        );
    }
}

#[test]
fn a_record_larger_than_a_block_has_a_block_of_its_own() {
    let given: Vec<Given> = vec![(1, 0, vec![1; 100]), (2, 0, mixed(300_000)), (3, 0, vec![3; 100])];
    for codec in CODECS {
        let (object, tail) = Recipe::new(codec, Source::Records(given.clone())).build();
        assert_eq!(tail.block_count(), 3);
        assert!(Object::open(&object, 4096).unwrap().read_records(0, 9).unwrap() == given);
    }
}

#[test]
fn ids_and_times_reach_both_ends_of_their_range() {
    let given: Vec<Given> =
        vec![(0, i64::MAX, vec![0; 4000]), (1, i64::MIN, vec![1; 4000]), (u64::MAX, i64::MAX, vec![2; 4000])];
    for codec in CODECS {
        let (object, _) = Recipe::new(codec, Source::Records(given.clone())).build();
        assert!(Object::open(&object, 4096).unwrap().read_records(0, 9).unwrap() == given);
    }
}

#[test]
fn the_stock_zstd_restores_a_segment_byte_for_byte() {
    for (name, recipe) in kinds().into_iter().filter(|(_, recipe)| recipe.codec == Codec::Zstd) {
        let (object, tail) = recipe.build();
        let mut zstd = Command::new("zstd")
            .args(["-d", "-c"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the zstd program is installed");
        let mut stdin = zstd.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || stdin.write_all(&object));
        let output = zstd.wait_with_output().unwrap();
        feeder.join().unwrap().unwrap();
        assert!(output.status.success(), "{name}");
        assert_eq!(output.stdout.len() as u64, tail.segment_len(), "{name}");
        match &recipe.source {
            Source::Bytes(bytes) => assert!(output.stdout == *bytes, "{name}"),
            Source::Records(given) => assert!(walk_stream(&output.stdout) == *given, "{name}"),
        }
    }
}

/// The records of a decompressed stream, without any index.
fn walk_stream(mut raw: &[u8]) -> Vec<Given> {
    let mut out = Vec::new();
    while !raw.is_empty() {
        let block = RecordBlock::parse(raw).unwrap();
        for record in block.records().map(Result::unwrap) {
            out.push((record.id, record.time_us, raw[record.payload].to_vec()));
        }
        raw = &raw[block.len()..];
    }
    out
}

#[test]
fn the_first_bytes_of_an_uncompressed_object_are_the_segment() {
    let bytes = mixed(30_001);
    let (object, _) = Recipe::new(Codec::None, Source::Bytes(bytes.clone())).build();
    assert!(object.starts_with(&bytes));
    let given = records(60);
    let (object, tail) = Recipe::new(Codec::None, Source::Records(given.clone())).build();
    assert!(walk_stream(&object[..tail.segment_len() as usize]) == given);
}

#[test]
fn the_tail_is_found_from_any_suffix_with_one_more_read_at_most() {
    for (name, recipe) in kinds() {
        let (object, tail) = recipe.build();
        let position = tail.position();
        for suffix in LEAST_SUFFIX..=object.len() {
            let end = &object[object.len() - suffix..];
            match locate_tail(end, object.len() as u64).unwrap() {
                Located::Here { within, position: at } => {
                    assert!(
                        at == position.start
                            && end[within] == object[position.start as usize..position.end as usize]
                    );
                }
                Located::Fetch(range) => assert_eq!(range, position, "{name}: suffix of {suffix}"),
            }
        }
    }
}

#[test]
fn a_suffix_that_is_no_end_of_the_object_is_an_invalid_argument() {
    let (object, _) = kinds().swap_remove(0).1.build();
    for (suffix, len) in
        [(&object[..], object.len() as u64 - 1), (&object[object.len() - 63..], object.len() as u64)]
    {
        assert_eq!(locate_tail(suffix, len).unwrap_err().code(), Code::InvalidArgument);
    }
}

#[test]
fn how_records_are_cut_into_blocks_does_not_change_their_identity() {
    let given = records(100);
    let identity = |block_size| {
        let mut builder = RecordBlockBuilder::new(block_size);
        let mut raw = Vec::new();
        for (id, time, payload) in &given {
            while builder.append(*id, *time, payload).unwrap() == Append::Full {
                builder.finish(&mut raw).unwrap();
            }
        }
        builder.content()
    };
    assert_eq!(identity(4096), identity(1 << 20));
    let stream: Vec<u8> = given
        .iter()
        .flat_map(|(id, time, payload)| {
            [&id.to_le_bytes()[..], &time.to_le_bytes(), &(payload.len() as u32).to_le_bytes(), payload]
                .concat()
        })
        .collect();
    assert_eq!(
        (identity(4096).length, identity(4096).crc64),
        (stream.len() as u64, checksum::crc64nvme(&stream))
    );
}

#[test]
fn content_is_the_same_whatever_the_codec_and_another_if_one_byte_or_attachment_differs() {
    let recipe = kinds().swap_remove(0).1;
    let tail = recipe.build().1;
    let Source::Bytes(bytes) = &recipe.source else { panic!("the first kind is bytes") };
    let entries = |tail: &seglift::object::Tail| -> Vec<_> {
        tail.attachments().iter().rev().map(|attachment| attachment.entry.clone()).collect()
    };

    let mut packed = Recipe::new(Codec::Zstd, recipe.source.clone());
    packed.attachments =
        recipe.attachments.iter().map(|(n, _, raw)| (n.clone(), Codec::Zstd, raw.clone())).collect();
    let other = packed.build().1;
    assert!(tail.has_segment(other.mode(), other.content()) && tail.has_attachments(&entries(&other)));

    let mut changed = bytes.clone();
    changed[5000] ^= 1;
    let other = Recipe::new(Codec::None, Source::Bytes(changed)).build().1;
    assert!(!tail.has_segment(other.mode(), other.content()));
    assert!(!tail.has_segment(Mode::Records, tail.content()));
    assert!(!tail.has_attachments(&entries(&tail)[1..]) && !tail.has_attachments(&[]));
    packed.attachments[0].2[7] ^= 1;
    assert!(!tail.has_attachments(&entries(&packed.build().1)));
}

#[test]
fn ids_that_do_not_increase_and_payloads_beyond_the_limit_are_refused_and_leave_no_trace() {
    let mut builder = RecordBlockBuilder::new(4096);
    builder.append(7, 0, b"a").unwrap();
    let before = (builder.open_len(), builder.content());
    for id in [0, 6, 7] {
        assert_eq!(builder.append(id, 0, b"b").unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(builder.append(8, 0, &vec![0; (64 << 20) + 1]).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!((builder.open_len(), builder.content()), before);
    let mut raw = Vec::new();
    builder.finish(&mut raw).unwrap();
    assert_eq!(
        builder.append(7, 0, b"b").unwrap_err().code(),
        Code::InvalidArgument,
        "in the next block too"
    );
    assert_eq!(builder.finish(&mut raw), None);
    assert!(raw.is_empty());
}

#[test]
fn a_payload_at_the_limit_fits_a_block_that_the_index_takes() {
    let mut builder = RecordBlockBuilder::new(4096);
    builder.append(u64::MAX, i64::MIN, &vec![0; 64 << 20]).unwrap();
    let mut raw = Vec::new();
    let span = builder.finish(&mut raw);
    let len = raw.len() as u32;
    let mut index = IndexBuilder::new(Mode::Records, Codec::None, 4096).unwrap();
    index.push(BlockEntry { raw_len: len, stored_len: len, crc32c: 0, records: span }).unwrap();
}

#[test]
fn the_index_refuses_a_block_that_cannot_follow_and_a_block_size_out_of_range() {
    let entry = |raw_len, stored_len| BlockEntry { raw_len, stored_len, crc32c: 0, records: None };
    let mut index = IndexBuilder::new(Mode::Bytes, Codec::None, 4096).unwrap();
    index.push(entry(4096, 4096)).unwrap();
    for bad in [entry(0, 0), entry(4097, 4097), entry(100, 99)] {
        assert_eq!(index.push(bad).unwrap_err().code(), Code::Internal, "{bad:?}");
    }
    index.push(entry(100, 100)).unwrap();
    assert_eq!(index.push(entry(1, 1)).unwrap_err().code(), Code::Internal, "a short block is the last");
    assert_eq!((index.blocks(), index.raw_len()), (2, 4196));
    for size in [0, 2048, 4097, 128 << 20] {
        assert!(IndexBuilder::new(Mode::Bytes, Codec::None, size).is_err(), "{size}");
    }
}

#[test]
fn two_attachments_of_one_name_or_an_owner_too_long_are_refused() {
    let recipe = kinds().swap_remove(0).1;
    let mut builder = recipe.build_data().1;
    builder.attachments = vec![AttachmentEntry::new("a", Codec::None, b"1", b"1").unwrap(); 2];
    assert_eq!(builder.finish().unwrap_err().code(), Code::InvalidArgument);
    let mut builder = recipe.build_data().1;
    builder.owner = "x".repeat(1025);
    assert_eq!(builder.finish().unwrap_err().code(), Code::InvalidArgument);
    assert!(AttachmentEntry::new("", Codec::None, b"1", b"1").is_err());
    assert!(AttachmentEntry::new("a", Codec::None, b"1", b"12").is_err());
}

#[test]
fn a_huge_segment_keeps_a_small_tail_and_a_small_index() {
    let mut index = IndexBuilder::new(Mode::Bytes, Codec::Zstd, 256 << 10).unwrap();
    for i in 0..262_144u32 {
        let stored_len = 60_000 + i % 7000;
        index.push(BlockEntry { raw_len: 256 << 10, stored_len, crc32c: i, records: None }).unwrap();
    }
    assert!(index.memory() < 8 << 20, "64 GiB are indexed in {} bytes", index.memory());
    let mut builder = Recipe::new(Codec::Zstd, Source::Bytes(Vec::new())).build_data().1;
    builder.index = index;
    builder.content.length = 64 << 30;
    let parts = builder.finish().unwrap();
    assert!(parts.tail_frame.len() < 16 << 10, "a tail of {} bytes", parts.tail_frame.len());
    assert!(parts.tail.pages().iter().all(|page| page.position.end - page.position.start <= 4096));

    let offset = (63 << 30) + 12_345;
    let n = parts.tail.page_of_raw(offset).unwrap();
    let at = parts.tail.page_position(n);
    let index_at = parts.tail.position().start - parts.index_frame.len() as u64;
    let bytes = &parts.index_frame[(at.start - index_at) as usize..(at.end - index_at) as usize];
    let block = Page::parse(bytes, &parts.tail, n).unwrap().block_of_raw(offset).unwrap();
    let number = 63 << 12;
    let stored_before = |number: u64| (0..number).map(|i| 60_000 + i % 7000).sum::<u64>();
    assert_eq!((block.number, block.crc32c), (number, number));
    assert_eq!(block.raw, 63 << 30..(63 << 30) + (256 << 10));
    assert_eq!(block.stored, stored_before(number.into())..stored_before(u64::from(number) + 1));
}

#[test]
fn a_segment_without_records_is_an_object_too() {
    for codec in CODECS {
        let (object, tail) = Recipe::new(codec, Source::Records(Vec::new())).build();
        let opened = Object::open(&object, 512).unwrap();
        assert!(opened.read_records(0, 1).unwrap().is_empty());
        assert_eq!((tail.records(), tail.ids(), tail.segment_len()), (None, None, 0));
    }
}

#[test]
fn a_token_comes_back_and_any_flipped_bit_in_it_is_noticed() {
    for (_, recipe) in kinds() {
        let tail = recipe.build().1;
        let token = tail.token(0xFEED);
        let bytes = token.encode();
        assert!(bytes.len() <= 128);
        assert_eq!(Token::decode(&bytes).unwrap(), token);
        assert_eq!(token.tail_position..token.tail_position + u64::from(token.tail_len), tail.position());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Token::decode(&damaged).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Token::decode(&bytes[..len]).is_err());
        }
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(Token::decode(&newer).unwrap_err().code(), Code::UnsupportedVersion);
    }
}

fn any_records() -> impl Strategy<Value = Vec<Given>> {
    let record = (1u64..50_000, any::<i64>(), prop::collection::vec(any::<u8>(), 0..600));
    prop::collection::vec(record, 0..80).prop_map(|steps| {
        let mut next = 0;
        steps
            .into_iter()
            .map(|(step, time, payload)| {
                next += step;
                (next, time, payload)
            })
            .collect()
    })
}

fn any_codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(CODECS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_records_come_back_from_any_id(given in any_records(), codec in any_codec(), page in 20usize..300, id in 0u64..2_000_000) {
        let mut recipe = Recipe::new(codec, Source::Records(given.clone()));
        recipe.page_size = page;
        let (object, _) = recipe.build();
        let opened = Object::open(&object, 512).unwrap();
        prop_assert!(same(&opened.read_all().unwrap(), &recipe));
        let expected: Vec<_> = given.into_iter().filter(|record| record.0 >= id).collect();
        prop_assert_eq!(opened.read_records(id, usize::MAX).unwrap(), expected);
    }

    #[test]
    fn any_range_of_any_bytes_comes_back(len in 0usize..60_000, codec in any_codec(), page in 8usize..100, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let bytes = mixed(len);
        let mut recipe = Recipe::new(codec, Source::Bytes(bytes.clone()));
        recipe.page_size = page;
        let (object, _) = recipe.build();
        let opened = Object::open(&object, 512).unwrap();
        let (a, b) = (a.index(len + 1), b.index(len + 1));
        let range = a.min(b)..a.max(b);
        prop_assert!(opened.read_range(range.start as u64..range.end as u64).unwrap() == bytes[range]);
    }
}
