//! What is sent is what the host meant, or nothing is committed.

use crate::common::*;
use bytes::Bytes;
use seglift::{
    Code,
    codec::{Codec, checksum},
    engine::Call,
    object::{CONTENT_TYPE, Metadata},
    writer::{Attachment, AttachmentData, Digest, Segment, Source},
};
use std::{fs::OpenOptions, os::unix::fs::FileExt, path::Path};

fn from_file(key: &str, path: &Path, codec: Codec) -> Segment {
    let source = Source::Path { path: path.to_owned(), offset: 0, len: None };
    Segment { codec: Some(codec), ..Segment::new(key, source) }
}

#[test]
fn a_digest_of_the_host_that_does_not_match_stops_the_commit() {
    for place in Place::each() {
        let driver = place.open("");
        for codec in CODECS {
            for len in [0, 100, MANY_PARTS] {
                let bytes = noise(1, len);
                let (crc32c, crc64) = (checksum::crc32c(&bytes), checksum::crc64nvme(&bytes));
                for wrong in [Digest::Crc32c(crc32c ^ 1), Digest::Crc64Nvme(crc64 ^ (1 << 63))] {
                    let segment = Segment { expected: Some(wrong), ..segment("k", &bytes, codec) };
                    assert_eq!(code(driver.offload(segment, &Call::default())), Code::SourceFailed);
                    place.holds_only(&[]);
                }
                for right in [Digest::Crc32c(crc32c), Digest::Crc64Nvme(crc64)] {
                    let segment = Segment { expected: Some(right), ..segment("k", &bytes, codec) };
                    assert!(!driver.offload(segment, &Call::default()).unwrap().existed);
                    driver.delete(&["k".to_owned()], &Call::default()).unwrap().remove(0).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_source_that_becomes_shorter_stops_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segment");
    for place in Place::each() {
        for codec in CODECS {
            for (len, rest) in [(MANY_PARTS, MANY_PARTS - 1), (MANY_PARTS, 0), (3 << 20, 2 << 20)] {
                std::fs::write(&path, noise(1, len)).unwrap();
                let file = OpenOptions::new().write(true).open(&path).unwrap();
                // With zstd the source is read ahead of the store, but no further than memory goes.
                let driver = place.open_on(&engine(), "begin=1:delay-300ms", &[("upload.concurrency", "1")]);
                let segment = from_file("k", &path, codec);
                let result = at_stage(
                    &driver,
                    "begin upload",
                    move |driver| driver.offload(segment, &Call::default()),
                    || file.set_len(rest as u64).unwrap(),
                );
                assert_eq!(code(result), Code::SourceFailed, "{codec:?} {len}");
                place.holds_only(&[]);
            }
        }
    }
    // A source that was too short from the beginning is told so as well.
    std::fs::write(&path, b"short").unwrap();
    let source = Source::Path { path, offset: 3, len: Some(3) };
    let result = Place::memory().open("").offload(Segment::new("k", source), &Call::default());
    assert_eq!(code(result), Code::SourceFailed);
}

#[test]
fn a_source_that_changes_between_two_readings_of_a_part_stops_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segment");
    for place in Place::each() {
        for at in [0, 50_000, 99_999] {
            std::fs::write(&path, noise(1, 100_000)).unwrap();
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            let driver =
                place.open_on(&engine(), "put=1:unknown&get=1:delay-300ms", &[("upload.part.size", "1MiB")]);
            let segment = from_file("k", &path, Codec::None);
            let result = at_stage(
                &driver,
                "settle",
                move |driver| driver.offload(segment, &Call::default()),
                || file.write_all_at(&[noise(1, 100_000)[at] ^ 4], at as u64).unwrap(),
            );
            // The first request had the right bytes, and nobody knows what became of it.
            let error = result.unwrap_err();
            assert_eq!(error.code(), Code::OutcomeUnknown, "{error}");
            assert!(error.message().contains("offload only sealed segments"), "{error}");
            place.holds_only(&[]);
        }
    }
}

#[test]
fn a_request_that_is_sent_again_reads_its_source_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segment");
    std::fs::write(&path, noise(1, 100_000)).unwrap();
    for place in Place::each() {
        for codec in CODECS {
            let settings = [("upload.part.size", "1MiB")];
            let driver = place.open_on(&engine(), "put=1:unknown,2:UNAVAILABLE,3:unknown", &settings);
            let receipt = driver.offload(from_file(codec.name(), &path, codec), &Call::default()).unwrap();
            assert!(!receipt.existed);
            assert_same(&content(&place, codec.name()), &noise(1, 100_000));
        }
    }
}

#[test]
fn metadata_attachments_and_offsets_come_back_as_they_were_given() {
    for place in Place::each() {
        for (codec, len) in
            CODECS.into_iter().flat_map(|codec| [(codec, 0), (codec, 100), (codec, MANY_PARTS)])
        {
            let key = format!("{}-{len}", codec.name());
            let mut metadata = Metadata::new();
            metadata.insert(CONTENT_TYPE, "text/plain").unwrap();
            metadata.insert("bytes", [0, 255, 10]).unwrap();
            metadata.insert("empty", "").unwrap();
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), noise(9, 70_000)).unwrap();
            let blobs = [("offset index", Bytes::new()), ("time index", Bytes::from(vec![7; 100_000]))];
            let mut attachments: Vec<_> = blobs
                .iter()
                .map(|(name, data)| Attachment {
                    name: (*name).to_owned(),
                    data: AttachmentData::Bytes(data.clone()),
                })
                .collect();
            let data = AttachmentData::Path(file.path().to_owned());
            attachments.push(Attachment { name: "größe/7".to_owned(), data });
            let offsets = Some((5, u64::MAX));
            let segment = segment(&key, &noise(1, len), codec);
            let segment = Segment { metadata: metadata.clone(), attachments, offsets, ..segment };
            place.open("").offload(segment, &Call::default()).unwrap();

            let driver = place.open("");
            let stat = driver.stat(&by_key(&key), &Call::default()).unwrap();
            assert!(stat.metadata().eq(metadata.iter()), "{:?}", stat.metadata().collect::<Vec<_>>());
            assert_eq!(stat.offsets(), offsets);
            let names: Vec<_> = stat.attachments().iter().map(|a| a.entry.name.as_str()).collect();
            assert_eq!(names, ["offset index", "time index", "größe/7"]);
            let attachment = |name| driver.read_attachment(&by_key(&key), name, &Call::default());
            for (name, data) in blobs {
                assert_same(&attachment(name).unwrap(), &data);
            }
            assert_same(&attachment("größe/7").unwrap(), &noise(9, 70_000));
            assert_eq!(code(attachment("none")), Code::OutOfRange);
        }
    }
}

#[test]
fn an_empty_segment_is_a_segment() {
    for place in Place::each() {
        for codec in CODECS {
            let receipt = offload(&place.open(""), codec.name(), &Bytes::new(), codec).unwrap();
            assert_eq!((receipt.segment_bytes, receipt.blocks), (0, 0));
            let driver = place.open("");
            for r in [by_key(codec.name()), by_receipt(&receipt)] {
                assert_eq!(read(&driver, &r, 0, 10).unwrap(), b"");
                assert_eq!(code(read(&driver, &r, 1, 10)), Code::OutOfRange);
                assert_eq!(driver.read_range_bytes(&r, 0, 10, &Call::default()).unwrap().len(), 0);
                assert!(driver.verify(&r, &Call::default()).unwrap().first_error.is_none());
            }
            assert!(offload(&driver, codec.name(), &Bytes::new(), codec).unwrap().existed);
        }
        place.holds_only(&["none", "zstd"]);
    }
}
