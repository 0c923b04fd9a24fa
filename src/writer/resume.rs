//! Going on with an offload that was killed or failed: the small file that the host names, and what it finds.
//!
//! ```text
//!   no file, an empty one ──────────────► begin; write the file before the first part is sent
//!   ours, and all else as it was ───────► the store's upload ► each part compared ► send what is missing
//!                    └─ the upload gone ► look at the key: it may have been committed ► begin
//!   ours, something else ───────────────► abort that upload if it is of this key and store ► begin
//!   damaged, of another key or store ───► begin; what it named is left to reap
//!   no such file of ours ───────────────► refused, and left as it is
//! ```
//!
//! Invariant: the file is on disk, by an atomic rename, before the store has a part, and goes only when the upload is
//! of no more use: committed, found to exist already, or lost. Whatever it says, no byte of an earlier attempt counts that
//! was not compared with the source: it can cost time, and never a wrong object.
//!
//! Trade-off: a file and not a blob in the host's memory, because a host that is killed inside of a blocking call has
//! nothing in its memory any more.

use super::{Context, offload::blocking, upload::Ended};
use crate::{
    codec,
    engine::Op,
    error::{Code, Error, Result},
    logging::Logger,
    object::{Encoding, ObjectId, ResumeBlob},
    small_file,
    store::{Key, Upload, UploadInfo},
};
use parking_lot::Mutex;
use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// How long the end of an offload waits until its file is removed. One that stays costs the next offload a look.
const REMOVAL: Duration = Duration::from_secs(1);

/// Versions that the bytes of an object depend on.
pub(super) fn encoder() -> String {
    format!("seglift {}, {}", env!("CARGO_PKG_VERSION"), codec::version())
}

/// An offload that can be resumed.
pub(super) struct Resume {
    path: PathBuf,
    /// As it will be kept, but for the id of the upload.
    blob: ResumeBlob,
    /// The UUID that the file named before; that of `blob` where it named none.
    read: ObjectId,
    /// The upload to go on with, until it is taken.
    found: Mutex<Option<Box<dyn Upload>>>,
    /// An earlier attempt may have been committed.
    look: bool,
    /// The file names the upload under way.
    written: AtomicBool,
    /// That was begun by an earlier attempt.
    earlier: AtomicBool,
    /// Parts that the store has for certain.
    parts: AtomicU64,
    /// Bytes that were there already and not sent again.
    resumed_bytes: AtomicU64,
}

impl Resume {
    /// Reads the file and finds the upload that it names. `INVALID_ARGUMENT` where the file is none of ours, `BUSY` where
    /// the upload is under way elsewhere.
    pub async fn prepare(
        ctx: &Context,
        op: &Op,
        path: PathBuf,
        key: &Key,
        info: impl Fn(ObjectId) -> UploadInfo,
        encoding: Encoding,
    ) -> Result<Resume> {
        op.stage("look for what can be resumed");
        let new = ResumeBlob {
            key: key.to_string(),
            store_fingerprint: ctx.fingerprint,
            upload: String::new(),
            id: ObjectId::random(),
            encoding,
        };
        let reading = path.clone();
        let mut named = new.id;
        let found = match blocking(op, move || read(&reading)).await? {
            Old::Nothing => Found::Nothing,
            Old::Blob(old) => {
                named = old.id;
                find(ctx, op, key, &info(old.id), old, &new).await?
            }
            Old::Unusable(why) => Found::Afresh { why, then: LEFT, look: false },
        };
        let (blob, upload, look) = match found {
            Found::Upload(upload, old) => (old, Some(upload), false),
            Found::Nothing => (new, None, false),
            Found::Afresh { why, then, look } => {
                let what = "an offload begins afresh instead of being resumed";
                ctx.engine.log().warn("writer", what, &[("key", key), ("why", &why), ("then", &then)]);
                (new, None, look)
            }
        };
        Ok(Resume {
            path,
            blob,
            read: named,
            look,
            written: AtomicBool::new(upload.is_some()),
            earlier: AtomicBool::new(upload.is_some()),
            found: Mutex::new(upload),
            parts: AtomicU64::new(0),
            resumed_bytes: AtomicU64::new(0),
        })
    }

