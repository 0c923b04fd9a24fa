//! Small objects in one request, and what the end of a request that creates an object means.
//!
//! Invariant: `NotDone` only where the store cannot have created the object: it was refused, or it broke before
//! the last byte was handed over. Whatever else went wrong is `Unknown`, and the writer looks.
//!
//! One exception, since it would otherwise end worse: an object whose answer does not show the encryption that
//! was asked for is removed again, and that is `NotDone` also where removing it failed. As `Unknown` the writer
//! would look, find its own object, and give a receipt for it. The message names what may be left. It is a
//! second line of defence: stores that are not Amazon's are asked with an object of their own before the first
//! byte of a segment goes there ([`probe`](super::probe)).

use super::{
    S3Store,
    attributes::{carries, echo},
    body::{Integrity, Prepared, Sending, header_value},
    connection::Connection,
    errors::{self, Action, At},
    exchange::Exchange,
};
use crate::{
    error::{Code, Error, Result},
    store::{Body, Commit, Key, UploadInfo},
};
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::{sync::Arc, time::Duration};

/// How often the removal of an object that must not stay is tried, and the pause between.
const WITHDRAWALS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// A request that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub error: Error,
    /// Whether its last byte was handed over, so that it may have been done.
    pub drained: bool,
}

impl Failed {
    /// It never went out.
    pub fn before(error: Error) -> Failed {
        Failed { error, drained: false }
    }

    /// What this means for the object that the request should have created.
    pub fn fate(self) -> Commit {
        let Failed { error, drained } = self;
        match (error.http_status(), error.service_code()) {
            (412, _) => Commit::Exists,
            _ if !drained => Commit::NotDone(error),
            // A load balancer's and a busy server's "later" come before anything is done.
            (429 | 501, _)
            | (_, "SlowDown" | "SlowDownWrite" | "RequestLimitExceeded" | "RequestTimeout") => {
                Commit::NotDone(error)
            }
            // Who has no room has stored nothing. (MinIO and versitygw say so with 507, RFC 4918, 11.5.)
            _ if error.code() == Code::NoSpace => Commit::NotDone(error),
            // 408 may be a proxy that waited for an answer.
            (300..=407 | 409..=499, _) => Commit::NotDone(error),
            _ => Commit::Unknown(error),
        }
    }
}

/// What tells an object of ours from others under its key, as an answer named it.
struct Found<'a> {
    version: Option<&'a str>,
    etag: Option<&'a str>,
}

/// What a request with a body came to; `answer` is none where nothing moved for `limit`.
pub(super) fn outcome<T, E>(
    connection: &Connection,
    answer: Option<Result<T, SdkError<E, HttpResponse>>>,
    sending: &Sending,
    action: Action,
    at: &At<'_>,
    limit: Duration,
) -> Result<T, Failed>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let error = match answer {
        Some(Ok(output)) => return Ok(output),
        Some(Err(e)) => connection.heard(errors::from_sdk(action, at, e)),
        None => errors::stalled(action, at, limit),
    };
    let drained = sending.end();
    // Where the source failed, what the connection says of it is an echo.
    let error = sending.failure().unwrap_or(error);
    Err(Failed { error, drained })
}

impl S3Store {
    /// `PutObject`, only if the key is free.
    pub(super) async fn put_object(&self, key: &Key, info: &UploadInfo, body: Arc<dyn Body>) -> Commit {
        let abilities = match self.abilities().await {
            Ok(abilities) => abilities,
            Err(e) => return Commit::NotDone(e),
        };
        let put = self.put_once(
            key,
            info,
            body.clone(),
            abilities.integrity,
            abilities.conditional.sends_condition(),
        );
        let output = match put.await {
            Ok(output) => output,
            Err(failed) => return failed.fate(),
        };
        match self.check_put(key, body.as_ref(), &output) {
            Ok(()) => Commit::Done,
            Err(e) => {
                // Whoever is cut off from here on must not look, find the object and give a receipt for it.
                body.not_kept();
                let found = Found { version: output.version_id(), etag: output.e_tag() };
                self.withdraw(key, found, abilities.conditional.honoured(), e).await
            }
        }
    }

    /// See [`ObjectStore::confirm`](crate::store::ObjectStore::confirm): the answer that should have shown the
    /// encryption was lost, so a HEAD is asked for it.
    pub(super) async fn confirm_object(&self, key: &Key, ours: Option<&str>) -> Commit {
        let Some(uuid) = ours.filter(|_| self.attributes.encrypts()) else { return Commit::Done };
        let head = match self.head(key).await {
            Ok(head) => head,
            Err(e) => return Commit::Unknown(e),
        };
        // Whatever came in the place of ours since the look is not ours to judge, nor to remove.
        if !carries(&head, uuid) {
            let what =
                format!("{key} does not carry the UUID of what was stored there; another writer replaced it");
            return Commit::Unknown(Error::new(Code::Busy, what).with_retryable(false));
        }
        match self.attributes.check_echo(echo!(head)) {
            Ok(()) => Commit::Done,
            Err(e) => {
                let certain = self.abilities.get().is_some_and(|able| able.conditional.honoured());
                let found = Found { version: head.version_id(), etag: head.e_tag() };
                self.withdraw(key, found, certain, e).await
            }
        }
    }

