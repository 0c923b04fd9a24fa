//! What a GiB costs on `s3://`: `make bench`, or `cargo bench --profile release --bench s3 -- 256` for figures of 256 MiB.
//!
//! The server is this program once more, in a process of its own, in memory and on loopback, over plain HTTP. It checks
//! signatures and checksums as a real one does, and none of that counts: CPU seconds are those of the client process
//! alone, the kernel's part for its sockets included. They are comparable from machine to machine. Seconds hardly are,
//! because the server takes its share of the same cores. No network is in any of the figures.
//!
//! "No cache" means that nothing is kept, the segment's index neither: each read asks for the end of the object and for
//! the index before it asks for its bytes. It is the worst a reader can meet.
//!
//! Each figure is the median of interleaved rounds (`ROUNDS`, 3), after one that warms up; a round moves 1 GiB for each
//! figure, as segments of 256 MiB. The server keeps about 1 GiB of memory. `TLS=1` adds two figures over TLS: there the
//! server is versitygw, which `make test-stores` installs.

#[path = "../tests/s3_support/mod.rs"]
mod s3_support;
#[path = "../tests/s3_support/servers.rs"]
mod servers;
mod support;

use s3_support::inprocess::{self, ACCESS, BUCKET, SECRET};
use seglift::{
    Driver,
    codec::Codec,
    config::Config,
    engine::{Call, CallFlags, Engine, EngineOptions},
    reader::SegmentRef,
    writer::{Segment, Source},
};
use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};
use support::{MIB, cpu, median, source, table, timed};

/// Reads of 4 KiB in a round: 20 of them are slower than p99.
const READS: usize = 2000;
const READ: usize = 4 << 10;

/// This program as the server, which lives as long as its standard input.
struct Server {
    process: Child,
    endpoint: String,
}

impl Server {
    fn start() -> Server {
        let mut process = again(&["serve"]).stdin(Stdio::piped()).spawn().expect("this program, once more");
        let mut endpoint = String::new();
        let output = process.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut endpoint).expect("the server's address");
        Server { process, endpoint: endpoint.trim().to_string() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        _ = self.process.wait();
    }
}

fn again(args: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().expect("the path of this program"));
    command.args(args).stdout(Stdio::piped());
    command
}

fn serve() {
    let server = inprocess::Server::start();
    println!("{}", server.endpoint());
    _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// The settings that reach the server, and nothing else, and `more`.
fn config(endpoint: &str, more: &[(&str, &str)]) -> Config {
    let mut config = Config::new();
    let reach = [
        ("s3.endpoint", endpoint),
        ("s3.access.key", ACCESS),
        ("s3.secret.key", SECRET),
        ("s3.proxy", "none"),
    ];
    for (key, value) in reach.iter().chain(more) {
        config.set(key, value).expect("a setting");
    }
    config
}

/// An engine without a cache, or with the one that hosts get.
fn engine(cache: bool) -> Engine {
    let with = EngineOptions::default();
    Engine::new(EngineOptions { cache_size: if cache { with.cache_size } else { 0 }, ..with })
        .expect("an engine")
}

/// The first requests of a process: prints milliseconds of the first and the second read of 4 KiB, or offload.
fn first(what: &str, endpoint: &str) {
    let file = small(READ);
    let uri = format!("s3://{BUCKET}/first");
    let started = Instant::now();
    let driver = Driver::open(&engine(true), &uri, &config(endpoint, &[])).expect("a driver");
    let lap = |n: usize, since: Instant| {
        if what == "read" {
            let r = SegmentRef { key: "kept".into(), token: None };
            let call = Call { flags: CallFlags { random: true, ..CallFlags::default() }, ..Call::default() };
            driver.read_range(&r, (n * MIB) as u64, &mut [0; READ], &call).expect("a read");
        } else {
            offload(&driver, &format!("{}-{n}", std::process::id()), file.path(), Codec::None);
        }
        print!("{} ", since.elapsed().as_secs_f64() * 1e3);
    };
    lap(0, started);
    lap(1, Instant::now());
}

/// A file of `len` bytes.
fn small(len: usize) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    source(file.path(), len);
    file
}

