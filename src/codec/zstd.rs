//! Blocks as independent zstd frames, with contexts that are used again and again.
//!
//! Invariant: one block is one frame with its content size, without dictionary and checksum. So
//! the stock `zstd` restores it, and the decoder knows the size before it starts. Incompressible
//! input needs no special case: zstd then writes raw blocks into the frame, 3 bytes per 128 KiB.
//!
//! Trade-off: no zstd checksum, because the index holds a CRC32C of the stored bytes, which also
//! finds damage without decompressing.

use std::ops::RangeInclusive;

use ::zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

use super::Codec;
use crate::error::{Code, Error, Result};

/// What an empty context takes, about, for the message when even that is missing.
const CONTEXT: usize = 128 << 10;

/// The version of zstd, on which the bytes of a frame depend: `zstd 1.5.7`.
pub fn version() -> String {
    format!("zstd {}", zstd_safe::version_string())
}

/// A reusable zstd compressor; about 1 MiB of working memory at level 1. One thread at a time.
pub struct Compressor(CCtx<'static>);

impl Compressor {
    /// The levels that a writer may use. Faster than -7 gains nothing; above 19 a frame needs more
    /// memory to read than a reader plans for.
    pub const LEVELS: RangeInclusive<i32> = -7..=19;

    /// A compressor of `level`: 1 is the default of the settings, 0 is zstd's own (3).
    ///
    /// `INVALID_ARGUMENT` for a level outside [`Compressor::LEVELS`], which zstd itself would
    /// silently clamp; `RESOURCE_EXHAUSTED` if memory is short.
    pub fn new(level: i32) -> Result<Self> {
        if !Self::LEVELS.contains(&level) {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("zstd level {level} is outside {:?}", Self::LEVELS),
            ));
        }
        let mut context = CCtx::try_create().ok_or_else(|| exhausted(CONTEXT))?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(|_| exhausted(CONTEXT))?;
        Ok(Compressor(context))
    }

    /// Replaces the contents of `out` by `raw` as one frame, of at most
    /// [`Codec::max_stored_len`] bytes. `out` is grown if it lacks room; reuse it.
    ///
    /// `RESOURCE_EXHAUSTED` if memory is short.
    pub fn compress_block(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let room = Codec::Zstd.max_stored_len(raw.len() as u64) as usize;
        out.try_reserve(room).map_err(|_| exhausted(room))?;
        match self.0.compress2(out, raw) {
            Ok(_) => Ok(()),
            // The room is above zstd's own bound, so only its working memory can be missing.
            Err(code) => {
                let name = zstd_safe::get_error_name(code);
                let message = format!("zstd could not compress a block of {} bytes: {name}", raw.len());
                Err(Error::new(Code::ResourceExhausted, message))
            }
        }
    }
}

