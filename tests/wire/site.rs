//! A bucket behind the proxy, and a driver that reaches it only that way.

use super::proxy::{Proxy, script::Script};
use bytes::Bytes;
use seglift::{
    Code, Driver, Error,
    codec::Codec,
    config::Config,
    engine::{Call, Engine, EngineOptions},
    maintain::ReapOptions,
    reader::SegmentRef,
    writer::{Receipt, Segment, Source},
};
use std::{
    ops::Range,
    sync::{Arc, LazyLock},
    thread,
    time::{Duration, Instant},
};

/// An attempt in which no byte moves for so long ends.
pub const PATIENCE: Duration = Duration::from_millis(1500);
/// What an operation may take beyond its deadline, as docs/semantics.md says.
pub const BEYOND: Duration = Duration::from_secs(2);
/// Fits one request.
pub const SMALL: usize = 150_000;
/// Fits no request: with parts of 5 MiB there are two, also when it was compressed, because it cannot be.
pub const LARGE: usize = (5 << 20) + 700_000;

/// Gives the keys of all objects, and of all unfinished uploads.
pub type Look = Arc<dyn Fn() -> (Vec<String>, Vec<String>) + Send + Sync>;

/// A bucket of a server.
#[derive(Clone)]
pub struct Site {
    /// Where the server itself listens.
    pub endpoint: String,
    pub access: String,
    pub secret: String,
    pub bucket: String,
    /// Keys of objects and of unfinished uploads, as the server itself tells them.
    pub look: Look,
}

/// One folder of it, the proxy in front and a driver behind that.
pub struct Behind {
    pub proxy: Proxy,
    pub driver: Driver,
}

impl Site {
    /// Opens a folder through a proxy of its own. `settings` come on top of those that make failures short.
    pub fn behind(&self, folder: &str, script: &str, settings: &[(&str, &str)]) -> Behind {
        let proxy = Proxy::start(&self.endpoint, &self.secret, script.parse::<Script>().unwrap());
        let driver = self.driver(&proxy.endpoint(), folder, settings);
        Behind { proxy, driver }
    }

    /// A driver for a folder at this endpoint.
    pub fn driver(&self, endpoint: &str, folder: &str, settings: &[(&str, &str)]) -> Driver {
        let mut config = Config::new();
        let patience = format!("{}ms", PATIENCE.as_millis());
        let usual = [
            ("s3.endpoint", endpoint),
            ("s3.access.key", &self.access),
            ("s3.secret.key", &self.secret),
            ("s3.timeout.attempt", &patience),
            // A commit is waited for that long.
            ("stall", "5s"),
            ("retry.pause.first", "10ms"),
            ("retry.pause.max", "100ms"),
            ("upload.part.size", "5MiB"),
        ];
        for (key, value) in usual.iter().chain(settings) {
            config.set(key, value).unwrap();
        }
        let options = EngineOptions {
            threads: 2,
            memory_budget: 48 << 20,
            // Every read asks the store.
            cache_size: 0,
            ..EngineOptions::default()
        };
        Driver::open(&Engine::new(options).unwrap(), &format!("s3://{}/{folder}", self.bucket), &config)
            .unwrap()
    }

    /// That a client without the proxy finds nothing, once it has reaped.
    pub fn is_empty_after_reap(&self) {
        let reap = |folder: &str| {
            let all = ReapOptions { older_than: Duration::ZERO, dry_run: false, all_owners: true };
            self.driver(&self.endpoint, folder, &[]).reap(all, &Call::default()).unwrap();
        };
        let started = Instant::now();
        // Times of servers have whole seconds, and only what is older is old.
        loop {
            reap("");
            let (mut keys, uploads) = (self.look)();
            // A sample of the probe stays where its removal was refused, or failed three times: a reap of the store that
            // was asked removes it, and stores are folders here.
            let probes: Vec<_> = keys.extract_if(.., |key| key.contains("/.seglift-probe-")).collect();
            assert_eq!(keys, [""; 0], "objects are left");
            if uploads.is_empty() && probes.is_empty() {
                return;
            }
            probes.iter().filter_map(|key| key.rsplit_once('/')).for_each(|(folder, _)| reap(folder));
            let late = started.elapsed() > Duration::from_secs(30);
            assert!(!late, "uploads or probes are left: {uploads:?} {probes:?}");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Bytes that nothing compresses, known by their number.
pub fn content(number: u64, len: usize) -> Bytes {
    static POOL: LazyLock<Bytes> = LazyLock::new(|| {
        let mut all = vec![0; LARGE + (1 << 20)];
        fastrand::Rng::with_seed(1).fill(&mut all);
        all.into()
    });
    let at = (number as usize * 7919) % (1 << 20);
    POOL.slice(at..at + len)
}

/// Whether the long tests are wanted.
pub fn is_full() -> bool {
    std::env::var("SCALE").is_ok_and(|scale| scale == "full")
}

/// An operation that kept its deadline, or a panic that says it did not.
pub fn timed<T>(what: &str, deadline: Duration, work: impl FnOnce(&Call) -> T) -> T {
    let started = Instant::now();
    let done = work(&Call { deadline: Some(deadline), ..Call::default() });
    let took = started.elapsed();
    // A second more, for a machine that has other things to do.
    assert!(took <= deadline + BEYOND + Duration::from_secs(1), "{what} took {took:?} of {deadline:?}");
    done
}

pub fn offload(
    driver: &Driver,
    key: &str,
    content: &Bytes,
    codec: Codec,
    call: &Call,
) -> Result<Receipt, Error> {
    driver.offload(Segment { codec: Some(codec), ..Segment::new(key, Source::Bytes(content.clone())) }, call)
}

/// The bytes of a range that a read gave.
pub fn read(driver: &Driver, r: &SegmentRef, range: Range<u64>, call: &Call) -> Result<Vec<u8>, Error> {
    let mut dest = vec![0xAA; (range.end - range.start) as usize];
    let n = driver.read_range(r, range.start, &mut dest, call)?;
    dest.truncate(n);
    Ok(dest)
}

/// An error says what a host needs, and no more than it may.
pub fn is_typed(error: &Error, site: &Site) {
    assert_ne!(error.code(), Code::Internal, "{error}");
    assert!(!format!("{error} {error:?}").contains(&site.secret), "a secret in an error");
    assert!(error.message().len() > 20, "an error that says nothing: {error}");
}

/// Runs cases on several threads, since they mostly wait, and fails with all that failed.
pub fn all<T: Sync>(cases: &[T], run: impl Fn(usize, &T) + Sync) {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..12.min(cases.len()) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(n) else { return };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(n, case))) {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
                        failed.lock().unwrap().push(text.unwrap_or_default());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
}
