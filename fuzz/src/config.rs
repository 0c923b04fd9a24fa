//! Settings. Bytes: 1 for the form (TOML, properties, environment, single values); the text.
//!
//! Oracle: `INVALID_CONFIG` with a message in bounds, or settings that either contradict each other (`INVALID_CONFIG`) or
//! hold; what `describe` says of them can be set again and gives the same; and a secret that was set among them is shown
//! nowhere.

use super::Input;
use seglift::{
    Code, Error,
    config::{Config, Kind, PROPERTIES},
};
use std::{cell::RefCell, fs, path::PathBuf};
use tempfile::TempDir;

/// In the place of a secret value; nothing that is printed may hold it.
const SECRET: &str = "pl4nted-s3cret";

thread_local! {
    static DIR: RefCell<TempDir> = RefCell::new(tempfile::tempdir().unwrap());
}

fn file(name: &str, text: &[u8]) -> PathBuf {
    let path = DIR.with_borrow(|dir| dir.path().join(name));
    fs::write(&path, text).unwrap();
    path
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let form = input.u8() % 4;
    let text = input.rest();
    let mut config = Config::new();
    config.set("s3.secret.key", SECRET).unwrap();
    let lines = String::from_utf8_lossy(text);
    let pairs = || lines.lines().map(|line| line.split_once('=').unwrap_or((line, "")));
    let loaded = match form {
        0 => config.load(file("fuzz.toml", text)),
        1 => config.load(file("fuzz.conf", text)),
        2 => config.load_env(pairs()),
        _ => pairs().try_for_each(|(name, value)| config.set(name, value)),
    };
    if let Err(e) = loaded {
        refused(&e);
    }
    let shown = format!("{config:?} {:?} {:?}", config.describe(), config.ignored());
    assert!(!shown.contains(SECRET), "{shown}");
    match config.settings() {
        Ok(settings) => assert!(!format!("{settings:?}").contains(SECRET)),
        Err(e) => refused(&e),
    }
    let mut again = Config::new();
    for (property, described) in PROPERTIES.iter().zip(config.describe()) {
        if !matches!(property.kind, Kind::Secret) && !described.value.is_empty() {
            let set = again.set(described.key, &described.value);
            assert!(set.is_ok(), "{}={:?}: {set:?}", described.key, described.value);
        }
    }
    for (before, after) in config.describe().iter().zip(again.describe()) {
        let secret = before.value.contains("hidden");
        assert!(
            secret || before.value == after.value,
            "{}: {:?} became {:?}",
            before.key,
            before.value,
            after.value
        );
    }
}

fn refused(e: &Error) {
    assert_eq!(e.code(), Code::InvalidConfig, "{e:?}");
    assert!(!e.message().contains(SECRET) && e.message().len() <= 4096, "{e:?}");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let toml = "owner = 'cluster-a'\nstore.previous = ['s3://a/b', 'file:///c']\n[upload]\ncodec = 'zstd'\n[upload.part]\n\
                size = 0x1000000\n[s3]\nendpoint = 'http://minio:9000'\ntags = 'a=b&c=d'\nsse = 'kms'\n";
    let broker = "# of a broker\nbrokerId=7\nmanagedLedgerOffloadDriver=aws-s3\ns3ManagedLedgerOffloadBucket = logs\n\
                  s3ManagedLedgerOffloadMaxBlockSizeInBytes : 67108864\nmanagedLedgerOffloadDeletionLagMs=14400000\n\
                  long=a\\\n  b\\u0041\ns3ManagedLedgerOffloadRegion=\n";
    let variables = "SEGLIFT_UPLOAD_PART_SIZE=64MiB\nSEGLIFT_OWNER=x\nSEGLIFT_NOBODY=1\nAWS_REGION=eu-west-1\n\
                     AWS_S3_ENCRYPTION=0\nAWS_ENDPOINT_URL=https://s3.example:1\nPATH=/bin\n";
    // Each setting at its default; that of one follows from the machine.
    let mut presets = Config::new();
    presets.set("engine.threads", "2").expect("two threads");
    let presets: String =
        presets.describe().iter().map(|row| format!("{}={}\n", row.key, row.value)).collect();
    let texts =
        [(0, toml), (1, broker), (2, variables), (3, presets.as_str()), (3, "upload.part.size=1.5GiB\n")];
    texts.into_iter().map(|(form, text)| [&[form], text.as_bytes()].concat()).collect()
}
