//! Uploads: parts by `pwrite` into a temporary file, then one atomic step that gives it its name.
//!
//! The commit, in this order: every part is there; the file is durable; the key's folders exist; `link(2)`,
//! which refuses a name that is taken; the temporary name goes; all folders are durable. A failure before the
//! link is `NotDone` and removes the file. A failed fsync of the file is such a failure and is never tried
//! again: the kernel may have dropped the pages that it could not write, and would call the next fsync a
//! success. Only a file that is written anew can help, so what may pass is answered as an upload that is lost.
//! A link that failed without saying whether it was made is `Unknown`, and may be tried again. So is an fsync of a
//! folder that failed after the link, and there a look settles nothing: the object can be seen, and whether it
//! survives a power failure is not known. (Who finds it later makes the folders durable first, see [`make_last`]:
//! unlike a file's pages, a folder's entries are in the journal, and a file system whose journal fails stays failed.)
//!
//! A dropped future leaves at most one write of 256 KiB behind on the blocking pool. It holds the part's lock
//! until it ends, so a later attempt at the part, or the commit, never overlaps it.

use super::{
    blocking,
    errno::error,
    joined,
    root::{self, Chain, Root},
    temporary::Temporary,
};
use crate::{
    error::{Code, Error, Result},
    store::{Body, BoxFuture, ByteStream, Commit, Key, Upload, parts, parts::Parts, pieces::PIECE},
};
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use rustix::{
    fs::{FileType, RenameFlags, Timespec, Timestamps},
    io::Errno,
};
use std::{collections::HashMap, os::unix::fs::FileExt, sync::Arc};
use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, RwLock};

/// Parts from this length on get their room before they are written: a full disk shows before the work, and
/// the file comes in one piece. Below it the file system's own delayed allocation does as well.
const PREALLOCATE: u64 = 1 << 20;

/// Starts an upload, and refuses at once a key that is a folder or lies in an object.
pub(super) async fn begin(root: Arc<Root>, key: Key, owner: &str) -> Result<LocalUpload> {
    let owner = owner.to_owned();
    blocking(move || {
        let chain = root.existing(&key)?;
        let folders: Vec<&str> = key.folders().collect();
        let next = folders.get(chain.len()).copied().unwrap_or(key.as_str());
        let stat =
            root::look(root.last(&chain), root::base(next)).map_err(|e| root.error(e, "look at", &key))?;
        match stat.map(|stat| root::kind(&stat)) {
            Some(kind) if chain.len() < folders.len() && kind != FileType::Directory => {
                return Err(parts::folder_is_an_object(&key, next));
            }
            Some(FileType::Directory) if chain.len() == folders.len() => {
                return Err(parts::key_is_a_folder(&key));
            }
            _ => {}
        }
        let file = Arc::new(Temporary::create(root.clone(), &owner)?);
        Ok(LocalUpload::new(root, key, file))
    })
    .await
}

/// An upload to a folder.
pub(super) struct LocalUpload {
    pub(super) shared: Arc<Shared>,
    pub(super) file: Arc<Temporary>,
    /// Read by whoever writes a part, written by the commit.
    gate: Arc<RwLock<()>>,
}

/// What the work on the blocking pool needs of an upload.
pub(super) struct Shared {
    root: Arc<Root>,
    pub(super) key: Key,
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) parts: Parts<()>,
    /// One lock for each part that was begun: attempts at a part follow one another.
    locks: HashMap<u32, Arc<tokio::sync::Mutex<()>>>,
    end: Option<End>,
}

/// How the upload ended.
#[derive(Clone)]
enum End {
    Done,
    Exists,
    NotDone(Error),
    /// Whether it has its name is not known; the temporary file is still there for another try.
    Unknown(Error),
    /// It has its name, and perhaps not for good.
    Loose(Error),
    Aborted,
}

