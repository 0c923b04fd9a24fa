//! Offload: a sealed segment becomes one object.

use super::{
    call::{self, seglift_call},
    codes::seglift_code,
    driver::{self, seglift_driver},
    error::seglift_error,
    panic,
    receipt::{self, seglift_receipt},
    segment::{self, seglift_segment},
    structs::Out,
};
use crate::writer::Source;

/// Offloads a sealed segment as one object. It ends committed (OK and a receipt), not committed (an error), or as
/// OUTCOME_UNKNOWN: then repeat it with the same key. Before the commit nothing is visible under the key; nothing
/// is ever overwritten. receipt may be NULL.
/// Errors: ALREADY_EXISTS, SOURCE_FAILED, NO_SPACE, PERMISSION_DENIED, UNAVAILABLE, TIMED_OUT, CANCELLED, BUSY,
/// OUTCOME_UNKNOWN, CLOSED. Threads: any; blocks. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_offload_segment(
    driver: *mut seglift_driver,
    segment: *const seglift_segment,
    call: *const seglift_call,
    receipt: *mut seglift_receipt,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let (driver, out) = (driver::borrow(driver)?, Out::optional(receipt)?);
            let (segment, call) = (segment::read(segment)?, call::read(call)?);
            // The memory is the caller's again when this returns, whatever the engine still does.
            let lent = match &segment.source {
                Source::Lent(source) => Some(source.clone()),
                _ => None,
            };
            let result = driver.offload(segment, &call);
            if let Some(lent) = lent {
                lent.revoke();
            }
            let done = result?;
            if let Some(out) = out {
                out.write(receipt::to_c(&done));
            }
            Ok(())
        })
    }
}
