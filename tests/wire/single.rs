//! One fault at a time, in every request where it makes sense, once and for ever.

use super::{
    proxy::script::Operation,
    site::{Behind, LARGE, SMALL, Site, all, content, is_full, is_typed, offload, read, timed},
};
use seglift::{
    Code::{
        self, AlreadyExists, InvalidConfig, NotFound, NotFoundOrDenied, OutcomeUnknown, PermissionDenied,
        Unauthenticated, Unavailable,
    },
    Error,
    codec::Codec,
    engine::Call,
    maintain::ReapOptions,
    reader::SegmentRef,
};
use std::time::Duration;

/// Uploads that nobody here has.
const OLD: ReapOptions =
    ReapOptions { older_than: Duration::from_secs(3600), dry_run: false, all_owners: false };
/// Long enough for every fault that happens once.
const LONG: Duration = Duration::from_secs(30);
/// For faults that never end.
const BRIEF: Duration = Duration::from_millis(2500);

/// What must come of a fault that happens once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// Nobody above the store notices.
    Heals,
    /// The operation fails with this code, because trying again would be wrong.
    Fails(Code),
}
use self::End::{Fails, Heals};

/// The request that the fault happens to, the fault, and what must come of it.
pub type Case = (&'static str, &'static str, End);

/// Faults that happen once. `get` is a read with a token, whose first request is exact, and `look` one without, whose first
/// request is for a suffix: to which requests, and what must come of it.
pub const ONCE: &[(&str, &[&str], End)] = &[
    // What a store says when it is busy, or a load balancer in its place.
    ("500", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"], Heals),
    ("503", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"], Heals),
    ("503-SlowDown", &["put", "part", "commit", "get", "look"], Heals),
    ("429", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"], Heals),
    ("400-RequestTimeout", &["put", "part", "get", "look", "commit"], Heals),
    ("html-502", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"], Heals),
    ("html-503", &["put", "get", "look"], Heals),
    // Refusals.
    ("403", &["put", "begin", "part", "commit", "list", "delete", "uploads"], Fails(PermissionDenied)),
    ("403", &["get", "look"], Fails(NotFoundOrDenied)),
    ("400", &["put", "part", "get", "list", "uploads"], Fails(Unavailable)),
    // So old stores refuse what they do not know: checksums of parts, and suffixes.
    ("400", &["begin", "look"], Heals),
    ("403-SignatureDoesNotMatch", &["put", "get", "begin"], Fails(Unauthenticated)),
    ("403-RequestTimeTooSkewed", &["put", "get", "part"], Fails(Unauthenticated)),
    // The next attempt has asked for new credentials.
    ("400-ExpiredToken", &["put", "part", "get", "commit"], Heals),
    // Nothing that a host waits for changes that.
    ("404-NoSuchBucket", &["put", "begin", "list", "get"], Fails(InvalidConfig)),
    // A token that points behind the end is not the last word: the tail is looked for.
    ("416", &["get"], Heals),
    // What is gone is not called anything else.
    ("404", &["get", "look"], Fails(NotFound)),
    // An upload that the store lost is begun again; a key that is taken is looked at, and is free.
    ("404", &["part", "commit"], Heals),
    ("409", &["put", "commit"], Heals),
    ("412", &["put", "commit"], Heals),
    ("200-InternalError", &["commit"], Heals),
    ("200-SlowDown", &["commit", "delete"], Heals),
    // Time.
    ("delay-300ms", &["put", "begin", "part", "commit", "get", "look", "list", "delete"], Heals),
    ("stall", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"], Heals),
    ("mute", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"], Heals),
    ("hang-0", &["commit", "get", "look", "list"], Heals),
    ("hang-100000", &["get", "look"], Heals),
    ("up-hang-0", &["put", "part"], Heals),
    ("up-hang-100000", &["put", "part"], Heals),
    ("drip-4000", &["get", "look"], Heals),
    ("up-drip-4000", &["put"], Heals),
    ("up-drip-100000", &["part"], Heals),
    // Connections that end.
    ("reset", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"], Heals),
    ("lost", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"], Heals),
    ("done-500", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"], Heals),
    ("done-503", &["put", "begin", "part", "commit", "delete"], Heals),
    ("up-break-0", &["put", "part", "commit", "delete"], Heals),
    ("up-break-100000", &["put", "part"], Heals),
    ("break-0", &["commit", "begin", "get", "look", "list"], Heals),
    ("break-100000", &["get", "look"], Heals),
    ("break-99", &["commit", "begin", "list"], Heals),
    ("cut-0", &["commit", "begin", "get", "look", "list"], Heals),
    ("cut-100000", &["get", "look"], Heals),
    ("cut-99", &["commit", "begin", "list"], Heals),
    // Bytes that are not what was sent.
    ("flip-0", &["get", "look"], Heals),
    ("flip-777777", &["get", "look"], Heals),
    ("short-1", &["get", "look"], Heals),
    ("short-100000", &["get", "look"], Heals),
    ("long-1", &["get", "look"], Heals),
    ("long-100000", &["get", "look"], Heals),
    ("range-1", &["get", "look"], Heals),
    ("whole", &["get", "look"], Heals),
    ("no-etag", &["get", "look", "put"], Heals),
    ("up-flip-801234", &["put", "part"], Heals),
    // Requests that arrive twice.
    ("twice", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"], Heals),
    // Nobody else has the key, so nothing is overwritten.
    ("overwrite", &["put", "commit"], Heals),
];

/// Faults that go on for ever: the operation must end by its deadline, whatever it says.
pub const FOR_EVER: &[(&str, &[&str])] = &[
    ("503", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"]),
    ("429", &["part", "get", "look"]),
    ("html-502", &["put", "commit", "get", "look", "list"]),
    ("404", &["part", "commit", "put", "begin"]),
    ("409", &["put", "commit"]),
    ("412", &["put", "commit"]),
    ("200-InternalError", &["commit"]),
    ("stall", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"]),
    ("mute", &["put", "begin", "part", "commit", "get", "look", "list", "delete", "uploads"]),
    ("reset", &["put", "begin", "part", "commit", "get", "look", "list", "delete"]),
    ("lost", &["put", "begin", "part", "commit", "get", "look", "list", "delete"]),
    ("done-500", &["put", "begin", "part", "commit", "delete"]),
    ("up-hang-1000", &["put", "part"]),
    ("up-break-1000", &["put", "part"]),
    ("up-flip-8001", &["put", "part"]),
    ("hang-0", &["get", "look", "commit", "list"]),
    ("hang-1000", &["get", "look"]),
    ("cut-0", &["get", "look", "commit", "list"]),
    ("break-0", &["get", "look", "commit"]),
    ("flip-8001", &["get", "look"]),
    ("short-1", &["get", "look"]),
    ("long-1", &["get", "look"]),
    ("range-1", &["get", "look"]),
    ("no-etag", &["put", "part", "get", "look"]),
    ("drip-1", &["get", "look"]),
    ("up-drip-400", &["put"]),
    ("up-drip-1", &["part"]),
];

/// A table, one case for each request.
fn cases(table: &[(&'static str, &'static [&'static str], End)]) -> Vec<Case> {
    table
        .iter()
        .flat_map(|(fault, operations, end)| operations.iter().map(|op| (*op, *fault, *end)))
        .collect()
}

/// What an operation came to, and what is now under the key.
struct Came {
    result: Result<(), Error>,
    /// Whether the segment may be, and may be missing.
    there: (bool, bool),
}

/// Runs the operation that makes this request.
fn run(behind: &Behind, operation: &str, codec: Codec, deadline: Duration, fault: &str) -> Came {
    let driver = &behind.driver;
    let large = matches!(operation, "begin" | "part" | "commit");
    let bytes = content(3, if large { LARGE } else { SMALL });
    if matches!(operation, "put" | "begin" | "part" | "commit") {
        let done = timed(fault, deadline, |call| offload(driver, "k", &bytes, codec, call));
        let there = match &done {
            Ok(receipt) => {
                assert!(!receipt.existed, "{fault}: nobody else wrote it");
                (true, false)
            }
            // One who looks after an unknown outcome may find either.
            Err(e) if e.code() == OutcomeUnknown => (true, true),
            Err(_) => (false, true),
        };
        return Came { result: done.map(drop), there };
    }
    behind.proxy.play("".parse().unwrap());
    let receipt =
        offload(driver, "k", &bytes, codec, &Call::default()).unwrap_or_else(|e| panic!("{fault}: {e}"));
    behind.proxy.play(fault.parse().unwrap());
    let mut there = (true, false);
    let result = match operation {
        "get" | "look" => {
            let token = (operation == "get").then_some(receipt.token);
            let r = SegmentRef { key: "k".into(), token };
            timed(fault, deadline, |call| {
                let back = read(driver, &r, 10..SMALL as u64, call)?;
                assert!(back[..] == bytes[10..], "{fault}: wrong bytes");
                Ok(())
            })
        }
        "list" => timed(fault, deadline, |call| {
            let page = driver.list("", None, 10, call)?;
            let keys: Vec<_> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
            assert_eq!(keys, ["k"], "{fault}");
            Ok(())
        }),
        "delete" => {
            let done = timed(fault, deadline, |call| driver.delete(&["k".into()], call));
            let done = done.and_then(|mut each| each.remove(0));
            there = if done.is_ok() { (false, true) } else { (true, true) };
            done
        }
        "uploads" => timed(fault, deadline, |call| driver.reap(OLD, call).map(drop)),
        _ => unreachable!("{operation}"),
    };
    Came { result, there }
}

/// That the store holds what the operation said, as one sees who does not come through the faults.
fn settled(site: &Site, behind: &Behind, operation: &str, came: &Came, what: &str) {
    behind.proxy.play("".parse().unwrap());
    let large = matches!(operation, "begin" | "part" | "commit");
    let bytes = content(3, if large { LARGE } else { SMALL });
    let r = SegmentRef { key: "k".into(), token: None };
    match read(&behind.driver, &r, 0..bytes.len() as u64 + 1, &Call::default()) {
        Ok(back) => {
            assert!(came.there.0, "{what}: it is there, and the operation said {:?}", came.result);
            assert!(back[..] == bytes[..], "{what}: wrong bytes");
            let report = behind.driver.verify(&r, &Call::default()).unwrap();
            assert!(report.bad_blocks == 0 && report.first_error.is_none(), "{what}: {report:?}");
        }
        Err(e) if e.code() == NotFound => {
            assert!(came.there.1, "{what}: it is not there, and the operation said {:?}", came.result)
        }
        Err(e) => panic!("{what}: {e}"),
    }
    if let Err(e) = &came.result {
        is_typed(e, site);
    }
    behind.driver.delete(&["k".into()], &Call::default()).unwrap().remove(0).unwrap();
}

fn script(operation: &str, when: &str, fault: &str) -> String {
    format!("{}={when}:{fault}", if operation == "look" { "get" } else { operation })
}

/// What the probe of a store would find out, so that requests are those of the operation alone.
const KNOWN: &[(&str, &str)] = &[("s3.conditional.writes", "on"), ("s3.trailers", "on")];

/// Each case with one codec or the other in turn; with SCALE=full with both.
fn with_codecs<T: Copy>(cases: Vec<T>) -> Vec<(Codec, T)> {
    let codecs = [Codec::None, Codec::Zstd];
    if is_full() {
        return codecs.iter().flat_map(|codec| cases.iter().map(|case| (*codec, *case))).collect();
    }
    cases.iter().enumerate().map(|(n, case)| (codecs[n % 2], *case)).collect()
}

/// Each fault once, in each request of the table.
pub fn each_fault_heals_or_is_the_error_that_it_is(site: &Site, name: &str) {
    all(&with_codecs(cases(ONCE)), |n, &(codec, (operation, fault, end))| {
        let script = script(operation, "1", fault);
        let what = format!("{name}: {script} with {codec:?}");
        let behind = site.behind(&format!("once-{n}"), &script, KNOWN);
        let came = run(&behind, operation, codec, LONG, &script);
        assert!(behind.proxy.faults() > 0, "{what}: it did not happen");
        match (&came.result, end) {
            (Ok(()), Heals) => {}
            (Err(e), Fails(code)) if e.code() == code => {}
            (result, end) => panic!("{what}: {result:?} instead of {end:?}"),
        }
        settled(site, &behind, operation, &came, &what);
    });
    site.is_empty_after_reap();
}

/// Each fault in every request from the first on.
pub fn each_fault_that_goes_on_ends_by_the_deadline(site: &Site, name: &str) {
    let table: Vec<_> = FOR_EVER
        .iter()
        .flat_map(|(fault, operations)| operations.iter().map(move |op| (*op, *fault)))
        .collect();
    all(&with_codecs(table), |n, &(codec, (operation, fault))| {
        let script = script(operation, "*", fault);
        let what = format!("{name}: {script} with {codec:?}");
        let behind = site.behind(&format!("ever-{n}"), &script, KNOWN);
        let mut deadline = BRIEF;
        let mut came = run(&behind, operation, codec, deadline, &script);
        // A commit comes behind the parts, and a busy machine takes its time for these.
        while behind.proxy.faults() == 0 && deadline < LONG {
            settled(site, &behind, operation, &came, &what);
            behind.proxy.play(script.parse().unwrap());
            deadline *= 4;
            came = run(&behind, operation, codec, deadline, &script);
        }
        assert!(behind.proxy.faults() > 0, "{what}: it did not happen");
        settled(site, &behind, operation, &came, &what);
    });
    site.is_empty_after_reap();
}

/// An upload that failed and cannot be taken back: reap takes it.
pub fn what_cannot_be_aborted_is_reaped(site: &Site, name: &str) {
    let faults = ["403", "404", "500", "stall", "mute", "reset", "lost", "done-500", "html-502", "twice"];
    let table: Vec<_> = faults.iter().flat_map(|fault| ["1", "*"].map(|when| (*fault, when))).collect();
    all(&table, |n, (fault, when)| {
        let script = format!("part=2:403&abort={when}:{fault}");
        let what = format!("{name}: {script}");
        let behind = site.behind(&format!("abort-{n}"), &script, KNOWN);
        let came = run(&behind, "part", Codec::None, LONG, &script);
        let error = came.result.as_ref().expect_err(&what);
        assert_eq!(error.code(), PermissionDenied, "{what}: the cause is told, and not the failed removal");
        let aborts = behind.proxy.seen().iter().filter(|seen| seen.operation == Operation::Abort).count();
        assert!(aborts > 0, "{what}: nobody aborted");
        settled(site, &behind, "part", &came, &what);
    });
    site.is_empty_after_reap();
}

/// A store that takes no notice of `If-None-Match`, as the client sees it.
pub fn a_condition_that_is_lost_on_the_way_overwrites_nothing(site: &Site, name: &str) {
    let behind = site.behind("taken", "put=*:overwrite&commit=*:overwrite", &[]);
    for len in [SMALL, LARGE] {
        let call = Call { deadline: Some(LONG), ..Call::default() };
        let first = offload(&behind.driver, "k", &content(1, len), Codec::None, &call).unwrap();
        assert!(!first.atomic_create, "{name}: the receipt says that the store cannot");
        let error = offload(&behind.driver, "k", &content(2, len), Codec::None, &call).unwrap_err();
        assert_eq!(error.code(), AlreadyExists, "{name}: {error}");
        let r = SegmentRef { key: "k".into(), token: Some(first.token) };
        assert!(read(&behind.driver, &r, 0..len as u64, &call).unwrap()[..] == content(1, len)[..]);
        behind.driver.delete(&["k".into()], &call).unwrap().remove(0).unwrap();
    }
    site.is_empty_after_reap();
}

/// The object that asks what a store can do is nobody's segment: what becomes of it says nothing of the key.
pub fn a_probe_that_arrives_twice_says_nothing_of_the_key(site: &Site, name: &str) {
    let behind = site.behind("probe", "put=1:twice", &[]);
    let call = Call { deadline: Some(LONG), ..Call::default() };
    let receipt = offload(&behind.driver, "k", &content(1, SMALL), Codec::None, &call);
    let receipt = receipt.unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(!receipt.existed && receipt.atomic_create, "{name}: {receipt:?}");
    assert_eq!(behind.proxy.faults(), 1, "{name}: it did not happen");
    behind.driver.delete(&["k".into()], &call).unwrap().remove(0).unwrap();
    site.is_empty_after_reap();
}
