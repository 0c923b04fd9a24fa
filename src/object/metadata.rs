//! The host's words about a segment: names and values that travel in its tail.

use std::collections::BTreeMap;

use super::{
    limits,
    wire::{Reader, corrupt, put_blob, put_string},
};
use crate::error::{Code, Error, Result};

/// The name under which a segment says what its payloads hold, as a media type.
pub const CONTENT_TYPE: &str = "content-type";

/// Names with values, ordered by name. A value is bytes of the host's own making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pairs: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

impl Metadata {
    /// No pairs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`, in the place of an earlier value.
    ///
    /// `INVALID_ARGUMENT`, and nothing is changed, if the name is empty or longer than 255 bytes,
    /// or if it would be more than 1024 pairs or 64 KiB of names and values.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Result<()> {
        let (name, value) = (name.into(), value.into());
        let refuse = |why: &str| Err(Error::new(Code::InvalidArgument, format!("metadata {name:?}: {why}")));
        if name.is_empty() || name.len() > limits::MAX_NAME {
            return refuse("a name has 1 to 255 bytes");
        }
        let replaced = self.pairs.get(&name).map(|old| name.len() + old.len());
        if replaced.is_none() && self.pairs.len() == limits::MAX_METADATA_PAIRS {
            return refuse("there are 1024 pairs already; join some of them");
        }
        let bytes = self.bytes - replaced.unwrap_or(0) + name.len() + value.len();
        if bytes > limits::MAX_METADATA {
            return refuse("names and values exceed 64 KiB together; use an attachment");
        }
        self.bytes = bytes;
        self.pairs.insert(name, value);
        Ok(())
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.pairs.get(name).map(Vec::as_slice)
    }

    /// What the payloads hold, if it was said and is UTF-8.
    pub fn content_type(&self) -> Option<&str> {
        self.get(CONTENT_TYPE).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All pairs in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            put_string(out, name);
            put_blob(out, value);
        }
    }

    pub(super) fn get_from(reader: &mut Reader<'_>, pairs: u16) -> Result<Self> {
        let mut metadata = Metadata::new();
        for _ in 0..pairs {
            let (name, value) = (reader.string()?, reader.blob()?);
            if metadata.pairs.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
                return Err(corrupt(format!("metadata {name:?} is out of order")));
            }
            metadata.insert(name, value).map_err(|e| corrupt(e.message()))?;
        }
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_ordered_and_a_later_value_replaces_an_earlier_one() {
        let mut m = Metadata::new();
        m.insert("b", "1").unwrap();
        m.insert(CONTENT_TYPE, "text/plain").unwrap();
        m.insert("a", [0xFF]).unwrap();
        m.insert("b", "22").unwrap();
        let names: Vec<_> = m.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "content-type"]);
        assert_eq!((m.get("b"), m.content_type(), m.len()), (Some(&b"22"[..]), Some("text/plain"), 3));
    }

    #[test]
    fn metadata_beyond_a_limit_is_refused_and_changes_nothing() {
        let mut m = Metadata::new();
        m.insert("big", vec![0; limits::MAX_METADATA - 3]).unwrap();
        for (name, value) in [("x", 0), ("", 0), (&"n".repeat(256)[..], 0), ("big", limits::MAX_METADATA)] {
            assert_eq!(m.insert(name, vec![0; value]).unwrap_err().code(), Code::InvalidArgument, "{name}");
        }
        m.insert("big", "").unwrap();
        for i in 1..limits::MAX_METADATA_PAIRS {
            m.insert(format!("{i}"), "").unwrap();
        }
        assert_eq!(m.insert("one more", "").unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(m.len(), limits::MAX_METADATA_PAIRS);
    }

    #[test]
    fn metadata_out_of_order_or_twice_the_same_is_corrupt() {
        for (names, good) in
            [(["a", "b"], true), (["b", "a"], false), (["a", "a"], false), (["", "a"], false)]
        {
            let mut bytes = Vec::new();
            for name in names {
                put_string(&mut bytes, name);
                put_blob(&mut bytes, b"value");
            }
            let read = Metadata::get_from(&mut Reader::new(&bytes, "test"), 2);
            assert_eq!(
                read.map(|m| m.len()).map_err(|e| e.code()),
                if good { Ok(2) } else { Err(Code::Corrupt) }
            );
        }
    }
}
