//! From a URI to a store.
//!
//! One table of schemes: what is parsed, what the messages list and what the documentation says come from it.
//! A URI may hold credentials by mistake, so messages repeat its scheme only.

use super::{LocalStore, MemoryStore, ObjectStore, S3Store, s3};
use crate::error::{Code, Error, Result};
use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a URI does not say.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// `file://`: make objects durable with `fsync` before their commit succeeds. Default: true.
    pub fsync: bool,
    /// `file://`: create the folder where only its last name is missing. Default: true.
    pub create: bool,
    /// `s3://`: what the settings say, and the connections to share.
    pub s3: s3::Env,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { fsync: true, create: true, s3: s3::Env::default() }
    }
}

/// One kind of store.
struct Scheme {
    name: &'static str,
    /// How its URIs look, for messages.
    form: &'static str,
    /// Gets what stands after the colon.
    open: fn(&str, &OpenOptions) -> Result<Arc<dyn ObjectStore>>,
}

const SCHEMES: &[Scheme] = &[
    Scheme { name: "file", form: "file:///absolute/folder", open: open_file },
    Scheme { name: "memory", form: "memory: or memory://name", open: open_memory },
    Scheme { name: "s3", form: s3::FORM, open: open_s3 },
    #[cfg(feature = "testing")]
    Scheme {
        name: "fault+file",
        form: super::fault::FORM,
        open: |rest, options| super::fault::open("file", rest, options),
    },
    #[cfg(feature = "testing")]
    Scheme {
        name: "fault+memory",
        form: super::fault::FORM,
        open: |rest, options| super::fault::open("memory", rest, options),
    },
];

/// Opens the store that `uri` names. Blocks for a few system calls.
///
/// `INVALID_ARGUMENT` where the URI is malformed or this build has no such store, and what the store itself
/// says where it cannot be opened.
pub fn open(uri: &str, options: &OpenOptions) -> Result<Arc<dyn ObjectStore>> {
    let is_scheme = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
    };
    let Some((scheme, rest)) = uri.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return Err(malformed(format!(
            "a store is named by a URI, and this one has no scheme; use {}",
            forms()
        )));
    };
    match SCHEMES.iter().find(|s| s.name.eq_ignore_ascii_case(scheme)) {
        Some(found) => (found.open)(rest, options),
        None => Err(malformed(format!("this build has no store for {scheme}: URIs; use {}", forms()))),
    }
}

/// A number for a store's canonical URI (see [`ObjectStore::uri`]), which receipts carry to name the place:
/// its CRC-64/NVME. It never changes its meaning.
pub fn fingerprint(uri: &str) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, uri.as_bytes())
}

/// The canonical URI of a folder: bytes other than letters, digits and `/-._~` percent-encoded.
pub(super) fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(byte as char)
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

fn malformed(text: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, text)
}

fn forms() -> String {
    let mut forms: Vec<&str> = SCHEMES.iter().map(|s| s.form).collect();
    forms.dedup();
    forms.join(", ")
}

fn open_memory(rest: &str, _: &OpenOptions) -> Result<Arc<dyn ObjectStore>> {
    match rest.strip_prefix("//") {
        None if rest.is_empty() => Ok(Arc::new(MemoryStore::private())),
        None => Err(malformed("a shared store in memory is written with two slashes, as in memory://name")),
        Some(name) => Ok(Arc::new(MemoryStore::shared(name)?)),
    }
}

fn open_file(rest: &str, options: &OpenOptions) -> Result<Arc<dyn ObjectStore>> {
    Ok(Arc::new(LocalStore::open(&folder(rest)?, options.create, options.fsync)?))
}

fn open_s3(rest: &str, options: &OpenOptions) -> Result<Arc<dyn ObjectStore>> {
    Ok(Arc::new(S3Store::open(s3::Place::parse(rest)?, &options.s3)?))
}

