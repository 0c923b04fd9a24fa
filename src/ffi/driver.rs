//! Drivers: open, close, free.

use super::{
    codes::seglift_code,
    config::seglift_config,
    engine::{self, seglift_engine},
    error::seglift_error,
    handle::{self, opaque},
    panic::call,
    structs::Place,
    text::{text, timeout},
};
use crate::{config::Config, driver::Driver, engine::Engine, error::Result};
use std::{ffi::c_char, ptr, sync::Arc};

/// A connection of an engine to one store: cheap, a broker may open hundreds.
/// Ownership: yours, until seglift_driver_free. Threads: any number at once. Since 1.0.
pub struct seglift_driver {
    _opaque: (),
}
opaque!(seglift_driver, b"sldriver", State);

/// A driver, and the engine that may not be freed before it.
pub(super) struct State {
    pub(super) driver: Driver,
    _engine: Arc<Engine>,
}

/// The driver that a call means.
///
/// # Safety
/// `driver` is NULL or a live driver.
pub(super) unsafe fn borrow<'a>(driver: *const seglift_driver) -> Result<&'a Driver> {
    // SAFETY: the caller's promise is ours.
    unsafe { handle::borrow(driver) }.map(|state| &state.driver)
}

/// Opens a driver on a store: "file:///var/tier" (an absolute path) or "memory:" (for tests: gone when it is
/// closed). engine and config may be NULL; of the configuration the settings of scope "driver" count.
/// Errors: INVALID_ARGUMENT (the URI), INVALID_CONFIG, NOT_FOUND, PERMISSION_DENIED, FORKED. Threads: any.
/// Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_open(
    engine: *mut seglift_engine,
    uri: *const c_char,
    config: *const seglift_config,
    driver: *mut *mut seglift_driver,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            let place = Place::new(driver, ptr::null_mut(), "seglift_driver")?;
            let (uri, engine) = (text(uri, "uri")?, engine::resolve(engine)?);
            let opened = if config.is_null() {
                Driver::open(&engine, uri, &Config::new())?
            } else {
                Driver::open(&engine, uri, handle::peek(config)?)?
            };
            place.set(handle::give(State { driver: opened, _engine: engine }));
            Ok(())
        })
    }
}

/// Closes a driver: cancels its operations and waits until each has completed, at most timeout_ms (-1 = as long as
/// it takes). From then on its calls return CLOSED; completions stay in their queues.
/// Errors: TIMED_OUT if operations are still ending: call again. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_driver_close(
    driver: *mut seglift_driver,
    timeout_ms: i64,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe { call(err, || borrow(driver)?.close(timeout(timeout_ms)?)) }
}

/// Frees a driver. NULL is fine. What was not closed goes on in the background until it completes.
/// Threads: none uses it any more. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_driver_free(driver: *mut seglift_driver) {
    // SAFETY: NULL or a driver that is the caller's, says the header.
    unsafe { handle::free(driver) };
}