    /// The UUID that the object will have.
    pub fn id(&self) -> ObjectId {
        self.blob.id
    }

    /// Whether the key must be looked at before anything is sent.
    pub fn must_look(&self) -> bool {
        self.look
    }

    /// Bytes that the store had and that were not sent again.
    pub fn resumed_bytes(&self) -> u64 {
        self.resumed_bytes.load(Relaxed)
    }

    /// The upload to go on with, once.
    pub fn take(&self) -> Option<Box<dyn Upload>> {
        self.found.lock().take()
    }

    /// Whether the upload may have parts that an earlier attempt has sent.
    pub fn goes_on(&self) -> bool {
        self.earlier.load(Relaxed)
    }

    /// Whether an upload that ends with `e` is worth keeping.
    pub fn keeps(&self, e: &Ended) -> bool {
        let lost = match e {
            Ended::Gone(_) => true,
            Ended::Failed(e) => e.code() == Code::AlreadyExists,
        };
        !lost && self.written.load(Relaxed) && (self.goes_on() || self.parts.load(Relaxed) > 0)
    }

    /// Keeps how `upload`, which was just begun, is found again. Only then may a part be sent.
    pub async fn write(&self, upload: &dyn Upload) -> Result<()> {
        self.parts.store(0, Relaxed);
        self.resumed_bytes.store(0, Relaxed);
        self.earlier.store(false, Relaxed);
        let Some(id) = upload.id() else {
            let what = "this store cannot go on with an upload; offload to it without a resume file";
            return Err(Error::new(Code::InvalidArgument, what));
        };
        let bytes = ResumeBlob { upload: id, ..self.blob.clone() }.encode()?;
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || small_file::replace(&path, &bytes)).await;
        written.map_err(super::offload::ended_early)?.map_err(|e| failed(&self.path, "written", &e))?;
        self.written.store(true, Relaxed);
        Ok(())
    }

    /// A part was sent, or was there: then its length in bytes.
    pub fn stored(&self, was_there: Option<u64>) {
        self.parts.fetch_add(1, Relaxed);
        self.resumed_bytes.fetch_add(was_there.unwrap_or(0), Relaxed);
    }

    /// The upload is of no more use, nor is the file.
    pub async fn remove(&self, log: &Logger) {
        self.written.store(false, Relaxed);
        let (path, ours) = (self.path.clone(), [self.blob.id, self.read]);
        let removing = tokio::task::spawn_blocking(move || remove(&path, ours));
        if let Ok(Ok(Err(e))) = tokio::time::timeout(REMOVAL, removing).await {
            let path = self.path.display();
            let what = "the resume file of an offload that ended could not be removed: the next one will look in vain";
            log.warn("writer", what, &[("path", &path), ("error", &e)]);
        }
    }

    /// Says in an error what is kept.
    pub fn explain(&self, e: Error) -> Error {
        if e.code() == Code::OutcomeUnknown || !self.written.load(Relaxed) {
            return e;
        }
        let path = self.path.display();
        match self.parts.load(Relaxed) {
            0 => e.with_hint(format_args!("what an earlier attempt has sent is kept for a resume by {path}")),
            parts => e.with_hint(format_args!("{parts} parts are kept for a resume by {path}")),
        }
    }
}

/// What becomes of an upload that is not proven to be ours.
const LEFT: &str = "what the file named is left to reap";

/// What an offload begins with.
enum Found {
    /// An upload, and what it was begun as.
    Upload(Box<dyn Upload>, ResumeBlob),
    Nothing,
    /// Nothing, for a reason that is worth a line in the log.
    Afresh {
        why: String,
        then: &'static str,
        /// The earlier attempt may have been committed.
        look: bool,
    },
}

