//! What is left of an object's end, and so where its blocks and their checksums may be.
//!
//! A tail that passes its checksum says everything. Without one the frame of the index pages is looked for through the
//! whole object: its magic number, in front of a tail frame or of the end. More than one place may look like it (an
//! object can lie in a segment), and its entries do not say what they are entries of. So each place and shape is
//! tried on the first blocks, and the first that proves one is taken.

use super::{
    room::Room,
    walk::{Found, Seen, Walk},
    window::Window,
};
use crate::{
    codec::Codec,
    engine::Op,
    error::{Code, Result},
    maintain::Context,
    object::{
        Mode, Page, Tail,
        salvage::{self, BLOCK_START, Shape},
    },
    store::{GetRange, Key},
};
use std::{collections::VecDeque, ops::Range, sync::Arc};

/// Bytes of data that are fetched at a time: what hides the way to a store.
pub(super) const WINDOW: u64 = 4 << 20;
/// Bytes of the index that are fetched at a time: some 8,000 entries.
pub(super) const INDEX_WINDOW: u64 = 64 << 10;
/// Bytes that are fetched to try something: a block or a few.
const A_FEW: u64 = 512 << 10;
/// Places that look like an index frame, at most. Random bytes have one in 4 GiB.
const MOST_PLACES: usize = 16;
/// Blocks that a shape is tried on: the first ones may be damaged.
const TRIED: usize = 8;

/// What is known before the first block is looked at.
pub(super) struct Plan {
    /// The tail, if it is sound.
    pub tail: Option<Arc<Tail>>,
    /// How the object is cut into blocks, unless nothing tells.
    pub shape: Option<Shape>,
    /// Without a tail: where the entries of all blocks stand; empty if they were not found.
    pub index: Range<u64>,
    /// Whether those are all the entries.
    pub index_whole: bool,
    /// Blocks lie in front of it.
    pub data_end: u64,
    /// With a tail: whether an index page is damaged.
    pub damaged_pages: bool,
    /// Bytes of the object.
    pub object_len: u64,
}

impl Plan {
    /// Reads the tail and all index pages, or looks for what is left of them.
    ///
    /// `NOT_FOUND`, `UNSUPPORTED_VERSION`, and what the store says.
    pub async fn make(context: &Context, op: &Op, key: &Key, room: &mut Room) -> Result<Plan> {
        op.stage("tail");
        let mut tail = context.reader.tail(op, key).await;
        if tail.as_ref().is_err_and(|e| e.code() == Code::Corrupt) {
            // It may have been the way.
            tail = context.reader.tail(op, key).await;
        }
        match tail {
            Ok(tail) => Plan::with(context, op, key, tail).await,
            Err(e) if e.code() == Code::Corrupt => Plan::without(context, op, key, room).await,
            Err(e) => Err(e),
        }
    }

    async fn with(context: &Context, op: &Op, key: &Key, tail: Arc<Tail>) -> Result<Plan> {
        op.stage("index");
        let object_len = tail.object_len();
        let mut index = Window::new(context.store.clone(), key.clone(), object_len, INDEX_WINDOW);
        let mut damaged_pages = false;
        for n in 0..tail.pages().len() {
            let bytes = index.get(op, tail.page_position(n)).await?;
            damaged_pages |= Page::parse(bytes, &tail, n).is_err();
        }
        Ok(Plan {
            shape: Some(Shape { mode: tail.mode(), codec: tail.codec(), block_size: tail.block_size() }),
            index: 0..0,
            index_whole: true,
            data_end: tail.data_len(),
            damaged_pages,
            object_len,
            tail: Some(tail),
        })
    }

    async fn without(context: &Context, op: &Op, key: &Key, room: &mut Room) -> Result<Plan> {
        let object_len = op.guard(context.store.get(key, GetRange::Suffix(1))).await?.object_len;
        let mut data = Window::new(context.store.clone(), key.clone(), object_len, WINDOW);
        let start = data.get(op, 0..BLOCK_START as u64).await?.to_vec();
        op.stage("looking for the index");
        let places = places(op, &mut data).await?;
        // The memory is that of the walks now.
        data.empty();
        for place in places {
            let hint = place.hint.into_iter();
            let shapes = hint.chain(salvage::shapes(
                &start,
                place.frame.start,
                place.entries.end - place.entries.start,
            ));
            for shape in shapes {
                let plan = Arc::new(Plan {
                    tail: None,
                    shape: Some(shape),
                    index: place.entries.clone(),
                    index_whole: place.whole,
                    data_end: place.frame.start,
                    damaged_pages: false,
                    object_len,
                });
                if proves(context, op, key, &plan, room).await?
                    && let Some(plan) = Arc::into_inner(plan)
                {
                    return Ok(plan);
                }
            }
        }
        // No checksum is left. The data may still show how they are cut.
        let plain =
            Shape { mode: Mode::Bytes, codec: Codec::None, block_size: Codec::None.default_block_size() };
        let mut shapes = salvage::shapes(&start, object_len, 0);
        shapes.push(plain);
        let mut chosen = None;
        for shape in shapes {
            let plan = Plan { shape: Some(shape), ..Plan::unknown(object_len) };
            if shape == plain || decodes(context, op, key, plan, room).await? {
                chosen = Some(shape);
                break;
            }
        }
        Ok(Plan { shape: chosen, ..Plan::unknown(object_len) })
    }

