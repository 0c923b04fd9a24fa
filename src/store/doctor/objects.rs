//! Checks that go through the store's trait alone, so that every kind of store has them.

use super::{Access, CHECK_TIME, Finding, Question, Report, within};
use crate::{
    codec::checksum::crc32c,
    error::{Code, Error, Result},
    store::{Body, ByteStream, Commit, GetRange, Key, ObjectStore, UploadInfo},
};
use bytes::Bytes;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::sync::RwLock;

/// What a probe object holds: long enough for a range in its middle.
const FIRST: &[u8] = b"seglift doctor was here; this object may be removed";
const SECOND: &[u8] = b"seglift doctor was here again, which must not happen";

/// A small body.
struct Text(&'static [u8]);

impl Body for Text {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self) -> ByteStream {
        let bytes = Bytes::from_static(self.0);
        Box::pin(futures_util::stream::once(async move { Ok(bytes) }))
    }

    fn crc32c(&self) -> Option<u32> {
        Some(crc32c(self.0))
    }
}

/// An object of our own in a store, which goes again.
pub(in crate::store) struct Probe<'a> {
    pub(in crate::store) store: &'a dyn ObjectStore,
    pub(in crate::store) key: Key,
    info: UploadInfo,
    made: AtomicBool,
    /// Read by whoever makes something, written by whoever stops the examination.
    gate: RwLock<()>,
}

impl<'a> Probe<'a> {
    /// Makes up the key; sends nothing.
    pub(in crate::store) fn new(store: &'a dyn ObjectStore) -> Self {
        let uuid = uuid::Uuid::new_v4();
        let info = UploadInfo { owner: "seglift-doctor".into(), uuid: uuid.to_string(), user: Vec::new() };
        let key = Key::of_probe(uuid);
        Self { store, key, info, made: AtomicBool::new(false), gate: RwLock::default() }
    }

    /// Does something that an interrupt must not break off, because it could take effect after it was undone.
    pub(in crate::store) async fn making<T>(&self, work: impl Future<Output = T>) -> T {
        let _gate = self.gate.read().await;
        work.await
    }

    /// Waits until nothing is being made; nothing more is from then on.
    pub(in crate::store) async fn settle(&self) -> impl Drop {
        self.gate.write().await
    }

    /// What goes with the probe's uploads.
    pub(in crate::store) fn info(&self) -> &UploadInfo {
        &self.info
    }

    /// Writes the object, only if it is not there. From now on it is there, whatever the answer.
    async fn put(&self, text: &'static [u8]) -> Result<Commit> {
        let put = async {
            self.made.store(true, SeqCst);
            Ok(self.store.put(&self.key, &self.info, Arc::new(Text(text))).await)
        };
        self.making(within("writing an object", put)).await
    }

    /// It was removed by other means than [`clean`](Probe::clean).
    pub(in crate::store) fn forget(&self) {
        self.made.store(false, SeqCst);
    }

    /// Whether it may be in the store.
    pub(in crate::store) fn is_made(&self) -> bool {
        self.made.load(SeqCst)
    }

    /// Removes the object.
    async fn remove(&self) -> Result<()> {
        let keys = [self.key.clone()];
        let removed =
            within("deleting an object", async { self.store.delete(&keys).await.pop().unwrap_or(Ok(())) })
                .await;
        if removed.is_ok() {
            self.made.store(false, SeqCst);
        }
        removed
    }

    /// The last check: removes what is still there and says whether anything is.
    pub(in crate::store) async fn clean(&self, report: &mut Report<'_>) {
        if !self.is_made() {
            return;
        }
        if let Err(error) = self.remove().await {
            let left = format!("remove the object {} of {} by hand", self.key, self.store.uri());
            report(Finding::fail("cleanup", &error).remedy(left));
        }
    }
}

/// The error of a commit that should have created an object.
pub(in crate::store) fn failed_commit(commit: Commit) -> Result<()> {
    match commit {
        Commit::Done => Ok(()),
        Commit::NotDone(error) | Commit::Unknown(error) => Err(error),
        Commit::Exists => Err(Error::new(
            Code::Unavailable,
            "the store says that an object exists already under a name which nobody can have used",
        )),
    }
}

/// Every check that the trait allows, for stores of which nothing else is known.
pub(in crate::store) async fn objects(probe: &Probe<'_>, question: &Question, report: &mut Report<'_>) {
    if question.access == Access::Read {
        list_and_read(probe.store, question, report).await;
        for check in ["write", "conditional-create", "delete"] {
            report(Finding::skipped(check, "not checked, because reading does not need it"));
        }
        return;
    }
    if write(probe, report).await {
        read(probe, report).await;
        conditional_create(probe, report).await;
        list(probe, report).await;
        delete(probe, report).await;
    } else {
        for check in ["read", "conditional-create", "list", "delete"] {
            report(Finding::skipped(check, "not checked, because no object could be written"));
        }
    }
}

/// Creates the probe; whether it is there.
pub(in crate::store) async fn write(probe: &Probe<'_>, report: &mut Report<'_>) -> bool {
    let begun = Instant::now();
    match probe.put(FIRST).await.and_then(failed_commit) {
        Ok(()) => {
            report(Finding::ok("write", format!("created {} in {}", probe.key, shown(begun.elapsed()))));
            true
        }
        Err(error) => {
            report(Finding::fail("write", &error));
            false
        }
    }
}