/// A reusable zstd decompressor; about 160 KiB of working memory. One thread at a time.
pub struct Decompressor(DCtx<'static>);

impl Decompressor {
    /// A decompressor. `RESOURCE_EXHAUSTED` if memory is short.
    pub fn new() -> Result<Self> {
        DCtx::try_create().map(Self).ok_or_else(|| exhausted(CONTEXT))
    }

    /// Raw bytes that the zstd frame at the start of `stored` declares; its first 18 bytes are enough. `None` if there
    /// is no frame with a content size.
    pub fn frame_raw_len(stored: &[u8]) -> Option<u64> {
        zstd_safe::get_frame_content_size(stored).ok().flatten()
    }

    /// Stored bytes of the whole zstd frame at the start of `stored`, which may go on with others. Only lengths are
    /// looked at. `None` if there is none, or not all of it.
    pub fn frame_stored_len(stored: &[u8]) -> Option<usize> {
        zstd_safe::find_frame_compressed_size(stored).ok()
    }

    /// Fills `dest` exactly with the raw bytes of the frame `stored`.
    ///
    /// `CORRUPT` if `stored` is no frame, or not one of `dest.len()` raw bytes; `dest` then holds
    /// anything. Nothing is ever written past `dest`.
    pub fn decompress_block(&mut self, stored: &[u8], dest: &mut [u8]) -> Result<()> {
        let corrupt = |what: String| Err(Error::new(Code::Corrupt, what));
        match zstd_safe::get_frame_content_size(stored) {
            Ok(Some(declared)) if declared == dest.len() as u64 => {}
            Ok(Some(declared)) => {
                return corrupt(format!(
                    "its zstd frame declares {declared} raw bytes instead of {}",
                    dest.len()
                ));
            }
            _ => return corrupt("it is no zstd frame with a content size".to_owned()),
        }
        match self.0.decompress(dest, stored) {
            Ok(n) if n == dest.len() => Ok(()),
            Ok(n) => corrupt(format!("zstd gave {n} raw bytes instead of {}", dest.len())),
            Err(code) => corrupt(format!("zstd cannot decompress it: {}", zstd_safe::get_error_name(code))),
        }
    }
}

fn exhausted(bytes: usize) -> Error {
    Error::new(
        Code::ResourceExhausted,
        format!("no memory for {bytes} bytes; lower the memory budget or add memory"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect()
    }

    #[test]
    fn blocks_of_any_kind_come_back_and_stay_under_the_bound() {
        let (mut c, mut d) = (Compressor::new(1).unwrap(), Decompressor::new().unwrap());
        let mut stored = Vec::new();
        for len in [0, 1, 100, 131_071, 131_072, 131_073, 1 << 20] {
            for raw in [noise(len), vec![7; len]] {
                c.compress_block(&raw, &mut stored).unwrap();
                assert!(stored.len() as u64 <= Codec::Zstd.max_stored_len(len as u64));
                let mut back = vec![0xAA; len];
                d.decompress_block(&stored, &mut back).unwrap();
                assert!(back == raw);
            }
        }
    }

    #[test]
    fn the_bound_is_above_that_of_zstd_itself() {
        for len in [0, 1, 255, 256, 4096, 65_536, 131_072, 262_144, 64 << 20] {
            assert!(Codec::Zstd.max_stored_len(len as u64) as usize >= zstd_safe::compress_bound(len));
        }
    }

    #[test]
    fn a_frame_of_another_size_or_of_garbage_is_corrupt() {
        let (mut c, mut d) = (Compressor::new(1).unwrap(), Decompressor::new().unwrap());
        let mut stored = Vec::new();
        c.compress_block(&[9; 1000], &mut stored).unwrap();
        for len in [0, 999, 1001] {
            assert_eq!(d.decompress_block(&stored, &mut vec![0; len]).unwrap_err().code(), Code::Corrupt);
        }
        for bytes in [&stored[..stored.len() - 1], &[], &noise(64), &[&stored[..], &stored].concat()] {
            assert_eq!(d.decompress_block(bytes, &mut [0; 1000]).unwrap_err().code(), Code::Corrupt);
        }
        let two = [&stored[..], &stored].concat();
        assert!(d.decompress_block(&two, &mut [0; 2000]).is_err(), "a block is one frame, not two");
    }

    #[test]
    fn a_frame_that_does_not_say_its_size_is_corrupt() {
        let raw = [9; 1000];
        let stored = ::zstd::stream::encode_all(&raw[..], 1).unwrap();
        assert_eq!(zstd_safe::get_frame_content_size(&stored).ok(), Some(None), "it is such a frame");
        let e = Decompressor::new().unwrap().decompress_block(&stored, &mut [0; 1000]).unwrap_err();
        assert_eq!(e.code(), Code::Corrupt);
    }

    #[test]
    fn a_level_outside_the_range_is_refused_and_not_clamped() {
        for level in [-8, 20, i32::MAX] {
            assert_eq!(Compressor::new(level).err().map(|e| e.code()), Some(Code::InvalidArgument));
        }
        assert!(Compressor::new(-7).is_ok() && Compressor::new(19).is_ok());
    }
}
