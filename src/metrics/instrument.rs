//! Counter, gauge, histogram, and [`Per`], which is one of them for each value of a label.

use super::label::Label;
use std::{
    fmt::{self, Write},
    marker::PhantomData,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Something that a scraper reads.
pub(super) trait Instrument: Default {
    const KIND: &'static str;

    /// The names of its labels, outermost first.
    fn labels() -> Vec<&'static str> {
        Vec::new()
    }

    /// Writes its samples; `labels` is `a="b",c="d"` or empty.
    fn write(&self, out: &mut String, name: &str, labels: &str);

    /// Whether nothing was counted yet.
    fn is_zero(&self) -> bool;
}

/// A number that only grows, until the engine ends.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The number now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Instrument for Counter {
    const KIND: &'static str = "counter";

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        write_sample(out, name, "", labels, self.value());
    }

    fn is_zero(&self) -> bool {
        self.value() == 0
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `n`.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Subtracts `n`.
    pub fn sub(&self, n: i64) {
        self.0.fetch_sub(n, Relaxed);
    }

    /// Replaces the number.
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    /// The number now.
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

impl Instrument for Gauge {
    const KIND: &'static str = "gauge";

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        write_sample(out, name, "", labels, self.value());
    }

    fn is_zero(&self) -> bool {
        self.value() == 0
    }
}

/// The upper bounds of a histogram's buckets: two a decade where only memory answers, three where
/// disks and stores do, and a few up to the longest offload that its default deadline allows.
pub const BUCKETS: [Duration; 19] = [
    Duration::from_micros(10),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Each bucket by itself; the last is for what is beyond all bounds.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    /// 584 years until it overflows.
    sum_ns: AtomicU64,
}

impl Histogram {
    /// Counts one that took so long.
    pub fn observe(&self, took: Duration) {
        let bucket = BUCKETS.partition_point(|bound| *bound < took);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }
}

impl Instrument for Histogram {
    const KIND: &'static str = "histogram";

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        let mut count = 0;
        for (n, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Relaxed);
            let bound = BUCKETS.get(n).map_or("+Inf".to_string(), |bound| seconds(bound.as_nanos()));
            let labels = join(labels, "le", &bound);
            write_sample(out, name, "_bucket", &labels, count);
        }
        let sum = seconds(u128::from(self.sum_ns.load(Relaxed)));
        write_sample(out, name, "_sum", labels, sum);
        write_sample(out, name, "_count", labels, count);
    }

    fn is_zero(&self) -> bool {
        self.count() == 0
    }
}

/// One instrument for each value of the label `L`.
#[derive(Debug)]
pub struct Per<L, I> {
    each: Box<[I]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, I> Per<L, I> {
    /// The instrument for `value`.
    pub fn of(&self, value: L) -> &I {
        &self.each[value.index()]
    }
}

impl<L: Label, I: Default> Default for Per<L, I> {
    fn default() -> Self {
        Per { each: (0..L::COUNT).map(|_| I::default()).collect(), label: PhantomData }
    }
}

impl<L: Label, I: Instrument> Instrument for Per<L, I> {
    const KIND: &'static str = I::KIND;

    fn labels() -> Vec<&'static str> {
        [vec![L::NAME], I::labels()].concat()
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        for (index, instrument) in self.each.iter().enumerate() {
            if L::shown_at_zero(index) || !instrument.is_zero() {
                instrument.write(out, name, &join(labels, L::NAME, L::text(index)));
            }
        }
    }

    fn is_zero(&self) -> bool {
        self.each.iter().all(Instrument::is_zero)
    }
}

/// The lines in front of a metric's samples.
pub(super) fn write_help(out: &mut String, name: &str, kind: &str, help: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn write_sample(out: &mut String, name: &str, suffix: &str, labels: &str, value: impl fmt::Display) {
    let _ = match labels {
        "" => writeln!(out, "{name}{suffix} {value}"),
        labels => writeln!(out, "{name}{suffix}{{{labels}}} {value}"),
    };
}

/// Adds a label. Values come from enums and numbers, so nothing in them needs escaping.
fn join(labels: &str, name: &str, value: &str) -> String {
    let comma = if labels.is_empty() { "" } else { "," };
    format!("{labels}{comma}{name}=\"{value}\"")
}

/// Nanoseconds as seconds, exactly and without trailing zeros: `0.0025`.
pub(super) fn seconds(ns: u128) -> String {
    let text = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        let texts = [0, 1, 2_500_000, 1_000_000_000, 100_000_000_000, 1_000_000_001].map(seconds);
        assert_eq!(texts, ["0", "0.000000001", "0.0025", "1", "100", "1.000000001"]);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket_and_buckets_add_up() {
        let histogram = Histogram::default();
        for bound in BUCKETS {
            histogram.observe(bound);
            histogram.observe(bound + Duration::from_nanos(1));
        }
        let mut out = String::new();
        histogram.write(&mut out, "h", "a=\"b\"");
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines[0], r#"h_bucket{a="b",le="0.00001"} 1"#);
        assert_eq!(lines[1], r#"h_bucket{a="b",le="0.00005"} 3"#);
        assert_eq!(lines[18], r#"h_bucket{a="b",le="600"} 37"#);
        assert_eq!(lines[19], r#"h_bucket{a="b",le="+Inf"} 38"#);
        assert_eq!(lines[21], r#"h_count{a="b"} 38"#);
        assert!(BUCKETS.is_sorted());
    }

    #[test]
    fn a_gauge_may_be_seen_below_zero_and_does_not_wrap() {
        let gauge = Gauge::default();
        gauge.sub(2);
        assert_eq!(gauge.value(), -2);
        gauge.set(5);
        gauge.add(1);
        assert_eq!(gauge.value(), 6);
    }
}
