//! Where a damaged segment is damaged.

use super::{
    call::{self, seglift_call},
    codes::seglift_code,
    driver::{self, seglift_driver},
    error::{seglift_error, seglift_error_free},
    handle::{self, opaque},
    info::nth,
    panic::{self, quiet},
    read::{seglift_ref, segment_ref},
    structs::{Out, Place, c_struct},
    text::printable,
    verify::{self, seglift_verify_report},
};
use crate::{
    error::Result,
    reader::{Part, VerifyReport},
};
use std::{
    ffi::{CString, c_char},
    ptr,
};

/// What a damage is in: the tail, without which nothing is found. `seglift cat --salvage` may still save blocks. Since 1.1,
/// as all SEGLIFT_PART_*.
pub const SEGLIFT_PART_TAIL: u32 = 1;
/// A page of the block index: its blocks cannot be found, and may be sound themselves.
pub const SEGLIFT_PART_INDEX: u32 = 2;
/// Blocks.
pub const SEGLIFT_PART_BLOCK: u32 = 3;
/// An attachment.
pub const SEGLIFT_PART_ATTACHMENT: u32 = 4;
/// The header of a frame between the parts. Reading does without; stock zstd does not.
pub const SEGLIFT_PART_FRAME: u32 = 5;
/// The zstd seek table. Reading does without; tools of the seekable format do not.
pub const SEGLIFT_PART_SEEK_TABLE: u32 = 6;
/// Every block is sound, and together they are not what was written.
pub const SEGLIFT_PART_CONTENT: u32 = 7;

const _: () = {
    assert!(Part::ALL[Part::ALL.len() - 1] as u32 == SEGLIFT_PART_CONTENT);
    assert!(Part::Tail as u32 == SEGLIFT_PART_TAIL);
    assert!(Part::Index as u32 == SEGLIFT_PART_INDEX);
    assert!(Part::Block as u32 == SEGLIFT_PART_BLOCK);
    assert!(Part::Attachment as u32 == SEGLIFT_PART_ATTACHMENT);
    assert!(Part::Frame as u32 == SEGLIFT_PART_FRAME);
    assert!(Part::SeekTable as u32 == SEGLIFT_PART_SEEK_TABLE);
    assert!(Part::Content as u32 == SEGLIFT_PART_CONTENT);
};

/// A stretch of an object that is not as it was written. Since 1.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_damage_entry {
    /// You: sizeof(seglift_damage_entry). The library: how many bytes it wrote.
    pub size: usize,
    /// SEGLIFT_PART_*.
    pub part: u32,
    /// 1 if records cannot be read for it: first_id and last_id mean something then.
    pub has_records: u32,
    /// Where it stands in the object.
    pub position: u64,
    /// How many bytes it has there; 0 where that is not known.
    pub stored_bytes: u64,
    /// Which bytes of the segment cannot be read for it: where they begin.
    pub offset: u64,
    /// How many; 0 if none.
    pub bytes: u64,
    /// How many blocks that is.
    pub blocks: u64,
    /// Which records cannot be read for it: first id.
    pub first_id: u64,
    /// Last id. Ids may have gaps.
    pub last_id: u64,
    /// The name of the attachment, else "". Valid as long as the damage.
    pub attachment: *const c_char,
    /// What is wrong; of several neighbours with the first. It belongs to the damage: do not free it.
    pub error: *const seglift_error,
}
c_struct! { seglift_damage_entry up to error: *const seglift_error; }

/// Where a segment is damaged: blocks and pages first, in the order of the segment, then what else there is. What no entry
/// names was read and is sound. Of a ruined segment that has more than 10,000 stretches the last one names what is sound
/// in between, too.
/// Ownership: yours, until seglift_damage_free. Threads: any number at once, read only. Since 1.1.
pub struct seglift_damage {
    _opaque: (),
}
opaque!(seglift_damage, b"sldamage", State);

/// A report with its texts and errors as C wants them.
pub(super) struct State {
    report: VerifyReport,
    names: Vec<CString>,
    errors: Vec<*mut seglift_error>,
}

impl Drop for State {
    fn drop(&mut self) {
        for error in &self.errors {
            // SAFETY: made by `give`, freed here only.
            unsafe { seglift_error_free(*error) };
        }
    }
}

fn give(report: VerifyReport) -> *mut seglift_damage {
    let names = report.damage.iter().map(|damage| printable(&damage.attachment)).collect();
    let errors = report.damage.iter().map(|damage| seglift_error::give(damage.error.clone())).collect();
    handle::give(State { report, names, errors })
}

/// seglift_verify that also says where the damage is. report may be NULL.
/// Ownership: *damage is yours, until seglift_damage_free; it is there with OK, and then empty, and with CORRUPT, but NULL
/// with any other error. Errors: those of seglift_verify. Threads: any; blocks. Since 1.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_verify_damage(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    call: *const seglift_call,
    report: *mut seglift_verify_report,
    damage: *mut *mut seglift_damage,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(damage, ptr::null_mut(), "seglift_damage")?;
            let out = Out::optional(report)?;
            let found = driver::borrow(driver)?.verify(&segment_ref(segment)?, &call::read(call)?)?;
            if let Some(out) = out {
                out.write(verify::to_c(&found));
            }
            let first: Result<()> = found.first_error.clone().map_or(Ok(()), Err);
            place.set(give(found));
            first
        })
    }
}

/// How many entries there are. Threads: any. Since 1.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_damage_len(damage: *const seglift_damage) -> usize {
    // SAFETY: NULL or a live damage, says the header.
    quiet(0, || unsafe { handle::peek(damage).map_or(0, |state| state.names.len()) })
}

/// The i-th entry. Errors: OUT_OF_RANGE. Threads: any. Since 1.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_damage_get(
    damage: *const seglift_damage,
    i: usize,
    entry: *mut seglift_damage_entry,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let (out, state) = (Out::required(entry)?, handle::peek(damage)?);
            let item = nth(&state.report.damage, i, "entries")?;
            let (first_id, last_id) = item.records.unwrap_or_default();
            out.write(seglift_damage_entry {
                size: size_of::<seglift_damage_entry>(),
                part: item.part as u32,
                has_records: item.records.is_some().into(),
                position: item.stored.start,
                stored_bytes: item.stored.end - item.stored.start,
                offset: item.raw.start,
                bytes: item.raw.end - item.raw.start,
                blocks: item.blocks,
                first_id,
                last_id,
                attachment: nth(&state.names, i, "entries")?.as_ptr(),
                error: nth(&state.errors, i, "entries")?.cast_const(),
            });
            Ok(())
        })
    }
}

/// Frees a damage and its errors. NULL is fine. Since 1.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_damage_free(damage: *mut seglift_damage) {
    // SAFETY: NULL or a damage that is the caller's, says the header.
    unsafe { handle::free(damage) };
}
