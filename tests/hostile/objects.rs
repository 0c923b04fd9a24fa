//! Objects with right checksums that lie.

use super::{
    measure::{alone, bytes_of},
    reader_support::{
        Tape, World,
        format::{BLOCK, Recipe, Source, mixed},
        options,
    },
};
use seglift::{
    Code,
    codec::{Codec, checksum::crc32c},
    engine::{Call, Engine, EngineOptions},
    object::{AttachmentEntry, BlockEntry, ContentIdentity, TailBuilder, attachment_frame_header},
    reader::SegmentRef,
    store::MemoryStore,
};
use std::sync::Arc;

/// What reading a few blocks of 4 KiB takes anyhow: pieces of 256 KiB, tails, codecs, a task or two.
const LITTLE: usize = 6 << 20;

/// A zstd frame of `blocks` RLE blocks of 128 KiB that declares `declared` raw bytes: 4 bytes become 131,072.
/// RFC 8878, 3.1.1.
fn bomb(declared: u64, blocks: usize) -> Vec<u8> {
    // Content size of 8 bytes, no single segment, no checksum; a window of 8 MiB.
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0b1100_0000, 0b0110_1000];
    frame.extend_from_slice(&declared.to_le_bytes());
    for n in 0..blocks {
        let last = u32::from(n + 1 == blocks);
        let header = last | 1 << 1 | (128 << 10) << 3;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b'A');
    }
    frame
}

/// An object of two sound blocks, then one of `stored` bytes that is said to be `raw_len` long.
fn with_block(stored: &[u8], raw_len: u32) -> Vec<u8> {
    let (mut object, mut builder) = Recipe::new(Codec::Zstd, Source::Bytes(mixed(8192))).build_data();
    let entry =
        BlockEntry { raw_len, stored_len: stored.len() as u32, crc32c: crc32c(stored), records: None };
    builder.index.push(entry).unwrap();
    builder.content.length += u64::from(raw_len);
    object.extend_from_slice(stored);
    finished(object, builder)
}

fn finished(mut object: Vec<u8>, builder: TailBuilder) -> Vec<u8> {
    let parts = builder.finish().unwrap();
    object.extend([parts.index_frame, parts.tail_frame, parts.seek_table].concat());
    object
}

/// A reader without a cache over one object.
fn world_of(object: Vec<u8>) -> (World, SegmentRef) {
    let engine =
        Engine::new(EngineOptions { threads: 1, cache_size: 0, ..EngineOptions::default() }).unwrap();
    let world = World::on(engine, Tape::new(Arc::new(MemoryStore::private())), options());
    world.put_bytes("k", object);
    (world, SegmentRef { key: "k".to_owned(), token: None })
}

/// Reads what is bad, verifies, and gives the most memory that it took.
fn corrupt_in(object: Vec<u8>, offset: u64) -> usize {
    let (world, r) = world_of(object);
    let sound = world.read(&r, 0, 100).unwrap();
    assert!(sound == mixed(8192)[..100], "what is sound can be read");
    let (code, most) = bytes_of(|| world.code(&r, offset, 100));
    assert_eq!(code, Some(Code::Corrupt));
    let segment = r.clone();
    let (report, verifying) =
        bytes_of(|| world.run(&Call::default(), |reader, op| reader.verify(op, segment)));
    let report = report.unwrap();
    assert_eq!((report.bad_blocks, report.first_error.map(|e| e.code())), (1, Some(Code::Corrupt)));
    most.max(verifying)
}

#[test]
fn a_frame_that_unpacks_to_gibibytes_is_corrupt_and_takes_no_memory() {
    let _alone = alone();
    // 4 GiB as it declares, and as it claims to be: not more than its block.
    for declared in [4 << 30, u64::from(BLOCK), 0, u64::MAX] {
        let frame = bomb(declared, 1000);
        assert!(frame.len() < BLOCK as usize, "it looks like a block");
        let most = corrupt_in(with_block(&frame, BLOCK), 8200);
        assert!(most < LITTLE, "{most} bytes for a frame that declares {declared}");
    }
}

