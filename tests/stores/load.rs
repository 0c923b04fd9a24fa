//! Load: many operations at once, and objects of many gigabytes, within the memory that was promised.
//!
//! Memory is a figure of a whole process, so each test here runs itself once more in a process of its own.

use crate::{
    servers::versitygw,
    sparse::{KEY, SparseServer},
};
use seglift::{
    Driver,
    codec::Codec,
    config::Config,
    engine::{Call, CallFlags, Engine, EngineOptions},
    reader::SegmentRef,
    writer::{Segment, Source},
};
use std::{env, fs::File, os::unix::fs::FileExt, process::Command, sync::Barrier, thread, time::Duration};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What a process may take beside the budget: its code, connections with their buffers, and here a thousand threads with
/// buffers of their own. Measured: 71 MiB with 100 uploads and 1,000 reads at once, and nothing with one of 10 GiB.
const BESIDE: u64 = 96 * MIB;

/// What `SCALE=full` asks for, and what is quick.
fn scaled(quick: u64, full: u64) -> u64 {
    if env::var("SCALE").is_ok_and(|s| s == "full") { full } else { quick }
}

/// The settings that reach a store.
fn reach(endpoint: &str, access_key: &str, secret_key: &str) -> Vec<(&'static str, String)> {
    [("s3.endpoint", endpoint), ("s3.access.key", access_key), ("s3.secret.key", secret_key)]
        .map(|(key, value)| (key, value.to_string()))
        .to_vec()
}

const STORE: &str = "SEGLIFT_TEST_LOAD_STORE";

/// The process that runs a load has only its load to remember, so a store is given by the one that started it.
fn is_parent() -> bool {
    env::var_os(STORE).is_none()
}

/// Runs `load` in a process of its own with a driver for an empty store, and fails if it fails. `test` is the path of
/// the test that calls this; `uri` and `settings` count where [`is_parent`].
fn in_its_own_process(
    test: &str,
    uri: &str,
    settings: Vec<(&str, String)>,
    budget: u64,
    load: impl FnOnce(&Driver),
) {
    if let Ok(given) = env::var(STORE) {
        let mut given = given.lines();
        let uri = given.next().unwrap();
        let mut config = Config::new();
        for line in given {
            let (key, value) = line.split_once('=').unwrap();
            config.set(key, value).unwrap();
        }
        let engine = Engine::new(EngineOptions {
            memory_budget: budget,
            cache_size: budget / 4,
            lent_limit: budget / 4,
            ..EngineOptions::default()
        })
        .unwrap();
        let driver = Driver::open(&engine, uri, &config).unwrap();
        load(&driver);
        let (resident, stats) = (peak_resident(), engine.budget().stats());
        println!("peak: {} MiB resident, {} MiB of the budget", resident / MIB, stats.peak / MIB);
        assert!(stats.peak <= budget, "{} of {budget} bytes were held", stats.peak);
        assert!(
            resident <= budget + BESIDE,
            "{} MiB were resident, the budget is {}",
            resident / MIB,
            budget / MIB
        );
        driver.close(Duration::from_secs(10)).unwrap();
        return;
    }
    let mut given = String::from(uri);
    for (key, value) in settings {
        given += &format!("\n{key}={value}");
    }
    let run = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(STORE, given)
        // Or glibc keeps an arena with free memory for each sixtieth of the thousand threads, 50 MiB in all.
        .env("MALLOC_ARENA_MAX", "2")
        .output()
        .unwrap();
    // Indented, so that nobody counts its one test beside ours.
    for line in String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).lines() {
        println!("    {line}");
    }
    assert!(run.status.success(), "the load failed, see above");
}

fn on_versitygw(test: &str, budget: u64, load: impl FnOnce(&Driver)) {
    if !is_parent() {
        return in_its_own_process(test, "", Vec::new(), budget, load);
    }
    let server = versitygw();
    let bucket = server.bucket();
    let settings = reach(&server.endpoint, &server.access_key, &server.secret_key);
    in_its_own_process(test, &format!("s3://{bucket}/load"), settings, budget, load);
    assert_eq!(server.uploads(&bucket), [""; 0], "uploads are left");
}

/// The most memory that this process ever had resident, in bytes.
fn peak_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * KIB
}

