//! `memory:` — objects in this process's memory; what tests and first programs open.
//!
//! It keeps every promise of the trait, the awkward ones too: an object appears in one step under a lock, and
//! a key that is a folder of another is refused as a file system refuses it. `memory:` is a new, empty place
//! at each open; `memory://name` is one place for the whole process and lives as long as the process, so that
//! a closed driver finds its objects again.
//!
//! Bodies are copied in, one allocation for each part: the pieces that arrive may be lent from a pool that
//! needs them back. Reads copy nothing.

use super::{
    Arrived, Body, BoxFuture, ByteStream, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage,
    ObjectStore, Removal, Unfinished, Upload, UploadInfo, UploadMark, UploadPage, parts, parts::Parts,
    pieces,
};
use crate::{
    clock::{Clock, SystemClock},
    codec::checksum::crc32c,
    error::{Code, Error, Result},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    ops::{Bound, Range},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

/// Names of shared places: letters, digits, `.`, `_`, `-`.
const NAME: std::ops::RangeInclusive<usize> = 1..=100;

/// One object: its parts, each with its offset, in order.
struct Object {
    parts: Arc<[(u64, Bytes)]>,
    len: u64,
    modified_us: i64,
}

/// What all who opened a place see.
struct Place {
    objects: Mutex<BTreeMap<Box<str>, Object>>,
    /// Those that were begun and not ended, by number.
    uploads: Mutex<BTreeMap<u64, Arc<Unended>>>,
    next_upload: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl Place {
    fn new(clock: Arc<dyn Clock>) -> Arc<Place> {
        let (objects, uploads) = (Mutex::default(), Mutex::default());
        Arc::new(Place { objects, uploads, next_upload: AtomicU64::new(0), clock })
    }
}

/// A store in memory.
#[derive(Clone)]
pub struct MemoryStore {
    uri: Arc<str>,
    place: Arc<Place>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::private()
    }
}

impl MemoryStore {
    /// A new place that nobody else can open. Its URI is `memory:` and a UUID: it is never the same place
    /// as another, and a receipt from one must not be taken for a receipt from the other.
    pub fn private() -> Self {
        let place = Place::new(Arc::new(SystemClock::new()));
        Self { uri: format!("memory:{}", uuid::Uuid::new_v4()).into(), place }
    }

    /// The place `name` of this process, created by the first who asks for it. A name has 1 to 100 letters,
    /// digits, dots, underscores and dashes, else `INVALID_ARGUMENT`.
    pub fn shared(name: &str) -> Result<Self> {
        Self::shared_by(name, || Arc::new(SystemClock::new()))
    }

    /// As [`shared`](MemoryStore::shared), for tests that make time pass: whoever creates the place gives its clock.
    #[cfg(feature = "testing")]
    pub fn shared_with_clock(name: &str, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::shared_by(name, || clock)
    }

    fn shared_by(name: &str, clock: impl FnOnce() -> Arc<dyn Clock>) -> Result<Self> {
        static PLACES: LazyLock<Mutex<HashMap<String, Arc<Place>>>> = LazyLock::new(Mutex::default);
        let fine = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
        if !NAME.contains(&name.len()) || !name.bytes().all(fine) {
            return Err(Error::new(
                Code::InvalidArgument,
                "a store in memory is named with 1 to 100 letters, digits, dots, underscores and dashes, as in memory://test-1",
            ));
        }
        let place = PLACES.lock().entry(name.to_owned()).or_insert_with(|| Place::new(clock())).clone();
        Ok(Self { uri: format!("memory://{name}").into(), place })
    }

    /// Why `key` cannot be an object, if there is a reason: `None` leaves it to whether it exists.
    fn conflict(objects: &BTreeMap<Box<str>, Object>, key: &Key) -> Option<Error> {
        if let Some(folder) = key.folders().find(|&folder| objects.contains_key(folder)) {
            return Some(parts::folder_is_an_object(key, folder));
        }
        let inside = format!("{key}/");
        let next = objects.range::<str, _>((Bound::Included(inside.as_str()), Bound::Unbounded)).next();
        next.filter(|(other, _)| other.starts_with(&inside)).map(|_| parts::key_is_a_folder(key))
    }

    fn commit(&self, key: &Key, parts: Parts<Bytes>) -> Commit {
        let len = match parts.total(key) {
            Ok(len) => len,
            Err(e) => return Commit::NotDone(e),
        };
        let modified_us = self.place.clock.now_us();
        let object = Object { parts: parts.into_contents().collect(), len, modified_us };
        let mut objects = self.place.objects.lock();
        if let Some(e) = Self::conflict(&objects, key) {
            return Commit::NotDone(e);
        }
        if objects.contains_key(key.as_str()) {
            return Commit::Exists;
        }
        objects.insert(key.as_str().into(), object);
        Commit::Done
    }
}

/// The bytes of a body in one allocation.
async fn collect(key: &Key, body: &dyn Body) -> Result<Bytes> {
    let promised = body.len();
    let mut all = pieces::with_capacity(usize::try_from(promised).unwrap_or(usize::MAX))?;
    let mut stream = body.open();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        if piece.len() as u64 > promised - all.len() as u64 {
            return Err(parts::wrong_length(key, promised, (all.len() + piece.len()) as u64));
        }
        all.extend_from_slice(&piece);
    }
    if all.len() as u64 != promised {
        return Err(parts::wrong_length(key, promised, all.len() as u64));
    }
    Ok(all.into())
}

