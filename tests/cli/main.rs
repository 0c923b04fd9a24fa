//! The command line, run as its users run it: the real binary, real pipes, real files.
//!
//! One test program for all commands, because each of them would link the same binary again.

mod cat;
mod cleanup;
mod config;
mod doctor;
#[path = "../s3_support/fake.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod fake;
mod generate;
mod get;
mod interrupt;
mod ls;
mod offload;
mod readme;
mod resume;
mod rm;
mod run;
mod salvage;
mod stat;
mod status;
mod verify;
