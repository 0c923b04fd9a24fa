//! What is known of a segment without reading it: attachments and stat.

use super::{
    bytes::seglift_bytes,
    call::{self, seglift_call},
    codes::seglift_code,
    driver::{self, seglift_driver},
    error::seglift_error,
    handle::{self, opaque},
    panic,
    read::{seglift_ref, segment_ref},
    receipt::{self, SEGLIFT_TOKEN_MAX},
    segment::{codec_to_c, mode_to_c, seglift_pair},
    structs::{Out, Place, c_struct},
    text::{printable, text},
};
use crate::{
    error::{Code, Error, Result},
    object::Mode,
    reader::Stat,
};
use std::{
    ffi::{CString, c_char},
    ptr,
};

/// What stat found. Immutable; no reads happen through it.
/// Ownership: yours, until seglift_info_free; it outlives its driver. Threads: any number at once. Since 1.0.
pub struct seglift_info {
    _opaque: (),
}
opaque!(seglift_info, b"sl--info", State);

/// A stat with its texts as C wants them.
pub(super) struct State {
    stat: Stat,
    key: CString,
    owner: CString,
    metadata: Vec<(CString, Vec<u8>)>,
    attachments: Vec<CString>,
}

impl seglift_info {
    /// An info that the caller owns.
    pub(super) fn give(stat: Stat) -> *mut seglift_info {
        handle::give(State {
            key: printable(stat.key()),
            owner: printable(stat.owner()),
            metadata: stat.metadata().map(|(name, value)| (printable(name), value.to_vec())).collect(),
            attachments: stat.attachments().iter().map(|a| printable(&a.entry.name)).collect(),
            stat,
        })
    }
}

/// The summary of a segment. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_summary {
    /// You: sizeof(seglift_summary). The library: how many bytes it wrote.
    pub size: usize,
    /// The object's own id.
    pub uuid: [u8; 16],
    /// The key that was asked for. Valid as long as the info.
    pub key: *const c_char,
    /// Who wrote it: the setting owner. Valid as long as the info.
    pub owner: *const c_char,
    /// Length of the segment in bytes.
    pub segment_bytes: u64,
    /// Length of the object in the store in bytes.
    pub object_bytes: u64,
    /// CRC-64/NVME of the segment.
    pub crc64nvme: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// Bytes of the segment in a block.
    pub block_size: u64,
    /// Number of records; 0 in byte mode.
    pub records: u64,
    /// SEGLIFT_CODEC_NONE or SEGLIFT_CODEC_ZSTD.
    pub codec: u32,
    /// SEGLIFT_MODE_*.
    pub mode: u32,
    /// When it was written, in us since 1970 by its writer's clock.
    pub created_us: i64,
    /// With has_offsets: the broker's first offset.
    pub first_offset: i64,
    /// With has_offsets: the broker's last offset.
    pub last_offset: i64,
    /// 1 if the offload gave offsets.
    pub has_offsets: u32,
    /// Version of the object's format.
    pub format_version: u32,
    /// Record mode: id of the first record.
    pub first_id: u64,
    /// Record mode: id of the last record.
    pub last_id: u64,
    /// Record mode: smallest time in us.
    pub first_time_us: i64,
    /// Record mode: largest time in us.
    pub last_time_us: i64,
    /// Number of pairs for seglift_info_metadata.
    pub metadata_count: u32,
    /// Number of attachments for seglift_info_attachment.
    pub attachment_count: u32,
    /// Bytes of the token in use.
    pub token_len: u32,
    /// A token for later reads, as the receipt had it.
    pub token: [u8; SEGLIFT_TOKEN_MAX],
    /// Zero.
    pub reserved0: u32,
}

/// An attachment as the object lists it. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_attachment_info {
    /// You: sizeof(seglift_attachment_info). The library: how many bytes it wrote.
    pub size: usize,
    /// Its name. Valid as long as the info.
    pub name: *const c_char,
    /// Its length in bytes.
    pub len: u64,
    /// Its length in the object in bytes.
    pub stored_len: u64,
    /// SEGLIFT_CODEC_NONE or SEGLIFT_CODEC_ZSTD.
    pub codec: u32,
    /// Zero.
    pub reserved0: u32,
    /// CRC-64/NVME of the attachment.
    pub crc64nvme: u64,
}
c_struct! {
    seglift_summary up to reserved0: u32;
    seglift_attachment_info up to crc64nvme: u64;
}

