//! A key that is taken: never overwritten, and success if it holds the same.

use crate::common::*;
use bytes::Bytes;
use seglift::{
    Code, Driver, Result,
    codec::Codec,
    engine::Call,
    object::{Metadata, Mode},
    writer::{Attachment, AttachmentData, Finish, IfExists, Receipt, Segment, Source, WriterOptions},
};
use std::{
    sync::{Arc, Barrier},
    thread,
};

/// The object as it is stored.
fn stored(driver: &Driver, key: &str) -> Vec<u8> {
    driver.object_range(key, 0, 1 << 30, &Call::default()).unwrap().to_vec()
}

fn offload_if(driver: &Driver, bytes: &Bytes, codec: Codec, if_exists: IfExists) -> Result<Receipt> {
    driver.offload(Segment { if_exists, ..segment("k", bytes, codec) }, &Call::default())
}

fn pushed(driver: &Driver, bytes: &[u8], if_exists: IfExists) -> Result<Receipt> {
    let options = WriterOptions {
        key: "k".to_owned(),
        mode: Mode::Bytes,
        codec: None,
        if_exists,
        max_bytes: None,
        metadata: Metadata::default(),
    };
    let writer = driver.writer(options, &Call::default(), None)?;
    assert_eq!(writer.write(bytes, &Call::default())?, bytes.len());
    writer.commit(Finish::default(), &Call::default())
}

const ALL: [IfExists; 3] = [IfExists::SucceedIfSame, IfExists::SucceedIfSameSegment, IfExists::Fail];

#[test]
fn an_offload_never_overwrites() {
    for place in Place::each() {
        let driver = place.open("");
        offload(&driver, "k", &noise(1, 1000), Codec::Zstd).unwrap();
        let before = stored(&driver, "k");
        for (if_exists, len) in ALL.into_iter().flat_map(|how| [(how, 0), (how, 1000), (how, MANY_PARTS)]) {
            for codec in CODECS {
                let result = offload_if(&driver, &noise(2, len), codec, if_exists);
                assert_eq!(code(result), Code::AlreadyExists);
            }
            assert_eq!(code(pushed(&driver, &noise(2, len), if_exists)), Code::AlreadyExists);
            // Nor where the store's answer is lost.
            let lossy = place.open("put=1:lost,2:unknown&commit=1:lost,2:unknown");
            assert_eq!(code(offload_if(&lossy, &noise(2, len), Codec::None, if_exists)), Code::AlreadyExists);
            assert_same(&stored(&driver, "k"), &before);
            place.holds_only(&["k"]);
        }
    }
    // What is not ours is nobody's to replace either.
    let place = Place::files();
    let Place::Files(dir) = &place else { unreachable!("it is a folder") };
    for foreign in [b"".as_slice(), b"somebody's notes"] {
        std::fs::write(dir.path().join("k"), foreign).unwrap();
        for len in [0, 1000, MANY_PARTS] {
            let segment = segment("k", &noise(1, len), Codec::None);
            let result = place.open("").offload(segment, &within(10_000));
            assert_eq!(code(result), Code::AlreadyExists);
            assert_eq!(std::fs::read(dir.path().join("k")).unwrap(), foreign);
            place.holds_only(&["k"]);
        }
    }
}

#[test]
fn the_same_key_with_the_same_content_is_success_and_says_that_it_existed() {
    for place in Place::each() {
        for len in [0, 100, MANY_PARTS] {
            for codec in CODECS {
                let (driver, key, bytes) = (place.open(""), format!("{}-{len}", codec.name()), noise(1, len));
                let first = offload(&driver, &key, &bytes, codec).unwrap();
                let before = stored(&driver, &key);
                let second = offload(&place.open(""), &key, &bytes, codec).unwrap();
                assert!(!first.existed && second.existed);
                assert_eq!(Receipt { existed: false, ..second }, first, "it describes what is there");
                assert_same(&stored(&driver, &key), &before);
            }
        }
        let driver = place.open("");
        offload(&driver, "k", &noise(1, MANY_PARTS), Codec::None).unwrap();
        assert!(pushed(&driver, &noise(1, MANY_PARTS), IfExists::SucceedIfSame).unwrap().existed);
        // Its tail may come damaged: that does not make it another's.
        let driver = place.open("get=1:flip-520000&get=2:flip-520000");
        assert!(offload(&driver, "k", &noise(1, MANY_PARTS), Codec::None).unwrap().existed);
    }
}

