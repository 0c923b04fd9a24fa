//! What every store promises, one function for each promise (feature `testing`).
//!
//! [`store_conformance!`](crate::store_conformance) makes a test of each for one kind of store; after each test
//! it is also checked that nothing but objects is left in the store. A new store is done when it passes.

use super::{Body, ByteStream, Commit, Entry, Get, GetRange, Key, ObjectStore, Removal, Upload, UploadInfo};
use crate::error::{Code, Error, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

mod create;
mod keys;
mod read;
mod resume;

pub use self::{create::*, keys::*, read::*, resume::*};

/// A fresh, empty store, and a look at it from outside.
pub struct Place {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// Names what lies in the store and is not an object: temporary files, empty folders. Keeps what the
    /// store stands on alive.
    pub rubbish: Box<dyn Fn() -> Vec<String>>,
}

/// Checks one promise of one store: the body of the tests that [`store_conformance!`](crate::store_conformance)
/// makes. `name` is the test's path, crate first.
pub fn check<F: Future<Output = ()>>(
    name: &str,
    place: impl FnOnce() -> Place,
    promise: impl FnOnce(Arc<dyn ObjectStore>) -> F,
) {
    struct Hint<'a>(&'a str);
    impl Drop for Hint<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let (program, test) = self.0.split_once("::").unwrap_or(("", self.0));
                eprintln!(
                    "to see it again: cargo test --release --features testing --test {program} -- --exact {test}"
                );
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
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), work).await.expect("no answer for a minute")
    })
}

/// Makes a test of every promise. Takes a function that opens a fresh [`Place`]. `; of S3`: all but what S3 cannot
/// keep. It has no folders, so nobody refuses a key that is a folder of another; and what a client drops stays
/// until a `reap`, so that promise is made apart, with a place that counts no uploads.
#[macro_export]
macro_rules! store_conformance {
    ($place:expr) => {
        $crate::store_conformance!($place; of S3);
        $crate::store_conformance! { @ $place,
            dropped_uploads_and_puts_leave_nothing
            a_key_that_is_a_folder_of_another_is_refused
            a_key_that_became_a_folder_during_the_upload_is_refused
        }
    };
    ($place:expr; of S3) => {
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
            a_kept_upload_goes_on_with_the_parts_that_are_as_they_should_be
            an_upload_that_has_ended_is_not_resumed
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
            a_delete_of_a_certain_object_spares_another
            a_store_tells_the_time_that_it_gives_its_objects
            a_read_that_began_before_a_delete_is_whole_or_fails
            a_listing_is_in_byte_order_of_whole_keys
            a_listing_has_the_prefix_and_begins_after
            a_listing_over_a_thousand_keys_comes_in_pages
            keys_are_any_valid_unicode
            the_longest_key_works
            uploads_and_reads_run_at_once
            a_body_comes_in_pieces_whatever_its_length
            the_uri_names_the_place_and_no_secret
        }
    };
    (@ $place:expr, $($promise:ident)*) => {$(
        #[test]
        fn $promise() {
            $crate::store::conformance::check(
                concat!(module_path!(), "::", stringify!($promise)), $place, $crate::store::conformance::$promise);
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
