//! seglift: tiered storage for message brokers.
//!
//! (The map of the rooms is written here once the rooms stand.)

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
pub mod metrics;
pub mod object;
pub mod policy;
pub mod reader;
pub mod status;
pub mod store;
pub mod writer;

pub use driver::{Driver, Outcome};
pub use error::{Code, Error, Result};