#[test]
fn an_index_that_claims_more_than_a_frame_holds_takes_one_block() {
    let _alone = alone();
    let (_, mut builder) = Recipe::new(Codec::Zstd, Source::Bytes(Vec::new())).build_data();
    let raw_len: u32 = 64 << 20;
    builder.index =
        seglift::object::IndexBuilder::new(seglift::object::Mode::Bytes, Codec::Zstd, raw_len).unwrap();
    let stored = bomb(u64::from(raw_len), 3);
    for _ in 0..3 {
        let entry =
            BlockEntry { raw_len, stored_len: stored.len() as u32, crc32c: crc32c(&stored), records: None };
        builder.index.push(entry).unwrap();
    }
    builder.content = ContentIdentity { length: 3 * u64::from(raw_len), crc64: 0 };
    let (world, r) = world_of(finished(stored.repeat(3), builder));
    for offset in [0, u64::from(raw_len) + 5] {
        let (code, most) = bytes_of(|| world.code(&r, offset, 100));
        assert_eq!(code, Some(Code::Corrupt));
        assert!(most < (64 << 20) + LITTLE, "{most} bytes");
    }
    let budget = EngineOptions::default().memory_budget as usize;
    let (report, most) = bytes_of(|| world.run(&Call::default(), |reader, op| reader.verify(op, r.clone())));
    assert_eq!(report.unwrap().bad_blocks, 3);
    assert!(most < budget + LITTLE, "{most} bytes, all blocks at once");
}

#[test]
fn an_attachment_that_is_a_bomb_or_claims_too_much_is_corrupt_within_its_claim() {
    let _alone = alone();
    for (declared, claimed, blocks) in
        [(4u64 << 30, 100u64, 30_000), (100, 100, 30_000), (64 << 20, 64 << 20, 3), (0, 64 << 20, 1)]
    {
        let stored = bomb(declared, blocks);
        let mut entry = AttachmentEntry::new("index", Codec::Zstd, &vec![0; stored.len()], &stored).unwrap();
        entry.content.length = claimed.max(stored.len() as u64);
        let (mut object, mut builder) = Recipe::new(Codec::Zstd, Source::Bytes(mixed(8192))).build_data();
        object.extend(attachment_frame_header(stored.len() as u32));
        object.extend_from_slice(&stored);
        let claimed = entry.content.length as usize;
        builder.attachments = vec![entry];
        let (world, r) = world_of(finished(object, builder));
        let (read, most) = bytes_of(|| {
            world
                .run(&Call::default(), |reader, op| reader.read_attachment(op, r.clone(), "index".to_owned()))
        });
        assert_eq!(read.unwrap_err().code(), Code::Corrupt);
        assert!(most < claimed + 4 * stored.len() + LITTLE, "{most} bytes for a claim of {claimed}");
    }
}

#[test]
fn an_end_that_promises_the_longest_tail_is_corrupt_within_the_length_of_that_tail() {
    let _alone = alone();
    const LONGEST: usize = 17 << 20;
    let mut object = vec![0x55; 40 << 20];
    let trailer = object.len() - 64;
    for (tail_len, most_bytes) in
        [(LONGEST, 3 * LONGEST), (u32::MAX as usize, LITTLE), (LONGEST + 65, LITTLE)]
    {
        object[trailer + 8..trailer + 12].copy_from_slice(&(tail_len as u32).to_le_bytes());
        object[trailer + 56..].copy_from_slice(b"SEGLIFT\n");
        let (world, r) = world_of(object.clone());
        let (code, most) = bytes_of(|| world.code(&r, 0, 100));
        // The longest tail of all may be more than a small budget has.
        assert!(matches!(code, Some(Code::Corrupt | Code::ResourceExhausted)), "{code:?}");
        assert!(most < most_bytes + LITTLE, "{most} bytes for a tail of {tail_len}");
    }
}
