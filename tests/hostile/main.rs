//! Hostile input: objects, stores and keys that were made to do harm. Memory stays bounded, errors are typed, nothing
//! hangs, nothing outside of a store is touched.
//!
//! Bits that are flipped one by one are elsewhere (format_damage, reader_damage), and so are answers of S3 that are only
//! odd (store_s3_answers) and bytes that a fuzzer made (fuzz_corpus).
#![cfg(feature = "testing")]

mod keys;
mod measure;
mod objects;
mod stores;

#[path = "../reader_support/mod.rs"]
mod reader_support;
