//! Reading: one range or suffix in one request, and the length and time of an object.
//!
//! Invariant: bytes leave here only from where they were asked for. The answer's `Content-Range` must be the
//! range that was asked for, cut at the object's end; where a store ignores ranges and sends everything, what
//! was not asked for is dropped, or where that would be much, the read fails and says so.
//!
//! Trade-off: bytes are passed on as they arrive, without a copy and without the service's checksums, which
//! cover whole objects: the reader verifies each block.

use super::{
    S3Store,
    errors::{self, Action},
    exchange::Exchange,
};
use crate::{
    error::{Code, Error, Result},
    store::{ByteStream, Entry, Get, GetRange, Key, pieces::PIECE},
};
use aws_sdk_s3::{
    error::SdkError,
    operation::{get_object::GetObjectOutput, head_object::HeadObjectOutput},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Body;
use std::{
    future::poll_fn,
    ops::Range,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// No object is longer: Amazon's end at 50 TB. Larger numbers in a request overflow in some look-alikes.
const MAX_OBJECT: u64 = 1 << 50;

/// Most bytes in front of the wanted ones that are fetched and dropped where a store ignores ranges: the
/// default of the smallest fetch, so that it costs at most one fetch more.
const MAX_DROPPED: u64 = 1 << 20;

/// What reads have found out about the store.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    /// The store does not know suffix ranges: each costs a HEAD before it.
    no_suffix: AtomicBool,
}

/// How a request for a range failed.
enum Failed {
    /// No byte of the object is in the range; its length, where the store told.
    Unsatisfiable(Option<u64>, Error),
    Otherwise(Error),
}

impl S3Store {
    /// See [`ObjectStore::get`](crate::store::ObjectStore::get).
    pub(super) async fn get_object(&self, key: &Key, range: GetRange) -> Result<Get> {
        range.within(MAX_OBJECT.max(range_end(&range))).map_err(|e| e.context(key))?;
        if let GetRange::Suffix(n) = range {
            if self.learnt.get.no_suffix.load(Relaxed) {
                return self.suffix_by_head(key, n).await;
            }
            return match self.request(key, &range).await {
                Ok(get) => Ok(get),
                Err(Failed::Unsatisfiable(Some(0), _)) => Ok(empty()),
                Err(Failed::Unsatisfiable(..)) => self.suffix_by_head(key, n).await,
                Err(Failed::Otherwise(e)) if refuses_suffixes(&e) => {
                    let get = self.suffix_by_head(key, n).await?;
                    self.learnt.get.no_suffix.store(true, Relaxed);
                    Ok(get)
                }
                Err(Failed::Otherwise(e)) => Err(e),
            };
        }
        self.request(key, &range).await.map_err(|failed| match failed {
            Failed::Unsatisfiable(Some(len), e) => match range.within(len) {
                Err(within) => within.context(key).with_service(
                    e.http_status(),
                    e.service_code(),
                    e.request_id(),
                    e.extended_request_id(),
                ),
                Ok(_) => {
                    let why = format!("says that the range is outside of the object, which has {len} bytes");
                    errors::odd_answer(Action::Get, &self.at(Some(key)), why)
                }
            },
            Failed::Unsatisfiable(None, e) | Failed::Otherwise(e) => e,
        })
    }

    /// The last `n` bytes in two requests, for stores that do not know suffix ranges, or say that an object
    /// has none without saying that it is empty.
    async fn suffix_by_head(&self, key: &Key, n: u64) -> Result<Get> {
        let len = self.head_object(key).await?.len;
        if len == 0 {
            return Ok(empty());
        }
        let range = GetRange::Range(len.saturating_sub(n)..len);
        match self.request(key, &range).await {
            Ok(get) if get.object_len == len => Ok(get),
            Ok(_) => Err(errors::odd_answer(
                Action::Get,
                &self.at(Some(key)),
                "is of an object that changed meanwhile",
            )),
            Err(Failed::Unsatisfiable(_, e) | Failed::Otherwise(e)) => Err(e),
        }
    }

    /// One GET.
    async fn request(&self, key: &Key, range: &GetRange) -> Result<Get, Failed> {
        let client = self.connection.client().await.map_err(Failed::Otherwise)?;
        let exchange = Exchange::new(true);
        let request = client.get_object().bucket(&self.place.bucket).key(self.place.object_key(key));
        let request = self.attributes.on_get(request).range(header(range));
        let sent = request.customize().interceptor(exchange.clone()).send();
        let limit = self.options.attempt_timeout;
        match exchange.guard(limit, sent).await {
            Some(Ok(output)) => {
                self.accepted(key, range, exchange.status(), output).map_err(Failed::Otherwise)
            }
            Some(Err(e)) => {
                let len = unsatisfiable(&e);
                let error = self.error(Action::Get, Some(key), e);
                Err(match (error.code(), len) {
                    (Code::OutOfRange, len) => Failed::Unsatisfiable(len, error),
                    _ => Failed::Otherwise(error),
                })
            }
            None => Err(Failed::Otherwise(errors::stalled(Action::Get, &self.at(Some(key)), limit))),
        }
    }

    /// Checks what an answer claims to be before any byte of it counts.
    fn accepted(&self, key: &Key, range: &GetRange, status: u16, output: GetObjectOutput) -> Result<Get> {
        let odd = |why: String| errors::odd_answer(Action::Get, &self.at(Some(key)), why);
        let len = output.content_length().and_then(|len| u64::try_from(len).ok());
        let (object_len, sent) = match output.content_range() {
            Some(text) => content_range(text).ok_or_else(|| {
                let told = self.connection.hidden().clear(text);
                odd(format!("has the Content-Range {told:?}"))
            })?,
            None if status == 206 => return Err(odd("is a part and does not say which".into())),
            None => match len {
                Some(len) => (len, 0..len),
                None => return Err(odd("does not say how long the object is".into())),
            },
        };
        let wanted = range.within(object_len).map_err(|e| e.context(key))?;
        let whole = sent == (0..object_len);
        if sent != wanted && !whole {
            let (from, to) = (sent.start, sent.end);
            return Err(odd(format!(
                "holds bytes {from}..{to} where {}..{} were asked for",
                wanted.start, wanted.end
            )));
        }
        if wanted.start - sent.start > MAX_DROPPED {
            let why = "is the whole object, since the store ignores ranges; seglift needs a store that can read a range";
            return Err(odd(why.into()).with_retryable(false));
        }
        if len.is_some_and(|len| len != sent.end - sent.start) {
            return Err(odd("says two lengths".into()));
        }
        let tag = output.e_tag().map(Arc::from);
        let body = Arrival {
            body: output.body.into_inner(),
            rest: Bytes::new(),
            drop: wanted.start - sent.start,
            left: wanted.end - wanted.start,
            more_follows: wanted.end < sent.end,
            bucket: self.place.bucket.clone(),
            endpoint: self.connection.endpoint().to_owned(),
            key: key.clone(),
            limit: self.options.attempt_timeout,
        };
        Ok(Get { object_len, range: wanted, tag, body: body.into_stream() })
    }

    /// See [`ObjectStore::head`](crate::store::ObjectStore::head).
    pub(super) async fn head_object(&self, key: &Key) -> Result<Entry> {
        self.head_with_etag(key).await.map(|(entry, _)| entry)
    }

    /// The same with the object's ETag, where the store gives one.
    pub(super) async fn head_with_etag(&self, key: &Key) -> Result<(Entry, Option<String>)> {
        let head = self.head(key).await?;
        let len = head.content_length().and_then(|len| u64::try_from(len).ok());
        let modified = head.last_modified().and_then(micros);
        match (len, modified) {
            (Some(len), Some(modified_us)) => Ok((Entry { key: key.clone(), len, modified_us }, head.e_tag)),
            _ => {
                let why = "does not say how long the object is and from when";
                Err(errors::odd_answer(Action::Head, &self.at(Some(key)), why))
            }
        }
    }

    /// All that the store says of an object.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>
    pub(super) async fn head(&self, key: &Key) -> Result<HeadObjectOutput> {
        let client = self.connection.client().await?;
        let exchange = Exchange::new(false);
        let request = client.head_object().bucket(&self.place.bucket).key(self.place.object_key(key));
        let request = self.attributes.on_head(request);
        let sent = request.customize().interceptor(exchange.clone()).send();
        match self.answer(Action::Head, Some(key), &exchange, sent).await {
            Err(e) if (300..500).contains(&e.http_status()) && ![408, 429].contains(&e.http_status()) => {
                Err(self.why_no_head(key, e).await)
            }
            answer => answer,
        }
    }

    /// A HEAD that fails has no body, so a missing bucket looks like a missing object, and a wrong key or clock
    /// like a forbidden one. A GET of one byte, with the same permission, says which.
    async fn why_no_head(&self, key: &Key, error: Error) -> Error {
        if error.code() == Code::NotFound {
            return error;
        }
        match self.request(key, &GetRange::Range(0..1)).await {
            Err(Failed::Otherwise(e)) => e,
            Ok(_) | Err(Failed::Unsatisfiable(..)) if error.http_status() == 404 => {
                let why = "to HEAD and the one to GET differ; the object is new, or something between answers for the store";
                errors::odd_answer(Action::Head, &self.at(Some(key)), why)
            }
            Ok(_) | Err(Failed::Unsatisfiable(..)) => error,
        }
    }
}

fn range_end(range: &GetRange) -> u64 {
    match range {
        GetRange::Range(range) => range.end,
        GetRange::Suffix(n) => *n,
    }
}

/// RFC 9110, 14.1.2. Ranges that lie behind all objects ask for the last byte that could be, and so get the
/// same refusal.
fn header(range: &GetRange) -> String {
    match range {
        GetRange::Range(range) => {
            let last = range.end.min(MAX_OBJECT) - 1;
            format!("bytes={}-{}", range.start.min(last), last)
        }
        GetRange::Suffix(n) => format!("bytes=-{}", (*n).min(MAX_OBJECT)),
    }
}

/// The length of the object and the bytes that follow, of `bytes 0-9/100`.
fn content_range(text: &str) -> Option<(u64, Range<u64>)> {
    // MinIO's way to give the last bytes of an empty object.
    if text.trim() == "bytes 0--1/0" {
        return Some((0, 0..0));
    }
    let (range, len) = text.trim().strip_prefix("bytes ")?.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number =
        |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let (first, last, len) = (number(first)?, number(last)?, number(len)?);
    (first <= last && last < len).then(|| (len, first..last + 1))
}

/// The object's length, of a 416: `Content-Range: bytes */100`, or in the XML of the error.
fn unsatisfiable<E>(error: &SdkError<E, HttpResponse>) -> Option<u64> {
    let raw = error.raw_response()?;
    if let Some(text) = raw.headers().get("content-range") {
        return text.trim().strip_prefix("bytes */")?.parse().ok();
    }
    let body = std::str::from_utf8(raw.body().bytes()?).ok()?;
    body.split_once("<ActualObjectSize>")?.1.split_once('<')?.0.trim().parse().ok()
}

/// Whether a store may have refused a suffix because it knows none. 416 is another matter.
fn refuses_suffixes(error: &Error) -> bool {
    error.http_status() == 501
        || (error.http_status() == 400
            && ["NotImplemented", "InvalidArgument", "InvalidRequest", "BadRequest", ""]
                .contains(&error.service_code()))
}

fn empty() -> Get {
    Get { object_len: 0, range: 0..0, tag: None, body: stream::empty().boxed() }
}

/// µs since 1970, in whole seconds: a HEAD tells no more, and a listing must say the same.
pub(super) fn micros(time: &aws_smithy_types::DateTime) -> Option<i64> {
    time.secs().checked_mul(1_000_000)
}

/// An object's bytes on their way.
struct Arrival {
    body: SdkBody,
    /// What has arrived and was not passed on yet.
    rest: Bytes,
    /// Bytes that come first and were not asked for.
    drop: u64,
    /// Bytes that were asked for and have not been passed on.
    left: u64,
    /// Whether bytes come behind that were not asked for.
    more_follows: bool,
    bucket: String,
    endpoint: String,
    key: Key,
    limit: Duration,
}

impl Arrival {
    fn into_stream(self) -> ByteStream {
        stream::unfold(Some(self), |arrival| async move {
            let mut arrival = arrival?;
            match arrival.piece().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(arrival))),
                Ok(None) => None,
                Err(e) => Some((Err(e), None)),
            }
        })
        .fuse()
        .boxed()
    }

    /// The next bytes, at most a piece; none at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.left == 0 && self.more_follows {
                return Ok(None);
            }
            if self.rest.is_empty() {
                match self.frame().await? {
                    Some(bytes) => self.rest = bytes,
                    None if self.left == 0 => return Ok(None),
                    None => {
                        return Err(self.odd(format!("ended {} bytes before its end", self.left + self.drop)));
                    }
                }
            }
            let dropped = self.drop.min(self.rest.len() as u64);
            self.drop -= dropped;
            self.rest = self.rest.split_off(dropped as usize);
            if self.rest.is_empty() {
                continue;
            }
            if self.left == 0 {
                return Err(self.odd("is longer than it had said"));
            }
            let len = self.left.min(PIECE as u64).min(self.rest.len() as u64);
            self.left -= len;
            return Ok(Some(self.rest.split_to(len as usize)));
        }
    }

    async fn frame(&mut self) -> Result<Option<Bytes>> {
        let body = &mut self.body;
        match tokio::time::timeout(self.limit, poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx))).await {
            Ok(None) => Ok(None),
            // Trailers are no bytes of the object.
            Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
            // All that was asked for has arrived; how the connection ends is not the reader's matter.
            Ok(Some(Err(_))) | Err(_) if self.left == 0 => Ok(None),
            Ok(Some(Err(e))) => Err(errors::broken_body(Action::Get, &self.at(), &*e)),
            Err(_) => Err(errors::stalled(Action::Get, &self.at(), self.limit)),
        }
    }

    fn at(&self) -> errors::At<'_> {
        errors::At { bucket: &self.bucket, endpoint: &self.endpoint, key: Some(self.key.as_str()) }
    }

    fn odd(&self, why: impl std::fmt::Display) -> Error {
        errors::odd_answer(Action::Get, &self.at(), why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_exactly_or_not_at_all() {
        assert_eq!(content_range("bytes 0-9/100"), Some((100, 0..10)));
        assert_eq!(content_range("bytes 99-99/100"), Some((100, 99..100)));
        assert_eq!(content_range("bytes 0--1/0"), Some((0, 0..0)));
        for bad in [
            "",
            "bytes",
            "bytes 0-9",
            "bytes 0-9/*",
            "bytes */100",
            "bytes 9-0/100",
            "bytes 0-100/100",
            "0-9/100",
            "bytes -5/100",
            "bytes +1-2/100",
            "items 0-9/100",
            "bytes 0-18446744073709551615/18446744073709551615",
        ] {
            assert_eq!(content_range(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_range_is_asked_for_in_numbers_that_every_store_can_read() {
        assert_eq!(header(&GetRange::Range(5..6)), "bytes=5-5");
        assert_eq!(header(&GetRange::Range(7..u64::MAX)), "bytes=7-1125899906842623");
        assert_eq!(
            header(&GetRange::Range(u64::MAX - 1..u64::MAX)),
            "bytes=1125899906842623-1125899906842623"
        );
        assert_eq!(header(&GetRange::Suffix(u64::MAX)), "bytes=-1125899906842624");
    }
}
