//! Planted secrets are searched for in all that the library and the command say.
//!
//! Every setting that the table calls secret gets a value of its own, and so do the places where people put secrets by
//! mistake. Then things go well and badly in all ways that the store of S3 knows, with servers that repeat whatever they
//! were sent. What came out is searched for each secret as it is, in hexadecimal, percent-encoded, and in base64 at each
//! of its three alignments, so that a secret within something longer is found, too.

mod s3_support;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use s3_support::scripted::{Answer, Request, Scripted};
use seglift::{
    Driver, Error,
    codec::Codec,
    config::{Config, Kind, PROPERTIES},
    engine::{Call, Engine, EngineOptions},
    logging::Level,
    reader::SegmentRef,
    store::doctor::{Access, Question, examine},
    writer::{Segment, Source},
};
use std::{
    error::Error as _,
    io::{BufRead, BufReader},
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

#[path = "s3_support/fake.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod fake;

/// The secrets, each with the setting that it is planted in.
struct Planted(Vec<(String, String)>);

/// What a setting that is secret is given: whatever it must look like, there is `planted` in it. A new setting of that
/// kind takes the last line, and is then part of all that follows.
fn value(key: &str) -> (String, String) {
    match key {
        "s3.proxy" => {
            let password = "Pr0xy-planted-Passw0rd".to_owned();
            (format!("http://someone:{password}@127.0.0.1:1"), password)
        }
        "s3.sse.customer.key" => {
            let key = BASE64_STANDARD.encode("planted:customer:key:of:32:bytes");
            (key.clone(), key)
        }
        key => {
            let text = format!("planted+/{}/Zq8", key.replace('.', "-").to_ascii_uppercase());
            (text.clone(), text)
        }
    }
}

impl Planted {
    fn everywhere() -> Planted {
        let secret = PROPERTIES.iter().filter(|property| property.kind == Kind::Secret);
        let planted: Vec<_> =
            secret.map(|property| (property.key.to_owned(), value(property.key).1)).collect();
        assert!(planted.len() >= 5, "the settings that are secret were not found");
        Planted(planted)
    }

    fn and(mut self, name: &str, secret: &str) -> Planted {
        self.0.push((name.to_owned(), secret.to_owned()));
        self
    }

    /// All secret settings, but `left_out`.
    fn config(&self, left_out: &[&str]) -> Config {
        let mut config = Config::new();
        for property in PROPERTIES.iter().filter(|p| p.kind == Kind::Secret && !left_out.contains(&p.key)) {
            config.set(property.key, &value(property.key).0).unwrap();
        }
        if !left_out.contains(&"s3.sse.customer.key") {
            config.set("s3.sse", "customer").unwrap();
        }
        config
    }

    /// Where something gives a secret away: which, in what form, and what stands before it.
    fn found_in(&self, said: &[u8]) -> Option<String> {
        self.0.iter().find_map(|(name, secret)| {
            forms(secret.as_bytes()).into_iter().find_map(|(form, bytes)| {
                let at = said.windows(bytes.len()).position(|window| window == bytes)?;
                let before = String::from_utf8_lossy(&said[at.saturating_sub(200)..at]).into_owned();
                Some(format!("{name} {form} behind: {before}"))
            })
        })
    }
}

/// The ways to write a secret.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |upper: bool| -> Vec<u8> {
        secret
            .iter()
            .flat_map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }.into_bytes())
            .collect()
    };
    let percent = |upper: bool| -> Vec<u8> {
        let one = |b: &u8| match b {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(b) => vec![*b],
            b if upper => format!("%{b:02X}").into_bytes(),
            b => format!("%{b:02x}").into_bytes(),
        };
        secret.iter().flat_map(one).collect()
    };
    let mut forms = vec![
        ("as it is", secret.to_vec()),
        ("in hexadecimal", hex(false)),
        ("in HEXADECIMAL", hex(true)),
        ("percent-encoded", percent(true)),
        ("percent-encoded in small letters", percent(false)),
    ];
    // Behind 0, 1 or 2 other bytes; what hangs together with neighbours is left out at both ends.
    for before in 0..3 {
        let mut within = vec![0; before];
        within.extend_from_slice(secret);
        let whole = within.len() / 3 * 3;
        let text = BASE64_STANDARD.encode(&within[..whole]);
        let text = &text[if before == 0 { 0 } else { 4 }..];
        forms.push(("in base64", text.as_bytes().to_vec()));
        forms.push(("in base64 for URLs", text.replace('+', "-").replace('/', "_").into_bytes()));
    }
    forms
}

/// What came out, and where from.
#[derive(Default)]
struct Said(Mutex<Vec<(String, Vec<u8>)>>);

