//! What every store promises, one function for each promise (feature `testing`).
//!
//! [`store_conformance!`](crate::store_conformance) makes a test of each for one kind of store; after each test
//! it is also checked that nothing but objects is left in the store. A new store is done when it passes.

use super::{Body, ByteStream, Commit, Entry, Get, GetRange, Key, ObjectStore, Upload, UploadInfo};
use crate::error::{Code, Error, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A fresh, empty store, and a look at it from outside.
pub struct Place {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// Names what lies in the store and is not an object: temporary files, empty folders. Keeps what the
    /// store stands on alive.
    pub rubbish: Box<dyn Fn() -> Vec<String>>,
}

/// Checks one promise of one store: the body of the tests that [`store_conformance!`](crate::store_conformance) makes.
pub fn check<F: Future<Output = ()>>(
    name: &str,
    place: impl FnOnce() -> Place,
    promise: impl FnOnce(Arc<dyn ObjectStore>) -> F,
) {
    struct Hint<'a>(&'a str);
    impl Drop for Hint<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let program = std::env::args().next().unwrap_or_default();
                eprintln!("to see it again: {program} --exact {} --nocapture", self.0);
            }
        }
    }
    let _hint = Hint(name);
    let place = place();
    block_on(promise(place.store));
    let patience = Instant::now();
    loop {
        let rubbish = (place.rubbish)();
        if rubbish.is_empty() {
            return;
        }
        // A dropped upload is cleaned up in the background.
        assert!(patience.elapsed() < Duration::from_secs(5), "left behind: {rubbish:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a future on a runtime of its own, as an engine would, but not longer than a minute: a store that hangs
/// fails its test.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), work).await.expect("no answer for a minute")
    })
}

/// Makes a test of every promise. Takes a function that opens a fresh [`Place`].
#[macro_export]
macro_rules! store_conformance {
    ($place:expr) => {
        $crate::store_conformance! { @ $place,
            a_committed_object_reads_back_whole_and_in_ranges
            an_object_is_created_only_where_its_key_is_free
            of_writers_that_race_for_a_key_exactly_one_wins
            nothing_is_visible_before_the_commit
            parts_come_in_any_order_and_at_once
            a_part_that_is_sent_again_replaces_the_first
            a_part_that_failed_does_not_count
            a_commit_with_a_missing_part_is_refused
            a_body_that_is_not_as_long_as_it_said_is_refused
            a_body_that_fails_leaves_no_object
            an_aborted_upload_leaves_nothing_and_aborting_again_is_success
            a_committed_object_is_not_removed_by_an_abort
            a_commit_that_is_repeated_answers_alike
            dropped_uploads_and_puts_leave_nothing
            empty_objects_are_objects
            a_suffix_longer_than_the_object_is_the_object
            a_range_is_cut_at_the_end_of_the_object
            a_range_past_the_end_is_out_of_range
            a_range_of_nothing_is_refused
            what_is_not_there_is_not_found
            a_head_tells_length_and_time_of_commit
            deleting_what_is_not_there_is_success
            a_batch_of_deletes_answers_for_each_key
            a_deleted_key_can_be_created_again
            a_read_that_began_before_a_delete_is_whole_or_fails
            a_listing_is_in_byte_order_of_whole_keys
            a_listing_has_the_prefix_and_begins_after
            a_listing_over_a_thousand_keys_comes_in_pages
            a_key_that_is_a_folder_of_another_is_refused
            a_key_that_became_a_folder_during_the_upload_is_refused
            keys_are_any_valid_unicode
            the_longest_key_works
            uploads_and_reads_run_at_once
            a_body_comes_in_pieces_whatever_its_length
            the_uri_is_canonical_and_opens_no_secret
        }
    };
    (@ $place:expr, $($promise:ident)*) => {$(
        #[test]
        fn $promise() {
            $crate::store::conformance::check(stringify!($promise), $place, $crate::store::conformance::$promise);
        }
    )*};
}

type Store = Arc<dyn ObjectStore>;