/// What stands at a position of every segment here, so that any range can be checked by itself.
fn byte(seed: u64, at: u64) -> u8 {
    let word = (at / 8 + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (word ^ word >> 29).to_le_bytes()[(at % 8) as usize]
}

fn bytes(seed: u64, from: u64, len: u64) -> Vec<u8> {
    (from..from + len).map(|at| byte(seed, at)).collect()
}

#[test]
fn a_hundred_offloads_and_a_thousand_reads_at_once_stay_within_the_budget() {
    const SEGMENTS: u64 = 8;
    const LEN: u64 = 12 * MIB;
    const READ: u64 = 20 * KIB;
    let test = "load::a_hundred_offloads_and_a_thousand_reads_at_once_stay_within_the_budget";
    on_versitygw(test, 64 * MIB, |driver| {
        let dir = tempfile::tempdir().unwrap();
        let source = |seed: u64| {
            let path = dir.path().join(seed.to_string());
            let file = File::create(&path).unwrap();
            (0..LEN)
                .step_by(MIB as usize)
                .for_each(|at| file.write_all_at(&bytes(seed, at, MIB), at).unwrap());
            path
        };
        let offload = |key: String, seed: u64, path| {
            let codec = [Codec::None, Codec::Zstd][seed as usize % 2];
            Segment { codec: Some(codec), ..Segment::new(key, Source::Path { path, offset: 0, len: None }) }
        };
        let paths: Vec<_> = (0..SEGMENTS).map(source).collect();
        let refs: Vec<SegmentRef> = (0..SEGMENTS)
            .map(|n| {
                let segment = offload(format!("read/{n}"), n, paths[n as usize].clone());
                let receipt = driver.offload(segment, &Call::default()).unwrap();
                SegmentRef { key: receipt.key, token: Some(receipt.token) }
            })
            .collect();

        // All at once, so with time enough for the last one.
        let call = Call { deadline: Some(Duration::from_secs(120)), ..Call::default() };
        let read_call = Call { flags: CallFlags { random: true, ..CallFlags::default() }, ..call.clone() };
        let start = Barrier::new(1100);
        thread::scope(|scope| {
            for n in 0..1100u64 {
                let (call, read_call, start) = (&call, &read_call, &start);
                let (segment, at) = (n % SEGMENTS, n * 7_919_009 % (LEN - READ));
                let (r, path) = (&refs[segment as usize], &paths[segment as usize]);
                let run = move || {
                    start.wait();
                    if n % 11 == 0 {
                        let segment = offload(format!("offload/{n}"), segment, path.clone());
                        let receipt =
                            driver.offload(segment, call).unwrap_or_else(|e| panic!("offload {n}: {e}"));
                        assert_eq!((receipt.segment_bytes, receipt.existed), (LEN, false));
                    } else {
                        // The memory of the one who asks, as a broker's: 20 MiB beside the budget.
                        let mut read = vec![0; READ as usize];
                        let got = driver.read_range(r, at, &mut read, read_call);
                        let got = got.unwrap_or_else(|e| panic!("read {n}: {e}"));
                        assert!(
                            got == read.len() && read == bytes(segment, at, READ),
                            "wrong bytes in read {n}"
                        );
                    }
                };
                // The least that a debug build gets along with, since there are many.
                thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, run).unwrap();
            }
        });
    });
}

/// Offloads a sparse file that has an island of bytes in every GiB and at its end, and reads both ends and the islands.
fn up_and_back(driver: &Driver, len: u64, codec: Codec) {
    const ISLAND: u64 = 64 * KIB;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segment");
    let file = File::create(&path).unwrap();
    file.set_len(len).unwrap();
    let islands: Vec<u64> = (0..len.div_ceil(GIB)).map(|n| n * GIB).chain([len - ISLAND]).collect();
    for &at in &islands {
        file.write_all_at(&bytes(1, at, ISLAND), at).unwrap();
    }
    let call = Call { deadline: Some(Duration::from_secs(600)), ..Call::default() };
    let segment =
        Segment { codec: Some(codec), ..Segment::new("large", Source::Path { path, offset: 0, len: None }) };
    let receipt = driver.offload(segment, &call).unwrap();
    assert_eq!(receipt.segment_bytes, len);
    assert!(receipt.blocks > 10_000, "{} blocks", receipt.blocks);
    let by_key = SegmentRef { key: receipt.key, token: None };
    for at in islands {
        let from = at.saturating_sub(1000);
        let read = driver.read_range_bytes(&by_key, from, at + ISLAND + 1000 - from, &call).unwrap();
        let expected: Vec<u8> = (from..(at + ISLAND + 1000).min(len))
            .map(|place| if (at..at + ISLAND).contains(&place) { byte(1, place) } else { 0 })
            .collect();
        assert!(read[..] == expected, "wrong bytes around {at}");
    }
}

/// The same on a server that keeps no zeros, in the process of the test: the other one has only the client.
fn up_and_back_sparsely(test: &str, len: u64, codec: Codec) {
    let server = is_parent().then(SparseServer::start);
    let mut settings = Vec::new();
    if let Some(server) = &server {
        settings = reach(&server.endpoint, KEY, KEY);
        // It keeps no metadata that could be asked back.
        settings.extend(["s3.conditional.writes", "s3.trailers"].map(|key| (key, "on".to_string())));
    }
    in_its_own_process(test, "s3://sparse/load", settings, 64 * MIB, |driver| {
        up_and_back(driver, len, codec)
    });
}

#[test]
fn a_compressed_segment_of_10_gib_goes_up_and_reads_back_at_both_ends() {
    let test = "load::a_compressed_segment_of_10_gib_goes_up_and_reads_back_at_both_ends";
    up_and_back_sparsely(test, 10 * GIB, Codec::Zstd);
}

#[test]
fn an_object_of_10_gib_goes_up_and_reads_back_at_both_ends() {
    let test = "load::an_object_of_10_gib_goes_up_and_reads_back_at_both_ends";
    up_and_back_sparsely(test, 10 * GIB, Codec::None);
}

// A real server keeps every byte, so that 10 GiB take as much of the disk: they are for SCALE=full.
#[test]
fn an_object_of_more_than_ten_thousand_blocks_goes_to_versitygw_and_reads_back_at_both_ends() {
    let test =
        "load::an_object_of_more_than_ten_thousand_blocks_goes_to_versitygw_and_reads_back_at_both_ends";
    on_versitygw(test, 64 * MIB, |driver| up_and_back(driver, scaled(GIB, 10 * GIB), Codec::None));
}
