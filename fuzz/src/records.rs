//! A record block. Bytes: 1 of choices, 8 of an id to look for; the block's raw bytes.
//!
//! Oracle: `CORRUPT`, or records that lie in the block, in the order of their ids, as many as it says; a search finds what
//! walking finds; and the same records written again read back as they were.

use super::{Input, reader_support::format};
use seglift::{
    Code,
    object::{Append, Record, RecordBlock, RecordBlockBuilder},
};

/// Magic and length are right.
const SEALED: u8 = 1;

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (choices, wanted) = (input.u8(), input.u64());
    let mut raw = input.rest().to_vec();
    if choices & SEALED != 0 && raw.len() >= 8 {
        let len = raw.len() as u32;
        raw[..4].copy_from_slice(b"SLRB");
        raw[4..8].copy_from_slice(&len.to_le_bytes());
    }
    let block = match RecordBlock::parse(&raw) {
        Ok(block) => block,
        Err(e) => return assert_eq!(e.code(), Code::Corrupt, "{e:?}"),
    };
    assert!(block.len() <= raw.len());
    let walked: seglift::Result<Vec<Record>> = block.records().collect();
    let records = match walked {
        Ok(records) => records,
        Err(e) => {
            assert_eq!(e.code(), Code::Corrupt, "{e:?}");
            assert!(block.records().count() <= block.count() as usize);
            return;
        }
    };
    assert_eq!(records.len(), block.count() as usize);
    assert!(records.is_sorted_by(|a, b| a.id < b.id && a.payload.end <= b.payload.start));
    assert_eq!((records[0].id, records[0].time_us), (block.first_id(), block.first_time()));
    assert_eq!(records[records.len() - 1].payload.end, block.len());
    let found: Vec<Record> = block.seek(wanted).unwrap().map(Result::unwrap).collect();
    assert!(found.iter().eq(records.iter().filter(|record| record.id >= wanted)));

    let mut builder = RecordBlockBuilder::new(u32::MAX);
    for record in &records {
        let appended = builder.append(record.id, record.time_us, &raw[record.payload.clone()]).unwrap();
        assert_eq!(appended, Append::Fits);
    }
    let mut again = Vec::new();
    builder.finish(&mut again).unwrap();
    let told = |raw: &[u8], record: Record| (record.id, record.time_us, raw[record.payload].to_vec());
    let same = RecordBlock::parse(&again).unwrap().records().map(|record| told(&again, record.unwrap()));
    assert!(same.eq(records.iter().map(|record| told(&raw, record.clone()))));
}

pub fn seeds() -> Vec<Vec<u8>> {
    [1, 3, 12]
        .into_iter()
        .map(|count| {
            let mut builder = RecordBlockBuilder::new(u32::MAX);
            for (id, time, payload) in format::records(count) {
                builder.append(id, time, &payload).unwrap();
            }
            let mut raw = Vec::new();
            builder.finish(&mut raw).unwrap();
            [&[SEALED][..], &1006u64.to_le_bytes(), &raw].concat()
        })
        .collect()
}