/// A body in memory, cut into pieces.
pub struct Blob {
    bytes: Bytes,
    piece: usize,
    says: u64,
    fails_at: Option<usize>,
}

impl Blob {
    /// A body of these bytes, in pieces of 100,000 bytes: no power of two, so that nothing fits by accident.
    pub fn new(bytes: impl Into<Bytes>) -> Arc<Self> {
        let bytes = bytes.into();
        Arc::new(Self { says: bytes.len() as u64, bytes, piece: 100_000, fails_at: None })
    }
}

impl Body for Blob {
    fn len(&self) -> u64 {
        self.says
    }

    fn open(&self) -> ByteStream {
        let (bytes, piece) = (self.bytes.clone(), self.piece);
        let pieces =
            (0..bytes.len()).step_by(piece).map(move |at| Ok(bytes.slice(at..bytes.len().min(at + piece))));
        match self.fails_at {
            None => stream::iter(pieces).boxed(),
            Some(n) => {
                let failure = Error::new(Code::SourceFailed, "the source fails on purpose");
                stream::iter(pieces.take(n)).chain(stream::once(future::ready(Err(failure)))).boxed()
            }
        }
    }

    fn crc32c(&self) -> Option<u32> {
        Some(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &self.bytes) as u32)
    }
}

/// `len` bytes that differ from place to place and from seed to seed.
pub fn bytes(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A key.
pub fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// The information of an upload.
pub fn info() -> UploadInfo {
    UploadInfo {
        owner: "cluster-1".into(),
        uuid: "3f2504e0-4f89-11d3-9a0c-0305e82c3301".into(),
        user: vec![],
    }
}

/// Puts an object that must not be there yet.
pub async fn put(store: &Store, name: &str, content: impl Into<Bytes>) {
    let answer = store.put(&key(name), &info(), Blob::new(content)).await;
    assert!(matches!(answer, Commit::Done), "put of {name}: {answer:?}");
}

/// The bytes of a range.
pub async fn get(store: &Store, name: &str, range: GetRange) -> Result<Bytes> {
    let get = store.get(&key(name), range).await?;
    let expected = get.range.end - get.range.start;
    let all: Vec<Bytes> = get.body.try_collect().await?;
    let all = Bytes::from(all.concat());
    assert_eq!(all.len() as u64, expected, "the body of {name} is as long as its range");
    Ok(all)
}

/// The whole object.
pub async fn whole(store: &Store, name: &str) -> Result<Bytes> {
    get(store, name, GetRange::Suffix(u64::MAX)).await
}

/// All keys, listed in pages of `max`.
pub async fn keys(store: &Store, prefix: &str, max: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let page = store.list(prefix, all.last().map(String::as_str), max).await.unwrap();
        assert!(page.entries.len() <= max, "a page of {} where {max} were asked for", page.entries.len());
        assert!(!page.more || !page.entries.is_empty(), "more is announced after nothing");
        all.extend(page.entries.into_iter().map(|entry| entry.key.to_string()));
        if !page.more {
            return all;
        }
    }
}

async fn begin(store: &Store, name: &str) -> Box<dyn Upload> {
    store.begin(&key(name), &info()).await.unwrap_or_else(|e| panic!("begin of {name}: {e}"))
}

/// The part length that the tests use: the smallest that the store takes, and not a multiple of a piece.
fn part_len(store: &Store) -> usize {
    (store.capabilities().min_part as usize).max(300_001)
}

fn code<T>(result: Result<T>) -> Option<Code> {
    result.err().map(|e| e.code())
}

fn not_done(answer: Commit) -> Code {
    match answer {
        Commit::NotDone(e) => e.code(),
        other => panic!("{other:?} where NotDone was expected"),
    }
}

