//! A store's URI. Bytes: the URI. Nothing is created and nothing is sent: folders must exist, S3 connects later.
//!
//! Oracle: an error about arguments, settings or the folder, in one line that does not repeat a password; or a store whose
//! canonical URI, opened again, is the same.

use super::is_message;
use seglift::{
    Code,
    store::{OpenOptions, fingerprint, open},
};

/// In the place of a password; no message may hold it.
const PASSWORD: &str = "hunter2";

pub fn run(data: &[u8]) {
    let uri = String::from_utf8_lossy(data);
    let options = OpenOptions { create: false, ..OpenOptions::default() };
    let store = match open(&uri, &options) {
        Ok(store) => store,
        Err(e) => {
            let codes = [
                Code::InvalidArgument,
                Code::InvalidConfig,
                Code::PermissionDenied,
                // A path that is longer than the system allows.
                Code::Unavailable,
            ];
            assert!(codes.contains(&e.code()), "{uri:?}: {e:?}");
            // A path is repeated, and may hold anything: which folder is missing is what one wants to know.
            // So may a script of the store that fails on purpose, which no shipped build has.
            let begins =
                |scheme: &str| uri.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
            let of_path = begins("file:") || begins("fault+");
            assert!(of_path || is_message(e.message(), 600), "{uri:?}: {e:?}");
            assert!(of_path || !e.message().contains(PASSWORD), "{uri:?}: {e:?}");
            return;
        }
    };
    let canonical = store.uri();
    assert!(is_message(canonical, 64 + 3 * uri.len()), "{uri:?}: {canonical:?}");
    if canonical.starts_with("memory:") {
        // A private place has no name by which it could be opened again.
        return;
    }
    let again = open(canonical, &options).unwrap_or_else(|e| panic!("{uri:?}: {canonical:?}: {e:?}"));
    assert_eq!(again.uri(), canonical, "{uri:?}");
    assert_eq!(fingerprint(again.uri()), fingerprint(canonical));
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "s3://bucket",
        "s3://bucket/a/pre%20fix/?endpoint=http://127.0.0.1:9000&region=eu-west-1&style=path",
        "s3://logs?endpoint=minio.example:9000",
        "s3://logs/x?endpoint=https://S3.eu-west-1.amazonaws.com",
        "s3://AKIA:hunter2@bucket/prefix",
        "s3://b-1/%C3%BC/./x?endpoint=[::1]:9000/path",
        "file:///tmp",
        "file://localhost/tmp/%2e%2e/tmp?x",
        "file:/",
        "memory:",
        "memory://shared-1",
        "fault+memory:get=1:flip-100",
        "gs://a:hunter2@b/c",
        "://",
    ]
    .map(|uri| uri.as_bytes().to_vec())
    .to_vec()
}
