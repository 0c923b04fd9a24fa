//! What goes on inside: status, metrics, logs.

use super::{
    bytes::{seglift_bytes, seglift_bytes_free},
    codes::seglift_code,
    engine::{self, seglift_engine},
    error::seglift_error,
    panic::call,
    structs::{Out, Place, c_struct},
};
use crate::{
    error::{Code, Error},
    logging::{Line, Sink},
};
use std::{ffi::c_void, ptr};

/// A line of the log. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_log_line {
    /// You: sizeof(seglift_log_line). The library: how many bytes it wrote.
    pub size: usize,
    /// When, in us since 1970.
    pub time_us: i64,
    /// 1 error, 2 warning, 3 information, 4 debug.
    pub level: u32,
    /// How many more lines like this one there were and are left out.
    pub repeated: u32,
    /// How many lines were lost before this one, because nobody took them.
    pub dropped: u64,
    /// The line, without a newline. Of a poll: yours, seglift_bytes_free. In a callback: the library's;
    /// seglift_bytes_ref keeps it.
    pub text: *mut seglift_bytes,
}
c_struct! { seglift_log_line up to text: *mut seglift_bytes; }

/// What the engine does now: threads, memory, operations in flight and the last ones that failed, as JSON. engine may
/// be NULL. Ownership: *json is yours, until seglift_bytes_free. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_status(
    engine: *mut seglift_engine,
    json: *mut *mut seglift_bytes,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            let place = Place::new(json, ptr::null_mut(), "seglift_bytes")?;
            place.set(seglift_bytes::of_text(&engine::resolve(engine)?.status_json()));
            Ok(())
        })
    }
}

/// The engine's metrics as Prometheus text; docs/metrics.md explains each. engine may be NULL.
/// Ownership: *text is yours, until seglift_bytes_free. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_metrics(
    engine: *mut seglift_engine,
    text: *mut *mut seglift_bytes,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            let place = Place::new(text, ptr::null_mut(), "seglift_bytes")?;
            place.set(seglift_bytes::of_text(&engine::resolve(engine)?.metrics_text()));
            Ok(())
        })
    }
}

/// The oldest line of the log that nobody took yet; END when there is none. engine may be NULL.
/// Ownership: line->text is yours, until seglift_bytes_free. Threads: any; each line goes to one. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_log_poll(
    engine: *mut seglift_engine,
    line: *mut seglift_log_line,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            let out = Out::owning(line)?;
            let found = engine::resolve(engine)?.log().poll();
            out.write(to_c(&found.ok_or_else(|| Error::new(Code::End, "the log has no more lines"))?));
            Ok(())
        })
    }
}

fn to_c(line: &Line) -> seglift_log_line {
    seglift_log_line {
        size: size_of::<seglift_log_line>(),
        time_us: line.time_us,
        level: line.level as u32,
        repeated: line.repeats.try_into().unwrap_or(u32::MAX),
        dropped: line.lost,
        text: seglift_bytes::of_text(&line.to_string()),
    }
}

/// Hands all lines to a callback from now on, those that wait first; NULL = back to seglift_log_poll. The callback runs
/// on the library's threads, several at once; it must neither block nor call seglift_log_callback. When this returns,
/// no call of the earlier callback runs any more. engine may be NULL.
/// Ownership: ctx is yours and must outlive the callback's use. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_log_callback(
    engine: *mut seglift_engine,
    callback: Option<unsafe extern "C" fn(ctx: *mut c_void, line: *const seglift_log_line)>,
    ctx: *mut c_void,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        call(err, || {
            let ctx = Context(ctx);
            engine::resolve(engine)?.log().set_sink(callback.map(|callback| {
                Box::new(move |line: &Line| {
                    let ctx = &ctx;
                    let line = to_c(line);
                    // The host's function and the host's word, as the host gave them.
                    callback(ctx.0, &line);
                    seglift_bytes_free(line.text);
                }) as Sink
            }));
            Ok(())
        })
    }
}

/// A word of the host's that goes back to the host.
struct Context(*mut c_void);

// SAFETY: never read here, and the header says that the callback runs on any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}
