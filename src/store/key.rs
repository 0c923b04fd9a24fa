//! Keys: names of objects, checked once, at the door, alike for every store.

use crate::error::{Code, Error, Result};
use std::fmt;

/// Longest key in bytes: S3 allows 1,024 for prefix and key together.
pub const MAX_KEY: usize = 900;
/// Longest name between two slashes in bytes: common file systems allow 255, those that encrypt names
/// (eCryptfs) leave fewer, and tools like to append `.part` or `.zst` to what they fetch.
pub const MAX_NAME: usize = 200;
/// Begin of the names of files that are not objects yet; no key may use it.
pub const TEMPORARY: &str = ".seglift-upload-";
/// Begin of the names of objects with which a store is asked what it can do, followed by a UUID. No host's key may use
/// it, and no listing shows them.
pub const PROBE: &str = ".seglift-probe-";

/// Whether this is the name of such an object, below the store's place.
pub(super) fn is_probe(name: &str) -> bool {
    name.strip_prefix(PROBE).is_some_and(|id| uuid::Uuid::try_parse(id).is_ok())
}

/// A valid key: path-like UTF-8 without anything that a file system or a proxy might read differently.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<str>);

impl Key {
    /// Checks `text`: 1 to 900 bytes; names of 1 to 200 bytes separated by single slashes; no name is `.` or
    /// `..` or begins with `.seglift-upload-` or `.seglift-probe-`; no control characters, no backslash.
    pub fn new(text: &str) -> Result<Key> {
        let refuse = |why: &str| {
            let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
            Err(Error::new(Code::InvalidArgument, format!("key \"{shown}\" {why}")))
        };
        if text.is_empty() {
            return refuse("is empty; give every segment a name such as topic/0/00000-<uuid>");
        }
        if text.len() > MAX_KEY {
            return refuse("is longer than 900 bytes");
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return refuse("has a control character or a backslash");
        }
        for name in text.split('/') {
            match name {
                "" => return refuse("has an empty name: no leading, trailing or double slash is allowed"),
                "." | ".." => return refuse("has a name . or .., which leaves or repeats a folder"),
                _ if name.len() > MAX_NAME => return refuse("has a name of more than 200 bytes"),
                _ if name.starts_with(TEMPORARY) || name.starts_with(PROBE) => {
                    return refuse("has a name that is kept for uploads in progress and probes");
                }
                _ => {}
            }
        }
        Ok(Key(text.into()))
    }

    /// The key of a probe, which no host can have.
    pub(super) fn of_probe(id: uuid::Uuid) -> Key {
        Key(format!("{PROBE}{id}").into())
    }

    /// The key of a probe that was found under `name`; none if it is not the name of one.
    pub(super) fn of_found_probe(name: &str) -> Option<Key> {
        is_probe(name).then(|| Key(name.into()))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folders that the key lies in, outermost first: `a`, `a/b` of `a/b/c`.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(i, _)| &self.0[..i])
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_like_names_are_keys() {
        for good in [
            "a",
            "topic/0/00000000000000000000-3f",
            "ünïcode/日本",
            ".hidden",
            "a.b",
            "...",
            "a b",
            "%2e%2e/x",
        ] {
            assert_eq!(Key::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn names_that_leave_the_root_or_mean_two_things_are_refused() {
        let long = "x".repeat(201);
        let longer = "abc/".repeat(300) + "x";
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "./a",
            "a/.",
            "a\0b",
            "a\nb",
            "a\\b",
            ".seglift-upload-1",
            "a/.seglift-probe-1",
            &long,
            &longer,
        ] {
            assert_eq!(Key::new(bad).unwrap_err().code(), Code::InvalidArgument, "{bad:?}");
        }
    }

    #[test]
    fn folders_are_listed_outermost_first() {
        assert_eq!(Key::new("a/b/c").unwrap().folders().collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
