//! seglift: tiered storage for message brokers.
//!
//! A broker hands over each sealed segment of its log; it becomes **one** object in a store, and any range of it
//! reads back as if it were local. C programs load the shared library (`include/seglift.h`); Rust programs use this
//! crate:
//!
//! ```
//! use seglift::{Driver, config::Config, engine::{Call, Engine}, reader::SegmentRef, writer::{Segment, Source}};
//!
//! # fn main() -> seglift::Result<()> {
//! let engine = Engine::default_engine()?;
//! let tier = Driver::open(&engine, "memory:", &Config::new())?;
//!
//! let log = b"everything that was said on this topic".as_slice();
//! let receipt = tier.offload(Segment::new("topic/0/00000000-6f1c", Source::Bytes(log.into())), &Call::default())?;
//!
//! let segment = SegmentRef { key: receipt.key, token: Some(receipt.token) };
//! let mut word = [0; 4];
//! assert_eq!(tier.read_range(&segment, 20, &mut word, &Call::default())?, 4);
//! assert_eq!(&word, b"said");
//! # Ok(())
//! # }
//! ```
//!
//! # The rooms
//!
//! From the door downwards; a room uses only those below it, and a test keeps it so.
//!
//! | room | what is in it |
//! |---|---|
//! | [`ffi`] | the C ABI: one table of functions; the other home of `unsafe` |
//! | [`driver`] | one method per operation, blocking or into a completion queue |
//! | [`maintain`] | clean-up of abandoned uploads and objects that nobody refers to; scrub and salvage of damaged ones |
//! | [`writer`], [`reader`] | the way in and the way out |
//! | [`cache`] | blocks, index pages and tails in memory; one fetch for all who want the same |
//! | [`store`] | where objects live: one trait, one file for each kind |
//! | [`engine`] | threads, operations, deadlines, the completion queue, the memory budget |
//! | [`status`] | what an engine is doing, for people and other processes |
//! | [`object`], [`codec`] | the format and its checksums: bytes in, bytes out |
//! | [`buf`] | recycled pieces and lent buffers, a home of `unsafe` |
//! | [`policy`] | when to offload, drop and delete: a pure planner |
//! | [`config`], [`error`], [`metrics`], [`logging`], [`clock`] | leaves: one table of settings, one error type, one table of metrics |
//!
//! `ARCHITECTURE.md` follows a byte in and out; `docs/semantics.md` is what is promised.

#[macro_use]
mod pause;

pub mod buf;
pub mod cache;
pub mod clock;
pub mod codec;
pub mod config;
pub mod driver;
pub mod engine;
pub mod error;
pub mod ffi;
pub mod logging;
pub mod maintain;
pub mod metrics;
pub mod object;
pub mod policy;
pub mod reader;
mod small_file;
pub mod status;
pub mod store;
pub mod writer;

pub use driver::{Driver, Outcome};
pub use error::{Code, Error, Result};
