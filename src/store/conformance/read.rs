//! Promises about gets and heads.

use super::*;

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
    let mut page: Vec<Entry> = store.list("t/", None, 10).await.unwrap().entries;
    // The header of one answer has whole seconds, and the XML of the other has milliseconds.
    let apart = page[0].modified_us.abs_diff(entry.modified_us);
    assert!(apart < 1_000_000, "head and list are {apart} µs apart");
    page[0].modified_us = entry.modified_us;
    assert_eq!(page, [entry]);
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