/// Promise: bytes come back as they went in, whatever range is read.
pub async fn a_committed_object_reads_back_whole_and_in_ranges(store: Store) {
    let content = bytes(1, 1_000_003);
    put(&store, "t/0/a", content.clone()).await;
    assert!(whole(&store, "t/0/a").await.unwrap() == content);
    for range in [0..1, 0..1_000_003, 1_000_002..1_000_003, 262_143..262_145, 5..700_000] {
        let expected = content.slice(range.start as usize..range.end as usize);
        assert!(get(&store, "t/0/a", GetRange::Range(range.clone())).await.unwrap() == expected, "{range:?}");
    }
    assert!(get(&store, "t/0/a", GetRange::Suffix(300_000)).await.unwrap() == content.slice(700_003..));
    let Get { object_len, range, .. } = store.get(&key("t/0/a"), GetRange::Suffix(10)).await.unwrap();
    assert_eq!((object_len, range), (1_000_003, 999_993..1_000_003));
}

/// Promise: never overwrite, neither with a put nor with an upload.
pub async fn an_object_is_created_only_where_its_key_is_free(store: Store) {
    put(&store, "k", "first").await;
    let answer = store.put(&key("k"), &info(), Blob::new("second")).await;
    assert!(matches!(answer, Commit::Exists), "{answer:?}");
    let upload = begin(&store, "k").await;
    upload.put_part(0, 0, Blob::new("third")).await.unwrap();
    let answer = upload.commit().await;
    assert!(matches!(answer, Commit::Exists), "{answer:?}");
    upload.abort().await.unwrap();
    assert_eq!(whole(&store, "k").await.unwrap(), "first");
}

/// Promise: the creation is atomic.
pub async fn of_writers_that_race_for_a_key_exactly_one_wins(store: Store) {
    for round in 0..10 {
        let name = format!("race/{round}/k");
        let tasks: Vec<_> = (0..8)
            .map(|i| {
                let (store, name) = (store.clone(), name.clone());
                tokio::spawn(async move {
                    store.put(&key(&name), &info(), Blob::new(format!("writer {i}"))).await
                })
            })
            .collect();
        let mut winner = None;
        for (i, task) in tasks.into_iter().enumerate() {
            match task.await.unwrap() {
                Commit::Done => assert_eq!(winner.replace(i), None, "two writers won round {round}"),
                Commit::Exists => {}
                other => panic!("{other:?} in round {round}"),
            }
        }
        let winner = winner.unwrap_or_else(|| panic!("nobody won round {round}"));
        assert_eq!(whole(&store, &name).await.unwrap(), format!("writer {winner}"));
    }
}

/// Promise: an object appears whole, at its commit.
pub async fn nothing_is_visible_before_the_commit(store: Store) {
    let upload = begin(&store, "t/k").await;
    upload.put_part(0, 0, Blob::new("content")).await.unwrap();
    assert_eq!(code(store.head(&key("t/k")).await), Some(Code::NotFound));
    assert_eq!(code(whole(&store, "t/k").await), Some(Code::NotFound));
    assert_eq!(keys(&store, "", 10).await, [""; 0]);
    assert!(matches!(upload.commit().await, Commit::Done));
    assert_eq!(keys(&store, "", 10).await, ["t/k"]);
}

/// Promise: parts need no order.
pub async fn parts_come_in_any_order_and_at_once(store: Store) {
    let len = part_len(&store);
    let content = bytes(2, 5 * len + 17);
    let upload: Arc<dyn Upload> = begin(&store, "k").await.into();
    let sent = [5, 2, 0, 4, 1, 3].map(|number| {
        let part = content.slice(number * len..content.len().min((number + 1) * len));
        let upload = upload.clone();
        tokio::spawn(
            async move { upload.put_part(number as u32, (number * len) as u64, Blob::new(part)).await },
        )
    });
    for part in sent {
        part.await.unwrap().unwrap();
    }
    assert!(matches!(upload.commit().await, Commit::Done));
    assert!(whole(&store, "k").await.unwrap() == content);
}

