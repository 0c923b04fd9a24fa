//! The walk through the blocks of a damaged object, from the first to the last that can be found.
//!
//! Under an index page that is sound, each block is where the page says, and it passes or it does not. Under one that
//! is not, or where the tail that vouches for all pages is lost, the page's entries are taken for clues: a block whose
//! stored bytes have the CRC32C that stands in the place of its entry is proven, and so is its number, because entries
//! are counted from the page's first. How long a block is its entry says, and the block itself (a zstd frame, a block
//! of records): where they differ, both are tried.

use super::{plan::Plan, room::Room, window::Window};
use crate::{
    codec::{Codec, Decompressor, checksum::crc32c},
    engine::Op,
    error::{Code, Result},
    object::{
        Block, Mode, Page, Tail,
        salvage::{BLOCK_START, Clue, MOST_ENTRY, Shape, is_attachment_frame, len_before_attachment},
    },
};
use std::{ops::Range, sync::Arc};

/// What the walk met next.
pub(super) enum Seen {
    /// A block that can be decoded.
    Block(Found),
    /// Blocks that cannot.
    Lost(Lost),
    /// The next block takes so many bytes of memory; nothing was done.
    Room(u64),
    /// Nothing is left.
    End,
}

/// A block that can be decoded.
pub(super) struct Found {
    /// Its number, from 0.
    pub number: u32,
    /// Where its raw bytes begin in the segment; `None` in record mode behind what is lost.
    pub offset: Option<u64>,
    /// Where it stands in the object.
    pub stored: Range<u64>,
    /// Its raw bytes.
    pub raw: Vec<u8>,
    /// Whether its CRC32C vouches for it.
    pub proven: bool,
}

/// What cannot be had.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    /// How many blocks; `None` where nobody knows.
    pub blocks: Option<u64>,
    /// How many raw bytes; `None` where nobody knows.
    pub len: Option<u64>,
    /// Where they stand in the object, about.
    pub stored: Range<u64>,
    /// The last id of their records, where the index says it.
    pub last_id: Option<u64>,
}

/// Blocks behind each other that one page, or the whole index, answers for.
enum Region {
    Sound { page: Page, next: u32 },
    Guess(Guess),
}

/// A region whose index proves nothing by itself.
#[derive(Clone)]
struct Guess {
    /// The next block.
    number: u32,
    /// Blocks that are left, if that is known.
    left: Option<u32>,
    /// Where the next block begins in the segment, if that is known.
    raw: Option<u64>,
    /// Where the region ends in the segment, if that is known.
    raw_end: Option<u64>,
    /// Where the next block begins in the object, and where none can be any more.
    stored: Range<u64>,
    /// Where the entries from the next one on stand in the object.
    index: Range<u64>,
    /// The last id of the region, if that is known.
    last_id: Option<u64>,
}

/// A walk through one object.
pub(super) struct Walk {
    plan: Arc<Plan>,
    data: Window,
    index: Window,
    decompressor: Decompressor,
    region: Option<Region>,
    /// The next page of a sound tail; without one 1 after the start.
    next: usize,
    /// Memory for a block, stored and raw.
    room: u64,
    /// The most that this may become.
    most_room: u64,
}

impl Walk {
    /// A walk from the first block on, with the memory that a salvage begins with.
    pub fn new(plan: Arc<Plan>, data: Window, index: Window, op: &Op, room: &Room) -> Result<Walk> {
        let (decompressor, room, most_room) = (Decompressor::new()?, room.first(op), room.most(op));
        Ok(Walk { plan, data, index, decompressor, region: None, next: 0, room, most_room })
    }

    /// Gives the memory of the windows back, and goes on with `room` bytes for a block.
    pub fn set_room(&mut self, room: u64) {
        self.data.empty();
        self.index.empty();
        self.room = room;
    }

