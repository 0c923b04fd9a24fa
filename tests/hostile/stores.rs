//! Stores that lie: on the wire, and as an implementation of the trait that breaks its promises.

use super::{
    measure::{alone, bytes_of},
    reader_support::{
        Tape, World,
        format::{Recipe, Source, mixed},
        options, with_fresh_id,
    },
};
use futures_util::{StreamExt, TryStreamExt, stream};
use seglift::{
    Code, Driver, Error, Result,
    codec::Codec,
    config::Config,
    engine::{Call, Engine, EngineOptions},
    reader::SegmentRef,
    store::{
        Body, BoxFuture, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage, MemoryStore, ObjectStore,
        Upload, UploadInfo, fingerprint,
    },
};
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

/// The answers of a store that are read into memory have 8 MiB at most; they are held twice, as bytes and as values.
const ANSWERS: usize = 40 << 20;

/// Answers each request with what `answer` writes, for ever if it likes: it stops when the other side goes. Its own memory
/// is next to nothing, so that what is measured is the client's.
fn server(answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (Ok(mut socket), answer) = (socket, answer.clone()) else { continue };
            thread::spawn(move || {
                let mut reader = BufReader::new(socket.try_clone()?);
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let request = line.clone();
                while line != "\r\n" && !line.is_empty() {
                    line.clear();
                    reader.read_line(&mut line)?;
                }
                answer(&request, &mut socket)
            });
        }
    });
    format!("s3://bucket/tier?endpoint=http://{address}&region=us-east-1&style=path")
}

fn for_ever(socket: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let many = bytes.repeat((64 << 10) / bytes.len() + 1);
    loop {
        socket.write_all(&many)?;
    }
}

fn driver(uri: &str) -> Driver {
    let mut config = Config::new();
    for (name, value) in [("s3.anonymous", "true"), ("s3.timeout.attempt", "1s")] {
        config.set(name, value).unwrap();
    }
    let engine =
        Engine::new(EngineOptions { threads: 1, cache_size: 0, ..EngineOptions::default() }).unwrap();
    Driver::open(&engine, uri, &config).unwrap()
}

/// Three seconds for everything: retries of what is hostile end with the deadline.
fn call() -> Call {
    Call { deadline: Some(Duration::from_secs(3)), ..Call::default() }
}

fn by_key() -> SegmentRef {
    SegmentRef { key: "k".to_owned(), token: None }
}

fn refused(uri: &str, codes: &[Code], most_bytes: usize) {
    let driver = driver(uri);
    let mut dest = [0; 100];
    let (read, most) = bytes_of(|| driver.read_range(&by_key(), 0, &mut dest, &call()));
    let error = read.expect_err("nothing that can be read was sent");
    assert!(codes.contains(&error.code()), "{error}");
    assert!(error.message().len() < 4000 && !error.message().contains('\n'), "{error}");
    assert!(most < most_bytes, "{most} bytes");
}

const NO_ANSWER: [Code; 2] = [Code::Unavailable, Code::TimedOut];

#[test]
fn a_body_without_an_end_is_read_as_far_as_it_was_asked_for() {
    let _alone = alone();
    for head in [
        "200 OK\r\nContent-Length: 9223372036854775807",
        "200 OK\r\nContent-Length: 18446744073709551615",
        "200 OK\r\nTransfer-Encoding: chunked",
        "200 OK\r\nX-None: 1",
        "206 Partial\r\nContent-Range: bytes 0-18446744073709551614/18446744073709551615",
        "206 Partial\r\nContent-Range: bytes 4611686018427322368-4611686018427387903/4611686018427387904",
        "206 Partial\r\nContent-Range: bytes 4611686018427322368-4611686018427387903/4611686018427387904\r\nContent-Length: 65536",
        "206 Partial\r\nContent-Length: 65536\r\nContent-Encoding: gzip\r\nContent-Range: bytes 0-65535/65536",
        "500 No\r\nContent-Length: 107374182400",
        "404 No\r\nX-None: 1",
        "301 No\r\nLocation: http://169.254.169.254/\r\nX-None: 1",
    ] {
        let uri = server(move |_, socket| {
            write!(socket, "HTTP/1.1 {head}\r\n\r\n")?;
            let chunk =
                if head.contains("chunked") { b"FFFFFFFFFFFFFFF\r\n".as_slice() } else { b"\0".as_slice() };
            for_ever(socket, chunk)
        });
        let codes = [Code::Unavailable, Code::TimedOut, Code::Corrupt, Code::InvalidConfig];
        refused(&uri, &codes, ANSWERS);
    }
}

