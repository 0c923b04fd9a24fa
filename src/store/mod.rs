//! Where objects live: one trait, one file for each kind of store.
//!
//! A store moves bytes and answers precisely; it knows nothing of segments, blocks or records. The
//! invariant that everything above relies on is [`Commit`]: a store says *done*, *exists*, *certainly
//! not done* or *cannot know*, and never turns the last into one of the others. Whether "cannot know"
//! ends well is settled by the writer, which looks at the object.
//!
//! Why not a filesystem interface: objects appear whole or not at all, are immutable, and are read by
//! range; anything richer would promise what object stores cannot keep.
//!
//! Every method is cancel-safe by dropping its future, except that [`Upload::commit`] and
//! [`ObjectStore::put`] may then have committed: callers drop those only to answer `OUTCOME_UNKNOWN`.

use crate::{
    clock::{Clock, SystemClock},
    error::{Code, Error, Result},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::{future::Future, ops::Range, pin::Pin, sync::Arc};

mod cleanup;
#[cfg(feature = "testing")]
pub mod conformance;
pub mod doctor;
#[cfg(feature = "testing")]
pub mod fault;
mod key;
mod limit;
mod local;
mod memory;
mod metered;
mod open;
mod parts;
mod pieces;
mod registry;
mod retry;
pub mod s3;

pub use cleanup::{Arrived, Removal, Unfinished, UploadMark, UploadPage};
pub use key::Key;
pub use limit::LimitStore;
pub(crate) use limit::Pace;
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use metered::MeteredStore;
pub use open::{OpenOptions, fingerprint, open};
pub use retry::RetryStore;
pub use s3::S3Store;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Bytes in pieces, in order, as they arrive; ends after the first error.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A run of bytes of known length on its way to a store, which can be sent again from its first byte.
pub trait Body: Send + Sync {
    /// Exact length in bytes of what [`open`](Body::open) yields.
    fn len(&self) -> u64;

    /// Whether there is nothing to send.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts from the first byte, each time it is called. Pieces are at most 256 KiB long where the
    /// body chooses them. Yields exactly [`len`](Body::len) bytes or ends with an error.
    fn open(&self) -> ByteStream;

    /// CRC32C of all bytes, known at the latest once a stream was read to its end.
    fn crc32c(&self) -> Option<u32>;

    /// The store has answered that it certainly kept nothing of what was sent so far. Called between two attempts;
    /// does nothing unless somebody keeps count.
    fn not_kept(&self) {}
}

/// How a commit ended.
#[derive(Debug)]
#[must_use]
pub enum Commit {
    /// The object is there, durable, and it is ours.
    Done,
    /// The key exists already; nothing was changed.
    Exists,
    /// Certainly not committed, and nothing is visible under the key.
    NotDone(Error),
    /// The request was sent and its result is not known: look. With `OUTCOME_UNKNOWN` a look would not tell either:
    /// what it shows may not last.
    Unknown(Error),
}

/// What a store keeps beside an object's bytes, as far as it can.
#[derive(Clone, Debug, Default)]
pub struct UploadInfo {
    /// The host's identity: the boundary of all clean-up.
    pub owner: String,
    /// The object's UUID in its canonical text form.
    pub uuid: String,
    /// More metadata for stores that keep it (`segment_bytes`, `codec`), name and value.
    pub user: Vec<(&'static str, String)>,
}

/// Which bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetRange {
    /// From `start` up to, not including, `end`; not empty.
    Range(Range<u64>),
    /// The last `n` bytes, or the whole object where it is shorter; `n > 0`.
    Suffix(u64),
}

impl GetRange {
    /// The bytes that this means in an object of `object_len` bytes: `OUT_OF_RANGE` where a range starts
    /// at or after the end, `INVALID_ARGUMENT` where it asks for nothing. A suffix of an empty object is
    /// its zero bytes.
    pub fn within(&self, object_len: u64) -> Result<Range<u64>> {
        match *self {
            GetRange::Range(Range { start, end }) if start >= end => Err(Error::new(
                Code::InvalidArgument,
                format!("the range {start}..{end} is empty; ask for a byte at least"),
            )),
            GetRange::Range(Range { start, .. }) if start >= object_len => Err(Error::new(
                Code::OutOfRange,
                format!("the range starts at byte {start} and the object has {object_len}"),
            )),
            GetRange::Range(Range { start, end }) => Ok(start..end.min(object_len)),
            GetRange::Suffix(0) => Err(Error::new(
                Code::InvalidArgument,
                "a suffix of 0 bytes was asked for; ask for a byte at least",
            )),
            GetRange::Suffix(n) => Ok(object_len.saturating_sub(n)..object_len),
        }
    }
}

/// The answer to a get: where the bytes stand, and the bytes.
pub struct Get {
    /// Length of the whole object in bytes.
    pub object_len: u64,
    /// Which bytes of it `body` yields: what was asked for, cut at the object's end.
    pub range: Range<u64>,
    /// What tells the object from others that had or will have its key (an ETag), where the store has such a thing.
    pub tag: Option<Arc<str>>,
    /// The bytes, as they arrive. A store checks that they are neither fewer nor more than `range`.
    pub body: ByteStream,
}

impl Get {
    /// The whole body in one piece. `RESOURCE_EXHAUSTED` if there is no memory for it, `UNAVAILABLE` if it is longer than
    /// `range`.
    pub async fn collect(mut self) -> Result<Vec<u8>> {
        let len = self.range.end - self.range.start;
        let mut all = Vec::new();
        usize::try_from(len).ok().and_then(|len| all.try_reserve_exact(len).ok()).ok_or_else(|| {
            Error::new(
                Code::ResourceExhausted,
                format!("no memory for {len} bytes; lower memory.budget or add memory"),
            )
        })?;
        while let Some(piece) = self.body.next().await {
            let piece: Bytes = piece?;
            if piece.len() > all.capacity() - all.len() {
                return Err(Error::new(
                    Code::Unavailable,
                    "the store's answer is longer than it had promised; try again",
                ));
            }
            all.extend_from_slice(&piece);
        }
        if all.len() as u64 != len {
            let what = "the store's answer ended before the last byte that it had promised; try again";
            return Err(Error::new(Code::Unavailable, what));
        }
        Ok(all)
    }
}

/// One object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The object's key.
    pub key: Key,
    /// Its stored length in bytes.
    pub len: u64,
    /// When it was committed, µs since the Unix epoch by the store's clock; of an object in parts when its upload was
    /// begun, where the store dates it so ([`Capabilities::dates_by_begin`]).
    pub modified_us: i64,
}