#[test]
fn the_same_key_with_another_content_is_already_exists_and_changes_nothing() {
    for place in Place::each() {
        for len in [1, 100, MANY_PARTS] {
            let (driver, bytes) = (place.open(""), noise(1, len));
            driver.delete(&["k".to_owned()], &Call::default()).unwrap().remove(0).unwrap();
            offload(&driver, "k", &bytes, Codec::Zstd).unwrap();
            let before = stored(&driver, "k");
            let (mut first, mut last) = (bytes.to_vec(), bytes.to_vec());
            first[0] ^= 1;
            last[len - 1] ^= 0x80;
            let longer = [&bytes[..], &[0]].concat();
            for other in [first, last, longer, bytes[..len - 1].to_vec()] {
                for (codec, how) in [(Codec::None, ALL[0]), (Codec::Zstd, ALL[0]), (Codec::None, ALL[1])] {
                    let result = offload_if(&driver, &Bytes::from(other.clone()), codec, how);
                    assert_eq!(code(result), Code::AlreadyExists, "{len} {codec:?}");
                }
            }
            assert_same(&stored(&driver, "k"), &before);
            place.holds_only(&["k"]);
        }
    }
}

#[test]
fn the_codec_the_time_and_the_part_size_do_not_count_for_the_content() {
    for place in Place::each() {
        let bytes = noise(1, MANY_PARTS);
        let first = offload(&place.open(""), "k", &bytes, Codec::Zstd).unwrap();
        let shapes = [
            ("codec", "none"),
            ("upload.part.size", "128KiB"),
            ("block.size", "32KiB"),
            ("codec.zstd.level", "5"),
            ("owner", "somebody-else"),
        ];
        for shape in shapes {
            let driver = place.open_on(&engine(), "", &[shape]);
            let again = driver.offload(Segment::new("k", Source::Bytes(bytes.clone())), &Call::default());
            let again = again.unwrap();
            assert!(again.existed && again.object_id == first.object_id, "{shape:?}");
        }
    }
}

fn with_attachment(key: &str, bytes: &Bytes, attachment: &[u8], if_exists: IfExists) -> Segment {
    let data = AttachmentData::Bytes(Bytes::copy_from_slice(attachment));
    let attachments = vec![Attachment { name: "index".to_owned(), data }];
    Segment { attachments, if_exists, ..segment(key, bytes, Codec::Zstd) }
}

#[test]
fn attachments_count_for_the_content_unless_the_caller_compares_the_segment_alone() {
    for place in Place::each() {
        let (driver, bytes) = (place.open(""), noise(1, MANY_PARTS));
        let offload = |attachment: &[u8], how, look_first| {
            let segment = Segment { look_first, ..with_attachment("k", &bytes, attachment, how) };
            driver.offload(segment, &Call::default())
        };
        offload(b"one", IfExists::SucceedIfSame, false).unwrap();
        for look_first in [false, true] {
            assert!(offload(b"one", IfExists::SucceedIfSame, look_first).unwrap().existed);
            assert_eq!(code(offload(b"two", IfExists::SucceedIfSame, look_first)), Code::AlreadyExists);
            assert!(offload(b"two", IfExists::SucceedIfSameSegment, look_first).unwrap().existed);
        }
        let without = |how| offload_if(&driver, &bytes, Codec::Zstd, how);
        assert_eq!(code(without(IfExists::SucceedIfSame)), Code::AlreadyExists);
        assert!(without(IfExists::SucceedIfSameSegment).unwrap().existed);
        assert_eq!(&*driver.read_attachment(&by_key("k"), "index", &Call::default()).unwrap(), b"one");
    }
}

