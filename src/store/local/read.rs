//! Reading: an open file, and its bytes in pieces.
//!
//! Opening and the first piece are one hop to the blocking pool, so a read of one block costs one. While a
//! piece is looked at the next one is read, never more: a reader holds two pieces, 512 KiB, and one that stops
//! polling holds no thread.

use super::{
    blocking,
    errno::error,
    root::{self, Root},
};
use crate::{
    error::{Code, Error, Result},
    store::{ByteStream, Entry, Get, GetRange, Key, pieces::PIECE},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};
use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    sync::Arc,
};
use tokio::task::JoinHandle;

/// `NONBLOCK`: opening a FIFO that somebody put there must not wait for a writer. It means nothing for files.
const OBJECT: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Length and time of an object. Blocks.
pub(super) fn head(root: &Root, key: &Key) -> Result<Entry> {
    let folder = root.folder_of(key)?.ok_or_else(|| root.not_found(key))?;
    let stat = rustix::fs::statat(&folder, root::base(key.as_str()), rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    match stat {
        Ok(stat) if root::kind(&stat) == FileType::RegularFile => {
            Ok(Entry { key: key.clone(), len: stat.st_size as u64, modified_us: root::modified_us(&stat) })
        }
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Err(root.not_found(key)),
        Err(e) => Err(root.error(e, "look at", key)),
    }
}

/// Opens an object and reads its first piece.
pub(super) async fn get(root: Arc<Root>, key: Key, range: GetRange) -> Result<Get> {
    blocking(move || {
        let (file, object_len) = open(&root, &key)?;
        let range = range.within(object_len).map_err(|e| e.context(&key))?;
        let tag = file.metadata().ok().map(|file| {
            format!("{}-{}-{}.{}", file.dev(), file.ino(), file.mtime(), file.mtime_nsec()).into()
        });
        let source = Arc::new(Source { root, key, file });
        let first = source.piece(&range)?;
        let body = body(source, first, range.clone());
        Ok(Get { object_len, range, tag, body })
    })
    .await
}

fn open(root: &Root, key: &Key) -> Result<(File, u64)> {
    let folder = root.folder_of(key)?.ok_or_else(|| root.not_found(key))?;
    let file = match rustix::fs::openat(&folder, root::base(key.as_str()), OBJECT, Mode::empty()) {
        Ok(fd) => File::from(fd),
        // A link, a socket, a device without a driver: not objects.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::NODEV) => {
            return Err(root.not_found(key));
        }
        Err(e) => return Err(root.error(e, "open", key)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|e| root.error(e, "look at", key))?;
    match root::kind(&stat) {
        FileType::RegularFile => Ok((file, stat.st_size as u64)),
        _ => Err(root.not_found(key)),
    }
}

/// An object that is being read.
struct Source {
    root: Arc<Root>,
    key: Key,
    file: File,
}

impl Source {
    /// The first piece of what is left. Blocks.
    fn piece(&self, left: &Range<u64>) -> Result<Bytes> {
        let len = (left.end - left.start).min(PIECE as u64) as usize;
        self.root.pieces.filled(len, |buf| {
            self.file.read_exact_at(buf, left.start).map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => Error::new(
                    Code::Corrupt,
                    format!(
                        "{} became shorter while it was read; objects must not be changed",
                        self.path().display()
                    ),
                ),
                _ => error(Errno::from_io_error(&e).unwrap_or(Errno::IO), "read", &self.path()),
            })
        })
    }

    fn path(&self) -> std::path::PathBuf {
        self.root.path_of(self.key.as_str())
    }
}

/// The piece that comes next.
enum Next {
    Here(Bytes),
    Reading(JoinHandle<Result<Bytes>>),
    End,
}

fn body(source: Arc<Source>, first: Bytes, range: Range<u64>) -> ByteStream {
    let next = if first.is_empty() { Next::End } else { Next::Here(first) };
    stream::unfold((next, range), move |(next, mut left)| {
        let source = source.clone();
        async move {
            let piece = match next {
                Next::End => return None,
                Next::Here(piece) => piece,
                Next::Reading(piece) => match super::joined(piece).await {
                    Ok(piece) => piece,
                    Err(e) => return Some((Err(e), (Next::End, left))),
                },
            };
            left.start += piece.len() as u64;
            let next = if left.is_empty() {
                Next::End
            } else {
                let left = left.clone();
                Next::Reading(tokio::task::spawn_blocking(move || source.piece(&left)))
            };
            Some((Ok(piece), (next, left)))
        }
    })
    .fuse()
    .boxed()
}
