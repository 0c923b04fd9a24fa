//! What the tests of the promises share: places, drivers with faults, bytes.

use bytes::Bytes;
use seglift::{
    Code, Driver, Result,
    codec::Codec,
    config::Config,
    engine::{Call, Cancel, Engine, EngineOptions},
    reader::SegmentRef,
    writer::{Receipt, Segment, Source},
};
use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

pub const CODECS: [Codec; 2] = [Codec::None, Codec::Zstd];
/// The block size of these drivers: small, so that small segments have many blocks.
pub const BLOCK: usize = 4 << 10;
/// A segment of so many bytes that do not compress takes six parts of 64 KiB and a rest.
pub const MANY_PARTS: usize = 400_000;

/// A place for objects. Any number of drivers can open it, each with faults of its own.
pub enum Place {
    Memory(String),
    Files(tempfile::TempDir),
}

impl Place {
    pub fn memory() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Place::Memory(format!("semantics-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn files() -> Place {
        Place::Files(tempfile::tempdir().unwrap())
    }

    /// One of each kind.
    pub fn each() -> [Place; 2] {
        [Place::memory(), Place::files()]
    }

    /// A driver on an engine of its own, to whose store happens what `script` says.
    pub fn open(&self, script: &str) -> Driver {
        self.open_on(&engine(), script, &[])
    }

    pub fn open_on(&self, engine: &Engine, script: &str, settings: &[(&str, &str)]) -> Driver {
        let uri = match self {
            Place::Memory(name) => format!("memory://{name}"),
            Place::Files(dir) => format!("file://{}", dir.path().display()),
        };
        let uri = if script.is_empty() { uri } else { format!("fault+{uri}?{script}") };
        let mut config = Config::new();
        // Without retries, so that what a script does to a request happens to the operation; `retry.rs` has them on.
        let usual = [
            ("block.size", "4KiB"),
            ("upload.part.size", "64KiB"),
            ("file.fsync", "false"),
            ("retry.attempts", "1"),
            ("breaker.failures", "0"),
        ];
        for (key, value) in usual.iter().chain(settings) {
            config.set(key, value).unwrap();
        }
        Driver::open(engine, &uri, &config).unwrap()
    }

    /// Everything that is there, what uploads have left included.
    pub fn left(&self) -> Vec<String> {
        match self {
            Place::Files(dir) => files(dir.path()),
            Place::Memory(_) => keys(&self.open("")),
        }
    }

    /// Waits until nothing but `keys` is there.
    #[track_caller]
    pub fn holds_only(&self, keys: &[&str]) {
        until(|| self.left() == keys, || format!("{:?} is there", self.left()));
    }
}

fn files(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            all.extend(files(&entry.path()).iter().map(|inner| format!("{name}/{inner}")));
        } else {
            all.push(name);
        }
    }
    all.sort();
    all
}

pub fn engine() -> Engine {
    engine_with(128 << 20)
}

/// An engine of two threads.
pub fn engine_with(memory_budget: u64) -> Engine {
    let cache_size = memory_budget / 4;
    Engine::new(EngineOptions { threads: 2, memory_budget, cache_size, ..EngineOptions::default() }).unwrap()
}

pub fn keys(driver: &Driver) -> Vec<String> {
    let page = driver.list("", None, 1000, &Call::default()).unwrap();
    page.entries.iter().map(|entry| entry.key.to_string()).collect()
}

/// Bytes that do not compress and follow from `seed`.
pub fn noise(seed: u64, len: usize) -> Bytes {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 32) as u8
    };
    (0..len).map(|_| next()).collect::<Vec<_>>().into()
}

pub fn segment(key: &str, bytes: &Bytes, codec: Codec) -> Segment {
    Segment { codec: Some(codec), ..Segment::new(key, Source::Bytes(bytes.clone())) }
}

/// Offloads with the call's defaults.
pub fn offload(driver: &Driver, key: &str, bytes: &Bytes, codec: Codec) -> Result<Receipt> {
    driver.offload(segment(key, bytes, codec), &Call::default())
}

pub fn by_key(key: &str) -> SegmentRef {
    SegmentRef { key: key.to_owned(), token: None }
}

pub fn by_receipt(receipt: &Receipt) -> SegmentRef {
    SegmentRef { key: receipt.key.clone(), token: Some(receipt.token.clone()) }
}

/// `len` bytes from `offset` on, or fewer at the end.
pub fn read(driver: &Driver, r: &SegmentRef, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut dest = vec![0; len];
    let n = driver.read_range(r, offset, &mut dest, &Call::default())?;
    dest.truncate(n);
    Ok(dest)
}

/// The whole segment, as somebody reads it who has nothing in memory.
#[track_caller]
pub fn content(place: &Place, key: &str) -> Vec<u8> {
    let driver = place.open("");
    let len = driver.stat(&by_key(key), &Call::default()).unwrap().segment_bytes();
    read(&driver, &by_key(key), 0, len as usize + 1).unwrap()
}

/// Asserts without printing hundreds of kilobytes.
#[track_caller]
pub fn assert_same(found: &[u8], wanted: &[u8]) {
    let differs = found.iter().zip(wanted).position(|(a, b)| a != b);
    assert_eq!((found.len(), differs), (wanted.len(), None), "length, and the first byte that differs");
}

#[track_caller]
pub fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.expect_err("it succeeded").code()
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn within(deadline: u64) -> Call {
    Call { deadline: Some(ms(deadline)), ..Call::default() }
}

pub fn cancellable() -> (Call, Cancel) {
    let cancel = Cancel::new();
    (Call { cancel: Some(cancel.clone()), ..Call::default() }, cancel)
}

/// Waits for what will come, up to ten seconds.
#[track_caller]
pub fn until(mut come: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let started = Instant::now();
    while !come() {
        assert!(started.elapsed() < Duration::from_secs(10), "it did not come: {}", otherwise());
        thread::sleep(ms(1));
    }
}

/// Waits until an operation of the driver stands in `stage`.
#[track_caller]
pub fn until_stage(driver: &Driver, stage: &str) {
    let status = || driver.engine().status().running;
    until(|| status().iter().any(|op| op.stage == stage), || format!("{stage}: {:?}", status()));
}

/// Runs `call` on a thread of its own, and `meanwhile` as soon as it stands in `stage`.
#[track_caller]
pub fn at_stage<T: Send + 'static>(
    driver: &Driver,
    stage: &str,
    call: impl FnOnce(&Driver) -> T + Send + 'static,
    meanwhile: impl FnOnce(),
) -> T {
    let running = driver.clone();
    let thread = thread::spawn(move || call(&running));
    until_stage(driver, stage);
    meanwhile();
    thread.join().unwrap()
}
