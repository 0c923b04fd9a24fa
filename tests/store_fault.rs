//! The store that fails on purpose is an honest store while it has no script, and does what its script says.

use futures_util::{StreamExt, TryStreamExt};
use seglift::{
    Code, Result,
    store::{
        Commit, GetRange, ObjectStore, OpenOptions,
        conformance::*,
        fault::{FaultStore, Operation},
        open,
    },
};
use std::{sync::Arc, time::Duration};

fn place() -> Place {
    Place { store: open("fault+memory:", &OpenOptions::default()).unwrap(), rubbish: Box::new(Vec::new) }
}

seglift::store_conformance!(place);

/// A store with one object `k` of 1,000 bytes, where `script` begins now.
fn scripted(script: &str) -> Arc<dyn ObjectStore> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let name = format!("fault-{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let open = |uri: String| open(&uri, &OpenOptions::default()).unwrap();
    block_on(put(&open(format!("memory://{name}")), "k", bytes(1, 1000)));
    open(format!("fault+memory://{name}?{script}"))
}

async fn body(store: &dyn ObjectStore) -> Result<Vec<u8>> {
    let pieces: Vec<_> = store.get(&key("k"), GetRange::Suffix(1000)).await?.body.try_collect().await?;
    Ok(pieces.concat())
}

#[test]
fn the_nth_call_fails_and_the_others_do_not() {
    let store = scripted("head=2:UNAVAILABLE&list=*:THROTTLED");
    block_on(async {
        let codes: Vec<_> =
            [store.head(&key("k")).await, store.head(&key("k")).await, store.head(&key("k")).await]
                .map(|answer| answer.err().map(|e| e.code()))
                .into();
        assert_eq!(codes, [None, Some(Code::Unavailable), None]);
        let error = store.list("", None, 1).await.unwrap_err();
        assert_eq!(error.code(), Code::Throttled);
        assert!(
            error.message().contains("head=2:UNAVAILABLE&list=*:THROTTLED"),
            "the script is in the message: {error}"
        );
    });
}

#[test]
fn bodies_are_cut_lengthened_flipped_and_broken() {
    let store = scripted("get=1:short-10,2:long-10,3:flip-4001,4:break-10,5:flip-8000");
    let content = bytes(1, 1000);
    block_on(async {
        assert_eq!(body(&*store).await.unwrap(), content[..990]);
        let long = body(&*store).await.unwrap();
        assert!(long.len() == 1010 && long.starts_with(&content));
        let flipped = body(&*store).await.unwrap();
        let wrong: Vec<_> = (0..1000).filter(|&i| flipped[i] != content[i]).collect();
        assert_eq!(wrong, [500]);
        assert_eq!(flipped[500] ^ content[500], 0b10);
        assert_eq!(body(&*store).await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(body(&*store).await.unwrap(), content, "a bit past the end is no bit");
    });
}

#[test]
fn a_lost_commit_is_committed_and_an_unknown_one_is_not() {
    let store = scripted("put=1:lost,2:unknown,3:exists&commit=1:lost");
    block_on(async {
        assert!(matches!(store.put(&key("lost"), &info(), Blob::new("x")).await, Commit::Unknown(_)));
        assert!(matches!(store.put(&key("unknown"), &info(), Blob::new("x")).await, Commit::Unknown(_)));
        assert!(matches!(store.put(&key("exists"), &info(), Blob::new("x")).await, Commit::Exists));
        let upload = store.begin(&key("upload"), &info()).await.unwrap();
        upload.put_part(0, 0, Blob::new("x")).await.unwrap();
        assert!(matches!(upload.commit().await, Commit::Unknown(_)));
        assert_eq!(keys(&store, "", 9).await, ["k", "lost", "upload"]);
    });
}

#[test]
fn a_stalled_call_and_a_hanging_body_give_no_answer() {
    let store = scripted("head=1:stall&get=1:hang-10");
    block_on(async {
        let short = Duration::from_millis(20);
        assert!(tokio::time::timeout(short, store.head(&key("k"))).await.is_err());
        let mut body = store.get(&key("k"), GetRange::Suffix(1000)).await.unwrap().body;
        assert_eq!(body.next().await.unwrap().unwrap().len(), 10);
        assert!(tokio::time::timeout(short, body.next()).await.is_err());
    });
}

#[test]
#[should_panic(expected = "head number 1 panics on purpose (head=1:panic)")]
fn a_panic_says_that_it_is_on_purpose() {
    let store = scripted("head=1:panic");
    let _ = block_on(store.head(&key("k")));
}

#[test]
fn calls_are_counted_whether_they_fail_or_not() {
    let store = FaultStore::new(scripted(""), "head=2:UNAVAILABLE".parse().unwrap());
    block_on(async {
        for _ in 0..3 {
            let _ = store.head(&key("k")).await;
        }
    });
    assert_eq!((store.calls(Operation::Head), store.calls(Operation::Get)), (3, 0));
}

#[test]
fn a_fault_store_is_the_place_that_it_wraps() {
    let store = open("fault+memory://same?seed=1", &OpenOptions::default()).unwrap();
    assert_eq!(store.uri(), "memory://same");
}