/// Promise: the last attempt at a part is the one that counts, though it be shorter.
pub async fn a_part_that_is_sent_again_replaces_the_first(store: Store) {
    let len = part_len(&store);
    let content = bytes(3, len + 10);
    let upload = begin(&store, "k").await;
    upload.put_part(1, len as u64, Blob::new(bytes(4, len))).await.unwrap();
    upload.put_part(0, 0, Blob::new(bytes(5, len))).await.unwrap();
    upload.put_part(0, 0, Blob::new(content.slice(..len))).await.unwrap();
    upload.put_part(1, len as u64, Blob::new(content.slice(len..))).await.unwrap();
    assert!(matches!(upload.commit().await, Commit::Done));
    assert!(whole(&store, "k").await.unwrap() == content);
}

/// Promise: a part whose attempt failed is missing until an attempt succeeds.
pub async fn a_part_that_failed_does_not_count(store: Store) {
    let content = bytes(6, 400_000);
    let upload = begin(&store, "k").await;
    let failing = Blob { bytes: content.clone(), piece: 100_000, says: 400_000, fails_at: Some(3) };
    assert_eq!(code(upload.put_part(0, 0, Arc::new(failing)).await), Some(Code::SourceFailed));
    upload.put_part(0, 0, Blob::new(content.clone())).await.unwrap();
    assert!(matches!(upload.commit().await, Commit::Done));
    assert!(whole(&store, "k").await.unwrap() == content);
}

/// Promise: no object with a hole.
pub async fn a_commit_with_a_missing_part_is_refused(store: Store) {
    let len = part_len(&store);
    let upload = begin(&store, "k").await;
    upload.put_part(0, 0, Blob::new(bytes(7, len))).await.unwrap();
    upload.put_part(2, 2 * len as u64, Blob::new("end")).await.unwrap();
    assert_eq!(not_done(upload.commit().await), Code::InvalidArgument);
    upload.abort().await.unwrap();
    let upload = begin(&store, "k").await;
    assert_eq!(not_done(upload.commit().await), Code::InvalidArgument);
    upload.abort().await.unwrap();
    assert_eq!(keys(&store, "", 10).await, [""; 0]);
}

/// Promise: the length that was announced is the length that is stored.
pub async fn a_body_that_is_not_as_long_as_it_said_is_refused(store: Store) {
    for says in [0, 1, 299_999, 300_001, 900_000] {
        let body = || Arc::new(Blob { bytes: bytes(8, 300_000), piece: 100_000, says, fails_at: None });
        assert_eq!(
            not_done(store.put(&key("k"), &info(), body()).await),
            Code::Internal,
            "{says} for 300000"
        );
        let upload = begin(&store, "k").await;
        assert_eq!(code(upload.put_part(0, 0, body()).await), Some(Code::Internal), "{says} for 300000");
        upload.abort().await.unwrap();
    }
    assert_eq!(keys(&store, "", 10).await, [""; 0]);
}

/// Promise: a failing source fails the put with its own error.
pub async fn a_body_that_fails_leaves_no_object(store: Store) {
    let body = Blob { bytes: bytes(9, 500_000), piece: 100_000, says: 500_000, fails_at: Some(2) };
    assert_eq!(not_done(store.put(&key("t/k"), &info(), Arc::new(body)).await), Code::SourceFailed);
    assert_eq!(keys(&store, "", 10).await, [""; 0]);
}

/// Promise: an abort removes everything, and the upload has ended.
pub async fn an_aborted_upload_leaves_nothing_and_aborting_again_is_success(store: Store) {
    let upload = begin(&store, "t/k").await;
    upload.put_part(0, 0, Blob::new(bytes(10, 300_000))).await.unwrap();
    upload.abort().await.unwrap();
    upload.abort().await.unwrap();
    assert!(upload.put_part(1, 300_000, Blob::new("more")).await.is_err());
    not_done(upload.commit().await);
    assert_eq!(keys(&store, "", 10).await, [""; 0]);
    put(&store, "t/k", "the key is free").await;
}