/// A page of a listing.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// Objects in the byte order of their keys.
    pub entries: Vec<Entry>,
    /// Whether there is more after the last entry.
    pub more: bool,
}

/// What a store can do; everything else it must do.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// Creates an object only if the key is free, in one atomic step. Where it cannot, the driver
    /// looks before and after.
    pub atomic_create: bool,
    /// Smallest part but the last, in bytes; 1 where any will do.
    pub min_part: u64,
    /// Largest part, and largest object in one [`put`](ObjectStore::put), in bytes.
    pub max_part: u64,
    /// Most parts of one upload.
    pub max_parts: u32,
    /// Dates an object that came in parts by the beginning of its upload, and not by its commit. Such an object is longer
    /// than `min_part`.
    pub dates_by_begin: bool,
}

/// A place for objects. All methods may be called from any number of tasks at once.
pub trait ObjectStore: Send + Sync + 'static {
    /// The store's canonical URI without credentials, such as `file:///var/tier`: the same place gives
    /// the same text, since receipts carry its fingerprint.
    fn uri(&self) -> &str;

    /// What this store can do, as far as it is known: see [`learn`](ObjectStore::learn).
    fn capabilities(&self) -> Capabilities;

    /// Finds out by asking what [`capabilities`](ObjectStore::capabilities) cannot know before, and whether the
    /// store can be used as the settings demand. Cheap after the first time that ended well; what failed is
    /// tried again by the next call. Writers call it before they rely on the capabilities.
    fn learn(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Creates the object in one request, only if the key is free.
    fn put<'a>(&'a self, key: &'a Key, info: &'a UploadInfo, body: Arc<dyn Body>) -> BoxFuture<'a, Commit>;

    /// Starts an upload in parts. Nothing is visible under the key before the commit.
    fn begin<'a>(&'a self, key: &'a Key, info: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>>;

    /// Goes on with an upload that was kept, or whose process was killed: `id` is what its [`Upload::id`] said, `info` what
    /// it was begun with. No part of it counts before [`Upload::has_part`] has compared it. `None`: there is none any more,
    /// it is not one of this owner's, or uploads are begun in another way now. `BUSY`: whoever began it is still at it. A
    /// store that cannot do this has none. What is found is [kept](Upload::keep) already, so dropping this future removes
    /// nothing.
    fn resume<'a>(
        &'a self,
        key: &'a Key,
        info: &'a UploadInfo,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Upload>>>> {
        let _ = (key, info, id);
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Reads a range. A range that starts at or after the object's end is `OUT_OF_RANGE`.
    fn get<'a>(&'a self, key: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>>;

    /// The object's length and time, or `NOT_FOUND`.
    fn head<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Entry>>;

    /// Removes objects; the answers are in the order of the keys. What is not there is success.
    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>>;

    /// Lists keys that begin with `prefix` (any text, not only whole folders) and are greater than
    /// `after`, in byte order, at most `max` (> 0) of them.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        max: usize,
    ) -> BoxFuture<'a, Result<ListPage>>;

    /// Makes sure of an object that a look has shown and no answer has: that it lasts, and is kept as the settings
    /// demand. `ours`: the UUID that the writer which asks has given it ([`UploadInfo::uuid`]), if it is that writer's.
    /// `Done`: it is. `NotDone`: it is not, and was removed again where it is ours. `Unknown`: that cannot be said now,
    /// or another object stands there by now. Never `Exists`.
    fn confirm<'a>(&'a self, key: &'a Key, ours: Option<&'a str>) -> BoxFuture<'a, Commit> {
        let _ = (key, ours);
        Box::pin(std::future::ready(Commit::Done))
    }

    /// What time it is by the clock that gives objects and uploads their times, in µs since the Unix epoch, rounded
    /// down as those are; it may be late by a second or two, and never early. This machine's, where a store has no
    /// other.
    fn now(&self) -> BoxFuture<'_, Result<i64>> {
        Box::pin(std::future::ready(Ok(SystemClock::new().now_us())))
    }

    /// Uploads that were begun and not ended, at most `max` (> 0) of them, from `after` on; `owner` is whose they
    /// are asked to be told apart as. A store that keeps none has none.
    fn uploads<'a>(
        &'a self,
        owner: &'a str,
        after: Option<&'a UploadMark>,
        max: usize,
    ) -> BoxFuture<'a, Result<UploadPage>> {
        let _ = (owner, after, max);
        Box::pin(std::future::ready(Ok(UploadPage::default())))
    }

    /// What has arrived of an upload by now; `None` if it was ended meanwhile.
    fn arrived<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<Option<Arrived>>> {
        let _ = upload;
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Removes what was uploaded, whoever began it, unless its process is known to live. False if there was nothing
    /// left of it, or it lives.
    fn abort_upload<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<bool>> {
        let _ = upload;
        Box::pin(std::future::ready(Ok(false)))
    }

    /// Removes the object that `entry` describes, and no other that has come under its key meanwhile. Where looking
    /// and deleting cannot be one step, the gap is as short as the store allows.
    fn delete_unchanged<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<Removal>> {
        Box::pin(async move {
            match self.head(&entry.key).await {
                Ok(found) if found == *entry => {}
                Ok(_) => return Ok(Removal::Changed),
                Err(e) if e.code() == Code::NotFound => return Ok(Removal::Gone),
                Err(e) => return Err(e),
            }
            let deleted = self.delete(std::slice::from_ref(&entry.key)).await;
            deleted.into_iter().next().unwrap_or(Ok(())).map(|()| Removal::Removed)
        })
    }
}

