//! The read-ahead detector: who reads on, and how far ahead of him to fetch.
//!
//! Purpose: brokers open a segment at a position, read up to a mebibyte and close it again, so there is no
//! handle that could remember anything. What is remembered instead is, for each object, where its last
//! readers stopped. A read that begins where another stopped is a reader that goes on: the window in front of
//! it opens at 512 KiB and doubles with each fetch; a read elsewhere starts over with nothing.
//!
//! Invariant: bounded. A few cursors for each of a few hundred objects, forgotten in the order of their last
//! use; it only ever advises, so a forgotten cursor costs one window of speed and never a wrong byte.
//!
//! Trade-off: nothing learns whether what was advised was still there when its reader came. Each byte is advised once
//! to a reader, so where more readers go on than the cache has room for, the worst is that it is fetched twice.
//! Cursors are found by position, so two readers at the same place share one; they share the blocks too.

use crate::object::ObjectId;
use lru::LruCache;
use parking_lot::Mutex;
use std::{hash::BuildHasherDefault, ops::Range};

/// First window in bytes: two zstd blocks, so a wrong guess costs one request of the cheapest kind.
const FIRST_WINDOW: u64 = 512 << 10;
/// How far a reader may skip forward and still count as going on: less than the smallest default block.
const NEAR: u64 = 64 << 10;
/// Readers at different places of one object: a few consumer groups. One more displaces the least recent.
const CURSORS: usize = 4;
/// Locks, so that readers of different objects seldom meet; each is held for some tens of nanoseconds.
const SHARDS: usize = 16;
/// Objects that each shard remembers: 1,024 in all, about 200 KiB at most.
const OBJECTS_PER_SHARD: usize = 64;

/// What the caller says about its reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// Nothing: two adjacent reads show it.
    None,
    /// It will read on: fetch ahead from the first read.
    Sequential,
    /// It will not: fetch nothing ahead.
    Random,
}

/// One reader of one object, as far as positions show it.
#[derive(Clone, Copy)]
struct Cursor {
    /// The last read.
    last: Range64,
    /// Bytes to keep fetched in front of it; 0 until a second read has shown that it goes on.
    window: u64,
    /// Up to where the fetches were advised.
    advised: u64,
}

/// A `Range<u64>` that can be copied.
#[derive(Clone, Copy)]
struct Range64 {
    start: u64,
    end: u64,
}

/// The cursors of an object, most recent first.
type Cursors = Vec<Cursor>;
type Table = LruCache<ObjectId, Cursors, BuildHasherDefault<std::hash::DefaultHasher>>;

/// The table of cursors.
pub(super) struct Ahead {
    shards: [Mutex<Table>; SHARDS],
}

impl Ahead {
    pub fn new() -> Self {
        Ahead {
            shards: std::array::from_fn(|_| Mutex::new(LruCache::unbounded_with_hasher(Default::default()))),
        }
    }

    /// Takes note of a read of `read` (not empty) and says what to fetch ahead of it: a range behind it, inside
    /// the `segment_len` bytes of the segment. `max` is the largest window in bytes; 0 is off. `request` is what one
    /// request brings at most.
    pub fn note(
        &self,
        id: ObjectId,
        read: Range<u64>,
        segment_len: u64,
        hint: Hint,
        max: u64,
        request: u64,
    ) -> Option<Range<u64>> {
        if max == 0 || hint == Hint::Random {
            return None;
        }
        let mut table = self.shards[id.0.as_u128() as usize % SHARDS].lock();
        if !table.contains(&id) && table.len() == OBJECTS_PER_SHARD {
            table.pop_lru();
        }
        let cursors = table.get_or_insert_mut(id, || Vec::with_capacity(CURSORS));
        let known = cursors.iter().position(|c| c.continues(&read));
        let cursor = match known {
            Some(at) => {
                cursors[..=at].rotate_right(1);
                let cursor = &mut cursors[0];
                if read.end <= cursor.last.end {
                    // The same bytes again: neither going on nor going away.
                    return None;
                }
                cursor.window = cursor.window.max(FIRST_WINDOW);
                cursor.last = Range64 { start: read.start, end: read.end };
                cursor
            }
            None => {
                cursors.truncate(CURSORS - 1);
                let window = if hint == Hint::Sequential { FIRST_WINDOW } else { 0 };
                let last = Range64 { start: read.start, end: read.end };
                cursors.insert(0, Cursor { last, window, advised: read.end });
                &mut cursors[0]
            }
        };
        cursor.advise(segment_len, max, request)
    }
}

impl Cursor {
    fn continues(&self, read: &Range<u64>) -> bool {
        (self.last.start..=self.last.end.saturating_add(NEAR)).contains(&read.start)
    }

