//! A key, and a name in a listing. Bytes: the text.
//!
//! Oracle: `INVALID_ARGUMENT` in one line of bearable length, or a key that is the text, whose names a file system reads
//! as names below its root, and that an S3 place finds again in its own name. A name of a listing is a key of the place
//! or none; never a key that means another object.

use super::is_message;
use seglift::{
    Code,
    store::{Key, s3::Place},
};
use std::path::{Component, Path};

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let place = Place::parse("//bucket/a/b").unwrap();
    match Key::new(&text) {
        Ok(key) => {
            assert_eq!(key.as_str(), text);
            assert!(text.len() <= 900 && !text.contains('\0'));
            let parts: Vec<_> = Path::new(key.as_str()).components().collect();
            assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))), "{text:?}");
            assert_eq!(parts.len(), text.split('/').count(), "{text:?}");
            assert_eq!(key.folders().count(), parts.len() - 1);
            let named = place.object_key(&key);
            assert!(named.len() <= 1024);
            assert_eq!(place.key_of(&named), Some(key), "{text:?}");
        }
        Err(e) => {
            assert_eq!(e.code(), Code::InvalidArgument);
            assert!(is_message(e.message(), 1200), "{e:?}");
        }
    }
    if let Some(key) = place.key_of(&text) {
        assert_eq!(place.object_key(&key), text);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let long = "x".repeat(200);
    let longest = [long.as_str(); 4].join("/") + "/" + &"y".repeat(96);
    [
        "topic/0/00000000000000000000-3f",
        "a/b/topic/1",
        "a/b/.seglift-probe-0123456789abcdef0123456789abcdef",
        "a/../b",
        "/abs",
        "a\\b",
        "\u{202e}txt.exe\u{2066}",
        "a/.seglift-upload-1",
        "%2e%2e/x",
        "a\0b",
        &long,
        &longest,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