fn offload(driver: &Driver, key: &str, path: &Path, codec: Codec) -> SegmentRef {
    let mut segment = Segment::new(key, Source::Path { path: path.into(), offset: 0, len: None });
    segment.codec = Some(codec);
    let receipt = driver.offload(segment, &Call::default()).expect("an offload");
    SegmentRef { key: key.into(), token: Some(receipt.token) }
}

/// `first` in a process of its own: milliseconds of the first and the second.
fn first_in_its_own_process(what: &str, endpoint: &str) -> (f64, f64) {
    let output = again(&["first", what, endpoint]).output().expect("this program, once more");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut laps = text.split_whitespace().map(|lap| lap.parse().expect("milliseconds"));
    (laps.next().expect("the first"), laps.next().expect("the second"))
}

/// The segment, and how many of them are a figure.
struct Load {
    path: PathBuf,
    segment: usize,
    count: usize,
}

impl Load {
    fn bytes(&self) -> usize {
        self.segment * self.count
    }

    /// Offloads the segment `count` times; of the copies only the last one stays. Removing them is not in the figure.
    fn offload(&self, figures: &mut Vec<(f64, f64)>, driver: &Driver, codec: Codec) -> SegmentRef {
        let (mut last, mut laps) = (None, Vec::new());
        for n in 0..self.count {
            if let Some(SegmentRef { key, .. }) = last {
                remove(driver, key);
            }
            let key = format!("segment-{n}");
            last = timed(&mut laps, self.bytes(), || offload(driver, &key, &self.path, codec)).into();
        }
        figures.push(laps.iter().fold((0.0, 0.0), |sum, lap| (sum.0 + lap.0, sum.1 + lap.1)));
        last.expect("at least one segment")
    }

    /// Reads the segment `count` times, `step` bytes at a time.
    fn read(&self, figures: &mut Vec<(f64, f64)>, driver: &Driver, r: &SegmentRef, step: usize) {
        // Not of zeros: the pages of those come with the first read.
        let mut buf = vec![1; step.min(self.segment)];
        timed(figures, self.bytes(), || {
            for _ in 0..self.count {
                for at in (0..self.segment).step_by(step) {
                    driver.read_range(r, at as u64, &mut buf, &Call::default()).expect("a read");
                }
            }
        });
    }
}

fn remove(driver: &Driver, key: String) {
    driver.delete(&[key], &Call::default()).expect("a delete");
}