/// The pieces of `range`, as slices of the parts.
fn stream_of(object: Arc<[(u64, Bytes)]>, range: Range<u64>) -> ByteStream {
    let pieces = std::iter::successors(Some((range.start, Bytes::new())), move |(at, _)| {
        if *at >= range.end {
            return None;
        }
        let part = object.partition_point(|(offset, _)| offset <= at) - 1;
        let (offset, bytes) = &object[part];
        let from = (at - offset) as usize;
        let to =
            bytes.len().min((range.end - offset).min(usize::MAX as u64) as usize).min(from + pieces::PIECE);
        Some((at + (to - from) as u64, bytes.slice(from..to)))
    });
    stream::iter(pieces.skip(1).map(|(_, piece)| Ok(piece))).boxed()
}

fn not_found(key: &Key) -> Error {
    Error::new(Code::NotFound, format!("there is no object {key}"))
}

impl ObjectStore for MemoryStore {
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

    fn put<'a>(&'a self, key: &'a Key, _: &'a UploadInfo, body: Arc<dyn Body>) -> BoxFuture<'a, Commit> {
        Box::pin(async move {
            match collect(key, &*body).await {
                Err(e) => Commit::NotDone(e),
                Ok(bytes) => {
                    let mut parts = Parts::default();
                    parts.arrived(0, 0, bytes.len() as u64, bytes);
                    self.commit(key, parts)
                }
            }
        })
    }

    fn begin<'a>(&'a self, key: &'a Key, info: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>> {
        Box::pin(async move {
            if let Some(e) = Self::conflict(&self.place.objects.lock(), key) {
                return Err(e);
            }
            let started_us = self.place.clock.now_us();
            let unended = Arc::new(Unended {
                key: key.clone(),
                owner: info.owner.clone(),
                started_us,
                state: Mutex::new(State::Open { parts: Parts::default(), newest_us: started_us }),
            });
            let number = self.place.next_upload.fetch_add(1, Relaxed);
            self.place.uploads.lock().insert(number, unended.clone());
            Ok(self.upload(number, unended, false))
        })
    }

    fn resume<'a>(
        &'a self,
        key: &'a Key,
        info: &'a UploadInfo,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Upload>>>> {
        let found = self.unended(id).filter(|unended| {
            let open = matches!(*unended.state.lock(), State::Open { .. });
            open && unended.key == *key && unended.owner == info.owner
        });
        let number = id.parse().ok();
        let upload = found.zip(number).map(|(unended, number)| self.upload(number, unended, true));
        Box::pin(std::future::ready(Ok(upload)))
    }

    fn get<'a>(&'a self, key: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>> {
        Box::pin(async move {
            let objects = self.place.objects.lock();
            let object = objects.get(key.as_str()).ok_or_else(|| not_found(key))?;
            let range = range.within(object.len).map_err(|e| e.context(key))?;
            Ok(Get {
                object_len: object.len,
                range: range.clone(),
                tag: Some(object.modified_us.to_string().into()),
                body: stream_of(object.parts.clone(), range),
            })
        })
    }

    fn head<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Entry>> {
        Box::pin(async move {
            let objects = self.place.objects.lock();
            let object = objects.get(key.as_str()).ok_or_else(|| not_found(key))?;
            Ok(Entry { key: key.clone(), len: object.len, modified_us: object.modified_us })
        })
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
        Box::pin(async move {
            let mut objects = self.place.objects.lock();
            for key in keys {
                objects.remove(key.as_str());
            }
            keys.iter().map(|_| Ok(())).collect()
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        max: usize,
    ) -> BoxFuture<'a, Result<ListPage>> {
        Box::pin(async move {
            let from = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            let objects = self.place.objects.lock();
            let mut found = objects
                .range::<str, _>((from, Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(prefix));
            let mut entries = Vec::new();
            for (key, object) in found.by_ref().take(max) {
                entries.push(Entry { key: Key::new(key)?, len: object.len, modified_us: object.modified_us });
            }
            Ok(ListPage { entries, more: found.next().is_some() })
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<i64>> {
        Box::pin(std::future::ready(Ok(self.place.clock.now_us())))
    }

    fn uploads<'a>(
        &'a self,
        owner: &'a str,
        after: Option<&'a UploadMark>,
        max: usize,
    ) -> BoxFuture<'a, Result<UploadPage>> {
        let from =
            after.and_then(|mark| mark.id.parse::<u64>().ok()).map_or(Bound::Unbounded, Bound::Excluded);
        let uploads = self.place.uploads.lock();
        let mut all = uploads.range::<u64, _>((from, Bound::Unbounded));
        let page: Vec<Unfinished> =
            all.by_ref().take(max).map(|(id, upload)| upload.seen(*id, owner)).collect();
        let last = page.last().filter(|_| all.next().is_some());
        let next = last.map(|last| UploadMark { name: String::new(), id: last.id.clone(), of_all: false });
        Box::pin(std::future::ready(Ok(UploadPage { uploads: page, next })))
    }

    fn arrived<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<Option<Arrived>>> {
        let arrived = self.unended(&upload.id).and_then(|unended| match &*unended.state.lock() {
            State::Open { parts, newest_us } => {
                let bytes = parts.contents().map(|part| part.len() as u64).sum();
                Some(Arrived { newest_us: *newest_us, bytes })
            }
            _ => None,
        });
        Box::pin(std::future::ready(Ok(arrived)))
    }

    fn abort_upload<'a>(&'a self, upload: &'a Unfinished) -> BoxFuture<'a, Result<bool>> {
        let aborted = self.unended(&upload.id).is_some_and(|unended| {
            let mut state = unended.state.lock();
            let open = matches!(*state, State::Open { .. });
            if open {
                *state = State::Aborted;
            }
            open
        });
        if let Ok(number) = upload.id.parse() {
            self.place.uploads.lock().remove(&number);
        }
        Box::pin(std::future::ready(Ok(aborted)))
    }

    fn delete_unchanged<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<Removal>> {
        let mut objects = self.place.objects.lock();
        let found = objects.get(entry.key.as_str()).map(|object| (object.len, object.modified_us));
        let removal = match found {
            None => Removal::Gone,
            Some(found) if found == (entry.len, entry.modified_us) => {
                objects.remove(entry.key.as_str());
                Removal::Removed
            }
            Some(_) => Removal::Changed,
        };
        Box::pin(std::future::ready(Ok(removal)))
    }
}

impl MemoryStore {
    fn upload(&self, number: u64, unended: Arc<Unended>, kept: bool) -> Box<dyn Upload> {
        Box::new(MemoryUpload { store: self.clone(), number, unended, kept: AtomicBool::new(kept) })
    }

    fn unended(&self, id: &str) -> Option<Arc<Unended>> {
        self.place.uploads.lock().get(&id.parse().ok()?).cloned()
    }
}

/// Where an upload stands.
enum State {
    Open { parts: Parts<Bytes>, newest_us: i64 },
    Done,
    Exists,
    NotDone(Error),
    Aborted,
}

/// An upload that was begun.
struct Unended {
    key: Key,
    owner: String,
    started_us: i64,
    state: Mutex<State>,
}

impl Unended {
    /// It as clean-up sees it. Whether anybody still holds it is not shown, as in S3.
    fn seen(&self, number: u64, owner: &str) -> Unfinished {
        Unfinished {
            name: self.key.to_string(),
            id: number.to_string(),
            of_owner: Some(self.owner == owner),
            alive: None,
            started_us: self.started_us,
        }
    }
}

struct MemoryUpload {
    store: MemoryStore,
    number: u64,
    unended: Arc<Unended>,
    kept: AtomicBool,
}

impl MemoryUpload {
    fn with_parts(&self, change: impl FnOnce(&mut Parts<Bytes>)) -> Result<()> {
        match &mut *self.unended.state.lock() {
            State::Open { parts, newest_us } => {
                change(parts);
                *newest_us = self.store.place.clock.now_us();
            }
            _ => return Err(parts::ended(&self.unended.key)),
        }
        Ok(())
    }

    fn forget(&self) {
        self.store.place.uploads.lock().remove(&self.number);
    }
}

impl Drop for MemoryUpload {
    fn drop(&mut self) {
        if !self.kept.load(Relaxed) {
            self.forget();
        }
    }
}

impl Upload for MemoryUpload {
    fn put_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.with_parts(|parts| parts.forget(number))?;
            let bytes = collect(&self.unended.key, &*body).await?;
            self.with_parts(|parts| parts.arrived(number, offset, bytes.len() as u64, bytes))
        })
    }

    fn commit<'a>(&'a self) -> BoxFuture<'a, Commit> {
        Box::pin(async move {
            let mut state = self.unended.state.lock();
            if let State::Open { parts, .. } = &mut *state {
                *state = match self.store.commit(&self.unended.key, std::mem::take(parts)) {
                    Commit::Done => State::Done,
                    Commit::Exists => State::Exists,
                    Commit::NotDone(e) | Commit::Unknown(e) => State::NotDone(e),
                };
            }
            self.forget();
            match &*state {
                State::Done => Commit::Done,
                State::Exists => Commit::Exists,
                State::NotDone(e) => Commit::NotDone(e.clone()),
                State::Open { .. } | State::Aborted => Commit::NotDone(parts::ended(&self.unended.key)),
            }
        })
    }

    fn abort<'a>(&'a self) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut state = self.unended.state.lock();
            if matches!(*state, State::Done) {
                return Err(parts::too_late_to_abort(&self.unended.key));
            }
            *state = State::Aborted;
            self.forget();
            Ok(())
        })
    }

    fn id(&self) -> Option<String> {
        matches!(*self.unended.state.lock(), State::Open { .. }).then(|| self.number.to_string())
    }

    fn has_part<'a>(&'a self, number: u32, offset: u64, body: Arc<dyn Body>) -> BoxFuture<'a, Result<bool>> {
        let there = match &*self.unended.state.lock() {
            State::Open { parts, .. } => parts.get(number, offset, body.len()).cloned(),
            _ => None,
        };
        Box::pin(async move {
            let Some(there) = there else { return Ok(false) };
            Ok(parts::crc32c_of(&self.unended.key, &*body, |_| {}).await? == crc32c(&there))
        })
    }

    fn keep(&self) {
        self.kept.store(true, Relaxed);
    }
}