    fn advise(&mut self, segment_len: u64, max: u64, request: u64) -> Option<Range<u64>> {
        let window = self.window.min(max);
        let from = self.advised.max(self.last.end);
        let mut to = self.last.end.saturating_add(window).min(segment_len);
        // Half a window is still in front of the reader: one larger fetch later is cheaper than two now.
        let enough = from - self.last.end >= window.div_ceil(2);
        if window == 0 || enough || from >= to {
            return None;
        }
        // Whole requests: a small one behind a large one costs as much as that.
        if to < segment_len && to - from > request {
            to -= (to - from) % request;
        }
        self.advised = to;
        self.window = window.saturating_mul(2).min(max);
        Some(from..to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    fn id(n: u128) -> ObjectId {
        ObjectId(uuid::Uuid::from_u128(n))
    }

    fn note(ahead: &Ahead, read: Range<u64>) -> Option<Range<u64>> {
        ahead.note(id(1), read, 100 * MIB, Hint::None, 8 * MIB, u64::MAX)
    }

    #[test]
    fn two_adjacent_reads_open_a_window_that_doubles_up_to_its_limit() {
        let ahead = Ahead::new();
        assert_eq!(note(&ahead, 0..MIB), None);
        let (mut at, mut advised, mut windows) = (MIB, 0, Vec::new());
        while at < 60 * MIB {
            if let Some(range) = note(&ahead, at..at + MIB) {
                assert!(range.start >= at + MIB && range.start >= advised, "never twice, never behind");
                advised = range.end;
                windows.push(range.end - (at + MIB));
            }
            at += MIB;
        }
        assert_eq!(&windows[..5], &[512 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB]);
        assert!(windows[5..].iter().all(|w| *w == 8 * MIB));
    }

    #[test]
    fn what_is_fetched_ahead_is_whole_requests_but_for_the_end() {
        let (ahead, request) = (Ahead::new(), 4 * MIB);
        let mut fetched = Vec::new();
        for at in (0..100 * MIB).step_by(MIB as usize) {
            fetched.extend(ahead.note(id(1), at..at + MIB, 100 * MIB, Hint::None, 8 * MIB, request));
        }
        assert_eq!(fetched.pop().unwrap().end, 100 * MIB);
        // At first the window is smaller than a request.
        let grown: Vec<_> = fetched.iter().skip_while(|range| range.end - range.start < request).collect();
        assert!(grown.len() > 20, "{fetched:?}");
        assert!(grown.iter().all(|range| range.end - range.start == request), "{fetched:?}");
        assert!(grown.windows(2).all(|two| two[0].end == two[1].start), "no gap: {fetched:?}");
    }

    #[test]
    fn one_read_or_a_far_seek_fetches_nothing_ahead() {
        let ahead = Ahead::new();
        assert_eq!(note(&ahead, 0..MIB), None);
        assert_eq!(note(&ahead, 50 * MIB..51 * MIB), None);
        assert_eq!(note(&ahead, 20 * MIB..21 * MIB), None);
    }

    #[test]
    fn repeating_a_read_is_not_going_on() {
        let ahead = Ahead::new();
        for _ in 0..5 {
            assert_eq!(note(&ahead, MIB..2 * MIB), None);
        }
    }

    #[test]
    fn a_read_that_overlaps_or_skips_a_little_goes_on() {
        let ahead = Ahead::new();
        note(&ahead, 0..MIB);
        assert!(note(&ahead, MIB - 17..MIB + 100).is_some());
        let ahead = Ahead::new();
        note(&ahead, 0..MIB);
        assert!(note(&ahead, MIB + 60 * KIB..2 * MIB).is_some());
    }

    #[test]
    fn readers_at_four_places_of_one_object_do_not_disturb_each_other() {
        let ahead = Ahead::new();
        for step in 0..3 {
            for reader in 0..CURSORS as u64 {
                let at = reader * 20 * MIB + step * MIB;
                assert_eq!(note(&ahead, at..at + MIB).is_some(), step > 0, "reader {reader}, step {step}");
            }
        }
    }

    #[test]
    fn a_hint_turns_it_on_at_once_or_off() {
        let ahead = Ahead::new();
        let fetched = ahead.note(id(1), 0..MIB, 100 * MIB, Hint::Sequential, 8 * MIB, u64::MAX);
        assert_eq!(fetched, Some(MIB..MIB + FIRST_WINDOW));
        assert_eq!(ahead.note(id(2), 0..MIB, 100 * MIB, Hint::Random, 8 * MIB, u64::MAX), None);
        assert_eq!(ahead.note(id(2), MIB..2 * MIB, 100 * MIB, Hint::Random, 8 * MIB, u64::MAX), None);
        assert_eq!(ahead.note(id(3), 0..MIB, 100 * MIB, Hint::Sequential, 0, u64::MAX), None, "switched off");
    }

    #[test]
    fn the_window_ends_with_the_segment() {
        let ahead = Ahead::new();
        let len = MIB + 100;
        assert_eq!(ahead.note(id(1), 0..MIB, len, Hint::Sequential, 8 * MIB, u64::MAX), Some(MIB..len));
        assert_eq!(ahead.note(id(1), MIB..len, len, Hint::Sequential, 8 * MIB, u64::MAX), None);
        assert_eq!(
            ahead.note(id(2), u64::MAX - 10..u64::MAX, u64::MAX, Hint::Sequential, u64::MAX, u64::MAX),
            None
        );
    }

    #[test]
    fn however_many_objects_are_read_a_thousand_are_remembered() {
        let ahead = Ahead::new();
        for n in 0..100_000 {
            ahead.note(id(n), 0..MIB, 100 * MIB, Hint::None, 8 * MIB, u64::MAX);
        }
        assert!(ahead.shards.iter().all(|shard| shard.lock().len() <= OBJECTS_PER_SHARD));
    }
}
