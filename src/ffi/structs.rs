//! Structs that grow: read from C and written to C by the size that the caller says.
//!
//! Invariant: a program built against any header of this major runs on any library of it. An in-struct is
//! copied into a zeroed one of this library's size; what the caller has beyond it must be zero, so that no
//! request is silently ignored. An out-struct is written as far as the caller has room, and told how far.

use super::text::invalid;
use crate::error::{Code, Error, Result};
use std::{marker::PhantomData, mem::MaybeUninit, ptr};

/// A `size` above this is garbage, not a newer struct: reading so far would leave the caller's memory.
const LARGEST: usize = 16 << 10;

/// A C struct that begins with `size_t size`.
///
/// # Safety
/// `repr(C)`, its first field is `size: usize`, and any bytes, all-zero among them, are a value of it.
pub(super) unsafe trait Sized1: Copy {
    /// The struct's name in C.
    const NAME: &'static str;
    /// Its size in the version that it came with, which never changes.
    const V1: usize;
}

/// Declares structs of the header with the last field that they came with (version 1.0 for most).
macro_rules! c_struct {
    ($($name:ident up to $last:ident: $ty:ty;)+) => { $(
        // SAFETY: a repr(C) struct of integers, byte arrays and pointers that begins with `size`.
        unsafe impl $crate::ffi::structs::Sized1 for $name {
            const NAME: &'static str = stringify!($name);
            const V1: usize = std::mem::offset_of!($name, $last) + size_of::<$ty>();
        }
        const _: () = assert!(std::mem::offset_of!($name, size) == 0);
    )+ };
}
pub(super) use c_struct;

/// Reads an in-struct, `None` if NULL.
///
/// # Safety
/// `from` is NULL or points to a `size` and as many bytes as it says.
pub(super) unsafe fn optional<T: Sized1>(from: *const T) -> Result<Option<T>> {
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; the caller vouches for the rest.
    unsafe { read(from) }.map(Some)
}

/// Reads an in-struct that must be there.
///
/// # Safety
/// As [`optional`].
pub(super) unsafe fn required<T: Sized1>(from: *const T) -> Result<T> {
    // SAFETY: the caller's promise is ours.
    unsafe { optional(from) }?.ok_or_else(|| invalid(format!("the {} is NULL", T::NAME)))
}

/// # Safety
/// As [`optional`], and not NULL.
unsafe fn read<T: Sized1>(from: *const T) -> Result<T> {
    aligned(from)?;
    // SAFETY: aligned, and each such struct begins with its size.
    let size = unsafe { from.cast::<usize>().read() };
    if size < T::V1 || size > LARGEST {
        return Err(wrong_size::<T>(size));
    }
    let mut value = MaybeUninit::<T>::zeroed();
    let known = size.min(size_of::<T>());
    // SAFETY: the caller has `size` bytes, `value` has size_of::<T>(), and `known` is the smaller.
    unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), known) };
    for at in known..size {
        // SAFETY: within the `size` bytes that the caller has.
        if unsafe { from.cast::<u8>().add(at).read() } != 0 {
            return Err(Error::new(
                Code::UnsupportedField,
                format!(
                    "byte {at} of the {} is not zero: it belongs to a field that this version of seglift does not know; set it to zero or use a newer library",
                    T::NAME
                ),
            ));
        }
    }
    // SAFETY: `Sized1` promises that any bytes are a value.
    Ok(unsafe { value.assume_init() })
}

fn aligned<T: Sized1>(p: *const T) -> Result<()> {
    if p.is_aligned() {
        Ok(())
    } else {
        Err(invalid(format!("the pointer to the {} is not aligned", T::NAME)))
    }
}

fn wrong_size<T: Sized1>(size: usize) -> Error {
    invalid(format!(
        "the size of the {0} is {size}, which no version of it has (the first has {1}); set size = sizeof({0}) before the call",
        T::NAME,
        T::V1
    ))
}

/// `UNSUPPORTED_FIELD` unless a reserved field, or the bits of a flags field that have no meaning yet, are zero.
pub(super) fn must_be_zero(value: u64, field: &str) -> Result<()> {
    if value == 0 {
        return Ok(());
    }
    let message = format!(
        "{field} is {value:#x}, which this version of seglift gives no meaning; set it to zero or use a newer library"
    );
    Err(Error::new(Code::UnsupportedField, message))
}

/// An array of in-structs: `count` of them, one each `stride` bytes.
pub(super) struct Array<'a, T> {
    base: *const T,
    count: usize,
    stride: usize,
    _borrowed: PhantomData<&'a T>,
}

