//! The table: from operation, status and service code to our code, whether a retry can help, and the remedy.
//!
//! The service code counts first and the status only where there is none, or an unknown one: look-alikes agree
//! on codes more than on statuses.

use super::{Action, At, Reply, transport::PROXY_PASSWORD};
use crate::error::Code;
use std::borrow::Cow;

/// What an answer means.
pub(super) struct Meaning {
    pub code: Code,
    pub retryable: bool,
    /// What to do, empty where the service's own words are all there is to say.
    pub remedy: Cow<'static, str>,
}

/// Of a delete marker, which only S3 knows.
const DELETED: &str = "it was deleted; the bucket keeps older versions";

/// 407: <https://www.rfc-editor.org/rfc/rfc9110#status.407>
const PROXY_WANTS_PASSWORD: u16 = 407;

/// Clocks may differ by 15 minutes before S3 refuses; a third of it is worth a word.
const NOTABLE_SKEW: i64 = 300;

fn means(code: Code, remedy: impl Into<Cow<'static, str>>) -> Meaning {
    Meaning { code, retryable: code.retryable(), remedy: remedy.into() }
}

/// As [`means`], where the same request will never do.
fn for_good(code: Code, remedy: impl Into<Cow<'static, str>>) -> Meaning {
    Meaning { retryable: false, ..means(code, remedy) }
}

/// What `reply` to `action` means.
pub(super) fn of(action: Action, at: &At<'_>, reply: &Reply<'_>) -> Meaning {
    // No service says that; a proxy on the way to one over plain HTTP does, in whatever words.
    if reply.status == PROXY_WANTS_PASSWORD {
        return means(Code::InvalidConfig, PROXY_PASSWORD);
    }
    if reply.is_foreign() {
        return foreign(reply);
    }
    by_code(action, at, reply).unwrap_or_else(|| by_status(action, reply))
}