#[test]
fn a_caller_may_ask_that_any_taken_key_is_an_error() {
    for place in Place::each() {
        for len in [100, MANY_PARTS] {
            for look_first in [false, true] {
                let (key, bytes) = (format!("{len}-{look_first}"), noise(1, len));
                let driver = place.open("");
                let offload = || {
                    let segment = segment(&key, &bytes, Codec::Zstd);
                    let segment = Segment { if_exists: IfExists::Fail, look_first, ..segment };
                    driver.offload(segment, &Call::default())
                };
                assert!(!offload().unwrap().existed);
                assert_eq!(code(offload()), Code::AlreadyExists);
            }
        }
        // Its own object does not count as taken when the reply was lost.
        let lossy = place.open("put=1:lost&commit=1:lost");
        for (key, len) in [("small", 100), ("large", MANY_PARTS)] {
            let segment = Segment { if_exists: IfExists::Fail, ..segment(key, &noise(1, len), Codec::None) };
            assert!(!lossy.offload(segment, &Call::default()).unwrap().existed);
        }
    }
}

#[test]
fn two_offloads_of_one_key_at_once_leave_one_object_and_no_mixture() {
    for place in Place::each() {
        for round in 0..12 {
            let key = format!("race-{round}");
            let len = [100, MANY_PARTS][round % 2];
            let barrier = Arc::new(Barrier::new(4));
            let racers: Vec<_> = (0..4)
                .map(|n| {
                    // Two drivers offload one content, two another one; two reply badly.
                    let driver = place.open(["", "put=1:lost&commit=1:lost"][n % 2]);
                    let (barrier, key, bytes) = (barrier.clone(), key.clone(), noise(n as u64 / 2, len));
                    thread::spawn(move || {
                        barrier.wait();
                        let receipt = offload(&driver, &key, &bytes, CODECS[n % 2]);
                        (n / 2, receipt)
                    })
                })
                .collect();
            let results: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
            let created: Vec<_> =
                results.iter().filter(|(_, r)| r.as_ref().is_ok_and(|receipt| !receipt.existed)).collect();
            assert_eq!(created.len(), 1, "{results:?}");
            let (winner, receipt) = created[0];
            assert_same(&content(&place, &key), &noise(*winner as u64, len));
            for (n, result) in &results {
                match result {
                    Ok(same) => {
                        let id = receipt.as_ref().unwrap().object_id;
                        assert_eq!((*n, same.object_id), (*winner, id), "a receipt is of what is there");
                    }
                    Err(e) => assert_eq!((*n != *winner, e.code()), (true, Code::AlreadyExists), "{e}"),
                }
            }
            place.open("").delete(&[key], &Call::default()).unwrap().remove(0).unwrap();
            place.holds_only(&[]);
        }
    }
}

#[test]
fn an_offload_that_looks_first_sends_nothing_if_the_content_is_there() {
    for place in Place::each() {
        for len in [0, 100, MANY_PARTS] {
            let (key, bytes) = (format!("k{len}"), noise(1, len));
            let first = offload(&place.open(""), &key, &bytes, Codec::Zstd).unwrap();
            let script = "put=*:INTERNAL&begin=*:INTERNAL";
            for codec in CODECS {
                let (told, set) = (place.open(script), [("upload.verify.exists", "true")]);
                let segment = || segment(&key, &bytes, codec);
                let told = told.offload(Segment { look_first: true, ..segment() }, &Call::default()).unwrap();
                let set =
                    place.open_on(&engine(), script, &set).offload(segment(), &Call::default()).unwrap();
                assert!(told.existed && set.existed);
                assert_eq!((&told.object_id, &told.token), (&first.object_id, &set.token));
            }
            let other = Segment { look_first: true, ..segment(&key, &noise(2, len + 1), Codec::Zstd) };
            assert_eq!(code(place.open(script).offload(other, &Call::default())), Code::AlreadyExists);
            let new = Segment { look_first: true, ..segment(&format!("new{len}"), &bytes, Codec::Zstd) };
            assert!(!place.open("").offload(new, &Call::default()).unwrap().existed);
        }
    }
}
