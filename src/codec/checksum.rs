//! CRC32C and CRC-64/NVME: of a slice, of a stream, and of two neighbours joined.
//!
//! CRC32C guards stored bytes (blocks, pages, tails; S3 verifies it for parts), CRC-64/NVME
//! names content. Both combine: the checksum of `ab` follows from those of `a` and `b`, so a
//! part's checksum comes from its blocks without reading a byte twice.

use crc_fast::{CrcAlgorithm, Digest};

macro_rules! checksum {
    ($name:ident, $sum:ident, $int:ty, $algorithm:ident, $title:literal) => {
        #[doc = concat!("The ", $title, " of `bytes`.")]
        pub fn $sum(bytes: &[u8]) -> $int {
            crc_fast::checksum(CrcAlgorithm::$algorithm, bytes) as $int
        }

        #[doc = concat!("A ", $title, " of bytes that arrive in pieces.")]
        #[derive(Clone)]
        pub struct $name(Digest);

        impl $name {
            /// The checksum of no bytes yet.
            pub fn new() -> Self {
                Self(Digest::new(CrcAlgorithm::$algorithm))
            }

            /// Takes the next bytes in.
            pub fn update(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }

            /// The checksum of everything taken in so far; more may follow.
            pub fn finalize(&self) -> $int {
                self.0.finalize() as $int
            }

            /// The checksum of `a` followed by `b`, from the checksums of both and the length
            /// of `b` in bytes.
            pub fn combine(a: $int, b: $int, len_b: u64) -> $int {
                crc_fast::checksum_combine(CrcAlgorithm::$algorithm, a.into(), b.into(), len_b) as $int
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.finalize())
            }
        }
    };
}

checksum!(Crc32c, crc32c, u32, Crc32Iscsi, "CRC32C");
checksum!(Crc64Nvme, crc64nvme, u64, Crc64Nvme, "CRC-64/NVME");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_are_those_of_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc64nvme(b"123456789"), 0xAE8B_1486_0A79_9888);
        assert_eq!((crc32c(b""), crc64nvme(b"")), (0, 0));
    }

    #[test]
    fn pieces_and_combined_neighbours_give_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..70_001u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        for cut in [0, 1, 7, 4096, 65_537, 70_001] {
            let (a, b) = bytes.split_at(cut);
            let mut short = Crc32c::new();
            let mut long = Crc64Nvme::new();
            for piece in [a, b] {
                short.update(piece);
                long.update(piece);
            }
            let len = b.len() as u64;
            assert_eq!(short.finalize(), crc32c(&bytes));
            assert_eq!(long.finalize(), crc64nvme(&bytes));
            assert_eq!(Crc32c::combine(crc32c(a), crc32c(b), len), crc32c(&bytes), "cut at {cut}");
            assert_eq!(
                Crc64Nvme::combine(crc64nvme(a), crc64nvme(b), len),
                crc64nvme(&bytes),
                "cut at {cut}"
            );
        }
    }
}