/// Reads the probe back, by position and from its end.
pub(in crate::store) async fn read(probe: &Probe<'_>, report: &mut Report<'_>) {
    let begun = Instant::now();
    let get = |range: GetRange| {
        within("reading a range", async { probe.store.get(&probe.key, range).await?.collect().await })
    };
    let len = FIRST.len();
    let read = async {
        let middle = get(GetRange::Range(8..14)).await?;
        let end = get(GetRange::Suffix(10)).await?;
        match middle == FIRST[8..14] && end == FIRST[len - 10..] {
            true => Ok(()),
            false => Err(Error::new(
                Code::Corrupt,
                "the store gave other bytes than were written; do not use it before that is explained",
            )),
        }
    };
    report(match read.await {
        Ok(()) => Finding::ok("read", format!("a range and the end of it, in {}", shown(begun.elapsed()))),
        Err(error) => Finding::fail("read", &error),
    });
}

/// Creates the probe again, which must be refused.
pub(in crate::store) async fn conditional_create(probe: &Probe<'_>, report: &mut Report<'_>) {
    const CHECK: &str = "conditional-create";
    const TWO_WRITERS: &str = "two brokers that offload one key at the same moment could overwrite each other; put the attempt's UUID into \
         every key, as the documentation asks for, and they never use the same one";
    report(match probe.put(SECOND).await {
        Ok(Commit::Exists) if probe.store.capabilities().atomic_create => {
            Finding::ok(CHECK, "a key that is taken is refused in one atomic step")
        }
        Ok(Commit::Exists) => Finding::warn(
            CHECK,
            "the store cannot create only where a key is free; seglift looks before and after",
            TWO_WRITERS,
        ),
        Ok(Commit::Done) => Finding::warn(
            CHECK,
            "the store overwrote an object although it was asked to create only where the key is free; seglift looks before and after",
            TWO_WRITERS,
        ),
        Ok(Commit::NotDone(error) | Commit::Unknown(error)) | Err(error) => Finding::fail(CHECK, &error),
    });
}

async fn list(probe: &Probe<'_>, report: &mut Report<'_>) {
    let page = within("listing", probe.store.list(probe.key.as_str(), None, 10)).await;
    report(match page {
        Ok(page) if page.entries.iter().any(|entry| entry.key == probe.key) => {
            Finding::ok("list", "an object shows as soon as it is written")
        }
        Ok(_) => Finding::warn(
            "list",
            "an object that can be read does not show in the listing",
            "wait, and list again before you trust a sweep: this store's listings lag behind",
        ),
        Err(error) => Finding::fail("list", &error),
    });
}

async fn delete(probe: &Probe<'_>, report: &mut Report<'_>) {
    let deleted = async {
        probe.remove().await?;
        match within("looking for a deleted object", probe.store.head(&probe.key)).await {
            Err(error) if error.code() == Code::NotFound => {}
            Err(error) => return Err(error),
            Ok(_) => {
                return Err(Error::new(Code::Unavailable, "the object is still there after it was deleted"));
            }
        }
        // What is not there counts as deleted: a repeated clean-up must not fail.
        probe.remove().await
    };
    report(match deleted.await {
        Ok(()) => Finding::ok("delete", "removed it, and removing it again is no error"),
        Err(error) => Finding::fail("delete", &error),
    });
}

/// What can be known of reads where nothing may be written: the object that was named, or one that is listed.
pub(in crate::store) async fn list_and_read(
    store: &dyn ObjectStore,
    question: &Question,
    report: &mut Report<'_>,
) {
    let listed = within("listing", store.list("", None, 1)).await;
    let found = match &listed {
        Ok(page) => page.entries.first().map(|entry| entry.key.clone()),
        Err(_) => None,
    };
    match question.key.clone().or(found) {
        Some(key) => report(prove_read(store, &key).await),
        None => report(unproven(listed.is_ok())),
    }
    report(match listed {
        Ok(_) => Finding::ok("list", "allowed, though reading does not need it"),
        Err(error) if error.code() == Code::PermissionDenied => {
            Finding::skipped("list", "not allowed, and reading does not need it")
        }
        Err(error) => Finding::skipped("list", format!("reading does not need it, and it failed: {error}")),
    });
}

/// That no read could be tried.
pub(in crate::store) fn unproven(empty: bool) -> Finding {
    let why = if empty { "the store holds no object" } else { "no object is known" };
    Finding::warn("read", format!("not proven: {why} to read"), "name one that exists: --key KEY")
}

/// Reads the last byte of an object that exists, as a reader looks for its tail.
pub(in crate::store) async fn prove_read(store: &dyn ObjectStore, key: &Key) -> Finding {
    let begun = Instant::now();
    let read = async { store.get(key, GetRange::Suffix(1)).await?.collect().await };
    match within("reading the end of an object", read).await {
        Ok(_) => Finding::ok("read", format!("the end of {key}, in {}", shown(begun.elapsed()))),
        Err(error) => Finding::fail("read", &error),
    }
}

/// A time for people: milliseconds, and no false precision.
pub(in crate::store) fn shown(time: Duration) -> String {
    match time.min(CHECK_TIME).as_micros() {
        micros @ ..10_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        micros => format!("{} ms", micros / 1000),
    }
}
