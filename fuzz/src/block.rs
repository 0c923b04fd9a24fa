//! A zstd frame in the place of a block. Bytes: 3 of the raw length that the index promises; the frame.
//!
//! Oracle: `CORRUPT`, or exactly the promised bytes, the same each time and whatever the destination held before; nothing
//! behind the destination changes. What is compressed comes back.

use super::{Input, reader_support::format::mixed};
use seglift::{
    Code,
    codec::{Codec, Compressor, Decompressor},
};
use std::cell::RefCell;

/// What may stand behind a destination.
const GUARD: [u8; 64] = [0xA5; 64];

thread_local! {
    /// Used again, as readers do: what a frame leaves behind must not show in the next.
    static CODER: RefCell<(Compressor, Decompressor)> =
        RefCell::new((Compressor::new(1).unwrap(), Decompressor::new().unwrap()));
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let len = (u32::from(input.u16()) | u32::from(input.u8()) << 16) as usize % (256 << 10);
    let frame = input.rest();
    CODER.with_borrow_mut(|(compressor, decompressor)| {
        let mut decode = |filled: u8| {
            let mut dest = vec![filled; len];
            dest.extend_from_slice(&GUARD);
            let result = decompressor.decompress_block(frame, &mut dest[..len]);
            assert!(dest.ends_with(&GUARD), "the codec wrote behind its destination");
            dest.truncate(len);
            result.map(|()| dest)
        };
        match decode(0) {
            Ok(raw) => assert!(decode(0xFF).unwrap() == raw, "bytes of the destination shine through"),
            Err(e) => assert_eq!(e.code(), Code::Corrupt, "{e:?}"),
        }
        let mut stored = Vec::new();
        compressor.compress_block(frame, &mut stored).unwrap();
        assert!(stored.len() as u64 <= Codec::Zstd.max_stored_len(frame.len() as u64));
        let mut back = vec![0; frame.len()];
        decompressor.decompress_block(&stored, &mut back).unwrap();
        assert!(back == frame);
    });
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (claimed, raw) in
        [(900, mixed(900)), (4096, vec![7; 4096]), (10, vec![0; 200_000]), (6500, mixed(6500)), (0, vec![])]
    {
        let mut stored = Vec::new();
        Compressor::new(1).unwrap().compress_block(&raw, &mut stored).unwrap();
        seeds.push([&u32::to_le_bytes(claimed)[..3], &stored].concat());
    }
    seeds
}
