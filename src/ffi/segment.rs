//! What goes into an object: the source, attachments, metadata.

use super::{
    structs::{Array, c_struct, must_be_zero, required},
    text::{blob, check_blob, copy, invalid, text},
};
use crate::{
    buf::LentSource,
    codec::Codec,
    error::{Code, Error, Result},
    object::{Metadata, Mode},
    writer::{Attachment, AttachmentData, Digest, Finish, IfExists, Segment, Source},
};
use bytes::Bytes;
use std::{
    ffi::{c_char, c_void},
    path::PathBuf,
};

/// seglift_segment.source: a file, by its path.
pub const SEGLIFT_SOURCE_PATH: u32 = 1;
/// seglift_segment.source: an open file descriptor.
pub const SEGLIFT_SOURCE_FD: u32 = 2;
/// seglift_segment.source: bytes in memory.
pub const SEGLIFT_SOURCE_BYTES: u32 = 3;

/// The key is taken by the same segment and the same attachments: success. By anything else: ALREADY_EXISTS.
pub const SEGLIFT_IF_EXISTS_SUCCEED_IF_SAME: u32 = 0;
/// The key is taken by the same segment, whatever its attachments: success.
pub const SEGLIFT_IF_EXISTS_SUCCEED_IF_SAME_SEGMENT: u32 = 1;
/// The key is taken: ALREADY_EXISTS.
pub const SEGLIFT_IF_EXISTS_FAIL: u32 = 2;

/// The codec of the driver's setting.
pub const SEGLIFT_CODEC_DEFAULT: u32 = 0;
/// The segment's bytes as they are.
pub const SEGLIFT_CODEC_NONE: u32 = 1;
/// One zstd frame for each block.
pub const SEGLIFT_CODEC_ZSTD: u32 = 2;

/// Look whether the key is taken before any byte is sent: for retries.
pub const SEGLIFT_SEGMENT_LOOK_FIRST: u32 = 1;
/// first_offset and last_offset are set.
pub const SEGLIFT_SEGMENT_HAS_OFFSETS: u32 = 2;

/// No digest is expected.
pub const SEGLIFT_DIGEST_NONE: u32 = 0;
/// CRC-32C (Castagnoli), in the low 32 bits.
pub const SEGLIFT_DIGEST_CRC32C: u32 = 1;
/// CRC-64/NVME.
pub const SEGLIFT_DIGEST_CRC64NVME: u32 = 2;

/// The segment is a run of bytes.
pub const SEGLIFT_MODE_BYTES: u32 = 0;
/// The segment is a run of records with ids and times.
pub const SEGLIFT_MODE_RECORDS: u32 = 1;

/// A named value of the metadata. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_pair {
    /// sizeof(seglift_pair).
    pub size: usize,
    /// UTF-8. "content-type" names what the payload holds.
    pub name: *const c_char,
    /// Any bytes.
    pub value: *const c_void,
    /// Its length in bytes.
    pub value_len: usize,
}

/// A named blob that travels with a segment, such as an index of the broker: data or path, not both. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_attachment {
    /// sizeof(seglift_attachment).
    pub size: usize,
    /// UTF-8, unique in the segment.
    pub name: *const c_char,
    /// The blob, copied by the call; NULL with a path, or for an empty one.
    pub data: *const c_void,
    /// Its length in bytes.
    pub len: usize,
    /// A file, read when the segment is; NULL with data.
    pub path: *const c_char,
}

