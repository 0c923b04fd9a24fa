//! The memory of a salvage: two windows, one block, and a list of blocks where one is needed, reserved as one.

use super::{
    plan::{INDEX_WINDOW, WINDOW},
    walk::Walk,
};
use crate::{
    engine::{Class, Op, Reservation},
    error::Result,
};

/// For a block, stored and raw, before any is known to need more: a block of records of the default size.
const FIRST: u64 = 1 << 20;

/// What is reserved.
#[derive(Default)]
pub(super) struct Room {
    held: Option<Reservation>,
    /// The part of it that lists blocks for which the content vouches.
    list: u64,
}

impl Room {
    /// The most that a block may take on this engine.
    pub fn most(&self, op: &Op) -> u64 {
        op.engine().budget().largest(Class::Read).saturating_sub(WINDOW + INDEX_WINDOW + self.list)
    }

    /// What a block may take at first.
    pub fn first(&self, op: &Op) -> u64 {
        FIRST.min(self.most(op))
    }

    /// Makes room for a list of `bytes` beside a block, or for half of what a block may take if that is less. Answers
    /// how much it is. Nothing else of the salvage may be in memory.
    pub async fn list(&mut self, op: &Op, bytes: u64) -> Result<u64> {
        (self.held, self.list) = (None, 0);
        self.list = bytes.min(self.most(op) / 2);
        self.begin(op).await?;
        Ok(self.list)
    }

    /// Gives back what a list of `bytes` does not need.
    pub fn shorten(&mut self, bytes: u64) {
        let spare = self.list.saturating_sub(bytes);
        self.list -= spare;
        if let Some(held) = &mut self.held {
            held.shrink_to(held.bytes() - spare);
        }
    }

    /// Reserves what is needed before any block, unless that was done.
    pub async fn begin(&mut self, op: &Op) -> Result<()> {
        if self.held.is_none() {
            self.reserve(op, self.first(op)).await?;
        }
        Ok(())
    }

    /// Makes room for a block of `need` bytes on `walk`.
    pub async fn grow(&mut self, op: &Op, walk: &mut Walk, need: u64) -> Result<()> {
        // One reservation at a time: nobody waits for memory while holding some (but the list).
        walk.set_room(0);
        self.held = None;
        let room = need.max(self.first(op));
        self.reserve(op, room).await?;
        walk.set_room(room);
        Ok(())
    }

    /// Gives it back.
    pub fn end(&mut self) {
        self.held = None;
    }

    async fn reserve(&mut self, op: &Op, room: u64) -> Result<()> {
        let budget = op.engine().budget().clone();
        let bytes = WINDOW + INDEX_WINDOW + self.list + room;
        self.held = Some(budget.reserve(Class::Read, bytes, op).await?);
        Ok(())
    }
}
