//! What the benchmarks share: a segment such as brokers have, the clock, the table.

use std::{fs, io::Write, path::Path, time::Instant};

pub const MIB: usize = 1 << 20;
const GIB: f64 = (1u64 << 30) as f64;

/// CPU time of this process alone, user and system, in seconds; 10 ms exact.
pub fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("this benchmark reads /proc");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> =
        after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse().ok()).collect();
    ticks.iter().sum::<f64>() / 100.0
}

/// Writes `len` bytes of lines such as brokers carry: they compress about fourfold.
pub fn source(path: &Path, len: usize) {
    let mut out = std::io::BufWriter::new(fs::File::create(path).expect("a file in the temporary folder"));
    let (mut written, mut n, mut state) = (0, 0u64, 1u64);
    while written < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let line = format!(
            "{{\"id\":{n},\"user\":\"u{:06}\",\"amount\":{}.{:02},\"state\":\"{}\",\"trace\":\"{:016x}\"}}\n",
            state >> 44,
            state >> 52,
            (state >> 40) % 100,
            ["new", "paid", "sent", "done"][(state >> 60) as usize % 4],
            state
        );
        let line = &line.as_bytes()[..line.len().min(len - written)];
        out.write_all(line).expect("room for the segment");
        written += line.len();
        n += 1;
    }
}

/// How often each figure is taken: `ROUNDS`, or `preset`.
pub fn rounds(preset: usize) -> usize {
    std::env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(preset)
}

/// Notes what `work` on `bytes` cost: CPU seconds and seconds, each per GiB.
pub fn timed<T>(figures: &mut Vec<(f64, f64)>, bytes: usize, work: impl FnOnce() -> T) -> T {
    let (started, before) = (Instant::now(), cpu());
    let made = work();
    let gib = bytes as f64 / GIB;
    figures.push(((cpu() - before) / gib, started.elapsed().as_secs_f64() / gib));
    made
}

pub fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Prints the medians of what `timed` has noted, a line for each name.
pub fn table(rounds: usize, names: &[&str], figures: Vec<Vec<(f64, f64)>>) {
    println!("{:<44} {:>12} {:>10}", format!("median of {rounds} rounds"), "CPU s/GiB", "s/GiB");
    for (name, figures) in names.iter().zip(figures) {
        let (cpu, wall) = figures.into_iter().unzip();
        println!("{name:<44} {:>12.2} {:>10.2}", median(cpu), median(wall));
    }
}
