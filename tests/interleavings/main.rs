//! The cores that threads meet in, under every order of steps that a model checker finds.
//!
//! The completion queue, the memory budget and the single flight are compiled here a second time, **the files of the
//! library as they are**, with locks and channels that `shuttle` schedules: `parking_lot` and `tokio` mean this crate's
//! own [`Mutex`], [`Condvar`] and [`sync`]. So a run is one thread of the machine at a time, each lock and each message is
//! a place where another may go on, and whoever waits for ever is told as a deadlock.
//!
//! Trade-off: what stands around the cores is a stand-in: an operation here has no deadline ([`engine::op`]), and
//! time-outs of waits come at random instead of by the clock. Atomics inside of tokio's channels are not explored; tokio
//! does that for itself.
//!
//! Each test walks thousands of orders (`SCALE=full`: a hundred times as many), half of them purely at random, half with few
//! changes of thread at the worst places. A failure prints the order; `SEGLIFT_SCHEDULE=<what it printed>` with the test's
//! name walks it again.

#![allow(dead_code, reason = "the library's files have more in them than these tests use")]
#![allow(missing_docs, reason = "nothing here is public; `pub` is how the library's files find it")]

// What the library's files mean by these names.
extern crate self as parking_lot;
extern crate self as tokio;
extern crate tokio as real_tokio;

mod budget;
mod check;
mod engine;
mod flight;
mod model;
mod queue;
#[path = "../../src/cache/flight.rs"]
mod single_flight;
pub mod sync;

pub use model::{Condvar, Mutex, MutexGuard};

mod error {
    pub use seglift::error::*;
}
mod metrics {
    pub use seglift::metrics::*;
}
mod status {
    pub use seglift::status::*;
}
