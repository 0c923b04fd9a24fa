//! Cleaning up: what reap and sweep remove, and above all what they do not.

use crate::common::*;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use proptest::prelude::*;
use seglift::{
    Code, Driver, Result,
    clock::ManualClock,
    codec::Codec,
    engine::{Call, Engine},
    maintain::{ReapOptions, Report, Step, SweepOptions, Verdict},
    store::{
        Commit, Key, MemoryStore, ObjectStore, Upload, UploadInfo,
        conformance::{Blob, block_on},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A place in memory whose clock stands until it is told.
struct Aged {
    place: Place,
    store: MemoryStore,
    clock: Arc<ManualClock>,
}

impl Aged {
    fn new() -> Aged {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("maintain-{}", NEXT.fetch_add(1, Relaxed));
        let clock = Arc::new(ManualClock::at_us(1_700_000_000_000_000));
        let store = MemoryStore::shared_with_clock(&name, clock.clone()).unwrap();
        Aged { place: Place::Memory(name), store, clock }
    }

    fn open(&self) -> Driver {
        self.place.open("")
    }

    fn open_as(&self, owner: &str) -> Driver {
        self.place.open_on(&engine(), "", &[("owner", owner)])
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// An upload of `owner` that is begun and not ended as long as it is held.
    fn begin(&self, key: &str, owner: &str) -> Box<dyn Upload> {
        let info = UploadInfo { owner: owner.to_owned(), ..UploadInfo::default() };
        let upload = block_on(self.store.begin(&Key::new(key).unwrap(), &info)).unwrap();
        part(&*upload, 0).unwrap();
        upload
    }

    /// Keys of the uploads that are not ended.
    fn uploads(&self) -> Vec<String> {
        let page = block_on(self.store.uploads("", None, 1000)).unwrap();
        page.uploads.into_iter().map(|upload| upload.name).collect()
    }
}

const PART: usize = 1000;

fn part(upload: &dyn Upload, number: u32) -> Result<()> {
    block_on(upload.put_part(number, u64::from(number) * PART as u64, Blob::new(noise(1, PART))))
}

fn older_than(older_than: Duration) -> ReapOptions {
    ReapOptions { older_than, dry_run: false, all_owners: false }
}

fn reap(driver: &Driver, options: ReapOptions) -> Report {
    driver.reap(options, &Call::default()).unwrap()
}

fn delete_after(grace: Duration) -> SweepOptions {
    SweepOptions { prefix: String::new(), grace, delete: true }
}

/// A whole sweep: every key fed, one feed for each `batch`.
fn sweep_in(
    driver: &Driver,
    options: SweepOptions,
    live: &[&str],
    batch: usize,
) -> Result<Report, seglift::Error> {
    let sweep = driver.sweep(options)?;
    let mut reports = Vec::new();
    for keys in live.chunks(batch) {
        let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        while !keys.is_empty() {
            let Step { taken, report, .. } = sweep.feed(keys.clone(), &Call::default())?;
            keys.drain(..taken);
            reports.push(report);
        }
    }
    loop {
        let step = sweep.finish(&Call::default())?;
        reports.push(step.report);
        if step.done {
            // The reports of all steps, as one walk gives them.
            return Ok(reports.into_iter().reduce(joined).unwrap());
        }
    }
}

fn joined(mut all: Report, more: Report) -> Report {
    all.append(more);
    all
}

fn sweep(driver: &Driver, options: SweepOptions, live: &[&str]) -> Report {
    sweep_in(driver, options, live, 1000).unwrap()
}

/// What became of each, as `verdict name`.
fn told(report: &Report) -> Vec<String> {
    report.items().iter().map(|item| format!("{} {}", item.verdict.name(), item.name)).collect()
}

fn put(driver: &Driver, keys: &[&str]) {
    for key in keys {
        offload(driver, key, &noise(7, 100), Codec::None).unwrap();
    }
}

#[test]
fn reap_never_aborts_an_upload_that_is_younger_than_it_was_told() {
    let aged = Aged::new();
    let driver = aged.open();
    let old = aged.begin("old", "default");
    aged.pass(MINUTE);
    let young = aged.begin("young", "default");
    aged.pass(HOUR);
    let report = reap(&driver, older_than(HOUR));
    assert_eq!(told(&report), ["removed old", "young young"]);
    assert_eq!(report.tally(Verdict::Removed).bytes, PART as u64);
    assert_eq!(aged.uploads(), ["young"]);
    // The one that is left can be committed, the other one says that it is over.
    assert!(matches!(block_on(young.commit()), Commit::Done));
    assert!(matches!(block_on(old.commit()), Commit::NotDone(_)));
    assert_eq!(keys(&driver), ["young"]);
}

#[test]
fn reap_never_aborts_an_upload_of_which_a_part_is_younger_than_it_was_told() {
    let aged = Aged::new();
    let slow = aged.begin("slow", "default");
    for number in 1..5 {
        aged.pass(HOUR);
        part(&*slow, number).unwrap();
        aged.pass(MINUTE);
        assert_eq!(told(&reap(&aged.open(), older_than(HOUR))), ["young slow"]);
    }
    assert!(matches!(block_on(slow.commit()), Commit::Done));
}

#[test]
fn reap_aborts_only_uploads_of_this_owner_unless_it_is_told_otherwise() {
    let aged = Aged::new();
    let _held = ["default", "other"].map(|owner| aged.begin(&format!("of-{owner}"), owner));
    aged.pass(2 * HOUR);
    let driver = aged.open();
    assert_eq!(told(&reap(&driver, older_than(HOUR))), ["removed of-default", "other-owner of-other"]);
    assert_eq!(aged.uploads(), ["of-other"]);
    let all = ReapOptions { all_owners: true, ..older_than(HOUR) };
    assert_eq!(told(&reap(&driver, ReapOptions { dry_run: true, ..all })), ["would-remove of-other"]);
    assert_eq!(aged.uploads(), ["of-other"]);
    assert_eq!(told(&reap(&driver, all)), ["removed of-other"]);
    assert_eq!(aged.uploads(), [""; 0]);
}

/// A process that offloads a segment which has no end.
fn offloading(place: &Place) -> Child {
    let Place::Files(dir) = place else { unreachable!("it is a folder") };
    let mut child = Command::new(env!("CARGO_BIN_EXE_seglift"))
        .args(["offload", "-", "--key", "k", "--set", "upload.part.size=64KiB", "--to"])
        .arg(format!("file://{}", dir.path().display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(&noise(1, 1 << 20)).unwrap();
    until(|| !place.left().is_empty(), || "no upload began".to_owned());
    child
}

#[test]
fn reap_leaves_an_upload_whose_process_lives() {
    let place = Place::files();
    let mut child = offloading(&place);
    let driver = place.open("");
    // However old it is.
    thread::sleep(ms(50));
    let report = reap(&driver, older_than(Duration::ZERO));
    assert_eq!(report.tally(Verdict::Alive).count, 1, "{:?}", told(&report));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    place.holds_only(&["k"]);
    assert_eq!(told(&reap(&driver, older_than(Duration::ZERO))), [""; 0]);
}

#[test]
fn what_a_killed_process_left_in_a_folder_is_reaped() {
    let place = Place::files();
    let mut child = offloading(&place);
    child.kill().unwrap();
    child.wait().unwrap();
    let left = place.left();
    assert!(left.len() == 1 && left[0].starts_with(".seglift-upload-"), "{left:?}");
    let driver = place.open("");
    assert_eq!(reap(&driver, older_than(HOUR)).tally(Verdict::Young).count, 1);
    let strangers = place.open_on(&engine(), "", &[("owner", "somebody-else")]);
    until(
        || reap(&strangers, older_than(Duration::ZERO)).tally(Verdict::OtherOwner).count == 1,
        || "the upload of another owner is not told apart".to_owned(),
    );
    let dry = ReapOptions { dry_run: true, ..older_than(Duration::ZERO) };
    until(|| reap(&driver, dry).tally(Verdict::WouldRemove).count == 1, || "it does not grow old".to_owned());
    assert_eq!(place.left(), left);
    let report = reap(&driver, older_than(Duration::ZERO));
    assert_eq!(told(&report), [format!("removed {}", left[0])]);
    place.holds_only(&[]);
}

#[test]
fn sweep_deletes_nothing_that_the_host_listed() {
    let aged = Aged::new();
    let driver = aged.open();
    let all: Vec<String> = (0..2500).map(|i| format!("t/{:04}", i * 7 % 2500)).collect();
    put(&driver, &all.iter().map(String::as_str).collect::<Vec<_>>());
    aged.pass(2 * HOUR);
    let mut live: Vec<&str> = all.iter().map(String::as_str).filter(|key| !key.ends_with('3')).collect();
    live.sort_unstable();
    // Over several pages of the listing, however the list is cut.
    for batch in [1, 700, 5000] {
        let dry = SweepOptions { delete: false, ..delete_after(HOUR) };
        let report = sweep_in(&driver, dry, &live, batch).unwrap();
        assert_eq!(report.tally(Verdict::WouldRemove).count, 250, "in batches of {batch}");
        assert_eq!(report.tally(Verdict::Live).count, 2250);
    }
    let report = sweep(&driver, delete_after(HOUR), &live);
    assert_eq!((report.tally(Verdict::Removed).count, report.total()), (250, 2500));
    let mut left = Vec::new();
    while let Some(more) =
        Some(driver.list("", left.last().map(String::as_str), 1000, &Call::default()).unwrap())
            .filter(|page| !page.entries.is_empty())
    {
        left.extend(more.entries.iter().map(|entry| entry.key.to_string()));
    }
    assert_eq!(left, live);
}

#[test]
fn sweep_deletes_only_objects_of_this_owner() {
    let aged = Aged::new();
    put(&aged.open_as("a"), &["a1", "a2"]);
    put(&aged.open_as("b"), &["b1", "b2"]);
    aged.pass(2 * HOUR);
    let report = sweep(&aged.open_as("b"), delete_after(HOUR), &["b2"]);
    assert_eq!(told(&report), ["other-owner a1", "other-owner a2", "removed b1", "live b2"]);
    assert_eq!(keys(&aged.open()), ["a1", "a2", "b2"]);
}

#[test]
fn sweep_leaves_what_it_cannot_read() {
    let place = Place::files();
    let Place::Files(dir) = &place else { unreachable!("it is a folder") };
    let driver = place.open("");
    put(&driver, &["damaged", "garbage", "live"]);
    let damaged = dir.path().join("damaged");
    let mut bytes = std::fs::read(&damaged).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::remove_file(&damaged).unwrap();
    std::fs::write(&damaged, bytes).unwrap();
    std::fs::write(dir.path().join("notes"), "somebody's").unwrap();
    until(
        || sweep(&driver, delete_after(Duration::ZERO), &["live"]).tally(Verdict::Unreadable).count == 2,
        || format!("{:?}", place.left()),
    );
    place.holds_only(&["damaged", "live", "notes"]);
}

#[test]
fn sweep_leaves_what_is_younger_than_the_grace_or_than_the_sweep() {
    let aged = Aged::new();
    let driver = aged.open();
    put(&driver, &["a-old", "b-live"]);
    aged.pass(MINUTE);
    put(&driver, &["a-young"]);
    aged.pass(HOUR);
    let sweep = driver.sweep(delete_after(HOUR)).unwrap();
    let step = sweep.feed(vec!["b-live".to_owned()], &Call::default()).unwrap();
    assert_eq!(told(&step.report), ["removed a-old", "young a-young", "live b-live"]);
    // It goes on for a year, and so do the offloads.
    put(&driver, &["c-new"]);
    aged.pass(9000 * HOUR);
    while !sweep.finish(&Call::default()).unwrap().done {}
    assert_eq!(keys(&driver), ["a-young", "b-live", "c-new"]);
    // Without a grace, too, what comes in the moment of the beginning is new.
    put(&driver, &["d"]);
    let report = crate::maintain::sweep(&driver, delete_after(Duration::ZERO), &["b-live"]);
    assert_eq!(told(&report), ["removed a-young", "live b-live", "removed c-new", "young d"]);
}

#[test]
fn a_sweep_deletes_nothing_unless_it_is_told_to() {
    for place in Place::each() {
        let driver = place.open("");
        put(&driver, &["a", "b", "c"]);
        let dry = || SweepOptions { delete: false, ..delete_after(Duration::ZERO) };
        until(
            || told(&sweep(&driver, dry(), &["b"])) == ["would-remove a", "live b", "would-remove c"],
            || "the objects do not grow old".to_owned(),
        );
        place.holds_only(&["a", "b", "c"]);
    }
}

#[test]
fn sweep_refuses_an_empty_list_of_live_keys() {
    let aged = Aged::new();
    let driver = aged.open();
    put(&driver, &["a", "b"]);
    aged.pass(2 * HOUR);
    let sweep = driver.sweep(delete_after(HOUR)).unwrap();
    assert_eq!(sweep.feed(Vec::new(), &Call::default()).unwrap().report.total(), 0);
    assert_eq!(code(sweep.finish(&Call::default())), Code::InvalidArgument);
    assert_eq!(keys(&driver), ["a", "b"]);
}

#[test]
fn live_keys_that_are_out_of_order_or_outside_of_the_prefix_are_refused_and_delete_nothing() {
    let aged = Aged::new();
    let driver = aged.open();
    put(&driver, &["p/a", "p/b", "p/c", "p/d", "q/e"]);
    aged.pass(2 * HOUR);
    let within = || SweepOptions { prefix: "p/".to_owned(), ..delete_after(HOUR) };
    for wrong in [&["p/c", "p/b"][..], &["p/b", "p/b"], &["q/e"], &["p/d", ""], &["p/b", "p//c"], &["a"]] {
        assert_eq!(code(sweep_in(&driver, within(), wrong, 1000)), Code::InvalidArgument, "{wrong:?}");
    }
    assert_eq!(keys(&driver).len(), 5);
    // In another feed than the key before it: what lies before that one was judged, and nothing else.
    assert_eq!(code(sweep_in(&driver, within(), &["p/c", "p/b"], 1)), Code::InvalidArgument);
    assert_eq!(keys(&driver), ["p/c", "p/d", "q/e"]);
    assert_eq!(told(&sweep(&driver, within(), &["p/d"])), ["removed p/c", "live p/d"]);
}

#[test]
fn a_sweep_that_is_broken_off_has_deleted_nothing_behind_the_last_live_key() {
    let aged = Aged::new();
    let driver = aged.open();
    put(&driver, &["a", "b", "c", "d", "e"]);
    aged.pass(2 * HOUR);
    let sweep = driver.sweep(delete_after(HOUR)).unwrap();
    let step = sweep.feed(vec!["b".to_owned()], &Call::default()).unwrap();
    assert_eq!((told(&step.report), step.taken), (vec!["removed a".to_owned(), "live b".to_owned()], 1));
    drop(sweep);
    assert_eq!(keys(&driver), ["b", "c", "d", "e"]);
}

#[test]
fn an_object_that_was_written_anew_under_its_key_is_not_swept() {
    for place in Place::each() {
        let driver = place.open("");
        put(&driver, &["a", "live"]);
        thread::sleep(ms(20));
        let slow = place.open("delete=1:delay-2000ms");
        let report = at_stage(
            &slow,
            "delete",
            |slow| sweep(slow, delete_after(Duration::ZERO), &["live"]),
            || {
                // The sweep has judged it and is about to delete it.
                until(
                    || slow.engine().metrics_text().contains("request=\"get\",result=\"OK\"} 1"),
                    || slow.engine().metrics_text(),
                );
                driver.delete(&["a".to_owned()], &Call::default()).unwrap().remove(0).unwrap();
                offload(&driver, "a", &noise(8, 100), Codec::None).unwrap();
            },
        );
        assert_eq!(told(&report), ["changed a", "live live"]);
        assert_same(&content(&place, "a"), &noise(8, 100));
    }
}

#[test]
fn a_live_key_that_is_not_in_the_store_is_reported() {
    let aged = Aged::new();
    let driver = aged.open();
    put(&driver, &["b"]);
    aged.pass(2 * HOUR);
    let report = sweep(&driver, delete_after(HOUR), &["a", "b", "c"]);
    assert_eq!(told(&report), ["missing a", "live b", "missing c"]);
}

#[test]
fn what_cannot_be_removed_is_reported_and_the_rest_goes_on() {
    let aged = Aged::new();
    put(&aged.open(), &["a", "b", "c", "live"]);
    let _held = ["u", "v"].map(|key| aged.begin(key, "default"));
    aged.pass(2 * HOUR);
    let failing = aged.place.open("delete=1:PERMISSION_DENIED&abort=1:UNAVAILABLE");
    let report = sweep(&failing, delete_after(HOUR), &["live"]);
    assert_eq!(report.tally(Verdict::Failed).count, 1, "{:?}", told(&report));
    assert_eq!(report.tally(Verdict::Removed).count, 2);
    let failed = report.items().iter().find(|item| item.verdict == Verdict::Failed).unwrap();
    assert_eq!(failed.error.as_ref().unwrap().code(), Code::PermissionDenied);
    let report = reap(&failing, older_than(HOUR));
    assert_eq!((report.tally(Verdict::Failed).count, report.tally(Verdict::Removed).count), (1, 1));
    // The next ones get the rest.
    assert_eq!(sweep(&aged.open(), delete_after(HOUR), &["live"]).tally(Verdict::Removed).count, 1);
    assert_eq!(reap(&aged.open(), older_than(HOUR)).tally(Verdict::Removed).count, 1);
    assert_eq!((keys(&aged.open()), aged.uploads()), (vec!["live".to_owned()], vec![]));
}

/// What happens in the model, in any order.
#[derive(Clone, Debug)]
enum Event {
    /// A segment is committed; the host has not written down yet that it refers to it.
    Commit(u8),
    /// The host writes down what it has committed.
    Record,
    /// The host no longer refers to a segment.
    Forget(u8),
    /// An upload begins, gets another part, is committed, or is left alone for ever.
    Begin(u8),
    Part(u8),
    Finish(u8),
    /// Minutes pass.
    Pass(u8),
    /// A sweep begins, with the list as it is now, or goes on.
    Sweep(u8),
    Reap,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let any = any::<u8>;
    let event = prop_oneof![
        4 => any().prop_map(Event::Commit),
        2 => Just(Event::Record),
        2 => any().prop_map(Event::Forget),
        2 => any().prop_map(Event::Begin),
        2 => any().prop_map(Event::Part),
        1 => any().prop_map(Event::Finish),
        3 => (1u8..50).prop_map(Event::Pass),
        6 => (0u8..4).prop_map(Event::Sweep),
        1 => Just(Event::Reap),
    ];
    proptest::collection::vec(event, 1..60)
}

/// A host, and what it knows.
struct Host {
    aged: Aged,
    driver: Driver,
    made: u32,
    live: BTreeSet<String>,
    /// Committed and not yet written down, with the minutes since.
    pending: BTreeMap<String, u32>,
    /// Uploads under way with their parts and the minutes since the newest.
    uploads: Vec<(Box<dyn Upload>, u32, u32)>,
    sweep: Option<(seglift::driver::Sweep, Vec<String>)>,
}

/// Minutes of the grace, and of reap.
const GRACE: u32 = 60;

impl Host {
    fn key(&mut self, place: u8) -> String {
        self.made += 1;
        format!("t/{place:03}-{}", self.made)
    }

    fn happens(&mut self, event: &Event) {
        match *event {
            Event::Commit(place) => {
                let key = self.key(place);
                put(&self.driver, &[&key]);
                self.pending.insert(key, 0);
            }
            Event::Record => self.live.extend(std::mem::take(&mut self.pending).into_keys()),
            Event::Forget(which) => {
                if let Some(key) = self.live.iter().nth(usize::from(which) % self.live.len().max(1)).cloned()
                {
                    self.live.remove(&key);
                }
            }
            Event::Begin(place) => {
                let key = self.key(place);
                self.uploads.push((self.aged.begin(&key, "default"), 1, 0));
            }
            Event::Part(which) => {
                let at = usize::from(which) % self.uploads.len().max(1);
                if let Some((upload, parts, idle)) = self.uploads.get_mut(at) {
                    if part(&**upload, *parts).is_ok() {
                        (*parts, *idle) = (*parts + 1, 0);
                    } else {
                        assert!(*idle > GRACE, "an upload was aborted {idle} minutes after its newest part");
                    }
                }
            }
            Event::Finish(which) if !self.uploads.is_empty() => {
                let (upload, _, idle) = self.uploads.remove(usize::from(which) % self.uploads.len());
                let done = matches!(block_on(upload.commit()), Commit::Done);
                assert!(done || idle > GRACE, "an upload was aborted {idle} minutes after its newest part");
            }
            Event::Finish(_) => {}
            Event::Pass(minutes) => {
                // The host keeps its word: what it commits it writes down within the grace.
                let minutes = u32::from(minutes);
                let late = |age: &u32| age + minutes >= GRACE;
                let recorded: Vec<String> =
                    self.pending.iter().filter(|(_, age)| late(age)).map(|(key, _)| key.clone()).collect();
                for key in recorded {
                    self.pending.remove(&key);
                    self.live.insert(key);
                }
                self.aged.pass(MINUTE * minutes);
                self.pending.values_mut().for_each(|age| *age += minutes);
                self.uploads.iter_mut().for_each(|(.., idle)| *idle += minutes);
            }
            Event::Sweep(batch) => self.sweep_on(usize::from(batch)),
            Event::Reap => drop(reap(&self.driver, older_than(MINUTE * GRACE))),
        }
    }

    fn sweep_on(&mut self, batch: usize) {
        let begins = self.sweep.is_none();
        let (sweep, mut list) = self.sweep.take().unwrap_or_else(|| {
            let begun = self.driver.sweep(delete_after(MINUTE * GRACE)).unwrap();
            (begun, self.live.iter().cloned().collect())
        });
        if list.is_empty() {
            match sweep.finish(&Call::default()) {
                Ok(step) if !step.done => self.sweep = Some((sweep, list)),
                Ok(_) => {}
                Err(e) => assert!(begins && e.code() == Code::InvalidArgument, "{e}"),
            }
            return;
        }
        let feed = list[..list.len().min(batch.max(1))].to_vec();
        let step = sweep.feed(feed, &Call::default()).unwrap();
        list.drain(..step.taken);
        self.sweep = Some((sweep, list));
    }

    /// Whatever the host needs is there.
    fn is_whole(&self) {
        let there: BTreeSet<String> = keys(&self.driver).into_iter().collect();
        let lost: Vec<_> =
            self.live.iter().chain(self.pending.keys()).filter(|key| !there.contains(*key)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
    }
}

/// One story after the other, each in a place of its own.
fn stories(engine: &Engine) {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) };
    proptest!(config, |(events in events())| {
        let aged = Aged::new();
        let driver = aged.place.open_on(engine, "", &[]);
        let mut host = Host {
            aged, driver, made: 0, live: BTreeSet::new(), pending: BTreeMap::new(), uploads: Vec::new(), sweep: None,
        };
        for event in &events {
            host.happens(event);
            host.is_whole();
        }
        // In the end all garbage can be removed, and nothing else is.
        host.happens(&Event::Commit(0));
        host.happens(&Event::Record);
        host.aged.pass(MINUTE * (GRACE + 1));
        let live: Vec<&str> = host.live.iter().map(String::as_str).collect();
        let report = sweep(&host.driver, delete_after(MINUTE * GRACE), &live);
        // What an upload here commits is no segment, and so nobody's.
        let stays = report.tally(Verdict::Live).count + report.tally(Verdict::Unreadable).count;
        prop_assert_eq!(keys(&host.driver).len() as u64, stays);
        prop_assert_eq!(report.tally(Verdict::Live).count as usize, live.len());
        reap(&host.driver, older_than(MINUTE * GRACE));
        prop_assert_eq!(host.aged.uploads(), Vec::<String>::new());
    });
}

/// Threads that offload while others clean up, on a clock that only moves between two offloads.
fn a_crowd(engine: &Engine) {
    let aged = Aged::new();
    let host = aged.place.open_on(engine, "", &[]);
    let made = AtomicU32::new(0);
    let (live, moment, over) =
        (Mutex::new(BTreeMap::<String, Bytes>::new()), RwLock::new(()), AtomicBool::new(false));
    thread::scope(|scope| {
        for worker in 0..3u64 {
            let (aged, live, moment, over, made) = (&aged, &live, &moment, &over, &made);
            scope.spawn(move || {
                let driver = aged.place.open_on(engine, "", &[]);
                for i in 0.. {
                    if over.load(Relaxed) {
                        break;
                    }
                    let (key, bytes) = (format!("t/{:02}-{worker}-{i}", i * 7 % 100), noise(i, 200_000));
                    let _same_moment = moment.read();
                    offload(&driver, &key, &bytes, Codec::None).unwrap();
                    // Every third one is forgotten at once.
                    if i % 3 != 0 {
                        live.lock().insert(key, bytes);
                    }
                    made.fetch_add(1, Relaxed);
                }
            });
        }
        for round in 1..=15 {
            until(|| made.load(Relaxed) >= 6 * round, || format!("{} offloads", made.load(Relaxed)));
            let list = {
                let _nobody_offloads = moment.write();
                aged.pass(2 * HOUR);
                live.lock().keys().cloned().collect::<Vec<_>>()
            };
            reap(&host, older_than(HOUR));
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            if !list.is_empty() {
                sweep_in(&host, delete_after(HOUR), &list, 3).unwrap();
            }
        }
        over.store(true, Relaxed);
    });
    let live = live.into_inner();
    for (key, bytes) in &live {
        assert_same(&read(&host, &by_key(key), 0, bytes.len() + 1).unwrap(), bytes);
    }
    aged.pass(2 * HOUR);
    let list: Vec<&str> = live.keys().map(String::as_str).collect();
    sweep(&host, delete_after(HOUR), &list);
    assert_eq!(keys(&host), list);
}

#[test]
fn reap_and_sweep_beside_offloads_destroy_no_live_work() {
    let engine = engine();
    stories(&engine);
    a_crowd(&engine);
}
