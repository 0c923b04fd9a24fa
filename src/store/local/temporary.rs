//! The file that an object is until it has its name.
//!
//! It lies in the store's folder itself, whatever the key: so a reap looks in one place, and the key's folders
//! are made only at the commit. Its name is `.seglift-upload-<owner>-<uuid>`; `<owner>` is the CRC-64/NVME of
//! the host's identity in 16 hexadecimal digits (extended attributes could hold the text, but are not
//! everywhere). While the upload lives its file is locked with `flock`, so that a reap tells a dead upload,
//! whose lock the kernel has released, from a slow one. Where the file system has no locks only age can tell.
//!
//! The name goes when this value does, however the upload ended, unless it is kept for another process to go on
//! with. That never harms an object: a committed one has another name by then.

use super::{errno::error, root::Root};
use crate::{error::Result, store::key::TEMPORARY};
use rustix::{
    fd::AsFd,
    fs::{AtFlags, FlockOperation, Mode, OFlags},
    io::Errno,
};
use std::{
    fs::File,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
};

/// What the names of the temporary files of an owner's uploads begin with.
pub(super) fn begin_of(owner: &str) -> String {
    let owner = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, owner.as_bytes());
    format!("{TEMPORARY}{owner:016x}-")
}

/// A temporary file; removed when dropped.
pub(super) struct Temporary {
    root: Arc<Root>,
    pub(super) name: String,
    pub(super) file: File,
    named: AtomicBool,
    kept: AtomicBool,
}

impl Temporary {
    /// Creates a temporary file for an upload of `owner`. Blocks.
    pub(super) fn create(root: Arc<Root>, owner: &str) -> Result<Self> {
        let name = format!("{}{}", begin_of(owner), uuid::Uuid::new_v4());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(root.last(&[]), &name, flags, Mode::from_raw_mode(0o666)) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => {
                return Err(root
                    .check()
                    .err()
                    .unwrap_or_else(|| error(Errno::NOENT, "create", &root.path_of(name))));
            }
            Err(e) => return Err(error(e, "create", &root.path_of(name))),
        };
        // Waits where somebody asks for the lock just now to see whether we live. A file system without locks is not
        // a reason to refuse an upload.
        while rustix::fs::flock(&fd, FlockOperation::LockExclusive) == Err(Errno::INTR) {}
        Ok(Self::of(root, name, fd.into(), false))
    }

    /// One that exists, and whose lock is ours now. `kept` from the start is one that was found: whoever looked for it
    /// may be gone by now.
    pub(super) fn of(root: Arc<Root>, name: String, file: File, kept: bool) -> Self {
        Self { root, name, file, named: AtomicBool::new(true), kept: AtomicBool::new(kept) }
    }

    /// The name stays when this value goes.
    pub(super) fn keep(&self) {
        self.kept.store(true, Release);
    }

    /// The file's path, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.root.path_of(&self.name)
    }

    /// Whether it still has its temporary name.
    pub(super) fn named(&self) -> bool {
        self.named.load(Acquire)
    }

    /// Whether its name goes when this value does.
    pub(super) fn goes(&self) -> bool {
        self.named() && !self.kept.load(Acquire)
    }

    /// The name was given away by a rename.
    pub(super) fn forget(&self) {
        self.named.store(false, Release);
    }

    /// Removes the name. Repeating it is success.
    pub(super) fn discard(&self) -> Result<()> {
        if !self.named.swap(false, AcqRel) {
            return Ok(());
        }
        match rustix::fs::unlinkat(self.root.last(&[]), &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(error(e, "remove", &self.path())),
        }
    }

    /// Makes the file durable.
    pub(super) fn sync(&self) -> Result<()> {
        (self.root.calls.sync)(self.file.as_fd()).map_err(|e| error(e, "make durable", &self.path()))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.goes() {
            // What cannot be removed here is left to a reap; nobody is there to be told.
            let _ = self.discard();
        }
    }
}