impl<'a, T: Sized1> Array<'a, T> {
    /// # Safety
    /// `base` is NULL, or points to `count` structs at distances of `stride` that stay as they are for `'a`.
    pub(super) unsafe fn new(base: *const T, count: usize, stride: usize) -> Result<Self> {
        if count > 0 {
            if base.is_null() {
                return Err(invalid(format!("the array of {count} {} is NULL", T::NAME)));
            }
            check_stride::<T>(stride)?;
            if count.checked_mul(stride).is_none_or(|bytes| bytes > isize::MAX as usize) {
                return Err(invalid(format!("{count} {} of {stride} bytes each fit no memory", T::NAME)));
            }
        }
        Ok(Array { base, count, stride, _borrowed: PhantomData })
    }

    /// The elements, each checked as it is read.
    pub(super) fn iter(&self) -> impl Iterator<Item = Result<T>> + '_ {
        (0..self.count).map(|i| {
            // SAFETY: `new` was promised `count` structs, `stride` apart.
            unsafe {
                let element = self.base.byte_add(i * self.stride);
                aligned(element)?;
                if element.cast::<usize>().read() > self.stride {
                    return Err(invalid(format!(
                        "the stride of the array of {} is {}, less than the size of its element {i}",
                        T::NAME,
                        self.stride
                    )));
                }
                required(element)
            }
        })
    }
}

/// A stride leaves room for the first version of the struct and keeps each element aligned.
pub(super) fn check_stride<T: Sized1>(stride: usize) -> Result<()> {
    if stride < T::V1 || !stride.is_multiple_of(align_of::<T>()) {
        return Err(invalid(format!(
            "the stride of the array of {0} is {stride}; give sizeof({0})",
            T::NAME
        )));
    }
    Ok(())
}

/// The place of an out-struct, checked before the operation starts.
pub(super) struct Out<T> {
    to: *mut T,
    room: usize,
}

impl<T: Sized1> Out<T> {
    /// A place that must be there. It may be smaller than version 1.0: then less is written.
    ///
    /// # Safety
    /// `to` is NULL, or points to a `size` and as many writable bytes as it says, until `write`.
    pub(super) unsafe fn required(to: *mut T) -> Result<Self> {
        // SAFETY: the caller's promise is ours.
        unsafe { Self::optional(to) }?.ok_or_else(|| invalid(format!("the {} to fill in is NULL", T::NAME)))
    }

    /// A place that the caller may not want.
    ///
    /// # Safety
    /// As [`Out::required`].
    pub(super) unsafe fn optional(to: *mut T) -> Result<Option<Self>> {
        if to.is_null() {
            return Ok(None);
        }
        aligned(to)?;
        // SAFETY: aligned, and each such struct begins with its size.
        let room = unsafe { to.cast::<usize>().read() };
        if !(size_of::<usize>()..=LARGEST).contains(&room) {
            return Err(wrong_size::<T>(room));
        }
        Ok(Some(Out { to, room }))
    }

    /// A place for a struct that owns memory: it must take all of version 1.0, or the memory would be lost.
    ///
    /// # Safety
    /// As [`Out::required`].
    pub(super) unsafe fn owning(to: *mut T) -> Result<Self> {
        // SAFETY: the caller's promise is ours.
        let out = unsafe { Self::required(to) }?;
        if out.room < T::V1 { Err(wrong_size::<T>(out.room)) } else { Ok(out) }
    }

    /// The i-th place of an array that was checked with [`check_stride`]; its room is the stride.
    ///
    /// # Safety
    /// `base` points to more than `i` writable structs at distances of `stride`.
    pub(super) unsafe fn element(base: *mut T, i: usize, stride: usize) -> Self {
        // SAFETY: the caller vouches for the array.
        Out { to: unsafe { base.byte_add(i * stride) }, room: stride }
    }

    /// Writes as much of `value` as there is room for; `size` becomes what was written.
    pub(super) fn write(self, value: T) {
        let written = self.room.min(size_of::<T>());
        let mut copy = MaybeUninit::new(value);
        // SAFETY: `copy` is a value of `T` that begins with its size, and the place has `room` bytes, not fewer
        // than a size and not fewer than `written`.
        unsafe {
            copy.as_mut_ptr().cast::<usize>().write(written);
            ptr::copy_nonoverlapping(copy.as_ptr().cast::<u8>(), self.to.cast::<u8>(), written);
        }
    }
}

/// The place of a plain out-value (a handle, a count), checked and cleared before the operation starts.
pub(super) struct Place<T>(*mut T);