    /// The next block, or what is lost. After an error the same step can be tried again.
    pub async fn step(&mut self, op: &Op) -> Result<Seen> {
        loop {
            if self.region.is_none() && !self.open(op).await? {
                return Ok(Seen::End);
            }
            let seen = match self.region.take() {
                Some(Region::Sound { page, next }) => {
                    let seen = self.sound(op, &page, next).await;
                    self.region = match &seen {
                        Ok(Some(Seen::Room(_))) | Err(_) => Some(Region::Sound { page, next }),
                        Ok(Some(_)) => Some(Region::Sound { page, next: next + 1 }),
                        Ok(None) => None,
                    };
                    seen?
                }
                Some(Region::Guess(mut guess)) => {
                    let before = guess.clone();
                    let seen = self.guess(op, &mut guess).await;
                    self.region = match &seen {
                        Ok(Some(Seen::Room(_))) | Err(_) => Some(Region::Guess(before)),
                        Ok(Some(_)) => Some(Region::Guess(guess)),
                        Ok(None) => None,
                    };
                    seen?
                }
                None => None,
            };
            if let Some(seen) = seen {
                return Ok(seen);
            }
        }
    }

    /// Begins the next region; false if there is none.
    async fn open(&mut self, op: &Op) -> Result<bool> {
        let plan = self.plan.clone();
        let n = self.next;
        let region = match &plan.tail {
            Some(tail) => {
                let Some(entry) = tail.pages().get(n) else { return Ok(false) };
                let position = entry.position.clone();
                let bytes = self.index.get(op, position.clone()).await?;
                match Page::parse(bytes, tail, n) {
                    Ok(page) => Region::Sound { next: page.numbers().start, page },
                    Err(_) => Region::Guess(Guess {
                        number: entry.blocks.start,
                        left: Some(entry.blocks.len() as u32),
                        raw: Some(entry.raw.start),
                        raw_end: Some(entry.raw.end),
                        stored: entry.stored.clone(),
                        index: position,
                        last_id: entry.records.map(|span| span.last_id),
                    }),
                }
            }
            None if n == 0 && plan.shape.is_some() => Region::Guess(Guess {
                number: 0,
                left: None,
                raw: Some(0),
                raw_end: None,
                stored: 0..plan.data_end,
                index: plan.index.clone(),
                last_id: None,
            }),
            None => return Ok(false),
        };
        self.next += 1;
        self.region = Some(region);
        Ok(true)
    }

    /// The block `number` of a page that is sound.
    async fn sound(&mut self, op: &Op, page: &Page, number: u32) -> Result<Option<Seen>> {
        let plan = self.plan.clone();
        let (Some(tail), Some(block)) = (&plan.tail, page.blocks_from(number).next()) else {
            return Ok(None);
        };
        let need = (block.stored_len() + block.raw_len()) as u64;
        if need > self.room {
            return Ok(Some(Seen::Room(need)));
        }
        let mut raw = Vec::new();
        for attempt in 0..2 {
            if attempt > 0 {
                // What came damaged is fetched once more: it may have been the way.
                self.data.empty();
            }
            let stored = self.data.get(op, block.stored.clone()).await?;
            raw.clear();
            raw.resize(block.raw_len(), 0);
            let decoded = match decode(tail, &block, stored, &mut self.decompressor, &mut raw) {
                Err(e) if e.code() == Code::Corrupt => false,
                other => other.map(|()| true)?,
            };
            if decoded {
                let (offset, stored) = (Some(block.raw.start), block.stored);
                return Ok(Some(Seen::Block(Found { number, offset, stored, raw, proven: true })));
            }
        }
        Ok(Some(Seen::Lost(Lost {
            blocks: Some(1),
            len: Some(block.raw_len() as u64),
            stored: block.stored,
            last_id: block.records.map(|span| span.last_id),
        })))
    }