fn by_code(action: Action, at: &At<'_>, reply: &Reply<'_>) -> Option<Meaning> {
    let meaning = match reply.code {
        "NoSuchKey" | "NoSuchVersion" if reply.delete_marker => means(Code::NotFound, DELETED),
        "NoSuchKey" | "NoSuchVersion" => means(Code::NotFound, ""),
        "NoSuchBucket" => means(
            Code::InvalidConfig,
            format!(
                "create the bucket {} there, or correct its name, s3.endpoint or the credentials",
                at.bucket
            ),
        ),
        // What these two groups say of a part or a commit lets the writer begin the upload again: see `Upload`.
        "NoSuchUpload" | "InvalidPart" if !action.looks_for_object() => {
            means(Code::NotFound, "the upload, or a part of it, is gone: something else ended or removed it")
        }
        "InvalidObjectState" => means(
            Code::Archived,
            "the object is in an archive class; restore it (RestoreObject) and read it when it is back",
        ),
        "InvalidRange" => means(Code::OutOfRange, ""),
        "PreconditionFailed" => precondition(action),
        "ConditionalRequestConflict" | "OperationAborted" => {
            means(Code::Busy, "another request for this key was under way; try again")
        }
        "AccessDenied" | "AccessDeniedException" | "Forbidden" => denied(action, reply),
        "AllAccessDisabled" | "AccountProblem" | "AccountSuspended" | "NotSignedUp" | "InvalidPayer"
        | "UnauthorizedAccess" => {
            means(Code::PermissionDenied, "the account may not use the bucket; its owner must put that right")
        }
        "RequestTimeTooSkewed" => skewed(reply),
        "SignatureDoesNotMatch"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "InvalidTokenId"
        | "InvalidSecurity"
        | "MissingSecurityHeader"
        | "MissingAuthenticationToken"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "Unauthorized"
        | "AuthFailure"
        | "XAdminUserNotFound" => {
            unauthenticated("check access key and secret key, and that they belong to this endpoint", reply)
        }
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => {
            unauthenticated("the credentials have expired; get new ones", reply)
        }
        "PermanentRedirect"
        | "Redirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "IncorrectEndpoint" => elsewhere(reply),
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "TooManyRequestsException"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "BandwidthLimitExceeded"
        | "KMS.ThrottlingException" => means(Code::Throttled, ""),
        "RequestTimeout" | "IncompleteBody" => {
            means(Code::Unavailable, "the service did not get the whole request in time; look at the network")
        }
        "BadDigest"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentCRC32CMismatch" => {
            means(Code::Unavailable, "the bytes were damaged on their way and not stored")
        }
        "InternalError" | "ServiceUnavailable" | "ServerBusy" | "XMinioServerNotInitialized" => {
            means(Code::Unavailable, "")
        }
        "QuotaExceeded"
        | "StorageQuotaExceeded"
        | "XMinioAdminBucketQuotaExceeded"
        | "XMinioStorageFull"
        | "StorageFull"
        | "InsufficientStorage"
        | "InsufficientCapacity"
        | "NoSpaceLeftOnDevice" => means(Code::NoSpace, "free space or raise the quota"),
        "EntityTooLarge" | "EntityTooSmall" => {
            means(Code::InvalidConfig, "the service takes no parts of this size; correct upload.part.size")
        }
        "KeyTooLongError" | "KeyTooLong" => means(Code::InvalidArgument, "give the segment a shorter key"),
        // Where objects are files: no file, no object below it.
        "ObjectParentIsFile" | "XMinioParentIsObject" if action.looks_for_object() => {
            means(Code::NotFound, "")
        }
        "ObjectParentIsFile"
        | "ExistingObjectIsDirectory"
        | "XMinioParentIsObject"
        | "XMinioObjectExistsAsDirectory" => {
            means(Code::InvalidArgument, "a key cannot be a folder of another; give it another name")
        }
        "NotImplemented" | "MethodNotAllowed" | "UnsupportedOperation" | "XNotImplemented" => lacking(action),
        "InvalidStorageClass" => means(Code::InvalidConfig, "correct s3.storage.class"),
        "InvalidTag" => means(Code::InvalidConfig, "correct s3.tags"),
        "AccessControlListNotSupported" => {
            means(Code::InvalidConfig, "the bucket takes no ACLs; remove s3.acl")
        }
        "InvalidBucketName" => means(Code::InvalidConfig, "correct the bucket's name"),
        "InvalidEncryptionAlgorithmError" => means(Code::InvalidConfig, "correct s3.sse"),
        // S3's word and MinIO's.
        "KMS.NotFoundException" | "kms:KeyNotFound" => {
            means(Code::InvalidConfig, "there is no such key; correct s3.sse.kms.key")
        }
        code if code.starts_with("KMS") || code.starts_with("kms:") => means(
            Code::PermissionDenied,
            "look at the key's state and policy and at s3.sse.kms.key; who uses it needs kms:GenerateDataKey to write and kms:Decrypt to read",
        ),
        _ if reply.message.contains("Server Side Encryption") => means(
            Code::PermissionDenied,
            "the object was encrypted with a key of its writer's; set s3.sse=customer and s3.sse.customer.key",
        ),
        _ => return None,
    };
    Some(meaning)
}

/// What a status means by itself.
fn by_status(action: Action, reply: &Reply<'_>) -> Meaning {
    match reply.status {
        200..=299 => means(Code::Unavailable, "the answer holds an error; try again"),
        300..=399 => elsewhere(reply),
        401 => unauthenticated("the service wants credentials", reply),
        403 => denied(action, reply),
        404 if reply.delete_marker => means(Code::NotFound, DELETED),
        // S3 says NoSuchKey; a bare 404 may come from anything that listens there.
        404 => for_good(
            Code::Unavailable,
            "the answer does not say what is missing, as S3 would; is the endpoint right?",
        ),
        405 | 501 => lacking(action),
        408 => {
            means(Code::Unavailable, "the service did not get the whole request in time; look at the network")
        }
        409 => means(Code::Busy, "another request for this key was under way; try again"),
        412 => precondition(action),
        416 => means(Code::OutOfRange, ""),
        429 => means(Code::Throttled, "the service asks to slow down"),
        507 => means(Code::NoSpace, "free space or raise the quota"),
        500.. => means(Code::Unavailable, if reply.message.is_empty() { "the service failed" } else { "" }),
        _ => for_good(
            Code::Unavailable,
            "the service refuses the request; seglift doctor tells what it can do",
        ),
    }
}

