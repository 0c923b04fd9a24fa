//! Keys that want out of the store, through every door; and what somebody put into a store's folder.

use super::measure::alone;
use seglift::{
    Code, Driver, Result,
    config::Config,
    engine::{Call, Engine, EngineOptions},
    object::{Metadata, Mode},
    reader::SegmentRef,
    store::{GetRange, Key, OpenOptions, UploadInfo, conformance::block_on, open},
    writer::{IfExists, Segment, Source, WriterOptions},
};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    net::TcpListener,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Texts that must never reach a store.
fn refused_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "",
        ".",
        "..",
        "../outside",
        "a/../../outside",
        "a/..",
        "./a",
        "/etc/passwd",
        "//a",
        "a//b",
        "a/",
        "a\\..\\..\\outside",
        "C:\\x",
        "a\0",
        "a\0/../b",
        "a\nb",
        "a\r\nHost: x",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{1b}[2J",
        ".seglift-upload-1",
        "a/.seglift-upload-0123456789abcdef-x",
    ]
    .map(str::to_owned)
    .to_vec();
    keys.push("n".repeat(201));
    keys.push("a/".repeat(450) + "a");
    keys.push("k".repeat(100 << 10));
    keys.push("\u{1f600}".repeat(60));
    keys
}

/// Texts that look as if they meant something else, and are names like any other.
const ODD_KEYS: [&str; 18] = [
    "%2e%2e/%2f",
    "..%2fx",
    "...",
    "..a/b..",
    "~",
    "~root/x",
    "-rf",
    "$(reboot)",
    "a b?versionId=1&x=y#z",
    "*",
    "con/nul/aux",
    "a:b",
    "\u{202e}txt.exe",
    "\u{2024}\u{2024}/\u{2215}x",
    "\u{ff0e}\u{ff0e}/x",
    "e\u{301}/\u{e9}",
    "\u{feff}a\u{200b}",
    "\u{10ffff}",
];

/// A folder `tier` for a store, with something beside it that nobody may touch.
fn place() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("tier")).unwrap();
    fs::write(dir.path().join("outside"), "untouched").unwrap();
    let uri = format!("file://{}", dir.path().join("tier").display());
    (dir, uri)
}

fn untouched(dir: &TempDir) {
    let names: BTreeSet<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().eq(["outside", "tier"]), "{names:?}");
    assert_eq!(fs::read(dir.path().join("outside")).unwrap(), b"untouched");
}

