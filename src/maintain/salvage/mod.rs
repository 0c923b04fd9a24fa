//! Salvage: what is provably still good of a damaged object, and what is not.
//!
//! Purpose: the copy in the store may be the only one. A reader gives up at the first block that fails; an operator
//! wants every byte that is not the damaged one, and to know which those are.
//!
//! Invariant: **no byte is handed out that no checksum covers.** A block is proven by its CRC32C, which stands in an
//! index page that passes its own; or in one that does not, in the place of this very block's entry. Where pages are
//! lost and the tail is sound, all blocks together may be proven by the CRC-64/NVME of the content: then the object is
//! read twice. What decodes and is not proven is counted, and handed out only if the caller says so
//! ([`SalvageOptions::unchecked`]): zstd frames of ours carry no checksum of their own, so decoding proves nothing.
//!
//! Trade-off: a CRC32C of damaged bytes that matches by chance (one in 2^32 for each damaged block) is not told from
//! a good one, as everywhere; and an object whose segment begins with another object of this format may, once its own
//! end is lost, be taken for that one.
//!
//! | file | its thing |
//! |---|---|
//! | `plan` | what is left of the object's end |
//! | `walk` | from block to block |
//! | `window`, `room` | the bytes that are looked at, and the memory for them |

mod plan;
mod room;
mod walk;
mod window;

use self::{
    plan::{INDEX_WINDOW, Plan, WINDOW},
    room::Room,
    walk::{Found, Lost, Seen, Walk},
    window::Window,
};
use super::Context;
use crate::{
    codec::checksum::crc32c,
    engine::Op,
    error::{Code, Error, Result},
    object::{ContentDigest, Mode, RecordBlock, Tail},
    store::Key,
};
use std::{collections::VecDeque, ops::Range, sync::Arc};
use tokio::sync::Mutex;

/// How to salvage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SalvageOptions {
    /// Also what decodes and no checksum covers. It may be wrong.
    pub unchecked: bool,
}

/// What vouches for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Its CRC32C.
    Crc32c,
    /// The CRC-64/NVME of the whole content, to which it belongs.
    Content,
    /// Nothing.
    None,
}

/// A block that was saved.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Its number in the segment, from 0.
    pub number: u32,
    /// Where its bytes begin in the segment; `None` in record mode, if that cannot be known.
    pub offset: Option<u64>,
    /// Its raw bytes; in record mode with the block's header.
    pub bytes: Vec<u8>,
    /// What vouches for it.
    pub proof: Proof,
    mode: Mode,
}

impl Saved {
    /// Whether it holds bytes or records.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Record mode: its records, in order: id, time in µs since 1970 UTC, payload. None in byte mode.
    pub fn records(&self) -> impl Iterator<Item = (u64, i64, &[u8])> {
        let block = (self.mode == Mode::Records).then(|| RecordBlock::parse(&self.bytes).ok()).flatten();
        let records = block.into_iter().flat_map(|block| block.records().filter_map(Result::ok));
        records.filter_map(|record| Some((record.id, record.time_us, self.bytes.get(record.payload)?)))
    }

    /// First and last id of its records.
    fn ids(&self) -> Option<(u64, u64)> {
        let (mut first, mut last) = (None, None);
        for (id, ..) in self.records() {
            first.get_or_insert(id);
            last = Some(id);
        }
        first.zip(last)
    }
}

/// What is missing between two blocks that were saved, or at an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins in the segment; `None` in record mode, if that cannot be known.
    pub offset: Option<u64>,
    /// How many bytes of the segment are missing; `None` if nobody knows.
    pub len: Option<u64>,
    /// How many blocks are missing; `None` if nobody knows.
    pub blocks: Option<u64>,
    /// How many of those decode, but nothing vouches for them.
    pub unproven: u64,
    /// Record mode: the least id that may be missing.
    pub first_id: Option<u64>,
    /// Record mode: the greatest id that may be missing; `None` if nobody knows.
    pub last_id: Option<u64>,
    /// Where the missing blocks stand in the object, about.
    pub stored: Range<u64>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Whether the tail is sound.
    pub tail: bool,
    /// Whether any checksum of blocks was found.
    pub index: bool,
    /// Raw bytes of the segment, if the tail says it.
    pub segment_bytes: Option<u64>,
    /// Blocks that were handed out.
    pub blocks: u64,
    /// Their raw bytes.
    pub bytes: u64,
    /// Their records.
    pub records: u64,
    /// Gaps between them and at the ends.
    pub gaps: u64,
    /// Whether that is the whole segment.
    pub whole: bool,
}

