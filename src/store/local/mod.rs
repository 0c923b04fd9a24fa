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
mod doctor;
mod errno;
mod list;
mod read;
mod resume;
mod root;
mod temporary;
mod upload;
mod uploads;

use super::{
    Arrived, Body, BoxFuture, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage, ObjectStore,
    Removal, Unfinished, Upload, UploadInfo, UploadMark, UploadPage,
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
        let root = Root::open(dir, create, if fsync { root::KERNEL } else { root::WITHOUT_FSYNC })?;
        Ok(Self { uri: super::open::file_uri(root.path()), root: Arc::new(root) })
    }
}

impl ObjectStore for LocalStore {
    fn uri(&self) -> &str {
        &self.uri
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            atomic_create: true,
            min_part: 1,
            max_part: i64::MAX as u64,
            max_parts: u32::MAX,
            dates_by_begin: false,
        }
    }

    fn put<'a>(&'a self, key: &'a Key, info: &'a UploadInfo, body: Arc<dyn Body>) -> BoxFuture<'a, Commit> {
        Box::pin(async move {
            let upload = match upload::begin(self.root.clone(), key.clone(), &info.owner).await {
                Ok(upload) => upload,
                Err(e) => return Commit::NotDone(e),
            };
            match upload.put_part(0, 0, body).await {
                Ok(()) => upload.finish().await,
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

    fn resume<'a>(
        &'a self,
        key: &'a Key,
        info: &'a UploadInfo,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Upload>>>> {
        Box::pin(async move {
            let found = resume::resume(&self.root, key, &info.owner, id).await?;
            Ok(found.map(|upload| Box::new(upload) as Box<dyn Upload>))
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

    fn confirm<'a>(&'a self, key: &'a Key, _ours: Option<&'a str>) -> BoxFuture<'a, Commit> {
        let (root, key) = (self.root.clone(), key.clone());
        Box::pin(async move {
            match blocking(move || upload::make_last(&root, &key)).await {
                Ok(()) => Commit::Done,
                Err(e) => Commit::Unknown(e),
            }
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<i64>> {
        let root = self.root.clone();
        Box::pin(blocking(move || uploads::now(&root)))
    }

    fn uploads<'a>(
        &'a self,
        owner: &'a str,
        after: Option<&'a UploadMark>,
        max: usize,
    ) -> BoxFuture<'a, Result<UploadPage>> {
        let (root, owner, after) = (self.root.clone(), owner.to_owned(), after.cloned());
        Box::pin(blocking(move || uploads::page(&root, &owner, after.as_ref(), max)))
    }

    fn arrived<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<Option<Arrived>>> {
        let (root, name) = (self.root.clone(), upload.id.clone());
        Box::pin(blocking(move || uploads::arrived(&root, &name)))
    }

    fn abort_upload<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<bool>> {
        let (root, name) = (self.root.clone(), upload.id.clone());
        Box::pin(blocking(move || uploads::abort(&root, &name)))
    }

    fn delete_unchanged<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<Removal>> {
        let (root, entry) = (self.root.clone(), entry.clone());
        Box::pin(blocking(move || delete::delete_unchanged(&root, &entry)))
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

#[cfg(test)]
mod tests {
    use super::{
        root::{Calls, KERNEL},
        *,
    };
    use crate::store::UploadInfo;
    use rustix::{fd::BorrowedFd, fs::FileType, io::Errno};
    use std::{fs, sync::atomic::AtomicU32, sync::atomic::Ordering::Relaxed};

    struct Text(&'static str);

    impl Body for Text {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
        fn open(&self) -> crate::store::ByteStream {
            let bytes = bytes::Bytes::from_static(self.0.as_bytes());
            Box::pin(futures_util::stream::once(async move { Ok(bytes) }))
        }
        fn crc32c(&self) -> Option<u32> {
            None
        }
    }

    fn kind(fd: BorrowedFd<'_>) -> FileType {
        root::kind(&rustix::fs::fstat(fd).unwrap())
    }

    fn syncing(sync: fn(BorrowedFd<'_>) -> rustix::io::Result<()>) -> Calls {
        Calls { sync, ..KERNEL }
    }

    /// Commits twice to a store whose disk works as `calls` says; the answers, and what is left in the folder.
    fn commit_twice(calls: Calls) -> (Commit, Commit, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path(), false, calls).unwrap());
        let store = LocalStore { root, uri: String::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (first, second) = runtime.block_on(async {
            let upload = store.begin(&Key::new("t/k").unwrap(), &UploadInfo::default()).await.unwrap();
            upload.put_part(0, 0, Arc::new(Text("content"))).await.unwrap();
            (upload.commit().await, upload.commit().await)
        });
        // What a dropped upload removes, it removes on the runtime's threads.
        drop(runtime);
        let left = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        (first, second, left.collect())
    }

    #[test]
    fn a_failed_fsync_of_the_file_is_not_done_removes_it_and_is_not_tried_again() {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let (first, second, left) = commit_twice(syncing(|fd| match kind(fd) {
            // As a kernel does: the second fsync finds no dirty page any more.
            FileType::RegularFile if FILES.fetch_add(1, Relaxed) == 0 => Err(Errno::IO),
            _ => Ok(()),
        }));
        for answer in [first, second] {
            assert!(matches!(&answer, Commit::NotDone(e) if e.code() == Code::NotFound), "{answer:?}");
        }
        assert_eq!(left, [""; 0]);
        assert_eq!(FILES.load(Relaxed), 1);
    }

    #[test]
    fn a_failed_fsync_of_a_folder_after_the_link_is_unknown_and_keeps_the_object() {
        let (first, second, left) = commit_twice(syncing(|fd| match kind(fd) {
            FileType::Directory => Err(Errno::IO),
            _ => Ok(()),
        }));
        for answer in [first, second] {
            assert!(matches!(&answer, Commit::Unknown(e) if e.code() == Code::OutcomeUnknown), "{answer:?}");
        }
        assert_eq!(left, ["t"]);
    }

    #[test]
    fn a_commit_makes_the_file_durable_and_then_every_folder_up_to_the_root() {
        static SYNCED: parking_lot::Mutex<Vec<FileType>> = parking_lot::Mutex::new(Vec::new());
        let (first, ..) = commit_twice(syncing(|fd| {
            SYNCED.lock().push(kind(fd));
            Ok(())
        }));
        assert!(matches!(first, Commit::Done));
        assert_eq!(*SYNCED.lock(), [FileType::RegularFile, FileType::Directory, FileType::Directory]);
    }

    #[test]
    fn without_hard_links_a_rename_that_refuses_to_overwrite_commits() {
        let no_links = Calls { link: |_, _, _, _| Err(Errno::PERM), ..KERNEL };
        let (first, second, left) = commit_twice(no_links);
        assert!(matches!((first, second), (Commit::Done, Commit::Done)));
        assert_eq!(left, ["t"]);

        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path(), false, no_links).unwrap());
        let store = LocalStore { root, uri: String::new() };
        fs::write(dir.path().join("k"), "first").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let key = Key::new("k").unwrap();
        let answer = runtime.block_on(store.put(&key, &UploadInfo::default(), Arc::new(Text("second"))));
        assert!(matches!(answer, Commit::Exists), "{answer:?}");
        assert_eq!(fs::read(dir.path().join("k")).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_whose_answer_was_lost_is_recognised_by_its_inode() {
        // NFS sends the request again and then finds its own work.
        let repeated =
            Calls { link: |a, from, b, to| (KERNEL.link)(a, from, b, to).and(Err(Errno::EXIST)), ..KERNEL };
        let interrupted =
            Calls { link: |a, from, b, to| (KERNEL.link)(a, from, b, to).and(Err(Errno::IO)), ..KERNEL };
        for calls in [repeated, interrupted] {
            let (first, _, left) = commit_twice(calls);
            assert!(matches!(first, Commit::Done), "{first:?}");
            assert_eq!(left, ["t"]);
        }
    }

    #[test]
    fn a_link_that_fails_without_saying_whether_is_unknown_and_may_be_tried_again() {
        static LINKS: AtomicU32 = AtomicU32::new(0);
        let (first, second, left) = commit_twice(Calls {
            link: |a, from, b, to| match LINKS.fetch_add(1, Relaxed) {
                0 => Err(Errno::IO),
                _ => (KERNEL.link)(a, from, b, to),
            },
            ..KERNEL
        });
        assert!(matches!(first, Commit::Unknown(_)), "{first:?}");
        assert!(matches!(second, Commit::Done), "{second:?}");
        assert_eq!(left, ["t"]);

        let (first, second, left) = commit_twice(Calls { link: |_, _, _, _| Err(Errno::IO), ..KERNEL });
        for answer in [first, second] {
            assert!(matches!(answer, Commit::Unknown(_)), "{answer:?}");
        }
        assert_eq!(left, [""; 0], "who gives it up leaves nothing");
    }

    #[test]
    fn what_another_has_named_is_made_durable_before_it_counts() {
        static SYNCED: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("t")).unwrap();
        fs::write(dir.path().join("t/k"), "x").unwrap();
        let calls = syncing(|fd| match (kind(fd), SYNCED.fetch_add(1, Relaxed)) {
            (FileType::Directory, 0 | 1) => Ok(()),
            _ => Err(Errno::IO),
        });
        let root = Arc::new(Root::open(dir.path(), false, calls).unwrap());
        let store = LocalStore { root, uri: String::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let key = Key::new("t/k").unwrap();
        let first = runtime.block_on(store.confirm(&key, None));
        assert!(matches!(first, Commit::Done), "{first:?}");
        assert_eq!(SYNCED.load(Relaxed), 2, "its folder and the root");
        let second = runtime.block_on(store.confirm(&key, None));
        assert!(matches!(&second, Commit::Unknown(e) if !e.retryable()), "{second:?}");
    }

    #[test]
    fn a_full_disk_at_the_commit_is_not_done_and_leaves_nothing() {
        let (first, _, left) = commit_twice(Calls { link: |_, _, _, _| Err(Errno::NOSPC), ..KERNEL });
        assert!(matches!(&first, Commit::NotDone(e) if e.code() == Code::NoSpace), "{first:?}");
        assert_eq!(left, [""; 0]);
    }

    #[test]
    fn an_upload_whose_commit_failed_is_not_to_be_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let full = Calls { link: |_, _, _, _| Err(Errno::NOSPC), ..KERNEL };
        let root = Arc::new(Root::open(dir.path(), false, full).unwrap());
        let store = LocalStore { root, uri: String::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (key, info) = (Key::new("k").unwrap(), UploadInfo::default());
            let upload = store.begin(&key, &info).await.unwrap();
            let id = upload.id().unwrap();
            upload.keep();
            upload.put_part(0, 0, Arc::new(Text("content"))).await.unwrap();
            assert!(matches!(upload.commit().await, Commit::NotDone(_)));
            assert_eq!(upload.id(), None);
            drop(upload);
            assert!(store.resume(&key, &info, &id).await.unwrap().is_none());
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_resume_that_is_dropped_while_it_looks_leaves_what_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path(), false, KERNEL).unwrap());
        let store = LocalStore { root, uri: String::new() };
        // One thread that may block: who looks second looks after the first has found it.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (key, info) = (Key::new("k").unwrap(), UploadInfo::default());
            let upload = store.begin(&key, &info).await.unwrap();
            let id = upload.id().unwrap();
            upload.keep();
            drop(upload);
            // Held until the first was dropped.
            let (let_go, held) = std::sync::mpsc::channel::<()>();
            tokio::task::spawn_blocking(move || held.recv());
            let mut looking = store.resume(&key, &info, &id);
            assert!(futures_util::FutureExt::now_or_never(&mut looking).is_none());
            drop(looking);
            drop(let_go);
            assert!(store.resume(&key, &info, &id).await.unwrap().is_some());
            // Found and dropped is no reason either.
            assert!(store.resume(&key, &info, &id).await.unwrap().is_some());
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_delete_that_may_not_last_is_no_success() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path(), false, Calls { sync: |_| Err(Errno::IO), ..KERNEL }).unwrap();
        fs::create_dir(dir.path().join("t")).unwrap();
        fs::write(dir.path().join("t/k"), "x").unwrap();
        let answers = delete::delete(&root, &["t/k", "missing"].map(|key| Key::new(key).unwrap()));
        let codes: Vec<_> = answers.into_iter().map(|a| a.err().map(|e| e.code())).collect();
        assert_eq!(codes, [Some(Code::Unavailable), None]);
    }
}
