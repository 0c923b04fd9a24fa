//! Objects with wrong contents and right checksums, as only a forger makes them.
//!
//! The places are those of docs/format.md: a page table entry begins with first block, length and CRC32C; a trailer is
//! 64 bytes with its CRC32C in front of the magic.

use super::reader_support::format::{Recipe, Source, mixed, records};
use seglift::{codec::Codec, codec::checksum::crc32c, object::Tail};

pub const TRAILER: usize = 64;
/// Bytes at the end of a tail frame that its CRC32C does not cover: itself and the magic.
pub const UNCOVERED: usize = 12;

/// The four kinds of objects, small, with attachments, and with pages of `page_size` bytes.
pub fn object_of(kind: u8, page_size: usize) -> (Vec<u8>, Tail) {
    let codec = if kind & 1 == 0 { Codec::None } else { Codec::Zstd };
    let source = if kind & 2 == 0 { Source::Bytes(mixed(20_001)) } else { Source::Records(records(45)) };
    let mut recipe = Recipe::new(codec, source).attach("offset-index", codec, &mixed(700)).attach(
        "empty",
        Codec::None,
        b"",
    );
    recipe.page_size = page_size;
    recipe.build()
}

/// Bytes of an entry of the page table.
pub fn entry_len(tail: &Tail) -> usize {
    if tail.records().is_some() { 68 } else { 28 }
}

/// The tail frame within an object.
pub fn frame_of<'a>(object: &'a [u8], tail: &Tail) -> &'a [u8] {
    let position = tail.position();
    &object[position.start as usize..position.end as usize]
}

/// Where entry `n` of the page table begins in a tail frame.
pub fn entry_at(frame: &[u8], tail: &Tail, n: usize) -> usize {
    frame.len() - TRAILER - entry_len(tail) * (tail.pages().len() - n)
}

/// Makes the CRC32C of a tail frame right.
pub fn seal_frame(frame: &mut [u8]) {
    let at = frame.len() - UNCOVERED;
    let sum = crc32c(&frame[..at]);
    frame[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}
