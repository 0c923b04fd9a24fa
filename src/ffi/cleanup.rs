//! What clean-up found and did, and reap.

use super::{
    call::{self, seglift_call},
    codes::seglift_code,
    driver::{self, seglift_driver},
    error::{seglift_error, seglift_error_free},
    handle::{self, opaque},
    info::nth,
    panic::{self, quiet},
    queue::{seglift_op, seglift_queue},
    structs::{self, Out, Place, c_struct, must_be_zero},
    submit::Submit,
    text::{invalid, printable},
};
use crate::{
    error::Result,
    maintain::{ReapOptions, Report, Step, Verdict},
};
use std::{
    ffi::{CString, c_char, c_void},
    ptr,
    time::Duration,
};

/// It is gone.
pub const SEGLIFT_VERDICT_REMOVED: u32 = 1;
/// It would be gone without dry-run.
pub const SEGLIFT_VERDICT_WOULD_REMOVE: u32 = 2;
/// Somebody tried to remove it and failed; the entry's error says why.
pub const SEGLIFT_VERDICT_FAILED: u32 = 3;
/// Sweep: it cannot be read, so nobody knows whose it is; the entry's error says why. It stays.
pub const SEGLIFT_VERDICT_UNREADABLE: u32 = 4;
/// Another owner's. It stays.
pub const SEGLIFT_VERDICT_OTHER_OWNER: u32 = 5;
/// Reap: the store does not show whose it is. It stays, unless ALL_OWNERS was said.
pub const SEGLIFT_VERDICT_UNKNOWN_OWNER: u32 = 6;
/// Not old enough. It stays.
pub const SEGLIFT_VERDICT_YOUNG: u32 = 7;
/// Reap: the process that began it lives. It stays.
pub const SEGLIFT_VERDICT_ALIVE: u32 = 8;
/// Sweep: you refer to it. It stays.
pub const SEGLIFT_VERDICT_LIVE: u32 = 9;
/// Sweep: you refer to it, and it is not in the store.
pub const SEGLIFT_VERDICT_MISSING: u32 = 10;
/// It was there a moment ago, and somebody else ended or removed it.
pub const SEGLIFT_VERDICT_GONE: u32 = 11;
/// Sweep: another object came under the key a moment ago. It stays.
pub const SEGLIFT_VERDICT_CHANGED: u32 = 12;

const _: () = {
    let last = Verdict::ALL[Verdict::ALL.len() - 1];
    assert!(last as u32 == SEGLIFT_VERDICT_CHANGED);
    assert!(Verdict::Removed as u32 == SEGLIFT_VERDICT_REMOVED);
    assert!(Verdict::WouldRemove as u32 == SEGLIFT_VERDICT_WOULD_REMOVE);
    assert!(Verdict::Failed as u32 == SEGLIFT_VERDICT_FAILED);
    assert!(Verdict::Unreadable as u32 == SEGLIFT_VERDICT_UNREADABLE);
    assert!(Verdict::OtherOwner as u32 == SEGLIFT_VERDICT_OTHER_OWNER);
    assert!(Verdict::UnknownOwner as u32 == SEGLIFT_VERDICT_UNKNOWN_OWNER);
    assert!(Verdict::Young as u32 == SEGLIFT_VERDICT_YOUNG);
    assert!(Verdict::Alive as u32 == SEGLIFT_VERDICT_ALIVE);
    assert!(Verdict::Live as u32 == SEGLIFT_VERDICT_LIVE);
    assert!(Verdict::Missing as u32 == SEGLIFT_VERDICT_MISSING);
    assert!(Verdict::Gone as u32 == SEGLIFT_VERDICT_GONE);
};

/// seglift_reap_options.flags: abort nothing, only report.
pub const SEGLIFT_REAP_DRY_RUN: u32 = 1;
/// seglift_reap_options.flags: uploads of other owners as well, and those whose owner the store does not show. S3 shows
/// that of none: there reap aborts nothing without this flag. Say it where no other host uses the bucket and prefix.
pub const SEGLIFT_REAP_ALL_OWNERS: u32 = 2;

