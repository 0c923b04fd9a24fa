//! A whole object that was tampered with, and what a salvage takes out of it. Bytes: 1 for the kind of object, 1 for which
//! checksums are made right again and whether unproven blocks are wanted; then edits as in `object`.
//!
//! Oracle: it ends, in order, and refuses no more than `CORRUPT` and `UNSUPPORTED_VERSION` do. Where no checksum was forged,
//! a block that is called proven is one that was written; if index and tail are as they were, it is the one of that number,
//! and what is called whole lacks none.

use super::{
    Input,
    object::{Base, ENGINE, SEALS, op, open},
    reader_support::format::Object,
};
use seglift::{
    Code,
    maintain::{Context, Piece, Proof, Salvage, SalvageOptions},
};

const UNCHECKED: u8 = 8;

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let base = Base::of(input.u8());
    let choices = input.u8();
    let object = base.tampered(input, choices & SEALS);
    let (store, reader) = open(&object);
    let context = Context { store, reader, owner: "o".to_owned(), metrics: ENGINE.metrics().clone() };
    let unchecked = choices & UNCHECKED != 0;
    let salvage = Salvage::new(context, "k", SalvageOptions { unchecked });
    let (mut saved, mut gaps, mut next) = (Vec::new(), 0, 0);
    let end = loop {
        let op = op();
        match ENGINE.block_on(&op, salvage.clone().next(op.clone())) {
            Ok(Piece::Saved(block)) => {
                assert!(block.number >= next, "out of order");
                next = block.number + 1;
                assert!(unchecked || block.proof != Proof::None, "nobody asked for it");
                assert!(block.records().count() == 0 || !block.bytes.is_empty());
                saved.push(block);
            }
            Ok(Piece::Gap(_)) => gaps += 1,
            Ok(Piece::End(end)) => break end,
            Err(e) => return assert!(matches!(e.code(), Code::Corrupt | Code::UnsupportedVersion), "{e:?}"),
        }
    };
    assert_eq!((end.blocks, end.gaps), (saved.len() as u64, gaps));
    assert!(!end.whole || gaps == 0);
    if choices & SEALS != 0 {
        return;
    }
    let flat = Object::open(&base.object, 64 << 10).unwrap();
    let written: Vec<_> = base.blocks.iter().map(|block| flat.block(block).unwrap()).collect();
    let data_end = base.tail.data_len() as usize;
    let described = object.get(data_end..) == Some(&base.object[data_end..]);
    for block in saved.iter().filter(|block| block.proof != Proof::None) {
        let same = written.get(block.number as usize).is_some_and(|raw| *raw == block.bytes);
        assert!(
            same || (!described && written.contains(&block.bytes)),
            "it is not what was written: {block:?}"
        );
    }
    assert!(!(end.whole && described) || saved.len() == written.len());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |kind: u8, choices: u8, edits: &[[u8; 6]]| [&[kind, choices][..], &edits.concat()].concat();
    let mut seeds = Vec::new();
    for kind in 0..8 {
        seeds.push(seed(kind, 0, &[]));
        // A bit of data; the index damaged, too; no tail; a cut in the data, where everything is wanted.
        seeds.push(seed(kind, 0, &[[8, 3, 40, 0, 0, 0]]));
        seeds.push(seed(kind, 0, &[[8, 3, 40, 0, 0, 0], [0x48, 3, 2, 0, 0, 0]]));
        seeds.push(seed(kind, 0, &[[0x7A, 0, 0, 0, 0, 0]]));
        seeds.push(seed(kind, UNCHECKED, &[[0x1A, 0, 200, 0, 0, 0]]));
    }
    seeds
}
