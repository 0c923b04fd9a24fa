//! What an S3 service answers. Bytes: 1 for the request, 2 for the status, 1 of choices, 1 for how many headers follow,
//! each as name (1), length (1) and value; the body.
//!
//! Oracle: whatever comes, the request ends after a bounded number of tries, in an error of one line that can be read; or
//! in a success that the answer bears out: bytes of the answer and not more than were asked for, a listing in order and
//! within what was asked, one answer for each key to delete.

use super::{Input, is_message};
use bytes::Bytes;
use futures_util::stream;
use seglift::{
    Code, Error, Result,
    codec::checksum::crc32c,
    store::{
        Body, ByteStream, Commit, GetRange, Key, ObjectStore, S3Store, UploadInfo,
        s3::{CannedAnswer, CredentialOptions, Env, HttpClients, Place, Probe, S3Options},
    },
};
use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};
use tokio::runtime::Runtime;

const STATUSES: [u16; 24] = [
    200, 206, 204, 201, 301, 302, 307, 400, 401, 403, 404, 405, 409, 411, 412, 413, 416, 429, 500, 501, 502,
    503, 504, 299,
];

/// Headers that mean something to us or to the SDK.
const NAMES: [&str; 20] = [
    "Content-Range",
    "Content-Length",
    "Content-Type",
    "Content-Encoding",
    "ETag",
    "Date",
    "Last-Modified",
    "Retry-After",
    "Location",
    "x-amz-request-id",
    "x-amz-id-2",
    "x-amz-bucket-region",
    "x-amz-delete-marker",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-restore",
    "x-amz-checksum-crc32c",
    "x-amz-missing-meta",
    "x-amz-object-size",
    "Connection",
];

/// The headers of a good answer come first.
const GOOD_RANGE: u8 = 1;
const GOOD_LENGTH: u8 = 2;
const GOOD_DATES: u8 = 4;
const GOOD_TAG: u8 = 8;

/// Separates the bodies of several answers.
const NEXT: u8 = 0x1E;

/// What each part of a request to a range asks for.
const WANTED: std::ops::Range<u64> = 3..19;
/// How long the good headers say that the object is.
const OBJECT: u64 = 100;
/// Most requests that one call may cost: a listing that goes on, a suffix after a head, a probe of what a store can do.
const MOST_REQUESTS: u32 = 40;

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());
}

struct Text(&'static [u8]);

impl Body for Text {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self) -> ByteStream {
        let bytes = Bytes::from_static(self.0);
        Box::pin(stream::once(async move { Ok(bytes) }))
    }

    fn crc32c(&self) -> Option<u32> {
        Some(crc32c(self.0))
    }
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let request = input.u8() % 13;
    let status = input.u16();
    let status = match STATUSES.get(usize::from(status)) {
        Some(status) => *status,
        None => 200 + status % 400,
    };
    let choices = input.u8();
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut say = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    for _ in 0..input.u8() % 4 {
        let name = NAMES[usize::from(input.u8()) % NAMES.len()];
        let len = input.u8().into();
        say(name, &String::from_utf8_lossy(input.bytes(len)));
    }
    let body = input.rest().to_vec();
    if choices & GOOD_RANGE != 0 {
        let first = if request == 1 { OBJECT - 16 } else { WANTED.start };
        say("Content-Range", &format!("bytes {first}-{}/{OBJECT}", first + 15));
    }
    if choices & GOOD_LENGTH != 0 {
        say("Content-Length", &body.len().to_string());
    }
    if choices & GOOD_DATES != 0 {
        say("Last-Modified", "Sat, 21 Nov 2026 12:00:00 GMT");
        say("Date", "Sat, 21 Nov 2026 12:00:01 GMT");
    }
    if choices & GOOD_TAG != 0 {
        say("ETag", "\"0123456789abcdef\"");
    }
    let asked = Arc::new(AtomicU32::new(0));
    let bodies: Vec<Vec<u8>> = body.split(|byte| *byte == NEXT).map(<[u8]>::to_vec).collect();
    let answer = CannedAnswer { status, headers, body: Vec::new() };
    let counted = asked.clone();
    let http = HttpClients::canned(move |_, _| {
        let n = counted.fetch_add(1, Relaxed) as usize;
        CannedAnswer { body: bodies[n.min(bodies.len() - 1)].clone(), ..answer.clone() }
    });
    let store = S3Store::open(Place::parse("//bucket/tier").unwrap(), &env(http)).unwrap();
    RUNTIME.with_borrow(|runtime| runtime.block_on(check(&store, request, &body)));
    let asked = asked.load(Relaxed);
    assert!(asked <= MOST_REQUESTS, "{asked} requests for one answer, always the same");
}

