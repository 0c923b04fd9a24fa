//! Going on with an offload that failed: what is sent again, what is kept, and what is not touched.

use crate::common::*;
use bytes::Bytes;
use seglift::{
    Code, Driver, Error, Result,
    codec::Codec,
    engine::Call,
    maintain::{ReapOptions, Verdict},
    metrics::{Outcome, Request},
    object::{Encoding, Metadata, ResumeBlob},
    writer::{Attachment, AttachmentData, Receipt, Segment, Source},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Bytes of a part.
const PART: u64 = 64 << 10;
/// What the fourth part, and every one after it, fails with: three parts have arrived then.
const FOURTH_FAILS: &str = "part=4+:UNAVAILABLE";

/// A host with a sealed segment, and a place for the resume file.
struct Host {
    dir: tempfile::TempDir,
    codec: Codec,
}

impl Host {
    fn new(content: &Bytes, codec: Codec) -> Host {
        let host = Host { dir: tempfile::tempdir().unwrap(), codec };
        host.write(content);
        host
    }

    fn write(&self, content: &[u8]) {
        fs::write(self.dir.path().join("segment"), content).unwrap();
    }

    fn resume(&self) -> PathBuf {
        self.dir.path().join("resume")
    }

    fn blob(&self) -> ResumeBlob {
        ResumeBlob::decode(&fs::read(self.resume()).unwrap()).unwrap()
    }

    fn segment(&self, key: &str) -> Segment {
        let source = Source::Path { path: self.dir.path().join("segment"), offset: 0, len: None };
        Segment { codec: Some(self.codec), resume: Some(self.resume()), ..Segment::new(key, source) }
    }

    fn offload(&self, driver: &Driver, key: &str) -> Result<Receipt> {
        driver.offload(self.segment(key), &Call::default())
    }

    /// An offload of `k` ends after three parts.
    #[track_caller]
    fn fails_after_three_parts(&self, place: &Place) -> Error {
        let e = self.offload(&serial(place, FOURTH_FAILS), "k").unwrap_err();
        assert_eq!(e.code(), Code::Unavailable, "{e}");
        assert_eq!(self.blob().key, "k");
        e
    }

    /// Whether the file, and what it is made of, is gone.
    fn has_only_its_segment(&self) -> bool {
        fs::read_dir(self.dir.path()).unwrap().count() == 1
    }
}

/// A driver that sends one part after the other.
fn serial(place: &Place, script: &str) -> Driver {
    place.open_on(&engine(), script, &[("upload.concurrency", "1")])
}

/// Requests that began an upload or sent a part of one.
fn parts(driver: &Driver) -> u64 {
    let ended = driver.engine().metrics().store_requests.of(Request::Part);
    let codes = Code::ALL.iter().map(|code| ended.of((*code).into()).value());
    ended.of(Outcome::OK).value() + codes.sum::<u64>()
}

/// The lines of the log that say why nothing is resumed.
fn reasons(driver: &Driver) -> Vec<String> {
    let lines = std::iter::from_fn(|| driver.engine().log().poll());
    lines.map(|line| format!("{line:?}")).filter(|line| line.contains("afresh")).collect()
}

fn each(mut test: impl FnMut(Place, Host, Bytes)) {
    for codec in CODECS {
        for place in Place::each() {
            let content = noise(1, MANY_PARTS);
            test(place, Host::new(&content, codec), content);
        }
    }
}

#[test]
fn a_resumed_offload_sends_only_what_the_store_does_not_have() {
    each(|place, host, content| {
        let e = host.fails_after_three_parts(&place);
        assert!(e.message().contains("3 parts are kept for a resume by"), "{e}");
        let driver = serial(&place, "");
        let receipt = host.offload(&driver, "k").unwrap();
        assert_eq!((receipt.resumed_bytes, receipt.existed), (3 * PART, false));
        assert_eq!(parts(&driver), 4, "four of seven parts, and nothing is begun");
        assert_same(&content_by(&place, &receipt), &content);
        place.holds_only(&["k"]);
        assert!(host.has_only_its_segment());
    });
}

#[test]
fn an_offload_of_a_descriptor_is_resumed_like_one_of_a_path() {
    each(|place, host, content| {
        // Each attempt has a descriptor of its own, as a process that was started again has.
        let by_descriptor = |driver: &Driver| {
            let file = fs::File::open(host.dir.path().join("segment")).unwrap();
            let source = Source::File { file, offset: 0, len: None };
            driver.offload(Segment { source, ..host.segment("k") }, &Call::default())
        };
        let e = by_descriptor(&serial(&place, FOURTH_FAILS)).unwrap_err();
        assert!(e.message().contains("3 parts are kept for a resume by"), "{e}");
        let driver = serial(&place, "");
        let receipt = by_descriptor(&driver).unwrap();
        assert_eq!((receipt.resumed_bytes, parts(&driver)), (3 * PART, 4));
        assert_same(&content_by(&place, &receipt), &content);
        place.holds_only(&["k"]);
        assert!(host.has_only_its_segment());
    });
}

/// The whole segment, as somebody reads it who has the receipt.
fn content_by(place: &Place, receipt: &Receipt) -> Vec<u8> {
    read(&place.open(""), &by_receipt(receipt), 0, MANY_PARTS + 1).unwrap()
}

#[test]
fn a_resumed_offload_whose_source_changed_sends_the_changed_parts_again() {
    each(|place, host, content| {
        host.fails_after_three_parts(&place);
        let mut changed = content.to_vec();
        changed[PART as usize + 100] ^= 1;
        host.write(&changed);
        let driver = serial(&place, "");
        let receipt = host.offload(&driver, "k").unwrap();
        assert_eq!((receipt.resumed_bytes, parts(&driver)), (2 * PART, 5));
        assert_same(&content_by(&place, &receipt), &changed);
        place.open("").verify(&by_receipt(&receipt), &Call::default()).unwrap();
    });
}

#[test]
fn what_a_resume_needs_is_on_disk_before_the_first_part_is_sent() {
    each(|place, host, _| {
        let driver = serial(&place, "part=1:stall");
        let (call, cancel) = cancellable();
        let segment = host.segment("k");
        let ended = at_stage(
            &driver,
            "send parts",
            move |driver| driver.offload(segment, &call),
            || {
                assert_eq!(host.blob().key, "k");
                cancel.cancel();
            },
        );
        assert_eq!(code(ended), Code::Cancelled);
        // No part has arrived, so there is nothing to keep.
        place.holds_only(&[]);
        assert!(host.has_only_its_segment());
    });
}

#[test]
fn an_offload_with_a_resume_file_keeps_what_it_has_sent_until_it_is_reaped() {
    each(|place, host, content| {
        let driver = serial(&place, "part=4:stall");
        let (call, cancel) = cancellable();
        let running = || {
            let segment = host.segment("k");
            let call = call.clone();
            at_stage(
                &driver,
                "send parts",
                move |driver| driver.offload(segment, &call),
                || {
                    until(|| parts(&driver) == 4, || format!("{} requests", parts(&driver)));
                    cancel.cancel();
                },
            )
        };
        let e = running().unwrap_err();
        assert_eq!(e.code(), Code::Cancelled);
        assert!(e.message().contains("3 parts are kept for a resume by"), "{e}");
        let receipt = host.offload(&serial(&place, ""), "k").unwrap();
        assert_eq!(receipt.resumed_bytes, 3 * PART);
        serial(&place, "").delete(&["k".into()], &Call::default()).unwrap().remove(0).unwrap();

        host.fails_after_three_parts(&place);
        let now = ReapOptions { older_than: Duration::ZERO, dry_run: false, all_owners: false };
        let reaped = || serial(&place, "").reap(now, &Call::default()).unwrap().tally(Verdict::Removed).count;
        // It is old as soon as the store's clock has moved on.
        until(|| reaped() == 1, || "the upload is still young".into());
        place.holds_only(&[]);
        let driver = serial(&place, "");
        let receipt = host.offload(&driver, "k").unwrap();
        assert_eq!(receipt.resumed_bytes, 0);
        assert_eq!(reasons(&driver).len(), 1);
        assert_same(&content_by(&place, &receipt), &content);
        assert!(host.has_only_its_segment());
    });
}

#[test]
fn the_resume_file_goes_when_the_offload_is_settled() {
    each(|place, host, content| {
        // Somebody else was faster.
        for (theirs, existed) in [(content.clone(), true), (noise(2, MANY_PARTS), false)] {
            host.fails_after_three_parts(&place);
            offload(&place.open(""), "k", &theirs, host.codec).unwrap();
            let ended = host.offload(&serial(&place, ""), "k");
            match existed {
                true => assert!(ended.unwrap().existed),
                false => assert_eq!(code(ended), Code::AlreadyExists),
            }
            assert!(host.has_only_its_segment());
            place.holds_only(&["k"]);
            place.open("").delete(&["k".into()], &Call::default()).unwrap().remove(0).unwrap();
        }
    });
}

#[test]
fn a_resume_after_a_commit_whose_reply_was_lost_finds_the_object() {
    each(|place, host, content| {
        let driver = serial(&place, "commit=*:lost&get=*:UNAVAILABLE");
        let ended = driver.offload(host.segment("k"), &within(300));
        assert_eq!(code(ended), Code::OutcomeUnknown);
        assert_eq!(host.blob().key, "k", "it may still be needed");
        let driver = serial(&place, "");
        let receipt = host.offload(&driver, "k").unwrap();
        assert!(receipt.existed && parts(&driver) == 0);
        assert_same(&content_by(&place, &receipt), &content);
        place.holds_only(&["k"]);
        assert!(host.has_only_its_segment());
    });
}

#[test]
fn a_resume_by_another_encoder_or_of_other_content_starts_afresh() {
    type Change = fn(&mut Segment, &mut ResumeBlob);
    let changes: [Change; 6] = [
        |_, blob| blob.encoding.encoder = "seglift 0.0.0, zstd 1.0.0".into(),
        |_, blob| blob.encoding = Encoding { part_size: PART + 1, ..blob.encoding.clone() },
        |segment, _| {
            segment.codec = segment.codec.map(|codec| match codec {
                Codec::None => Codec::Zstd,
                Codec::Zstd => Codec::None,
            })
        },
        |segment, _| {
            let mut metadata = Metadata::new();
            metadata.insert("name", "value").unwrap();
            segment.metadata = metadata;
        },
        |segment, _| segment.offsets = Some((1, 2)),
        |segment, _| {
            let data = AttachmentData::Bytes(Bytes::from_static(b"index"));
            segment.attachments = vec![Attachment { name: "index".into(), data }];
        },
    ];
    each(|place, host, content| {
        for (i, change) in changes.iter().enumerate() {
            host.fails_after_three_parts(&place);
            let (mut segment, mut blob) = (host.segment("k"), host.blob());
            change(&mut segment, &mut blob);
            fs::write(host.resume(), blob.encode().unwrap()).unwrap();
            let driver = serial(&place, "");
            let receipt = driver.offload(segment, &Call::default()).unwrap();
            assert_eq!((receipt.resumed_bytes, reasons(&driver).len()), (0, 1), "change {i}");
            assert_same(&content_by(&place, &receipt), &content);
            // The upload that cannot be resumed was aborted.
            place.holds_only(&["k"]);
            assert!(host.has_only_its_segment());
            driver.delete(&["k".into()], &Call::default()).unwrap().remove(0).unwrap();
        }
    });
}

#[test]
fn a_resume_file_that_is_damaged_or_of_another_key_or_store_starts_afresh_and_aborts_nothing() {
    type Change = fn(&mut ResumeBlob);
    let changes: [Change; 3] = [
        |blob| blob.key = "other".into(),
        |blob| blob.store_fingerprint ^= 1,
        |blob| blob.upload = format!("../{}", blob.upload),
    ];
    for codec in CODECS {
        for change in changes.iter().map(Some).chain([None]) {
            let (place, content) = (Place::files(), noise(1, MANY_PARTS));
            let host = Host::new(&content, codec);
            host.fails_after_three_parts(&place);
            let mut blob = host.blob();
            let upload = blob.upload.clone();
            let mut bytes = blob.encode().unwrap();
            match change {
                Some(change) => {
                    change(&mut blob);
                    bytes = blob.encode().unwrap();
                }
                None => bytes[60] ^= 1,
            }
            fs::write(host.resume(), bytes).unwrap();
            let driver = serial(&place, "");
            let receipt = host.offload(&driver, "k").unwrap();
            assert_eq!((receipt.resumed_bytes, reasons(&driver).len()), (0, 1));
            place.holds_only(&[&upload, "k"]);
            assert!(host.has_only_its_segment());
            assert_same(&content_by(&place, &receipt), &content);
        }
    }
}

#[test]
fn a_file_that_is_no_resume_file_is_refused_and_left_as_it_is() {
    each(|place, host, _| {
        for other in [&b"a broker's log"[..], b"S", &noise(3, 100_000)] {
            fs::write(host.resume(), other).unwrap();
            let driver = serial(&place, "");
            assert_eq!(code(host.offload(&driver, "k")), Code::InvalidArgument);
            assert_same(&fs::read(host.resume()).unwrap(), other);
            assert_eq!(parts(&driver), 0);
        }
        fs::remove_file(host.resume()).unwrap();
        fs::create_dir(host.resume()).unwrap();
        assert_eq!(code(host.offload(&serial(&place, ""), "k")), Code::InvalidArgument);
        fs::remove_dir(host.resume()).unwrap();
        // One that is empty holds nothing that could be lost.
        fs::write(host.resume(), b"").unwrap();
        host.offload(&serial(&place, ""), "k").unwrap();
    });
}

#[test]
fn where_the_resume_file_cannot_be_written_nothing_is_sent() {
    each(|place, host, _| {
        let driver = serial(&place, "");
        let resume = Some(host.dir.path().join("missing/resume"));
        let ended = driver.offload(Segment { resume, ..host.segment("k") }, &Call::default());
        assert_eq!(code(ended), Code::InvalidArgument);
        assert_eq!(parts(&driver), 1, "it was begun and no more");
        place.holds_only(&[]);
    });
}

#[test]
fn only_a_file_can_be_offloaded_with_a_resume_file() {
    for place in Place::each() {
        let resume = Some(Path::new("/never/written").to_owned());
        let segment = Segment { resume, ..segment("k", &noise(1, MANY_PARTS), Codec::None) };
        let e = place.open("").offload(segment, &Call::default()).unwrap_err();
        assert_eq!(e.code(), Code::InvalidArgument);
        assert!(e.message().contains("memory is gone with its process"), "{e}");
        place.holds_only(&[]);
    }
}

#[test]
fn an_upload_to_a_folder_that_somebody_is_still_at_is_busy() {
    for codec in CODECS {
        let (place, content) = (Place::files(), noise(1, MANY_PARTS));
        let host = Host::new(&content, codec);
        let driver = serial(&place, "part=4:delay-3000ms");
        let (segment, copy) = (host.segment("k"), host.dir.path().join("copy"));
        let first = at_stage(
            &driver,
            "send parts",
            move |driver| driver.offload(segment, &Call::default()),
            || {
                fs::copy(host.resume(), &copy).unwrap();
                let second = Segment { resume: Some(copy), ..host.segment("k") };
                assert_eq!(code(serial(&place, "").offload(second, &Call::default())), Code::Busy);
            },
        );
        assert_same(&content_by(&place, &first.unwrap()), &content);
    }
}

#[test]
fn a_resume_whose_source_fits_one_request_by_now_aborts_what_was_sent() {
    for place in Place::each() {
        let host = Host::new(&noise(1, MANY_PARTS), Codec::Zstd);
        host.fails_after_three_parts(&place);
        // As long as before, and next to nothing once compressed.
        let zeros = vec![0; MANY_PARTS];
        host.write(&zeros);
        let driver = serial(&place, "");
        let receipt = host.offload(&driver, "k").unwrap();
        assert_eq!((receipt.resumed_bytes, parts(&driver)), (0, 0));
        assert_same(&content_by(&place, &receipt), &zeros);
        place.holds_only(&["k"]);
        let all = ReapOptions { older_than: Duration::ZERO, dry_run: true, all_owners: false };
        assert!(driver.reap(all, &Call::default()).unwrap().items().is_empty());
        assert!(host.has_only_its_segment());
    }
}

#[test]
fn a_resume_never_writes_into_an_object() {
    for codec in CODECS {
        let (place, content) = (Place::files(), noise(1, MANY_PARTS));
        let Place::Files(dir) = &place else { unreachable!() };
        let host = Host::new(&content, codec);
        host.fails_after_three_parts(&place);
        // As a process leaves it that was killed between the link and the removal of the temporary name.
        let temporary = dir.path().join(host.blob().upload);
        fs::remove_file(&temporary).unwrap();
        offload(&place.open(""), "k", &content, codec).unwrap();
        fs::hard_link(dir.path().join("k"), &temporary).unwrap();
        let object = fs::read(dir.path().join("k")).unwrap();
        let mut changed = content.to_vec();
        changed[100] ^= 1;
        host.write(&changed);
        assert_eq!(code(host.offload(&serial(&place, ""), "k")), Code::AlreadyExists);
        assert_same(&fs::read(dir.path().join("k")).unwrap(), &object);
        assert!(host.has_only_its_segment());
    }
}
