//! Promises about keys, deletes and listings.

use super::*;

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

/// Promise: what is deleted is the object that was listed, and no other that stands under its key.
pub async fn a_delete_of_a_certain_object_spares_another(store: Store) {
    put(&store, "t/0/k", "content").await;
    let listed = store.list("", None, 10).await.unwrap().entries.remove(0);
    assert_eq!(listed, store.head(&key("t/0/k")).await.unwrap(), "a listing and a head say the same");
    let others = [
        Entry { len: listed.len + 1, ..listed.clone() },
        Entry { modified_us: listed.modified_us - 1_000_000, ..listed.clone() },
    ];
    for other in others {
        assert_eq!(store.delete_unchanged(&other).await.unwrap(), Removal::Changed);
    }
    assert_eq!(keys(&store, "", 10).await, ["t/0/k"]);
    assert_eq!(store.delete_unchanged(&listed).await.unwrap(), Removal::Removed);
    assert_eq!(keys(&store, "", 10).await, [""; 0]);
    assert_eq!(store.delete_unchanged(&listed).await.unwrap(), Removal::Gone);
}

/// Promise: ages can be told, since both times are of one clock and rounded alike. It is never ahead, which would make
/// things old; some servers take the date of their answers from a clock that ticks each second.
pub async fn a_store_tells_the_time_that_it_gives_its_objects(store: Store) {
    let before = store.now().await.unwrap();
    put(&store, "k", "content").await;
    let modified = store.head(&key("k")).await.unwrap().modified_us;
    let after = store.now().await.unwrap();
    assert!((before..=after + 2_000_000).contains(&modified), "{modified} is not within {before}..={after}");
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

/// Promise: the URI names the place, and may be shown to anyone.
pub async fn the_uri_names_the_place_and_no_secret(store: Store) {
    let uri = store.uri();
    let (place, query) = uri.split_once('?').unwrap_or((uri, ""));
    assert!(place.contains(':') && !uri.contains(['@', '#', '&']) && !place.ends_with('/'), "{uri}");
    assert!(query.is_empty() || query.starts_with("endpoint="), "{uri}");
}
