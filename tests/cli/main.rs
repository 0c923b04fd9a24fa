//! The command line, run as its users run it: the real binary, real pipes, real files.
//!
//! One test program for all commands, because each of them would link the same binary again.

mod cat;
mod cleanup;
mod config;
mod doctor;
mod generate;
mod get;
mod interrupt;
mod ls;
mod offload;
mod readme;
mod rm;
mod run;
mod salvage;
mod stat;
mod verify;
