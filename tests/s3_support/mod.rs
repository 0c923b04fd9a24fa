//! Servers for the tests of the store of S3. Each test binary uses some of it.
#![allow(dead_code)] // What one binary does not use, another does.

pub mod flat;
pub mod inprocess;
pub mod scripted;
