//! A stand-in for the library's operation, as far as queue and budget look at it: it has a number and a priority, can be
//! cancelled, and its last handle runs something. It has no deadline.

use crate::{
    error::{Code, Error, Result},
    model::Mutex,
};
use futures_util::FutureExt;
use seglift::engine::Call;
use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
};

#[derive(Default)]
struct Stop {
    asked: bool,
    waiting: Vec<Waker>,
}

struct Shared {
    id: u64,
    call: Call,
    stop: Mutex<Stop>,
    last: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(last) = &self.last {
            last();
        }
    }
}

#[derive(Clone)]
pub struct Op(Arc<Shared>);

impl Op {
    pub fn new(id: u64, priority: i32) -> Op {
        Op::of(id, priority, None)
    }

    /// `last` runs when the last handle is dropped, as the finalizers of an operation do.
    pub fn with_last(id: u64, last: impl Fn() + Send + Sync + 'static) -> Op {
        Op::of(id, 0, Some(Box::new(last)))
    }

    fn of(id: u64, priority: i32, last: Option<Box<dyn Fn() + Send + Sync>>) -> Op {
        let call = Call { priority, ..Call::default() };
        Op(Arc::new(Shared { id, call, stop: Mutex::default(), last }))
    }

    pub fn id(&self) -> u64 {
        self.0.id
    }

    pub fn call(&self) -> &Call {
        &self.0.call
    }

    pub fn cancel(&self) {
        let mut stop = self.0.stop.lock();
        stop.asked = true;
        let waiting = std::mem::take(&mut stop.waiting);
        drop(stop);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.stop.lock().asked
    }

    pub async fn cancelled(&self) {
        std::future::poll_fn(|context| {
            let mut stop = self.0.stop.lock();
            if stop.asked {
                return Poll::Ready(());
            }
            stop.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// As the library's: the result first, then the wish to stop.
    pub async fn guard_waiting<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let (mut work, mut cancelled) = (pin!(work), pin!(self.cancelled()));
        std::future::poll_fn(|context| {
            if let Poll::Ready(result) = work.poll_unpin(context) {
                return Poll::Ready(result);
            }
            cancelled.poll_unpin(context).map(|()| Err(Error::new(Code::Cancelled, "it was cancelled")))
        })
        .await
    }
}
