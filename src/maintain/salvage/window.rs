//! A window that moves over an object: what lies in it is served from memory, what does not is fetched.
//!
//! Salvage looks at the same bytes more than once (how long is it, does its checksum match, what is behind it), and
//! nearly always goes forward.

use crate::{
    engine::Op,
    error::Result,
    store::{GetRange, Key, ObjectStore},
};
use std::{ops::Range, sync::Arc};

/// A window on one object.
pub(super) struct Window {
    store: Arc<dyn ObjectStore>,
    key: Key,
    object_len: u64,
    /// Bytes to fetch at least.
    ahead: u64,
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    pub fn new(store: Arc<dyn ObjectStore>, key: Key, object_len: u64, ahead: u64) -> Window {
        Window { store, key, object_len, ahead, bytes: Vec::new(), start: 0 }
    }

    /// Bytes of the object.
    pub fn object_len(&self) -> u64 {
        self.object_len
    }

    /// Gives its memory back.
    pub fn empty(&mut self) {
        self.bytes = Vec::new();
    }

    /// The bytes of `range`, fewer only at the end of the object.
    pub async fn get(&mut self, op: &Op, range: Range<u64>) -> Result<&[u8]> {
        let end = range.end.min(self.object_len);
        if range.start >= end {
            return Ok(&[]);
        }
        if range.start < self.start || end > self.start + self.bytes.len() as u64 {
            let ask = range.start..end.max(range.start.saturating_add(self.ahead)).min(self.object_len);
            self.bytes = Vec::new();
            let get = op.guard(self.store.get(&self.key, GetRange::Range(ask.clone()))).await?;
            self.bytes = op.guard(get.collect()).await?;
            self.start = ask.start;
        }
        let at = (range.start - self.start) as usize;
        // An object that has become shorter meanwhile shows in what is missing.
        let to = ((end - self.start) as usize).min(self.bytes.len());
        Ok(self.bytes.get(at..to).unwrap_or(&[]))
    }
}