#[test]
fn a_head_without_an_end_takes_no_memory() {
    let _alone = alone();
    for line in [
        "X-A: a\r\n",
        "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "\r",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let uri = server(move |_, socket| {
            socket.write_all(if line.starts_with("HTTP") { b"" } else { b"HTTP/1.1 200 OK\r\nX-Long: " })?;
            for_ever(socket, line.as_bytes())
        });
        refused(&uri, &NO_ANSWER, ANSWERS);
    }
}

#[test]
fn an_object_that_is_said_to_be_huge_ends_in_corrupt_and_not_in_an_allocation() {
    let _alone = alone();
    // Its end is that of an object of 4 EiB whose tail would have 17 MiB.
    let uri = server(|request, socket| {
        let _ = request;
        let (first, last, all) = (4611686018427322368u64, 4611686018427387903u64, 4611686018427387904u64);
        write!(
            socket,
            "HTTP/1.1 206 P\r\nContent-Length: 65536\r\nLast-Modified: Sat, 21 Nov 2026 12:00:00 GMT\r\n\
             Content-Range: bytes {first}-{last}/{all}\r\n\r\n"
        )?;
        let mut end = vec![0x55; 65_536];
        let trailer = end.len() - 64;
        end[trailer + 8..trailer + 12].copy_from_slice(&(17u32 << 20).to_le_bytes());
        end[trailer + 56..].copy_from_slice(b"SEGLIFT\n");
        socket.write_all(&end)
    });
    // The second request gets the first one's answer: a range that was not asked for.
    refused(&uri, &[Code::Unavailable, Code::TimedOut, Code::Corrupt, Code::ResourceExhausted], ANSWERS);
}

/// Lists everything and gives the keys.
fn listed(uri: &str) -> (Result<Vec<String>>, usize) {
    let driver = driver(uri);
    bytes_of(|| {
        let mut keys = Vec::new();
        loop {
            let page = driver.list("", keys.last().map(String::as_str), 1000, &call())?;
            keys.extend(page.entries.iter().map(|entry| entry.key.to_string()));
            if !page.more {
                return Ok(keys);
            }
        }
    })
}

fn listing(names: &[&str], size: &str) -> String {
    let rows: String = names
        .iter()
        .map(|name| {
            format!(
                "<Contents><Key>{name}</Key><Size>{size}</Size><LastModified>2026-11-21T12:00:00.000Z</LastModified></Contents>"
            )
        })
        .collect();
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>")
}

fn answering(body: Vec<u8>) -> String {
    server(move |_, socket| {
        write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
        socket.write_all(&body)
    })
}

