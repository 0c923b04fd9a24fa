//! Bytes that the host holds.

use crate::engine::Reservation;
use bytes::Bytes;
use std::{fmt, ops::Deref, sync::Arc};

/// Immutable bytes of a segment, an attachment or an object, in the library's memory.
///
/// Cloning shares them. They count as lent (`memory.lent.limit`) until the last clone is dropped, with all the
/// memory that they keep alive: a few bytes out of a cached block keep the block. They outlive their driver, and
/// any thread may read and drop them.
#[derive(Clone)]
pub struct SegmentBytes(Arc<Held>);

struct Held {
    bytes: Bytes,
    /// `None` where nothing is held: no bytes at all.
    _lent: Option<Reservation>,
}

impl SegmentBytes {
    pub(super) fn new(bytes: Bytes, lent: Reservation) -> Self {
        SegmentBytes(Arc::new(Held { bytes, _lent: Some(lent) }))
    }

    pub(super) fn empty() -> Self {
        SegmentBytes(Arc::new(Held { bytes: Bytes::new(), _lent: None }))
    }
}

impl Deref for SegmentBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl AsRef<[u8]> for SegmentBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for SegmentBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentBytes({} bytes)", self.len())
    }
}
