//! Reading fields from bytes that nobody has vouched for.
//!
//! Invariant: no read goes past the end, and no length is believed before it was compared with
//! what is there. A failure is `CORRUPT` and says in which part of the object the bytes ran out.

use crate::{
    codec::varint,
    error::{Code, Error, Result},
};

/// `CORRUPT` with this message.
pub fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Code::Corrupt, message)
}

/// A position in the bytes of one part of an object.
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start; `what` names them in errors, such as `tail header`.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Reader { rest: bytes, what }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.ended()),
        }
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.ended()),
        }
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        let (value, len) = varint::get(self.rest)
            .ok_or_else(|| corrupt(format!("{}: a varint is cut off or too long", self.what)))?;
        self.rest = &self.rest[len..];
        Ok(value)
    }

    /// A string with its `u16` length in front.
    pub fn string(&mut self) -> Result<&'a str> {
        let len = self.u16()?;
        let bytes = self.take(len.into())?;
        std::str::from_utf8(bytes).map_err(|_| corrupt(format!("{}: a string is not UTF-8", self.what)))
    }

    /// Bytes with their `u32` length in front.
    pub fn blob(&mut self) -> Result<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    #[cold]
    fn ended(&self) -> Error {
        corrupt(format!("{}: it ends in the middle of a field", self.what))
    }
}

/// Appends a string with its `u16` length; the caller has checked its limit.
pub fn put_string(out: &mut Vec<u8>, string: &str) {
    debug_assert!(string.len() <= u16::MAX.into());
    out.extend_from_slice(&(string.len() as u16).to_le_bytes());
    out.extend_from_slice(string.as_bytes());
}

/// Appends bytes with their `u32` length; the caller has checked their limit.
pub fn put_blob(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Appends unsigned or signed integers of fixed size.
macro_rules! put {
    ($out:expr, $($value:expr),+ $(,)?) => { $( $out.extend_from_slice(&$value.to_le_bytes()); )+ };
}
pub(crate) use put;
