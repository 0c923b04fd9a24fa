//! What a GiB costs: `make bench`.
//!
//! Each figure is the median of interleaved rounds (`ROUNDS`, 5), because machines are noisy: CPU seconds per GiB of the
//! whole process are comparable from machine to machine, wall time hardly is. The store is `file://` in a temporary
//! folder without `fsync`, so that the disk does not count.

mod support;

use seglift::{
    Driver,
    codec::Codec,
    config::Config,
    engine::{Call, CallFlags, Engine, EngineOptions},
    reader::SegmentRef,
    writer::{Segment, Source},
};
use std::{path::PathBuf, time::Instant};
use support::{MIB, median, source, table, timed};

const SEGMENT: usize = 256 * MIB;

struct Bench {
    driver: Driver,
    source: PathBuf,
    round: usize,
}

impl Bench {
    fn offload(&self, codec: Codec) -> SegmentRef {
        let key = format!("{}-{}", codec.name(), self.round);
        let source = Source::Path { path: self.source.clone(), offset: 0, len: None };
        let mut segment = Segment::new(key.clone(), source);
        segment.codec = Some(codec);
        let receipt = self.driver.offload(segment, &Call::default()).expect("an offload");
        SegmentRef { key, token: Some(receipt.token) }
    }

    /// Reads all of it, a MiB at a time, as a broker that serves old offsets does.
    fn read(&self, r: &SegmentRef) {
        let mut buf = vec![0; MIB];
        for at in (0..SEGMENT).step_by(MIB) {
            self.driver.read_range(r, at as u64, &mut buf, &Call::default()).expect("a read");
        }
    }

    /// Reads all of it in one call.
    fn read_whole(&self, r: &SegmentRef) {
        let mut buf = vec![0; 64 * MIB];
        let call = Call { flags: CallFlags { no_cache: true, ..CallFlags::default() }, ..Call::default() };
        for at in (0..SEGMENT).step_by(buf.len()) {
            self.driver.read_range(r, at as u64, &mut buf, &call).expect("a read");
        }
    }
}

fn main() {
    let rounds = support::rounds(5);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("segment.log");
    source(&path, SEGMENT);
    let engine = Engine::new(EngineOptions::default()).expect("an engine");
    let mut config = Config::new();
    config.set("file.fsync", "false").expect("a setting");
    let uri = format!("file://{}", dir.path().join("tier").display());
    let mut bench =
        Bench { driver: Driver::open(&engine, &uri, &config).expect("a driver"), source: path, round: 0 };

    let names = [
        "offload, no codec",
        "offload, zstd 1",
        "read 1 MiB at a time, no codec",
        "read 1 MiB at a time, zstd",
        "read 64 MiB at a time, no codec",
        "read 64 MiB at a time, zstd",
    ];
    let mut figures: Vec<Vec<(f64, f64)>> = vec![Vec::new(); names.len()];
    for round in 0..=rounds {
        bench.round = round;
        let mut now: Vec<Vec<(f64, f64)>> = vec![Vec::new(); names.len()];
        let (mut plain, mut zstd) = (None, None);
        timed(&mut now[0], SEGMENT, || plain = Some(bench.offload(Codec::None)));
        timed(&mut now[1], SEGMENT, || zstd = Some(bench.offload(Codec::Zstd)));
        let (Some(plain), Some(zstd)) = (plain, zstd) else { return };
        timed(&mut now[2], SEGMENT, || bench.read(&plain));
        timed(&mut now[3], SEGMENT, || bench.read(&zstd));
        timed(&mut now[4], SEGMENT, || bench.read_whole(&plain));
        timed(&mut now[5], SEGMENT, || bench.read_whole(&zstd));
        let keys = [plain.key, zstd.key];
        bench.driver.delete(&keys, &Call::default()).expect("a delete");
        // The first round warms up.
        if round > 0 {
            figures.iter_mut().zip(now).for_each(|(all, now)| all.extend(now));
        }
    }
    table(rounds, &names, figures);

    bench.round = rounds + 1;
    let r = bench.offload(Codec::Zstd);
    for (len, name) in [(4 << 10, "cached hit of 4 KiB"), (64 << 10, "cached hit of 64 KiB")] {
        let mut buf = vec![0; len];
        let mut laps = Vec::new();
        for _ in 0..rounds + 1 {
            let started = Instant::now();
            for _ in 0..10_000 {
                bench.driver.read_range(&r, 5 << 20, &mut buf, &Call::default()).expect("a hit");
            }
            laps.push(started.elapsed().as_secs_f64() / 10_000.0 * 1e9);
        }
        println!("{name:<44} {:>9.0} ns", median(laps));
    }
}