/// How long ago, unless told: a day. No upload of a host that lives stands still for so long, and what a broker
/// committed is in its list by then.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// What to reap. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_reap_options {
    /// sizeof(seglift_reap_options).
    pub size: usize,
    /// Start and newest part of an upload must be longer ago than this, in ms, by the store's clock; 0 = a day.
    pub older_than_ms: i64,
    /// SEGLIFT_REAP_* bits.
    pub flags: u32,
    /// Zero.
    pub reserved0: u32,
}

/// An upload or an object, and what became of it. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_cleanup_entry {
    /// You: sizeof(seglift_cleanup_entry). The library: how many bytes it wrote.
    pub size: usize,
    /// The key; of an upload to files the temporary file's name. Valid as long as the cleanup.
    pub name: *const c_char,
    /// Of an upload: what the store knows it by, else "". Valid as long as the cleanup.
    pub upload_id: *const c_char,
    /// Its bytes in the store; 0 where they were not looked at.
    pub bytes: u64,
    /// When it was last changed, in us since 1970 by the store's clock; 0 where there is nothing.
    pub time_us: i64,
    /// Why it failed or could not be read, else NULL. It belongs to the cleanup: do not free it.
    pub error: *const seglift_error,
    /// SEGLIFT_VERDICT_*.
    pub verdict: u32,
    /// Zero.
    pub reserved0: u32,
}
c_struct! {
    seglift_reap_options up to reserved0: u32;
    seglift_cleanup_entry up to reserved0: u32;
}

/// What a reap, or a step of a sweep, found and did.
/// Ownership: yours, until seglift_cleanup_free. Threads: any number at once, read only. Since 1.0.
pub struct seglift_cleanup {
    _opaque: (),
}
opaque!(seglift_cleanup, b"slcleanu", State);

/// A report with its texts and errors as C wants them.
pub(super) struct State {
    report: Report,
    texts: Vec<(CString, CString)>,
    errors: Vec<*mut seglift_error>,
    done: bool,
}

impl Drop for State {
    fn drop(&mut self) {
        for error in &self.errors {
            // SAFETY: made by `give`, freed here only; NULL is fine.
            unsafe { seglift_error_free(*error) };
        }
    }
}

impl seglift_cleanup {
    /// A report that the caller owns.
    pub(super) fn of_reap(report: Report) -> *mut seglift_cleanup {
        Self::give(report, true)
    }

    /// What a step did, owned by the caller.
    pub(super) fn of_sweep(step: Step) -> *mut seglift_cleanup {
        Self::give(step.report, step.done)
    }

    fn give(report: Report, done: bool) -> *mut seglift_cleanup {
        let items = report.items().iter();
        let texts = items.clone().map(|item| (printable(&item.name), printable(&item.upload_id))).collect();
        let error = |error: &crate::Error| seglift_error::give(error.clone());
        let errors = items.map(|item| item.error.as_ref().map_or(ptr::null_mut(), error)).collect();
        handle::give(State { report, texts, errors, done })
    }
}

/// A time of ms milliseconds, a day for 0.
pub(super) fn age(ms: i64, field: &str) -> Result<Duration> {
    match ms {
        0 => Ok(A_DAY),
        1.. => Ok(Duration::from_millis(ms as u64)),
        _ => Err(invalid(format!("{field} is {ms}; give milliseconds, or 0 for a day"))),
    }
}

/// The options in Rust's words.
///
/// # Safety
/// `options` is NULL or a struct as the header asks.
pub(super) unsafe fn read_options(options: *const seglift_reap_options) -> Result<ReapOptions> {
    // SAFETY: the caller's promise is ours.
    let o = unsafe { structs::optional(options) }?.unwrap_or(seglift_reap_options {
        size: size_of::<seglift_reap_options>(),
        older_than_ms: 0,
        flags: 0,
        reserved0: 0,
    });
    must_be_zero(
        u64::from(o.flags & !(SEGLIFT_REAP_DRY_RUN | SEGLIFT_REAP_ALL_OWNERS)),
        "seglift_reap_options.flags",
    )?;
    must_be_zero(u64::from(o.reserved0), "seglift_reap_options.reserved0")?;
    Ok(ReapOptions {
        older_than: age(o.older_than_ms, "seglift_reap_options.older_than_ms")?,
        dry_run: o.flags & SEGLIFT_REAP_DRY_RUN != 0,
        all_owners: o.flags & SEGLIFT_REAP_ALL_OWNERS != 0,
    })
}

