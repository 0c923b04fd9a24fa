//! What goes into the cache, and the memory for it.
//!
//! Invariant: a fill owns its memory and runs in a task of the engine under `deadline.read`. Whoever asked for it may
//! leave; the work is not thrown away, and everybody who asks meanwhile gets the same answer.

use super::{
    Reader,
    locate::PARSED,
    range::{Group, How, Piece},
    segment::Segment,
    shared::{Shared, Value, page_key},
};
use crate::{
    cache::{CacheKey, Flight},
    engine::{Class, Op, Patience, Reservation},
    error::{Code, Error, Result},
    object::{Block, Page},
};
use ::bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{self, BoxFuture},
    stream::FuturesOrdered,
};
use std::{future::Future, mem, ops::Range, sync::Arc};
use tokio::time::{Instant, timeout_at};

impl Reader {
    /// Memory for what a read does next. Waits for it, up to the operation's deadline.
    pub(super) async fn reserve(&self, op: &Op, bytes: usize) -> Result<Reservation> {
        self.engine.budget().reserve(Class::Read, bytes as u64, op).await
    }

    /// Memory for what the host will hold. Does not wait: only the host can give some back.
    pub(super) fn lend(&self, bytes: usize) -> Result<Reservation> {
        self.engine.budget().try_reserve(Class::Lent, bytes as u64)
    }

    /// The value of `key`: from the cache, from whoever is getting it, or from `make`, which gets `need` bytes of
    /// reserved memory and sees to it that the cache keeps what is worth it.
    pub(super) async fn fill<F>(
        &self,
        op: &Op,
        key: CacheKey,
        need: usize,
        make: impl FnOnce(Reservation) -> F,
    ) -> Result<Value>
    where
        F: Future<Output = Result<Value>> + Send + 'static,
    {
        if let Some(value) = self.shared.cached(&key) {
            return Ok(value);
        }
        let held = self.reserve(op, need).await?;
        let join = match self.shared.flights.join_or_lead(key) {
            Flight::Join(join) => {
                self.shared.metrics.single_flight_joins.add(1);
                join
            }
            Flight::Lead(lead) => {
                // Between the first look and this one somebody may have brought it.
                if let Some(value) = self.shared.cached_meanwhile(&key) {
                    lead.land(Ok(value.clone()));
                    return Ok(value);
                }
                let join = lead.join();
                let (made, deadline) = (make(held), Instant::now() + self.options.deadline);
                self.engine.spawn_detached(Some(deadline.into_std()), async move {
                    lead.land(timeout_at(deadline, made).await.unwrap_or_else(|_| Err(timed_out())));
                });
                join
            }
        };
        op.guard(join.landed()).await
    }

    /// Index page `n` of the segment.
    pub(super) async fn page(&self, op: &Op, segment: &Segment, n: usize) -> Result<Arc<Page>> {
        if let Some(page) = self.shared.cached_page(segment.id(), n) {
            return Ok(page);
        }
        let key = page_key(segment.id(), n);
        let position = segment.tail().page_position(n);
        let need = (position.end - position.start) as usize * PARSED;
        let (segment, shared) = (segment.clone(), self.shared.clone());
        let fetch = move |held| async move {
            let page = twice(&shared, || fetch_page(&segment, n)).await?;
            let value = Value::Page(Arc::new(page));
            shared.keep(key, value.clone(), held);
            Ok(value)
        };
        match self.fill(op, key, need, fetch).await? {
            Value::Page(page) => Ok(page),
            Value::Block(..) | Value::Tail(_) => {
                Err(Error::new(Code::Internal, "a page's place held another value"))
            }
        }
    }

    /// The one block that holds `raw`, which is not empty; `None` if it takes several.
    pub(super) async fn block_that_holds(
        &self,
        op: &Op,
        segment: &Segment,
        raw: &Range<u64>,
    ) -> Result<Option<Block>> {
        let Some(n) = segment.tail().page_of_raw(raw.start) else { return Ok(None) };
        let block = self.page(op, segment, n).await?.block_of_raw(raw.start);
        Ok(block.filter(|block| raw.end <= block.raw.end))
    }