/// A body that is not S3's. What failed may be a proxy on the way, so 5xx can pass.
fn foreign(reply: &Reply<'_>) -> Meaning {
    let remedy = format!(
        "status {} came with something that is not S3's XML; is the endpoint right? It begins: {}",
        reply.status,
        reply.snippet()
    );
    match reply.status {
        429 => means(Code::Throttled, remedy),
        408 | 500.. | 200..=299 => means(Code::Unavailable, remedy),
        _ => for_good(Code::Unavailable, remedy),
    }
}

fn precondition(action: Action) -> Meaning {
    match action {
        Action::Put | Action::Commit => means(Code::AlreadyExists, "the key is taken"),
        _ => means(Code::Unavailable, "the object changed under the request; try again"),
    }
}

fn denied(action: Action, reply: &Reply<'_>) -> Meaning {
    // With a key service's refusal the object is certainly there.
    if action.reads_object() && !reply.message.contains("kms:") {
        return means(
            Code::NotFoundOrDenied,
            "without s3:ListBucket S3 answers so for a missing key, too; the policy must allow s3:GetObject (seglift doctor --policy prints one)",
        );
    }
    let permission = if reply.message.contains("kms:") { "the use of the key" } else { action.permission() };
    means(
        Code::PermissionDenied,
        format!("the policy must allow {permission} (seglift doctor --policy prints one)"),
    )
}

fn unauthenticated(remedy: &'static str, reply: &Reply<'_>) -> Meaning {
    match clock(reply) {
        Some(clock) => means(Code::Unauthenticated, format!("{remedy}; mind that {clock}")),
        None => means(Code::Unauthenticated, remedy),
    }
}

fn skewed(reply: &Reply<'_>) -> Meaning {
    let clock =
        clock(reply).unwrap_or_else(|| "this machine's clock and the service's differ too much".into());
    means(Code::Unauthenticated, format!("{clock}; set the clock (NTP)"))
}

/// By how much the clocks differ, where that is worth a word.
fn clock(reply: &Reply<'_>) -> Option<String> {
    let ahead = reply.clock_ahead.filter(|ahead| ahead.unsigned_abs() >= NOTABLE_SKEW.unsigned_abs())?;
    let by = humantime::format_duration(std::time::Duration::from_secs(ahead.unsigned_abs()));
    let way = if ahead > 0 { "behind" } else { "ahead of" };
    Some(format!("this machine's clock is {by} {way} the service's"))
}

fn elsewhere(reply: &Reply<'_>) -> Meaning {
    match (reply.region, reply.status, reply.code) {
        (Some(region), _, _) => means(
            Code::InvalidConfig,
            format!("the bucket is in the region {region}; set s3.region={region}"),
        ),
        // Shortly after a bucket was made its name leads to the wrong place.
        (None, 307, _) => means(Code::Unavailable, "the service sends us elsewhere for a while; try again"),
        (None, _, "AuthorizationHeaderMalformed") => {
            unauthenticated("check s3.region, access key and secret key", reply)
        }
        (None, _, _) => means(
            Code::InvalidConfig,
            "the service says that the bucket is elsewhere; correct s3.region, s3.endpoint or s3.style",
        ),
    }
}

fn lacking(action: Action) -> Meaning {
    let request = action.request();
    means(
        Code::InvalidConfig,
        format!(
            "the service does not do this ({request}, with the settings in use); seglift doctor tells what it can do"
        ),
    )
}
