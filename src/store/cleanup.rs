//! What clean-up asks of a store: uploads that nobody ended, and a delete that spares what has changed.
//!
//! Everything here is judged by the store's own clock, because hosts' clocks disagree and an object's time is the
//! store's.

/// An upload that was begun and is neither committed nor aborted, as far as the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// What people know it by: the key that it is for or, for files, the temporary file's name.
    pub name: String,
    /// What the store knows it by.
    pub id: String,
    /// Whether the owner that was asked for began it; `None` where the store does not show that. (S3 shows an
    /// upload's metadata to nobody before it is completed.)
    pub of_owner: Option<bool>,
    /// Whether the process that began it lives; `None` where that cannot be told.
    pub alive: Option<bool>,
    /// When it was begun, µs since the Unix epoch by the store's clock. For files, when it was last written to.
    pub started_us: i64,
}

/// What has arrived of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// When the newest part came, µs since the Unix epoch by the store's clock; the start where none has.
    pub newest_us: i64,
    /// Bytes of all parts.
    pub bytes: u64,
}

/// A page of unfinished uploads.
#[derive(Clone, Debug, Default)]
pub struct UploadPage {
    /// The uploads, in the store's order.
    pub uploads: Vec<Unfinished>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<UploadMark>,
}

/// A place in a list of unfinished uploads. Means something only to the store that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadMark {
    pub(super) name: String,
    pub(super) id: String,
    /// S3: the list is that of the whole bucket, of which most may be none of the store's.
    pub(super) of_all: bool,
}

/// How a delete ended that was to remove one certain object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, by this request.
    Removed,
    /// There was nothing under the key.
    Gone,
    /// Another object stands under the key; it was left alone.
    Changed,
}