/// The next thing, in the order of the segment.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A block.
    Saved(Saved),
    /// What is missing.
    Gap(Gap),
    /// Nothing more.
    End(Salvaged),
}

/// A salvage under way. Clones are the same one; one step at a time.
#[derive(Clone)]
pub struct Salvage {
    context: Context,
    key: Arc<str>,
    options: SalvageOptions,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    run: Option<Run>,
    room: Room,
}

/// What has begun.
struct Run {
    walk: Walk,
    plan: Arc<Plan>,
    /// Blocks for which only the CRC-64/NVME of the content vouches.
    by_content: ByContent,
    /// A block that waits for the gap in front of it.
    ready: VecDeque<Piece>,
    gap: Option<Gap>,
    /// Where the next block begins, as long as that is known.
    offset: Option<u64>,
    last_id: Option<u64>,
    total: Salvaged,
    ended: bool,
}

impl Salvage {
    /// A salvage of the object under `key`. Does no I/O.
    pub fn new(context: Context, key: &str, options: SalvageOptions) -> Salvage {
        Salvage { context, key: key.into(), options, state: Arc::default() }
    }

    /// The next piece; behind the end that again. After an error the same step can be tried again.
    ///
    /// `NOT_FOUND`, `UNSUPPORTED_VERSION`, `BUSY` while another step runs, and what store and budget say.
    pub async fn next(self, op: Op) -> Result<Piece> {
        let mut state = self
            .state
            .try_lock()
            .map_err(|_| Error::new(Code::Busy, "a step of this salvage is under way; wait for its end"))?;
        let key = Key::new(&self.key)?;
        let State { run, room } = &mut *state;
        let run = match run {
            Some(run) => run,
            None => {
                room.begin(&op).await?;
                run.insert(Run::begin(&self.context, &op, &key, room).await?)
            }
        };
        op.stage("blocks");
        loop {
            if let Some(piece) = run.ready.pop_front() {
                return Ok(piece);
            }
            if run.ended {
                room.end();
                return Ok(Piece::End(run.total.clone()));
            }
            match run.walk.step(&op).await? {
                Seen::Room(need) => room.grow(&op, &mut run.walk, need).await?,
                Seen::Block(found) => run.block(found, self.options.unchecked),
                Seen::Lost(lost) => run.lost(lost, 0),
                Seen::End => run.end(),
            }
        }
    }
}

impl Run {
    async fn begin(context: &Context, op: &Op, key: &Key, room: &mut Room) -> Result<Run> {
        let plan = Arc::new(Plan::make(context, op, key, room).await?);
        let walk = |room: &Room| {
            let window = |ahead| Window::new(context.store.clone(), key.clone(), plan.object_len, ahead);
            Walk::new(plan.clone(), window(WINDOW), window(INDEX_WINDOW), op, room)
        };
        let by_content = match &plan.tail {
            Some(tail) if plan.damaged_pages => {
                let most = u64::from(tail.block_count()).min(MOST_VOUCHED) * VOUCHED;
                let most = room.list(op, most).await? / VOUCHED;
                let by_content = ByContent::of(walk(room)?, tail, most as usize, op, room).await?;
                room.shorten(by_content.0.len() as u64 * VOUCHED);
                by_content
            }
            _ => ByContent::default(),
        };
        let total = Salvaged {
            tail: plan.tail.is_some(),
            index: plan.has_index(),
            segment_bytes: plan.tail.as_ref().map(|tail| tail.segment_len()),
            ..Salvaged::default()
        };
        Ok(Run {
            walk: walk(room)?,
            plan,
            by_content,
            ready: VecDeque::new(),
            gap: None,
            offset: Some(0),
            last_id: None,
            total,
            ended: false,
        })
    }

    fn mode(&self) -> Mode {
        self.plan.shape.map_or(Mode::Bytes, |shape| shape.mode)
    }

    fn block(&mut self, found: Found, unchecked: bool) {
        let proof = match () {
            () if found.proven => Proof::Crc32c,
            () if self.by_content.vouches(&found) => Proof::Content,
            () => Proof::None,
        };
        let Found { number, offset, stored, raw, .. } = found;
        let saved = Saved { number, offset, bytes: raw, proof, mode: self.mode() };
        let ids = saved.ids();
        // Ids increase; what does not is not the block of this place.
        let follows = self.last_id.zip(ids).is_none_or(|(last, (first, _))| first > last);
        let len = saved.bytes.len() as u64;
        if !follows || (proof == Proof::None && !unchecked) {
            let last_id = ids.filter(|_| follows).map(|(_, last)| last);
            self.lost(Lost { blocks: Some(1), len: Some(len), stored, last_id }, u64::from(follows));
            return;
        }
        self.close_gap(offset, ids.and_then(|(first, _)| first.checked_sub(1)));
        self.offset = offset.and_then(|offset| offset.checked_add(len));
        self.last_id = ids.map(|(_, last)| last).or(self.last_id);
        self.total.blocks += 1;
        self.total.bytes += len;
        if saved.mode == Mode::Records {
            self.total.records += saved.records().count() as u64;
        }
        self.ready.push_back(Piece::Saved(saved));
    }

