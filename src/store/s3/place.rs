//! Where in S3 a store lies: bucket, prefix, and what the URI says about the way there.
//!
//! Invariant: one place has one canonical text, however it was written, since receipts carry that text's
//! fingerprint. So the text names what makes the place (bucket, prefix, and the host where that is not
//! Amazon's) and nothing that only leads to it (region, style, http or https).
//!
//! A URI may hold credentials by mistake: messages repeat no part of it.

use super::options::Style;
use crate::{
    error::{Code, Error, Result},
    store::{Key, key::MAX_KEY, open::percent_decoded},
};
use std::fmt::Write;

/// How `s3:` URIs look, for messages.
pub(crate) const FORM: &str = "s3://bucket/prefix";

/// Longest prefix in bytes with its slash: S3 takes keys of 1,024 bytes, and a [`Key`] may have 900.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
const MAX_PREFIX: usize = 1024 - MAX_KEY;

/// What a URI says beside bucket and prefix; it wins over the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `endpoint=`: URL, or host with or without a port.
    pub endpoint: Option<String>,
    /// `region=`.
    pub region: Option<String>,
    /// `style=`: `path`, `virtual` or `auto`.
    pub style: Option<Style>,
}

/// A place in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The bucket's name.
    pub bucket: String,
    /// What all keys begin with: empty, or names that end with `/`.
    pub prefix: String,
    /// What the URI's query says.
    pub query: Overrides,
}

impl Place {
    /// Reads what stands after `s3:`, as in `//bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-west-1&style=path`.
    /// Percent-encoded bytes are decoded, as in `file:` URIs. `INVALID_ARGUMENT` where it is malformed.
    pub fn parse(rest: &str) -> Result<Place> {
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(malformed("is written with two slashes and a bucket"));
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if rest.contains('#') {
            return Err(malformed("takes no #; in a prefix write %23"));
        }
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        if bucket.contains('@') {
            return Err(malformed("takes no credentials; use the settings, a profile or the environment"));
        }
        Ok(Place {
            bucket: checked_bucket(bucket)?,
            prefix: checked_prefix(prefix)?,
            query: Overrides::parse(query)?,
        })
    }

    /// The key as S3 has it: with the prefix.
    pub fn object_key(&self, key: &Key) -> String {
        self.with_prefix(key.as_str())
    }

    /// Any text below the prefix, such as the begin of a listing.
    pub fn with_prefix(&self, text: &str) -> String {
        [self.prefix.as_str(), text].concat()
    }

    /// The key of the object that S3 calls `object_key`; none where it lies elsewhere, where no [`Key`] can
    /// name it (others put objects into buckets, too), and where it is a probe of ours.
    pub fn key_of(&self, object_key: &str) -> Option<Key> {
        Key::new(object_key.strip_prefix(&self.prefix)?).ok()
    }

    /// The canonical URI of this place at `endpoint` (none: Amazon's): `s3://bucket/prefix`, with
    /// `?endpoint=host` (and port, path) where the host is not Amazon's.
    pub fn uri(&self, endpoint: Option<&str>) -> String {
        let mut uri = format!("s3://{}", self.bucket);
        if let Some(prefix) = self.prefix.strip_suffix('/') {
            uri.push('/');
            encode_onto(&mut uri, prefix);
        }
        if let Some(endpoint) = endpoint.filter(|endpoint| !is_amazon(endpoint)) {
            uri.push_str("?endpoint=");
            uri.push_str(&canonical_host(endpoint));
        }
        uri
    }
}

impl Overrides {
    fn parse(query: &str) -> Result<Overrides> {
        let mut found = Overrides::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            let twice = match name {
                _ if value.is_empty() => return Err(malformed("has an option without a value")),
                "endpoint" => found.endpoint.replace(checked_endpoint(value)?).is_some(),
                "region" => found.region.replace(value).is_some(),
                "style" => {
                    let style = match value.as_str() {
                        "path" => Style::Path,
                        "virtual" => Style::Virtual,
                        "auto" => Style::Auto,
                        _ => return Err(malformed("has a style other than path, virtual and auto")),
                    };
                    found.style.replace(style).is_some()
                }
                _ => {
                    let known =
                        "has an option other than endpoint, region and style; anything else is a setting";
                    return Err(malformed(known));
                }
            };
            if twice {
                return Err(malformed("has an option twice"));
            }
        }
        Ok(found)
    }
}

/// Whether a URL, or host with or without a port, is Amazon's own.
pub(super) fn is_amazon(endpoint: &str) -> bool {
    let authority = canonical_host(endpoint);
    let host = authority.split(['/', ':']).next().unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|end| host.ends_with(end))
}

/// Host, port unless it is the scheme's own, and path, in one spelling and without the scheme.
pub(super) fn canonical_host(endpoint: &str) -> String {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut host = authority.to_ascii_lowercase();
    let default_port = if scheme.eq_ignore_ascii_case("http") { ":80" } else { ":443" };
    if let Some(bare) = host.strip_suffix(default_port) {
        host = bare.to_owned();
    }
    let path = path.trim_end_matches('/');
    if !path.is_empty() {
        host.push('/');
        encode_onto(&mut host, path);
    }
    host
}

fn malformed(why: &str) -> Error {
    Error::new(Code::InvalidArgument, format!("an s3: URI {why}, as in {FORM}"))
}

fn decoded(text: &str) -> Result<String> {
    String::from_utf8(percent_decoded("s3", text)?).map_err(|_| malformed("is UTF-8"))
}