impl End {
    fn answer(self, key: &Key) -> Commit {
        match self {
            End::Done => Commit::Done,
            End::Exists => Commit::Exists,
            End::NotDone(e) => Commit::NotDone(e),
            End::Unknown(e) | End::Loose(e) => Commit::Unknown(e),
            End::Aborted => Commit::NotDone(parts::ended(key)),
        }
    }
}

/// The right to write a part; held by every write that is under way.
pub(super) struct Turn {
    _part: OwnedMutexGuard<()>,
    _gate: OwnedRwLockReadGuard<()>,
}

impl LocalUpload {
    /// An upload none of whose parts counts yet.
    pub(super) fn new(root: Arc<Root>, key: Key, file: Arc<Temporary>) -> LocalUpload {
        let shared = Arc::new(Shared { root, key, state: Mutex::default() });
        LocalUpload { shared, file, gate: Arc::default() }
    }

    /// Waits for the right to write a part, which does not count from then on.
    pub(super) async fn turn(&self, number: u32) -> Result<Arc<Turn>> {
        let gate = self.gate.clone().read_owned().await;
        let lock = {
            let mut state = self.shared.state.lock();
            if state.end.is_some() {
                return Err(parts::ended(&self.shared.key));
            }
            state.locks.entry(number).or_default().clone()
        };
        let part = lock.lock_owned().await;
        self.shared.state.lock().parts.forget(number);
        Ok(Arc::new(Turn { _part: part, _gate: gate }))
    }

    /// The commit, with the errors that the file system gave.
    pub(super) async fn finish(&self) -> Commit {
        let gate = self.gate.clone().write_owned().await;
        let (shared, file) = (self.shared.clone(), self.file.clone());
        let committed = blocking(move || {
            let _gate = gate;
            // The lock is free while the disk works: the gate keeps everybody else out.
            let before = shared.state.lock().end.clone();
            let end = match before {
                None | Some(End::Unknown(_)) => publish(&shared, &file),
                Some(end) => end,
            };
            shared.state.lock().end = Some(end.clone());
            Ok(end.answer(&shared.key))
        });
        // Only a runtime that shuts down gets here without an answer, and it may have been before the link.
        committed.await.unwrap_or_else(Commit::Unknown)
    }

    /// Writes a body at `offset`. While one batch is written the next one is fetched.
    async fn write(&self, turn: Arc<Turn>, offset: u64, body: &dyn Body) -> Result<()> {
        let (len, mut stream) = (body.len(), body.open());
        let key = &self.shared.key;
        let mut got = 0;
        let mut writing = None;
        loop {
            let batch = batch(&mut stream).await?;
            if let Some(write) = writing.take() {
                joined(write).await?;
            }
            let Some(batch) = batch else { break };
            let at = offset + got;
            let first = got == 0;
            got += batch.iter().map(|piece| piece.len() as u64).sum::<u64>();
            if got > len {
                return Err(parts::wrong_length(key, len, got));
            }
            let (file, turn) = (self.file.clone(), turn.clone());
            writing = Some(tokio::task::spawn_blocking(move || {
                let _turn = turn;
                if first && len >= PREALLOCATE {
                    preallocate(&file, offset, len)?;
                }
                write_batch(&file, at, &batch)
            }));
        }
        if got != len { Err(parts::wrong_length(key, len, got)) } else { Ok(()) }
    }
}

/// The next pieces of a body, 256 KiB or a little more of them: many small pieces are one hop to the pool.
async fn batch(stream: &mut ByteStream) -> Result<Option<Vec<Bytes>>> {
    let mut pieces = Vec::new();
    let mut len = 0;
    while len < PIECE {
        match stream.next().await {
            Some(piece) => {
                let piece = piece?;
                len += piece.len();
                pieces.push(piece);
            }
            None => break,
        }
    }
    Ok(if pieces.is_empty() { None } else { Some(pieces) })
}

