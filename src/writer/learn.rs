//! Finding out what a store can do, as a part of an operation.

use crate::{engine::Op, error::Result, store::ObjectStore};
use futures_util::{FutureExt, future::FusedFuture};
use std::time::Duration;

/// How long an operation that is cancelled waits for the store to be asked to the end: four small requests.
const WAIT: Duration = Duration::from_secs(1);

/// Learns what `store` can do. A store that was asked before knows at once; else it may be asked with an object
/// of its own, which would stay if the asking were broken off. So that normally ends, though nobody wants to know.
pub(super) async fn learn(op: &Op, store: &dyn ObjectStore) -> Result<()> {
    op.stage("learn what the store can do");
    let mut learning = store.learn().fuse();
    let learnt = op.guard(&mut learning).await;
    if !learning.is_terminated() {
        let _ = tokio::time::timeout(WAIT, learning).await;
    }
    learnt
}
