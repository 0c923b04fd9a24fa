//! The engine, its driver and queue of the moment, and the threads that use them.

use crate::{
    action::{Action, Started, attachments, same},
    book::{Book, Content, NOISE, call},
    faults::{Dice, script},
};
use seglift::{
    Code, Driver, Error, Outcome, Result,
    buf::LentBuf,
    codec::Codec,
    config::Config,
    engine::{Call, Cancel, Engine, EngineOptions, Event, Queue},
    object::{Metadata, Mode},
    writer::{Finish, Receipt, Writer, WriterOptions},
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// Small, so that operations wait for memory and find none.
pub const BUDGET: u64 = 24 << 20;
/// No deadline here is longer than three seconds and two of grace; the rest is for a machine with better things to do.
pub const HANGS: Duration = Duration::from_secs(60);

pub enum Place {
    Memory(String),
    Files(tempfile::TempDir),
}

impl Place {
    pub fn memory() -> Place {
        Place::Memory(format!("chaos-{}", std::process::id()))
    }

    pub fn files() -> Place {
        Place::Files(tempfile::tempdir().unwrap())
    }

    pub fn open(&self, engine: &Engine, script: &str) -> Driver {
        let uri = match self {
            Place::Memory(name) => format!("memory://{name}"),
            Place::Files(dir) => format!("file://{}", dir.path().display()),
        };
        let uri = if script.is_empty() { uri } else { format!("fault+{uri}?{script}") };
        // On files a short row of failures holds everything back for a moment; in memory each request has its own fate.
        let failures = if self.is_late() { "0" } else { "2" };
        let mut config = Config::new();
        for (key, value) in [
            ("block.size", "4KiB"),
            ("upload.part.size", "64KiB"),
            ("file.fsync", "false"),
            ("retry.attempts", "4"),
            ("retry.pause.first", "1ms"),
            ("retry.pause.max", "20ms"),
            ("breaker.failures", failures),
            ("breaker.time", "0"),
            ("breaker.pause", "5ms"),
            ("deadline.read", "1s"),
            ("deadline.offload", "3s"),
            ("deadline.other", "1s"),
            ("stall", "1s"),
        ] {
            config.set(key, value).unwrap();
        }
        Driver::open(engine, &uri, &config).unwrap()
    }

    /// Whether commits may come late: on one place only, because an object may then come back.
    pub fn is_late(&self) -> bool {
        matches!(self, Place::Memory(_))
    }
}

/// What waits for its completion.
pub enum Pending {
    Action { action: Action, dest: LentBuf, since: Instant },
    Commit { key: String, _writer: Writer, since: Instant },
}

/// Something that another thread may stop.
pub enum Stop {
    Token(Cancel),
    Op(u64),
    Buffer(LentBuf),
}

pub struct World {
    pub place: Place,
    folder: tempfile::TempDir,
    pub engine: Engine,
    driver: RwLock<Driver>,
    queue: RwLock<Queue<Outcome>>,
    pollers: Mutex<Vec<thread::JoinHandle<()>>>,
    pub shared: Arc<Shared>,
    seed: u64,
}

/// What pollers need.
#[derive(Default)]
pub struct Shared {
    pub book: Book,
    pub pending: Mutex<HashMap<usize, Pending>>,
    tickets: AtomicUsize,
    pub stops: Mutex<VecDeque<Stop>>,
    /// What the host holds of the library's memory, for a while.
    pub held: Mutex<VecDeque<Outcome>>,
    /// How often each kind ended how.
    pub tally: Mutex<BTreeMap<(&'static str, String), usize>>,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|failed| failed.into_inner())
}

impl World {
    pub fn new(place: Place, seed: u64) -> World {
        let options = EngineOptions {
            threads: 2,
            memory_budget: BUDGET,
            lent_limit: 4 << 20,
            cache_size: 6 << 20,
            ..EngineOptions::default()
        };
        let engine = Engine::new(options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("noise"), &*NOISE).unwrap();
        let driver = place.open(&engine, &script(&mut Dice::new(seed), place.is_late()));
        let shared = Arc::new(Shared::default());
        let (queue, pollers) = open_queue(&shared);
        World {
            place,
            folder,
            engine,
            driver: RwLock::new(driver),
            queue: RwLock::new(queue),
            pollers: Mutex::new(pollers),
            shared,
            seed,
        }
    }

    /// `operations` by `workers` threads, and then silence.
    pub fn storm(&self, workers: usize, operations: usize) {
        thread::scope(|scope| {
            let work = |worker| {
                let mut dice = Dice::new(self.seed ^ (worker as u64 + 1) << 32);
                let mut given_back = VecDeque::new();
                let remainder = if worker == 0 { operations % workers } else { 0 };
                for _ in 0..operations / workers + remainder {
                    self.one(&mut dice, &mut given_back);
                }
                given_back.iter().for_each(|dest| check_given_back(dest));
            };
            let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
            // The first that failed says why.
            let failed = threads.into_iter().filter_map(|thread| thread.join().err()).next();
            if let Some(why) = failed {
                std::panic::resume_unwind(why);
            }
        });
        read(&self.queue).shutdown(HANGS).unwrap();
        for poller in lock(&self.pollers).drain(..) {
            poller.join().unwrap_or_else(|why| std::panic::resume_unwind(why));
        }
        read(&self.driver).close(HANGS).unwrap();
    }

    fn one(&self, dice: &mut Dice, given_back: &mut VecDeque<Vec<u8>>) {
        if dice.chance(20) {
            let stop = lock(&self.shared.stops).pop_front();
            match stop {
                None => {}
                Some(Stop::Token(token)) => token.cancel(),
                Some(Stop::Op(op)) => drop(self.engine.cancel(op)),
                Some(Stop::Buffer(dest)) => dest.revoke(),
            }
        }
        match dice.below(500) {
            0 | 1 => self.replace_driver(dice),
            2 => self.replace_queue(),
            3..30 => self.write(dice),
            _ => self.act(dice, given_back),
        }
    }

    /// Closes the driver under load, when there is another.
    fn replace_driver(&self, dice: &mut Dice) {
        let new = self.place.open(&self.engine, &script(dice, self.place.is_late()));
        let old = std::mem::replace(&mut *self.driver.write().unwrap(), new);
        old.close(HANGS).unwrap();
        let late = old.list("", None, 1, &Call::default());
        assert_eq!(late.unwrap_err().code(), Code::Closed);
    }

    /// Shuts the queue down under load, when there is another.
    fn replace_queue(&self) {
        let (new, pollers) = open_queue(&self.shared);
        let old = std::mem::replace(&mut *self.queue.write().unwrap(), new);
        lock(&self.pollers).extend(pollers);
        old.shutdown(HANGS).unwrap();
        assert_eq!(old.in_flight(), 0);
    }

    fn act(&self, dice: &mut Dice, given_back: &mut VecDeque<Vec<u8>>) {
        let (driver, queue) = (read(&self.driver), read(&self.queue));
        let action = Action::roll(dice, &self.shared.book);
        if let Action::Delete { keys } = &action {
            keys.iter().for_each(|key| self.shared.book.delete(key));
        }
        let (call, since) = (call(dice), Instant::now());
        let len = if let Action::Range { len, .. } = &action { *len } else { 0 };
        let token = call.cancel.clone().map(Stop::Token);
        if let Some(token) = token {
            lock(&self.shared.stops).push_back(token);
        }
        let ticket = self.shared.tickets.fetch_add(1, Relaxed);
        let slot = if dice.chance(60) { queue.reserve(ticket).ok() } else { None };
        let Some(slot) = slot else {
            // The caller's own memory, which nobody may write once the call has returned.
            if let Action::Range { of, offset, .. } = &action {
                let mut dest = given_back.pop_front().filter(|_| given_back.len() >= 8).unwrap_or_default();
                check_given_back(&dest);
                dest.resize(len, 0);
                let result = driver.read_range(of, *offset as u64, &mut dest, &call);
                if let (Ok(n), Action::Range { content, .. }) = (&result, &action) {
                    same(content, *offset, len, &dest[..*n]);
                }
                dest.fill(GIVEN_BACK);
                given_back.push_back(dest);
                let nothing = LentBuf::owned(0).unwrap();
                return self.shared.ended(&action, &nothing, since, result.map(Outcome::Read));
            }
            let nothing = LentBuf::owned(0).unwrap();
            return match action.start(&driver, self.folder.path(), &nothing, &call, None) {
                Started::Ended(result) => self.shared.ended(&action, &nothing, since, result),
                Started::Submitted(_) | Started::Refused(_) => unreachable!("it had no slot"),
            };
        };
        let dest = LentBuf::owned(len).unwrap();
        // Noted before it is submitted: the completion may be faster.
        let started = {
            let mut pending = lock(&self.shared.pending);
            let started = action.start(&driver, self.folder.path(), &dest, &call, Some(slot));
            if let Started::Submitted(op) = &started {
                let mut stops = lock(&self.shared.stops);
                match dice.below(20) {
                    0 | 1 => stops.push_back(Stop::Op(*op)),
                    2 => stops.push_back(Stop::Buffer(dest.clone())),
                    _ => {}
                }
                pending.insert(ticket, Pending::Action { action, dest, since });
                return;
            }
            started
        };
        match started {
            Started::Refused(e) => self.shared.ended(&action, &dest, since, Err(e)),
            Started::Ended(_) | Started::Submitted(_) => unreachable!("it had a slot"),
        }
    }

    /// A segment that is pushed: committed, aborted or forgotten.
    fn write(&self, dice: &mut Dice) {
        let (driver, queue) = (read(&self.driver), read(&self.queue));
        let records = dice.chance(70);
        let (key, content) = self.shared.book.attempt(dice, records);
        let since = Instant::now();
        let options = WriterOptions {
            key: key.clone(),
            mode: if records { Mode::Records } else { Mode::Bytes },
            codec: Some(*dice.pick(&[Codec::None, Codec::Zstd])),
            if_exists: Default::default(),
            max_bytes: Some(1 << 20),
            metadata: Metadata::default(),
        };
        let ended = |result: Result<&Receipt, &Error>| {
            self.shared.book.attempted(&key, result.map_err(Error::code));
            self.shared.note("writer", since, result.err());
        };
        let writer = match driver.writer(options, &call(dice), None) {
            Ok(writer) => writer,
            Err(e) => return ended(Err(&e)),
        };
        let pushed = match records {
            true => (0..content.record_count())
                .try_for_each(|n| writer.append(content.record(n), &Call::default())),
            false => push(&writer, &content),
        };
        let finish = || Finish { attachments: attachments(&content), ..Finish::default() };
        let way = dice.below(20);
        if let Err(e) = pushed {
            return ended(Err(&e));
        }
        match way {
            0 => ended(Err(&Error::new(Code::Cancelled, "it was forgotten"))),
            1 | 2 => {
                let aborted = writer.abort(&call(dice));
                ended(Err(&aborted.err().unwrap_or(Error::new(Code::Cancelled, "it was aborted"))));
            }
            3..9 => {
                let ticket = self.shared.tickets.fetch_add(1, Relaxed);
                let slot = match queue.reserve(ticket) {
                    Ok(slot) => slot,
                    Err(e) => return ended(Err(&e)),
                };
                let mut pending = lock(&self.shared.pending);
                match driver.commit_submit(&writer, finish(), &call(dice), slot) {
                    Err(e) => {
                        drop(pending);
                        ended(Err(&e));
                    }
                    Ok(_) => {
                        pending.insert(ticket, Pending::Commit { key: key.clone(), _writer: writer, since });
                    }
                }
            }
            _ => ended(writer.commit(finish(), &call(dice)).as_ref()),
        }
    }
}

const GIVEN_BACK: u8 = 0xa5;

#[track_caller]
fn check_given_back(dest: &[u8]) {
    assert!(dest.iter().all(|byte| *byte == GIVEN_BACK), "a buffer was written after it was given back");
}

fn read<T: Clone>(lock: &RwLock<T>) -> T {
    lock.read().unwrap_or_else(|failed| failed.into_inner()).clone()
}

fn push(writer: &Writer, content: &Content) -> Result<()> {
    let (bytes, mut done) = (content.bytes(), 0);
    while done < bytes.len() {
        let most = bytes.len().min(done + 30_000);
        done += writer.write(&bytes[done..most], &Call::default())?;
    }
    Ok(())
}

type Pollers = Vec<thread::JoinHandle<()>>;

/// A queue and two threads that poll it until it is over.
fn open_queue(shared: &Arc<Shared>) -> (Queue<Outcome>, Pollers) {
    let queue = Queue::new(64).unwrap();
    let poll = |max: usize, timeout: Option<Duration>| {
        let (queue, shared) = (queue.clone(), shared.clone());
        thread::spawn(move || {
            loop {
                match queue.poll(max, timeout) {
                    Err(e) => return assert_eq!(e.code(), Code::Closed),
                    Ok(polled) => {
                        for completion in polled {
                            let Event::Done { result, .. } = completion.event else {
                                panic!("no writer asked to be called")
                            };
                            shared.completed(completion.user_data, result);
                        }
                    }
                }
            }
        })
    };
    let pollers = vec![poll(1, None), poll(7, Some(Duration::from_millis(3)))];
    // From here on the descriptor is kept in step as well.
    queue.fd().unwrap();
    (queue, pollers)
}

/// Errors that nothing here explains.
const NEVER: [Code; 9] = [
    Code::InvalidArgument,
    Code::InvalidConfig,
    Code::AlreadyExists,
    Code::WrongStore,
    Code::OutOfRange,
    Code::UnsupportedVersion,
    Code::PermissionDenied,
    Code::Forked,
    Code::End,
];

impl Shared {
    /// A completion came: it is the only one of its operation.
    fn completed(&self, ticket: usize, result: Result<Outcome>) {
        let pending = lock(&self.pending).remove(&ticket);
        match pending.expect("a completion of nothing, or a second one") {
            Pending::Action { action, dest, since } => self.ended(&action, &dest, since, result),
            Pending::Commit { key, since, .. } => {
                let receipt = match &result {
                    Ok(Outcome::Receipt(receipt)) => Ok(&**receipt),
                    Ok(other) => panic!("a commit ended as {other:?}"),
                    Err(e) => Err(e.code()),
                };
                self.book.attempted(&key, receipt);
                self.note("writer", since, result.as_ref().err());
            }
        }
    }

    fn ended(&self, action: &Action, dest: &LentBuf, since: Instant, result: Result<Outcome>) {
        self.note(action.name(), since, result.as_ref().err());
        if let Action::Offload { key, .. } = action {
            let receipt = match &result {
                Ok(Outcome::Receipt(receipt)) => Ok(&**receipt),
                Ok(other) => panic!("an offload ended as {other:?}"),
                Err(e) => Err(e.code()),
            };
            self.book.attempted(key, receipt);
        }
        match result {
            Ok(outcome) => {
                action.check(&outcome, dest, &self.book);
                if matches!(outcome, Outcome::Bytes(_) | Outcome::Records(_)) {
                    let mut held = lock(&self.held);
                    held.push_back(outcome);
                    let given_back = if held.len() > 20 { held.pop_front() } else { None };
                    drop(held);
                    drop(given_back);
                }
            }
            Err(e) if e.code() == Code::NotFound => {
                let lost = action.reads().filter(|key| self.book.is_readable(key));
                assert_eq!(lost, None, "it has a receipt and was not deleted: {e}");
            }
            Err(_) => {}
        }
    }

    #[track_caller]
    fn note(&self, what: &'static str, since: Instant, error: Option<&Error>) {
        assert!(since.elapsed() < HANGS, "{what} took {:?}", since.elapsed());
        let how = error.map_or("OK", |e| e.code().name());
        *lock(&self.tally).entry((what, how.to_owned())).or_default() += 1;
        if let Some(e) = error {
            assert!(!NEVER.contains(&e.code()), "{what}: {e}");
        }
    }
}

/// Waits for what will come.
#[track_caller]
pub fn until(come: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let since = Instant::now();
    while !come() {
        assert!(since.elapsed() < HANGS, "it did not come: {}", otherwise());
        thread::sleep(Duration::from_millis(2));
    }
}
