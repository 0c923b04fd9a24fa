//! The store `s3://` with real servers: what every store promises, load, and what the wire does.
//!
//! Not among the tests that `cargo test` runs by itself (`test = false` in Cargo.toml), since it takes the servers
//! of scripts/test-servers.sh: `make test-stores` runs it. Without them it fails; it never skips.

mod conformance;
mod doctor;
mod load;
mod maintain;
mod resume;
#[path = "../s3_support/servers.rs"]
mod servers;
#[path = "../s3_support/sparse.rs"]
mod sparse;
mod wire;