/// Aborts uploads of this owner that were begun and never ended, because their process was killed. Never one of which
/// a part is younger than older_than_ms. options and cleanup may be NULL. OK also when some could not be aborted: count
/// SEGLIFT_VERDICT_FAILED. What was aborted before an error stays so.
/// Ownership: *cleanup is yours, until seglift_cleanup_free. Errors: PERMISSION_DENIED, UNAVAILABLE, TIMED_OUT,
/// CANCELLED, CLOSED. Threads: any; blocks. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_reap(
    driver: *mut seglift_driver,
    options: *const seglift_reap_options,
    call: *const seglift_call,
    cleanup: *mut *mut seglift_cleanup,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::optional(cleanup, ptr::null_mut(), "seglift_cleanup")?;
            let (driver, options, call) =
                (driver::borrow(driver)?, read_options(options)?, call::read(call)?);
            let report = driver.reap(options, &call)?;
            if let Some(place) = place {
                place.set(seglift_cleanup::of_reap(report));
            }
            Ok(())
        })
    }
}

/// How many uploads or objects ended with this verdict (0 = all of them), and in *bytes, which may be NULL, how much that
/// is in the store as far as it is known. Those are counted, too, that have no entry. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_cleanup_count(
    cleanup: *const seglift_cleanup,
    verdict: u32,
    bytes: *mut u64,
) -> u64 {
    // SAFETY: NULL or a live cleanup, NULL or a place for a number, says the header.
    quiet(0, || unsafe {
        let Ok(state) = handle::peek(cleanup) else { return 0 };
        let wanted = Verdict::ALL.iter().filter(|v| verdict == 0 || **v as u32 == verdict);
        let tallies: Vec<_> = wanted.map(|v| state.report.tally(*v)).collect();
        if let Ok(Some(place)) = Place::optional(bytes, 0, "number of bytes") {
            place.set(tallies.iter().map(|tally| tally.bytes).sum());
        }
        tallies.iter().map(|tally| tally.count).sum()
    })
}

/// How many entries there are, 10,000 at most. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_cleanup_len(cleanup: *const seglift_cleanup) -> usize {
    // SAFETY: NULL or a live cleanup, says the header.
    quiet(0, || unsafe { handle::peek(cleanup).map_or(0, |state| state.texts.len()) })
}

/// The i-th entry, in the order in which they were met. Errors: OUT_OF_RANGE. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_cleanup_get(
    cleanup: *const seglift_cleanup,
    i: usize,
    entry: *mut seglift_cleanup_entry,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let (out, state) = (Out::required(entry)?, handle::peek(cleanup)?);
            let item = nth(state.report.items(), i, "entries")?;
            let (name, upload_id) = nth(&state.texts, i, "entries")?;
            out.write(seglift_cleanup_entry {
                size: size_of::<seglift_cleanup_entry>(),
                name: name.as_ptr(),
                upload_id: upload_id.as_ptr(),
                bytes: item.bytes,
                time_us: item.time_us,
                error: nth(&state.errors, i, "entries")?.cast_const(),
                verdict: item.verdict as u32,
                reserved0: 0,
            });
            Ok(())
        })
    }
}

/// 1 if nothing is left to do: of a reap always, of a sweep once seglift_sweep_finish has come to the end of the store.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_cleanup_done(cleanup: *const seglift_cleanup) -> u32 {
    // SAFETY: NULL or a live cleanup, says the header.
    quiet(0, || unsafe { handle::peek(cleanup).map_or(0, |state| state.done.into()) })
}

/// Frees a cleanup and its errors. NULL is fine. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_cleanup_free(cleanup: *mut seglift_cleanup) {
    // SAFETY: NULL or a cleanup that is the caller's, says the header.
    unsafe { handle::free(cleanup) };
}

/// Starts a reap; the completion has the cleanup. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_reap_submit(
    driver: *mut seglift_driver,
    options: *const seglift_reap_options,
    call: *const seglift_call,
    queue: *mut seglift_queue,
    user_data: *mut c_void,
    op: *mut seglift_op,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        Submit { call, queue, user_data, op, err }
            .run(|call, seat| driver::borrow(driver)?.reap_submit(read_options(options)?, call, seat.take()?))
    }
}
