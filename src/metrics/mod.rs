//! What an engine counts, and how a scraper reads it.
//!
//! **Purpose.** One table says each metric's name, labels, unit, stability and meaning; the struct
//! [`Metrics`], the Prometheus text and `docs/metrics.md` follow from it. Every engine has its own.
//!
//! **Invariant.** Counting is one relaxed atomic addition to a place known at compile time: no
//! lock, no lookup, no allocation. A label is an enum, so that no host's key or error text can
//! become a time series. A histogram's count is the sum of its buckets, even while others observe.
//! Values read together are not a snapshot; each is right by itself.
//!
//! **Trade-off.** The text is written here, a page of code, and not by a crate, because hosts paste
//! it into their own page. `prometheus-client` speaks OpenMetrics only, whose end marker and suffix
//! rules break a page of the classic format, and locks its histograms; `prometheus` looks labels up
//! in a locked map and brings a second `parking_lot`. Both would still need this table.

mod instrument;
mod label;

pub use instrument::{BUCKETS, Counter, Gauge, Histogram, Per};
pub use label::{BreakerState, CacheKind, Direction, Form, Label, Op, Outcome, Request, Work};

use instrument::{Instrument, write_help};
use std::{fmt::Write, time::Duration};

/// What a change of the metric would be to those who built on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Kept as it is through a major version.
    Stable,
    /// May change with a minor version, and the change log says so.
    Experimental,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// The name as scraped.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it counts in.
    pub unit: &'static str,
    /// Its labels, outermost first.
    pub labels: fn() -> Vec<&'static str>,
    /// Who may rely on it.
    pub stability: Stability,
    /// What it means, by the lines of its documentation.
    pub help_lines: &'static [&'static str],
}