/// Reads an attachment by its name, whole and verified.
/// Ownership: *bytes is yours, until seglift_bytes_free. Errors: OUT_OF_RANGE if the segment has none of this name;
/// else as seglift_read_range. Threads: any; blocks. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_read_attachment(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    name: *const c_char,
    call: *const seglift_call,
    bytes: *mut *mut seglift_bytes,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(bytes, ptr::null_mut(), "seglift_bytes")?;
            let (driver, segment, call) = (driver::borrow(driver)?, segment_ref(segment)?, call::read(call)?);
            let read = driver.read_attachment(&segment, text(name, "name")?, &call)?;
            place.set(seglift_bytes::of_segment(read));
            Ok(())
        })
    }
}

/// What the segment's object says of itself: sizes, codec, offsets, metadata, attachments, a token.
/// Ownership: *info is yours, until seglift_info_free. Errors: as seglift_read_range. Threads: any; blocks.
/// Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_stat(
    driver: *mut seglift_driver,
    segment: *const seglift_ref,
    call: *const seglift_call,
    info: *mut *mut seglift_info,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(info, ptr::null_mut(), "seglift_info")?;
            let stat = driver::borrow(driver)?.stat(&segment_ref(segment)?, &call::read(call)?)?;
            place.set(seglift_info::give(stat));
            Ok(())
        })
    }
}

/// The summary. Its strings are valid as long as the info. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_info_summary(
    info: *const seglift_info,
    summary: *mut seglift_summary,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let (out, state) = (Out::required(summary)?, handle::peek(info)?);
            out.write(summarize(state));
            Ok(())
        })
    }
}

fn summarize(state: &State) -> seglift_summary {
    let stat = &state.stat;
    let (token_len, token) = receipt::token(stat.token());
    let offsets = stat.offsets().filter(|_| stat.mode() == Mode::Bytes);
    let (first, last) = offsets.unwrap_or_default();
    let span = stat.tail().records();
    seglift_summary {
        size: size_of::<seglift_summary>(),
        uuid: stat.object_id().0.into_bytes(),
        key: state.key.as_ptr(),
        owner: state.owner.as_ptr(),
        segment_bytes: stat.segment_bytes(),
        object_bytes: stat.object_bytes(),
        crc64nvme: stat.crc64nvme(),
        blocks: stat.blocks().into(),
        block_size: stat.block_size().into(),
        records: stat.records(),
        codec: codec_to_c(stat.codec()),
        mode: mode_to_c(stat.mode()),
        created_us: stat.created_us(),
        first_offset: first as i64,
        last_offset: last as i64,
        has_offsets: offsets.is_some().into(),
        format_version: stat.format_version(),
        first_id: span.map_or(0, |s| s.first_id),
        last_id: span.map_or(0, |s| s.last_id),
        first_time_us: span.map_or(0, |s| s.min_time),
        last_time_us: span.map_or(0, |s| s.max_time),
        metadata_count: state.metadata.len() as u32,
        attachment_count: state.attachments.len() as u32,
        token_len,
        token,
        reserved0: 0,
    }
}

/// The i-th pair of the metadata, in the order of the names. Valid as long as the info.
/// Errors: OUT_OF_RANGE. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_info_metadata(
    info: *const seglift_info,
    i: usize,
    pair: *mut seglift_pair,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let (out, state) = (Out::required(pair)?, handle::peek(info)?);
            let (name, value) = nth(&state.metadata, i, "metadata pairs")?;
            out.write(seglift_pair {
                size: size_of::<seglift_pair>(),
                name: name.as_ptr(),
                value: value.as_ptr().cast(),
                value_len: value.len(),
            });
            Ok(())
        })
    }
}

/// The i-th attachment, in the order in which they were given. Valid as long as the info.
/// Errors: OUT_OF_RANGE. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_info_attachment(
    info: *const seglift_info,
    i: usize,
    attachment: *mut seglift_attachment_info,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let (out, state) = (Out::required(attachment)?, handle::peek(info)?);
            let found = nth(state.stat.attachments(), i, "attachments")?;
            out.write(seglift_attachment_info {
                size: size_of::<seglift_attachment_info>(),
                name: nth(&state.attachments, i, "attachments")?.as_ptr(),
                len: found.entry.content.length,
                stored_len: found.entry.stored_len.into(),
                codec: codec_to_c(found.entry.codec),
                reserved0: 0,
                crc64nvme: found.entry.content.crc64,
            });
            Ok(())
        })
    }
}

/// The i-th of something, or `OUT_OF_RANGE`.
pub(super) fn nth<'a, T>(all: &'a [T], i: usize, what: &str) -> Result<&'a T> {
    all.get(i).ok_or_else(|| {
        Error::new(Code::OutOfRange, format!("there are {} {what}; index {i} is none", all.len()))
    })
}

/// Frees an info. NULL is fine. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_info_free(info: *mut seglift_info) {
    // SAFETY: NULL or an info that is the caller's, says the header.
    unsafe { handle::free(info) };
}