impl Said {
    fn that(&self, origin: impl Into<String>, said: impl AsRef<[u8]>) {
        self.0.lock().unwrap().push((origin.into(), said.as_ref().to_vec()));
    }

    /// All that an error has.
    fn error(&self, origin: &str, error: &Error) {
        let mut all = format!(
            "{error} {error:?} {error:#?} {} {} {} {} {}",
            error.code(),
            error.message(),
            error.service_code(),
            error.request_id(),
            error.extended_request_id()
        );
        let mut source = error.source();
        while let Some(cause) = source {
            all += &format!(" {cause} {cause:?}");
            source = cause.source();
        }
        self.that(origin, all);
    }

    /// An outcome, good or bad.
    fn result<T: std::fmt::Debug>(&self, origin: &str, result: Result<T, Error>) {
        match result {
            Ok(done) => self.that(origin, format!("{done:?}")),
            Err(error) => self.error(origin, &error),
        }
    }

    /// All that an engine has to tell, through its socket, too.
    fn engine(&self, origin: &str, engine: &Engine) {
        let socket = engine.options().status_socket.as_ref().unwrap();
        self.that(
            format!("{origin}: status"),
            format!("{} {:?} {engine:?}", engine.status_json(), engine.status()),
        );
        self.that(format!("{origin}: metrics"), engine.metrics_text());
        let mut line = String::new();
        BufReader::new(UnixStream::connect(socket).unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("\"failed\""), "{line}");
        self.that(format!("{origin}: status socket"), line);
        while let Some(line) = engine.log().poll() {
            self.that(format!("{origin}: log"), format!("{line} {line:?}"));
        }
    }

    /// Nothing of it gives a secret away; it is not nothing.
    #[track_caller]
    fn is_clean_of(&self, planted: &Planted) {
        let said = self.0.lock().unwrap();
        assert!(!said.is_empty());
        for (origin, text) in said.iter() {
            assert!(!text.is_empty(), "{origin}: nothing was said");
            if let Some(found) = planted.found_in(text) {
                panic!("{origin} shows {found}");
            }
        }
    }

    /// That what was looked for was there to be found.
    fn contains(&self, word: &str) -> bool {
        self.0.lock().unwrap().iter().any(|(_, text)| String::from_utf8_lossy(text).contains(word))
    }
}

/// An engine that says as much as it can.
fn engine(folder: &Path) -> Engine {
    // One that was dropped may live on for a while, with what it still has to end.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let options = EngineOptions {
        threads: 2,
        log_level: Some(Level::Debug),
        status_socket: Some(folder.join(format!("status-{}", NEXT.fetch_add(1, Relaxed)))),
        ..EngineOptions::default()
    };
    Engine::new(options).unwrap()
}

/// Asks for everything that a driver can do.
fn ask_for_everything(driver: &Driver, said: &Said, origin: &str) {
    let call = Call { deadline: Some(Duration::from_secs(1)), ..Call::default() };
    let segment = |key: &str, len: usize| {
        let bytes: Bytes = (0..len).map(|i| (i % 251) as u8).collect();
        Segment { codec: Some(Codec::None), ..Segment::new(key, Source::Bytes(bytes)) }
    };
    let at = |what: &str| format!("{origin}: {what}");
    let small = driver.offload(segment("small", 999), &call);
    if let Ok(receipt) = &small {
        said.that(at("token"), &receipt.token);
    }
    said.result(&at("put"), small);
    said.result(&at("upload"), driver.offload(segment("large", 6 << 20), &call));
    let small = SegmentRef { key: "small".to_owned(), token: None };
    let mut dest = [0; 99];
    said.result(&at("read"), driver.read_range(&small, 0, &mut dest, &call));
    said.result(&at("stat"), driver.stat(&small, &call));
    said.result(&at("verify"), driver.verify(&small, &call));
    said.result(&at("object"), driver.object_range("small", 0, 99, &call));
    said.result(&at("list"), driver.list("", None, 10, &call));
    for answer in driver.delete(&["small".to_owned(), "large".to_owned()], &call).unwrap_or_default() {
        said.result(&at("delete"), answer);
    }
}

/// All headers that came, as a debugging server shows them, with the begin of each value first: messages are cut.
fn echo(request: &Request) -> String {
    let names = [
        "x-amz-security-token",
        "x-amz-server-side-encryption-customer-key",
        "proxy-authorization",
        "authorization",
    ];
    names.iter().map(|name| format!("{name}: {} ", request.header(name))).collect()
}