/// An upload in parts. Dropping it never commits; whether what was uploaded then stays for `reap` (S3) or
/// goes at once (files, memory) is the store's, unless it was told to [`keep`](Upload::keep) it.
pub trait Upload: Send + Sync {
    /// Stores part `number` (from 0), which begins at `offset` of the object. Parts may come in any order
    /// and at once; sending one again replaces it. All parts but the last are equally long. `NOT_FOUND`: the store
    /// has lost the upload, and only a whole new one can help.
    fn put_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<()>>;

    /// Makes the object of the parts 0..n (n > 0) visible, durable, and only if the key is free. A missing
    /// part is `NotDone`. After `Done` and `Exists` the answer stays; whether another try can follow
    /// `NotDone` is the store's, and a whole new upload always can. `NotDone` with `NOT_FOUND` (the store has lost
    /// the upload) or `BUSY` (it met another request for the key) says that nothing else can.
    fn commit<'a>(&'a self) -> BoxFuture<'a, Commit>;

    /// Whether certainly no [`commit`](Upload::commit) has reached the store so far, or none that did anything: for who
    /// stops waiting for one. False where nobody keeps count.
    fn is_unsent(&self) -> bool {
        false
    }

    /// Removes what was uploaded. Only while "not committed" is certain. Repeating it is success.
    fn abort<'a>(&'a self) -> BoxFuture<'a, Result<()>>;

    /// What [`ObjectStore::resume`] finds it by, in this process or another: at most 2,048 bytes that only the store
    /// understands. `None` where it cannot be found again, such as after a commit that failed and kept nothing.
    fn id(&self) -> Option<String> {
        None
    }

    /// Asked of an upload that was resumed: whether the store has exactly the bytes of `body` as part `number`
    /// already. Then the part counts as stored. They are compared by checksum, and `body` is read only where there is
    /// something of its length to compare; an error is the body's own. Part 0 a store may want again, to show others
    /// that somebody is at the upload.
    fn has_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<bool>> {
        let _ = (number, offset, body);
        Box::pin(std::future::ready(Ok(false)))
    }

    /// From now on dropping it leaves what was uploaded for [`ObjectStore::resume`].
    fn keep(&self) {}
}
