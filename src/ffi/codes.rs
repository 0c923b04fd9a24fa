//! Codes and versions: numbers that never change their meaning.
//!
//! The constants are literals, because cbindgen copies but does not compute; a compile-time check holds them
//! to [`Code`].

use super::panic::quiet;
use crate::error::Code;
use std::ffi::{CStr, c_char};

/// Major number of the ABI: libraries of one major take programs of the same major, older and newer.
pub const SEGLIFT_ABI_MAJOR: u32 = 1;
/// Minor number of the ABI: grows when functions or fields are appended.
pub const SEGLIFT_ABI_MINOR: u32 = 1;

/// What a call returns: SEGLIFT_OK or one of the codes below. New codes may come: treat an unknown one as
/// you treat SEGLIFT_INTERNAL. Since 1.0.
pub type seglift_code = i32;

/// It worked.
pub const SEGLIFT_OK: i32 = 0;
/// A pointer is NULL, a length or a value is out of its range, a string is not UTF-8.
pub const SEGLIFT_INVALID_ARGUMENT: i32 = 1;
/// A struct carries non-zero bytes that this library does not know: the caller asks for
/// something that a newer version offers.
pub const SEGLIFT_UNSUPPORTED_FIELD: i32 = 2;
/// The object needs a newer version of seglift.
pub const SEGLIFT_UNSUPPORTED_VERSION: i32 = 3;
/// A setting is unknown, malformed or contradicts another.
pub const SEGLIFT_INVALID_CONFIG: i32 = 4;
/// There is no such object, certainly.
pub const SEGLIFT_NOT_FOUND: i32 = 10;
/// The store hides whether the object is missing or forbidden. Never treat it as missing.
pub const SEGLIFT_NOT_FOUND_OR_DENIED: i32 = 11;
/// The key exists with another content; nothing was changed.
pub const SEGLIFT_ALREADY_EXISTS: i32 = 12;
/// The bytes do not match their checksum, or the object is not a seglift object.
pub const SEGLIFT_CORRUPT: i32 = 13;
/// The offset, record or attachment lies outside the segment.
pub const SEGLIFT_OUT_OF_RANGE: i32 = 14;
/// The object is in a cold class and must be restored first.
pub const SEGLIFT_ARCHIVED: i32 = 15;
/// The receipt names another store than this driver's.
pub const SEGLIFT_WRONG_STORE: i32 = 16;
/// The source (file, descriptor) of an offload could not be read, or changed while it was.
pub const SEGLIFT_SOURCE_FAILED: i32 = 17;
/// No or wrong credentials.
pub const SEGLIFT_UNAUTHENTICATED: i32 = 20;
/// The credentials do not allow this.
pub const SEGLIFT_PERMISSION_DENIED: i32 = 21;
/// The store asks to slow down.
pub const SEGLIFT_THROTTLED: i32 = 22;
/// The store could not be reached or failed.
pub const SEGLIFT_UNAVAILABLE: i32 = 23;
/// The deadline or the stall limit passed; nothing was committed.
pub const SEGLIFT_TIMED_OUT: i32 = 24;
/// The caller cancelled; nothing was committed.
pub const SEGLIFT_CANCELLED: i32 = 25;
/// The commit was sent and its result could not be learnt. Repeat the offload with the same
/// key to settle it.
pub const SEGLIFT_OUTCOME_UNKNOWN: i32 = 26;
/// The disk or the quota behind the store is full.
pub const SEGLIFT_NO_SPACE: i32 = 27;
/// The handle, the queue or the memory budget is in use; try again later.
pub const SEGLIFT_BUSY: i32 = 30;
/// The answer needs I/O and the caller asked for none, or a writer is full.
pub const SEGLIFT_WOULD_BLOCK: i32 = 31;
/// Memory, threads or descriptors ran out, or the request can never fit the budget.
pub const SEGLIFT_RESOURCE_EXHAUSTED: i32 = 32;
/// The handle is closed.
pub const SEGLIFT_CLOSED: i32 = 33;
/// The handle was inherited through `fork`; open a new one in the child.
pub const SEGLIFT_FORKED: i32 = 34;
/// There is nothing more: the end of a listing or of a batch of records.
pub const SEGLIFT_END: i32 = 35;
/// A defect in seglift; the message says where.
pub const SEGLIFT_INTERNAL: i32 = 99;

