//! Where a scrub stands, in a file: so that days of reading survive a restart.
//!
//! Invariant: a file that is read is one that was written, whole: it is replaced by renaming, and carries a CRC32C.
//! What is no such file is never overwritten, so a mistyped name costs nothing.
//!
//! Trade-off: a few lines of text, since whoever finds the file in a year wants to know what it is.

use crate::{
    codec::checksum::crc32c,
    error::{Code, Error, Result},
    small_file,
};
use std::{io, path::Path};

/// The first line.
const TITLE: &str = "seglift scrub 1";
/// More than any state takes: two keys, a URI and some numbers.
const LARGEST: u64 = 16 << 10;

/// What a scrub has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubTally {
    /// Objects that were looked at, those that were gone not among them.
    pub objects: u64,
    /// Their bytes in the store.
    pub bytes: u64,
    /// Those of them that are damaged.
    pub damaged: u64,
    /// Those of them that could not be looked at.
    pub failed: u64,
    /// Objects that were listed and deleted before their turn came.
    pub gone: u64,
}

/// Where a scrub stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubState {
    /// The store's canonical URI.
    pub store: String,
    /// The folder that is scrubbed; empty is all of the store.
    pub folder: String,
    /// The last key that was done; empty before the first.
    pub after: String,
    /// What was seen up to there.
    pub tally: ScrubTally,
}

impl ScrubState {
    /// The state in `path`, which must be one of a scrub of this store and folder; `None` if there is no file.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a file that is no state, was changed, or belongs to another scrub. `SOURCE_FAILED` where
    /// it cannot be read.
    pub fn load(path: &Path, store: &str, folder: &str) -> Result<Option<ScrubState>> {
        let read = small_file::read(path, LARGEST).map_err(|e| failed("cannot be read", path, &e))?;
        let Some(bytes) = read else { return Ok(None) };
        let state = Self::parse(&bytes).map_err(|why| {
            let what = format!("{} {why}; give another file, or remove it to begin anew", path.display());
            Error::new(Code::InvalidArgument, what)
        })?;
        if (state.store.as_str(), state.folder.as_str()) != (store, folder) {
            let what = format!(
                "{} belongs to a scrub of the folder \"{}\" of {}; give another file, or remove it to begin anew",
                path.display(),
                state.folder,
                state.store
            );
            return Err(Error::new(Code::InvalidArgument, what));
        }
        Ok(Some(state))
    }

    /// Replaces the file at once, and durably.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a folder with control characters, `NO_SPACE`, or `SOURCE_FAILED`.
    pub fn save(&self, path: &Path) -> Result<()> {
        if [&self.store, &self.folder, &self.after].iter().any(|text| text.chars().any(char::is_control)) {
            let what = "a folder with control characters cannot be kept in a file; no key has such a name";
            return Err(Error::new(Code::InvalidArgument, what));
        }
        small_file::replace(path, self.text().as_bytes()).map_err(|e| failed("cannot be written", path, &e))
    }

    /// Removes the file of a scrub that is complete. That there is none is no error.
    ///
    /// # Errors
    /// `SOURCE_FAILED`.
    pub fn remove(path: &Path) -> Result<()> {
        small_file::remove(path).map_err(|e| failed("cannot be removed", path, &e))
    }

    fn text(&self) -> String {
        let ScrubTally { objects, bytes, damaged, failed, gone } = self.tally;
        let text = format!(
            "{TITLE}\nstore {}\nfolder {}\nafter {}\nobjects {objects}\nbytes {bytes}\ndamaged {damaged}\n\
             failed {failed}\ngone {gone}\n",
            self.store, self.folder, self.after
        );
        format!("{text}crc32c {:08x}\n", crc32c(text.as_bytes()))
    }

    fn parse(bytes: &[u8]) -> Result<ScrubState, &'static str> {
        if !bytes.starts_with(TITLE.as_bytes()) {
            return Err("is no state of a scrub");
        }
        let changed = "was changed or is damaged";
        let text = std::str::from_utf8(bytes).map_err(|_| changed)?;
        let (body, sum) = text.rsplit_once("crc32c ").ok_or(changed)?;
        if sum != format!("{:08x}\n", crc32c(body.as_bytes())) {
            return Err(changed);
        }
        // None is written, so none is shown.
        if body.chars().any(|c| c.is_control() && c != '\n') {
            return Err(changed);
        }
        let mut lines = body.lines().skip(1);
        let mut field = |name: &str| {
            let line = lines.next()?;
            line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned)
        };
        let mut read = || {
            let (store, folder, after) = (field("store")?, field("folder")?, field("after")?);
            let mut number = |name: &str| field(name)?.parse().ok();
            let tally = ScrubTally {
                objects: number("objects")?,
                bytes: number("bytes")?,
                damaged: number("damaged")?,
                failed: number("failed")?,
                gone: number("gone")?,
            };
            Some(ScrubState { store, folder, after, tally })
        };
        read().ok_or(changed)
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::NoSpace,
        // What is there is no file of ours.
        io::ErrorKind::InvalidInput => Code::InvalidArgument,
        _ => Code::SourceFailed,
    };
    Error::new(code, format!("the state of the scrub {what}: {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn state() -> ScrubState {
        let tally = ScrubTally { objects: 7, bytes: 1 << 40, damaged: 1, failed: 2, gone: 3 };
        ScrubState { store: "file:///t".into(), folder: "a b".into(), after: "a b/crc32c 7".into(), tally }
    }

    #[test]
    fn a_state_comes_back_and_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        assert_eq!(ScrubState::load(&path, "file:///t", "a b").unwrap(), None);
        for after in ["", "a b/1", "a b/2"] {
            let state = ScrubState { after: after.into(), ..state() };
            state.save(&path).unwrap();
            assert_eq!(ScrubState::load(&path, "file:///t", "a b").unwrap(), Some(state));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else stays");
        }
        ScrubState::remove(&path).unwrap();
        ScrubState::remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_state_that_is_a_fifo_or_a_folder_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        for path in [&fifo, dir.path()] {
            let e = ScrubState::load(path, "file:///t", "").unwrap_err();
            assert_eq!(e.code(), Code::InvalidArgument, "{e}");
        }
    }

    #[test]
    fn a_file_that_was_changed_cut_or_is_of_another_scrub_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let text = state().text().into_bytes();
        let mut files: Vec<Vec<u8>> = (0..text.len()).map(|len| text[..len].to_vec()).collect();
        files.extend((0..text.len()).map(|at| {
            let mut changed = text.clone();
            changed[at] ^= 2;
            changed
        }));
        files.push([&text[..], b"\n"].concat());
        for file in files {
            fs::write(&path, &file).unwrap();
            let e = ScrubState::load(&path, "file:///t", "a b").unwrap_err();
            assert_eq!(e.code(), Code::InvalidArgument);
            assert_eq!(fs::read(&path).unwrap(), file);
        }
        fs::write(&path, &text).unwrap();
        for (store, folder) in [("file:///u", "a b"), ("file:///t", "a")] {
            let e = ScrubState::load(&path, store, folder).unwrap_err();
            assert!(e.message().contains("belongs to a scrub of the folder \"a b\""), "{e}");
        }
        assert!(ScrubState { folder: "a\nb".into(), ..state() }.save(&path).is_err());
    }
}
