//! Opaque handles: what a `seglift_driver *` points to.
//!
//! Invariant: a handle begins with a magic word of its type and the fork generation that made it, so a wrong
//! type, a freed handle and a handle inherited through `fork` are most often told from a good one. Best effort:
//! memory that was freed may hold anything, and a host that frees a handle while it uses it is beyond help.
//!
//! Trade-off: a handle is a plain allocation, not a number in a table: no lock and no lookup on the hot path.

use super::text::invalid;
use crate::{engine::fork, error::Result};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What stands in the place of the magic word once a handle is freed.
const FREED: u64 = u64::from_le_bytes(*b"sl-freed");

/// A type of the header that C sees only by pointer.
pub(super) trait Opaque: Sized {
    /// What the handle holds.
    type State;
    /// The type's name in C.
    const NAME: &'static str;
    /// The first eight bytes of a live handle.
    const MAGIC: u64;
}

/// Declares an opaque type's name, magic word and state.
macro_rules! opaque {
    ($name:ident, $magic:literal, $state:ty) => {
        impl $crate::ffi::handle::Opaque for $name {
            type State = $state;
            const NAME: &'static str = stringify!($name);
            const MAGIC: u64 = u64::from_le_bytes(*$magic);
        }
    };
}
pub(super) use opaque;

#[repr(C)]
struct Handle<S> {
    magic: AtomicU64,
    generation: u64,
    state: S,
}

/// A new handle, owned by the caller.
pub(super) fn give<T: Opaque>(state: T::State) -> *mut T {
    let handle = Handle { magic: AtomicU64::new(T::MAGIC), generation: fork::generation(), state };
    Box::into_raw(Box::new(handle)).cast()
}

/// # Safety
/// `handle` is NULL, or points to eight readable bytes.
unsafe fn check<T: Opaque>(handle: *const T) -> Result<*const Handle<T::State>> {
    let handle = handle.cast::<Handle<T::State>>();
    if handle.is_null() {
        return Err(invalid(format!("the {} is NULL", T::NAME)));
    }
    // SAFETY: aligned before it is read, and the caller vouches for the bytes.
    match handle.is_aligned().then(|| unsafe { (*handle).magic.load(Relaxed) }) {
        Some(magic) if magic == T::MAGIC => Ok(handle),
        Some(FREED) => Err(invalid(format!("the {} was freed", T::NAME))),
        _ => Err(invalid(format!("the pointer given as {} does not point to one", T::NAME))),
    }
}

/// What a handle holds, if it may be used in this process.
///
/// # Safety
/// `handle` is NULL or was given by [`give`] and is not freed before the call returns.
pub(super) unsafe fn borrow<'a, T: Opaque>(handle: *const T) -> Result<&'a T::State> {
    // SAFETY: the caller's promise is ours, and a checked handle is a live one.
    let handle = unsafe { &*check(handle)? };
    fork::check(handle.generation)?;
    Ok(&handle.state)
}

/// What a handle holds, for plain memory that a child process may go on reading.
///
/// # Safety
/// As [`borrow`].
pub(super) unsafe fn peek<'a, T: Opaque>(handle: *const T) -> Result<&'a T::State> {
    // SAFETY: the caller's promise is ours, and a checked handle is a live one.
    unsafe { check(handle) }.map(|h| unsafe { &(*h).state })
}

/// As [`peek`], to change it.
///
/// # Safety
/// As [`borrow`], and no other thread uses the handle meanwhile.
pub(super) unsafe fn peek_mut<'a, T: Opaque>(handle: *mut T) -> Result<&'a mut T::State> {
    // SAFETY: the caller's promise is ours, and `handle` was mutable before `check` made it const.
    unsafe { check(handle.cast_const()) }.map(|h| unsafe { &mut (*h.cast_mut()).state })
}

/// Ends a handle and returns what it held: nothing for NULL and for what is no handle, and nothing after a
/// fork, because what it holds may wait for threads that this process does not have.
///
/// # Safety
/// `handle` is NULL or was given by [`give`], and nobody uses it any more.
pub(super) unsafe fn take<T: Opaque>(handle: *mut T) -> Option<T::State> {
    // SAFETY: the caller's promise is ours.
    let handle = unsafe { check(handle.cast_const()) }.ok()?.cast_mut();
    // SAFETY: a checked handle is one that `give` made with `Box`, and it is the caller's.
    let handle = unsafe { Box::from_raw(handle) };
    handle.magic.store(FREED, Relaxed);
    if fork::check(handle.generation).is_err() {
        std::mem::forget(handle);
        return None;
    }
    let Handle { state, .. } = *handle;
    Some(state)
}

/// Frees a handle.
///
/// # Safety
/// As [`take`].
pub(super) unsafe fn free<T: Opaque>(handle: *mut T) {
    // SAFETY: the caller's promise is ours.
    super::panic::quiet((), || drop(unsafe { take(handle) }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    struct spoon;
    struct fork_;
    opaque!(spoon, b"spoon\0\0\0", u32);
    opaque!(fork_, b"fork\0\0\0\0", u32);

    #[test]
    fn a_handle_of_another_type_is_told_from_a_good_one() {
        let good = give::<spoon>(7);
        // SAFETY: `good` is live until it is freed.
        unsafe {
            assert_eq!(*borrow(good).unwrap(), 7);
            assert_eq!(borrow(good.cast::<fork_>()).unwrap_err().code(), Code::InvalidArgument);
            assert_eq!(borrow(good.byte_add(1)).unwrap_err().code(), Code::InvalidArgument);
            assert_eq!(borrow(std::ptr::null::<spoon>()).unwrap_err().code(), Code::InvalidArgument);
            assert!(take(good.cast::<fork_>()).is_none());
            assert_eq!(take(good), Some(7));
        }
    }
}