/// Requests that the engine has sent to its stores.
fn requests(engine: &Engine) -> f64 {
    let text = engine.metrics_text();
    let counts = text.lines().filter(|line| line.starts_with("seglift_store_requests_total"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Reads of 4 KiB at random places, one after the other: microseconds at p50 and p99, and of CPU for one; requests for
/// one.
fn random_reads(driver: &Driver, r: &SegmentRef, len: usize) -> [f64; 4] {
    let call = Call { flags: CallFlags { random: true, ..CallFlags::default() }, ..Call::default() };
    let mut buf = [0; READ];
    let (before, asked) = (cpu(), requests(driver.engine()));
    let mut laps: Vec<f64> = (0..READS)
        .map(|_| {
            let at = fastrand::usize(..len - READ) as u64;
            let started = Instant::now();
            driver.read_range(r, at, &mut buf, &call).expect("a read");
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    let cost = (cpu() - before) / READS as f64 * 1e6;
    laps.sort_by(f64::total_cmp);
    let asked = (requests(driver.engine()) - asked) / READS as f64;
    [laps[READS / 2], laps[READS * 99 / 100], cost, asked]
}

const NAMES: [&str; 9] = [
    "offload, no codec, CRC in a trailer",
    "offload, no codec, CRC in a header",
    "offload, no codec, payload signed",
    "offload, zstd 1, CRC in a trailer",
    "read 1 MiB at a time, no cache",
    "read 1 MiB at a time, cache and read-ahead",
    "read 64 MiB at a time, no cache",
    "offload, no codec, CRC in a trailer, TLS",
    "read 64 MiB at a time, no cache, TLS",
];

fn bench(size: usize) {
    let rounds = support::rounds(3);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let segment = (size * MIB).min(256 * MIB);
    let load = Load { path: dir.path().join("segment.log"), segment, count: size * MIB / segment };
    source(&load.path, segment);
    conditions(&load);

    let server = Server::start();
    let (plain, cached) = (engine(false), engine(true));
    let open = |engine: &Engine, folder: &str, more: &[(&str, &str)]| {
        let uri = format!("s3://{BUCKET}/{folder}");
        Driver::open(engine, &uri, &config(&server.endpoint, more)).expect("a driver")
    };
    let trailer = open(&plain, "trailer", &[]);
    let header = open(&plain, "header", &[("s3.trailers", "off")]);
    let signed = open(&plain, "signed", &[("s3.payload.signing", "true")]);
    let ahead = open(&cached, "trailer", &[]);
    offload(&open(&plain, "first", &[]), "kept", small(4 * MIB).path(), Codec::None);
    let tls = env::var_os("TLS").is_some().then(|| servers::Server::start("versitygw", true));
    let tls = tls.as_ref().map(|server| {
        let uri = format!("s3://{}/tls", server.bucket());
        Driver::open(&plain, &uri, &server.config()).expect("a driver over TLS")
    });

    let names = &NAMES[..if tls.is_some() { 9 } else { 7 }];
    let mut figures = vec![Vec::new(); names.len()];
    let (mut random, mut reads, mut offloads) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let mut now = vec![Vec::new(); names.len()];
        for (row, driver, codec) in
            [(1, &header, Codec::None), (2, &signed, Codec::None), (3, &trailer, Codec::Zstd)]
        {
            let r = load.offload(&mut now[row], driver, codec);
            remove(driver, r.key);
        }
        let r = load.offload(&mut now[0], &trailer, Codec::None);
        load.read(&mut now[4], &trailer, &r, MIB);
        load.read(&mut now[5], &ahead, &r, MIB);
        load.read(&mut now[6], &trailer, &r, 64 * MIB);
        let these = [&trailer, &ahead].map(|driver| random_reads(driver, &r, segment));
        remove(&trailer, r.key);
        if let Some(tls) = &tls {
            let r = load.offload(&mut now[7], tls, Codec::None);
            load.read(&mut now[8], tls, &r, 64 * MIB);
            remove(tls, r.key);
        }
        let [read, offload] =
            ["read", "offload"].map(|what| first_in_its_own_process(what, &server.endpoint));
        // The first round warms up.
        if round > 0 {
            figures.iter_mut().zip(now).for_each(|(all, now): (&mut Vec<_>, _)| all.extend(now));
            random.push(these);
            reads.push(read);
            offloads.push(offload);
        }
    }
    table(rounds, names, figures);

    println!(
        "\n{:<44} {:>10} {:>10} {:>10} {:>9}",
        "4 KiB at random places, one after the other", "p50", "p99", "CPU", "requests"
    );
    for (row, name) in ["no cache", "cache of 48 MiB, which keeps the index"].into_iter().enumerate() {
        let figure = |n: usize| median(random.iter().map(|these| these[row][n]).collect());
        let [p50, p99, cost, asked] = [0, 1, 2, 3].map(figure);
        println!("{name:<44} {p50:>7.0} µs {p99:>7.0} µs {cost:>7.0} µs {asked:>9.2}");
    }
    println!("\n{:<44} {:>10} {:>10}", "a new process, opening the driver included", "first", "second");
    for (name, laps) in [("read 4 KiB", reads), ("offload 4 KiB, asking what the store can do", offloads)] {
        let (first, second) = laps.into_iter().unzip();
        println!("{name:<44} {:>7.1} ms {:>7.1} ms", median(first), median(second));
    }
}

/// Under what the figures were taken.
fn conditions(load: &Load) {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let busy = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy = busy.split(' ').next().unwrap_or("unknown").to_string();
    println!(
        "s3:// on loopback, plain HTTP, the server in another process; CPU of the client alone.\n\
         A figure moves {} MiB as segments of {} MiB. {cores} cores, load {busy} before the start.\n",
        load.bytes() / MIB,
        load.segment / MIB,
    );
}

fn main() {
    // Cargo adds `--bench`.
    let args: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(),
        ["first", what, endpoint] => first(what, endpoint),
        [] => bench(1024),
        [size] if size.parse().is_ok_and(|size: usize| size > 0) => bench(size.parse().unwrap_or(1024)),
        _ => eprintln!("give the size of a figure in MiB, such as 256; without it, 1024"),
    }
}