/// The folder that a `file:` URI names; gets what stands after the colon.
pub(super) fn folder(rest: &str) -> Result<PathBuf> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(after) => match after.find('/') {
            Some(slash) if ["", "localhost"].contains(&&after[..slash]) => &after[slash..],
            _ => {
                return Err(malformed(
                    "a file: URI with two slashes names a host; write the folder's absolute path after three, as in file:///var/tier",
                ));
            }
        },
    };
    if !path.starts_with('/') {
        return Err(malformed("a file: URI takes an absolute path, as in file:///var/tier"));
    }
    if path.contains(['?', '#']) {
        return Err(malformed("a file: URI takes no ? and no #; in a folder's name write %3F and %23"));
    }
    let path = PathBuf::from(OsString::from_vec(percent_decoded("file", path)?));
    if path.components().count() < 2 {
        return Err(malformed("a file: URI must name a folder below /, as in file:///var/tier"));
    }
    Ok(path)
}

/// The bytes of percent-encoded `text`, which stands in a URI of `scheme`.
pub(super) fn percent_decoded(scheme: &str, text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |c: &u8| (*c as char).to_digit(16);
        match after {
            [high, low, after @ ..] if digit(high).is_some() && digit(low).is_some() => {
                let byte = (digit(high).unwrap_or(0) * 16 + digit(low).unwrap_or(0)) as u8;
                if byte == 0 {
                    return Err(malformed(format!("a {scheme}: URI holds %00, which no name can")));
                }
                bytes.push(byte);
                rest = after;
            }
            _ => {
                return Err(malformed(format!(
                    "a % in a {scheme}: URI is not followed by two hexadecimal digits; write %25 for the character"
                )));
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str) -> String {
        let error = open(uri, &OpenOptions::default()).err().unwrap_or_else(|| panic!("{uri} was opened"));
        assert_eq!(error.code(), Code::InvalidArgument, "{uri}: {error}");
        error.message().to_owned()
    }

    #[test]
    fn a_scheme_that_this_build_lacks_is_refused_with_those_that_it_has() {
        let text = refused("gs://AKIA:secret@bucket/prefix");
        assert!(
            text.contains("no store for gs:")
                && text.contains("file:///absolute/folder")
                && text.contains("memory:"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn malformed_uris_are_refused_with_the_way_to_write_them() {
        for uri in ["", "/var/tier", "tier", "./tier:x", ":", "1a:x"] {
            assert!(refused(uri).contains("no scheme"), "{uri}");
        }
        for uri in ["file:tier", "file:./tier", "file:", "file://tier", "file://host/tier", "file://./tier"] {
            assert!(refused(uri).contains("file:///var/tier"), "{uri}");
        }
        for uri in [
            "file:///",
            "file:////",
            "file:///a?b",
            "file:///a#b",
            "file:///a%2",
            "file:///a%zz",
            "file:///a%00b",
        ] {
            refused(uri);
        }
        for uri in ["memory:x", "memory:///", "memory://", "memory://a/b", "memory://a b"] {
            assert!(refused(uri).contains("memory://"), "{uri}");
        }
    }

    #[test]
    fn a_place_has_one_canonical_uri_however_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("a b");
        std::fs::create_dir(&real).unwrap();
        let link = real.with_file_name("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let text = real.to_str().unwrap();
        let canonical = format!("file://{}", text.replace(' ', "%20"));
        for uri in [
            format!("file://{text}"),
            format!("file:{text}"),
            format!("FILE://localhost{text}/"),
            format!("file://{}", text.replace("a b", "%61%20b")),
            format!("file://{}", link.display()),
            format!("file://{text}/../link/."),
        ] {
            assert_eq!(open(&uri, &OpenOptions::default()).unwrap().uri(), canonical, "{uri}");
        }
    }

    #[test]
    fn a_shared_place_in_memory_is_one_and_private_ones_are_many() {
        let uri = |uri| open(uri, &OpenOptions::default()).unwrap().uri().to_owned();
        assert_eq!(uri("memory://t1"), uri("memory://t1"));
        assert_ne!(uri("memory:"), uri("memory:"));
    }

    #[test]
    fn the_fingerprint_is_the_same_in_every_build() {
        assert_eq!(fingerprint("123456789"), 0xae8b_1486_0a79_9888, "CRC-64/NVME's check value");
    }
}
