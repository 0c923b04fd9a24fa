//! Reap: aborts uploads that were begun and never ended.
//!
//! Invariant: an upload goes only if its start *and* its newest part are older than was said, and only if it is this
//! owner's or the caller has said that all are. A slow upload shows itself by its parts.
//!
//! Whose an upload is, files and memory show. S3 shows it to nobody before the upload is completed: not in the
//! listing, not in the parts. (The initiator that it lists is the account, which two clusters may share. A part that
//! names the owner and is left out of the commit would do at Amazon, but not every look-alike puts up with it, and
//! reap is not worth a failed commit.) So there all uploads below the prefix are of an unknown owner, and are
//! aborted only where the caller says that the place is his alone. The bucket's lifecycle rule is the other net.

use super::{Context, Item, PAGE, Report, Verdict, is_older, judged, log_removed};
use crate::{
    engine::Op,
    error::{Error, Result},
    store::{Arrived, BoxFuture, Unfinished},
};
use std::time::Duration;

/// What to reap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReapOptions {
    /// Start and newest part of an upload must be longer ago than this.
    pub older_than: Duration,
    /// Only report.
    pub dry_run: bool,
    /// Uploads of other owners, and those whose owner the store does not show, as well.
    pub all_owners: bool,
}

/// Aborts what nobody will end. The report has an item for each upload of the store, as it was met.
///
/// What the store says where it cannot list uploads or tell the time; an upload that cannot be aborted is an item.
pub async fn reap(context: Context, op: Op, options: ReapOptions) -> Result<Report> {
    let store = &context.store;
    op.stage("clock");
    let now = op.guard(store.now()).await?;
    let mut report = Report::default();
    let mut after = None;
    loop {
        op.stage("list uploads");
        let page = op.guard(store.uploads(&context.owner, after.as_ref(), PAGE)).await?;
        op.stage("abort uploads");
        let mut work: Vec<BoxFuture<'_, Item>> = Vec::with_capacity(page.uploads.len());
        for upload in &page.uploads {
            work.push(Box::pin(judge(&context, &op, &options, now, upload)));
        }
        judged(&op, work).await?.into_iter().for_each(|item| report.add(item));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(report),
        }
    }
}

async fn judge(context: &Context, op: &Op, options: &ReapOptions, now: i64, upload: &Unfinished) -> Item {
    let old = |time_us| is_older(time_us, options.older_than, now);
    let mut item = Item {
        name: upload.name.clone(),
        upload_id: upload.id.clone(),
        verdict: Verdict::Young,
        bytes: 0,
        time_us: upload.started_us,
        error: None,
    };
    let mine = options.all_owners || upload.of_owner == Some(true);
    item.verdict = match upload.of_owner {
        Some(false) if !mine => Verdict::OtherOwner,
        _ if upload.alive == Some(true) => Verdict::Alive,
        _ if !old(upload.started_us) => Verdict::Young,
        // The newest part is looked at last of all: on S3 it costs a request.
        _ => match context.store.arrived(upload).await {
            Ok(None) => Verdict::Gone,
            Ok(Some(Arrived { newest_us, bytes })) => {
                (item.bytes, item.time_us) = (bytes, newest_us.max(upload.started_us));
                match () {
                    () if !old(newest_us) => Verdict::Young,
                    () if !mine => Verdict::UnknownOwner,
                    () if options.dry_run => Verdict::WouldRemove,
                    () => match abort(context, upload).await {
                        Ok(true) => {
                            context.metrics.reaped_uploads.add(1);
                            context.metrics.reaped_bytes.add(bytes);
                            log_removed(op, "reap", &upload.name, bytes);
                            Verdict::Removed
                        }
                        Ok(false) => Verdict::Gone,
                        Err(e) => failed(&mut item, e),
                    },
                }
            }
            Err(e) => failed(&mut item, e),
        },
    };
    item
}

async fn abort(context: &Context, upload: &Unfinished) -> Result<bool> {
    pause!(ReapBeforeAbort);
    let aborted = context.store.abort_upload(upload).await;
    pause!(ReapAfterAbort);
    aborted
}

fn failed(item: &mut Item, error: Error) -> Verdict {
    item.error = Some(error);
    Verdict::Failed
}
