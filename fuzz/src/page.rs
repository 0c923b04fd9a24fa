//! An index page behind right checksums. Bytes: 1 for the kind of object; the page.
//!
//! Oracle: `CORRUPT`, or blocks that fill segment and data without gap or overlap, each within the limits, in the order of
//! their records; and searches that find what walking finds.

use super::{Input, forge};
use seglift::{
    Code,
    codec::checksum::crc32c,
    object::{Page, Tail},
};
use std::sync::LazyLock;

/// Tail frame and tail of an object of each kind, whose only page is then the input.
static OBJECTS: LazyLock<Vec<(Vec<u8>, Tail)>> = LazyLock::new(|| {
    let of = |kind| {
        let (object, tail) = forge::object_of(kind, 4096);
        assert_eq!(tail.pages().len(), 1);
        (forge::frame_of(&object, &tail).to_vec(), tail)
    };
    (0..4).map(of).collect()
});

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (frame, tail) = &OBJECTS[usize::from(input.u8() % 4)];
    let bytes = input.rest();
    let Some(tail) = with_page(frame, tail, bytes) else { return };
    let page = match Page::parse(bytes, &tail, 0) {
        Ok(page) => page,
        Err(e) => return assert_eq!(e.code(), Code::Corrupt, "{e:?}"),
    };
    assert_eq!(page.len() as u32, tail.block_count());
    assert!(page.memory() <= 1024 + 24 * bytes.len());
    let (mut number, mut raw, mut stored, mut last_id) = (0, 0, 0, None);
    for block in page.blocks() {
        assert_eq!((block.number, block.raw.start, block.stored.start), (number, raw, stored));
        assert!(!block.raw.is_empty() && !block.stored.is_empty());
        assert!(block.raw_len() <= (64 << 20) + 64);
        assert!(block.stored_len() as u64 <= tail.codec().max_stored_len(block.raw_len() as u64));
        (number, raw, stored) = (number + 1, block.raw.end, block.stored.end);
        assert_eq!(page.block_of_raw(block.raw.start).as_ref(), Some(&block));
        assert_eq!(page.block_of_raw(block.raw.end - 1).as_ref(), Some(&block));
        assert_eq!(page.blocks_from(block.number).next().as_ref(), Some(&block));
        if let Some(span) = block.records {
            assert!(
                last_id < Some(span.first_id)
                    && span.first_id <= span.last_id
                    && span.min_time <= span.max_time
            );
            last_id = Some(span.last_id);
            assert_eq!(page.block_of_record(span.first_id).as_ref(), Some(&block));
            assert_eq!(page.block_of_record(span.last_id), Some(block));
        }
    }
    assert_eq!((raw, stored), (tail.segment_len(), tail.data_len()));
    assert_eq!(page.block_of_raw(raw), None);
}

/// The tail of an object whose page is `page`: its length, its CRC32C and the place of the tail are right.
fn with_page(frame: &[u8], tail: &Tail, page: &[u8]) -> Option<Tail> {
    let mut frame = frame.to_vec();
    let grown = page.len() as i64 - (tail.page_position(0).end - tail.page_position(0).start) as i64;
    let entry = forge::entry_at(&frame, tail, 0);
    frame[entry + 4..entry + 8].copy_from_slice(&(page.len() as u32).to_le_bytes());
    frame[entry + 8..entry + 12].copy_from_slice(&crc32c(page).to_le_bytes());
    let position = tail.position().start.checked_add_signed(grown)?;
    let trailer = frame.len() - forge::TRAILER;
    frame[trailer..trailer + 8].copy_from_slice(&position.to_le_bytes());
    forge::seal_frame(&mut frame);
    Tail::parse(&frame, position, tail.object_len().checked_add_signed(grown)?).ok()
}

pub fn seeds() -> Vec<Vec<u8>> {
    (0..4)
        .map(|kind| {
            let (object, tail) = forge::object_of(kind, 4096);
            let page = tail.page_position(0);
            [&[kind], &object[page.start as usize..page.end as usize]].concat()
        })
        .collect()
}
