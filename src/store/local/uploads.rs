//! Uploads that nobody ended: temporary files, told dead from alive by their locks.
//!
//! Invariant: a file whose lock another holds is never removed, however old it is. The lock is taken here before
//! the name goes, so that between the question and the deed nobody else decides the same.
//!
//! Trade-off: a file system without locks leaves age alone to tell. It is the time of the last write, since few
//! file systems keep that of the first.

use super::{
    errno::error,
    root::{Root, kind, look, modified_us},
    temporary::{Temporary, begin_of},
};
use crate::{
    clock::{Clock, SystemClock},
    error::Result,
    store::{
        Arrived, Unfinished, UploadMark, UploadPage,
        key::{TEMPORARY, is_probe},
    },
};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags},
    io::Errno,
};
use std::{collections::BinaryHeap, sync::Arc};

/// The time that a file would get now: a network file system has a clock of its own. Where none can be made, this
/// machine's. Blocks.
pub(super) fn now(root: &Arc<Root>) -> Result<i64> {
    match Temporary::create(root.clone(), "") {
        Ok(probe) => {
            pause!(thread ReapClock);
            let stat = rustix::fs::fstat(&probe.file).map_err(|e| error(e, "look at", &probe.path()))?;
            Ok(modified_us(&stat))
        }
        Err(_) => root.check().map(|()| SystemClock::new().now_us()),
    }
}

/// A page of the temporary files, and of what a killed `doctor` left, in the order of their names. Blocks.
pub(super) fn page(root: &Root, owner: &str, after: Option<&UploadMark>, max: usize) -> Result<UploadPage> {
    let failed = |e| error(e, "list the folder", root.path());
    let after = after.map_or("", |mark| mark.name.as_str());
    let mut smallest: BinaryHeap<String> = BinaryHeap::new();
    let mut more = false;
    for entry in Dir::read_from(root.last(&[])).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if (name.starts_with(TEMPORARY) || is_probe(name)) && name > after {
            smallest.push(name.to_owned());
            if smallest.len() > max {
                smallest.pop();
                more = true;
            }
        }
    }
    root.check()?;
    let names = smallest.into_sorted_vec();
    let last = names.last().cloned().unwrap_or_default();
    // No host is called "": such a file is that of a clean-up that was killed while it asked for the time.
    let (mine, nobodys) = (begin_of(owner), begin_of(""));
    let mut uploads = Vec::with_capacity(names.len());
    for name in names {
        // Ended since its name was read, or no file of ours.
        let Some(arrived) = arrived(root, &name)? else { continue };
        uploads.push(Unfinished {
            of_owner: Some(name.starts_with(&mine) || name.starts_with(&nobodys)),
            alive: lock(root, &name).alive(),
            started_us: arrived.newest_us,
            id: name.clone(),
            name,
        });
    }
    let next = more.then(|| UploadMark { name: last, id: String::new(), of_all: false });
    Ok(UploadPage { uploads, next })
}

/// How much of an upload has come; none where it is gone. Blocks.
pub(super) fn arrived(root: &Root, name: &str) -> Result<Option<Arrived>> {
    let stat = look(root.last(&[]), name).map_err(|e| error(e, "look at", &root.path_of(name)))?;
    let file = stat.filter(|stat| kind(stat) == FileType::RegularFile);
    Ok(file.map(|stat| Arrived { newest_us: modified_us(&stat), bytes: stat.st_size as u64 }))
}

/// Removes the file unless its process lives. Blocks.
pub(super) fn abort(root: &Root, name: &str) -> Result<bool> {
    // Held until the name is gone.
    let _held = match lock(root, name) {
        Lock::Held(fd) => Some(fd),
        Lock::Unknown => None,
        Lock::Alive | Lock::Gone => return Ok(false),
        Lock::Failed(e) => return Err(error(e, "open", &root.path_of(name))),
    };
    match rustix::fs::unlinkat(root.last(&[]), name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(error(e, "remove", &root.path_of(name))),
    }
}

/// What the lock of a temporary file says.
pub(super) enum Lock {
    /// It was free, so its process is gone; it is ours while this lives.
    Held(OwnedFd),
    /// Its process lives.
    Alive,
    /// The file system has no locks.
    Unknown,
    /// There is no file.
    Gone,
    /// It cannot be asked.
    Failed(Errno),
}

impl Lock {
    fn alive(&self) -> Option<bool> {
        match self {
            Lock::Alive => Some(true),
            Lock::Held(_) => Some(false),
            Lock::Unknown | Lock::Gone | Lock::Failed(_) => None,
        }
    }
}

/// Takes the lock of a temporary file, open for reading and writing, if it is free. Blocks.
pub(super) fn lock(root: &Root, name: &str) -> Lock {
    // NFS locks for writing only what is open for writing.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = match rustix::fs::openat(root.last(&[]), name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Lock::Gone,
        Err(e) => return Lock::Failed(e),
    };
    match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Lock::Held(fd),
        // The two are one number on most systems.
        Err(e) if e == Errno::WOULDBLOCK || e == Errno::AGAIN => Lock::Alive,
        Err(_) => Lock::Unknown,
    }
}
