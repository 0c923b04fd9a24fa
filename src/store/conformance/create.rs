//! Promises about puts, uploads and commits.

use super::*;

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
    // What a look has shown can be made sure of, whoever made it.
    let info = info();
    for ours in [Some(info.uuid.as_str()), None] {
        let answer = store.confirm(&key("k"), ours).await;
        assert!(matches!(answer, Commit::Done), "{answer:?}");
    }
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

    let upload = begin(&store, "never").await;
    let failing = Blob { bytes: content, piece: 100_000, says: 400_000, fails_at: Some(3) };
    assert_eq!(code(upload.put_part(0, 0, Arc::new(failing)).await), Some(Code::SourceFailed));
    assert_eq!(not_done(upload.commit().await), Code::InvalidArgument);
    upload.abort().await.unwrap();
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
    second.abort().await.unwrap();
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