/// Amazon's rules for general purpose buckets, and what was allowed before them and elsewhere: capitals,
/// underscores, 255 bytes.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
fn checked_bucket(bucket: &str) -> Result<String> {
    let inner = |c: u8| c.is_ascii_alphanumeric() || b".-_".contains(&c);
    let outer = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = bucket.as_bytes();
    if bytes.is_empty() {
        return Err(malformed("must name a bucket"));
    }
    let fits = (3..=255).contains(&bytes.len()) && bytes.iter().all(|&c| inner(c)) && !bucket.contains("..");
    if !(fits && outer(bytes.first()) && outer(bytes.last())) {
        return Err(malformed(
            "names a bucket of 3 to 255 letters, digits, points, hyphens and underscores that begins and ends with a letter or a digit",
        ));
    }
    Ok(bucket.to_owned())
}

fn checked_prefix(prefix: &str) -> Result<String> {
    if prefix.is_empty() {
        return Ok(String::new());
    }
    let mut prefix = decoded(prefix.strip_suffix('/').unwrap_or(prefix))?;
    // What a prefix may be is what a key may be; the message of `Key` repeats its text, so ours stands.
    if Key::new(&prefix).is_err() {
        return Err(malformed(
            "has a prefix of names between single slashes, without . and .. and control characters",
        ));
    }
    prefix.push('/');
    if prefix.len() > MAX_PREFIX {
        return Err(malformed("has a prefix of at most 123 bytes"));
    }
    Ok(prefix)
}

fn checked_endpoint(endpoint: String) -> Result<String> {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("https", &endpoint));
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err(malformed(
            "takes no credentials, nor does its endpoint; use the settings, a profile or the environment",
        ));
    }
    let known = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let clean = !authority.is_empty() && !rest.contains(|c: char| c.is_control() || " \\?#\"<>".contains(c));
    if !(known && clean) {
        return Err(malformed("has an endpoint that is a host or a http:// or https:// URL"));
    }
    Ok(endpoint)
}

/// All bytes but letters, digits and `/-._~` percent-encoded.
pub(super) fn encode_onto(uri: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(byte as char)
            }
            // Writing to a String cannot fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(rest: &str) -> Place {
        Place::parse(rest).unwrap_or_else(|e| panic!("{rest}: {e}"))
    }

    #[test]
    fn a_uri_names_bucket_prefix_and_the_way_there() {
        let found = place("//logs/tier/a%20b/?endpoint=http://127.0.0.1:9000&region=eu-west-1&style=path");
        assert_eq!((found.bucket.as_str(), found.prefix.as_str()), ("logs", "tier/a b/"));
        assert_eq!(
            found.query,
            Overrides {
                endpoint: Some("http://127.0.0.1:9000".into()),
                region: Some("eu-west-1".into()),
                style: Some(Style::Path)
            }
        );
        for bare in ["//logs", "//logs/", "//logs?", "//logs/?"] {
            assert_eq!((place(bare).prefix, place(bare).query), (String::new(), Overrides::default()));
        }
    }

    #[test]
    fn malformed_uris_are_refused_and_no_secret_is_repeated() {
        for rest in [
            "",
            "/",
            "logs",
            "//",
            "///tier",
            "//lo",
            "//-logs",
            "//lo..gs",
            "//AKIA:hunter2@logs",
            "//logs/a//b",
            "//logs//",
            "//logs/../x",
            "//logs/.",
            "//logs/a%00b",
            "//logs/a%ff",
            "//logs/a%2",
            "//logs/a#b",
            "//logs?endpoint",
            "//logs?endpoint=",
            "//logs?endpoint=ftp://h",
            "//logs?endpoint=http://",
            "//logs?endpoint=http://AKIA:hunter2@h",
            "//logs?endpoint=h&endpoint=h",
            "//logs?style=auto2",
            "//logs?secret.key=hunter2",
            "//lo gs",
        ] {
            let error = Place::parse(rest).expect_err(rest);
            assert_eq!(error.code(), Code::InvalidArgument, "{rest}");
            assert!(!error.message().contains("hunter2"), "{error}");
        }
        assert!(Place::parse(&format!("//logs/{}", "p".repeat(123))).is_ok());
        assert!(Place::parse(&format!("//logs/{}", "p".repeat(124))).is_err());
    }

    #[test]
    fn one_place_has_one_canonical_uri() {
        let same = |endpoint: Option<&str>| place("//logs/a%20b/%63/").uri(endpoint);
        assert_eq!(same(None), "s3://logs/a%20b/c");
        assert_eq!(same(Some("https://s3.eu-west-1.amazonaws.com")), "s3://logs/a%20b/c");
        assert_eq!(same(Some("https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com")), "s3://logs/a%20b/c");
        for (endpoint, text) in [
            ("http://Minio.Example:9000/", "minio.example:9000"),
            ("https://minio.example:443", "minio.example"),
            ("http://minio.example:80", "minio.example"),
            ("minio.example", "minio.example"),
            ("https://h/s3/", "h/s3"),
            ("https://notamazonaws.com", "notamazonaws.com"),
        ] {
            assert_eq!(same(Some(endpoint)), format!("s3://logs/a%20b/c?endpoint={text}"), "{endpoint}");
        }
    }

    #[test]
    fn keys_stand_below_the_prefix_and_what_is_none_of_ours_has_no_key() {
        let place = place("//logs/tier");
        let key = Key::new("t/0/k").unwrap();
        assert_eq!(place.object_key(&key), "tier/t/0/k");
        assert_eq!(place.key_of("tier/t/0/k"), Some(key));
        for other in [
            "tier",
            "tier/",
            "tiers/t",
            "t/0/k",
            "tier/a//b",
            "tier/a/",
            "tier/../x",
            "tier/a\nb",
            "tier/.seglift-probe-3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        ] {
            assert_eq!(place.key_of(other), None, "{other:?}");
        }
    }
}
