//! The store's folder, and the ways below it.
//!
//! The folder is opened once and everything is reached from its descriptor, so a folder that is renamed or a
//! path that changes its meaning later does not move the store. Below it no symbolic link is followed: each
//! folder is opened with `O_NOFOLLOW` from the one above. (`openat2` could do it in one call, but is missing
//! in older kernels and forbidden by older container profiles; one way everywhere is worth a microsecond per
//! folder.) To spread a store over disks mount them there, or link the store's folder itself.
//!
//! Folders below the root exist while something lies in them. Whoever makes the last entry go removes them,
//! whoever needs one makes it, in any number of processes at once: nobody trusts that a folder stays between
//! two system calls, and `ENOENT` where a folder just was means "begin again".

use super::errno::error;
use crate::{
    error::{Code, Error, Result},
    store::{Key, parts, pieces::Pieces},
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use std::path::{Path, PathBuf};

/// How often a folder may vanish under us before we call it a fault. Each time another process has emptied it,
/// which costs that process several system calls: losing a thousand times in a row is not chance.
pub(super) const RACES: usize = 1000;

/// Flags of every folder that is opened below the root.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The system calls on which a commit stands or falls. A table, because no disk fails when a test wants it to.
#[derive(Clone, Copy)]
pub(super) struct Calls {
    /// Makes what an open file or folder holds durable.
    pub(super) sync: fn(BorrowedFd<'_>) -> rustix::io::Result<()>,
    /// Gives the file `from` in the first folder the name `to` in the second, if that is free.
    pub(super) link: fn(BorrowedFd<'_>, &str, BorrowedFd<'_>, &str) -> rustix::io::Result<()>,
}

/// The kernel's.
pub(super) const KERNEL: Calls = Calls {
    sync: |fd| rustix::fs::fsync(fd),
    link: |a, from, b, to| rustix::fs::linkat(a, from, b, to, AtFlags::empty()),
};

/// The kernel's where the host wants no fsync.
pub(super) const WITHOUT_FSYNC: Calls = Calls { sync: |_| Ok(()), ..KERNEL };

/// The store's folder.
pub(super) struct Root {
    fd: OwnedFd,
    path: PathBuf,
    pub(super) calls: Calls,
    pub(super) pieces: Pieces,
}

/// The folders of a key, outermost first, without the root.
pub(super) type Chain = Vec<OwnedFd>;

impl Root {
    /// Opens `path`, whose links are followed. With `create` the last name of it is created if missing.
    pub(super) fn open(path: &Path, create: bool, calls: Calls) -> Result<Root> {
        if create {
            match rustix::fs::mkdir(path, Mode::from_raw_mode(0o777)) {
                Ok(()) => {
                    let above = path.parent().unwrap_or(Path::new("/"));
                    let above = rustix::fs::open(above, FOLDER & !OFlags::NOFOLLOW, Mode::empty())
                        .map_err(|e| error(e, "open the folder", above))?;
                    (calls.sync)(above.as_fd()).map_err(|e| error(e, "make durable the new folder", path))?;
                }
                Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => {
                    let why = "the folder above it does not exist either";
                    return Err(Self::unusable(path, why, "create it first (is its disk mounted?)"));
                }
                // It may exist, and be all that we need: opening it tells.
                Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) if path.is_dir() => {}
                Err(e) => return Err(error(e, "create the store's folder", path)),
            }
        }
        let real = match std::fs::canonicalize(path) {
            Ok(real) => real,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Self::unusable(path, "it does not exist", "create it (is its disk mounted?)"));
            }
            Err(e) => {
                return Err(error(
                    Errno::from_io_error(&e).unwrap_or(Errno::IO),
                    "find the store's folder",
                    path,
                ));
            }
        };
        if real.parent().is_none() {
            // By a link, or by `..`; its URI could not be opened again, and receipts carry that.
            return Err(Self::unusable(path, "it is /, where everything else lies", "name a folder below /"));
        }
        match rustix::fs::open(&real, FOLDER, Mode::empty()) {
            Ok(fd) => Ok(Root { fd, path: real, calls, pieces: Pieces::default() }),
            Err(Errno::NOTDIR) => Err(Self::unusable(path, "it is not a folder", "name a folder")),
            Err(e) => Err(error(e, "open the store's folder", path)),
        }
    }

    fn unusable(path: &Path, why: &str, remedy: &str) -> Error {
        let text = format!("{} cannot be the folder of a store: {why}; {remedy}", path.display());
        Error::new(Code::InvalidConfig, text)
    }

    /// The folder's path, absolute and without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a key or of a name in the root, for messages.
    pub(super) fn path_of(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// The error for `errno` at `key`.
    pub(super) fn error(&self, errno: Errno, what: &str, key: &Key) -> Error {
        error(errno, what, &self.path_of(key.as_str()))
    }

    /// That there is no object `key`, unless the whole store has gone: then nobody can say so. A folder that
    /// was removed has no links left.
    pub(super) fn not_found(&self, key: &Key) -> Error {
        match self.check() {
            Err(gone) => gone,
            Ok(()) => Error::new(
                Code::NotFound,
                format!("there is no object {}", self.path_of(key.as_str()).display()),
            ),
        }
    }

    /// Whether the store's folder is still there: `UNAVAILABLE` once it was removed.
    pub(super) fn check(&self) -> Result<()> {
        match rustix::fs::fstat(&self.fd) {
            Ok(stat) if stat.st_nlink > 0 => Ok(()),
            Ok(_) => Err(Error::new(
                Code::Unavailable,
                format!(
                    "the store's folder {} was removed while it was open; create it and open the store again",
                    self.path.display()
                ),
            )),
            Err(e) => Err(error(e, "look at the store's folder", &self.path)),
        }
    }

    /// The folder that `key` lies in; `None` where it does not exist or is not a folder.
    pub(super) fn folder_of(&self, key: &Key) -> Result<Option<OwnedFd>> {
        let chain = self.existing(key)?;
        if chain.len() < key.folders().count() {
            return Ok(None);
        }
        match chain.into_iter().next_back() {
            Some(fd) => Ok(Some(fd)),
            None => self.fd.try_clone().map(Some).map_err(|_| self.error(Errno::MFILE, "open", key)),
        }
    }

    /// Those folders of `key` that exist, outermost first, as far as the way leads.
    pub(super) fn existing(&self, key: &Key) -> Result<Chain> {
        let mut chain = Chain::new();
        for folder in key.folders() {
            match rustix::fs::openat(self.last(&chain), base(folder), FOLDER, Mode::empty()) {
                Ok(fd) => chain.push(fd),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => break,
                Err(e) => return Err(error(e, "open the folder", &self.path_of(folder))),
            }
        }
        Ok(chain)
    }

    /// All folders of `key`; those that are missing are made.
    pub(super) fn make_folders(&self, key: &Key) -> Result<Chain> {
        'again: for _ in 0..RACES {
            let mut chain = Chain::new();
            for folder in key.folders() {
                let above = self.last(&chain);
                let mut opened = rustix::fs::openat(above, base(folder), FOLDER, Mode::empty());
                if opened.as_ref().is_err_and(|&e| e == Errno::NOENT) {
                    match rustix::fs::mkdirat(above, base(folder), Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        // The folder above was removed; the root itself cannot come back.
                        Err(Errno::NOENT) => match self.check() {
                            Ok(()) => continue 'again,
                            Err(gone) => return Err(gone),
                        },
                        Err(e) => return Err(error(e, "create the folder", &self.path_of(folder))),
                    }
                    opened = rustix::fs::openat(above, base(folder), FOLDER, Mode::empty());
                }
                match opened {
                    Ok(fd) => chain.push(fd),
                    Err(Errno::NOENT) => continue 'again,
                    Err(Errno::NOTDIR | Errno::LOOP) => return Err(parts::folder_is_an_object(key, folder)),
                    Err(e) => return Err(error(e, "open the folder", &self.path_of(folder))),
                }
            }
            return Ok(chain);
        }
        Err(self.raced(key))
    }

    /// Another process kept removing the key's folders.
    pub(super) fn raced(&self, key: &Key) -> Error {
        let text = format!(
            "the folders of {key} were removed {RACES} times while they were made; who else cleans {}?",
            self.path.display()
        );
        Error::new(Code::Unavailable, text)
    }

    /// Removes the folders of `key` that are empty, innermost first. What cannot be removed stays: somebody
    /// needs it, or a file system is mounted there.
    pub(super) fn prune(&self, key: &Key) {
        let Ok(chain) = self.existing(key) else { return };
        let folders: Vec<&str> = key.folders().collect();
        for i in (0..chain.len()).rev() {
            match rustix::fs::unlinkat(self.last(&chain[..i]), base(folders[i]), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(_) => return,
            }
        }
    }

    /// Makes every folder from the innermost up to the root durable.
    ///
    /// All of them, not only those that we made: a folder that another process made a moment ago may not be
    /// durable yet, and our object would vanish with it. Where nothing has changed it costs next to nothing.
    pub(super) fn sync_up(&self, chain: &[OwnedFd]) -> rustix::io::Result<()> {
        for fd in chain.iter().rev() {
            (self.calls.sync)(fd.as_fd())?;
        }
        (self.calls.sync)(self.fd.as_fd())
    }

    /// The innermost folder of a chain: the root where it is empty.
    pub(super) fn last<'a>(&'a self, chain: &'a [OwnedFd]) -> BorrowedFd<'a> {
        chain.last().map_or(self.fd.as_fd(), AsFd::as_fd)
    }
}

/// The last name of a path.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What stands under a name, without following a link; `None` where nothing does.
pub(super) fn look(folder: BorrowedFd<'_>, name: &str) -> rustix::io::Result<Option<Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What kind of file it is.
pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// When it was modified, µs since the Unix epoch.
pub(super) fn modified_us(stat: &Stat) -> i64 {
    // The sign of the nanoseconds differs between architectures; their value is below 10^9 on all of them.
    stat.st_mtime * 1_000_000 + stat.st_mtime_nsec as i64 / 1_000
}