/// Servers that repeat what they were sent, each in another way.
fn parrots() -> Vec<(&'static str, Scripted)> {
    let parrot = |name: &'static str, answer: fn(&str) -> Answer| {
        (name, Scripted::start(move |_, request| answer(&echo(request))))
    };
    vec![
        parrot("400 in its message", |said| Answer::error(400, "InvalidRequest", said)),
        parrot("403 in its message", |said| Answer::error(403, "SignatureDoesNotMatch", said)),
        parrot("403 in its code", |said| Answer::error(403, said, "no")),
        parrot("403 of an expired token", |said| Answer::error(403, "ExpiredToken", said)),
        parrot("404 in its ids", |said| {
            let answer = Answer::new(404).header("x-amz-request-id", said).header("x-amz-id-2", said);
            answer.body("<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")
        }),
        parrot("301 to somewhere", |said| {
            let told = Answer::error(301, "PermanentRedirect", said);
            told.header("Location", &format!("http://x/{said}")).header("x-amz-bucket-region", said)
        }),
        parrot("412 in other elements", |said| {
            Answer::new(412).body(format!("<Error><Code>X</Code><StringToSign>{said}</StringToSign></Error>"))
        }),
        parrot("500 as a page", |said| Answer::new(500).body(format!("<html>{said}</html>"))),
        parrot("500 as a page that begins with it", |said| {
            Answer::new(500).body(&said[said.find(' ').map_or(0, |at| at + 1)..])
        }),
        parrot("503 with a time", |said| Answer::error(503, "SlowDown", said).header("Retry-After", "1")),
        parrot("407 of a proxy", |said| Answer::new(407).header("Proxy-Authenticate", said).body(said)),
        parrot("200 with an error", |said| {
            Answer::new(200)
                .body(format!("<Error><Code>InternalError</Code><Message>{said}</Message></Error>"))
        }),
        parrot("206 of a wrong range", |said| {
            Answer::new(206).header("Content-Range", said).header("ETag", said).body(said)
        }),
        parrot("a broken answer", |said| Answer::new(200).header("Server", said).body(said).closes_after(9)),
        parrot("no HTTP header at all", |said| Answer::new(999).header("Transfer-Encoding", said).body(said)),
    ]
}

#[test]
fn a_server_that_repeats_what_it_was_sent_gives_no_secret_away() {
    let folder = tempfile::tempdir().unwrap();
    let planted = Planted::everywhere();
    let said = Said::default();
    let mut sent = String::new();
    for (name, server) in parrots() {
        let engine = engine(folder.path());
        // The proxy is where nobody listens; here it is the server itself that is talked to.
        let mut config = planted.config(&["s3.proxy"]);
        let endpoint = format!("http://{}", server.host());
        for (key, value) in [
            ("s3.endpoint", endpoint.as_str()),
            ("s3.timeout.attempt", "500ms"),
            ("retry.attempts", "2"),
            ("retry.pause.first", "1ms"),
            ("breaker.failures", "3"),
            ("breaker.time", "0s"),
            ("s3.trailers", "on"),
            ("s3.conditional.writes", "on"),
        ] {
            config.set(key, value).unwrap();
        }
        let driver = Driver::open(&engine, "s3://bucket/tier", &config).unwrap();
        ask_for_everything(&driver, &said, name);
        said.engine(name, &engine);
        said.that(name, driver.uri());
        sent += &server.seen().iter().map(echo).collect::<String>();
    }
    // They had something to repeat, and were quoted.
    for word in [value("s3.session.token").1, value("s3.sse.customer.key").1, value("s3.access.key").1] {
        assert!(sent.contains(&word), "{word} was not sent");
    }
    assert!(said.contains("(hidden)"), "no server was quoted");
    said.is_clean_of(&planted);
}

