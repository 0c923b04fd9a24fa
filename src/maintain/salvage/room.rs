//! The memory of a salvage: two windows and one block, reserved as one.

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
pub(super) struct Room(Option<Reservation>);

impl Room {
    /// The most that a block may take on this engine.
    pub fn most(op: &Op) -> u64 {
        op.engine().budget().largest(Class::Read).saturating_sub(WINDOW + INDEX_WINDOW)
    }

    /// What a block may take at first.
    pub fn first(op: &Op) -> u64 {
        FIRST.min(Room::most(op))
    }

    /// Reserves what is needed before any block, unless that was done.
    pub async fn begin(&mut self, op: &Op) -> Result<()> {
        if self.0.is_none() {
            self.reserve(op, Room::first(op)).await?;
        }
        Ok(())
    }

    /// Makes room for a block of `need` bytes on `walk`.
    pub async fn grow(&mut self, op: &Op, walk: &mut Walk, need: u64) -> Result<()> {
        // One reservation at a time: nobody waits for memory while holding some.
        walk.set_room(0);
        self.0 = None;
        let room = need.max(Room::first(op));
        self.reserve(op, room).await?;
        walk.set_room(room);
        Ok(())
    }

    /// Gives it back.
    pub fn end(&mut self) {
        self.0 = None;
    }

    async fn reserve(&mut self, op: &Op, room: u64) -> Result<()> {
        let budget = op.engine().budget().clone();
        self.0 = Some(budget.reserve(Class::Read, WINDOW + INDEX_WINDOW + room, op).await?);
        Ok(())
    }
}
