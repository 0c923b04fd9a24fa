//! Which parts of an upload have arrived whole.
//!
//! Invariant: a part counts only while its last attempt ended well. An attempt that begins to write forgets
//! the part first, because what a failed attempt leaves behind is neither the old bytes nor the new ones.

use super::{Body, Key};
use crate::error::{Code, Error, Result};
use futures_util::TryStreamExt;
use std::collections::BTreeMap;

/// A part that has arrived, with what the store keeps of it.
struct Part<T> {
    offset: u64,
    len: u64,
    content: T,
}

/// The parts of one upload by number.
pub(super) struct Parts<T>(BTreeMap<u32, Part<T>>);

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Parts(BTreeMap::new())
    }
}

impl<T> Parts<T> {
    /// Another attempt at the part begins.
    pub(super) fn forget(&mut self, number: u32) {
        self.0.remove(&number);
    }

    /// The part has arrived whole.
    pub(super) fn arrived(&mut self, number: u32, offset: u64, len: u64, content: T) {
        self.0.insert(number, Part { offset, len, content });
    }

    /// The content of a part of `len` bytes at `offset`, if there is one.
    pub(super) fn get(&self, number: u32, offset: u64, len: u64) -> Option<&T> {
        let part = self.0.get(&number).filter(|part| (part.offset, part.len) == (offset, len));
        part.map(|part| &part.content)
    }

    /// The length of the object that the parts make, or why they make none.
    pub(super) fn total(&self, key: &Key) -> Result<u64> {
        let mut end = 0;
        for (expected, (&number, part)) in (0..).zip(&self.0) {
            if number != expected {
                return Err(Error::new(
                    Code::InvalidArgument,
                    format!("part {expected} of {key} was not uploaded"),
                ));
            }
            if part.offset != end {
                return Err(Error::new(
                    Code::InvalidArgument,
                    format!(
                        "part {number} of {key} begins at byte {} where the parts before it end at {end}",
                        part.offset
                    ),
                ));
            }
            end += part.len;
        }
        if self.0.is_empty() {
            return Err(Error::new(Code::InvalidArgument, format!("no part of {key} was uploaded")));
        }
        Ok(end)
    }

    /// The contents in order, to be looked at.
    pub(super) fn contents(&self) -> impl Iterator<Item = &T> {
        self.0.values().map(|part| &part.content)
    }

    /// The contents in order.
    pub(super) fn into_contents(self) -> impl Iterator<Item = (u64, T)> {
        self.0.into_values().map(|part| (part.offset, part.content))
    }
}

/// An upload that ended cannot be used any more.
pub(super) fn ended(key: &Key) -> Error {
    Error::new(Code::Closed, format!("the upload of {key} has ended; begin another"))
}

/// A committed object is removed with `delete`, not by aborting the upload that made it.
pub(super) fn too_late_to_abort(key: &Key) -> Error {
    Error::new(
        Code::InvalidArgument,
        format!("the commit of {key} was sent, so its upload is not aborted; delete the object"),
    )
}

/// The key lies in a folder that is an object.
pub(super) fn folder_is_an_object(key: &Key, folder: &str) -> Error {
    Error::new(
        Code::InvalidArgument,
        format!(
            "key {key} lies in {folder}, which is no folder but an object or a link; give it another folder"
        ),
    )
}

/// The key is a folder of other objects.
pub(super) fn key_is_a_folder(key: &Key) -> Error {
    Error::new(Code::InvalidArgument, format!("key {key} is a folder of other objects; give it another name"))
}

/// A body did not keep its word about its length.
pub(super) fn wrong_length(key: &Key, promised: u64, got: u64) -> Error {
    let more = if got > promised { "at least " } else { "" };
    Error::new(Code::Internal, format!("the source of {key} promised {promised} bytes and gave {more}{got}"))
}

/// The CRC32C of a body, which is read to its end for it. `each` sees all of it.
pub(super) async fn crc32c_of(key: &Key, body: &dyn Body, mut each: impl FnMut(&[u8])) -> Result<u32> {
    let (mut stream, mut got) = (body.open(), 0);
    while let Some(piece) = stream.try_next().await? {
        got += piece.len() as u64;
        each(&piece);
    }
    if got != body.len() {
        return Err(wrong_length(key, body.len(), got));
    }
    let unsaid = || Error::new(Code::Internal, format!("the source of {key} ended without a checksum"));
    body.crc32c().ok_or_else(unsaid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unbroken_run_of_parts_makes_an_object() {
        let key = Key::new("k").unwrap();
        let mut parts = Parts::default();
        assert!(parts.total(&key).unwrap_err().message().contains("no part"));
        parts.arrived(1, 4, 2, ());
        assert!(parts.total(&key).unwrap_err().message().contains("part 0"));
        parts.arrived(0, 0, 3, ());
        assert!(parts.total(&key).unwrap_err().message().contains("begins at byte 4"));
        parts.arrived(0, 0, 4, ());
        assert_eq!(parts.total(&key).unwrap(), 6);
        parts.forget(1);
        assert_eq!(parts.total(&key).unwrap(), 4);
    }
}
