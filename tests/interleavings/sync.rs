//! tokio's channels, with a place before each step where another thread may go on.

use shuttle::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

/// Where the checker may choose another thread.
#[derive(Clone)]
struct Turn(Arc<AtomicUsize>);

impl Turn {
    fn new() -> Turn {
        Turn(Arc::new(AtomicUsize::new(0)))
    }

    fn take(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}

pub mod oneshot {
    use super::Turn;
    use real_tokio::sync::oneshot;
    use std::{
        future::Future,
        pin::Pin,
        task::{Context, Poll},
    };

    pub struct Sender<T>(oneshot::Sender<T>, Turn);
    pub struct Receiver<T>(oneshot::Receiver<T>, Turn);

    pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let ((sender, receiver), turn) = (oneshot::channel(), Turn::new());
        (Sender(sender, turn.clone()), Receiver(receiver, turn))
    }

    impl<T> Sender<T> {
        pub fn send(self, value: T) -> Result<(), T> {
            self.1.take();
            self.0.send(value)
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, oneshot::error::RecvError>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            self.1.take();
            Pin::new(&mut self.0).poll(context)
        }
    }
}

pub mod watch {
    use super::Turn;
    use real_tokio::sync::watch;

    pub struct Sender<T>(watch::Sender<T>, Turn);

    pub struct Receiver<T>(watch::Receiver<T>, Turn);

    pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
        let ((sender, receiver), turn) = (watch::channel(value), Turn::new());
        (Sender(sender, turn.clone()), Receiver(receiver, turn))
    }

    impl<T> Sender<T> {
        pub fn subscribe(&self) -> Receiver<T> {
            self.1.take();
            Receiver(self.0.subscribe(), self.1.clone())
        }

        pub fn receiver_count(&self) -> usize {
            self.1.take();
            self.0.receiver_count()
        }

        pub fn send_replace(&self, value: T) -> T {
            self.1.take();
            self.0.send_replace(value)
        }
    }

    impl<T> Clone for Receiver<T> {
        fn clone(&self) -> Self {
            Receiver(self.0.clone(), self.1.clone())
        }
    }

    impl<T> Receiver<T> {
        pub fn same_channel(&self, other: &Self) -> bool {
            self.0.same_channel(&other.0)
        }

        pub async fn wait_for(
            &mut self,
            wanted: impl FnMut(&T) -> bool,
        ) -> Result<watch::Ref<'_, T>, watch::error::RecvError> {
            self.1.take();
            self.0.wait_for(wanted).await
        }
    }
}