fn env(http: HttpClients) -> Env {
    let options = S3Options {
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        region_given: true,
        trailers: Probe::Off,
        conditional_writes: Probe::On,
        credentials: CredentialOptions { anonymous: true, ..CredentialOptions::default() },
        ..S3Options::default()
    };
    Env { options, http: Arc::new(http), engine: None }
}

async fn check(store: &S3Store, request: u8, body: &[u8]) {
    let key = Key::new("topic/0").unwrap();
    let info = UploadInfo { owner: "o".into(), uuid: "u".into(), user: Vec::new() };
    let content: Arc<dyn Body> = Arc::new(Text(b"content"));
    match request {
        0 => got(store.get(&key, GetRange::Range(WANTED)).await, body, WANTED.end - WANTED.start).await,
        1 => got(store.get(&key, GetRange::Suffix(16)).await, body, 16).await,
        2 => drop(told(store.head(&key).await)),
        3 | 4 => {
            let (prefix, after, max) =
                if request == 3 { ("", None, 10) } else { ("topic/", Some("topic/0"), 1) };
            let Some(page) = told(store.list(prefix, after, max).await) else { return };
            assert!(page.entries.len() <= max);
            assert!(page.entries.is_sorted_by(|a, b| a.key < b.key));
            for entry in page.entries {
                assert!(entry.key.as_str().starts_with(prefix));
                assert!(after.is_none_or(|after| entry.key.as_str() > after));
            }
        }
        5 => {
            let answers = store.delete(&[key, Key::new("other").unwrap()]).await;
            assert_eq!(answers.len(), 2);
            for answer in answers {
                told(answer);
            }
        }
        6 => committed(store.put(&key, &info, content).await),
        7 | 8 => {
            let Some(upload) = told(store.begin(&key, &info).await) else { return };
            let part = told(upload.put_part(0, 0, content).await);
            if request == 7 || part.is_some() {
                // Behind a commit there is no abort.
                committed(upload.commit().await);
            } else {
                told(upload.abort().await);
            }
        }
        9 => {
            let Some(page) = told(store.uploads("o", None, 10).await) else { return };
            assert!(page.uploads.len() <= 10);
            if let Some(upload) = page.uploads.first() {
                told(store.arrived(upload).await);
                told(store.abort_upload(upload).await);
            }
        }
        10 => drop(told(store.now().await)),
        11 => {
            let found = store.resume(&key, &info, "1-nu-0000000000000000-U").await;
            if let Some(upload) = told(found).flatten() {
                // The first part is never compared.
                told(upload.has_part(1, 0, content.clone()).await);
                told(upload.put_part(0, 0, content).await);
                committed(upload.commit().await);
            }
        }
        _ => drop(told(store.learn().await)),
    }
}

/// Bytes that the answer does not hold were never sent.
async fn got(get: Result<seglift::store::Get>, body: &[u8], most: u64) {
    let Some(get) = told(get) else { return };
    let range = get.range.clone();
    assert!(range.start <= range.end && range.end <= get.object_len && range.end - range.start <= most);
    if let Some(bytes) = told(get.collect().await) {
        assert_eq!(bytes.len() as u64, range.end - range.start);
        assert!(bytes.is_empty() || body.windows(bytes.len()).any(|part| part == bytes));
    }
}

fn committed(commit: Commit) {
    match commit {
        Commit::Done | Commit::Exists => {}
        Commit::NotDone(e) | Commit::Unknown(e) => readable(&e),
    }
}

fn told<T>(result: Result<T>) -> Option<T> {
    result.map_err(|e| readable(&e)).ok()
}

