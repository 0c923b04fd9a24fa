//! The settings of the engine, of every store and of the policy.

use super::{Alias, Preset, s3::S3Settings};
use crate::{
    config::{
        Config,
        choice::{CacheVerify, CodecName, StoreDriver},
        value::{GIB, KIB, Kind, MIB, TIB, Value},
    },
    logging::Level,
};
use std::time::Duration;

/// The smallest budget: below it, the floors that keep uploads and reads from starving each other
/// leave nothing for either.
const SMALLEST_BUDGET: u64 = 16 * MIB;
/// What one PUT or one part may hold in S3, the narrowest of the stores.
const LARGEST_PART: u64 = 5 * GIB;
/// S3 takes no more parts for one upload.
const MOST_PARTS: u64 = 10_000;
/// Long enough to debug a host under a breakpoint, short enough that nothing hangs for ever.
const LONGEST_DEADLINE: Duration = Duration::from_secs(7 * 86_400);
const DEADLINE: Kind = Kind::Duration { min: Duration::from_millis(1), max: LONGEST_DEADLINE };

/// A quarter of the cores, 1 to 4: a broker wants the others for itself. One thread moves more than 10 Gbit/s of plain
/// HTTP; each further one costs CPU time even with nothing to do, because they wake each other.
pub(crate) fn default_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    (cores / 4).clamp(1, 4)
}