impl<T: Copy> Place<T> {
    /// A place that must be there; it holds `empty` until `set`.
    ///
    /// # Safety
    /// `to` is NULL or may be written until `set`.
    pub(super) unsafe fn new(to: *mut T, empty: T, what: &str) -> Result<Self> {
        if to.is_null() || !to.is_aligned() {
            return Err(invalid(format!("the pointer to where the {what} shall go is NULL or not aligned")));
        }
        // SAFETY: not NULL, aligned, and the caller vouches that it may be written.
        unsafe { to.write(empty) };
        Ok(Place(to))
    }

    /// A place that the caller may not want.
    ///
    /// # Safety
    /// As [`Place::new`].
    pub(super) unsafe fn optional(to: *mut T, empty: T, what: &str) -> Result<Option<Self>> {
        // SAFETY: the caller's promise is ours.
        if to.is_null() { Ok(None) } else { unsafe { Self::new(to, empty, what) }.map(Some) }
    }

    /// Writes the value.
    pub(super) fn set(&self, value: T) {
        // SAFETY: checked in `new`, and the place stays until then.
        unsafe { self.0.write(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct that had two fields in version 1.0 and has three today.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct grown {
        size: usize,
        a: u64,
        b: u64,
    }
    c_struct! { grown up to a: u64; }

    /// The same struct as a later header has it.
    #[repr(C)]
    struct later {
        size: usize,
        a: u64,
        b: u64,
        c: u64,
    }

    fn read_as(size: usize, from: &later) -> Result<grown> {
        let from = later { size, ..*from };
        // SAFETY: `later` has at least `size` bytes in each test below.
        unsafe { required((&raw const from).cast::<grown>()) }
    }

    #[test]
    fn a_program_of_version_1_0_is_read_and_what_it_does_not_know_is_zero() {
        let v = read_as(16, &later { size: 0, a: 1, b: 2, c: 3 }).unwrap();
        assert_eq!((v.a, v.b), (1, 0));
    }

    #[test]
    fn a_newer_program_is_read_as_long_as_it_asks_for_nothing_new() {
        assert_eq!(
            read_as(32, &later { size: 0, a: 1, b: 2, c: 0 }).unwrap(),
            grown { size: 32, a: 1, b: 2 }
        );
        let e = read_as(32, &later { size: 0, a: 1, b: 2, c: 1 << 8 }).unwrap_err();
        assert_eq!(e.code(), Code::UnsupportedField);
        assert!(e.message().starts_with("byte 25 of the grown"), "{e}");
    }

    #[test]
    fn sizes_that_no_version_had_are_refused() {
        for size in [0, 8, 15, LARGEST + 1, usize::MAX] {
            assert_eq!(
                read_as(size, &later { size: 0, a: 0, b: 0, c: 0 }).unwrap_err().code(),
                Code::InvalidArgument
            );
        }
    }

    #[test]
    fn an_out_struct_is_written_as_far_as_there_is_room() {
        for (room, expect) in [(8, (9, 9, 9)), (16, (1, 9, 9)), (24, (1, 2, 9)), (32, (1, 2, 9))] {
            let mut place = later { size: room, a: 9, b: 9, c: 9 };
            // SAFETY: `place` has 32 bytes.
            unsafe { Out::<grown>::required((&raw mut place).cast()) }.unwrap().write(grown {
                size: 0,
                a: 1,
                b: 2,
            });
            assert_eq!((place.size, (place.a, place.b, place.c)), (room.min(24), expect));
        }
    }

    #[test]
    fn strides_are_checked_and_walked() {
        let all = [later { size: 16, a: 1, b: 0, c: 0 }, later { size: 24, a: 2, b: 5, c: 7 }];
        let base = all.as_ptr().cast::<grown>();
        // SAFETY: two structs of 32 bytes.
        let walk = |n, stride| unsafe {
            Array::new(base, n, stride)?.iter().map(|v| v.map(|v| (v.a, v.b))).collect::<Result<Vec<_>>>()
        };
        assert_eq!(walk(2, 32).unwrap(), [(1, 0), (2, 5)]);
        assert_eq!(walk(0, 0).unwrap(), []);
        for (n, stride) in [(2, 0), (2, 8), (2, 20), (usize::MAX, 32)] {
            assert_eq!(walk(n, stride).unwrap_err().code(), Code::InvalidArgument, "{n} {stride}");
        }
    }

    #[test]
    fn an_element_larger_than_the_stride_is_refused() {
        let all = [grown { size: 24, a: 1, b: 1 }; 2];
        // SAFETY: two structs of 24 bytes.
        let e = unsafe { Array::new(all.as_ptr(), 2, 16) }.unwrap().iter().next().unwrap().unwrap_err();
        assert_eq!(e.code(), Code::InvalidArgument);
    }
}
