//! A segment that was found: its object, its tail, and what reading it takes.

use super::shared::Shared;
use crate::{
    error::{Code, Error, Result},
    object::{Block, ObjectId, Tail},
    store::{Get, GetRange, Key, ObjectStore},
};
use std::{ops::Range, sync::Arc};

/// A store, and what receipts call it.
#[derive(Clone)]
pub(super) struct Place {
    pub store: Arc<dyn ObjectStore>,
    pub fingerprint: u64,
}

impl Place {
    /// One request, counted.
    pub async fn get(&self, key: &Key, range: GetRange) -> Result<Get> {
        self.store.get(key, range).await
    }
}

/// An object whose tail is known. Costs a key and four counters; a task that fills the cache keeps one.
#[derive(Clone)]
pub(super) struct Segment {
    key: Key,
    place: Place,
    tail: Arc<Tail>,
    shared: Arc<Shared>,
}

impl Segment {
    pub fn new(key: Key, place: Place, tail: Arc<Tail>, shared: Arc<Shared>) -> Self {
        Segment { key, place, tail, shared }
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn id(&self) -> ObjectId {
        self.tail.id()
    }

    pub fn tail(&self) -> &Arc<Tail> {
        &self.tail
    }

    pub fn fingerprint(&self) -> u64 {
        self.place.fingerprint
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Asks the store for `range` of the object, which is not empty and lies inside it.
    ///
    /// `CORRUPT` if an object of another length stands under the key now; one of the same length shows in its
    /// checksums.
    pub async fn get(&self, range: Range<u64>) -> Result<Get> {
        let get = self.place.get(&self.key, GetRange::Range(range.clone())).await?;
        if get.object_len != self.tail.object_len() || get.range != range {
            return Err(another_object(&self.key, self.id()));
        }
        Ok(get)
    }

    /// The bytes of `range` in one piece; for index pages and attachments, whose limits the tail has checked.
    pub async fn get_all(&self, range: Range<u64>) -> Result<Vec<u8>> {
        self.get(range).await?.collect().await
    }

    /// What to say of a block that fails its CRC32C.
    pub fn damaged(&self, block: &Block) -> Error {
        let Block { number, stored, .. } = block;
        let (id, at, len) = (self.id(), stored.start, stored.end - stored.start);
        let what = format!(
            "block {number} of object {id} ({len} bytes at {at}) does not match its CRC32C; restore the object"
        );
        Error::new(Code::Corrupt, what)
    }
}

/// What stands under the key is not what the receipt, or the tail of a moment ago, speaks of. Not "not found":
/// something took the place of the object that the host believes to have.
pub(super) fn another_object(key: &Key, id: ObjectId) -> Error {
    let what = format!(
        "key \"{key}\" holds another object than {id}, which the receipt belongs to; \
         restore that object, or read what is there without the receipt"
    );
    Error::new(Code::Corrupt, what)
}
