//! What an answer of S3 means: the only place that knows statuses and service codes.
//!
//! Invariant: `NOT_FOUND` only where the service says that this object (or upload) is not there. A missing bucket, a 404
//! of some web server, an empty answer and a 403 are other errors, because a host drops data on `NOT_FOUND`.
//!
//! A message says what was tried and where, what the service said, what to do, and ends as Amazon's own SDK
//! for Java ends its messages, since operators search for that form. Never in it: headers of the request, and
//! more of a foreign body than a few words.
//!
//! Service codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>

mod meaning;
mod reply;
mod transport;

use crate::error::{Code, Error};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::{fmt, time::Duration};

pub(super) use reply::Reply;
pub(super) use transport::{TooLong, broken_body};

/// What was asked of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// GetObject.
    Get,
    /// HeadObject.
    Head,
    /// ListObjectsV2.
    List,
    /// DeleteObjects, DeleteObject.
    Delete,
    /// PutObject.
    Put,
    /// CreateMultipartUpload.
    Begin,
    /// UploadPart.
    Part,
    /// CompleteMultipartUpload.
    Commit,
    /// AbortMultipartUpload.
    Abort,
    /// GetBucketLifecycleConfiguration.
    Rules,
    /// ListMultipartUploads.
    Uploads,
    /// ListParts.
    Parts,
}

impl Action {
    /// Whether a refusal hides if the object is there.
    fn reads_object(self) -> bool {
        matches!(self, Action::Get | Action::Head)
    }

    /// Whether nothing there is an answer.
    fn looks_for_object(self) -> bool {
        self.reads_object() || self == Action::Delete
    }

    fn verb(self) -> &'static str {
        match self {
            Action::Get => "read",
            Action::Head => "look at",
            Action::List => "list",
            Action::Delete => "delete",
            Action::Put => "create",
            Action::Begin => "begin the upload of",
            Action::Part => "send a part of",
            Action::Commit => "commit",
            Action::Abort => "abort the upload of",
            Action::Rules => "read the lifecycle rules of",
            Action::Uploads => "list the unfinished uploads of",
            Action::Parts => "list the parts of the upload of",
        }
    }

    /// The permission that a policy must give.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>
    fn permission(self) -> &'static str {
        match self {
            Action::Get | Action::Head => "s3:GetObject",
            Action::List => "s3:ListBucket",
            Action::Delete => "s3:DeleteObject",
            Action::Put | Action::Begin | Action::Part | Action::Commit => "s3:PutObject",
            Action::Abort => "s3:AbortMultipartUpload",
            Action::Rules => "s3:GetLifecycleConfiguration",
            Action::Uploads => "s3:ListBucketMultipartUploads",
            Action::Parts => "s3:ListMultipartUploadParts",
        }
    }

    /// The request's name in the service's API.
    fn request(self) -> &'static str {
        match self {
            Action::Get => "GetObject",
            Action::Head => "HeadObject",
            Action::List => "ListObjectsV2",
            Action::Delete => "DeleteObjects",
            Action::Put => "PutObject",
            Action::Begin => "CreateMultipartUpload",
            Action::Part => "UploadPart",
            Action::Commit => "CompleteMultipartUpload",
            Action::Abort => "AbortMultipartUpload",
            Action::Rules => "GetBucketLifecycleConfiguration",
            Action::Uploads => "ListMultipartUploads",
            Action::Parts => "ListParts",
        }
    }
}

/// What a request was about.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The service's URL, without credentials.
    pub endpoint: &'a str,
    /// The object's key as the host knows it; none for requests about the bucket.
    pub key: Option<&'a str>,
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = self.key {
            write!(f, "{key} in ")?;
        }
        write!(f, "bucket {} at {}", self.bucket, self.endpoint)
    }
}

/// The error of a request that the SDK reports as failed.
pub(super) fn from_sdk<E>(action: Action, at: &At<'_>, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match &error {
        SdkError::ServiceError(context) => {
            let (meta, raw) = (context.err().meta(), context.raw());
            from_reply(action, at, &Reply::of(raw, meta.code(), meta.message()))
        }
        SdkError::ResponseError(context) => transport::broken_answer(action, at, context.raw(), &error),
        other => transport::no_answer(action, at, other),
    }
}

/// The error of an answer: pure, so that every row of the table is a test.
pub(super) fn from_reply(action: Action, at: &At<'_>, reply: &Reply<'_>) -> Error {
    let meaning = meaning::of(action, at, reply);
    let said = reply.said();
    let what = match (said.is_empty(), meaning.remedy.is_empty()) {
        (true, true) => "the service gives no reason".to_owned(),
        (true, false) => meaning.remedy.into_owned(),
        (false, true) => said,
        (false, false) => format!("{said}; {}", meaning.remedy),
    };
    let message = format!("cannot {} {at}: {what} {}", action.verb(), reply.form());
    let error = Error::new(meaning.code, message)
        .with_service(reply.status, reply.code, reply.request_id, reply.extended_request_id)
        .with_retryable(meaning.retryable);
    match reply.retry_after {
        Some(after) if meaning.retryable => error.with_retry_after(after),
        _ => error,
    }
}

/// An answer that succeeded by its status and is not what was asked for: a retryable `UNAVAILABLE`, since it
/// may come from something in between. `why` completes "the answer …".
pub(super) fn odd_answer(action: Action, at: &At<'_>, why: impl fmt::Display) -> Error {
    Error::new(Code::Unavailable, format!("cannot {} {at}: the answer {why}", action.verb()))
}

/// An attempt in which no byte moved for `limit`.
pub(super) fn stalled(action: Action, at: &At<'_>, limit: Duration) -> Error {
    let limit = humantime::format_duration(limit);
    Error::new(
        Code::TimedOut,
        format!(
            "cannot {} {at}: no byte moved for {limit}; look at the network and the service, or raise s3.timeout.attempt",
            action.verb()
        ),
    )
}

#[cfg(test)]
mod tests;