    /// One request, as told.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>
    pub(super) async fn put_once(
        &self,
        key: &Key,
        info: &UploadInfo,
        body: Arc<dyn Body>,
        integrity: Integrity,
        condition: bool,
    ) -> Result<PutObjectOutput, Failed> {
        let signed = self.options.payload_signing;
        let prepared = Prepared::new(key, body, integrity, signed).await.map_err(Failed::before)?;
        let Prepared { body, header, payload, sending } = prepared;
        let client = self.connection.client().await.map_err(Failed::before)?;
        let request = client
            .put_object()
            .bucket(&self.place.bucket)
            .key(self.place.object_key(key))
            .set_if_none_match(condition.then(|| "*".to_owned()))
            .set_checksum_crc32_c(header)
            .body(body);
        let request = self.attributes.on_put(request, info).customize();
        let request = request.interceptor(payload).interceptor(sending.exchange());
        let limit = self.options.attempt_timeout;
        let answer = sending.guard(limit, request.send()).await;
        outcome(&self.connection, answer, &sending, Action::Put, &self.at(Some(key)), limit)
    }

    /// Whether what the store says that it has is what was asked for.
    fn check_put(&self, key: &Key, body: &dyn Body, output: &PutObjectOutput) -> Result<()> {
        self.attributes.check_echo(echo!(output))?;
        match (output.checksum_crc32_c(), body.crc32c()) {
            (Some(theirs), Some(ours)) if theirs != header_value(ours) => Err(errors::odd_answer(
                Action::Put,
                &self.at(Some(key)),
                "has another checksum than the bytes sent",
            )),
            _ => Ok(()),
        }
    }

    /// Removes an object of ours that must not stay, because of `why`. `certain`: nobody else can have put
    /// another there since. Amazon is told by the ETag which one is meant, where there is no version.
    async fn withdraw(&self, key: &Key, found: Found<'_>, certain: bool, why: Error) -> Commit {
        let etag = found.etag.filter(|_| found.version.is_none() && self.connection.is_amazon());
        if certain || found.version.is_some() || etag.is_some() {
            for _ in 0..WITHDRAWALS {
                let removed = match etag {
                    Some(etag) => self.delete_if(key, Some(etag)).await,
                    None => self.remove(key, found.version).await,
                };
                // 412: another object has come in its place, so ours is gone.
                if removed.is_ok() || removed.is_err_and(|e| e.http_status() == 412) {
                    return Commit::NotDone(why);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        let left = format!("{key} was stored all the same and could not be removed again: delete it");
        Commit::NotDone(why.context(left).with_retryable(false))
    }

    /// `DeleteObject`: of the version, where there is one, so that nothing is left of it.
    pub(super) async fn remove(&self, key: &Key, version: Option<&str>) -> Result<()> {
        let client = self.connection.client().await?;
        let request = client
            .delete_object()
            .bucket(&self.place.bucket)
            .key(self.place.object_key(key))
            .set_version_id(version.map(str::to_owned));
        let exchange = Exchange::new(false);
        let request = request.customize().interceptor(exchange.clone());
        self.answer(Action::Delete, Some(key), &exchange, request.send()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_store_cannot_have_done_is_not_done() {
        let fate = |status, code: &str, drained| {
            let kind = if status == 507 { Code::NoSpace } else { Code::Unavailable };
            let error = Error::new(kind, "e").with_service(status, code, "", "");
            match (Failed { error, drained }).fate() {
                Commit::Exists => "exists",
                Commit::NotDone(_) => "not done",
                Commit::Unknown(_) => "unknown",
                Commit::Done => "done",
            }
        };
        for (status, code, partly, whole) in [
            (0, "", "not done", "unknown"),
            (200, "", "not done", "unknown"),
            (200, "InternalError", "not done", "unknown"),
            (307, "TemporaryRedirect", "not done", "not done"),
            (400, "BadDigest", "not done", "not done"),
            (400, "RequestTimeout", "not done", "not done"),
            (403, "AccessDenied", "not done", "not done"),
            (404, "NoSuchBucket", "not done", "not done"),
            (408, "", "not done", "unknown"),
            (409, "ConditionalRequestConflict", "not done", "not done"),
            (412, "PreconditionFailed", "exists", "exists"),
            (429, "", "not done", "not done"),
            (500, "InternalError", "not done", "unknown"),
            (501, "NotImplemented", "not done", "not done"),
            (502, "", "not done", "unknown"),
            (503, "SlowDown", "not done", "not done"),
            (503, "ServiceUnavailable", "not done", "unknown"),
            (504, "", "not done", "unknown"),
            (507, "InsufficientStorage", "not done", "not done"),
        ] {
            assert_eq!(fate(status, code, false), partly, "{status} {code}, part of it sent");
            assert_eq!(fate(status, code, true), whole, "{status} {code}, all of it sent");
        }
    }
}
