//! Attachments: small, whole, verified.

use super::{Reader, SegmentBytes, SegmentRef, fill::twice, segment::Segment};
use crate::{
    engine::Op,
    error::{Code, Error, Result},
    object::Attachment,
};
use std::sync::Arc;

impl Reader {
    /// The raw bytes of the attachment `name`, verified by its CRC32C and its CRC-64/NVME. They are not cached: a
    /// broker asks for them once, when it recovers or changes its leader.
    ///
    /// `OUT_OF_RANGE`, with the names that there are, if the segment has no such attachment; `CORRUPT`, and
    /// `RESOURCE_EXHAUSTED` where it does not fit `memory.lent.limit`.
    pub async fn read_attachment(
        self: Arc<Self>,
        op: Op,
        r: SegmentRef,
        name: String,
    ) -> Result<SegmentBytes> {
        let segment = self.find(&op, &r).await?;
        let Some(attachment) = segment.tail().attachment(&name) else {
            let names: Vec<_> = segment.tail().attachments().iter().map(|a| a.entry.name.as_str()).collect();
            let has = if names.is_empty() { "none".to_owned() } else { format!("{names:?}") };
            let what = format!("segment \"{}\" has no attachment {name:?}; it has {has}", segment.key());
            return Err(Error::new(Code::OutOfRange, what));
        };
        op.stage("attachment");
        let len = attachment.entry.content.length as usize;
        op.set_total(len as u64);
        if len == 0 && attachment.stored.is_empty() {
            // Nothing is fetched, and what the tail promises is checked all the same.
            fetch(&segment, attachment).await?;
            return Ok(SegmentBytes::empty());
        }
        let lent = self.lend(len)?;
        let scratch = self.reserve(&op, attachment.entry.stored_len as usize).await?;
        let raw = op.guard(fetch(&segment, attachment)).await?;
        drop(scratch);
        op.progress(len as u64);
        Ok(SegmentBytes::new(raw.into(), lent))
    }
}

/// Fetches an attachment, once more if it comes damaged.
pub(super) async fn fetch(segment: &Segment, attachment: &Attachment) -> Result<Vec<u8>> {
    twice(segment.shared(), || fetch_once(segment, attachment)).await
}

async fn fetch_once(segment: &Segment, attachment: &Attachment) -> Result<Vec<u8>> {
    let stored = match attachment.stored.is_empty() {
        true => Vec::new(),
        false => segment.get_all(attachment.stored.clone()).await?,
    };
    // The codec of an attachment is its own, whatever that of the blocks.
    let mut decompressor = crate::codec::Decompressor::new()?;
    segment.tail().decode_attachment(attachment, &stored, &mut decompressor)
}
