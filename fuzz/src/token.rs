//! A receipt's token. Bytes: 1 of choices; the token.
//!
//! Oracle: `INVALID_ARGUMENT` or `UNSUPPORTED_VERSION` in a message that says what to do, or a token whose tail lies in its
//! object and that encodes to one which decodes to the same.

use super::{Input, forge, is_message};
use seglift::{Code, codec::checksum::crc32c, object::Token};

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
    match Token::decode(&bytes) {
        Ok(token) => {
            assert!(token.tail_position + u64::from(token.tail_len) <= token.object_len);
            assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        }
        Err(e) => {
            assert!(matches!(e.code(), Code::InvalidArgument | Code::UnsupportedVersion), "{e:?}");
            assert!(is_message(e.message(), 200), "{e:?}");
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    (0..4).map(|kind| [&[SEALED][..], &forge::object_of(kind, 4096).1.token(42).encode()].concat()).collect()
}