/// Takes room for a part. A file system that cannot do this is fine; one that is full is not.
#[cfg(target_os = "linux")]
fn preallocate(file: &Temporary, offset: u64, len: u64) -> Result<()> {
    match rustix::fs::fallocate(&file.file, rustix::fs::FallocateFlags::KEEP_SIZE, offset, len) {
        Err(e @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(error(e, "take room for", &file.path())),
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn preallocate(_: &Temporary, _: u64, _: u64) -> Result<()> {
    Ok(())
}

fn write_batch(file: &Temporary, mut at: u64, batch: &[Bytes]) -> Result<()> {
    for piece in batch {
        file.file
            .write_all_at(piece, at)
            .map_err(|e| error(Errno::from_io_error(&e).unwrap_or(Errno::IO), "write", &file.path()))?;
        at += piece.len() as u64;
    }
    Ok(())
}

impl Upload for LocalUpload {
    fn put_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let turn = self.turn(number).await?;
            // While `turn` is held nobody else has a say about the part.
            self.write(turn.clone(), offset, &*body).await.map_err(|e| e.context(&self.shared.key))?;
            self.shared.state.lock().parts.arrived(number, offset, body.len(), ());
            drop(turn);
            Ok(())
        })
    }

    fn commit<'a>(&'a self) -> BoxFuture<'a, Commit> {
        Box::pin(async move {
            match self.finish().await {
                // Not in this file: its pages may be lost, and its name is gone.
                Commit::NotDone(e) if e.retryable() => {
                    Commit::NotDone(Error::new(Code::NotFound, e.message().to_owned()))
                }
                answer => answer,
            }
        })
    }

    fn abort<'a>(&'a self) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let gate = self.gate.clone().write_owned().await;
            let (shared, file) = (self.shared.clone(), self.file.clone());
            blocking(move || {
                let _gate = gate;
                let mut state = shared.state.lock();
                if matches!(state.end, Some(End::Done | End::Unknown(_) | End::Loose(_))) {
                    return Err(parts::too_late_to_abort(&shared.key));
                }
                state.end = Some(End::Aborted);
                drop(state);
                file.discard()?;
                // Gives the blocks back here and not where the last descriptor is closed, which may be a
                // thread of the runtime. Where it fails the close will do it.
                let _ = file.file.set_len(0);
                Ok(())
            })
            .await
        })
    }

    fn id(&self) -> Option<String> {
        self.file.named().then(|| self.file.name.clone())
    }

    fn has_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.compare_part(number, offset, body))
    }

    fn keep(&self) {
        self.file.keep();
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        // Freeing a large file takes a while: not on a thread of the runtime. A runtime that shuts down drops
        // the closure, and so removes the file here.
        if let (true, Ok(runtime)) = (self.file.goes(), tokio::runtime::Handle::try_current()) {
            let file = self.file.clone();
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

/// The commit. Blocks.
fn publish(shared: &Shared, file: &Temporary) -> End {
    let Shared { root, key, state } = shared;
    let named = complete(&state.lock().parts, key, file).and_then(|()| {
        pause!(thread FileSynced);
        name(root, key, file)
    });
    if !matches!(named, Ok(Named::Unknown(_))) {
        // From here on the temporary name is of no use. One that cannot be removed is left to a reap: it is a
        // second name of a good object, or a file that nobody will ask for.
        let _ = file.discard();
    }
    match named {
        Ok(Named::Ours(chain)) => {
            pause!(thread FileUnlinked);
            match root.sync_up(&chain) {
                Ok(()) => End::Done,
                Err(e) => {
                    let e = root.error(e, "make durable the folders of", key);
                    let what = "it is there, and a power failure might take it away; offload the segment again with \
                                the same key to settle it";
                    End::Loose(Error::new(Code::OutcomeUnknown, format!("{}; {what}", e.message())))
                }
            }
        }
        Ok(Named::Exists) => End::Exists,
        Ok(Named::Unknown(e)) => {
            // Takes empty folders only, so not our object if it is there.
            root.prune(key);
            End::Unknown(e)
        }
        Err(e) => {
            root.prune(key);
            End::NotDone(e)
        }
    }
}

/// Makes the name of an object durable that somebody else may have given it a moment ago. Blocks.
pub(super) fn make_last(root: &Root, key: &Key) -> Result<()> {
    let failed = |e| root.error(e, "make durable the folders of", key).with_retryable(false);
    root.existing(key).and_then(|chain| root.sync_up(&chain).map_err(failed))
}

/// Makes the file exactly the object, and durable.
fn complete(parts: &Parts<()>, key: &Key, file: &Temporary) -> Result<()> {
    let len = parts.total(key)?;
    let failed = |e| error(e, "finish", &file.path());
    // An earlier, longer attempt at the last part, or its room, may lie behind the end.
    rustix::fs::ftruncate(&file.file, len).map_err(failed)?;
    // "When it was committed", not when its last byte was written.
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    rustix::fs::futimens(&file.file, &Timestamps { last_access: now, last_modification: now })
        .map_err(failed)?;
    file.sync()
}

/// What became of an attempt to give the file its name.
enum Named {
    /// It has it; these are its folders.
    Ours(Chain),
    /// Another object has it.
    Exists,
    /// The file system answered with something that does not say.
    Unknown(Error),
}

fn name(root: &Root, key: &Key, file: &Temporary) -> Result<Named> {
    let name = root::base(key.as_str());
    for _ in 0..root::RACES {
        let chain = root.make_folders(key)?;
        let folder = root.last(&chain);
        let errno = match (root.calls.link)(root.last(&[]), &file.name, folder, name) {
            Ok(()) => {
                pause!(thread FileLinked);
                return Ok(Named::Ours(chain));
            }
            // No hard links here (FAT, some network and FUSE file systems), or none more of this file.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                match rustix::fs::renameat_with(
                    root.last(&[]),
                    &file.name,
                    folder,
                    name,
                    RenameFlags::NOREPLACE,
                ) {
                    Ok(()) => {
                        file.forget();
                        return Ok(Named::Ours(chain));
                    }
                    Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                        let text = format!(
                            "the file system of {} can neither link files nor rename without overwriting; put the store on one that can",
                            root.path().display()
                        );
                        return Err(Error::new(Code::InvalidConfig, text));
                    }
                    Err(e) => e,
                }
            }
            Err(e) => e,
        };
        // A network file system may repeat a request whose answer was lost, and then refuses our name because
        // we have it. The inode tells.
        let there = root::look(folder, name).map_err(|e| root.error(e, "look at", key));
        let ours = rustix::fs::fstat(&file.file).map_err(|e| error(e, "look at", &file.path()))?;
        match (errno, there) {
            (_, Ok(Some(stat))) if (stat.st_dev, stat.st_ino) == (ours.st_dev, ours.st_ino) => {
                return Ok(Named::Ours(chain));
            }
            (Errno::EXIST, Ok(Some(stat))) => return taken(key, root::kind(&stat)),
            // It was there and has gone, or its folder has: again.
            (Errno::EXIST, Ok(None)) => {}
            (Errno::NOENT, _) => {
                root.check()?;
                if root::look(root.last(&[]), &file.name).is_ok_and(|stat| stat.is_none()) {
                    let text = format!(
                        "{} was removed while {key} was uploaded; offload it again",
                        file.path().display()
                    );
                    return Err(Error::new(Code::Unavailable, text));
                }
            }
            (Errno::IO | Errno::TIMEDOUT | Errno::STALE | Errno::INTR, Ok(None) | Err(_)) => {
                return Ok(Named::Unknown(root.error(errno, "give its name to", key)));
            }
            (_, Ok(_)) => return Err(root.error(errno, "give its name to", key)),
            (_, Err(e)) => return Ok(Named::Unknown(e)),
        }
    }
    Err(root.raced(key))
}

/// The name is taken: by what?
fn taken(key: &Key, kind: FileType) -> Result<Named> {
    match kind {
        FileType::RegularFile => Ok(Named::Exists),
        FileType::Directory => Err(parts::key_is_a_folder(key)),
        _ => Err(Error::new(
            Code::InvalidArgument,
            format!("something that is no plain file has the name of {key}; remove it or use another key"),
        )),
    }
}
