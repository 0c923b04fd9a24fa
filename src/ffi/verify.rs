//! Verify: everything is read and checked.

use super::{
    call::{self, seglift_call},
    codes::seglift_code,
    driver::{self, seglift_driver},
    error::seglift_error,
    panic,
    read::{seglift_ref, segment_ref},
    structs::{Out, c_struct},
};
use crate::reader::VerifyReport;

/// What verify found. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_verify_report {
    /// You: sizeof(seglift_verify_report). The library: how many bytes it wrote.
    pub size: usize,
    /// Blocks of the segment.
    pub blocks: u64,
    /// Those that cannot be read as they were written.
    pub bad_blocks: u64,
    /// Bytes of the segment.
    pub segment_bytes: u64,
    /// Bytes of the object.
    pub object_bytes: u64,
    /// Records; 0 in byte mode.
    pub records: u64,
    /// Attachments of the segment.
    pub attachments: u64,
    /// Those that cannot be read as they were written.
    pub bad_attachments: u64,
}
c_struct! { seglift_verify_report up to bad_attachments: u64; }

/// The report as C sees it.
pub(super) fn to_c(r: &VerifyReport) -> seglift_verify_report {
    seglift_verify_report {
        size: size_of::<seglift_verify_report>(),
        blocks: r.blocks,
        bad_blocks: r.bad_blocks,
        segment_bytes: r.segment_bytes,
        object_bytes: r.object_bytes,
        records: r.records,
        attachments: r.attachments,
        bad_attachments: r.bad_attachments,
    }
}

/// Reads the whole object past the caches and checks every checksum of it. report may be NULL.
/// Errors: CORRUPT when anything is bad: the report says how much, the error what first; else as
/// seglift_read_range. Threads: any; blocks. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_verify(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    call: *const seglift_call,
    report: *mut seglift_verify_report,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let out = Out::optional(report)?;
            let found = driver::borrow(driver)?.verify(&segment_ref(segment)?, &call::read(call)?)?;
            if let Some(out) = out {
                out.write(to_c(&found));
            }
            found.first_error.map_or(Ok(()), Err)
        })
    }
}
