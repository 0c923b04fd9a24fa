//! Configurations: strings in, a document out.

use super::{
    bytes::seglift_bytes,
    codes::seglift_code,
    error::seglift_error,
    handle::{self, opaque},
    panic::call,
    structs::Place,
    text::text,
};
use crate::config::Config;
use serde_json::json;
use std::{ffi::c_char, ptr};

/// Settings, by name. See docs/configuration.md for all of them.
/// Ownership: yours, until seglift_config_free; seglift_open and seglift_engine_open copy what they need.
/// Threads: one at a time. A child process may go on using it. Since 1.0.
pub struct seglift_config {
    _opaque: (),
}
opaque!(seglift_config, b"slconfig", Config);

/// A configuration of defaults; the environment is not looked at.
/// Errors: INVALID_ARGUMENT. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_config_new(
    config: *mut *mut seglift_config,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: `config` and `err` as the header asks.
    unsafe {
        call(err, || {
            let place = Place::new(config, ptr::null_mut(), "seglift_config")?;
            place.set(handle::give(Config::new()));
            Ok(())
        })
    }
}

/// Sets one setting: a name such as "upload.part.size" or an established alias, and its value as text: sizes
/// like "64MiB", times like "30s".
/// Errors: INVALID_CONFIG names the nearest known setting, or what the value may be. Threads: one. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_config_set(
    config: *mut seglift_config,
    key: *const c_char,
    value: *const c_char,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks, and one thread uses the configuration at a time.
    unsafe { call(err, || handle::peek_mut(config)?.set(text(key, "key")?, text(value, "value")?)) }
}

/// Reads a file: TOML if its name ends in .toml, else a broker's own (broker.conf, server.properties), whose
/// other keys are ignored.
/// Errors: INVALID_CONFIG names file, line and remedy. Threads: one. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_config_load(
    config: *mut seglift_config,
    path: *const c_char,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks, and one thread uses the configuration at a time.
    unsafe { call(err, || handle::peek_mut(config)?.load(text(path, "path")?)) }
}

/// Takes settings out of the process's environment: SEGLIFT_UPLOAD_PART_SIZE is upload.part.size. What was set or
/// loaded from a file wins over it.
/// Errors: INVALID_CONFIG. Threads: one, and none that changes the environment meanwhile. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_config_load_env(
    config: *mut seglift_config,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks, and one thread uses the configuration at a time.
    unsafe { call(err, || handle::peek_mut(config)?.load_env(std::env::vars_os())) }
}

/// Every setting with its value, source, default and meaning, as JSON; secrets are hidden.
/// Ownership: *json is yours, until seglift_bytes_free. Threads: one. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_config_describe(
    config: *const seglift_config,
    json: *mut *mut seglift_bytes,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            let place = Place::new(json, ptr::null_mut(), "seglift_bytes")?;
            place.set(seglift_bytes::of_text(&describe(handle::peek(config)?)));
            Ok(())
        })
    }
}

fn describe(config: &Config) -> String {
    let settings: Vec<_> = config
        .describe()
        .iter()
        .map(|s| {
            json!({
                "key": s.key,
                "value": s.value,
                "source": s.source.to_string(),
                "default": s.default,
                "allowed": s.allowed,
                "help": s.help,
                "since": s.since,
                "aliases": s.aliases,
            })
        })
        .collect();
    let ignored: Vec<_> = config
        .ignored()
        .iter()
        .map(|i| json!({ "name": i.name, "source": i.source.to_string(), "reason": i.reason }))
        .collect();
    json!({ "settings": settings, "ignored": ignored }).to_string()
}

/// Frees a configuration. NULL is fine. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_config_free(config: *mut seglift_config) {
    // SAFETY: NULL or a configuration that is the caller's, says the header.
    unsafe { handle::free(config) };
}