/// Every code with its Rust twin, in the order of [`Code::ALL`].
const TWINS: &[(seglift_code, Code)] = &[
    (SEGLIFT_INVALID_ARGUMENT, Code::InvalidArgument),
    (SEGLIFT_UNSUPPORTED_FIELD, Code::UnsupportedField),
    (SEGLIFT_UNSUPPORTED_VERSION, Code::UnsupportedVersion),
    (SEGLIFT_INVALID_CONFIG, Code::InvalidConfig),
    (SEGLIFT_NOT_FOUND, Code::NotFound),
    (SEGLIFT_NOT_FOUND_OR_DENIED, Code::NotFoundOrDenied),
    (SEGLIFT_ALREADY_EXISTS, Code::AlreadyExists),
    (SEGLIFT_CORRUPT, Code::Corrupt),
    (SEGLIFT_OUT_OF_RANGE, Code::OutOfRange),
    (SEGLIFT_ARCHIVED, Code::Archived),
    (SEGLIFT_WRONG_STORE, Code::WrongStore),
    (SEGLIFT_SOURCE_FAILED, Code::SourceFailed),
    (SEGLIFT_UNAUTHENTICATED, Code::Unauthenticated),
    (SEGLIFT_PERMISSION_DENIED, Code::PermissionDenied),
    (SEGLIFT_THROTTLED, Code::Throttled),
    (SEGLIFT_UNAVAILABLE, Code::Unavailable),
    (SEGLIFT_TIMED_OUT, Code::TimedOut),
    (SEGLIFT_CANCELLED, Code::Cancelled),
    (SEGLIFT_OUTCOME_UNKNOWN, Code::OutcomeUnknown),
    (SEGLIFT_NO_SPACE, Code::NoSpace),
    (SEGLIFT_BUSY, Code::Busy),
    (SEGLIFT_WOULD_BLOCK, Code::WouldBlock),
    (SEGLIFT_RESOURCE_EXHAUSTED, Code::ResourceExhausted),
    (SEGLIFT_CLOSED, Code::Closed),
    (SEGLIFT_FORKED, Code::Forked),
    (SEGLIFT_END, Code::End),
    (SEGLIFT_INTERNAL, Code::Internal),
];

const _: () = {
    assert!(TWINS.len() == Code::ALL.len());
    let mut i = 0;
    while i < TWINS.len() {
        assert!(TWINS[i].0 == Code::ALL[i] as seglift_code && TWINS[i].1 as i32 == Code::ALL[i] as i32);
        i += 1;
    }
};

/// The library's version, such as "0.1.0"; not that of the ABI. Static; never freed.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn seglift_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(text) => text,
            Err(_) => panic!("a version has no NUL inside"),
        };
    VERSION.as_ptr()
}

/// The ABI of the loaded library: major << 16 | minor. It runs a program that was compiled against
/// SEGLIFT_ABI_MAJOR and SEGLIFT_ABI_MINOR if the majors are equal and its minor is not lower.
/// Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn seglift_abi_version() -> u32 {
    SEGLIFT_ABI_MAJOR << 16 | SEGLIFT_ABI_MINOR
}

/// The name of a code without SEGLIFT_ in front: "NOT_FOUND", "OK"; "UNKNOWN" for a number that is no code.
/// Static; never NULL, never freed. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn seglift_code_name(code: seglift_code) -> *const c_char {
    quiet(c"UNKNOWN".as_ptr(), || {
        NAMES.iter().find(|(c, _)| *c == code).map_or(c"UNKNOWN", |(_, name)| name).as_ptr()
    })
}

const NAMES: &[(seglift_code, &CStr)] = &[
    (SEGLIFT_OK, c"OK"),
    (SEGLIFT_INVALID_ARGUMENT, c"INVALID_ARGUMENT"),
    (SEGLIFT_UNSUPPORTED_FIELD, c"UNSUPPORTED_FIELD"),
    (SEGLIFT_UNSUPPORTED_VERSION, c"UNSUPPORTED_VERSION"),
    (SEGLIFT_INVALID_CONFIG, c"INVALID_CONFIG"),
    (SEGLIFT_NOT_FOUND, c"NOT_FOUND"),
    (SEGLIFT_NOT_FOUND_OR_DENIED, c"NOT_FOUND_OR_DENIED"),
    (SEGLIFT_ALREADY_EXISTS, c"ALREADY_EXISTS"),
    (SEGLIFT_CORRUPT, c"CORRUPT"),
    (SEGLIFT_OUT_OF_RANGE, c"OUT_OF_RANGE"),
    (SEGLIFT_ARCHIVED, c"ARCHIVED"),
    (SEGLIFT_WRONG_STORE, c"WRONG_STORE"),
    (SEGLIFT_SOURCE_FAILED, c"SOURCE_FAILED"),
    (SEGLIFT_UNAUTHENTICATED, c"UNAUTHENTICATED"),
    (SEGLIFT_PERMISSION_DENIED, c"PERMISSION_DENIED"),
    (SEGLIFT_THROTTLED, c"THROTTLED"),
    (SEGLIFT_UNAVAILABLE, c"UNAVAILABLE"),
    (SEGLIFT_TIMED_OUT, c"TIMED_OUT"),
    (SEGLIFT_CANCELLED, c"CANCELLED"),
    (SEGLIFT_OUTCOME_UNKNOWN, c"OUTCOME_UNKNOWN"),
    (SEGLIFT_NO_SPACE, c"NO_SPACE"),
    (SEGLIFT_BUSY, c"BUSY"),
    (SEGLIFT_WOULD_BLOCK, c"WOULD_BLOCK"),
    (SEGLIFT_RESOURCE_EXHAUSTED, c"RESOURCE_EXHAUSTED"),
    (SEGLIFT_CLOSED, c"CLOSED"),
    (SEGLIFT_FORKED, c"FORKED"),
    (SEGLIFT_END, c"END"),
    (SEGLIFT_INTERNAL, c"INTERNAL"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_name_in_c() {
        for code in Code::ALL {
            // SAFETY: the names are static literals.
            let name = unsafe { CStr::from_ptr(seglift_code_name(*code as seglift_code)) };
            assert_eq!(name.to_str().unwrap(), code.name());
        }
    }
}