async fn find(
    ctx: &Context,
    op: &Op,
    key: &Key,
    info: &UploadInfo,
    old: ResumeBlob,
    new: &ResumeBlob,
) -> Result<Found> {
    if (&old.key, old.store_fingerprint) != (&new.key, new.store_fingerprint) {
        let why = "the resume file is of another key or store".to_owned();
        return Ok(Found::Afresh { why, then: LEFT, look: false });
    }
    let upload = match op.guard(ctx.store.resume(key, info, &old.upload)).await {
        Ok(Some(upload)) => upload,
        Ok(None) => {
            let why = "the store does not have the upload any more".to_owned();
            return Ok(Found::Afresh { why, then: "the key is looked at before", look: true });
        }
        // It stays hidden: a user who may write and not list parts can still offload.
        Err(e) if !e.retryable() && op.check().is_ok() => {
            let why = format!("what the store has cannot be told: {e}");
            return Ok(Found::Afresh { why, then: LEFT, look: false });
        }
        Err(e) => return Err(e),
    };
    match old.encoding.differs(&new.encoding) {
        None => Ok(Found::Upload(upload, old)),
        Some(why) => {
            // What cannot be removed now is left to reap.
            let _ = op.guard(upload.abort()).await;
            Ok(Found::Afresh { why: why.to_owned(), then: "the old upload is aborted", look: false })
        }
    }
}

/// What stands under the path.
enum Old {
    Nothing,
    Blob(ResumeBlob),
    Unusable(String),
}

fn read(path: &Path) -> Result<Old> {
    let bytes = match small_file::read(path, ResumeBlob::MAX as u64 + 1) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Err(foreign(path, &e.to_string())),
        Err(e) => return Err(failed(path, "read", &e)),
    };
    if bytes.is_empty() {
        return Ok(Old::Nothing);
    }
    match ResumeBlob::decode(&bytes) {
        Ok(blob) => Ok(Old::Blob(blob)),
        Err(e) if e.code() == Code::InvalidArgument => Err(foreign(path, e.message())),
        Err(e) => Ok(Old::Unusable(e.message().to_owned())),
    }
}

fn foreign(path: &Path, why: &str) -> Error {
    let path = path.display();
    let what = format!(
        "{path} cannot be the resume file: {why}; name a path where seglift may write a file and remove it"
    );
    Error::new(Code::InvalidArgument, what)
}

/// Removes the file, unless it names an upload of none of these: another attempt may have written it meanwhile.
fn remove(path: &Path, ours: [ObjectId; 2]) -> io::Result<()> {
    let there = small_file::read(path, ResumeBlob::MAX as u64 + 1)?.unwrap_or_default();
    match ResumeBlob::decode(&there) {
        Ok(blob) if !ours.contains(&blob.id) => Ok(()),
        _ => small_file::remove(path),
    }
}

fn failed(path: &Path, what: &str, e: &io::Error) -> Error {
    let code = match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::NoSpace,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Code::PermissionDenied,
        // The disk's fault, and not the host's.
        _ if e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Code::SourceFailed,
        _ => Code::InvalidArgument,
    };
    Error::new(code, format!("the resume file {} cannot be {what}: {e}; nothing was sent", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_removal_spares_the_file_of_another_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resume");
        let encoding = Encoding {
            encoder: encoder(),
            segment_len: 1,
            codec: codec::Codec::None,
            zstd_level: 0,
            block_size: 1 << 20,
            part_size: 1 << 20,
            words: 0,
        };
        let id = ObjectId::random();
        let blob = ResumeBlob { key: "k".into(), store_fingerprint: 0, upload: "u".into(), id, encoding };
        small_file::replace(&path, &blob.encode().unwrap()).unwrap();
        remove(&path, [ObjectId::random(); 2]).unwrap();
        assert!(path.exists());
        remove(&path, [id, ObjectId::random()]).unwrap();
        remove(&path, [id; 2]).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
