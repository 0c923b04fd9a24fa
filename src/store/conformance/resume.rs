//! Going on with an upload that an earlier process began.

use super::*;

/// The upload under `name` that `id` says, if it can be gone on with.
async fn resume(store: &Store, name: &str, id: &str) -> Option<Box<dyn Upload>> {
    store.resume(&key(name), &info(), id).await.unwrap_or_else(|e| panic!("resume of {name}: {e}"))
}

/// Promise: what is kept is found again, and no part counts that was not compared.
pub async fn a_kept_upload_goes_on_with_the_parts_that_are_as_they_should_be(store: Store) {
    let len = part_len(&store);
    let content = bytes(30, 4 * len + 17);
    let part = |number: usize| {
        Blob::new(content.slice(number * len..content.len().min((number + 1) * len))) as Arc<dyn Body>
    };
    let upload = begin(&store, "t/k").await;
    let id = upload.id().expect("it has no id to be found by");
    assert!(id.len() <= 2048, "{id}");
    upload.keep();
    upload.put_part(0, 0, part(0)).await.unwrap();
    upload.put_part(1, len as u64, Blob::new(bytes(31, len))).await.unwrap();
    upload.put_part(2, 2 * len as u64, part(2)).await.unwrap();
    drop(upload);
    assert_eq!(keys(&store, "", 10).await, [""; 0]);
    // Nor does it go with whoever has found it and is gone.
    drop(resume(&store, "t/k", &id).await.expect("what was kept is gone"));

    let upload = resume(&store, "t/k", &id).await.expect("what was kept is gone");
    assert_eq!(upload.id().as_deref(), Some(id.as_str()));
    let mut had = Vec::new();
    for number in 0..5 {
        had.push(upload.has_part(number as u32, (number * len) as u64, part(number)).await.unwrap());
    }
    assert_eq!(had[1..], [false, true, false, false]);
    // The first part a store may want again.
    for number in [0, 1, 3, 4].into_iter().filter(|number| !had[*number]) {
        upload.put_part(number as u32, (number * len) as u64, part(number)).await.unwrap();
    }
    assert!(matches!(upload.commit().await, Commit::Done));
    assert!(whole(&store, "t/k").await.unwrap() == content);
}

/// Promise: an id that leads nowhere is no error, and leads nowhere else.
pub async fn an_upload_that_has_ended_is_not_resumed(store: Store) {
    let upload = begin(&store, "a").await;
    let aborted = upload.id().expect("it has no id to be found by");
    upload.put_part(0, 0, Blob::new("a part")).await.unwrap();
    upload.abort().await.unwrap();
    let upload = begin(&store, "b").await;
    let committed = upload.id().expect("it has no id to be found by");
    upload.keep();
    upload.put_part(0, 0, Blob::new("a part")).await.unwrap();
    assert!(matches!(upload.commit().await, Commit::Done));
    drop(upload);
    for (name, id) in [("a", aborted.as_str()), ("b", &committed), ("c", ""), ("c", "b"), ("c", "../b")] {
        assert!(resume(&store, name, id).await.is_none(), "{name} by {id}");
    }
    assert_eq!(whole(&store, "b").await.unwrap(), "a part");
}