/// Promise: once committed, only `delete` removes.
pub async fn a_committed_object_is_not_removed_by_an_abort(store: Store) {
    let upload = begin(&store, "k").await;
    upload.put_part(0, 0, Blob::new("content")).await.unwrap();
    assert!(matches!(upload.commit().await, Commit::Done));
    assert!(upload.abort().await.is_err());
    drop(upload);
    assert_eq!(whole(&store, "k").await.unwrap(), "content");
}

/// Promise: `Done` stays `Done`, `Exists` stays `Exists`.
pub async fn a_commit_that_is_repeated_answers_alike(store: Store) {
    let (first, second) = (begin(&store, "k").await, begin(&store, "k").await);
    first.put_part(0, 0, Blob::new("one")).await.unwrap();
    second.put_part(0, 0, Blob::new("two")).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(first.commit().await, Commit::Done));
        assert!(matches!(second.commit().await, Commit::Exists));
    }
    assert_eq!(whole(&store, "k").await.unwrap(), "one");
}

/// Promise: whatever is dropped in the middle, no object appears. That nothing is left is checked after it.
pub async fn dropped_uploads_and_puts_leave_nothing(store: Store) {
    let upload = begin(&store, "a/k").await;
    upload.put_part(0, 0, Blob::new(bytes(11, 300_000))).await.unwrap();
    drop(upload);
    for polls in 0..20 {
        let (name, info) = (key("b/k"), info());
        let upload = begin(&store, "c/k").await;
        let put = store.put(&name, &info, Arc::new(Endless));
        let part = upload.put_part(0, 0, Arc::new(Endless));
        let both = future::join(put, part);
        tokio::select! {
            biased;
            _ = async { for _ in 0..polls { tokio::task::yield_now().await } } => {}
            _ = both => panic!("an endless body came to its end"),
        }
    }
    assert_eq!(keys(&store, "", 10).await, [""; 0]);
}

/// A body that yields for ever, and gives others a turn.
struct Endless;

impl Body for Endless {
    fn len(&self) -> u64 {
        1 << 28
    }

    fn open(&self) -> ByteStream {
        let piece = bytes(12, 1000);
        stream::repeat_with(move || piece.clone())
            .then(|piece| async {
                tokio::task::yield_now().await;
                Ok(piece)
            })
            .boxed()
    }

    fn crc32c(&self) -> Option<u32> {
        None
    }
}

/// Promise: no bytes are bytes too.
pub async fn empty_objects_are_objects(store: Store) {
    put(&store, "put", "").await;
    let upload = begin(&store, "upload").await;
    upload.put_part(0, 0, Blob::new("")).await.unwrap();
    assert!(matches!(upload.commit().await, Commit::Done));
    for name in ["put", "upload"] {
        assert_eq!(store.head(&key(name)).await.unwrap().len, 0);
        assert_eq!(whole(&store, name).await.unwrap(), "");
        assert_eq!(code(get(&store, name, GetRange::Range(0..1)).await), Some(Code::OutOfRange));
    }
    assert_eq!(keys(&store, "", 10).await, ["put", "upload"]);
}

/// Promise: a suffix asks for at most so many bytes.
pub async fn a_suffix_longer_than_the_object_is_the_object(store: Store) {
    put(&store, "k", "0123456789").await;
    assert_eq!(get(&store, "k", GetRange::Suffix(3)).await.unwrap(), "789");
    for n in [10, 11, 1 << 40, u64::MAX] {
        let answer = store.get(&key("k"), GetRange::Suffix(n)).await.unwrap();
        assert_eq!((answer.object_len, answer.range), (10, 0..10));
    }
}

/// Promise: a range that reaches past the end ends at the end.
pub async fn a_range_is_cut_at_the_end_of_the_object(store: Store) {
    put(&store, "k", "0123456789").await;
    let answer = store.get(&key("k"), GetRange::Range(7..u64::MAX)).await.unwrap();
    assert_eq!((answer.object_len, answer.range), (10, 7..10));
    assert_eq!(get(&store, "k", GetRange::Range(7..1000)).await.unwrap(), "789");
}

