//! What lies in the store: listings, and objects as they are.

use super::{
    bytes::seglift_bytes,
    call::{self, seglift_call},
    codes::seglift_code,
    driver::{self, seglift_driver},
    error::seglift_error,
    handle::{self, opaque},
    info::nth,
    panic,
    structs::{Out, Place, c_struct},
    text::{optional, printable, text},
};
use crate::{
    driver::Driver,
    error::{Code, Error, Result},
    store::ListPage,
};
use parking_lot::Mutex;
use std::{
    ffi::{CString, c_char},
    ptr,
    sync::Arc,
};

/// A walk over the objects of a store, page by page.
/// Ownership: yours, until seglift_list_free; also while a page is being loaded. Threads: one at a time. Since 1.0.
pub struct seglift_lister {
    _opaque: (),
}
opaque!(seglift_lister, b"sllister", State);

/// A driver, and how far the walk has come.
pub(super) struct State {
    pub(super) driver: Driver,
    pub(super) walk: Arc<Walk>,
}

/// How far a walk has come; shared with the completion of a page that is being loaded.
pub(super) struct Walk {
    prefix: String,
    inner: Mutex<Progress>,
}

struct Progress {
    after: Option<String>,
    page: Vec<Entry>,
    loading: bool,
    at_end: bool,
}

struct Entry {
    key: CString,
    object_bytes: u64,
    modified_us: i64,
}

impl Walk {
    /// Where the next page begins: prefix and last key. The current page is gone from now on.
    pub(super) fn begin(&self) -> Result<(&str, Option<String>)> {
        let mut progress = self.inner.lock();
        if progress.loading {
            return Err(Error::new(
                Code::Busy,
                "this lister is loading a page already; wait for its completion",
            ));
        }
        progress.page.clear();
        if progress.at_end {
            return Err(Error::new(Code::End, "the listing is over"));
        }
        progress.loading = true;
        Ok((&self.prefix, progress.after.clone()))
    }

    /// Takes the page in, or gives up on it: the next call loads it again. Returns the number of its entries.
    pub(super) fn end(&self, loaded: Result<ListPage>) -> Result<usize> {
        let mut progress = self.inner.lock();
        progress.loading = false;
        let page = loaded?;
        progress.at_end = !page.more;
        progress.after = page.entries.last().map_or(progress.after.take(), |e| Some(e.key.to_string()));
        progress.page = page
            .entries
            .into_iter()
            .map(|e| Entry {
                key: printable(e.key.as_str()),
                object_bytes: e.len,
                modified_us: e.modified_us,
            })
            .collect();
        match progress.page.len() {
            0 => Err(Error::new(Code::End, "the listing is over")),
            n => Ok(n),
        }
    }
}

/// An object of a listing. Since 1.0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct seglift_entry {
    /// You: sizeof(seglift_entry). The library: how many bytes it wrote.
    pub size: usize,
    /// Its key. Valid until the next seglift_list_next or seglift_list_free.
    pub key: *const c_char,
    /// Its length in bytes.
    pub object_bytes: u64,
    /// When it was written, in us since 1970 by the store's clock.
    pub modified_us: i64,
}
c_struct! { seglift_entry up to modified_us: i64; }

/// Begins a walk over the keys that begin with prefix and are higher than after, in byte order; both may be NULL.
/// Nothing is read yet. Ownership: *lister is yours, until seglift_list_free.
/// Errors: INVALID_ARGUMENT, CLOSED. Threads: any. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_list_open(
    driver: *mut seglift_driver,
    prefix: *const c_char,
    after: *const c_char,
    lister: *mut *mut seglift_lister,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(lister, ptr::null_mut(), "seglift_lister")?;
            let driver = driver::borrow(driver)?.clone();
            driver.check_open()?;
            let prefix = optional(prefix, "prefix")?.unwrap_or("").to_owned();
            let after = optional(after, "after")?.map(str::to_owned);
            let inner = Mutex::new(Progress { after, page: Vec::new(), loading: false, at_end: false });
            place.set(handle::give(State { driver, walk: Arc::new(Walk { prefix, inner }) }));
            Ok(())
        })
    }
}

/// Loads the next page, of at most max entries (0 = 1,000); *n is how many it has.
/// END after the last page. After another error the same page is loaded again.
/// Errors: END, PERMISSION_DENIED, UNAVAILABLE, TIMED_OUT, CANCELLED, BUSY (a page is being loaded), CLOSED.
/// Threads: one for the lister; blocks. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_list_next(
    lister: *mut seglift_lister,
    max: usize,
    call: *const seglift_call,
    n: *mut usize,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(n, 0, "number of entries")?;
            let (State { driver, walk }, call) = (handle::borrow(lister.cast_const())?, call::read(call)?);
            let (prefix, after) = walk.begin()?;
            place.set(walk.end(driver.list(prefix, after.as_deref(), page(max), &call))?);
            Ok(())
        })
    }
}

/// The size of a page: 1,000 is what S3 gives at once.
pub(super) fn page(max: usize) -> usize {
    if max == 0 { 1000 } else { max }
}

/// The i-th entry of the page. Errors: OUT_OF_RANGE. Threads: one. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_list_entry(
    lister: *const seglift_lister,
    i: usize,
    entry: *mut seglift_entry,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let out = Out::required(entry)?;
            let progress = handle::borrow(lister)?.walk.inner.lock();
            let found = nth(&progress.page, i, "entries on the page")?;
            out.write(seglift_entry {
                size: size_of::<seglift_entry>(),
                key: found.key.as_ptr(),
                object_bytes: found.object_bytes,
                modified_us: found.modified_us,
            });
            Ok(())
        })
    }
}

/// Frees a lister. NULL is fine. Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_list_free(lister: *mut seglift_lister) {
    // SAFETY: NULL or a lister that is the caller's, says the header.
    unsafe { handle::free(lister) };
}

/// Reads bytes of an object as they lie in the store, header and all, unverified: to copy objects elsewhere. For the
/// segment's own bytes use seglift_read_range.
/// Ownership: *bytes is yours, until seglift_bytes_free. Errors: as seglift_read_range. Threads: any; blocks.
/// Since 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seglift_get_object_range(
    driver: *mut seglift_driver,
    key: *const c_char,
    offset: u64,
    len: u64,
    call: *const seglift_call,
    bytes: *mut *mut seglift_bytes,
    err: *mut *mut seglift_error,
) -> seglift_code {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        panic::call(err, || {
            let place = Place::new(bytes, ptr::null_mut(), "seglift_bytes")?;
            let (driver, key, call) = (driver::borrow(driver)?, text(key, "key")?, call::read(call)?);
            place.set(seglift_bytes::of_segment(driver.object_range(key, offset, len, &call)?));
            Ok(())
        })
    }
}
