//! The engine's cores, and what they need of the rest of it.

#[path = "../../../src/engine/bell.rs"]
mod bell;
#[path = "../../../src/engine/budget/mod.rs"]
pub mod budget;
pub mod op;
#[path = "../../../src/engine/queue.rs"]
pub mod queue;

pub use seglift::engine::{Patience, fork};