impl Description {
    /// What it means, on one line.
    pub fn help(&self) -> String {
        self.help_lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $type:ty = $name:literal, $unit:literal, $stability:ident;)+) => {
        /// Every metric, in the order in which it is written.
        pub const DESCRIPTIONS: &[Description] = &[$(Description {
            name: $name,
            kind: <$type as Instrument>::KIND,
            unit: $unit,
            labels: <$type as Instrument>::labels,
            stability: Stability::$stability,
            help_lines: &[$($help),+],
        }),+];

        /// The metrics of one engine.
        #[derive(Debug, Default)]
        pub struct Metrics { $($(#[doc = $help])+ pub $field: $type,)+ }

        impl Metrics {
            fn write_to(&self, out: &mut String) {
                let mut descriptions = DESCRIPTIONS.iter();
                $(if let Some(description) = descriptions.next() {
                    write_help(out, $name, description.kind, &description.help());
                    self.$field.write(out, $name, "");
                })+
            }
        }
    };
}

metrics! {
    /// Operations that ended, by how.
    operations: Per<Op, Per<Outcome, Counter>> = "seglift_operations_total", "operations", Stable;
    /// Operations that were accepted and have not ended.
    operations_in_flight: Per<Op, Gauge> = "seglift_operations_in_flight", "operations", Stable;
    /// Time of an operation from its acceptance to its last byte, queue and retries included.
    operation_seconds: Per<Op, Histogram> = "seglift_operation_duration_seconds", "seconds", Stable;
    /// Time that an operation waited before it began.
    queue_seconds: Per<Op, Histogram> = "seglift_operation_queue_seconds", "seconds", Stable;
    /// Bytes of segments that operations moved: `raw` as the host sees them, `stored` as objects
    /// hold them.
    segment_bytes: Per<Work, Per<Form, Counter>> = "seglift_segment_bytes_total", "bytes", Stable;

    /// Requests to stores that ended, each attempt by itself.
    store_requests: Per<Request, Per<Outcome, Counter>> = "seglift_store_requests_total", "requests", Stable;
    /// Time of a request to a store to its last byte.
    store_request_seconds: Per<Request, Histogram> = "seglift_store_request_duration_seconds", "seconds", Stable;
    /// Payload bytes that went to and came from stores, those of failed attempts included.
    store_bytes: Per<Direction, Counter> = "seglift_store_bytes_total", "bytes", Stable;
    /// Time that a request waited for its place among the reads (`down`) or writes (`up`) of its store.
    store_queue_seconds: Per<Direction, Histogram> = "seglift_store_queue_seconds", "seconds", Stable;
    /// Requests that wait for such a place now.
    store_queue: Per<Direction, Gauge> = "seglift_store_queue_length", "requests", Stable;
    /// Requests to stores that were sent again after a failure; each is in the requests as well.
    store_retries: Per<Request, Counter> = "seglift_store_retries_total", "requests", Stable;
    /// Uploads that a store had lost, so that the whole of them was begun again.
    upload_restarts: Counter = "seglift_upload_restarts_total", "uploads", Stable;
    /// Bytes that were not sent because a store had them from an earlier attempt at the same offload.
    upload_resumed_bytes: Counter = "seglift_upload_resumed_bytes_total", "bytes", Stable;
    /// Stores whose breaker is not closed: they have been failing, and requests are held back.
    breakers_open: Gauge = "seglift_store_breakers_open", "stores", Stable;
    /// Changes of a store's breaker, by what it changed to.
    breaker_transitions: Per<BreakerState, Counter> = "seglift_store_breaker_transitions_total", "changes", Stable;

    /// Blocks and index pages that a cache had.
    cache_hits: Per<CacheKind, Counter> = "seglift_cache_hits_total", "blocks", Stable;
    /// Blocks and index pages that a cache did not have.
    cache_misses: Per<CacheKind, Counter> = "seglift_cache_misses_total", "blocks", Stable;
    /// Blocks and index pages that a cache gave up for others or for the budget.
    cache_evictions: Per<CacheKind, Counter> = "seglift_cache_evictions_total", "blocks", Stable;
    /// Bytes that a cache holds.
    cache_bytes: Per<CacheKind, Gauge> = "seglift_cache_bytes", "bytes", Stable;
    /// Reads that waited for a fetch that another read had begun.
    single_flight_joins: Counter = "seglift_single_flight_joins_total", "reads", Stable;

    /// Bytes of the memory budget in use.
    budget_used_bytes: Gauge = "seglift_budget_used_bytes", "bytes", Stable;
    /// The memory budget.
    budget_limit_bytes: Gauge = "seglift_budget_limit_bytes", "bytes", Stable;
    /// Who waits for the memory budget now.
    budget_waiters: Gauge = "seglift_budget_waiters", "waiters", Stable;
    /// Time that reservations waited for the memory budget.
    budget_wait_seconds: Histogram = "seglift_budget_wait_seconds", "seconds", Stable;
    /// Bytes of zero-copy results that hosts hold.
    lent_bytes: Gauge = "seglift_lent_bytes", "bytes", Stable;

    /// Checks of blocks, pages and tails that failed.
    checksum_failures: Counter = "seglift_checksum_failures_total", "failures", Stable;
    /// Blocks that failed a check and were fetched once more.
    corrupt_refetches: Counter = "seglift_corrupt_refetches_total", "blocks", Stable;

    /// Abandoned uploads that reap aborted.
    reaped_uploads: Counter = "seglift_reaped_uploads_total", "uploads", Stable;
    /// Bytes of the abandoned uploads that reap aborted.
    reaped_bytes: Counter = "seglift_reaped_bytes_total", "bytes", Stable;
    /// Objects that sweep deleted.
    swept_objects: Counter = "seglift_swept_objects_total", "objects", Stable;
    /// Bytes of the objects that sweep deleted.
    swept_bytes: Counter = "seglift_swept_bytes_total", "bytes", Stable;

    /// Log lines that nobody drained in time.
    log_lines_dropped: Counter = "seglift_log_lines_dropped_total", "lines", Stable;
    /// Open drivers.
    open_drivers: Gauge = "seglift_open_drivers", "drivers", Stable;
    /// Open writers.
    open_writers: Gauge = "seglift_open_writers", "writers", Stable;
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an operation in flight. Each is ended once, by [`Metrics::operation_ended`].
    pub fn operation_accepted(&self, op: Op) {
        self.operations_in_flight.of(op).add(1);
    }

    /// Counts the end of an accepted operation and the time since it was accepted.
    pub fn operation_ended(&self, op: Op, outcome: Outcome, took: Duration) {
        self.operations_in_flight.of(op).sub(1);
        self.operations.of(op).of(outcome).add(1);
        self.operation_seconds.of(op).observe(took);
    }

    /// Counts the end of one request to a store and its time.
    pub fn store_request_ended(&self, request: Request, outcome: Outcome, took: Duration) {
        self.store_requests.of(request).of(outcome).add(1);
        self.store_request_seconds.of(request).observe(took);
    }

    /// All metrics in Prometheus' classic text format (0.0.4), ready to stand among others on a
    /// host's own page. Error outcomes that never happened are left out, everything else is there
    /// from the start.
    pub fn to_prometheus(&self) -> String {
        // A page has about 48 KiB, most of it buckets.
        let mut out = String::with_capacity(64 << 10);
        self.write_to(&mut out);
        out
    }
}

/// The text of `docs/metrics.md`.
pub fn document() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         <!-- Generated from the metrics table; `SEGLIFT_BLESS=1 cargo test --release --test docs_generated` writes it. -->\n\n\
         `seglift_metrics` returns them in Prometheus' text format 0.0.4, for a host to put on its own page. Each engine\n\
         counts for itself. Times run to the last byte, not to the first. *Stable* metrics keep name, labels and meaning\n\
         through a major version.\n\n\
         | name | type | unit | labels | stability | meaning |\n|---|---|---|---|---|---|\n",
    );
    for metric in DESCRIPTIONS {
        let labels: Vec<_> = (metric.labels)().iter().map(|label| format!("`{label}`")).collect();
        let stability = match metric.stability {
            Stability::Stable => "stable",
            Stability::Experimental => "experimental",
        };
        let (name, kind, unit, labels, help) =
            (metric.name, metric.kind, metric.unit, labels.join(", "), metric.help());
        let _ = writeln!(out, "| `{name}` | {kind} | {unit} | {labels} | {stability} | {help} |");
    }
    out.push_str("\n## Labels\n\n| label | values |\n|---|---|\n");
    for (name, values) in label::all() {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        let _ = writeln!(out, "| `{name}` | {} |", values.join(", "));
    }
    let bounds: Vec<_> = BUCKETS.iter().map(|bound| instrument::seconds(bound.as_nanos())).collect();
    let _ = write!(
        out,
        "\nOf `result`, `OK` is always there and an error from its first occurrence on.\n\n\
         ## Buckets\n\nEvery histogram has the upper bounds {} and `+Inf` seconds.\n",
        bounds.join(", ")
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;
    use std::collections::{HashMap, HashSet};

    fn samples(metrics: &Metrics) -> HashMap<String, f64> {
        let text = metrics.to_prometheus();
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_string(), value.parse().unwrap())
        });
        samples.collect()
    }

    #[test]
    fn names_follow_the_conventions_and_stand_once() {
        let mut seen = HashSet::new();
        for metric in DESCRIPTIONS {
            let name = metric.name;
            assert!(seen.insert(name) && name.starts_with("seglift_"), "{name}");
            assert_eq!(metric.kind == "counter", name.ends_with("_total"), "{name}");
            assert_eq!(metric.kind == "histogram", name.ends_with("_seconds"), "{name}");
            assert_eq!(metric.unit == "bytes", name.contains("_bytes"), "{name}");
        }
    }

    #[test]
    fn an_operation_is_in_flight_until_it_ends_and_is_then_counted_by_its_result() {
        let metrics = Metrics::new();
        metrics.operation_accepted(Op::Read);
        assert_eq!(samples(&metrics)[r#"seglift_operations_in_flight{op="read"}"#], 1.0);
        metrics.operation_ended(Op::Read, Outcome::from(Code::NotFound), Duration::from_millis(3));
        let samples = samples(&metrics);
        assert_eq!(samples[r#"seglift_operations_in_flight{op="read"}"#], 0.0);
        assert_eq!(samples[r#"seglift_operations_total{op="read",result="NOT_FOUND"}"#], 1.0);
        assert_eq!(samples[r#"seglift_operations_total{op="read",result="OK"}"#], 0.0);
        assert!(!samples.contains_key(r#"seglift_operations_total{op="read",result="CORRUPT"}"#));
        assert_eq!(samples[r#"seglift_operation_duration_seconds_count{op="read"}"#], 1.0);
        assert_eq!(samples[r#"seglift_operation_duration_seconds_sum{op="read"}"#], 0.003);
    }

    #[test]
    fn every_outcome_has_a_place_of_its_own() {
        let metrics = Metrics::new();
        for code in Code::ALL {
            metrics.store_request_ended(Request::Put, Outcome::from(*code), Duration::ZERO);
        }
        metrics.store_request_ended(Request::Put, Outcome::OK, Duration::ZERO);
        let samples = samples(&metrics);
        for name in Code::ALL.iter().map(|code| code.name()).chain(["OK"]) {
            assert_eq!(
                samples[&format!(r#"seglift_store_requests_total{{request="put",result="{name}"}}"#)],
                1.0
            );
        }
    }

    #[test]
    fn the_text_is_in_the_classic_format() {
        let metrics = Metrics::new();
        let text = metrics.to_prometheus();
        assert!(text.ends_with('\n') && !text.contains("# EOF"));
        let mut typed = HashSet::new();
        let mut series = HashSet::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            if let Some(comment) = line.strip_prefix("# TYPE ") {
                assert!(typed.insert(comment.split(' ').next().unwrap().to_string()), "{line}");
            } else if !line.starts_with("# HELP ") {
                let sample = words.next().unwrap();
                assert!(series.insert(sample.to_string()), "twice: {line}");
                let name = sample.split('{').next().unwrap();
                let family =
                    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
                assert!(
                    typed.contains(name) || typed.contains(family.unwrap_or("")),
                    "no type before {line}"
                );
                assert!(words.next().unwrap().parse::<f64>().is_ok() && words.next().is_none(), "{line}");
            }
        }
        assert_eq!(typed.len(), DESCRIPTIONS.len());
    }

    #[test]
    fn counting_from_many_threads_loses_nothing() {
        let metrics = Metrics::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        metrics.operation_accepted(Op::Offload);
                        metrics.operation_ended(Op::Offload, Outcome::OK, Duration::from_micros(10));
                    }
                });
            }
        });
        assert_eq!(metrics.operations.of(Op::Offload).of(Outcome::OK).value(), 40_000);
        assert_eq!(metrics.operations_in_flight.of(Op::Offload).value(), 0);
        let samples = samples(&metrics);
        assert_eq!(samples[r#"seglift_operation_duration_seconds_sum{op="offload"}"#], 0.4);
    }
}
