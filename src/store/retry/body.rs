//! An object's bytes that go on where they broke off.
//!
//! Invariant: the caller sees the bytes of one object once, in order, whatever happened on the way. What follows
//! a break is asked for by its exact range, and taken only from an object of the same length and tag; that the
//! bytes are right is for the checksums above, as ever, but raw objects have none.

use super::{Core, table::Operation, tries::Tries};
use crate::{
    error::{Code, Error, Result},
    store::{ByteStream, Get, GetRange, Key},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::sync::Arc;

struct Going {
    core: Arc<Core>,
    key: Key,
    object_len: u64,
    tag: Option<Arc<str>>,
    at: u64,
    end: u64,
    body: ByteStream,
    tries: Tries,
}

/// `get`, whose body asks for the rest when it breaks.
pub(super) fn resumed(core: Arc<Core>, key: Key, get: Get, tries: Tries) -> Get {
    let Get { object_len, range, tag, body } = get;
    let (at, end) = (range.start, range.end);
    let going = Going { core, key, object_len, tag: tag.clone(), at, end, body, tries };
    let body =
        stream::try_unfold(
            going,
            |mut going| async move { Ok(going.next().await?.map(|piece| (piece, going))) },
        );
    Get { object_len, range, tag, body: body.boxed() }
}

impl Going {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let broken = match self.body.next().await {
                Some(Ok(piece)) => {
                    self.at += piece.len() as u64;
                    return Ok(Some(piece));
                }
                // All that was promised has come: what goes wrong now is for the caller to judge.
                Some(Err(e)) if self.at >= self.end => return Err(e),
                None if self.at >= self.end => return Ok(None),
                Some(Err(e)) => e,
                None => Error::new(
                    Code::Unavailable,
                    format!("the answer to a read of {} ended {} bytes early", self.key, self.end - self.at),
                ),
            };
            // Nothing more comes of it, and it may hold a connection during the pause.
            self.body = stream::empty().boxed();
            self.tries.broke(broken).await?;
            self.body = self.rest().await?;
        }
    }

    async fn rest(&mut self) -> Result<ByteStream> {
        loop {
            let leave = self.tries.begin().await?;
            let range = self.at..self.end;
            match self.core.inner.get(&self.key, GetRange::Range(range.clone())).await {
                Ok(get) if get.object_len == self.object_len && get.tag == self.tag && get.range == range => {
                    self.tries.succeeded(leave);
                    return Ok(get.body);
                }
                Ok(_) => {
                    self.tries.succeeded(leave);
                    let what = format!("{} was replaced by another object while it was read", self.key);
                    return Err(Error::new(Code::Unavailable, format!("{what}; read again")));
                }
                Err(e) => self.tries.failed(leave, e).await?,
            }
        }
    }
}

/// What a get gives back.
pub(super) async fn get(core: &Arc<Core>, key: &Key, range: GetRange) -> Result<Get> {
    let mut tries = Tries::new(core, Operation::Get, false);
    loop {
        let leave = tries.begin().await?;
        match core.inner.get(key, range.clone()).await {
            Ok(get) => {
                tries.succeeded(leave);
                return Ok(resumed(core.clone(), key.clone(), get, tries));
            }
            Err(e) => tries.failed(leave, e).await?,
        }
    }
}
