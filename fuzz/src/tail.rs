//! The end of an object. Bytes: 1 of choices, 6 of the object's length in front, 2 of its seek table; the frame.
//!
//! Oracle: finding and parsing end in `CORRUPT` or `UNSUPPORTED_VERSION`, or in a tail all of whose positions lie in
//! the object, in order and without a gap or overlap; whose searches agree with its page table; whose memory is in
//! proportion to its bytes; and whose token decodes to itself.

use super::{Input, forge};
use seglift::{
    Code, Error,
    codec::checksum::crc32c,
    object::{LEAST_SUFFIX, Located, Tail, Token, locate_tail},
};

const SEALED: u8 = 1;
/// Frame header, length and place agree, too: only header and page table are left to be wrong.
const PLACED: u8 = 2;

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choices = input.u8();
    let position = input.u32() as u64 | u64::from(input.u16()) << 32;
    let entries = u64::from(input.u16());
    let mut frame = input.rest().to_vec();
    let len = frame.len();
    if choices & PLACED != 0 && len >= 8 + forge::TRAILER {
        frame[..4].copy_from_slice(&0x184D_2A5Cu32.to_le_bytes());
        frame[4..8].copy_from_slice(&(len as u32 - 8).to_le_bytes());
        let trailer = len - forge::TRAILER;
        frame[trailer..trailer + 8].copy_from_slice(&position.to_le_bytes());
        frame[trailer + 8..trailer + 12].copy_from_slice(&(len as u32).to_le_bytes());
        frame[trailer + 20..trailer + 24].copy_from_slice(&1u32.to_le_bytes());
        frame[len - 8..].copy_from_slice(b"SEGLIFT\n");
    }
    if choices & SEALED != 0 && len >= forge::TRAILER {
        forge::seal_frame(&mut frame);
    }
    let behind = if entries > 0 { 17 + 8 * entries } else { 0 };
    let object_len = position + len as u64 + behind;
    check(Tail::parse(&frame, position, object_len), &frame, object_len);
    if behind == 0 && len >= LEAST_SUFFIX {
        match locate_tail(&frame, object_len) {
            Ok(Located::Here { within, position }) => {
                check(Tail::parse(&frame[within], position, object_len), &frame, object_len)
            }
            Ok(Located::Fetch(range)) => assert!(range.start < range.end && range.end <= object_len),
            Err(e) => typed(&e),
        }
    }
}

fn check(parsed: seglift::Result<Tail>, frame: &[u8], object_len: u64) {
    let tail = match parsed {
        Ok(tail) => tail,
        Err(e) => return typed(&e),
    };
    assert_eq!(tail.object_len(), object_len);
    assert_eq!(tail.crc32c(), crc32c(&frame[..frame.len() - forge::UNCOVERED]));
    let mut at = tail.data_len();
    for attachment in tail.attachments() {
        assert!(attachment.stored.start == at + 8 && attachment.stored.end >= attachment.stored.start);
        at = attachment.stored.end;
        assert!(tail.attachment(&attachment.entry.name).is_some());
    }
    at += 8;
    let (mut block, mut raw, mut stored) = (0, 0, 0);
    for (n, page) in tail.pages().iter().enumerate() {
        assert_eq!(
            (page.position.start, page.blocks.start, page.raw.start, page.stored.start),
            (at, block, raw, stored)
        );
        assert!(
            page.position.end > at
                && page.blocks.end > block
                && page.raw.end > raw
                && page.stored.end > stored
        );
        (at, block, raw, stored) = (page.position.end, page.blocks.end, page.raw.end, page.stored.end);
        assert_eq!(tail.page_of_raw(page.raw.start), Some(n));
        assert_eq!(tail.page_of_raw(page.raw.end - 1), Some(n));
        if let Some(span) = page.records {
            assert_eq!(tail.page_of_record(span.first_id), Some(n));
            assert_eq!(tail.page_of_record(span.last_id), Some(n));
        }
    }
    assert_eq!((block, raw, stored), (tail.block_count(), tail.segment_len(), tail.data_len()));
    assert_eq!(tail.page_of_raw(tail.segment_len()), None);
    assert!(at == tail.position().start && tail.position().end <= object_len);
    assert!(tail.memory() <= 1024 + 16 * frame.len(), "{} bytes for {}", tail.memory(), frame.len());
    let token = tail.token(7);
    assert_eq!(Token::decode(&token.encode()).unwrap(), token);
}

fn typed(e: &Error) {
    assert!(matches!(e.code(), Code::Corrupt | Code::UnsupportedVersion), "{e:?}");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for kind in 0..4 {
        for page_size in [16, 4096] {
            let (object, tail) = forge::object_of(kind, page_size);
            let position = tail.position();
            let behind = object.len() as u64 - position.end;
            let entries = if behind > 0 { (behind - 17) / 8 } else { 0 };
            let mut seed = vec![SEALED | PLACED];
            seed.extend_from_slice(&position.start.to_le_bytes()[..6]);
            seed.extend_from_slice(&(entries as u16).to_le_bytes());
            seed.extend_from_slice(forge::frame_of(&object, &tail));
            seeds.push(seed);
        }
    }
    seeds
}