#[test]
fn a_doctor_and_a_proxy_that_repeat_what_they_were_sent_give_no_secret_away() {
    let folder = tempfile::tempdir().unwrap();
    let planted = Planted::everywhere();
    let said = Said::default();
    let proxy = Scripted::start(|_, request| {
        Answer::error(407, "Proxy", &echo(request)).header("Server", &echo(request))
    });
    let url = format!("http://someone:{}@{}", value("s3.proxy").1, proxy.host());
    for endpoint in ["http://store.invalid:1", "https://store.invalid", "http://127.0.0.1:1"] {
        let engine = engine(folder.path());
        let mut config = planted.config(&[]);
        config.set("s3.endpoint", endpoint).unwrap();
        config.set("s3.proxy", &url).unwrap();
        config.set("retry.attempts", "1").unwrap();
        let driver = Driver::open(&engine, "s3://bucket/tier", &config).unwrap();
        ask_for_everything(&driver, &said, endpoint);
        said.engine(endpoint, &engine);
    }
    let sent: String = proxy.seen().iter().map(echo).collect();
    assert!(sent.contains(&BASE64_STANDARD.encode(format!("someone:{}", value("s3.proxy").1))), "{sent}");

    for (name, server) in parrots() {
        let engine = engine(folder.path());
        let mut config = planted.config(&["s3.proxy"]);
        config.set("s3.endpoint", &format!("http://{}", server.host())).unwrap();
        config.set("s3.timeout.attempt", "300ms").unwrap();
        let target = seglift::driver::Target::new(&engine, "s3://bucket/tier", &config).unwrap();
        let question = Question { access: Access::Admin, key: None };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut report = |finding| said.that(format!("doctor, {name}"), format!("{finding:?}"));
        let (uri, options) = (target.uri.clone(), target.options.clone());
        let stop = async { tokio::time::sleep(Duration::from_secs(2)).await };
        let ended = runtime.block_on(examine(&uri, &options, &question, stop, &mut report));
        said.result(&format!("doctor, {name}, end"), ended);
    }
    said.is_clean_of(&planted);
}

#[test]
fn success_leaves_no_secret_in_receipts_tokens_objects_and_their_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let planted = Planted::everywhere();
    let said = Said::default();
    let service = fake::Fake::start(fake::Manners::default());
    let engine = engine(folder.path());
    let mut config = planted.config(&["s3.proxy"]);
    config.set("s3.endpoint", &service.endpoint()).unwrap();
    let driver = Driver::open(&engine, "s3://bucket/tier", &config).unwrap();
    ask_for_everything(&driver, &said, "success");
    // What the store keeps: bodies and metadata. The other headers are what it must be told to do so.
    for kind in [fake::Kind::Put, fake::Kind::Begin, fake::Kind::Part, fake::Kind::Commit] {
        for request in service.requests(kind) {
            said.that(format!("{kind:?}"), format!("{} {}", request.path, request.query));
            said.that(format!("{kind:?} body"), [&request.body[..], b"."].concat());
            for name in ["x-amz-meta-owner", "x-amz-meta-uuid", "x-amz-tagging", "user-agent"] {
                said.that(format!("{kind:?} {name}"), format!("{name}: {}", request.header(name)));
            }
        }
    }
    said.that("settings", format!("{:?} {:?}", driver.settings(), config.settings()));
    driver.close(Duration::from_secs(5)).unwrap();
    said.that("status", engine.status_json() + &engine.metrics_text());
    while let Some(line) = engine.log().poll() {
        said.that("log", format!("{line} {line:?}"));
    }
    assert!(said.contains("Receipt"), "nothing succeeded");
    said.is_clean_of(&planted);
}

#[test]
fn a_configuration_shows_no_secret_whoever_gives_it_and_however_wrong_it_is() {
    let planted = Planted::everywhere().and("a password in a URI", "Uri-planted-Passw0rd");
    let said = Said::default();
    let folder = tempfile::tempdir().unwrap();
    let dump = |config: &Config| {
        format!(
            "{config:?} {config:#?} {:?} {:?} {:?}",
            config.describe(),
            config.ignored(),
            config.settings()
        )
    };
    for property in PROPERTIES.iter().filter(|property| property.kind == Kind::Secret) {
        let (value, secret) = value(property.key);
        let names: Vec<&str> =
            std::iter::once(property.key).chain(property.aliases.iter().map(|a| a.name)).collect();
        for name in names {
            let mut config = Config::new();
            said.result(name, config.set(name, &value));
            said.that(name, dump(&config));
            // Alone, in the wrong company, with a value that cannot be, under a name that nobody knows.
            for (key, wrong) in
                [("s3.anonymous", "true"), ("s3.profile", "x"), ("s3.sse", "kms"), ("s3.no.proxy", "x")]
            {
                let mut config = config.clone();
                said.result(name, config.set(key, wrong));
                said.result(name, config.settings());
            }
            let mut config = Config::new();
            said.result(name, config.set(name, &format!("{secret}\u{7}\n x")));
            said.result(name, config.settings());
            said.result(name, config.set(&format!("{name}x"), &value));
            said.result(name, config.set(&format!("{name}={value}"), ""));
            for (file, text) in [
                ("broker.conf", format!("{name}={value}\n{name}x={value}\n")),
                ("good.toml", format!("\"{name}\" = '{value}'\n")),
                ("open.toml", format!("\"{name}\" = '{value}\n")),
                ("bare.toml", format!("{value}\n")),
                ("list.toml", format!("\"{name}\" = ['{value}']\n")),
            ] {
                let path = folder.path().join(file);
                std::fs::write(&path, text).unwrap();
                let mut config = Config::new();
                said.result(file, config.load(&path));
                said.that(file, dump(&config));
            }
        }
        for variable in
            std::iter::once(property.variable()).chain(property.variables.iter().map(|a| a.name.to_owned()))
        {
            let mut config = Config::new();
            said.result(&variable, config.load_env([(variable.clone(), value.clone())]));
            said.that(variable, dump(&config));
        }
    }
    let engine = engine(folder.path());
    for uri in [
        "s3://AKIA:PASSWORD@bucket/x",
        "s3://bucket?endpoint=http://u:PASSWORD@h",
        "s3://bucket?PASSWORD=1",
        "file://u:PASSWORD@host/x",
        "memory://u:PASSWORD@x",
        "gs://u:PASSWORD@x",
        "PASSWORD",
        "s3://bucket?secret=PASSWORD",
    ] {
        let uri = uri.replace("PASSWORD", "Uri-planted-Passw0rd");
        said.result("uri", Driver::open(&engine, &uri, &Config::new()).map(|driver| driver.uri().to_owned()));
        // What only looks like a name is shown as one.
        for key in ["store.previous", "s3.endpoint"].into_iter().filter(|_| uri.contains('@')) {
            let mut config = Config::new();
            said.result(key, config.set(key, &uri));
            said.result(key, config.settings());
        }
    }
    said.that("status", engine.status_json() + &engine.metrics_text());
    said.is_clean_of(&planted);
}