    /// Whole blocks as they lie in memory, in the order of `blocks`. The caller bounds how many there are.
    pub(super) async fn blocks(
        self: &Arc<Self>,
        op: &Op,
        segment: &Segment,
        blocks: Vec<Block>,
        how: How,
    ) -> Result<Vec<Bytes>> {
        op.stage("blocks");
        let mut coming: FuturesOrdered<BoxFuture<'static, Result<Vec<Bytes>>>> = FuturesOrdered::new();
        let mut group = Group::default();
        for block in blocks {
            let cached = self.shared.cached_block(segment.id(), block.number);
            if cached.is_some() || !group.takes(&block, self.options.fetch_size) {
                self.launch_blocks(op, segment, mem::take(&mut group), how, &mut coming).await?;
            }
            match cached {
                Some(bytes) => coming.push_back(Box::pin(future::ready(Ok(vec![bytes])))),
                None => {
                    let part = 0..block.raw_len();
                    group.push(Piece { block, part, into: None });
                }
            }
        }
        self.launch_blocks(op, segment, group, how, &mut coming).await?;
        let mut all = Vec::new();
        while let Some(mut some) = op.guard(async { coming.next().await.transpose() }).await? {
            all.append(&mut some);
        }
        Ok(all)
    }

    /// Launches the group, if it is one, in the memory that it takes.
    async fn launch_blocks(
        self: &Arc<Self>,
        op: &Op,
        segment: &Segment,
        group: Group,
        how: How,
        coming: &mut FuturesOrdered<BoxFuture<'static, Result<Vec<Bytes>>>>,
    ) -> Result<()> {
        if !group.is_empty() {
            let held = self.reserve(op, group.need(segment.tail().codec(), how)).await?;
            coming.push_back(Box::pin(self.launch(segment, group, how, held).arrive()));
        }
        Ok(())
    }

    /// Fetches the blocks of `raw` into the cache, as far as memory is free just now; nobody waits for the outcome,
    /// and whoever comes meanwhile joins.
    pub(super) async fn fetch_ahead(self: &Arc<Self>, segment: &Segment, raw: Range<u64>) {
        let how = How::ahead();
        let mut at = raw.start;
        let mut group = Group::default();
        while let Some(n) = segment.tail().page_of_raw(at).filter(|_| at < raw.end) {
            // A page that is not in memory will be fetched by the read itself; the next window finds it.
            let Some(page) = self.shared.cached_page(segment.id(), n) else { break };
            let first = page.block_of_raw(at).map_or(0, |block| block.number);
            for block in page.blocks_from(first).take_while(|block| block.raw.start < raw.end) {
                at = block.raw.end;
                let (id, number) = (segment.id(), block.number);
                if self.shared.has_block(id, number) || self.shared.is_coming(id, number) {
                    continue;
                }
                if !group.takes(&block, self.options.fetch_size)
                    && !self.launch_ahead(segment, mem::take(&mut group), how).await
                {
                    return;
                }
                let part = 0..block.raw_len();
                group.push(Piece { block, part, into: None });
            }
        }
        self.launch_ahead(segment, group, how).await;
    }

    /// Whether there was memory for it. Waits until it has arrived, so that a window is at most two requests.
    async fn launch_ahead(self: &Arc<Self>, segment: &Segment, group: Group, how: How) -> bool {
        let need = group.need(segment.tail().codec(), how);
        let Some(_permit) = self.shared.admit_ahead(need) else { return false };
        let Ok(held) = self.engine.budget().try_reserve(Class::Read, need as u64) else { return false };
        // An error comes up again in the read that wants the block, which has somebody to tell.
        self.launch(segment, group, how, held).arrive().await.is_ok()
    }
}

/// What `attempt` gets; once more if that was damaged, because the damage may have happened on the way.
pub(super) async fn twice<T, F: Future<Output = Result<T>>>(
    shared: &Shared,
    attempt: impl Fn() -> F,
) -> Result<T> {
    match attempt().await {
        Err(e) if e.code() == Code::Corrupt => {
            shared.metrics.checksum_failures.add(1);
            shared.metrics.corrupt_refetches.add(1);
            attempt().await.inspect_err(|_| shared.metrics.checksum_failures.add(1))
        }
        other => other,
    }
}

async fn fetch_page(segment: &Segment, n: usize) -> Result<Page> {
    let bytes = segment.get_all(segment.tail().page_position(n)).await?;
    Page::parse(&bytes, segment.tail(), n)
}

fn timed_out() -> Error {
    Error::new(
        Code::TimedOut,
        format!(
            "a request for a tail or an index page had not ended at the deadline of reads (deadline.read){}",
            Patience::current().cause()
        ),
    )
}