    /// The next block of a region whose index proves nothing by itself; `None` at its end.
    async fn guess(&mut self, op: &Op, at: &mut Guess) -> Result<Option<Seen>> {
        let plan = self.plan.clone();
        let Some(shape) = plan.shape.filter(|_| at.left != Some(0)) else { return Ok(None) };
        let entry_end = at.index.end.min(at.index.start.saturating_add(MOST_ENTRY as u64));
        let entry = self.index.get(op, at.index.start..entry_end).await?.to_vec();
        if plan.has_index() && entry.len() < shape.least_entry() {
            let ended = entry.is_empty() && at.left.is_none() && self.data_end_here(op, at).await?;
            return Ok((!ended).then(|| at.rest()));
        }
        let block = Next::new(at, &shape, &entry, plan.has_index());

        // What the entry says.
        if let Some(clue) = block.own
            && let Some(seen) = self.proven(op, at, &block, clue).await?
        {
            return Ok(Some(seen));
        }
        // What the data say.
        let room = match block.plain {
            true => Some(block.byte_len),
            false => shape.room(self.data.get(op, at.head(at.stored.start)).await?),
        };
        let mut len = None;
        // A block is never longer raw than the room that it is given stored.
        if let Some(room) =
            room.map(|room| room.min(at.bytes_left())).filter(|room| room * 2 <= self.most_room)
        {
            if room * 2 > self.room {
                return Ok(Some(Seen::Room(room * 2)));
            }
            let bytes = self.data.get(op, at.stored.start..at.stored.start + room).await?;
            len = if block.plain { Some(bytes.len() as u64) } else { shape.own_len(bytes) };
        }
        let other = match block.own {
            // Where the data end nobody says, but attachments may begin there.
            Some(clue) if block.plain && block.is_last && at.raw_end.is_none() => {
                let bytes = self.data.get(op, at.stored.start..at.stored.start + block.byte_len).await?;
                len_before_attachment(bytes, clue.crc32c).map(|stored_len| Clue { stored_len, ..clue })
            }
            _ => len.and_then(|len| shape.clue_for(&entry, len)),
        };
        if let Some(clue) = other.filter(|clue| Some(*clue) != block.own)
            && let Some(seen) = self.proven(op, at, &block, clue).await?
        {
            return Ok(Some(seen));
        }
        // Nothing proves it. It may still be what was written, which the content as a whole may prove. Where its entry
        // cannot be read, the following ones cannot be found either, and only that can prove their blocks.
        let used = other.or(block.own).map_or(0, |clue| clue.used as u64);
        if let Some(len) = len {
            let range = at.stored.start..at.stored.start + len;
            let bytes = self.data.get(op, range.clone()).await?;
            if let Some(raw) = shape.decode(bytes, &mut self.decompressor).filter(|raw| block.fits(at, raw)) {
                return Ok(Some(Seen::Block(at.found(range, raw, used, false))));
            }
        }
        // It is lost. Where the next one begins, one of the two lengths may say.
        let lengths = [block.own.map(|clue| clue.stored_len), len];
        for len in lengths.into_iter().flatten().filter(|_| used > 0) {
            let next = at.stored.start + len;
            let may_follow = block.plain
                || next == at.stored.end
                || shape.room(self.data.get(op, at.head(next)).await?).is_some();
            if may_follow {
                let raw_len = (shape.mode == Mode::Bytes).then_some(block.byte_len);
                let lost =
                    Lost { blocks: Some(1), len: raw_len, stored: at.stored.start..next, last_id: None };
                at.advance(len, used, raw_len);
                return Ok(Some(Seen::Lost(lost)));
            }
        }
        Ok(Some(at.rest()))
    }

    /// Behind the last entry of a whole index: whether the data end here, too.
    async fn data_end_here(&mut self, op: &Op, at: &Guess) -> Result<bool> {
        let behind = self.data.get(op, at.head(at.stored.start)).await?;
        Ok(self.plan.index_whole && (behind.is_empty() || is_attachment_frame(behind)))
    }

    /// The block, if its stored bytes have the CRC32C of `clue`.
    async fn proven(&mut self, op: &Op, at: &mut Guess, block: &Next, clue: Clue) -> Result<Option<Seen>> {
        let range = at.stored.start..at.stored.start + clue.stored_len;
        if range.end > at.stored.end || clue.stored_len > self.most_room {
            return Ok(None);
        }
        if clue.stored_len > self.room {
            return Ok(Some(Seen::Room(clue.stored_len)));
        }
        let bytes = self.data.get(op, range.clone()).await?;
        if bytes.len() as u64 != clue.stored_len || crc32c(bytes) != clue.crc32c {
            return Ok(None);
        }
        // It is a block; if there is too little memory for it, that is an error and no gap.
        let need = clue.stored_len + block.shape.raw_len(bytes).unwrap_or(0);
        if need > self.room {
            return Ok(Some(Seen::Room(need)));
        }
        let raw = block.shape.decode(bytes, &mut self.decompressor).filter(|raw| block.fits(at, raw));
        let ends = block.is_last && at.raw_end.is_none();
        let raw =
            raw.filter(|raw| block.shape.mode == Mode::Records || ends || raw.len() as u64 == block.byte_len);
        Ok(raw.map(|raw| Seen::Block(at.found(range, raw, clue.used as u64, true))))
    }
}

