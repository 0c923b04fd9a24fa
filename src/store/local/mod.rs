//! `file:///dir` — each object is the plain file `DIR/KEY`.
//!
//! Invariant: under a key there is either nothing or the whole, durable object, and a finished operation leaves
//! nothing else in DIR. An upload writes to a temporary file in DIR, is made durable, and gets its name with
//! `link(2)`, which refuses a name that is taken; see [`upload`]. Several processes may use DIR at once.
//!
//! Every system call runs on the runtime's blocking pool, in steps of at most 256 KiB of data, so that a cold
//! disk never stops a runtime thread.
//!
//! Trade-off: objects are ordinary files that anyone with the right may read, copy or damage. In return `cp`
//! and `zstd -d` are all that it takes to get data back without us.

mod delete;
mod errno;
mod list;
mod read;
mod root;
mod temporary;
mod upload;

use super::{
    Body, BoxFuture, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage, ObjectStore, Upload,
    UploadInfo,
};
use crate::error::{Code, Error, Result};
use root::Root;
use std::{path::Path, sync::Arc};
use tokio::task::JoinHandle;

/// A store in a folder.
pub struct LocalStore {
    root: Arc<Root>,
    uri: String,
}

impl LocalStore {
    /// Opens the folder `dir` (absolute). With `create` it is created where only its last name is missing.
    /// Without `fsync` nothing is made durable: faster, and a power failure may lose or damage objects whose
    /// offload had succeeded. Blocks for a few system calls.
    ///
    /// `INVALID_CONFIG` where it is no folder or cannot be created, `PERMISSION_DENIED` where it may not be read.
    pub fn open(dir: &Path, create: bool, fsync: bool) -> Result<Self> {
        let sync: root::SyncFn = if fsync { |fd| rustix::fs::fsync(fd) } else { |_| Ok(()) };
        let root = Root::open(dir, create, sync)?;
        Ok(Self { uri: super::open::file_uri(root.path()), root: Arc::new(root) })
    }
}

impl ObjectStore for LocalStore {
    fn uri(&self) -> &str {
        &self.uri
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { atomic_create: true, min_part: 1, max_part: i64::MAX as u64, max_parts: u32::MAX }
    }

    fn put<'a>(&'a self, key: &'a Key, info: &'a UploadInfo, body: Arc<dyn Body>) -> BoxFuture<'a, Commit> {
        Box::pin(async move {
            let upload = match upload::begin(self.root.clone(), key.clone(), &info.owner).await {
                Ok(upload) => upload,
                Err(e) => return Commit::NotDone(e),
            };
            match upload.put_part(0, 0, body).await {
                Ok(()) => upload.commit().await,
                Err(e) => {
                    // What cannot be removed is left to a reap; why the upload failed is the news.
                    let _ = upload.abort().await;
                    Commit::NotDone(e)
                }
            }
        })
    }

    fn begin<'a>(&'a self, key: &'a Key, info: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>> {
        Box::pin(async move {
            let upload = upload::begin(self.root.clone(), key.clone(), &info.owner).await?;
            Ok(Box::new(upload) as Box<dyn Upload>)
        })
    }

    fn get<'a>(&'a self, key: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>> {
        Box::pin(read::get(self.root.clone(), key.clone(), range))
    }

    fn head<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Entry>> {
        let (root, key) = (self.root.clone(), key.clone());
        Box::pin(blocking(move || read::head(&root, &key)))
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
        let (root, count, keys) = (self.root.clone(), keys.len(), keys.to_vec());
        Box::pin(async move {
            match blocking(move || Ok(delete::delete(&root, &keys))).await {
                Ok(answers) => answers,
                Err(e) => vec![Err(e); count],
            }
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        max: usize,
    ) -> BoxFuture<'a, Result<ListPage>> {
        let (root, prefix, after) = (self.root.clone(), prefix.to_owned(), after.map(str::to_owned));
        Box::pin(blocking(move || list::list(&root, &prefix, after.as_deref(), max)))
    }
}

/// Runs `work` on the blocking pool. Dropping the future does not stop work that has begun.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(tokio::task::spawn_blocking(work)).await
}

/// The result of work on the blocking pool; its panic goes on here.
async fn joined<T>(work: JoinHandle<Result<T>>) -> Result<T> {
    match work.await {
        Ok(result) => result,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(Code::Closed, "the engine was shut down while a file was used")),
        },
    }
}