    fn lost(&mut self, lost: Lost, unproven: u64) {
        let (offset, first_id) = (self.offset, self.last_id.map_or(Some(0), |last| last.checked_add(1)));
        let records = self.mode() == Mode::Records;
        let gap = self.gap.get_or_insert(Gap {
            offset,
            len: Some(0),
            blocks: Some(0),
            unproven: 0,
            first_id: first_id.filter(|_| records),
            last_id: None,
            stored: lost.stored.clone(),
        });
        gap.len = gap.len.zip(lost.len).and_then(|(a, b)| a.checked_add(b));
        gap.blocks = gap.blocks.zip(lost.blocks).and_then(|(a, b)| a.checked_add(b));
        gap.unproven += unproven;
        gap.last_id = lost.last_id;
        gap.stored.end = gap.stored.end.max(lost.stored.end);
    }

    /// Ends the gap in front of a block at `offset` whose ids begin behind `last_id`.
    fn close_gap(&mut self, offset: Option<u64>, last_id: Option<u64>) {
        let Some(mut gap) = self.gap.take() else { return };
        if let Some((start, end)) = gap.offset.zip(offset) {
            gap.len = end.checked_sub(start);
        }
        if self.mode() == Mode::Records {
            gap.last_id = last_id.or(gap.last_id);
        }
        self.total.gaps += 1;
        self.ready.push_back(Piece::Gap(gap));
    }

    fn end(&mut self) {
        let tail = self.plan.tail.clone();
        let last_id = tail.as_ref().and_then(|tail| tail.records()).map(|span| span.last_id);
        if tail.is_none() && !self.plan.index_whole && self.gap.is_none() {
            // Whatever came behind the cut.
            let at = self.plan.data_end.min(self.plan.object_len);
            self.lost(Lost { blocks: None, len: None, stored: at..at, last_id: None }, 0);
        }
        let closes = self.gap.as_ref().and_then(|gap| gap.last_id);
        self.close_gap(tail.map(|tail| tail.segment_len()), last_id.or(closes));
        self.total.whole = self.total.gaps == 0;
        self.ended = true;
    }
}

/// Most blocks that the content as a whole is to vouch for: 16 MiB of memory, and 256 GiB of a segment.
const MOST_VOUCHED: u64 = 1 << 20;
/// Memory for one of them.
const VOUCHED: u64 = size_of::<(u32, u32)>() as u64;

/// Number and CRC32C of the blocks that nothing else vouches for, if all blocks together have the content that the tail
/// promises. The CRC32C is of their raw bytes as they were then: they are read again.
#[derive(Default)]
struct ByContent(Vec<(u32, u32)>);

impl ByContent {
    /// At most `most` of them.
    async fn of(mut walk: Walk, tail: &Tail, most: usize, op: &Op, room: &mut Room) -> Result<ByContent> {
        op.stage("the content as a whole");
        let (mut digest, mut unproven) = (ContentDigest::new(), Vec::with_capacity(most));
        loop {
            let found = match walk.step(op).await? {
                Seen::Block(found) => found,
                Seen::Room(need) => {
                    room.grow(op, &mut walk, need).await?;
                    continue;
                }
                Seen::End if digest.identity() == tail.content() => {
                    unproven.shrink_to_fit();
                    return Ok(ByContent(unproven));
                }
                Seen::End | Seen::Lost(_) => return Ok(ByContent::default()),
            };
            if !found.proven {
                if unproven.len() == most {
                    return Ok(ByContent::default());
                }
                unproven.push((found.number, crc32c(&found.raw)));
            }
            if tail.mode() == Mode::Bytes {
                digest.bytes(&found.raw);
                continue;
            }
            for record in RecordBlock::parse(&found.raw)?.records() {
                let record = record?;
                digest.record(record.id, record.time_us, &found.raw[record.payload]);
            }
        }
    }

    fn vouches(&self, found: &Found) -> bool {
        let at = self.0.binary_search_by_key(&found.number, |(number, _)| *number);
        at.is_ok_and(|at| self.0[at].1 == crc32c(&found.raw))
    }
}
