//! Listing: ListObjectsV2, page by page.
//!
//! Invariant: a page is complete up to its last key, in byte order, and holds only what can be ours. A listing
//! that is cut short, out of order or makes no progress is an error, because a sweep deletes what a listing
//! shows and its caller does not know.
//!
//! Pages continue with `start-after`, not with tokens: a caller comes back with a key, perhaps much later.

use super::{
    S3Store,
    errors::{self, Action},
    exchange::Exchange,
    get::micros,
};
use crate::{
    error::{Error, Result},
    store::{Entry, ListPage},
};
use aws_sdk_s3::{
    operation::list_objects_v2::ListObjectsV2Output,
    types::{EncodingType, Object},
};

/// Most keys in an answer.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
const MAX_KEYS: usize = 1000;

/// Where the next page begins.
#[derive(Clone, Debug)]
enum From {
    Start,
    After(String),
    /// For a page without a key that says that there is more.
    Token(String),
}

/// One page as the store has it.
struct Raw {
    objects: Vec<(String, Object)>,
    more: bool,
    token: Option<String>,
}

impl S3Store {
    /// See [`ObjectStore::list`](crate::store::ObjectStore::list).
    pub(super) async fn list_objects(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<ListPage> {
        if !begins_keys(prefix) {
            return Ok(ListPage::default());
        }
        let prefix = self.place.with_prefix(prefix);
        let asked_prefix = until_dots(&prefix);
        let after = after.map(|after| self.place.with_prefix(after));
        let mut last = after.as_deref().map(|after| until_dots(after).to_owned());
        let mut from = match &last {
            Some(last) if !last.is_empty() => From::After(last.clone()),
            _ => From::Start,
        };
        let mut page = ListPage::default();
        loop {
            // One more than wanted, to see for ourselves whether there is one: some stores (MinIO, with a limit
            // inside a folder) say of a full page that it is the last although more follows.
            let asked = (max - page.entries.len()).saturating_add(1).min(MAX_KEYS);
            let raw = self.raw_page(asked_prefix, &from, asked).await?;
            for (name, object) in &raw.objects {
                if last.as_ref().is_some_and(|last| name <= last) {
                    return Err(self.odd_listing("is not in byte order or repeats what came before"));
                }
                last = Some(name.clone());
                if after.as_ref().is_some_and(|after| name <= after) {
                    continue;
                }
                if !name.starts_with(&prefix) && *name > prefix {
                    page.more = false;
                    return Ok(page);
                }
                // Others put objects into buckets, too.
                let Some(key) = self.place.key_of(name).filter(|_| name.starts_with(&prefix)) else {
                    continue;
                };
                let len = object.size().and_then(|len| u64::try_from(len).ok());
                match (len, object.last_modified().and_then(micros)) {
                    (Some(len), Some(modified_us)) => page.entries.push(Entry { key, len, modified_us }),
                    _ => return Err(self.odd_listing("does not say how long an object is and from when")),
                }
            }
            page.more = raw.more || raw.objects.len() >= asked;
            if page.entries.len() > max {
                page.entries.truncate(max);
                return Ok(page);
            }
            if !page.more || page.entries.len() == max {
                return Ok(page);
            }
            from = match (raw.objects.is_empty(), raw.token, &last) {
                (false, _, Some(last)) => From::After(last.clone()),
                (true, Some(token), _) if !matches!(&from, From::Token(before) if *before == token) => {
                    From::Token(token)
                }
                _ => return Err(self.odd_listing("holds nothing and says that there is more")),
            };
        }
    }

    /// One page in plain XML, or where a key makes that impossible (control characters, U+FFFF) URL-encoded.
    /// Plain is first, because look-alikes differ in how they encode.
    async fn raw_page(&self, prefix: &str, from: &From, max: usize) -> Result<Raw> {
        if let Some(page) = self.page(prefix, from, max, false).await? {
            return Ok(page);
        }
        let page = self.page(prefix, from, max, true).await?;
        page.ok_or_else(|| self.odd_listing("is not the whole XML of a listing"))
    }

    /// None where the answer is not whole, well-formed XML.
    async fn page(&self, prefix: &str, from: &From, max: usize, encoded: bool) -> Result<Option<Raw>> {
        let exchange = Exchange::new(false);
        let mut request = self.connection.client().await?.list_objects_v2().bucket(&self.place.bucket);
        if !prefix.is_empty() {
            request = request.prefix(prefix);
        }
        match from {
            From::Start => {}
            From::After(after) => request = request.start_after(after),
            From::Token(token) => request = request.continuation_token(token),
        }
        if encoded {
            request = request.encoding_type(EncodingType::Url);
        }
        let sent = request.max_keys(max as i32).customize().interceptor(exchange.clone()).send();
        let answer = self.answer(Action::List, None, &exchange, sent).await;
        if !exchange.well_formed() && (200..300).contains(&exchange.status()) {
            return Ok(None);
        }
        self.understood(answer?).map(Some)
    }

    fn understood(&self, output: ListObjectsV2Output) -> Result<Raw> {
        let Some(more) = output.is_truncated() else {
            return Err(self.odd_listing("does not say whether there is more"));
        };
        let encoded = output.encoding_type() == Some(&EncodingType::Url);
        let token = output.next_continuation_token;
        let mut objects = Vec::new();
        for object in output.contents.unwrap_or_default() {
            let name = match object.key() {
                Some(key) if encoded => url_decoded(key),
                key => key.map(str::to_owned),
            };
            match name {
                Some(name) => objects.push((name, object)),
                None => return Err(self.odd_listing("holds an object without a key that can be read")),
            }
        }
        Ok(Raw { objects, more, token })
    }

    fn odd_listing(&self, why: &str) -> Error {
        errors::odd_answer(Action::List, &self.at(None), why)
    }
}

/// Whether there can be a key that begins so. MinIO refuses to list what cannot be, instead of listing nothing.
fn begins_keys(prefix: &str) -> bool {
    prefix.rsplit('/').skip(1).all(|folder| !matches!(folder, "" | "." | ".."))
}

/// The text up to its first name of dots alone: MinIO refuses such names in a prefix and in where to start, although
/// they only are places in the order of keys. What is listed too much is left out here.
fn until_dots(text: &str) -> &str {
    let mut at = 0;
    for name in text.split('/') {
        if matches!(name, "." | "..") {
            return &text[..at];
        }
        at += name.len() + 1;
    }
    text
}

/// The text of `encoding-type=url`: percent-encoded bytes of UTF-8, and `+` for a space.
fn url_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    String::from_utf8(crate::store::open::percent_decoded("s3", &spaced).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_no_key_begins_with_lists_nothing_and_names_of_dots_are_never_asked_for() {
        for prefix in ["", "a", "a/", "a/b", ".", "..", "a/..", "a/.b/c", "...", "a/..."] {
            assert!(begins_keys(prefix), "{prefix:?}");
        }
        for prefix in ["/", "a//", "//a", "../", "a/../", "./a", "a/./b"] {
            assert!(!begins_keys(prefix), "{prefix:?}");
        }
        for (prefix, asked) in
            [("..", ""), ("a/.", "a/"), ("a/../b", "a/"), ("a/...", "a/..."), ("a/", "a/"), ("", "")]
        {
            assert_eq!(until_dots(prefix), asked);
        }
    }

    #[test]
    fn url_encoded_keys_are_decoded_or_refused() {
        assert_eq!(url_decoded("a+b%2Bc/%C3%BC%01").as_deref(), Some("a b+c/ü\u{1}"));
        assert_eq!(url_decoded("a%2"), None);
        assert_eq!(url_decoded("%ff"), None);
    }
}
