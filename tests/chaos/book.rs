//! What is known of every key: what it must hold, and whether it may, must or must not be there.

use crate::faults::Dice;
use seglift::{
    Code,
    engine::Call,
    reader::SegmentRef,
    writer::{Receipt, Record},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{LazyLock, Mutex, MutexGuard},
};

/// Longest segment in bytes: three parts of 64 KiB and a rest.
const LONGEST: u64 = 220_000;

/// Bytes that do not compress; every segment is a piece of them.
pub static NOISE: LazyLock<bytes::Bytes> = LazyLock::new(|| {
    let mut dice = Dice::new(7);
    (0..(1 << 17)).flat_map(|_| dice.next().to_le_bytes()).collect()
});

/// What a key holds. It follows from the key alone, so that each attempt at it has the same content.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    pub start: usize,
    pub len: usize,
    /// The bytes are records of [`RECORD`] bytes each, with ids 0, 2, 4…
    pub records: bool,
}

/// Bytes of a record's payload.
pub const RECORD: usize = 1000;

impl Content {
    fn of(number: u64) -> Content {
        let mut dice = Dice::new(number);
        let len = match dice.below(4) {
            0 => dice.below(100),
            1 | 2 => dice.below(20_000),
            _ => dice.below(LONGEST),
        } as usize;
        let records = number % 4 == 3;
        let start = dice.below((NOISE.len() - len) as u64) as usize;
        Content { start, len: if records { len - len % RECORD } else { len }, records }
    }

    pub fn bytes(&self) -> bytes::Bytes {
        NOISE.slice(self.start..self.start + self.len)
    }

    pub fn record(&self, n: usize) -> Record<'static> {
        let at = self.start + n * RECORD;
        Record { id: 2 * n as u64, time_us: n as i64, payload: &NOISE[at..at + RECORD] }
    }

    pub fn record_count(&self) -> usize {
        if self.records { self.len / RECORD } else { 0 }
    }
}

/// What happened to a key.
#[derive(Clone, Debug)]
struct Entry {
    content: Content,
    attempts: usize,
    receipt: Option<Receipt>,
    /// An attempt ended as `OUTCOME_UNKNOWN`.
    uncertain: bool,
    delete_asked: bool,
    deleted: bool,
}

/// All keys by name, the readable ones, and those that were tried last.
#[derive(Default)]
struct Pages {
    entries: BTreeMap<String, Entry>,
    readable: Vec<String>,
    recent: VecDeque<String>,
}

#[derive(Default)]
pub struct Book(Mutex<Pages>);

/// What a store must do about a key in the end; whatever it holds must be right.
pub enum Must {
    Hold(Receipt),
    Lack,
    HoldOrLack,
}

impl Book {
    fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(|failed| failed.into_inner())
    }

    /// A new key, or one of before, to offload under.
    pub fn attempt(&self, dice: &mut Dice, records: bool) -> (String, Content) {
        let mut pages = self.open();
        let Pages { entries, recent, .. } = &mut *pages;
        // Now and then a host repeats what it did.
        let again = recent
            .iter()
            .find(|key| entries.get(*key).is_some_and(|e| !e.delete_asked && e.content.records == records));
        let key = again.filter(|_| dice.chance(10)).cloned().unwrap_or_else(|| {
            let mut number = entries.len() as u64 * 4;
            number += if records { 3 } else { dice.below(3) };
            let key = format!("topic-{}/{number:08}", number % 5);
            let content = Content::of(number);
            let entry = Entry {
                content,
                attempts: 0,
                receipt: None,
                uncertain: false,
                delete_asked: false,
                deleted: false,
            };
            entries.insert(key.clone(), entry);
            recent.push_front(key.clone());
            recent.truncate(20);
            key
        });
        let entry = entries.get_mut(&key).expect("it is there");
        entry.attempts += 1;
        (key.clone(), entry.content)
    }

    /// How an attempt ended.
    pub fn attempted(&self, key: &str, result: Result<&Receipt, Code>) {
        let mut pages = self.open();
        let Pages { entries, readable, .. } = &mut *pages;
        let entry = entries.get_mut(key).expect("it was begun");
        match result {
            Ok(receipt) => {
                assert_eq!(receipt.key, key);
                assert_eq!(receipt.records as usize, entry.content.record_count(), "{key}");
                if entry.receipt.replace(receipt.clone()).is_none() && !entry.delete_asked {
                    readable.push(key.to_owned());
                }
            }
            Err(code) => entry.uncertain |= code == Code::OutcomeUnknown,
        }
    }

    /// A key that has a receipt and was not asked to be deleted, by token or by name.
    pub fn readable(&self, dice: &mut Dice) -> Option<(SegmentRef, Content)> {
        let pages = self.open();
        let key = pages.readable.get(dice.below(pages.readable.len().max(1) as u64) as usize)?;
        let entry = pages.entries.get(key)?;
        let token = entry.receipt.as_ref().map(|receipt| receipt.token.clone()).filter(|_| dice.chance(70));
        Some((SegmentRef { key: key.clone(), token }, entry.content))
    }

    /// How many keys are readable.
    pub fn population(&self) -> usize {
        self.open().readable.len()
    }

    /// Whether a key must be there now.
    pub fn is_readable(&self, key: &str) -> bool {
        self.open().entries.get(key).is_some_and(|e| !e.delete_asked && e.receipt.is_some())
    }

    /// From now on the key may go.
    pub fn delete(&self, key: &str) {
        let mut pages = self.open();
        if let Some(entry) = pages.entries.get_mut(key) {
            entry.delete_asked = true;
        }
        pages.readable.retain(|readable| readable != key);
    }

    pub fn deleted(&self, key: &str) {
        if let Some(entry) = self.open().entries.get_mut(key) {
            entry.deleted = true;
        }
    }

    pub fn knows(&self, key: &str) -> bool {
        self.open().entries.contains_key(key)
    }

    /// All keys, in byte order.
    pub fn keys(&self) -> Vec<String> {
        self.open().entries.keys().cloned().collect()
    }

    /// What must be true in the end. `late`: a commit may have come after the deletion.
    pub fn must(&self, late: bool) -> Vec<(String, Content, Must)> {
        let verdict = |e: &Entry| match &e.receipt {
            Some(receipt) if !e.delete_asked => Must::Hold(receipt.clone()),
            // A second attempt may have committed after the deletion of the first.
            Some(_) if e.deleted && !e.uncertain && !late && e.attempts == 1 => Must::Lack,
            None if !e.uncertain => Must::Lack,
            _ => Must::HoldOrLack,
        };
        self.open().entries.iter().map(|(key, e)| (key.clone(), e.content, verdict(e))).collect()
    }
}

/// A call with a short deadline, a token, a hint or none of it.
pub fn call(dice: &mut Dice) -> Call {
    let mut call = Call { priority: dice.below(3) as i32 - 1, ..Call::default() };
    if dice.chance(15) {
        call.deadline = Some(std::time::Duration::from_millis(1 + dice.below(60)));
    }
    if dice.chance(15) {
        call.cancel = Some(seglift::engine::Cancel::new());
    }
    call.flags.no_cache = dice.chance(10);
    call.flags.sequential = dice.chance(10);
    call.flags.random = dice.chance(10);
    call
}