/// Promise: no byte there is an error, not an empty body.
pub async fn a_range_past_the_end_is_out_of_range(store: Store) {
    put(&store, "k", "0123456789").await;
    for range in [10..11, 11..20, u64::MAX - 1..u64::MAX] {
        assert_eq!(
            code(get(&store, "k", GetRange::Range(range.clone())).await),
            Some(Code::OutOfRange),
            "{range:?}"
        );
    }
}

/// Promise: asking for nothing is a mistake of the caller.
pub async fn a_range_of_nothing_is_refused(store: Store) {
    put(&store, "k", "0123456789").await;
    for range in [GetRange::Range(3..3), GetRange::Suffix(0)] {
        assert_eq!(code(get(&store, "k", range.clone()).await), Some(Code::InvalidArgument), "{range:?}");
    }
}

/// Promise: `NOT_FOUND` is what says that there is nothing, folders and keys below objects included.
pub async fn what_is_not_there_is_not_found(store: Store) {
    put(&store, "folder/k", "x").await;
    for name in ["missing", "folder", "folder/k/below", "folder/other", "no/such/folder", "folder/K"] {
        assert_eq!(code(store.head(&key(name)).await), Some(Code::NotFound), "head of {name}");
        assert_eq!(
            code(get(&store, name, GetRange::Range(0..1)).await),
            Some(Code::NotFound),
            "get of {name}"
        );
    }
}

/// Promise: what a sweep needs to know.
pub async fn a_head_tells_length_and_time_of_commit(store: Store) {
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
    // Clocks of file systems tick every few milliseconds, those of services are a second off at times.
    let slack = 2_000_000;
    let before = now() - slack;
    put(&store, "t/k", bytes(13, 12_345)).await;
    let entry = store.head(&key("t/k")).await.unwrap();
    assert_eq!((entry.key.as_str(), entry.len), ("t/k", 12_345));
    assert!((before..=now() + slack).contains(&entry.modified_us), "{} at {}", entry.modified_us, now());
    let page: Vec<Entry> = store.list("t/", None, 10).await.unwrap().entries;
    assert_eq!(page, [entry]);
}

/// Promise: a delete is about what is there afterwards.
pub async fn deleting_what_is_not_there_is_success(store: Store) {
    put(&store, "folder/k", "x").await;
    for name in ["missing", "folder", "folder/k/below", "no/such/folder"] {
        assert_eq!(code(store.delete(&[key(name)]).await.pop().unwrap()), None, "{name}");
    }
    assert!(store.delete(&[]).await.is_empty());
    assert_eq!(keys(&store, "", 10).await, ["folder/k"]);
}

/// Promise: one answer per key, in order, also where a key comes twice.
pub async fn a_batch_of_deletes_answers_for_each_key(store: Store) {
    for i in 0..20 {
        put(&store, &format!("t/{}/{i}", i % 3), "x").await;
    }
    let mut batch: Vec<Key> = (0..19).map(|i| key(&format!("t/{}/{i}", i % 3))).collect();
    batch.extend([key("t/0/0"), key("missing")]);
    let answers = store.delete(&batch).await;
    assert_eq!(answers.len(), 21);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(keys(&store, "", 100).await, ["t/1/19"]);
}

/// Promise: a key that is free again is free.
pub async fn a_deleted_key_can_be_created_again(store: Store) {
    for content in ["one", "two", "three"] {
        put(&store, "t/0/k", content).await;
        assert_eq!(whole(&store, "t/0/k").await.unwrap(), content);
        store.delete(&[key("t/0/k")]).await.pop().unwrap().unwrap();
    }
    assert_eq!(code(store.head(&key("t/0/k")).await), Some(Code::NotFound));
}

/// Promise: a delete under a reader gives an error or all bytes, never other bytes.
pub async fn a_read_that_began_before_a_delete_is_whole_or_fails(store: Store) {
    let content = bytes(14, 2_000_000);
    put(&store, "k", content.clone()).await;
    let mut body = store.get(&key("k"), GetRange::Suffix(u64::MAX)).await.unwrap().body;
    let mut read = body.next().await.unwrap().unwrap().to_vec();
    store.delete(&[key("k")]).await.pop().unwrap().unwrap();
    put(&store, "k", bytes(15, 2_000_000)).await;
    while let Some(Ok(piece)) = body.next().await {
        read.extend_from_slice(&piece);
    }
    assert!(content.starts_with(&read), "bytes of another object");
}

