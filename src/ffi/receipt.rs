//! Receipts: what an offload returns.

use super::structs::c_struct;
use crate::writer::Receipt;

/// Longest token in bytes.
pub const SEGLIFT_TOKEN_MAX: usize = 128;

/// What an offload or a commit returns. Keep key and token: the token saves later reads the search. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_receipt {
    /// You: sizeof(seglift_receipt). The library: how many bytes it wrote.
    pub size: usize,
    /// The object's own id.
    pub uuid: [u8; 16],
    /// Length of the segment in bytes.
    pub segment_bytes: u64,
    /// Length of the object in the store in bytes.
    pub object_bytes: u64,
    /// CRC-64/NVME of the segment.
    pub crc64nvme: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// Number of records; 0 in byte mode.
    pub records: u64,
    /// SEGLIFT_CODEC_NONE or SEGLIFT_CODEC_ZSTD.
    pub codec: u32,
    /// SEGLIFT_MODE_BYTES or SEGLIFT_MODE_RECORDS.
    pub mode: u32,
    /// 1 = the same content was there already; the receipt describes what is there.
    pub existed: u32,
    /// 1 = the store created the object atomically, so that no other writer can have been overwritten.
    pub atomic_create: u32,
    /// Bytes of the token in use.
    pub token_len: u32,
    /// Opaque. Give it to reads in seglift_ref.
    pub token: [u8; SEGLIFT_TOKEN_MAX],
    /// Zero.
    pub reserved0: u32,
    /// Bytes of parts that the store had from an earlier attempt and that were not sent again; 0 without
    /// seglift_segment.resume. Since 1.1.
    pub resumed_bytes: u64,
}
c_struct! { seglift_receipt up to reserved0: u32; }

/// A token in its place of fixed length.
pub(super) fn token(token: &[u8]) -> (u32, [u8; SEGLIFT_TOKEN_MAX]) {
    let mut place = [0; SEGLIFT_TOKEN_MAX];
    let len = token.len().min(SEGLIFT_TOKEN_MAX);
    place[..len].copy_from_slice(&token[..len]);
    (len as u32, place)
}

/// The receipt as C sees it.
pub(super) fn to_c(r: &Receipt) -> seglift_receipt {
    let (token_len, token) = token(&r.token);
    seglift_receipt {
        size: size_of::<seglift_receipt>(),
        uuid: r.object_id.0.into_bytes(),
        segment_bytes: r.segment_bytes,
        object_bytes: r.object_bytes,
        crc64nvme: r.crc64nvme,
        blocks: r.blocks,
        records: r.records,
        codec: super::segment::codec_to_c(r.codec),
        mode: super::segment::mode_to_c(r.mode),
        existed: r.existed.into(),
        atomic_create: r.atomic_create.into(),
        token_len,
        token,
        reserved0: 0,
        resumed_bytes: r.resumed_bytes,
    }
}
