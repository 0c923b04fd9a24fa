//! Engines: most hosts never see one.

use super::{
    codes::seglift_code,
    config::seglift_config,
    error::seglift_error,
    handle::{self, opaque},
    panic::call,
    structs::Place,
};
use crate::{
    config::Config,
    engine::Engine,
    error::{Code, Error, Result},
};
use std::{ptr, sync::Arc};

/// Threads, memory budget, caches, metrics and logs, shared by all drivers that are opened on it. Most hosts need
/// none of their own: wherever a function takes an engine, NULL is the process's default engine, which is made
/// with the settings of the environment when it is first used and lives as long as the process.
/// Ownership: yours, until seglift_engine_free. Threads: any number at once. Since 1.0.
pub struct seglift_engine {
    _opaque: (),
}
opaque!(seglift_engine, b"slengine", Arc<Engine>);

/// The engine that a call means. Drivers and queues keep the `Arc`: its count says whether any is open.
///
/// # Safety
/// `engine` is NULL or a live engine.
pub(super) unsafe fn resolve(engine: *const seglift_engine) -> Result<Arc<Engine>> {
    if engine.is_null() {
        return Engine::default_engine().map(Arc::new);
    }
    // SAFETY: the caller's promise is ours.
    unsafe { handle::borrow(engine) }.cloned()
}

/// Opens an engine of your own with the settings of scope "engine"; config may be NULL for defaults.
/// Errors: INVALID_CONFIG, RESOURCE_EXHAUSTED. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_engine_open(
    config: *const seglift_config,
    engine: *mut *mut seglift_engine,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            let place = Place::new(engine, ptr::null_mut(), "seglift_engine")?;
            let opened = if config.is_null() {
                Engine::open(&Config::new())
            } else {
                Engine::open(handle::peek(config)?)
            }?;
            place.set(handle::give(Arc::new(opened)));
            Ok(())
        })
    }
}

/// Frees an engine. NULL is fine, and the default engine cannot be freed.
/// Errors: BUSY while drivers or queues of it are open: free those first. Threads: none uses it any more.
/// Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_engine_free(
    engine: *mut seglift_engine,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            if engine.is_null() {
                return Ok(());
            }
            let others = Arc::strong_count(handle::peek(engine.cast_const())?) - 1;
            // After a fork the count is the parent's, and the handle is only forgotten.
            if others > 0 && handle::borrow(engine.cast_const()).is_ok() {
                let message = format!(
                    "{others} drivers and queues of this engine are open; free them before the engine"
                );
                return Err(Error::new(Code::Busy, message));
            }
            if let Ok(engine) = handle::borrow(engine.cast_const()) {
                // What still ends in it keeps it for a moment; whoever opens the next may want the same socket.
                engine.close_status_socket();
            }
            drop(handle::take(engine));
            Ok(())
        })
    }
}