fn readable(e: &Error) {
    assert!(is_message(e.message(), 3000), "{e:?}");
    assert!(!matches!(e.code(), Code::Internal | Code::InvalidArgument), "{e:?}");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let error = |code: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>Why &amp; what</Message>\
             <Region>eu-west-1</Region><RequestId>R1</RequestId><HostId>X1</HostId></Error>"
        )
    };
    let listing = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>\
        <IsTruncated>false</IsTruncated><EncodingType>url</EncodingType><Contents><Key>tier/topic/1</Key><Size>7</Size>\
        <LastModified>2026-11-21T12:00:00.000Z</LastModified></Contents><Contents><Key>tier/topic/%2B2</Key><Size>8</Size>\
        <LastModified>2026-11-21T12:00:00.000Z</LastModified></Contents></ListBucketResult>";
    let endless = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
    let deleted = "<DeleteResult><Deleted><Key>tier/topic/0</Key></Deleted><Error><Key>tier/other</Key><Code>AccessDenied\
        </Code><Message>no</Message></Error></DeleteResult>";
    let begun = "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>tier/topic/0</Key><UploadId>U</UploadId>\
        </InitiateMultipartUploadResult>";
    let uploads = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>tier/topic/0</Key><UploadId>U\
        </UploadId><Initiated>2026-11-21T12:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>";
    let parts = "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker><Part><PartNumber>1\
        </PartNumber><ETag>&quot;9a0364b9e99bb480dd25e1f0284c8555&quot;</ETag><Size>7</Size><LastModified>2026-11-21T12:00:00.000Z\
        </LastModified></Part><Part><PartNumber>2</PartNumber><ETag>x</ETag><Size>9223372036854775807</Size><LastModified>\
        2026-11-21T12:00:00.000Z</LastModified></Part></ListPartsResult>";
    let next = char::from(NEXT);
    let seed = |request: u8, status: u16, choices: u8, headers: &[(u8, &str)], body: &str| {
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or(0) as u16;
        let mut seed = [&[request][..], &status.to_le_bytes(), &[choices, headers.len() as u8]].concat();
        for (name, value) in headers {
            seed.extend([*name, value.len() as u8]);
            seed.extend(value.bytes());
        }
        seed.extend(body.bytes());
        seed
    };
    let mut seeds = vec![
        seed(0, 206, 15, &[], "0123456789abcdef"),
        seed(0, 200, 14, &[(1, "20")], "0123456789abcdefghij"),
        seed(0, 416, 4, &[(0, "bytes */2")], &error("InvalidRange")),
        seed(1, 206, 15, &[], "0123456789abcdef"),
        seed(2, 200, 12, &[(1, "7")], ""),
        seed(3, 200, 6, &[], listing),
        seed(3, 200, 6, &[], endless),
        seed(4, 200, 6, &[], listing),
        seed(5, 200, 6, &[], deleted),
        seed(6, 200, 14, &[], ""),
        seed(7, 200, 14, &[], begun),
        seed(8, 200, 14, &[], begun),
        seed(8, 200, 14, &[], &error("InternalError")),
        seed(9, 200, 6, &[], uploads),
        seed(9, 200, 6, &[], &format!("{uploads}{next}{parts}{next}{parts}")),
        seed(9, 200, 6, &[], &format!("{uploads}{next}{parts}{next}{}", parts.replace(">2</N", ">9</N"))),
        seed(
            8,
            200,
            14,
            &[],
            &format!(
                "{begun}{next}{next}<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
            ),
        ),
        seed(11, 200, 14, &[], &parts.replace("true", "false")),
        seed(11, 200, 14, &[], &format!("{parts}{next}{}", parts.replace("true", "false"))),
        seed(10, 200, 6, &[], listing),
        seed(12, 501, 6, &[], &error("NotImplemented")),
        seed(0, 503, 4, &[(7, "3"), (9, "R2")], &error("SlowDown")),
        seed(0, 403, 4, &[(2, "text/html")], "<html><body>Proxy says Authorization: secret</body></html>"),
        seed(2, 301, 4, &[(11, "eu-west-1")], ""),
    ];
    for (status, code) in
        [(404, "NoSuchKey"), (403, "AccessDenied"), (412, "PreconditionFailed"), (409, "Conflict")]
    {
        seeds.extend((0..13).step_by(5).map(|request| seed(request, status, 4, &[], &error(code))));
    }
    seeds
}
