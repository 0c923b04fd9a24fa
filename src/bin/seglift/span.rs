//! `A-B` on the command line: both ends included, as in an HTTP range.

use seglift::{Code, Error, Result};
use std::ops::Range;

/// A range as the user wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// `A-B`, both included; `A-` is up to the greatest number.
    Closed(u64, u64),
    /// `-N`: the last N.
    Last(u64),
}

impl Span {
    /// Reads `text`; `option` names it in the error.
    pub fn parse(option: &str, text: &str) -> Result<Span> {
        let refuse = |why: &str| {
            let shown = text.escape_debug();
            Error::new(
                Code::InvalidArgument,
                format!("{option} \"{shown}\" {why}; write A-B with both ends included, or A- up to the end"),
            )
        };
        let number = |digits: &str| match digits.parse::<u64>() {
            // `parse` takes a sign; a range does not.
            Ok(n) if digits.bytes().all(|c| c.is_ascii_digit()) => Ok(n),
            _ => Err(refuse("is no range of whole numbers below 2^64")),
        };
        match text.split_once('-') {
            Some(("", n)) => Ok(Span::Last(number(n)?)),
            Some((a, "")) => Ok(Span::Closed(number(a)?, u64::MAX)),
            Some((a, b)) => match (number(a)?, number(b)?) {
                (a, b) if a > b => Err(refuse("ends before it begins")),
                (a, b) => Ok(Span::Closed(a, b)),
            },
            None => Err(refuse("has no dash")),
        }
    }

    /// The bytes that it means in a segment of `len` bytes, cut at its end.
    pub fn of(self, len: u64) -> Result<Range<u64>> {
        match self {
            Span::Last(n) => Ok(len.saturating_sub(n)..len),
            Span::Closed(0, last) => Ok(0..last.saturating_add(1).min(len)),
            Span::Closed(first, _) if first >= len => Err(Error::new(
                Code::OutOfRange,
                format!("byte {first} lies behind the end of the segment, which has {len} bytes"),
            )),
            Span::Closed(first, last) => Ok(first..last.saturating_add(1).min(len)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_included_and_the_end_is_cut() {
        let of = |text, len| Span::parse("--range", text).and_then(|s| s.of(len)).map_err(|e| e.code());
        assert_eq!(of("0-0", 10), Ok(0..1));
        assert_eq!(of("3-5", 10), Ok(3..6));
        assert_eq!(of("3-", 10), Ok(3..10));
        assert_eq!(of("-4", 10), Ok(6..10));
        assert_eq!(of("-40", 10), Ok(0..10));
        assert_eq!(of("9-18446744073709551615", 10), Ok(9..10));
        assert_eq!(of("0-", 0), Ok(0..0));
        assert_eq!(of("10-", 10), Err(Code::OutOfRange));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in
            ["", "-", "5", "5-4", "a-b", "1-2-3", "+1-2", " 1-2", "0-18446744073709551616", "1.5-2", "--1"]
        {
            assert_eq!(Span::parse("--range", bad).unwrap_err().code(), Code::InvalidArgument, "{bad:?}");
        }
    }
}
