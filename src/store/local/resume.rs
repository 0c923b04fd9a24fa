//! Going on with an upload whose process is gone: its temporary file is locked again, and compared part by part.
//!
//! The file does not say which of its parts arrived whole: parts are written at once and in any order, and what was never
//! written reads as zeros. So each part is read and its CRC32C compared with that of the source, which the writer reads
//! anyhow for the checksums in the object's index.
//!
//! Invariant: only a file that nobody else writes, and that is no object, is written again. A process that was killed between
//! the `link(2)` of its commit and the removal of the temporary name has left a second name of an object: its link count
//! shows it. Where the file system has no locks nothing shows whether the other process is gone, so there nothing is
//! resumed.

use super::{
    blocking,
    errno::error,
    root::{Root, kind},
    temporary::{Temporary, begin_of},
    upload::LocalUpload,
    uploads::{Lock, lock},
};
use crate::{
    codec::checksum::Crc32c,
    error::{Code, Error, Result},
    store::{Body, Key, parts, pieces, pieces::PIECE},
};
use rustix::{fs::FileType, io::Errno};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a lock is waited for: an upload that was cancelled in this process holds it until its last write of 256 KiB
/// has ended. Whoever holds it for longer is at work.
const WAIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);

/// What a temporary file is found to be.
enum Found {
    Ours(Temporary),
    Busy,
    /// No upload, or none that can be shown to be abandoned.
    Nothing,
}

/// See [`ObjectStore::resume`](crate::store::ObjectStore::resume).
pub(super) async fn resume(
    root: &Arc<Root>,
    key: &Key,
    owner: &str,
    id: &str,
) -> Result<Option<LocalUpload>> {
    // What the host kept may have been changed by anyone: only the name of a temporary file of this owner is opened.
    if !id.strip_prefix(&begin_of(owner)).is_some_and(is_uuid) {
        return Ok(None);
    }
    let started = Instant::now();
    loop {
        let (root_, name) = (root.clone(), id.to_owned());
        match blocking(move || find(root_, name)).await? {
            Found::Ours(file) => {
                return Ok(Some(LocalUpload::new(root.clone(), key.clone(), Arc::new(file))));
            }
            Found::Nothing => return Ok(None),
            Found::Busy if started.elapsed() < WAIT => tokio::time::sleep(PAUSE).await,
            Found::Busy => {
                let what = format!(
                    "the upload of {key} that is to be resumed is under way in another process; let it end"
                );
                return Err(Error::new(Code::Busy, what));
            }
        }
    }
}

fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|uuid| uuid.to_string() == text)
}

fn find(root: Arc<Root>, name: String) -> Result<Found> {
    let file: File = match lock(&root, &name) {
        Lock::Held(fd) => fd.into(),
        Lock::Alive => return Ok(Found::Busy),
        Lock::Unknown => return Ok(Found::Nothing),
        Lock::Gone | Lock::Failed(Errno::LOOP) => return root.check().map(|()| Found::Nothing),
        Lock::Failed(e) => return Err(error(e, "open", &root.path_of(name))),
    };
    // After the lock: a reap may have removed the name before we had it.
    let stat = rustix::fs::fstat(&file).map_err(|e| error(e, "look at", &root.path_of(&name)))?;
    let upload = kind(&stat) == FileType::RegularFile && stat.st_nlink == 1;
    Ok(if upload { Found::Ours(Temporary::of(root, name, file, true)) } else { Found::Nothing })
}

impl LocalUpload {
    /// See [`Upload::has_part`](crate::store::Upload::has_part).
    pub(super) async fn compare_part(&self, number: u32, offset: u64, body: Arc<dyn Body>) -> Result<bool> {
        let turn = self.turn(number).await?;
        let (file, len) = (self.file.clone(), body.len());
        let end = offset.saturating_add(len);
        let all = blocking(move || Ok(file.file.metadata().is_ok_and(|meta| meta.len() >= end))).await?;
        if !all {
            return Ok(false);
        }
        let wanted = parts::crc32c_of(&self.shared.key, &*body, |_| {}).await?;
        // A part that cannot be read is one to be written again.
        if self.crc32c_at(offset, len).await.is_ok_and(|found| found == wanted) {
            self.shared.state.lock().parts.arrived(number, offset, len, ());
            drop(turn);
            return Ok(true);
        }
        Ok(false)
    }

    async fn crc32c_at(&self, offset: u64, len: u64) -> Result<u32> {
        let (mut at, end) = (offset, offset + len);
        let (mut buf, mut crc) = (pieces::zeroed(PIECE)?, Crc32c::new());
        while at < end {
            let file = self.file.clone();
            let most = (end - at).min(PIECE as u64) as usize;
            (buf, crc) = blocking(move || {
                let failed = |e: std::io::Error| {
                    error(Errno::from_io_error(&e).unwrap_or(Errno::IO), "read", &file.path())
                };
                file.file.read_exact_at(&mut buf[..most], at).map_err(failed)?;
                crc.update(&buf[..most]);
                Ok((buf, crc))
            })
            .await?;
            at += most as u64;
        }
        Ok(crc.finalize())
    }
}
