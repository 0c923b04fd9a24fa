//! Memory: what an engine takes does not follow from what goes through it.

use seglift::{
    Code, Driver,
    config::Config,
    engine::{Call, CallFlags, Engine, EngineOptions},
    object::Mode,
    reader::SegmentRef,
    writer::{Finish, IfExists, Segment, Source, Writer, WriterOptions},
};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const MIB: u64 = 1 << 20;

/// What `SCALE=full` asks for, and what is quick.
fn scaled(quick: u64, full: u64) -> u64 {
    if std::env::var("SCALE").is_ok_and(|s| s == "full") { full } else { quick }
}

/// Runs the command line and gives the most memory that it ever had resident, in bytes. The kernel keeps that figure
/// until the process is waited for, so looking often enough and once more at the end of its output is exact enough.
fn peak(args: &[&str]) -> u64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_seglift"))
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) * 1024);
        if let Some(done) = child.try_wait().unwrap() {
            assert!(done.success(), "seglift {args:?} failed: {done}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Bytes that do not compress.
fn noise(len: u64) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A sparse file with an island of noise in every 16 MiB.
fn source(path: &Path, len: u64) {
    let file = File::create(path).unwrap();
    file.set_len(len).unwrap();
    let noise = noise(MIB);
    for at in (0..len.saturating_sub(MIB)).step_by(16 << 20) {
        file.write_all_at(&noise, at).unwrap();
    }
}

fn offload_and_read(codec: &str, len: u64) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("segment.log");
    source(&file, len);
    let tier = format!("file://{}", dir.path().join("tier").display());
    let start = peak(&["--version"]);
    let out =
        peak(&["offload", file.to_str().unwrap(), "--to", &tier, "--key", "k", "--codec", codec, "--quiet"]);
    assert!(out < start + 64 * MIB, "{codec}: offloading {len} bytes took {} MiB", out / MIB);
    let cache = Config::new().settings().unwrap().cache_memory_size as u64;
    let back = peak(&["cat", &format!("{tier}/k"), "--quiet"]);
    assert!(back < start + cache + 64 * MIB, "{codec}: reading {len} bytes took {} MiB", back / MIB);
    println!("{codec}: {} MiB: start {}, out {}, back {} MiB", len / MIB, start / MIB, out / MIB, back / MIB);
}

#[test]
fn offloading_and_reading_4_gib_with_zstd_stays_within_64_mib_and_the_cache() {
    offload_and_read("zstd", 4 << 30);
}

#[test]
fn offloading_and_reading_without_a_codec_stays_within_64_mib_and_the_cache() {
    offload_and_read("none", scaled(1 << 30, 4 << 30));
}

fn engine(budget: u64) -> Engine {
    let cache_size = budget / 4;
    Engine::new(EngineOptions {
        memory_budget: budget,
        cache_size,
        lent_limit: budget / 4,
        ..EngineOptions::default()
    })
    .unwrap()
}

fn driver(engine: &Engine) -> Driver {
    Driver::open(engine, "memory:", &Config::new()).unwrap()
}

fn writer(driver: &Driver, n: usize) -> seglift::Result<Writer> {
    let options = WriterOptions {
        key: format!("w/{n}"),
        mode: Mode::Bytes,
        codec: None,
        if_exists: IfExists::Fail,
        max_bytes: Some(1 << 30),
        metadata: Default::default(),
    };
    driver.writer(options, &Call::default(), None)
}

#[test]
fn two_hundred_writers_in_a_small_budget_are_busy_and_never_stuck() {
    let engine = engine(32 * MIB);
    let driver = driver(&engine);
    let (mut open, mut busy) = (Vec::new(), 0);
    for n in 0..200 {
        match writer(&driver, n) {
            Ok(writer) => open.push(writer),
            Err(e) => {
                assert_eq!(e.code(), Code::Busy, "{e}");
                busy += 1;
            }
        }
    }
    assert!(!open.is_empty() && busy > 0, "{} open, {busy} busy", open.len());
    let data = vec![7; 3 << 20];
    for writer in &open {
        assert_eq!(writer.write(&data, &Call::default()).unwrap(), data.len());
    }
    for writer in open.drain(..) {
        assert_eq!(
            writer.commit(Finish::default(), &Call::default()).unwrap().segment_bytes,
            data.len() as u64
        );
    }
    writer(&driver, 1000).expect("what was committed gave its memory back");
}

#[test]
fn offloads_that_compress_leave_a_thread_to_those_that_write() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions { blocking_threads: 2, memory_budget: 256 << 20, ..EngineOptions::default() };
    let engine = Engine::new(options).unwrap();
    let uri = format!("file://{}", dir.path().display());
    let driver = Driver::open(&engine, &uri, &Config::new()).unwrap();
    // What does not compress fills all places between the compressor and the disk.
    let path = dir.path().join("segment");
    fs::write(&path, noise(12 * MIB)).unwrap();
    let call = Call { deadline: Some(Duration::from_secs(20)), ..Call::default() };
    std::thread::scope(|scope| {
        for n in 0..6 {
            let (driver, path, call) = (driver.clone(), path.clone(), call.clone());
            scope.spawn(move || {
                let source = Source::Path { path, offset: 0, len: None };
                driver.offload(Segment::new(format!("z/{n}"), source), &call).expect("an offload");
            });
        }
    });
}

#[test]
fn ten_thousand_references_cost_nothing() {
    let engine = engine(32 * MIB);
    let driver = driver(&engine);
    let refs: Vec<SegmentRef> = (0..10_000)
        .map(|n| {
            let key = format!("r/{n}");
            let receipt = driver.offload(
                Segment::new(key.clone(), Source::Bytes(vec![n as u8; 100].into())),
                &Call::default(),
            );
            SegmentRef { key, token: Some(receipt.unwrap().token) }
        })
        .collect();
    let call = Call { flags: CallFlags { no_cache: true, ..CallFlags::default() }, ..Call::default() };
    let mut byte = [0];
    for (n, r) in refs.iter().enumerate() {
        assert_eq!(driver.read_range(r, 50, &mut byte, &call).unwrap(), 1);
        assert_eq!(byte[0], n as u8);
    }
    // A fetch hands its bytes over before it has given its memory back: on a busy machine the last ones end late.
    let (cache, patience) = (engine.options().cache_size, Instant::now() + Duration::from_secs(30));
    while engine.budget().stats().used > cache {
        let stats = engine.budget().stats();
        assert!(
            Instant::now() < patience,
            "memory is held for references that nobody reads; the cache may have {cache} bytes: {stats:?}"
        );
        std::thread::yield_now();
    }
    assert_eq!(engine.running(), 0);
}
