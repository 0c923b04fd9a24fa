//! Variable-length integers: base-128, least significant group first, and zigzag for signs.

/// The most bytes that one value takes.
pub const MAX_LEN: usize = 10;

/// Appends `value`.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`put`] appends.
pub const fn len(value: u64) -> usize {
    (value | 1).ilog2() as usize / 7 + 1
}

/// The value at the start of `bytes` and the number of bytes that it takes; `None` if it is cut
/// off or does not fit 64 bits.
#[inline]
pub fn get(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().enumerate().take(MAX_LEN) {
        let group = u64::from(byte & 0x7F);
        if i == MAX_LEN - 1 && group > 1 {
            return None;
        }
        value |= group << (7 * i);
        if byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Maps small values of either sign to small unsigned ones.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_power_of_two_and_its_neighbours_survive() {
        for shift in 0..64 {
            for value in [(1u64 << shift) - 1, 1 << shift, (1 << shift) | 1, u64::MAX << shift] {
                let mut bytes = Vec::new();
                put(&mut bytes, value);
                assert_eq!(bytes.len(), len(value));
                assert_eq!(get(&bytes), Some((value, bytes.len())));
                assert_eq!(get(&bytes[..bytes.len() - 1]), None, "cut off");
                assert_eq!(zigzag(unzigzag(value)), value);
            }
        }
    }

    #[test]
    fn what_does_not_fit_64_bits_is_refused() {
        assert_eq!(get(&[0xFF; 11]), None);
        assert_eq!(get(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02]), None);
    }
}
