//! The end of a streaming writer: its last block, its attachments, its commit.
//!
//! Invariant: what fails before anything was changed (an attachment that cannot be read, no memory for it) leaves
//! the writer open; everything later ends it.

use super::{
    about,
    offload::blocking,
    open::Open,
    segment::{Attachment, Digest, Finish, Receipt},
    source::{load_attachment, measure},
    stream::{Shared, State, over},
};
use crate::{
    engine::{Class, Op, Reservation},
    error::{Code, Error, Result},
    object::{Mode, Tail},
    store::BoxFuture,
};
use bytes::Bytes;
use std::{future::ready, sync::Arc};

impl Shared {
    /// Commits the segment that was taken out of the writer.
    pub(super) async fn commit(self: Arc<Self>, op: Op, open: Box<Open>, finish: Finish) -> Result<Receipt> {
        let Finish { attachments, offsets, expected } = finish;
        op.stage("read the attachments");
        let loaded = self.load(&op, attachments, expected).await;
        let (_memory, attachments) = match loaded {
            Ok(loaded) => loaded,
            Err(e) => {
                // Nothing was changed: the host may commit again.
                *self.state.lock() = State::Open(open);
                return Err(e);
            }
        };
        let done = self.clone().finish(&op, open, offsets, expected, attachments);
        let done = done.await.map_err(|e| about("writer", self.key.as_str(), e));
        let over = match &done {
            Ok(_) => over("it was committed"),
            Err(e) => e.clone(),
        };
        *self.state.lock() = State::Over(over);
        // The commit is what is remembered, and the writer has moved the bytes.
        op.progress(self.op.snapshot().bytes_done);
        // Ends the upload if it still runs; what it sent is aborted by it.
        self.op.cancel();
        done
    }
}

impl Shared {
    /// Encodes and sends the end of the segment, and commits it.
    async fn finish(
        self: Arc<Self>,
        op: &Op,
        open: Box<Open>,
        offsets: Option<(u64, u64)>,
        expected: Option<Digest>,
        attachments: Vec<(String, Bytes)>,
    ) -> Result<Receipt> {
        op.stage("encode the end");
        let Open {
            mut encoder,
            mut outlet,
            upload,
            target,
            if_exists,
            id,
            mut records,
            mut block,
            large,
            memory,
            ..
        } = *open;
        let (mut outlet, parts, tail) = blocking(op, move || {
            // In byte mode the open block is in `block` already.
            let span = if encoder.mode() == Mode::Records { records.finish(&mut block) } else { None };
            if !block.is_empty() {
                outlet.holding(large);
                encoder.block(&block, span)?;
                outlet.send_full(&mut encoder)?;
            }
            let content = (encoder.mode() == Mode::Records).then(|| records.content());
            let seal = encoder.seal();
            seal.expect(offsets, expected);
            for (name, raw) in attachments {
                seal.attach(&name, raw)?;
            }
            let (parts, tail) = encoder.finish(content)?;
            Ok((outlet, parts, tail))
        })
        .await?;
        op.stage("send the end");
        for part in parts {
            op.guard_waiting(outlet.ready()).await?;
            outlet.send(part)?;
        }
        drop(outlet);
        let lost =
            |_| Error::new(Code::Internal, "the writer's upload ended without a result; please report this");
        let pending = op.guard_waiting(async { upload.await.map_err(lost)? }).await?.claim();
        let tail = || -> BoxFuture<'_, Result<Tail>> { Box::pin(ready(Ok(tail.clone()))) };
        let receipt = self.ctx.commit(op, &target, id, pending, if_exists, &tail).await;
        drop(memory);
        Ok(receipt?)
    }
}

/// Attachments that are in memory, and the memory.
type Loaded = (Option<Reservation>, Vec<(String, Bytes)>);

impl Shared {
    async fn load(&self, op: &Op, attachments: Vec<Attachment>, expected: Option<Digest>) -> Result<Loaded> {
        if self.mode == Mode::Records && matches!(expected, Some(Digest::Crc32c(_))) {
            return Err(Error::new(
                Code::InvalidArgument,
                "records are compared by CRC-64/NVME, since a CRC32C would depend on how they are cut into blocks",
            ));
        }
        if attachments.is_empty() {
            return Ok((None, Vec::new()));
        }
        let engine = self.ctx.engine.clone();
        blocking(op, move || {
            let sized = measure(attachments)?;
            // The writer holds memory already, so it must not wait for more.
            let len: u64 = sized.iter().fold(0, |sum, (len, _)| len.saturating_mul(2).saturating_add(sum));
            let memory = engine.budget().try_reserve(Class::Upload, len)?;
            let loaded: Result<Vec<_>> =
                sized.into_iter().map(|(len, a)| Ok((a.name, load_attachment(a.data, len)?))).collect();
            Ok((Some(memory), loaded?))
        })
        .await
    }
}
