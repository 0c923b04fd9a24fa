//! Caches, and the one fetch for many who want the same.
//!
//! Invariant: everything is keyed by the object's UUID, never by its key, so that a cache cannot serve the
//! bytes of a former object; and what is in here was verified and never changes.

mod flight;
#[cfg(test)]
mod flight_tests;
mod memory;

pub use flight::{Flight, Flights, Join, Lead};
pub use memory::{CacheKey, CacheStats, Kind, MemoryCache, Place};
