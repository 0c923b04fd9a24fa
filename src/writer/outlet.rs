//! From whoever encodes to whoever sends: parts in order, no more of them in memory than were reserved.
//!
//! Invariant: every part under way holds a slot, and so does the one that is being filled; a slot is free
//! again when the store has the part. The sending side learns of a failed upload because the slots are closed.
//!
//! Trade-off: a block that fills more than one part (a record far larger than a part) hands them all over with
//! one slot; the record's memory was reserved apart, and is held until the last of them is sent.

use super::{encode::Encoder, parts::Part};
use crate::{
    engine::Reservation,
    error::{Code, Error, Result},
};
use std::sync::{Arc, OnceLock};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore, TryAcquireError,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// A part and what it holds until it is sent.
pub(super) struct Outgoing {
    pub part: Part,
    pub hold: Hold,
}

/// A slot, and the memory of a large record that lies in the part.
pub(super) struct Hold {
    _slot: Option<OwnedSemaphorePermit>,
    _large: Option<Arc<Reservation>>,
}

/// The encoder's end.
pub(super) struct Outlet {
    parts: UnboundedSender<Outgoing>,
    slots: Arc<Semaphore>,
    slot: Option<OwnedSemaphorePermit>,
    large: Option<Arc<Reservation>>,
    failure: Arc<OnceLock<Error>>,
}

/// The uploader's end. Dropping it ends the encoder's.
pub(super) struct Inlet {
    parts: UnboundedReceiver<Outgoing>,
    slots: Arc<Semaphore>,
    failure: Arc<OnceLock<Error>>,
}

/// Both ends, with `slots` (at least 1) parts between them.
pub(super) fn channel(slots: usize) -> (Outlet, Inlet) {
    let (sender, receiver) = unbounded_channel();
    let slots = Arc::new(Semaphore::new(slots));
    let failure = Arc::new(OnceLock::new());
    let outlet =
        Outlet { parts: sender, slots: slots.clone(), slot: None, large: None, failure: failure.clone() };
    (outlet, Inlet { parts: receiver, slots, failure })
}

impl Outlet {
    /// Whether a block may be encoded now. `false`: all slots are taken, wait.
    pub fn try_ready(&mut self) -> Result<bool> {
        if self.slot.is_none() {
            match self.slots.clone().try_acquire_owned() {
                Ok(slot) => self.slot = Some(slot),
                Err(TryAcquireError::NoPermits) => return Ok(false),
                Err(TryAcquireError::Closed) => return Err(self.failure()),
            }
        }
        Ok(true)
    }

    /// Waits until a block may be encoded.
    pub async fn ready(&mut self) -> Result<()> {
        if self.slot.is_none() {
            let slot = self.slots.clone().acquire_owned().await;
            self.slot = Some(slot.map_err(|_| self.failure())?);
        }
        Ok(())
    }

    /// A way to wait for a free slot without holding the outlet.
    pub fn slots(&self) -> Arc<Semaphore> {
        self.slots.clone()
    }

    /// Takes a slot that was acquired for it; `None` if the upload has ended.
    pub fn give(&mut self, slot: Option<OwnedSemaphorePermit>) -> Result<()> {
        self.slot = Some(slot.ok_or_else(|| self.failure())?);
        Ok(())
    }

    /// The memory of the block that is encoded next, if it is larger than what was reserved: held by its parts.
    pub fn holding(&mut self, large: Option<Reservation>) {
        self.large = large.map(Arc::new);
    }

    /// Hands over the parts that the encoder has filled.
    pub fn send_full(&mut self, encoder: &mut Encoder) -> Result<()> {
        while let Some(part) = encoder.take() {
            self.send(part)?;
        }
        Ok(())
    }

    /// Hands over a part.
    pub fn send(&mut self, part: Part) -> Result<()> {
        let hold = Hold { _slot: self.slot.take(), _large: self.large.clone() };
        let outgoing = Outgoing { part, hold };
        self.parts.send(outgoing).map_err(|_| self.failure())
    }

    fn failure(&self) -> Error {
        let ended = || Error::new(Code::Cancelled, "the upload has ended");
        self.failure.get().cloned().unwrap_or_else(ended)
    }
}

impl Inlet {
    /// The next part; `None` when the encoder is gone.
    pub async fn next(&mut self) -> Option<Outgoing> {
        self.parts.recv().await
    }

    /// Where to say why the upload failed; the encoder gets that error from then on.
    pub fn failure(&self) -> Arc<OnceLock<Error>> {
        self.failure.clone()
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.slots.close();
    }
}