/// A segment to offload. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_segment {
    /// sizeof(seglift_segment).
    pub size: usize,
    /// The segment's name in the store: a path of UTF-8 names without "." and "..". Put the attempt's UUID into it.
    pub key: *const c_char,
    /// SEGLIFT_SOURCE_*.
    pub source: u32,
    /// SEGLIFT_IF_EXISTS_*.
    pub if_exists: u32,
    /// SEGLIFT_CODEC_*.
    pub codec: u32,
    /// SEGLIFT_SEGMENT_* bits.
    pub flags: u32,
    /// PATH: the file. Else NULL.
    pub path: *const c_char,
    /// BYTES: the memory. Lent until the call returns or the completion was polled; nobody may change it meanwhile.
    /// Else NULL.
    pub data: *const c_void,
    /// FD: a readable file; duplicated, so you may close yours when the call returns. It is read with pread.
    pub fd: i32,
    /// Zero.
    pub reserved0: u32,
    /// Where the segment begins in the file or the memory.
    pub offset: u64,
    /// PATH, FD: length in bytes, 0 = to the end of the file. BYTES: exactly so many bytes.
    pub length: u64,
    /// attachment_count structs, attachment_stride bytes apart.
    pub attachments: *const seglift_attachment,
    /// How many.
    pub attachment_count: usize,
    /// sizeof(seglift_attachment).
    pub attachment_stride: usize,
    /// metadata_count structs, metadata_stride bytes apart.
    pub metadata: *const seglift_pair,
    /// How many.
    pub metadata_count: usize,
    /// sizeof(seglift_pair).
    pub metadata_stride: usize,
    /// With HAS_OFFSETS: the broker's first offset, not below 0.
    pub first_offset: i64,
    /// With HAS_OFFSETS: the broker's last offset, itself part of the segment.
    pub last_offset: i64,
    /// SEGLIFT_DIGEST_*: the segment's digest that you know. If it does not match, the offload is SOURCE_FAILED and
    /// nothing is committed.
    pub expected_kind: u32,
    /// Zero.
    pub reserved1: u32,
    /// The digest.
    pub expected_digest: u64,
    /// PATH, FD: the path of a small file that lets another offload go on with this one, or NULL. It is written before the
    /// first part is sent, removed when the offload is settled, and yours to keep meanwhile. An offload that fails then
    /// keeps what it has sent: repeat it with the same key and file, or let a reap end it. See docs/semantics.md. Since 1.1.
    pub resume: *const c_char,
}
c_struct! {
    seglift_pair up to value_len: usize;
    seglift_attachment up to path: *const c_char;
    seglift_segment up to expected_digest: u64;
}

/// A segment in Rust's words.
///
/// # Safety
/// `segment` is NULL or a struct as the header asks. Bytes in memory stay until their `LentSource` is revoked.
pub(super) unsafe fn read(segment: *const seglift_segment) -> Result<Segment> {
    // SAFETY: the caller's promise is ours, here and below.
    let s = unsafe { required(segment) }?;
    must_be_zero(s.reserved0.into(), "seglift_segment.reserved0")?;
    must_be_zero(s.reserved1.into(), "seglift_segment.reserved1")?;
    let known = SEGLIFT_SEGMENT_LOOK_FIRST | SEGLIFT_SEGMENT_HAS_OFFSETS;
    must_be_zero((s.flags & !known).into(), "seglift_segment.flags")?;
    Ok(Segment {
        // SAFETY: see above.
        key: unsafe { text(s.key, "seglift_segment.key") }?.to_owned(),
        // SAFETY: see above.
        source: unsafe { source(&s) }?,
        // SAFETY: see above.
        attachments: unsafe { attachments(s.attachments, s.attachment_count, s.attachment_stride) }?,
        // SAFETY: see above.
        metadata: unsafe { metadata(s.metadata, s.metadata_count, s.metadata_stride) }?,
        offsets: offsets(s.flags, s.first_offset, s.last_offset)?,
        expected: digest(s.expected_kind, s.expected_digest)?,
        if_exists: if_exists(s.if_exists)?,
        look_first: s.flags & SEGLIFT_SEGMENT_LOOK_FIRST != 0,
        codec: codec(s.codec)?,
        // SAFETY: see above.
        resume: unsafe { resume(&s) }?,
    })
}

/// # Safety
/// As [`read`].
unsafe fn resume(s: &seglift_segment) -> Result<Option<PathBuf>> {
    if s.resume.is_null() {
        return Ok(None);
    }
    only(s, s.source != SEGLIFT_SOURCE_BYTES, "resume")?;
    // SAFETY: the caller's promise is ours.
    unsafe { text(s.resume, "seglift_segment.resume") }.map(|path| Some(PathBuf::from(path)))
}

/// # Safety
/// As [`read`].
unsafe fn source(s: &seglift_segment) -> Result<Source> {
    let (offset, len) = (s.offset, (s.length > 0).then_some(s.length));
    match s.source {
        SEGLIFT_SOURCE_PATH => {
            only(s, s.data.is_null(), "data")?;
            // SAFETY: the caller's promise is ours.
            let path = unsafe { text(s.path, "seglift_segment.path") }?;
            Ok(Source::Path { path: PathBuf::from(path), offset, len })
        }
        SEGLIFT_SOURCE_FD => {
            only(s, s.path.is_null(), "path")?;
            only(s, s.data.is_null(), "data")?;
            Ok(Source::File { file: duplicate(s.fd)?, offset, len })
        }
        SEGLIFT_SOURCE_BYTES => {
            only(s, s.path.is_null(), "path")?;
            let end = s.offset.checked_add(s.length).and_then(|end| usize::try_from(end).ok());
            let end = end.ok_or_else(|| invalid("offset + length of the seglift_segment fit no memory"))?;
            check_blob(s.data, end, "seglift_segment.data")?;
            // No larger than `end`, so both fit.
            let (at, len) = (s.offset as usize, s.length as usize);
            // SAFETY: `data` has offset + length bytes and stays until the source is revoked, says the header;
            // a NULL one has neither offset nor length.
            Ok(Source::Lent(unsafe { LentSource::new(s.data.cast::<u8>().wrapping_add(at), len) }))
        }
        other => Err(unknown("seglift_segment.source", other, "a SEGLIFT_SOURCE_* constant")),
    }
}

