//! The open segment of a streaming writer: blocks fill up, are encoded, and leave as parts.

use super::{
    commit::Pending, encode::Encoder, outlet::Outlet, segment::IfExists, stream::OnWritable, upload::Target,
};
use crate::{
    engine::{Engine, Reservation},
    error::{Code, Error, Result},
    metrics::Metrics,
    object::{ObjectId, RecordBlockBuilder},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::oneshot;

/// A segment that is being pushed.
pub(super) struct Open {
    pub encoder: Encoder,
    pub outlet: Outlet,
    pub upload: oneshot::Receiver<Result<Pending>>,
    pub target: Target,
    pub if_exists: IfExists,
    pub id: ObjectId,
    pub records: RecordBlockBuilder,
    /// The open block in byte mode; in record mode the one that was just closed.
    pub block: Vec<u8>,
    pub block_size: usize,
    pub max_bytes: u64,
    pub on_writable: Option<Arc<OnWritable>>,
    /// A task is waiting to say that there is room.
    pub waiting: Arc<AtomicBool>,
    /// Ends with the segment.
    #[expect(dead_code, reason = "it counts by being there")]
    pub counted: Counted,
    /// For a record that is larger than what was reserved.
    pub large: Option<Reservation>,
    pub memory: Reservation,
}

/// An open writer, as the metrics count it.
pub(super) struct Counted(Arc<Metrics>);

impl Counted {
    pub fn new(metrics: &Arc<Metrics>) -> Counted {
        metrics.open_writers.add(1);
        Counted(metrics.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open_writers.sub(1);
    }
}

/// Why a call did not do what was asked.
pub(super) enum Fault {
    /// Nothing was changed; the writer can go on.
    Refused(Error),
    /// The segment cannot be finished.
    Fatal(Error),
}

impl From<Error> for Fault {
    fn from(e: Error) -> Fault {
        Fault::Refused(e)
    }
}

impl Open {
    pub fn check_room(&self, more: usize) -> Result<()> {
        let open = self.block.len() + self.records.open_len();
        if self.encoder.raw_len() + (open + more) as u64 <= self.max_bytes {
            return Ok(());
        }
        Err(Error::new(
            Code::OutOfRange,
            format!(
                "the segment would grow over the {} bytes that were declared; commit it, or declare more when it is \
                 opened (setting writer.max.size)",
                self.max_bytes
            ),
        ))
    }

    /// Takes bytes up to the end of the open block and returns the rest.
    pub fn push<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        if self.block.is_empty() && bytes.len() >= self.block_size {
            // A whole block at hand is encoded where it is.
            let (block, rest) = bytes.split_at(self.block_size);
            self.encoder.block(block, None)?;
            self.outlet.send_full(&mut self.encoder)?;
            return Ok(rest);
        }
        let (part, rest) = bytes.split_at(bytes.len().min(self.block_size - self.block.len()));
        if self.block.capacity() < self.block_size {
            self.block.try_reserve_exact(self.block_size).map_err(|_| {
                Error::new(
                    Code::ResourceExhausted,
                    format!("no memory for a block of {} bytes", self.block_size),
                )
            })?;
        }
        self.block.extend_from_slice(part);
        if self.block.len() == self.block_size {
            self.encoder.block(&self.block, None)?;
            self.block.clear();
            self.outlet.send_full(&mut self.encoder)?;
        }
        Ok(rest)
    }

    pub fn close_record_block(&mut self) -> Result<()> {
        if let Some(span) = self.records.finish(&mut self.block) {
            self.encoder.block(&self.block, Some(span))?;
            self.outlet.send_full(&mut self.encoder)?;
        }
        self.block.clear();
        Ok(())
    }

    /// Lets the host know once, when there is room again or the upload failed.
    pub fn call_when_writable(&self, engine: &Engine) {
        let Some(on_writable) = self.on_writable.clone() else { return };
        if self.waiting.swap(true, Ordering::AcqRel) {
            return;
        }
        let (slots, waiting) = (self.outlet.slots(), self.waiting.clone());
        engine.handle().spawn(async move {
            let _ = slots.acquire().await;
            waiting.store(false, Ordering::Release);
            on_writable();
        });
    }
}