#[test]
fn names_in_a_listing_that_are_no_keys_are_never_shown() {
    let _alone = alone();
    let long = format!("tier/{}", "n".repeat(100 << 10));
    // In byte order, as a listing must be; of these only two are keys below the prefix.
    let names = [
        "../x",
        "/abs",
        "tier/",
        "tier/.",
        "tier/..",
        "tier/../../etc/passwd",
        "tier/.seglift-upload-1",
        "tier/a",
        "tier/a//b",
        "tier/a/./b",
        "tier/a\\b",
        "tier/b&#x7f;",
        long.as_str(),
        "tier/&#x202e;txt.exe",
        "tierx/a",
    ];
    let mut sorted = names.map(|name| (name.replace("&#x7f;", "\x7f").replace("&#x202e;", "\u{202e}"), name));
    sorted.sort();
    let (keys, most) = listed(&answering(listing(&sorted.map(|(_, name)| name), "7").into_bytes()));
    assert_eq!(keys.unwrap(), ["a", "\u{202e}txt.exe"]);
    assert!(most < ANSWERS, "{most} bytes");
    for (what, body) in [
        ("a NUL", listing(&["tier/a&#0;b"], "7").into_bytes()),
        ("a control character", listing(&["tier/a\u{1}"], "7").into_bytes()),
        ("invalid UTF-8", b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>tier/\xff</Key></Contents></ListBucketResult>".to_vec()),
        ("a negative size", listing(&["tier/a"], "-1").into_bytes()),
        ("a size of more than 64 bits", listing(&["tier/a"], "99999999999999999999").into_bytes()),
    ] {
        let (keys, _) = listed(&answering(body));
        let code = keys.map_err(|e| e.code());
        assert!(matches!(code, Err(Code::Unavailable | Code::TimedOut)) || code == Ok(vec![]), "{what}: {code:?}");
    }
    let (keys, _) = listed(&answering(listing(&["tier/a"], "9223372036854775807").into_bytes()));
    assert_eq!(keys.unwrap(), ["a"]);
}

#[test]
fn xml_that_grows_nests_or_never_ends_takes_no_more_than_an_answer() {
    let _alone = alone();
    let doubling: String = (1..40).map(|n| format!("<!ENTITY a{n} \"&a{};&a{};\">", n - 1, n - 1)).collect();
    let bodies = [
        format!("<!DOCTYPE x [<!ENTITY a0 \"aaaaaaaa\">{doubling}]>{}", listing(&["tier/&a39;"], "7")),
        "<a>".repeat(1 << 20),
        format!("{}{}", "<a>".repeat(1 << 20), "</a>".repeat(1 << 20)),
        format!("<ListBucketResult>{}</ListBucketResult>", "<Contents>".repeat(500_000)),
        format!("<a {}/>", "x='1' ".repeat(1 << 20)),
        format!("<!--{}", "-".repeat(7 << 20)),
        format!("<Key>{}</Key>", "&amp;".repeat(1 << 20)),
    ];
    for body in bodies {
        let start: String = body.chars().take(20).collect();
        let held = body.len();
        let (keys, most) = listed(&answering(body.into_bytes()));
        assert!(keys.is_err(), "{start}");
        // The SDK's parser keeps some 36 bytes for each byte of an element with nothing but attributes.
        assert!(most < ANSWERS + 48 * held, "{start}: {most} bytes");
    }
    let uri = server(|_, socket| {
        write!(socket, "HTTP/1.1 200 OK\r\n\r\n<ListBucketResult><IsTruncated>true</IsTruncated>")?;
        for_ever(socket, b"<Contents><Key>tier/a</Key></Contents>")
    });
    let (keys, most) = listed(&uri);
    assert!(NO_ANSWER.contains(&keys.unwrap_err().code()));
    assert!(most < ANSWERS, "{most} bytes");
}

#[test]
fn a_listing_without_an_end_ends_with_the_deadline() {
    let _alone = alone();
    let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let uri = server(move |_, socket| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let body = format!(
            "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t{n}</NextContinuationToken>\
             </ListBucketResult>"
        );
        write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    });
    let (keys, most) = listed(&uri);
    assert!(NO_ANSWER.contains(&keys.unwrap_err().code()));
    assert!(most < ANSWERS, "{most} bytes");
}

/// How a store breaks what the trait promises.
#[derive(Clone, Copy, Debug)]
enum Lie {
    LongerObject,
    ShorterObject,
    EndlessObject,
    RangeFromZero,
    RangeBehind,
    RangeBeyondTheEnd,
    MoreBytes,
    FewerBytes,
    NoBytes,
    OtherBytes,
}

const LIES: [Lie; 10] = [
    Lie::LongerObject,
    Lie::ShorterObject,
    Lie::EndlessObject,
    Lie::RangeFromZero,
    Lie::RangeBehind,
    Lie::RangeBeyondTheEnd,
    Lie::MoreBytes,
    Lie::FewerBytes,
    Lie::NoBytes,
    Lie::OtherBytes,
];

/// Lies from its `from`th get on.
struct Liar {
    inner: MemoryStore,
    lie: Lie,
    from: usize,
    gets: std::sync::atomic::AtomicUsize,
}