fn driver(uri: &str) -> Driver {
    let engine = Engine::new(EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap();
    let mut config = Config::new();
    config.set("s3.anonymous", "true").unwrap();
    Driver::open(&engine, uri, &config).unwrap()
}

#[test]
fn a_key_that_is_none_is_refused_at_every_door_before_a_store_hears_of_it() {
    let _alone = alone();
    let (dir, folder) = place();
    let ear = TcpListener::bind("127.0.0.1:0").unwrap();
    let s3 =
        format!("s3://bucket/tier?endpoint=http://{}&region=us-east-1&style=path", ear.local_addr().unwrap());
    for uri in [folder.as_str(), "memory:", &s3] {
        let driver = driver(uri);
        for text in refused_keys() {
            let call = Call { deadline: Some(Duration::from_secs(20)), ..Call::default() };
            let r = SegmentRef { key: text.clone(), token: None };
            let options = WriterOptions {
                key: text.clone(),
                mode: Mode::Bytes,
                codec: None,
                if_exists: IfExists::default(),
                max_bytes: Some(1 << 20),
                metadata: Metadata::default(),
            };
            let doors: [(&str, Result<()>); 10] = [
                (
                    "offload",
                    driver
                        .offload(Segment::new(text.clone(), Source::Bytes(b"x".as_slice().into())), &call)
                        .map(drop),
                ),
                ("writer", driver.writer(options, &call, None).map(drop)),
                ("read_range", driver.read_range(&r, 0, &mut [0; 4], &call).map(drop)),
                ("read_range_bytes", driver.read_range_bytes(&r, 0, 4, &call).map(drop)),
                ("read_records", driver.read_records(&r, 0, 1, 0, &call).map(drop)),
                ("read_attachment", driver.read_attachment(&r, "a", &call).map(drop)),
                ("stat", driver.stat(&r, &call).map(drop)),
                ("verify", driver.verify(&r, &call).map(drop)),
                ("object_range", driver.object_range(&text, 0, 4, &call).map(drop)),
                (
                    "delete",
                    driver
                        .delete(std::slice::from_ref(&text), &call)
                        .and_then(|answers| answers.into_iter().collect()),
                ),
            ];
            for (door, result) in doors {
                let error = result.expect_err(door);
                assert_eq!(error.code(), Code::InvalidArgument, "{door} of {text:?} at {uri}: {error}");
                let plain = !error.message().chars().any(char::is_control) && error.message().len() < 2000;
                assert!(plain, "{door}: {error}");
            }
        }
    }
    untouched(&dir);
    assert_eq!(fs::read_dir(dir.path().join("tier")).unwrap().count(), 0);
    ear.set_nonblocking(true).unwrap();
    assert!(ear.accept().is_err(), "the S3 store was asked");
}

#[test]
fn odd_names_are_names_and_lie_below_the_folder() {
    let _alone = alone();
    let (dir, uri) = place();
    for uri in [uri.as_str(), "memory:"] {
        let driver = driver(uri);
        for key in ODD_KEYS {
            let segment = Segment::new(key, Source::Bytes(key.as_bytes().to_vec().into()));
            driver.offload(segment, &Call::default()).unwrap_or_else(|e| panic!("{key:?}: {e}"));
            let r = SegmentRef { key: key.to_owned(), token: None };
            let back = driver.read_range_bytes(&r, 0, 1000, &Call::default()).unwrap();
            assert_eq!(&back[..], key.as_bytes());
            assert!(!uri.starts_with("file") || dir.path().join("tier").join(key).is_file(), "{key:?}");
        }
        let page = driver.list("", None, 100, &Call::default()).unwrap();
        let listed: BTreeSet<_> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(listed, BTreeSet::from(ODD_KEYS));
    }
    untouched(&dir);
}

#[test]
fn prefixes_and_places_to_begin_that_are_no_keys_list_nothing_from_outside() {
    let _alone = alone();
    let (dir, uri) = place();
    for uri in [uri.as_str(), "memory:"] {
        let driver = driver(uri);
        driver.offload(Segment::new("a/b", Source::Bytes(b"x".as_slice().into())), &Call::default()).unwrap();
        for text in refused_keys() {
            for (prefix, after) in [(text.as_str(), None), ("", Some(text.as_str())), ("../", Some(&text))] {
                if let Ok(page) = driver.list(prefix, after, 10, &Call::default()) {
                    assert!(
                        page.entries.iter().all(|entry| entry.key.as_str() == "a/b"),
                        "{prefix:?} {after:?}"
                    );
                }
            }
        }
    }
    untouched(&dir);
}

#[test]
fn whatever_lies_in_a_folder_is_listed_if_it_is_an_object_and_otherwise_left_alone() {
    let _alone = alone();
    let (dir, uri) = place();
    let tier = dir.path().join("tier");
    let driver = driver(&uri);
    driver.offload(Segment::new("good", Source::Bytes(b"x".as_slice().into())), &Call::default()).unwrap();
    for name in [&b"\xff\xfe"[..], b"a\nb", b"a\\b", b"\x1b[2J", "n".repeat(255).as_bytes()] {
        fs::write(tier.join(OsStr::from_bytes(name)), "x").unwrap();
    }
    symlink("..", tier.join("up")).unwrap();
    symlink("loop", tier.join("loop")).unwrap();
    symlink("/dev/zero", tier.join("zero")).unwrap();
    fs::hard_link(dir.path().join("outside"), tier.join("linked")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, tier.join("pipe"), 0o666.into()).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(tier.join("socket")).unwrap();
    // Deeper than any key, and than any stack or table of descriptors.
    let mut at = rustix::fs::open(&tier, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&at, "d", 0o777.into()).unwrap();
        at = rustix::fs::openat(&at, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    }
    let begun = Instant::now();
    let page = driver.list("", None, 100, &Call::default()).unwrap();
    let listed: Vec<_> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
    // A hard link is a file of the store like any other.
    assert_eq!(listed, ["good", "linked"]);
    for name in ["up/outside", "loop", "zero", "pipe", "socket", "d", "up"] {
        let r = SegmentRef { key: name.to_owned(), token: None };
        let error = driver.stat(&r, &Call::default()).unwrap_err();
        assert_eq!(error.code(), Code::NotFound, "{name}: {error}");
        driver.delete(&[name.to_owned()], &Call::default()).unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
    drop((socket, driver));
    // The test's own clean-up would stumble over the depth.
    assert!(Command::new("rm").arg("-rf").arg(tier.join("d")).status().unwrap().success());
    for name in ["up", "loop", "zero", "pipe", "socket"] {
        assert!(tier.join(name).symlink_metadata().is_ok(), "{name} is no object and stays");
    }
    untouched(&dir);
}

#[test]
fn a_folder_that_is_everything_is_no_store() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    symlink("/", dir.path().join("root")).unwrap();
    let path = dir.path().display();
    for uri in [
        format!("file://{path}/root"),
        "file:///tmp/..".to_owned(),
        "file:///tmp/%2e%2e".to_owned(),
        "file:///".to_owned(),
    ] {
        let error = open(&uri, &OpenOptions::default()).err().expect("a store of everything");
        assert!(matches!(error.code(), Code::InvalidConfig | Code::InvalidArgument), "{uri}: {error}");
    }
}

#[test]
fn the_name_of_an_upload_that_was_tampered_with_opens_nothing() {
    let _alone = alone();
    let (dir, uri) = place();
    fs::write(dir.path().join("tier/object"), "an object").unwrap();
    let store = open(&uri, &OpenOptions::default()).unwrap();
    let info = UploadInfo { owner: "o".to_owned(), ..UploadInfo::default() };
    let own = format!(".seglift-upload-{:016x}-", seglift::store::fingerprint("o"));
    let uuid = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
    let ids = [
        String::new(),
        "object".to_owned(),
        "../outside".to_owned(),
        "/etc/passwd".to_owned(),
        own.clone(),
        format!("{own}{uuid}/../../outside"),
        format!("{own}../../outside"),
        format!("{own}{uuid}\0"),
        format!("{own}{}", uuid.to_uppercase()),
        format!("{own}{uuid}"),
        "x".repeat(1 << 20),
    ];
    block_on(async {
        let key = Key::new("k").unwrap();
        for id in &ids {
            let found = store.resume(&key, &info, id).await;
            assert!(matches!(found, Ok(None)), "{id:.80}: {:?}", found.err());
        }
        assert!(store.get(&key, GetRange::Suffix(1)).await.is_err());
    });
    assert_eq!(fs::read(dir.path().join("tier/object")).unwrap(), b"an object");
    untouched(&dir);
}

#[test]
fn the_command_refuses_such_keys_too_and_touches_nothing() {
    let _alone = alone();
    let (dir, uri) = place();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seglift"));
        command.current_dir(dir.path().join("tier")).args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(output.status.code().is_some() && !text.contains("panicked"), "{arguments:?}: {text}");
        assert!(!text.trim_end().chars().any(|c| c.is_control() && c != '\n'), "{arguments:?}: {text:?}");
    };
    let outside = dir.path().join("outside");
    for key in ["../outside", "a/../../outside", "a\\b", "a\u{1b}[2J", "a//b", &"n".repeat(300)] {
        let address = format!("{uri}/{key}");
        run(&["stat", &address]);
        run(&["cat", &address]);
        run(&["verify", &address]);
        run(&["offload", &outside.display().to_string(), &address]);
    }
    untouched(&dir);
    assert_eq!(fs::read_dir(dir.path().join("tier")).unwrap().count(), 0);
    assert!(Path::new(&outside).is_file());
}