const ORDERED: [&str; 12] =
    ["A", "a!b", "a-b", "a.b", "a/b", "a/c!", "a/c/d", "a/c0", "a0", "b/x/y/z", "b/x0", "ü/ä"];

/// Promise: byte order, though folders sort otherwise (`-` and `.` come before `/`, `0` after it).
pub async fn a_listing_is_in_byte_order_of_whole_keys(store: Store) {
    for name in ORDERED.iter().rev() {
        put(&store, name, *name).await;
    }
    for max in [1, 2, 3, 5, 11, 12, 13, 1000] {
        assert_eq!(keys(&store, "", max).await, ORDERED, "pages of {max}");
    }
}

/// Promise: `prefix` and `after` are any text, whole folders or not, valid keys or not.
pub async fn a_listing_has_the_prefix_and_begins_after(store: Store) {
    for name in ORDERED {
        put(&store, name, name).await;
    }
    let words = [
        "",
        "A",
        "a",
        "a!",
        "a-",
        "a/",
        "a/c",
        "a/c/",
        "a/c/d",
        "a/c/d/",
        "a/c0",
        "b/x",
        "b/x/",
        "b/x/y/z",
        "c",
        "ü",
        "/",
        "a//",
        "..",
        "../",
        "a/../",
        "\u{10ffff}",
    ];
    for prefix in words {
        for after in words.into_iter().map(Some).chain([None]) {
            let expected: Vec<&str> = ORDERED
                .into_iter()
                .filter(|k| k.starts_with(prefix) && after.is_none_or(|after| *k > after))
                .collect();
            for max in [1, 2, 100] {
                let page = store.list(prefix, after, max).await.unwrap();
                let names: Vec<&str> = page.entries.iter().map(|e| e.key.as_str()).collect();
                assert_eq!(
                    names,
                    expected[..expected.len().min(max)],
                    "prefix {prefix:?} after {after:?} max {max}"
                );
                assert_eq!(page.more, expected.len() > max, "prefix {prefix:?} after {after:?} max {max}");
            }
        }
    }
}

/// Promise: no page size and no thousand is special.
pub async fn a_listing_over_a_thousand_keys_comes_in_pages(store: Store) {
    let mut expected: Vec<String> = (0..1203).map(|i| format!("t/{}/{i:05}", i % 2)).collect();
    stream::iter(&expected).for_each_concurrent(16, |name| put(&store, name, "x")).await;
    expected.sort();
    for max in [100, 1000, 1203, 5000] {
        assert!(keys(&store, "t/", max).await == expected, "pages of {max}");
    }
    let names: Vec<Key> = expected.iter().map(|name| key(name)).collect();
    assert!(store.delete(&names).await.iter().all(Result::is_ok));
    assert_eq!(keys(&store, "", 10).await, [""; 0]);
}

/// Promise: what one store cannot hold, no store takes.
pub async fn a_key_that_is_a_folder_of_another_is_refused(store: Store) {
    put(&store, "a/b/c", "x").await;
    for name in ["a", "a/b", "a/b/c/d", "a/b/c/d/e"] {
        assert_eq!(
            not_done(store.put(&key(name), &info(), Blob::new("x")).await),
            Code::InvalidArgument,
            "{name}"
        );
        assert_eq!(code(store.begin(&key(name), &info()).await), Some(Code::InvalidArgument), "{name}");
    }
    assert_eq!(keys(&store, "", 10).await, ["a/b/c"]);
    put(&store, "a/b/cc", "beside it").await;
    store.delete(&[key("a/b/c"), key("a/b/cc")]).await.into_iter().for_each(Result::unwrap);
    put(&store, "a", "free again").await;
}