super::properties! {
    /// Every setting as a plain, checked value; [`Config::settings`](crate::config::Config::settings) makes it.
    ///
    /// `None` means "off". Sizes are bytes.
    Settings and {
        /// What the store `s3://` takes.
        s3: S3Settings,
    }

    /// Threads that move bytes and decompress: more are of use where much is read over TLS or compressed. What waits for a
    /// disk, and compression, have threads of their own.
    engine_threads: usize {
        key: "engine.threads",
        kind: Kind::Integer { min: 1, max: 64 },
        preset: Preset::Computed {
            says: "a quarter of the cores, 1 to 4",
            value: |_| Value::Integer(default_threads() as i64),
        },
        scope: Engine,
        since: "0.1.0",
        aliases: [],
    }
    /// All memory for payloads: uploads, reads, caches and index pages together. Who finds it full
    /// waits or gets `BUSY`; the cache yields first.
    memory_budget: usize {
        key: "memory.budget",
        kind: Kind::Size { min: SMALLEST_BUDGET, max: TIB },
        preset: Preset::Fixed("128MiB"),
        scope: Engine,
        since: "0.1.0",
        aliases: [],
    }
    /// The part of the budget that the host may hold at one time in zero-copy results.
    memory_lent_limit: usize {
        key: "memory.lent.limit",
        kind: Kind::Size { min: MIB, max: TIB },
        preset: Preset::Computed { says: "half of `memory.budget`", value: |config| share_of_budget(config, 4) },
        scope: Engine,
        since: "0.1.0",
        aliases: [],
    }
    /// The part of the budget that verified blocks may keep; 0 switches the memory cache off.
    cache_memory_size: usize {
        key: "cache.memory.size",
        kind: Kind::Size { min: 0, max: TIB },
        preset: Preset::Computed {
            says: "three eighths of `memory.budget`",
            value: |config| share_of_budget(config, 3),
        },
        scope: Engine,
        since: "0.1.0",
        aliases: [],
    }
    /// When blocks in the memory cache are checked: `fill` as they come in, `always` again at every
    /// hit, for hosts that do not trust their memory.
    cache_memory_verify: CacheVerify {
        key: "cache.memory.verify",
        kind: Kind::Choice(CacheVerify::WORDS),
        preset: Preset::Fixed("fill"),
        scope: Engine,
        since: "0.1.0",
        aliases: [],
    }
    /// The least severe log lines that are kept; `off` keeps none.
    log_level: Option<Level> {
        key: "log.level",
        kind: Kind::Choice(&["off", "error", "warn", "info", "debug"]),
        preset: Preset::Fixed("info"),
        scope: Engine,
        since: "0.1.0",
        aliases: [],
    }

    /// Where the engine makes a Unix socket that tells its owner and root the status (`seglift status`): an absolute
    /// path of at most 107 bytes, in a folder that nobody else may write to; empty makes none.
    status_socket: String {
        key: "status.socket",
        kind: Kind::Text { min: 0, max: 107 },
        preset: Preset::Fixed(""),
        scope: Engine,
        since: "0.1.0",
        aliases: [],
    }

    /// The host's identity, such as its cluster id: written into every object and upload, and the
    /// boundary of all clean-up. Two clusters that share a bucket need two owners.
    owner: String {
        key: "owner",
        kind: Kind::Text { min: 1, max: 128 },
        preset: Preset::Fixed("default"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// The kind of store that the URI must name; anything but `auto` refuses a URI of another kind.
    store_driver: StoreDriver {
        key: "store.driver",
        kind: Kind::Choice(StoreDriver::WORDS),
        preset: Preset::Fixed("auto"),
        scope: Driver,
        since: "0.1.0",
        aliases: [Alias::of("managedLedgerOffloadDriver")],
    }
    /// URIs of the stores that older receipts may point to, after a move to another bucket or
    /// prefix.
    store_previous: Vec<String> {
        key: "store.previous",
        kind: Kind::List,
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Whether `file://` stores wait for the disk before they confirm an object. Without it a power
    /// cut loses segments that had a receipt: `false` is for tests and data that may be lost.
    file_fsync: bool {
        key: "file.fsync",
        kind: Kind::Bool,
        preset: Preset::Fixed("true"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }

    /// What compresses new segments. Reading goes by what the object says.
    codec: CodecName {
        key: "codec",
        kind: Kind::Choice(CodecName::WORDS),
        preset: Preset::Fixed("zstd"),
        scope: Driver,
        since: "0.1.0",
        // TOML cannot hold `codec` and a table `[codec]` at once; under this name it need not.
        aliases: [Alias::of("codec.name")],
    }
    /// zstd's level: below 1 is faster and larger, above 3 rarely pays for data that is written once.
    codec_zstd_level: i32 {
        key: "codec.zstd.level",
        // Levels above 19 need windows that no block is large enough to fill.
        kind: Kind::Integer { min: -7, max: 19 },
        preset: Preset::Fixed("1"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Bytes of the segment in one block: the unit of compression, checksum and verified reading.
    block_size: usize {
        key: "block.size",
        kind: Kind::PowerOfTwo { min: 4 * KIB, max: 4 * MIB },
        preset: Preset::Computed {
            says: "256KiB with zstd, 64KiB without a codec",
            // Compression gains little beyond 256 KiB; without it, small blocks make small reads cheap.
            value: |config| match config.value("codec") {
                Value::Choice("none") => Value::Size(64 * KIB),
                _ => Value::Size(256 * KIB),
            },
        },
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }

    /// Bytes of one part of a multipart upload. It grows by itself for segments of more than 10,000
    /// parts; memory does not grow with it.
    upload_part_size: u64 {
        key: "upload.part.size",
        kind: Kind::Size { min: 64 * KIB, max: LARGEST_PART },
        preset: Preset::Fixed("8MiB"),
        scope: Driver,
        since: "0.1.0",
        // 5 MiB is the smallest part that S3 takes; 64 MiB is what Pulsar does without a value.
        aliases: [
            Alias::of("managedLedgerOffloadMaxBlockSizeInBytes").at_least(5 * MIB).empty("64MiB"),
            Alias::of("s3ManagedLedgerOffloadMaxBlockSizeInBytes").at_least(5 * MIB).empty("64MiB"),
        ],
    }
    /// Parts of one segment that are sent at a time.
    upload_concurrency: usize {
        key: "upload.concurrency",
        kind: Kind::Integer { min: 1, max: 64 },
        preset: Preset::Fixed("4"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Whether an offload looks for the object before it sends anything: worth a request where
    /// most offloads are retries.
    upload_verify_exists: bool {
        key: "upload.verify.exists",
        kind: Kind::Bool,
        preset: Preset::Fixed("false"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// The most that a streaming writer may be given if it does not say so itself; its part size
    /// follows from it.
    writer_max_size: u64 {
        key: "writer.max.size",
        kind: Kind::Size { min: 1, max: MOST_PARTS * LARGEST_PART },
        preset: Preset::Fixed("64GiB"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }

    /// The most that one request fetches; larger reads become several.
    read_fetch_size: usize {
        key: "read.fetch.size",
        kind: Kind::Size { min: 64 * KIB, max: 64 * MIB },
        preset: Preset::Fixed("4MiB"),
        scope: Driver,
        since: "0.1.0",
        aliases: [
            Alias::of("managedLedgerOffloadReadBufferSizeInBytes").empty("1MiB"),
            Alias::of("s3ManagedLedgerOffloadReadBufferSizeInBytes").empty("1MiB"),
        ],
    }
    /// Fetches of one read that run at a time.
    read_concurrency: usize {
        key: "read.concurrency",
        kind: Kind::Integer { min: 1, max: 64 },
        preset: Preset::Fixed("4"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// How far a sequential reader is prefetched at most; 0 switches prefetch off.
    read_ahead_max: usize {
        key: "read.ahead.max",
        kind: Kind::Size { min: 0, max: GIB },
        preset: Preset::Fixed("8MiB"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }

    /// Total time of a read, queue and retries included, unless the call says otherwise.
    deadline_read: Duration {
        key: "deadline.read",
        kind: DEADLINE,
        preset: Preset::Fixed("30s"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Total time of an offload, queue and retries included, unless the call says otherwise.
    deadline_offload: Duration {
        key: "deadline.offload",
        kind: DEADLINE,
        preset: Preset::Fixed("10m"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Total time of any other operation, unless the call says otherwise.
    deadline_other: Duration {
        key: "deadline.other",
        kind: DEADLINE,
        preset: Preset::Fixed("60s"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// An offload or a writer that moves no byte for so long fails, however far its deadline.
    stall: Duration {
        key: "stall",
        kind: DEADLINE,
        preset: Preset::Fixed("30s"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }

    /// Reads (gets, listings) that a store is sent at a time, by all drivers that open it with the same
    /// limits; further ones wait. They never wait for writes.
    store_concurrency_reads: usize {
        key: "store.concurrency.reads",
        // 128 fetches of 4 MiB a second and more each: well beyond a 25 Gbit/s link, within 1,024 descriptors.
        kind: Kind::Integer { min: 1, max: 65_536 },
        preset: Preset::Fixed("128"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Writes (parts, whole objects, commits, deletes) that a store is sent at a time, as for reads.
    store_concurrency_writes: usize {
        key: "store.concurrency.writes",
        // Sixteen offloads with all their parts.
        kind: Kind::Integer { min: 1, max: 65_536 },
        preset: Preset::Fixed("64"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Bytes each second that go to a store at most, from all drivers that open it with the same limits; 0 is no
    /// limit. Offloads must still move within `stall`.
    store_rate_up: u64 {
        key: "store.rate.up",
        kind: Kind::Size { min: 0, max: TIB },
        preset: Preset::Fixed("0"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Bytes each second that come from a store at most, as for `store.rate.up`. Reads must still end by their
    /// deadlines.
    store_rate_down: u64 {
        key: "store.rate.down",
        kind: Kind::Size { min: 0, max: TIB },
        preset: Preset::Fixed("0"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// How often one request to the store is sent at most while it fails for reasons that may pass;
    /// 1 switches retries off.
    retry_attempts: u32 {
        key: "retry.attempts",
        // With the pauses below about six seconds on average: what a server takes to restart.
        kind: Kind::Integer { min: 1, max: 100 },
        preset: Preset::Fixed("8"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// The longest first pause between two attempts. It doubles with each, and the pause is anything
    /// up to it, so that those who failed together do not come back together.
    retry_pause_first: Duration {
        key: "retry.pause.first",
        // A few times what a request takes: less would meet the same trouble again.
        kind: Kind::Duration { min: Duration::from_millis(1), max: Duration::from_secs(60) },
        preset: Preset::Fixed("100ms"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// What the longest pause between two attempts grows to.
    retry_pause_max: Duration {
        key: "retry.pause.max",
        // Well under `stall`, which a pause counts for.
        kind: Kind::Duration { min: Duration::from_millis(1), max: Duration::from_secs(600) },
        preset: Preset::Fixed("5s"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// How long one request is tried at most, from its first attempt on, however far the deadline of
    /// its operation is.
    retry_time_max: Duration {
        key: "retry.time.max",
        kind: DEADLINE,
        preset: Preset::Fixed("2m"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Retries that a store may be sent in a row, so that an outage is not made worse: each costs one,
    /// ten successes or a second give one back; 0 counts nothing.
    retry_budget: u32 {
        key: "retry.budget",
        // A hundred offloads and a thousand reads that fail in one instant are each tried again once.
        kind: Kind::Integer { min: 0, max: 1_000_000 },
        preset: Preset::Fixed("1500"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Failures of a store in a row, with no answer between them, after which new requests fail at
    /// once and one at a time tries whether it is back; 0 never does so.
    breaker_failures: u32 {
        key: "breaker.failures",
        // Two requests with all their attempts.
        kind: Kind::Integer { min: 0, max: 1_000_000 },
        preset: Preset::Fixed("16"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// How long that row of failures must have lasted: many requests that fail in one instant are tried
    /// again and not given up.
    breaker_time: Duration {
        key: "breaker.time",
        kind: Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(3600) },
        preset: Preset::Fixed("5s"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// How long requests are held back before the first one tries whether the store is back; twice as
    /// long after each that failed, up to 30 s.
    breaker_pause: Duration {
        key: "breaker.pause",
        kind: Kind::Duration { min: Duration::from_millis(1), max: Duration::from_secs(600) },
        preset: Preset::Fixed("1s"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }

    /// Bytes of sealed segments that stay local before the oldest is offloaded; 0 offloads as soon
    /// as possible.
    policy_size_threshold: Option<u64> {
        key: "policy.size.threshold",
        kind: Kind::SizeOrOff,
        preset: Preset::Fixed("-1"),
        scope: Driver,
        since: "0.1.0",
        aliases: [
            Alias::of("managedLedgerOffloadAutoTriggerSizeThresholdBytes").empty("-1"),
            Alias::of("managedLedgerOffloadThresholdInBytes").empty("-1"),
        ],
    }
    /// The age of its newest record at which a sealed segment is offloaded.
    policy_age_threshold: Option<Duration> {
        key: "policy.age.threshold",
        kind: Kind::DurationOrOff,
        preset: Preset::Fixed("-1"),
        scope: Driver,
        since: "0.1.0",
        aliases: [Alias::of("managedLedgerOffloadThresholdInSeconds").seconds().empty("-1")],
    }
    /// How long the local copy stays after its segment was offloaded; off keeps it.
    policy_deletion_lag: Option<Duration> {
        key: "policy.deletion.lag",
        kind: Kind::DurationOrOff,
        preset: Preset::Fixed("4h"),
        scope: Driver,
        since: "0.1.0",
        aliases: [
            Alias::of("managedLedgerOffloadDeletionLagMs").millis().empty("4h"),
            Alias::of("managedLedgerOffloadDeletionLagInMillis").millis().empty("4h"),
        ],
    }
    /// A log keeps at least so many bytes, both tiers together; the oldest segments that are not
    /// needed for them are deleted everywhere.
    policy_retention_size: Option<u64> {
        key: "policy.retention.size",
        kind: Kind::SizeOrOff,
        preset: Preset::Fixed("-1"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// The age of its newest record at which a segment is deleted everywhere.
    policy_retention_age: Option<Duration> {
        key: "policy.retention.age",
        kind: Kind::DurationOrOff,
        preset: Preset::Fixed("-1"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
}

fn share_of_budget(config: &Config, eighths: u64) -> Value {
    match config.value("memory.budget") {
        Value::Size(budget) => Value::Size(budget / 8 * eighths),
        other => other,
    }
}