    /// Whether entries of blocks are left at all.
    pub fn has_index(&self) -> bool {
        self.tail.is_some() || !self.index.is_empty()
    }

    /// Of an object without any index.
    fn unknown(object_len: u64) -> Plan {
        Plan {
            tail: None,
            shape: None,
            index: 0..0,
            index_whole: false,
            data_end: object_len,
            damaged_pages: false,
            object_len,
        }
    }
}

/// Where an index frame may be.
struct Place {
    frame: Range<u64>,
    /// Its payload, as far as it is there.
    entries: Range<u64>,
    /// Whether all of that is there.
    whole: bool,
    /// Whether a tail frame follows.
    tail: bool,
    /// What that tail frame says, though nothing vouches for it.
    hint: Option<Shape>,
}

/// The places that look like an index frame, the likeliest first.
async fn places(op: &Op, data: &mut Window) -> Result<Vec<Place>> {
    let object_len = data.object_len();
    let mut found: VecDeque<(u64, u64)> = VecDeque::new();
    let mut at = 0;
    while at < object_len {
        // The next piece begins where a frame header may have been cut.
        let bytes = data.get(op, at..at + WINDOW).await?;
        for (offset, len) in salvage::index_frames(bytes) {
            if found.len() == MOST_PLACES {
                // The index stands at the end.
                found.pop_front();
            }
            found.push_back((at + offset as u64, len.into()));
        }
        let step = (bytes.len() as u64).saturating_sub(7).max(1);
        op.progress(step);
        at += step;
    }
    let mut places = Vec::with_capacity(found.len());
    for (start, len) in found {
        let end = start + 8 + len;
        let behind = data.get(op, end..end.saturating_add(16)).await?;
        let tail = !behind.is_empty() && salvage::is_tail_frame(behind);
        places.push(Place {
            frame: start..end,
            entries: start + 8..end.min(object_len),
            whole: end <= object_len,
            tail,
            hint: salvage::shape_in_tail(behind),
        });
    }
    places.sort_by_key(|place| {
        (!place.tail, place.whole && place.frame.end != object_len, u64::MAX - place.frame.start)
    });
    Ok(places)
}

/// Whether the entries of `plan` prove one of the first blocks.
async fn proves(context: &Context, op: &Op, key: &Key, plan: &Arc<Plan>, room: &mut Room) -> Result<bool> {
    let window = |ahead| Window::new(context.store.clone(), key.clone(), plan.object_len, ahead);
    let mut walk = Walk::new(plan.clone(), window(A_FEW), window(INDEX_WINDOW), op, room)?;
    let mut left = TRIED;
    while left > 0 {
        match walk.step(op).await? {
            Seen::Block(found) if found.proven && tells(plan, &found) => return Ok(true),
            Seen::Room(need) => room.grow(op, &mut walk, need).await?,
            Seen::End => return Ok(false),
            Seen::Block(_) | Seen::Lost(_) => left -= 1,
        }
    }
    Ok(false)
}

/// Whether a proven block also proves the block size. Where blocks stand does not depend on it with zstd, and the last one
/// is shorter.
fn tells(plan: &Plan, found: &Found) -> bool {
    plan.shape.is_none_or(|shape| {
        (shape.mode, shape.codec) != (Mode::Bytes, Codec::Zstd)
            || found.number == 0
            || found.raw.len() == shape.block_size as usize
    })
}

/// Whether the first block of `plan` decodes.
async fn decodes(context: &Context, op: &Op, key: &Key, plan: Plan, room: &mut Room) -> Result<bool> {
    let window = |ahead| Window::new(context.store.clone(), key.clone(), plan.object_len, ahead);
    let (data, index) = (window(A_FEW), window(INDEX_WINDOW));
    let mut walk = Walk::new(Arc::new(plan), data, index, op, room)?;
    loop {
        match walk.step(op).await? {
            Seen::Room(need) => room.grow(op, &mut walk, need).await?,
            seen => return Ok(matches!(seen, Seen::Block(_))),
        }
    }
}
