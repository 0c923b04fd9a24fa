//! Objects of format version 1 that were written once and are read for ever, by us and by a
//! reader in Python that was written from `docs/format.md` alone.
//!
//! `SEGLIFT_BLESS=1` writes the files anew; that is right only for a new kind of object.

mod format_support;

use std::{fs, path::PathBuf, process::Command};

use format_support::{Object, Recipe, Source, flags_at, kinds, mixed, reseal, same};
use seglift::{
    Code,
    codec::Codec,
    object::{Mode, Tail, Token},
};

const STORE: u64 = 0x0123_4567_89AB_CDEF;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The golden file; written first if it is to be blessed.
fn golden(name: &str, fresh: &[u8]) -> Vec<u8> {
    if std::env::var_os("SEGLIFT_BLESS").is_some() {
        fs::write(path(name), fresh).unwrap();
    }
    fs::read(path(name)).unwrap_or_else(|e| panic!("golden file {name}: {e}"))
}

fn file(kind: &str) -> String {
    format!("v1-{kind}.seglift")
}

#[test]
fn golden_objects_of_version_1_are_read() {
    for (kind, recipe) in kinds() {
        let object = golden(&file(kind), &recipe.build().0);
        let opened = Object::open(&object, 64 << 10).unwrap();
        assert!(same(&opened.read_all().unwrap(), &recipe), "{kind}");
        assert_eq!(
            (opened.tail.owner(), opened.tail.created_us()),
            ("cluster-a", 1_700_000_000_000_000),
            "{kind}"
        );
    }
}

#[test]
fn golden_objects_of_version_1_are_written_again_byte_for_byte() {
    for (kind, recipe) in kinds() {
        let (fresh, tail) = recipe.build();
        let object = golden(&file(kind), &fresh);
        if recipe.codec == Codec::None {
            assert!(object == fresh, "{kind}");
        } else {
            // Another zstd may compress otherwise; all that does not follow from that is the same.
            let opened = Object::open(&object, 64 << 10).unwrap();
            let known =
                |tail: &Tail| (tail.content(), tail.segment_len(), tail.block_count(), tail.ids(), tail.id());
            assert_eq!(known(&opened.tail), known(&tail), "{kind}");
        }
    }
}

#[test]
fn a_golden_token_of_version_1_is_decoded_and_written_again() {
    let (_, recipe) = kinds().swap_remove(0);
    let token = recipe.build().1.token(STORE);
    let bytes = golden("v1.token", &token.encode());
    assert_eq!(Token::decode(&bytes).unwrap(), token);
    assert_eq!(bytes, token.encode());
}

/// An object with a bit set in the flags at `flags_at() + offset`.
fn with_flag(offset: usize) -> (Recipe, Vec<u8>) {
    let recipe = Recipe::new(Codec::None, Source::Bytes(mixed(500)));
    let (mut object, tail) = recipe.build();
    object[flags_at(&tail) + offset + 3] |= 0x40;
    reseal(&mut object, &tail);
    (recipe, object)
}

#[test]
fn a_golden_object_with_a_future_incompatible_flag_is_unsupported_before_any_data() {
    let object = golden("future-incompatible-flag.seglift", &with_flag(0).1);
    let e = Object::open(&object, 64 << 10).err().expect("no tail, so no data");
    assert_eq!(e.code(), Code::UnsupportedVersion);
    assert!(e.message().contains("0x40000000"), "{e}");
    let python = python(&["future-incompatible-flag.seglift", "range", "0", "1"]);
    assert!(!python.status.success() && python.stdout.is_empty());
}

#[test]
fn a_golden_object_with_a_future_compatible_flag_is_read() {
    let (recipe, fresh) = with_flag(4);
    let object = golden("future-compatible-flag.seglift", &fresh);
    assert!(same(&Object::open(&object, 64 << 10).unwrap().read_all().unwrap(), &recipe));
    let Source::Bytes(bytes) = recipe.source else { panic!("it is a segment of bytes") };
    assert!(read_python(&["future-compatible-flag.seglift", "range", "0", "500"]) == bytes);
}

fn python(args: &[&str]) -> std::process::Output {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Command::new("python3")
        .arg(root.join("tests/python/seglift_reader.py"))
        .args(args)
        .current_dir(root.join("tests/golden"))
        .output()
        .expect("python3 is installed")
}

/// What the reader in Python prints.
fn read_python(args: &[&str]) -> Vec<u8> {
    let output = python(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_reader_in_python_from_the_document_alone_reads_ranges() {
    for (kind, recipe) in kinds() {
        let Source::Bytes(bytes) = &recipe.source else { continue };
        let len = bytes.len();
        for (start, end) in [(0, len), (0, len.min(1)), (len.min(4095), len.min(4097)), (len.min(9000), len)]
        {
            let read = read_python(&[&file(kind), "range", &start.to_string(), &end.to_string()]);
            assert!(read == bytes[start..end], "{kind} {start}..{end}");
        }
    }
}

#[test]
fn a_reader_in_python_from_the_document_alone_reads_records() {
    for (kind, recipe) in kinds() {
        let Source::Records(given) = &recipe.source else { continue };
        let last = given[given.len() - 1].0;
        for first in [0, given[0].0, given[16].0 + 1, given[31].0 - 1, last, last + 1] {
            let expected: String = given
                .iter()
                .filter(|record| record.0 >= first)
                .take(25)
                .map(|(id, time, payload)| {
                    let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
                    format!("{id} {time} {hex}\n")
                })
                .collect();
            let read = read_python(&[&file(kind), "records", &first.to_string(), "25"]);
            assert!(read == expected.as_bytes(), "{kind} from {first}");
        }
    }
}

#[test]
fn a_reader_in_python_from_the_document_alone_reads_attachments_and_checks_everything() {
    for (kind, recipe) in kinds() {
        for (name, _, raw) in &recipe.attachments {
            assert!(read_python(&[&file(kind), "attachment", name]) == *raw, "{kind} {name}");
        }
        let verified = String::from_utf8(read_python(&[&file(kind), "verify"])).unwrap();
        let tail = recipe.build().1;
        let mode = if tail.mode() == Mode::Bytes { "bytes" } else { "records" };
        assert_eq!(
            verified,
            format!("{} {mode} {} {:016x}\n", tail.id(), tail.content().length, tail.content().crc64)
        );
    }
}

#[test]
fn the_reader_in_python_notices_a_flipped_bit() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, recipe) in kinds().into_iter().filter(|(_, recipe)| !recipe.attachments.is_empty()) {
        let (object, tail) = recipe.build();
        let places = [
            100,
            tail.attachments()[0].stored.start,
            tail.page_position(0).start,
            tail.position().start + 30,
        ];
        for at in places {
            let mut damaged = object.clone();
            damaged[at as usize] ^= 4;
            let path = dir.path().join("damaged");
            fs::write(&path, &damaged).unwrap();
            assert!(!python(&[path.to_str().unwrap(), "verify"]).status.success(), "{kind}: byte {at}");
        }
    }
}
