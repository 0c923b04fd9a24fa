//! Small files that outlive their process: what a resume and a scrub must find again.
//!
//! Invariant: under its name such a file is whole, and durable before [`replace`] returns: it is written under a name of its
//! own and renamed. Nobody waits for a FIFO, and no symbolic link is followed to what is written.
//!
//! Trade-off: who is killed while it writes leaves a file that ends in `.seglift-new`. Under a fixed name it would be
//! used again, and two that write at once would mix.

use rustix::fs::OFlags;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The file's bytes, at most `most` of them; `None` if there is none. `InvalidInput` for what is no regular file.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    // A FIFO would wait for a writer without it.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Whole or not at all, and durable. Others cannot read it: it may name uploads.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.seglift-new", uuid::Uuid::new_v4().simple()));
    let new = Path::new(&new);
    let write = || {
        let flags = OFlags::NOFOLLOW.bits() as i32;
        let mut file =
            File::options().write(true).create_new(true).mode(0o600).custom_flags(flags).open(new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(new, path)
    };
    // What is half written is of no use; that it may stay is said by the error that follows.
    write().inspect_err(|_| drop(fs::remove_file(new)))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Removes it. That there is none is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