/// No request is silently ignored: the fields of the other sources are empty. (`fd` has no value that says so.)
fn only(s: &seglift_segment, is_empty: bool, field: &str) -> Result<()> {
    if is_empty {
        return Ok(());
    }
    Err(invalid(format!(
        "seglift_segment.{field} is given, and source is {}, which has no use for it",
        s.source
    )))
}

#[cfg(unix)]
fn duplicate(fd: i32) -> Result<std::fs::File> {
    use std::os::fd::BorrowedFd;
    if fd < 0 {
        return Err(invalid(format!("seglift_segment.fd is {fd}, which no open file has")));
    }
    // SAFETY: not -1; whether it is open is what the duplication finds out.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let owned = borrowed.try_clone_to_owned();
    owned.map(Into::into).map_err(|e| invalid(format!("seglift_segment.fd {fd} cannot be duplicated: {e}")))
}

#[cfg(not(unix))]
fn duplicate(_: i32) -> Result<std::fs::File> {
    Err(invalid("file descriptors are a source on Unix only; give the path"))
}

/// Attachments in Rust's words, their data copied.
///
/// # Safety
/// The array is as the header asks.
pub(super) unsafe fn attachments(
    base: *const seglift_attachment,
    count: usize,
    stride: usize,
) -> Result<Vec<Attachment>> {
    // SAFETY: the caller's promise is ours, here and below.
    let array = unsafe { Array::new(base, count, stride) }?;
    // SAFETY: see above.
    array.iter().map(|a| unsafe { attachment(&a?) }).collect()
}

/// # Safety
/// The strings and blobs are as the header asks.
unsafe fn attachment(a: &seglift_attachment) -> Result<Attachment> {
    // SAFETY: the caller's promise is ours.
    let name = unsafe { text(a.name, "seglift_attachment.name") }?.to_owned();
    if !a.path.is_null() && !a.data.is_null() {
        return Err(invalid(format!("attachment \"{name}\" has both data and a path; give one of them")));
    }
    let data = if a.path.is_null() {
        // SAFETY: the caller's promise is ours.
        let data = unsafe { blob(a.data, a.len, "seglift_attachment.data") }?;
        AttachmentData::Bytes(Bytes::from(copy(data, &format!("attachment \"{name}\""))?))
    } else {
        // SAFETY: the caller's promise is ours.
        AttachmentData::Path(PathBuf::from(unsafe { text(a.path, "seglift_attachment.path") }?))
    };
    Ok(Attachment { name, data })
}

/// Metadata in Rust's words.
///
/// # Safety
/// The array is as the header asks.
pub(super) unsafe fn metadata(base: *const seglift_pair, count: usize, stride: usize) -> Result<Metadata> {
    // SAFETY: the caller's promise is ours, here and below.
    let array = unsafe { Array::new(base, count, stride) }?;
    let mut metadata = Metadata::new();
    for pair in array.iter() {
        let pair = pair?;
        // SAFETY: see above.
        let name = unsafe { text(pair.name, "seglift_pair.name") }?;
        // SAFETY: see above.
        let value = unsafe { blob(pair.value, pair.value_len, "seglift_pair.value") }?;
        metadata.insert(name, value)?;
    }
    Ok(metadata)
}

/// The end of a segment that was written in pieces. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_writer_finish {
    /// sizeof(seglift_writer_finish).
    pub size: usize,
    /// attachment_count structs, attachment_stride bytes apart.
    pub attachments: *const seglift_attachment,
    /// How many.
    pub attachment_count: usize,
    /// sizeof(seglift_attachment).
    pub attachment_stride: usize,
    /// SEGLIFT_SEGMENT_HAS_OFFSETS or 0.
    pub flags: u32,
    /// Zero.
    pub reserved0: u32,
    /// With HAS_OFFSETS: the broker's first offset, not below 0.
    pub first_offset: i64,
    /// With HAS_OFFSETS: the broker's last offset, itself part of the segment.
    pub last_offset: i64,
    /// SEGLIFT_DIGEST_*, as in seglift_segment.
    pub expected_kind: u32,
    /// Zero.
    pub reserved1: u32,
    /// The digest.
    pub expected_digest: u64,
}
c_struct! { seglift_writer_finish up to expected_digest: u64; }