/// Promise: the same, where the other object came while this one was uploaded.
pub async fn a_key_that_became_a_folder_during_the_upload_is_refused(store: Store) {
    for (early, late) in [("a", "a/b"), ("c/d", "c")] {
        let upload = begin(&store, early).await;
        upload.put_part(0, 0, Blob::new("early")).await.unwrap();
        put(&store, late, "late").await;
        assert_eq!(not_done(upload.commit().await), Code::InvalidArgument, "{early} after {late}");
        upload.abort().await.unwrap();
        assert_eq!(whole(&store, late).await.unwrap(), "late");
    }
    assert_eq!(keys(&store, "", 10).await, ["a/b", "c"]);
}

/// Promise: a key means itself: no decoding, no folding of case or of composed letters.
pub async fn keys_are_any_valid_unicode(store: Store) {
    let names = [
        "日本/語",
        "é",
        "e\u{301}",
        "É",
        "%41",
        "A",
        "a b",
        "a+b",
        "\"'<>&;|*?[]{}$`~^=@#:,",
        "😀/😀",
        "-",
        "...",
        "~",
    ];
    for name in names {
        put(&store, name, name).await;
    }
    for name in names {
        assert_eq!(whole(&store, name).await.unwrap(), name);
    }
    let mut sorted = names;
    sorted.sort();
    assert_eq!(keys(&store, "", 3).await, sorted);
}

/// Promise: what `Key` takes, a store takes.
pub async fn the_longest_key_works(store: Store) {
    let names = [
        ["n".repeat(200), "m".repeat(200), "o".repeat(200), "p".repeat(200), "q".repeat(96)].join("/"),
        "d/".repeat(449) + "de",
    ];
    for name in &names {
        assert_eq!(name.len(), 900);
        put(&store, name, "x").await;
        assert_eq!(whole(&store, name).await.unwrap(), "x");
    }
    assert_eq!(keys(&store, "", 1).await.len(), 2);
    store.delete(&names.map(|name| key(&name))).await.into_iter().for_each(Result::unwrap);
}

/// Promise: any number of tasks at once.
pub async fn uploads_and_reads_run_at_once(store: Store) {
    let tasks: Vec<_> = (0..8)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move {
                let (name, len) = (format!("t/{}/{i}", i % 2), part_len(&store));
                let content = bytes(100 + i, 3 * len + i as usize);
                let upload = begin(&store, &name).await;
                for number in 0..4 {
                    let part = content.slice(number * len..content.len().min((number + 1) * len));
                    upload.put_part(number as u32, (number * len) as u64, Blob::new(part)).await.unwrap();
                }
                assert!(matches!(upload.commit().await, Commit::Done));
                assert!(whole(&store, &name).await.unwrap() == content, "{name}");
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(keys(&store, "", 3).await.len(), 8);
}

/// Promise: memory does not grow with the part or the object.
pub async fn a_body_comes_in_pieces_whatever_its_length(store: Store) {
    let content = bytes(16, 9_000_001);
    put(&store, "k", content.clone()).await;
    let mut body = store.get(&key("k"), GetRange::Suffix(u64::MAX)).await.unwrap().body;
    let mut at = 0;
    while let Some(piece) = body.next().await {
        let piece = piece.unwrap();
        assert!((1..=256 << 10).contains(&piece.len()), "a piece of {} bytes", piece.len());
        assert!(content[at..].starts_with(&piece), "wrong bytes from {at}");
        at += piece.len();
    }
    assert_eq!(at, content.len());
    assert!(body.next().await.is_none(), "a body that has ended stays ended");
}

/// Promise: the URI names the place, and may be shown to anyone.
pub async fn the_uri_is_canonical_and_opens_no_secret(store: Store) {
    let uri = store.uri();
    assert!(uri.contains(':') && !uri.contains(['@', '?', '#']) && !uri.ends_with('/'), "{uri}");
    assert_eq!(super::fingerprint(uri), super::fingerprint(store.uri()));
}
