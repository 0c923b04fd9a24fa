//! Damaged and forged objects: a typed error or the right bytes, never a panic, never wrong bytes.
//!
//! `Object` slices the damaged bytes by the positions that the parser gives, so a position outside
//! the object would panic here.

mod format_support;

use format_support::{Object, Recipe, Source, flags_at, kinds, mixed, records, reseal, same};
use proptest::prelude::*;
use seglift::{
    Code,
    codec::{Codec, Compressor, checksum},
    object::{BlockEntry, Located, Page, RecordBlock, RecordBlockBuilder, RecordSpan, Tail, locate_tail},
};

/// Reads everything; a panic is a failure of the test.
fn read(object: &[u8]) -> seglift::Result<Recipe> {
    Object::open(object, 64 << 10)?.read_all()
}

fn expect_corrupt_or_right(object: &[u8], recipe: &Recipe, what: &str) {
    match read(object) {
        Ok(found) => assert!(same(&found, recipe), "{what}: wrong content"),
        Err(e) => assert_eq!(e.code(), Code::Corrupt, "{what}: {e:?}"),
    }
}

#[test]
fn a_bit_flipped_in_any_byte_gives_corrupt_or_the_right_content() {
    for (name, recipe) in kinds() {
        let (object, tail) = recipe.build();
        let mut damaged = object.clone();
        for at in 0..object.len() {
            // In the data one bit of each byte; behind them, where meaning is dense, all eight.
            let bits = if (at as u64) < tail.data_len() { at % 8..at % 8 + 1 } else { 0..8 };
            for bit in bits {
                damaged[at] ^= 1 << bit;
                expect_corrupt_or_right(&damaged, &recipe, &format!("{name}: bit {bit} of byte {at}"));
                damaged[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn a_bit_flipped_in_data_index_or_tail_never_goes_unnoticed() {
    for (name, recipe) in kinds() {
        let (object, tail) = recipe.build();
        let pages = tail.pages().iter().flat_map(|page| page.position.clone());
        let attached = tail.attachments().iter().flat_map(|attachment| attachment.stored.clone());
        for at in (0..tail.data_len()).chain(attached).chain(pages).chain(tail.position()) {
            let mut damaged = object.clone();
            damaged[at as usize] ^= 0x10;
            assert!(read(&damaged).is_err(), "{name}: byte {at}");
        }
    }
}

#[test]
fn an_object_cut_at_any_length_is_corrupt() {
    for (name, recipe) in kinds() {
        let (object, _) = recipe.build();
        for len in 0..object.len() {
            assert_eq!(read(&object[..len]).unwrap_err().code(), Code::Corrupt, "{name}: cut at {len}");
        }
    }
}

#[test]
fn an_object_with_bytes_behind_it_is_corrupt() {
    for (name, recipe) in kinds() {
        let (object, _) = recipe.build();
        for more in [1, 8, 17, 4096] {
            let longer = [&object[..], &vec![0; more]].concat();
            assert_eq!(read(&longer).unwrap_err().code(), Code::Corrupt, "{name}: {more} more");
        }
    }
}

#[test]
fn two_blocks_that_changed_places_are_corrupt() {
    let (mut object, tail) = Recipe::new(Codec::None, Source::Bytes(mixed(8192))).build();
    assert_eq!(tail.block_count(), 2);
    let (a, b) = object[..8192].split_at_mut(4096);
    a.swap_with_slice(b);
    assert_eq!(read(&object).unwrap_err().code(), Code::Corrupt);
}

#[test]
fn the_pages_of_another_object_are_corrupt() {
    let build = |len| Recipe::new(Codec::None, Source::Bytes(mixed(len))).build();
    let ((mut a, tail), (b, _)) = (build(20_000), build(20_001));
    let page = tail.page_position(1);
    let (start, end) = (page.start as usize, page.end as usize);
    a[start..end].copy_from_slice(&b[start + 1..end + 1]);
    assert_eq!(read(&a).unwrap_err().code(), Code::Corrupt);
}

#[test]
fn an_object_inside_a_segment_is_never_taken_for_the_outer_one() {
    let (inner, _) = kinds().swap_remove(0).1.build();
    let segment = [mixed(5000), inner.clone()].concat();
    let recipe = Recipe::new(Codec::None, Source::Bytes(segment.clone()));
    let (outer, _) = recipe.build();
    assert!(same(&read(&outer).unwrap(), &recipe));
    // Cut behind the inner object, the end looks like that of a whole one.
    let cut = &outer[..segment.len()];
    let Located::Here { within, position } = locate_tail(cut, cut.len() as u64).unwrap() else {
        panic!("all is here")
    };
    let e = Tail::parse(&cut[within], position, cut.len() as u64).unwrap_err();
    assert_eq!(e.code(), Code::Corrupt);
}

#[test]
fn a_block_that_passes_its_checksum_but_does_not_decode_is_corrupt_and_the_error_names_its_place() {
    let mut stored = Vec::new();
    for (raw_len, frame_of) in [(4096, 1 << 20), (4096, 4095), (4096, 0)] {
        Compressor::new(1).unwrap().compress_block(&vec![0; frame_of], &mut stored).unwrap();
        let (mut object, mut builder) = Recipe::new(Codec::Zstd, Source::Bytes(mixed(8192))).build_data();
        let position = object.len();
        let crc32c = checksum::crc32c(&stored);
        builder
            .index
            .push(BlockEntry { raw_len, stored_len: stored.len() as u32, crc32c, records: None })
            .unwrap();
        builder.content.length += u64::from(raw_len);
        let parts = builder.finish().unwrap();
        object.extend([stored.clone(), parts.index_frame, parts.tail_frame, parts.seek_table].concat());
        let opened = Object::open(&object, 4096).unwrap();
        assert!(opened.read_range(0..8192).unwrap() == mixed(8192), "the other blocks can be read");
        let e = opened.read_range(8000..9000).unwrap_err();
        assert_eq!(e.code(), Code::Corrupt);
        let place = format!("block 2 of object {} at {position}:", parts.tail.id());
        assert!(e.message().starts_with(&place), "{e}");
    }
}

#[test]
fn a_record_block_that_is_not_the_one_of_the_index_is_corrupt() {
    let (object, tail) = Recipe::new(Codec::None, Source::Records(records(60))).build();
    let opened = Object::open(&object, 4096).unwrap();
    let block = opened.page(0).unwrap().blocks().next().unwrap();
    let raw = opened.block(&block).unwrap();
    assert!(tail.record_block(&block, &raw).is_ok());
    let promised = block.records.unwrap();
    for (count, first_id) in
        [(promised.count + 1, promised.first_id), (promised.count, promised.first_id + 1)]
    {
        let mut other = block.clone();
        other.records = Some(RecordSpan { count, first_id, ..promised });
        assert_eq!(tail.record_block(&other, &raw).err().map(|e| e.code()), Some(Code::Corrupt));
    }
    let longer = [&raw[..], &[0]].concat();
    assert_eq!(tail.record_block(&block, &longer).err().map(|e| e.code()), Some(Code::Corrupt));
}

#[test]
fn a_bit_flipped_in_an_index_page_is_noticed_before_any_block_is_fetched() {
    for (name, recipe) in kinds() {
        let (object, tail) = recipe.build();
        for (n, page) in tail.pages().iter().enumerate() {
            let page = page.position.start as usize..page.position.end as usize;
            for bit in 0..page.len() * 8 {
                let mut bytes = object[page.clone()].to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let e = Page::parse(&bytes, &tail, n).unwrap_err();
                assert_eq!(e.code(), Code::Corrupt, "{name}: bit {bit} of page {n}");
            }
        }
    }
}

#[test]
fn a_tail_at_another_place_than_its_own_is_corrupt_and_the_error_says_where_it_belongs() {
    let (object, tail) = kinds().swap_remove(0).1.build();
    let position = tail.position();
    let frame = &object[position.start as usize..position.end as usize];
    let e = Tail::parse(frame, position.start + 1, tail.object_len() + 1).unwrap_err();
    assert_eq!(e.code(), Code::Corrupt);
    assert!(e.message().contains(&format!("belongs at {}", position.start)), "{e}");
}

#[test]
fn an_attachment_with_other_content_than_the_table_promises_is_corrupt() {
    for codec in [Codec::None, Codec::Zstd] {
        let recipe = Recipe::new(codec, Source::Bytes(mixed(10))).attach("a", codec, b"0123456789");
        let (mut object, mut builder) = recipe.build_data();
        builder.attachments[0].content.crc64 ^= 1;
        let parts = builder.finish().unwrap();
        object.extend([parts.index_frame, parts.tail_frame, parts.seek_table].concat());
        let e = Object::open(&object, 4096).unwrap().read_attachment("a").unwrap_err();
        assert_eq!(e.code(), Code::Corrupt);
        let place = format!("attachment \"a\" of object {} at ", parts.tail.id());
        assert!(e.message().starts_with(&place), "{e}");
    }
}

#[test]
fn a_tail_whose_page_table_or_header_contradicts_itself_is_corrupt() {
    let sources = [Source::Bytes(mixed(30_001)), Source::Records(records(60))];
    for (codec, source) in
        [Codec::None, Codec::Zstd].into_iter().flat_map(|c| sources.clone().map(|s| (c, s)))
    {
        let (object, tail) = Recipe::new(codec, source).build();
        assert!(tail.pages().len() > 1);
        let position = tail.position();
        let is_records = tail.records().is_some();
        let table = position.end as usize - 64 - if is_records { 68 } else { 28 } * tail.pages().len();
        let second = table + if is_records { 68 } else { 28 };
        let header = position.start as usize + 8;
        let mut forgeries = vec![
            ("the first block of page 0", table, 1),
            ("the raw position of page 0", table + 12, 1),
            ("the stored position of page 0", table + 20, 1),
            ("the raw position of page 1", second + 12, 0),
            ("the stored position of page 1", second + 20, 0),
            ("the raw position of page 1", second + 12, tail.segment_len()),
            ("the stored position of page 1", second + 20, tail.data_len()),
        ];
        if is_records {
            forgeries.push(("the number of records", header + 40, tail.records().unwrap().count + 1));
            forgeries.push(("the first id", header + 48, tail.records().unwrap().first_id - 1));
            forgeries.push(("the first id of page 1", second + 36, tail.records().unwrap().first_id));
        }
        for (what, at, value) in forgeries {
            let mut forged = object.clone();
            let width = if at == table { 4 } else { 8 };
            forged[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            reseal(&mut forged, &tail);
            let frame = &forged[position.start as usize..position.end as usize];
            let parsed = Tail::parse(frame, position.start, tail.object_len());
            let code = parsed.err().map(|e| e.code());
            assert_eq!(code, Some(Code::Corrupt), "{codec:?}, records {is_records}: {what} is {value}");
        }
    }
}

#[test]
fn bytes_behind_the_last_block_of_a_page_are_corrupt() {
    let (object, tail) = Recipe::new(Codec::None, Source::Bytes(mixed(100))).build();
    let position = tail.position().start as usize;
    let mut longer = object.clone();
    longer.insert(position, 0);
    let page_start = tail.page_position(0).start as usize;
    let page = &longer[page_start..position + 1];
    let (page_len, page_crc32c) = (page.len() as u32, checksum::crc32c(page));
    let (table, trailer) = (longer.len() - 64 - 28, longer.len() - 64);
    for (at, value) in [(table + 4, page_len), (table + 8, page_crc32c), (trailer, position as u32 + 1)] {
        longer[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    let end = longer.len() - 12;
    let crc32c = checksum::crc32c(&longer[position + 1..end]);
    longer[end..end + 4].copy_from_slice(&crc32c.to_le_bytes());
    let opened = Object::open(&longer, 4096).unwrap();
    let e = opened.read_all().unwrap_err();
    assert_eq!(e.code(), Code::Corrupt);
    assert!(e.message().contains("left behind"), "{e}");
}

#[test]
fn an_unknown_incompatible_flag_or_version_is_unsupported_and_an_unknown_compatible_flag_is_ignored() {
    for (name, recipe) in kinds() {
        let (object, tail) = recipe.build();
        for bit in 0..32 {
            let mut newer = object.clone();
            newer[flags_at(&tail) + bit / 8] ^= 1 << (bit % 8);
            reseal(&mut newer, &tail);
            assert_eq!(read(&newer).unwrap_err().code(), Code::UnsupportedVersion, "{name}: flag {bit}");

            let mut newer = object.clone();
            newer[flags_at(&tail) + 4 + bit / 8] ^= 1 << (bit % 8);
            reseal(&mut newer, &tail);
            assert!(same(&read(&newer).unwrap(), &recipe), "{name}: compatible flag {bit}");
            assert_eq!(Object::open(&newer, 4096).unwrap().tail.compatible_flags(), 1 << bit);
        }
        let mut newer = object.clone();
        newer[flags_at(&tail) - 4] = 2;
        reseal(&mut newer, &tail);
        assert_eq!(read(&newer).unwrap_err().code(), Code::UnsupportedVersion, "{name}: version 2");
    }
}

#[test]
fn a_newer_writer_may_append_to_the_header() {
    let recipe = Recipe::new(Codec::None, Source::Bytes(mixed(100)));
    let (object, tail) = recipe.build();
    let frame = tail.position().start as usize;
    let header_len_at = tail.position().end as usize - 64 + 12;
    let field = |at: usize| u32::from_le_bytes(object[at..at + 4].try_into().unwrap());
    let header_len = field(header_len_at);
    let mut newer = object.clone();
    let more = b"what version 1 knows nothing of";
    newer.splice(frame + 8 + header_len as usize..frame + 8 + header_len as usize, *more);
    let more = more.len() as u32;
    for (at, value) in [
        (frame + 4, field(frame + 4) + more),
        (header_len_at + more as usize, header_len + more),
        (header_len_at + more as usize - 4, field(header_len_at - 4) + more),
    ] {
        newer[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    let end = newer.len() - 12;
    let crc32c = checksum::crc32c(&newer[frame..end]);
    newer[end..end + 4].copy_from_slice(&crc32c.to_le_bytes());
    assert!(same(&read(&newer).unwrap(), &recipe));
}

#[test]
fn a_tail_with_a_forged_bit_and_a_right_checksum_is_refused_or_stays_inside_the_object() {
    let mut refused = 0;
    for (name, recipe) in kinds() {
        let (object, tail) = recipe.build();
        let position = tail.position();
        for at in position.start as usize..position.end as usize - 12 {
            for bit in 0..8 {
                let mut forged = object.clone();
                forged[at] ^= 1 << bit;
                reseal(&mut forged, &tail);
                if let Err(e) = read(&forged) {
                    let typed = matches!(e.code(), Code::Corrupt | Code::UnsupportedVersion);
                    assert!(typed, "{name}: bit {bit} of byte {at}: {e:?}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 1000, "the forgeries reach the checks: {refused}");
}

/// Changes a page and makes page table and tail agree with it.
fn forge_page(object: &mut [u8], tail: &Tail, n: usize, change: impl FnOnce(&mut [u8])) {
    let page = tail.page_position(n);
    let page = &mut object[page.start as usize..page.end as usize];
    change(page);
    let crc32c = checksum::crc32c(page);
    let entry_len = if tail.records().is_some() { 68 } else { 28 };
    let table = tail.position().end as usize - 64 - entry_len * tail.pages().len();
    object[table + entry_len * n + 8..][..4].copy_from_slice(&crc32c.to_le_bytes());
    reseal(object, tail);
}

#[test]
fn a_page_with_a_forged_bit_and_right_checksums_is_corrupt() {
    for (name, recipe) in kinds() {
        let (object, tail) = recipe.build();
        for (n, page) in tail.pages().iter().enumerate() {
            for bit in 0..(page.position.end - page.position.start) as usize * 8 {
                let mut forged = object.clone();
                forge_page(&mut forged, &tail, n, |page| page[bit / 8] ^= 1 << (bit % 8));
                let e = read(&forged).expect_err("every bit of a page counts");
                assert_eq!(e.code(), Code::Corrupt, "{name}: bit {bit} of page {n}: {e:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_the_place_of_tail_and_page_never_panic(
        kind in 0usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        garbage in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (_, recipe) = kinds().swap_remove(kind);
        let (object, tail) = recipe.build();
        let mut forged = object.clone();
        let frame = tail.position();
        let len = (frame.end - frame.start - 12) as usize;
        for (at, byte) in &changes {
            forged[frame.start as usize + at.index(len)] = *byte;
        }
        reseal(&mut forged, &tail);
        let _ = read(&forged);

        if !tail.pages().is_empty() {
            let mut forged = object.clone();
            forge_page(&mut forged, &tail, 0, |page| {
                let len = page.len().min(garbage.len());
                page[..len].copy_from_slice(&garbage[..len]);
            });
            let _ = read(&forged);
        }
        let _ = read(&garbage);
    }

    #[test]
    fn any_bytes_in_a_record_block_give_records_inside_it_or_corrupt(
        start in 0u64..200,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut builder = RecordBlockBuilder::new(1 << 20);
        for (id, time, payload) in records(12) {
            builder.append(start + id, time, &payload).unwrap();
        }
        let mut raw = Vec::new();
        builder.finish(&mut raw).unwrap();
        for (at, byte) in changes {
            let at = at.index(raw.len());
            raw[at] = byte;
        }
        raw.truncate(cut.index(raw.len() * 4));
        let Ok(block) = RecordBlock::parse(&raw) else { return Ok(()) };
        let (mut last, mut count) = (None, 0);
        for record in block.records() {
            match record {
                Ok(record) => {
                    prop_assert!(last < Some(record.id) && record.payload.end <= block.len());
                    last = Some(record.id);
                    count += 1;
                }
                Err(e) => prop_assert_eq!(e.code(), Code::Corrupt),
            }
        }
        prop_assert!(count <= block.count());
        let _ = block.seek(start + 1010).map(|records| records.count());
    }
}
