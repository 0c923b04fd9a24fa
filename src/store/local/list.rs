//! Listing: a walk in the byte order of whole keys, which opens only the folders that it must.
//!
//! In a folder a file sorts by its name and a folder by its name and a slash, because that is how the keys
//! below it go on: `a-b` and `a.b` come before `a/c`, `a0` after. A folder that `prefix` or `after` rules out
//! is not opened. What cannot be a key (names that are not UTF-8, temporary files, anything but regular files)
//! is left out.
//!
//! Trade-off: nothing is kept between two pages, so each page reads the folder that it stands in anew, and
//! sorts only as many names as it returns. A folder with n objects costs n/1,000 passes over its names.

use super::{errno::error, root::*};
use crate::{
    error::Result,
    store::{Entry, Key, ListPage, key::TEMPORARY},
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{Dir, FileType, Mode, OFlags},
    io::Errno,
};
use std::collections::BinaryHeap;

/// One page. Blocks.
pub(super) fn list(root: &Root, prefix: &str, after: Option<&str>, max: usize) -> Result<ListPage> {
    let mut walk =
        Walk { root, prefix, after: after.unwrap_or(""), limit: max.saturating_add(1), found: Vec::new() };
    // Every key of the answer lies in the prefix's own folder: begin there.
    let start = prefix.rfind('/').map(|end| &prefix[..end]);
    match start.map(|folder| open_path(root, folder)) {
        None => walk.folder(root.last(&[]), "")?,
        Some(Err(e)) => return Err(e),
        Some(Ok(None)) => {}
        Some(Ok(Some(fd))) => walk.folder(fd.as_fd(), &prefix[..=prefix.rfind('/').unwrap_or(0)])?,
    }
    let mut entries = walk.found;
    if entries.is_empty() {
        root.check()?;
    }
    let more = entries.len() > max;
    entries.truncate(max);
    Ok(ListPage { entries, more })
}

/// The folder `path`; `None` where there is none, as for a path that no key can have.
fn open_path(root: &Root, path: &str) -> Result<Option<OwnedFd>> {
    // A key below the folder has the folder among its folders; any valid name will do for it.
    match Key::new(&format!("{path}/x")) {
        Ok(key) => root.folder_of(&key),
        Err(_) => Ok(None),
    }
}

struct Walk<'a> {
    root: &'a Root,
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    found: Vec<Entry>,
}

impl Walk<'_> {
    /// Visits a folder whose keys begin with `path`, which is empty or ends in a slash.
    fn folder(&mut self, fd: BorrowedFd<'_>, path: &str) -> Result<()> {
        let mut past = String::new();
        loop {
            let (names, complete) = self.smallest(fd, path, &past)?;
            for name in &names {
                let full = format!("{path}{name}");
                match name.strip_suffix('/') {
                    Some(folder) => self.descend(fd, folder, &full)?,
                    None => self.file(fd, name, &full)?,
                }
                if self.found.len() >= self.limit {
                    return Ok(());
                }
            }
            match names.into_iter().next_back() {
                Some(last) if !complete => past = last,
                _ => return Ok(()),
            }
        }
    }

    fn descend(&mut self, fd: BorrowedFd<'_>, folder: &str, full: &str) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(fd, folder, flags, Mode::empty()) {
            Ok(below) => self.folder(below.as_fd(), full),
            // Removed since its name was read, or never a folder.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            // The file system's own, at the top of each ext4, and closed to all but root.
            Err(Errno::ACCESS) if full == "lost+found/" => Ok(()),
            Err(e) => Err(error(e, "list the folder", &self.root.path_of(full))),
        }
    }

    fn file(&mut self, fd: BorrowedFd<'_>, name: &str, full: &str) -> Result<()> {
        let stat = look(fd, name).map_err(|e| error(e, "look at", &self.root.path_of(full)))?;
        if let (Some(stat), Ok(key)) = (stat.filter(|s| kind(s) == FileType::RegularFile), Key::new(full)) {
            self.found.push(Entry { key, len: stat.st_size as u64, modified_us: modified_us(&stat) });
        }
        Ok(())
    }

    /// The smallest names of a folder that are wanted and greater than `past`, as many as can be returned,
    /// folders with a slash; and whether these are all.
    fn smallest(&self, fd: BorrowedFd<'_>, path: &str, past: &str) -> Result<(Vec<String>, bool)> {
        let room = self.limit - self.found.len();
        let mut heap = BinaryHeap::new();
        let mut full = path.to_owned();
        let mut complete = true;
        let failed = |e| error(e, "list the folder", &self.root.path_of(path));
        for entry in Dir::read_from(fd).map_err(failed)? {
            let entry = match entry {
                Ok(entry) => entry,
                // The folder was removed while it was read: it was empty.
                Err(Errno::NOENT) => break,
                Err(e) => return Err(failed(e)),
            };
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." || name.starts_with(TEMPORARY) {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say.
                FileType::Unknown => {
                    look(fd, name).map_err(failed)?.map_or(FileType::Unknown, |stat| kind(&stat))
                }
                kind => kind,
            };
            full.truncate(path.len());
            full.push_str(name);
            match kind {
                FileType::RegularFile => {}
                FileType::Directory => full.push('/'),
                _ => continue,
            }
            let name = &full[path.len()..];
            if name <= past {
                continue;
            }
            // Most names of a large folder end here, so the dearer questions come after it. A name that is not
            // wanted may call the answer incomplete: that costs another pass, never an entry.
            if heap.len() == room && heap.peek().is_some_and(|largest: &String| name >= largest.as_str()) {
                complete = false;
                continue;
            }
            if self.wants(&full) {
                heap.push(name.to_owned());
            }
            if heap.len() > room {
                heap.pop();
                complete = false;
            }
        }
        Ok((heap.into_sorted_vec(), complete))
    }

    /// Whether the file `full` is part of the answer, or whether the folder `full/` may hold something that is.
    fn wants(&self, full: &str) -> bool {
        match full.strip_suffix('/') {
            None => full.starts_with(self.prefix) && full > self.after && Key::new(full).is_ok(),
            Some(folder) => {
                let inside_prefix = full.starts_with(self.prefix) || self.prefix.starts_with(full);
                let before_after = full <= self.after && !self.after.starts_with(full);
                // Of a path that no key can have nothing below it is a key either.
                inside_prefix && !before_after && Key::new(folder).is_ok()
            }
        }
    }
}
