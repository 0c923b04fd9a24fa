//! The C ABI: conversion and safety only, no logic.
//!
//! Purpose: every call of C arrives here, is checked, becomes a call of [`crate::driver`] or
//! [`crate::engine`], and its result becomes C again. One file for each C concept; `include/seglift.h`
//! is generated from these files by `tests/abi_header.rs`, doc comments included, so the comments on exported
//! items are written for C programmers.
//!
//! Invariants, each kept in one place:
//! - no panic leaves the library ([`panic`]); every export runs inside [`panic::call`] or [`panic::quiet`];
//! - no pointer is read before it was checked for NULL, alignment and length ([`text`], [`structs`]);
//! - every handle begins with a magic word and the fork generation that made it ([`handle`]);
//! - out-parameters are checked before the operation starts, so that no result is lost for want of a place.
//!
//! Trade-off: the exports are written by hand, though a macro would be shorter, because cbindgen does not
//! see what macros make, and because the header is documentation.
//!
//! | type | made by | belongs to | freed by | threads |
//! |---|---|---|---|---|
//! | `seglift_engine`, `seglift_driver`, `seglift_queue`, `seglift_cancel` | `_open`, `_new` | the host | `_free` | any number at once |
//! | `seglift_config`, `seglift_records`, `seglift_lister` | `_new`, `seglift_read_records`, `_open` | the host | `_free` | one at a time |
//! | `seglift_writer`, `seglift_sweep` | `_open`, `_begin` | the host | `_free` | one at a time; two at once are told `BUSY` |
//! | `seglift_bytes` | reads, documents, log lines | whoever holds a count | `_free` | any number at once |
//! | `seglift_info`, `seglift_results`, `seglift_cleanup`, `seglift_error` | calls and completions | the host | `_free` | any number at once, read only |
//! | in-structs, strings, blobs | the host | the host | the host | copied before the call returns |
//! | the buffer of a read, the bytes of an offload | the host | lent until the call returns or its completion was polled | the host | untouched meanwhile |
#![allow(non_camel_case_types, reason = "these are C's names, as the header spells them")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract in each comment, with the rules on top of the header, is it"
)]

pub mod api;
pub mod bytes;
pub mod call;
pub mod cancel;
pub mod cleanup;
pub mod codes;
pub mod config;
pub mod damage;
pub mod delete;
pub mod driver;
pub mod engine;
pub mod error;
pub mod info;
pub mod list;
pub mod observe;
pub mod offload;
pub mod operation;
pub mod policy;
pub mod queue;
pub mod read;
pub mod receipt;
pub mod records;
pub mod segment;
pub mod submit;
pub mod sweep;
pub mod table;
pub mod verify;
pub mod writer;

mod handle;
mod panic;
mod structs;
mod text;