/// The end of a written segment in Rust's words; NULL = nothing to add.
///
/// # Safety
/// `finish` is NULL or a struct as the header asks.
pub(super) unsafe fn finish(finish: *const seglift_writer_finish) -> Result<Finish> {
    // SAFETY: the caller's promise is ours, here and below.
    let Some(f) = (unsafe { super::structs::optional(finish) })? else { return Ok(Finish::default()) };
    must_be_zero(f.reserved0.into(), "seglift_writer_finish.reserved0")?;
    must_be_zero(f.reserved1.into(), "seglift_writer_finish.reserved1")?;
    must_be_zero((f.flags & !SEGLIFT_SEGMENT_HAS_OFFSETS).into(), "seglift_writer_finish.flags")?;
    Ok(Finish {
        // SAFETY: see above.
        attachments: unsafe { attachments(f.attachments, f.attachment_count, f.attachment_stride) }?,
        offsets: offsets(f.flags, f.first_offset, f.last_offset)?,
        expected: digest(f.expected_kind, f.expected_digest)?,
    })
}

fn offsets(flags: u32, first: i64, last: i64) -> Result<Option<(u64, u64)>> {
    if flags & SEGLIFT_SEGMENT_HAS_OFFSETS == 0 {
        return Ok(None);
    }
    match (u64::try_from(first), u64::try_from(last)) {
        (Ok(first), Ok(last)) => Ok(Some((first, last))),
        _ => Err(invalid(format!("first_offset {first} or last_offset {last} is below 0"))),
    }
}

fn digest(kind: u32, digest: u64) -> Result<Option<Digest>> {
    match kind {
        SEGLIFT_DIGEST_NONE => must_be_zero(digest, "expected_digest without expected_kind").map(|()| None),
        SEGLIFT_DIGEST_CRC32C => match u32::try_from(digest) {
            Ok(crc) => Ok(Some(Digest::Crc32c(crc))),
            Err(_) => Err(invalid(format!("expected_digest is {digest:#x}, but a CRC-32C has 32 bits"))),
        },
        SEGLIFT_DIGEST_CRC64NVME => Ok(Some(Digest::Crc64Nvme(digest))),
        other => Err(unknown("expected_kind", other, "a SEGLIFT_DIGEST_* constant")),
    }
}

/// `SEGLIFT_IF_EXISTS_*` in Rust's words.
pub(super) fn if_exists(value: u32) -> Result<IfExists> {
    match value {
        SEGLIFT_IF_EXISTS_SUCCEED_IF_SAME => Ok(IfExists::SucceedIfSame),
        SEGLIFT_IF_EXISTS_SUCCEED_IF_SAME_SEGMENT => Ok(IfExists::SucceedIfSameSegment),
        SEGLIFT_IF_EXISTS_FAIL => Ok(IfExists::Fail),
        other => Err(unknown("if_exists", other, "a SEGLIFT_IF_EXISTS_* constant")),
    }
}

/// `SEGLIFT_CODEC_*` in Rust's words; `None` is the driver's setting.
pub(super) fn codec(value: u32) -> Result<Option<Codec>> {
    match value {
        SEGLIFT_CODEC_DEFAULT => Ok(None),
        SEGLIFT_CODEC_NONE => Ok(Some(Codec::None)),
        SEGLIFT_CODEC_ZSTD => Ok(Some(Codec::Zstd)),
        other => Err(unknown("codec", other, "a SEGLIFT_CODEC_* constant")),
    }
}

/// `SEGLIFT_MODE_*` in Rust's words.
pub(super) fn mode(value: u32) -> Result<Mode> {
    match value {
        SEGLIFT_MODE_BYTES => Ok(Mode::Bytes),
        SEGLIFT_MODE_RECORDS => Ok(Mode::Records),
        other => Err(unknown("mode", other, "a SEGLIFT_MODE_* constant")),
    }
}

/// A number of a list that this library does not have: perhaps a newer one does.
fn unknown(field: &str, value: u32, allowed: &str) -> Error {
    let message = format!(
        "{field} is {value}, which this version of seglift does not know; give {allowed} of its header"
    );
    Error::new(Code::UnsupportedField, message)
}

/// A codec as C sees it.
pub(super) fn codec_to_c(codec: Codec) -> u32 {
    match codec {
        Codec::None => SEGLIFT_CODEC_NONE,
        Codec::Zstd => SEGLIFT_CODEC_ZSTD,
    }
}

/// A mode as C sees it.
pub(super) fn mode_to_c(mode: Mode) -> u32 {
    match mode {
        Mode::Bytes => SEGLIFT_MODE_BYTES,
        Mode::Records => SEGLIFT_MODE_RECORDS,
    }
}
