//! Deleting: the files, then the folders that became empty, then one fsync per folder.

use super::{
    errno::error,
    read,
    root::{self, Root},
};
use crate::{
    error::{Code, Result},
    store::{Entry, Key, Removal},
};
use rustix::{
    fd::AsFd,
    fs::{AtFlags, FileType},
    io::Errno,
};
use std::collections::BTreeMap;

/// Removes objects; the answers are in the order of `keys`. Blocks.
///
/// A batch of objects in one folder costs one fsync: the answers are given after it, and where it fails every
/// key of that folder is answered with the failure, because a power failure might bring its object back.
pub(super) fn delete(root: &Root, keys: &[Key]) -> Vec<Result<()>> {
    let mut answers: Vec<Result<()>> = Vec::with_capacity(keys.len());
    let mut changed: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, key) in keys.iter().enumerate() {
        answers.push(match remove(root, key) {
            Ok(true) => {
                pause!(thread DeleteInside);
                changed.entry(key.folders().last().unwrap_or("")).or_default().push(i);
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(e) => Err(e),
        });
    }
    for (folder, indexes) in changed {
        let Some(&any) = indexes.first() else { continue };
        root.prune(&keys[any]);
        // Of folders that are gone the innermost one that is left knows it.
        let synced = root.existing(&keys[any]).and_then(|chain| {
            (root.calls.sync)(root.last(&chain).as_fd())
                .map_err(|e| error(e, "make durable the folder", &root.path_of(folder)))
        });
        if let Err(e) = synced {
            for i in indexes {
                answers[i] =
                    Err(e.clone().context(format_args!("{} was deleted, perhaps not for good", keys[i])));
            }
        }
    }
    answers
}

/// Removes the object if it is still the one that `entry` describes. Blocks.
///
/// No system call removes a name only if a certain file has it: between the look and the `unlink` lie some
/// microseconds, in which another process would have to remove this object and commit another.
pub(super) fn delete_unchanged(root: &Root, entry: &Entry) -> Result<Removal> {
    match read::head(root, &entry.key) {
        Ok(found) if found == *entry => {}
        Ok(_) => return Ok(Removal::Changed),
        Err(e) if e.code() == Code::NotFound => return Ok(Removal::Gone),
        Err(e) => return Err(e),
    }
    let deleted = delete(root, std::slice::from_ref(&entry.key));
    deleted.into_iter().next().unwrap_or(Ok(())).map(|()| Removal::Removed)
}

/// Whether there was an object to remove.
fn remove(root: &Root, key: &Key) -> Result<bool> {
    let Some(folder) = root.folder_of(key)? else { return root.check().map(|()| false) };
    let name = root::base(key.as_str());
    let stat = root::look(folder.as_fd(), name).map_err(|e| root.error(e, "look at", key))?;
    match stat.map(|stat| root::kind(&stat)) {
        Some(FileType::RegularFile) => {}
        // A folder or a link under this name is no object.
        Some(_) => return Ok(false),
        None => return root.check().map(|()| false),
    }
    match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        // Somebody else was quicker.
        Err(Errno::NOENT | Errno::ISDIR) => Ok(false),
        Err(e) => Err(root.error(e, "delete", key)),
    }
}
