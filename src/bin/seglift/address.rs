//! Addresses: how one text names a store and a key.
//!
//! `URI/KEY` is what people type and paste, but says not where the store ends. For an object of a
//! `file://` store that does not matter: whatever folder counts as the store, the object is the
//! same file. So each scheme has one rule for the split, and `URI KEY…` says it outright.
//!
//! In `s3://BUCKET/KEY?endpoint=…` the query belongs to the store: it says how to reach the bucket. A
//! key that itself holds a question mark is written apart.
//!
//! KEY is never percent-decoded: it is the text that `seglift ls` prints.

use seglift::{Code, Error, Result};
use std::path::Path;

/// A store's URI and a key in it, or the begin of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The store, as `Driver::open` takes it.
    pub store: String,
    /// The key or the prefix; the latter may be empty.
    pub key: String,
}

/// What the text behind the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// One object.
    Key,
    /// The begin of keys: a directory that exists is a store.
    Prefix,
}

/// Reads the addresses of a command: `URI/KEY …`, or `URI KEY …` where keys follow their store.
pub fn parse(arguments: &[String], names: Names) -> Result<Vec<Address>> {
    let mut addresses = Vec::with_capacity(arguments.len());
    let mut rest = arguments.iter().peekable();
    while let Some(uri) = rest.next() {
        if !is_uri(uri) {
            return Err(Error::new(
                Code::InvalidArgument,
                format!(
                    "\"{}\" names no store; write URI/KEY, such as file:///var/tier/KEY",
                    uri.escape_debug()
                ),
            ));
        }
        if rest.peek().is_none_or(|next| is_uri(next)) {
            addresses.push(split(uri, names)?);
        }
        while let Some(key) = rest.next_if(|next| !is_uri(next)) {
            addresses.push(Address { store: uri.clone(), key: key.clone() });
        }
    }
    Ok(addresses)
}

/// No key has two slashes in a row, so what has them behind a colon is a URI. `s3:` alone is the bucket that the
/// settings name.
fn is_uri(text: &str) -> bool {
    text.contains("://") || text == "memory:" || text.eq_ignore_ascii_case("s3:")
}

fn split(uri: &str, names: Names) -> Result<Address> {
    let (scheme, rest) = uri.split_once("://").unwrap_or((uri, ""));
    if scheme.eq_ignore_ascii_case("s3")
        && let Some((path, query)) = uri.split_once('?')
    {
        let Address { store, key } = split(path, names)?;
        return Ok(Address { store: format!("{store}?{query}"), key });
    }
    if rest.contains('?') {
        let message =
            format!("{uri} has a query, behind which no key can stand; write the key apart: URI KEY");
        return Err(Error::new(Code::InvalidArgument, message));
    }
    let at = |slash: usize| (uri[..slash].to_string(), uri[slash + 1..].to_string());
    let (store, key) = if scheme.ends_with("file") {
        if names == Names::Prefix && (rest.ends_with('/') || Path::new(rest).is_dir()) {
            (uri.to_string(), String::new())
        } else {
            match folder(rest) {
                // The root directory keeps its slash.
                Some(0) => (format!("{scheme}:///"), rest[1..].to_string()),
                Some(slash) => at(uri.len() - rest.len() + slash),
                None => (uri.to_string(), String::new()),
            }
        }
    } else {
        match rest.find('/') {
            Some(slash) => at(uri.len() - rest.len() + slash),
            None => (uri.to_string(), String::new()),
        }
    };
    if names == Names::Key && key.is_empty() {
        let message =
            format!("{uri} names a store but no key; write URI/KEY, or list the keys: seglift ls {uri}");
        return Err(Error::new(Code::InvalidArgument, message));
    }
    Ok(Address { store, key })
}

/// The slash behind the folder that is the store of `path`: the last one, or the last that follows a
/// folder which exists, so that an object in a folder that is not there is just not there.
fn folder(path: &str) -> Option<usize> {
    let last = path.rfind('/')?;
    let mut slash = last;
    while slash > 0 && !Path::new(&path[..slash]).is_dir() {
        slash = path[..slash].rfind('/')?;
    }
    Some(if slash == 0 { last } else { slash })
}

/// Whether `key` is `folder` itself or lies in it. A folder is whole names: `topic/1` holds
/// `topic/1/a` and not `topic/10`, so that removing one partition never takes another with it.
pub fn lies_in(key: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    folder.is_empty() || key.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], names: Names) -> Result<Vec<(String, String)>> {
        let arguments: Vec<_> = arguments.iter().map(|a| a.to_string()).collect();
        Ok(parse(&arguments, names)?.into_iter().map(|a| (a.store, a.key)).collect())
    }

    #[track_caller]
    fn keys(arguments: &[&str], expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(s, k)| (s.to_string(), k.to_string())).collect();
        assert_eq!(read(arguments, Names::Key).unwrap(), expected);
    }

    #[test]
    fn a_file_address_is_split_at_its_last_slash() {
        keys(&["file:///tier/topic/0/seg"], &[("file:///tier/topic/0", "seg")]);
        keys(&["file:///seg"], &[("file:///", "seg")]);
    }

    #[test]
    fn other_addresses_are_split_after_the_first_component() {
        keys(&["s3://bucket/topic/0/seg"], &[("s3://bucket", "topic/0/seg")]);
        keys(&["memory://name/a"], &[("memory://name", "a")]);
    }

    #[test]
    fn the_query_of_an_s3_address_stays_with_its_bucket() {
        let at = "endpoint=http://127.0.0.1:9000&style=path";
        keys(&[&format!("s3://bucket/topic/seg?{at}")], &[(&format!("s3://bucket?{at}"), "topic/seg")]);
        let whole = format!("s3://bucket/tier?{at}");
        keys(&[&whole, "topic/why?"], &[(&whole, "topic/why?")]);
        let bucket = format!("s3://bucket?{at}");
        assert_eq!(read(&[&bucket], Names::Prefix).unwrap(), [(bucket.clone(), String::new())]);
        assert_eq!(read(&[&bucket], Names::Key).unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn keys_follow_their_store() {
        keys(
            &["file:///t", "a/b", "c", "s3://x/y", "memory:", "k", "s3:", "k"],
            &[("file:///t", "a/b"), ("file:///t", "c"), ("s3://x", "y"), ("memory:", "k"), ("s3:", "k")],
        );
    }

    #[test]
    fn an_address_without_store_or_key_is_refused() {
        for bad in
            [&["a/b"][..], &["file:///tier/"], &["s3://bucket"], &["memory:"], &["fault+file:///t/k?get=1"]]
        {
            assert_eq!(read(bad, Names::Key).unwrap_err().code(), Code::InvalidArgument, "{bad:?}");
        }
    }

    #[test]
    fn a_directory_that_exists_is_the_store_of_a_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let uri = format!("file://{}", dir.path().display());
        let inside = format!("{uri}/pre");
        assert_eq!(read(&[&uri], Names::Prefix).unwrap(), [(uri.clone(), String::new())]);
        assert_eq!(read(&[&inside], Names::Prefix).unwrap(), [(uri.clone(), "pre".into())]);
        for store in ["s3://bucket", "s3:"] {
            assert_eq!(read(&[store], Names::Prefix).unwrap(), [(store.into(), String::new())]);
        }
    }

    #[test]
    fn a_folder_is_whole_names() {
        assert!(
            lies_in("topic/1/a", "topic/1")
                && lies_in("topic/1/a", "topic/1/")
                && lies_in("topic/1", "topic/1")
        );
        assert!(lies_in("anything", "") && !lies_in("topic/10/a", "topic/1"));
    }
}