/// The next block of a guess, before anything of it was looked at.
struct Next {
    shape: Shape,
    /// Bytes without a codec: what a block is follows from its number alone.
    plain: bool,
    /// No other block follows, as far as entries tell.
    is_last: bool,
    /// Byte mode: its raw length, as its number wants it.
    byte_len: u64,
    /// What its entry says.
    own: Option<Clue>,
}

impl Next {
    fn new(at: &Guess, shape: &Shape, entry: &[u8], has_index: bool) -> Next {
        let plain = (shape.mode, shape.codec) == (Mode::Bytes, Codec::None);
        let block_size = u64::from(shape.block_size);
        let byte_len = match at.raw.zip(at.raw_end) {
            Some((raw, end)) => block_size.min(end.saturating_sub(raw)),
            None if plain => block_size.min(at.bytes_left()),
            None => block_size,
        };
        let entries = at.index.end - at.index.start;
        let is_last = match at.left {
            Some(left) => left == 1,
            None => has_index && entries < 2 * shape.least_entry() as u64,
        };
        let own = shape.clue(entry, byte_len).filter(|clue| clue.stored_len <= at.bytes_left());
        Next { shape: *shape, plain, is_last, byte_len, own }
    }

    /// Whether raw bytes can be those of the block.
    fn fits(&self, at: &Guess, raw: &[u8]) -> bool {
        let len = raw.len() as u64;
        let within = at.raw.zip(at.raw_end).is_none_or(|(raw, end)| len <= end.saturating_sub(raw));
        within && (self.shape.mode == Mode::Records || len <= self.byte_len)
    }
}

impl Guess {
    /// Bytes of the object in which blocks may still lie.
    fn bytes_left(&self) -> u64 {
        self.stored.end.saturating_sub(self.stored.start)
    }

    /// The first bytes of a block that begins at `start`.
    fn head(&self, start: u64) -> Range<u64> {
        start..self.stored.end.min(start.saturating_add(BLOCK_START as u64))
    }

    /// The next block is found.
    fn found(&mut self, stored: Range<u64>, raw: Vec<u8>, used: u64, proven: bool) -> Found {
        let found = Found { number: self.number, offset: self.raw, stored, raw, proven };
        self.advance(found.stored.end - found.stored.start, used, Some(found.raw.len() as u64));
        found
    }

    /// To the next block.
    fn advance(&mut self, stored: u64, used: u64, raw: Option<u64>) {
        self.number = self.number.saturating_add(1);
        self.left = self.left.map(|left| left - 1);
        self.raw = self.raw.and_then(|at| at.checked_add(raw?));
        self.stored.start += stored;
        self.index.start = self.index.end.min(self.index.start + used);
    }

    /// All that is left is lost.
    fn rest(&mut self) -> Seen {
        let lost = Lost {
            blocks: self.left.map(u64::from),
            len: self.raw.and_then(|raw| Some(self.raw_end? - raw)),
            stored: self.stored.clone(),
            last_id: self.last_id,
        };
        self.left = Some(0);
        self.stored.start = self.stored.end;
        Seen::Lost(lost)
    }
}

/// The raw bytes of a block of a sound page.
fn decode(
    tail: &Tail,
    block: &Block,
    stored: &[u8],
    decompressor: &mut Decompressor,
    raw: &mut [u8],
) -> Result<()> {
    tail.decode_block(block, stored, decompressor, raw)?;
    if tail.mode() == Mode::Records {
        for record in tail.record_block(block, raw)?.records() {
            record?;
        }
    }
    Ok(())
}