#[test]
fn a_panic_and_a_child_of_the_command_line_show_no_secret() {
    let planted = Planted::everywhere();
    let said = Said::default();
    let folder = tempfile::tempdir().unwrap();
    #[cfg(feature = "testing")]
    {
        let engine = engine(folder.path());
        let driver = Driver::open(
            &engine,
            "fault+memory://planted?put=1+:panic&begin=1+:panic&get=1+:panic&list=1+:panic",
            &planted.config(&[]),
        )
        .unwrap();
        ask_for_everything(&driver, &said, "panic");
        assert!(said.contains("a panic"), "nothing panicked");
        said.engine("panic", &engine);
    }
    let server = Scripted::start(|_, request| Answer::error(403, "InvalidAccessKeyId", &echo(request)));
    let source = folder.path().join("segment");
    std::fs::write(&source, b"x".repeat(999)).unwrap();
    let source = source.to_str().unwrap();
    let uri = "s3://bucket/tier";
    let commands: [&[&str]; 9] = [
        &["offload", source, "--to", uri, "--key", "k"],
        &["cat", uri, "k"],
        &["ls", uri],
        &["stat", uri, "k"],
        &["verify", uri, "k"],
        &["rm", uri, "k"],
        &["reap", uri, "--older-than", "1d"],
        &["doctor", uri],
        &["config"],
    ];
    for command in commands {
        for more in [&[][..], &["--json"]] {
            let mut run = Command::new(env!("CARGO_BIN_EXE_seglift"));
            run.env_clear().args(command).args(more).stdin(Stdio::null());
            run.env("AWS_ENDPOINT_URL", format!("http://{}", server.host()));
            run.env("HTTPS_PROXY", &value("s3.proxy").0);
            for property in PROPERTIES.iter().filter(|p| p.kind == Kind::Secret && p.key != "s3.proxy") {
                run.env(property.variable(), value(property.key).0);
            }
            run.env("SEGLIFT_S3_SSE", "customer")
                .env("SEGLIFT_RETRY_ATTEMPTS", "1")
                .env("RUST_BACKTRACE", "full");
            let output = run.output().unwrap();
            said.that(command[0], [&b"out: "[..], &output.stdout, b" err: ", &output.stderr].concat());
        }
    }
    assert!(!server.seen().is_empty() && said.contains("(hidden)"));
    said.is_clean_of(&planted);
}

#[test]
fn the_search_finds_a_secret_in_each_of_its_forms() {
    let planted = Planted(vec![("x".to_owned(), "hunter2+/hunter3".to_owned())]);
    for text in [
        "a hunter2+/hunter3 b".to_owned(),
        "68756e746572322b2f68756e74657233".to_owned(),
        "hunter2%2B%2Fhunter3".to_owned(),
        BASE64_STANDARD.encode("hunter2+/hunter3"),
        BASE64_STANDARD.encode("u:hunter2+/hunter3@"),
        BASE64_STANDARD.encode("user:hunter2+/hunter3@"),
    ] {
        assert!(planted.found_in(text.as_bytes()).is_some(), "{text}");
    }
    assert_eq!(planted.found_in(b"hunter2, hunter3"), None);
}
