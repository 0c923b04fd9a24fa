//! One request and its answer: how long nothing may move, how much an answer may weigh, whether it is whole.
//!
//! Invariant: an answer that is read into memory (all but an object's bytes) is bounded, whatever the other
//! side sends; its XML is well-formed to its last tag, since the SDK's parser takes the end of the text for the
//! end of the list; and an attempt in which no byte moves for `s3.timeout.attempt` ends.
//!
//! Trade-off: a total time for an attempt would be simpler, and would end a large answer on a slow line.

use super::{
    S3Store,
    errors::{self, Action, TooLong},
    xml::is_well_formed,
};
use crate::{error::Result, store::Key};
use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{
            AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
        },
    },
    error::{BoxError, ProvideErrorMetadata, SdkError},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// Most bytes of an answer that is read into memory: a listing of 1,000 keys of 1,024 bytes, each byte
/// escaped as `&#xNN;`, is 6 MiB and some fields.
pub(super) const MAX_ANSWER: usize = 8 << 20;

/// A request under way. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Exchange(Arc<State>);

#[derive(Debug)]
struct State {
    /// A success is a stream, which its reader bounds and checks.
    streams: bool,
    /// When a byte moved last.
    moved: Mutex<Instant>,
    status: AtomicU16,
    well_formed: AtomicBool,
}

impl Exchange {
    /// A request that begins now. `streams`: its success is a stream that the caller reads, bounds and checks.
    pub(super) fn new(streams: bool) -> Exchange {
        let moved = Mutex::new(Instant::now());
        Exchange(Arc::new(State {
            streams,
            moved,
            status: AtomicU16::new(0),
            well_formed: AtomicBool::new(true),
        }))
    }

    /// A byte moved.
    pub(super) fn note(&self) {
        *self.0.moved.lock() = Instant::now();
    }

    /// The HTTP status of the answer, 0 before there is one.
    pub(super) fn status(&self) -> u16 {
        self.0.status.load(Relaxed)
    }

    /// Whether an answer in XML was well-formed to its end. Without a body it was.
    pub(super) fn well_formed(&self) -> bool {
        self.0.well_formed.load(Relaxed)
    }

    /// What `work` gives, or none once nothing has moved for `limit`.
    pub(super) async fn guard<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.stalled(limit) => None,
        }
    }

    async fn stalled(&self, limit: Duration) {
        loop {
            let end = *self.0.moved.lock() + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

impl S3Store {
    /// Waits for the answer to `request`, which must carry `exchange` as its interceptor.
    pub(super) async fn answer<T, E>(
        &self,
        action: Action,
        key: Option<&Key>,
        exchange: &Exchange,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match exchange.guard(self.options.attempt_timeout, request).await {
            Some(answer) => answer.map_err(|e| self.error(action, key, e)),
            None => Err(errors::stalled(action, &self.at(key), self.options.attempt_timeout)),
        }
    }
}

impl Intercept for Exchange {
    fn name(&self) -> &'static str {
        "seglift exchange"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.note();
        let response = context.response_mut();
        self.0.status.store(response.status().as_u16(), Relaxed);
        if !(self.0.streams && response.status().is_success()) {
            let inner = std::mem::replace(response.body_mut(), SdkBody::taken());
            let bounded = Bounded { inner, left: MAX_ANSWER, exchange: self.clone() };
            *response.body_mut() = SdkBody::from_body_1_x(bounded);
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(body) = context.response().body().bytes() {
            self.0.well_formed.store(is_well_formed(body), Relaxed);
        }
        Ok(())
    }
}

/// A body that ends with an error when it is longer than it may be.
struct Bounded {
    inner: SdkBody,
    left: usize,
    exchange: Exchange,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.exchange.note();
            match self.left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(TooLong(MAX_ANSWER).into()))),
            }
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