impl Liar {
    fn told(&self, get: Get) -> Get {
        let Get { object_len, range, tag, body } = get;
        let len = range.end - range.start;
        let (object_len, range, body) = match self.lie {
            Lie::LongerObject => (object_len + 7, range, body),
            Lie::ShorterObject => (object_len - 7, range, body),
            Lie::EndlessObject => (u64::MAX, u64::MAX - len..u64::MAX, body),
            Lie::RangeFromZero => (object_len, 0..len, body),
            Lie::RangeBehind => (object_len, range.start + 1..range.end + 1, body),
            Lie::RangeBeyondTheEnd => (object_len, object_len..object_len + len, body),
            Lie::MoreBytes => {
                (object_len, range, body.chain(stream::iter([Ok(vec![0; 1 << 20].into())])).boxed())
            }
            Lie::FewerBytes => {
                let cut = body.map_ok(|piece| piece.slice(..piece.len() - 1)).boxed();
                (object_len, range, cut)
            }
            Lie::NoBytes => (object_len, range, stream::empty().boxed()),
            Lie::OtherBytes => {
                let other =
                    body.map_ok(|piece| piece.iter().map(|byte| byte ^ 0x20).collect::<Vec<_>>().into());
                (object_len, range, other.boxed())
            }
        };
        Get { object_len, range, tag, body }
    }
}

impl ObjectStore for Liar {
    fn uri(&self) -> &str {
        self.inner.uri()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn put<'a>(&'a self, key: &'a Key, info: &'a UploadInfo, body: Arc<dyn Body>) -> BoxFuture<'a, Commit> {
        self.inner.put(key, info, body)
    }

    fn begin<'a>(&'a self, key: &'a Key, info: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>> {
        self.inner.begin(key, info)
    }

    fn get<'a>(&'a self, key: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>> {
        Box::pin(async move {
            let get = self.inner.get(key, range).await?;
            let n = self.gets.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(if n < self.from { get } else { self.told(get) })
        })
    }

    fn head<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Entry>> {
        self.inner.head(key)
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
        self.inner.delete(keys)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        max: usize,
    ) -> BoxFuture<'a, Result<ListPage>> {
        self.inner.list(prefix, after, max)
    }
}

#[test]
fn a_store_that_breaks_its_promises_gives_errors_and_never_wrong_bytes() {
    let _alone = alone();
    let mut lied = 0;
    for lie in LIES {
        for from in 0..4 {
            for with_token in [false, true] {
                let inner = MemoryStore::private();
                let liar = Liar { inner, lie, from, gets: Default::default() };
                let engine =
                    Engine::new(EngineOptions { threads: 1, cache_size: 0, ..EngineOptions::default() })
                        .unwrap();
                let world = World::on(engine, Tape::new(Arc::new(liar)), options());
                let mut recipe = Recipe::new(Codec::None, Source::Bytes(mixed(200_000)));
                recipe.page_size = 4096;
                let (object, tail) = with_fresh_id(&recipe.attach("a", Codec::None, &mixed(500)));
                world.put_bytes("k", object);
                let token = tail.token(fingerprint(world.store_uri())).encode().to_vec();
                let r = SegmentRef { key: "k".to_owned(), token: with_token.then_some(token) };
                let what = format!("{lie:?} from get {from} on, with a token: {with_token}");
                let (read, most) = bytes_of(|| world.read(&r, 0, 150_000));
                match read {
                    Ok(bytes) => assert!(bytes == mixed(200_000)[..150_000], "{what}: wrong bytes"),
                    Err(e) => {
                        lied += 1;
                        is_of_a_store(&e, &what);
                    }
                }
                let segment = r.clone();
                let attached = world
                    .run(&Call::default(), |reader, op| reader.read_attachment(op, segment, "a".to_owned()));
                match attached {
                    Ok(bytes) => assert!(bytes[..] == mixed(500), "{what}: a wrong attachment"),
                    Err(e) => is_of_a_store(&e, &what),
                }
                match world.run(&Call::default(), |reader, op| reader.verify(op, r)) {
                    Ok(report) => report.first_error.iter().for_each(|e| is_of_a_store(e, &what)),
                    Err(e) => is_of_a_store(&e, &what),
                }
                assert!(most < 12 << 20, "{what}: {most} bytes");
            }
        }
    }
    assert!(lied > 30, "the lies are heard: {lied}");
}

fn is_of_a_store(e: &Error, what: &str) {
    assert!(matches!(e.code(), Code::Corrupt | Code::Unavailable), "{what}: {e}");
}
