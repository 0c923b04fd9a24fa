//! The file of where a scrub stands. Bytes: 1 of choices; the file.
//!
//! Oracle: `INVALID_ARGUMENT` in one line, and the file stays as it is; or a state that, saved, is read again as the same.

use super::{Input, is_message};
use seglift::{
    Code,
    codec::checksum::crc32c,
    maintain::{ScrubState, ScrubTally},
};
use std::{cell::RefCell, fs};
use tempfile::TempDir;

const SEALED: u8 = 1;
/// In front of the checksum, which is the last line.
const SUM: &str = "crc32c ";

thread_local! {
    static DIR: RefCell<TempDir> = RefCell::new(tempfile::tempdir().unwrap());
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choices = input.u8();
    let mut bytes = input.rest().to_vec();
    if choices & SEALED != 0 {
        let sum = bytes.windows(SUM.len()).rposition(|window| window == SUM.as_bytes());
        bytes.truncate(sum.unwrap_or(bytes.len()));
        let line = format!("{SUM}{:08x}\n", crc32c(&bytes));
        bytes.extend(line.into_bytes());
    }
    let path = DIR.with_borrow(|dir| dir.path().join("state"));
    fs::write(&path, &bytes).unwrap();
    let state = state();
    match ScrubState::load(&path, &state.store, &state.folder) {
        Ok(loaded) => {
            let loaded = loaded.expect("there is a file");
            loaded.save(&path).unwrap();
            assert_eq!(ScrubState::load(&path, &state.store, &state.folder).unwrap(), Some(loaded));
        }
        Err(e) => {
            assert_eq!(e.code(), Code::InvalidArgument, "{e:?}");
            assert!(is_message(e.message(), 40_000), "{e:?}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "what is refused stays");
        }
    }
}

fn state() -> ScrubState {
    let tally = ScrubTally { objects: 12, bytes: 1 << 40, damaged: 1, failed: 2, gone: 3 };
    ScrubState {
        store: "s3://b/p".to_owned(),
        folder: "topic".to_owned(),
        after: "topic/7".to_owned(),
        tally,
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let path = DIR.with_borrow(|dir| dir.path().join("seed"));
    let file = |state: ScrubState| {
        state.save(&path).unwrap();
        [vec![SEALED], fs::read(&path).unwrap()].concat()
    };
    vec![file(state()), file(ScrubState { folder: String::new(), after: String::new(), ..state() })]
}
