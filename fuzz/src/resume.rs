//! The file that a host keeps of an upload under way. Bytes: 1 of choices; the file.
//!
//! Oracle: `INVALID_ARGUMENT`, `UNSUPPORTED_VERSION` or `CORRUPT`, or what was kept, which encodes to bytes that decode to
//! the same, and which a look for differences finds equal to itself.

use super::{Input, is_message};
use seglift::{
    Code,
    codec::{Codec, checksum::crc32c},
    object::{Encoding, ObjectId, ResumeBlob},
};

const SEALED: u8 = 1;

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choices = input.u8();
    let mut bytes = input.rest().to_vec();
    if choices & SEALED != 0
        && let Some((covered, sum)) = bytes.split_last_chunk_mut::<4>()
    {
        *sum = crc32c(covered).to_le_bytes();
    }
    match ResumeBlob::decode(&bytes) {
        Ok(blob) => {
            assert_eq!(blob.encoding.differs(&blob.encoding.clone()), None);
            assert_eq!(ResumeBlob::decode(&blob.encode().unwrap()).unwrap(), blob);
        }
        Err(e) => {
            assert!(
                matches!(e.code(), Code::InvalidArgument | Code::UnsupportedVersion | Code::Corrupt),
                "{e:?}"
            );
            assert!(is_message(e.message(), 200), "{e:?}");
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let blob = |codec| ResumeBlob {
        key: "topic/0".to_owned(),
        store_fingerprint: 7,
        upload: "1-cs-0123456789abcdef-UploadId".to_owned(),
        id: ObjectId(uuid::Uuid::from_u128(7)),
        encoding: Encoding {
            encoder: "seglift 1, zstd 1.5".to_owned(),
            segment_len: 1 << 30,
            codec,
            zstd_level: 1,
            block_size: 256 << 10,
            part_size: 8 << 20,
            words: 42,
        },
    };
    [Codec::None, Codec::Zstd].map(|codec| [vec![SEALED], blob(codec).encode().unwrap()].concat()).to_vec()
}
