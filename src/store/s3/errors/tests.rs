//! Every row of the table, and the form of a message.

use super::*;

const AT: At<'_> = At { bucket: "logs", endpoint: "https://s3.example", key: Some("t/0/k") };

fn reply<'a>(status: u16, code: &'a str, message: &'a str) -> Reply<'a> {
    let body: &[u8] = if code.is_empty() { b"" } else { b"<Error/>" };
    Reply { status, code, message, body, request_id: "R1", extended_request_id: "X1", ..Reply::default() }
}

fn meaning(action: Action, status: u16, code: &str) -> (Code, bool) {
    let error = from_reply(action, &AT, &reply(status, code, "it said so"));
    (error.code(), error.retryable())
}

#[test]
fn each_service_code_has_its_meaning() {
    use Action::*;
    for (action, status, code, expected, retryable) in [
        (Get, 404, "NoSuchKey", Code::NotFound, false),
        (Head, 404, "NoSuchVersion", Code::NotFound, false),
        (Get, 404, "NoSuchBucket", Code::InvalidConfig, false),
        (List, 404, "NoSuchBucket", Code::InvalidConfig, false),
        (Part, 404, "NoSuchUpload", Code::NotFound, false),
        (Commit, 400, "InvalidPart", Code::NotFound, false),
        (Get, 404, "NoSuchUpload", Code::Unavailable, false),
        (Get, 403, "InvalidObjectState", Code::Archived, false),
        (Get, 416, "InvalidRange", Code::OutOfRange, false),
        (Put, 412, "PreconditionFailed", Code::AlreadyExists, false),
        (Commit, 412, "PreconditionFailed", Code::AlreadyExists, false),
        (Put, 409, "ConditionalRequestConflict", Code::Busy, true),
        (Delete, 409, "OperationAborted", Code::Busy, true),
        (Get, 403, "AccessDenied", Code::NotFoundOrDenied, false),
        (Head, 403, "AccessDenied", Code::NotFoundOrDenied, false),
        (Put, 403, "AccessDenied", Code::PermissionDenied, false),
        (Delete, 403, "AccessDenied", Code::PermissionDenied, false),
        (List, 403, "AccessDenied", Code::PermissionDenied, false),
        (Get, 403, "AllAccessDisabled", Code::PermissionDenied, false),
        (Get, 403, "AccountProblem", Code::PermissionDenied, false),
        (Get, 403, "RequestTimeTooSkewed", Code::Unauthenticated, false),
        (Get, 403, "SignatureDoesNotMatch", Code::Unauthenticated, false),
        (Get, 403, "InvalidAccessKeyId", Code::Unauthenticated, false),
        (Get, 404, "XAdminUserNotFound", Code::Unauthenticated, false),
        (Part, 400, "ExpiredToken", Code::Unauthenticated, false),
        (Get, 400, "InvalidToken", Code::Unauthenticated, false),
        (Get, 503, "SlowDown", Code::Throttled, true),
        (Put, 503, "SlowDownWrite", Code::Throttled, true),
        (Get, 400, "RequestLimitExceeded", Code::Throttled, true),
        (Get, 429, "TooManyRequests", Code::Throttled, true),
        (Put, 400, "KMS.ThrottlingException", Code::Throttled, true),
        (Get, 500, "InternalError", Code::Unavailable, true),
        (Get, 503, "ServiceUnavailable", Code::Unavailable, true),
        (Put, 400, "RequestTimeout", Code::Unavailable, true),
        (Put, 400, "IncompleteBody", Code::Unavailable, true),
        (Put, 400, "BadDigest", Code::Unavailable, true),
        (Part, 400, "XAmzContentChecksumMismatch", Code::Unavailable, true),
        (Commit, 200, "InternalError", Code::Unavailable, true),
        (Put, 403, "QuotaExceeded", Code::NoSpace, false),
        (Put, 507, "XMinioStorageFull", Code::NoSpace, false),
        (Put, 400, "EntityTooLarge", Code::InvalidConfig, false),
        (Commit, 400, "EntityTooSmall", Code::InvalidConfig, false),
        (Put, 400, "KeyTooLongError", Code::InvalidArgument, false),
        (Put, 400, "XMinioParentIsObject", Code::InvalidArgument, false),
        (Put, 409, "ExistingObjectIsDirectory", Code::InvalidArgument, false),
        (List, 501, "NotImplemented", Code::InvalidConfig, false),
        (Get, 405, "MethodNotAllowed", Code::InvalidConfig, false),
        (Put, 400, "KMS.DisabledException", Code::PermissionDenied, false),
        (Put, 400, "KMS.NotFoundException", Code::InvalidConfig, false),
        (Begin, 404, "kms:KeyNotFound", Code::InvalidConfig, false),
        (Put, 400, "InvalidStorageClass", Code::InvalidConfig, false),
        (Get, 301, "PermanentRedirect", Code::InvalidConfig, false),
        (Get, 400, "AuthorizationHeaderMalformed", Code::Unauthenticated, false),
        (Get, 400, "SomethingNew", Code::Unavailable, false),
        (Get, 500, "SomethingNew", Code::Unavailable, true),
    ] {
        assert_eq!(meaning(action, status, code), (expected, retryable), "{action:?} {status} {code}");
    }
}

#[test]
fn a_status_without_a_code_means_no_more_than_it_says() {
    use Action::*;
    for (action, status, expected, retryable) in [
        (Get, 404, Code::Unavailable, false),
        (Head, 404, Code::Unavailable, false),
        (Get, 401, Code::Unauthenticated, false),
        (Get, 403, Code::NotFoundOrDenied, false),
        (Put, 403, Code::PermissionDenied, false),
        (Get, 407, Code::InvalidConfig, false),
        (Get, 408, Code::Unavailable, true),
        (Get, 416, Code::OutOfRange, false),
        (Put, 412, Code::AlreadyExists, false),
        (Put, 409, Code::Busy, true),
        (Get, 429, Code::Throttled, true),
        (Get, 307, Code::Unavailable, true),
        (Get, 301, Code::InvalidConfig, false),
        (List, 501, Code::InvalidConfig, false),
        (Put, 507, Code::NoSpace, false),
        (Get, 500, Code::Unavailable, true),
        (Get, 502, Code::Unavailable, true),
        (Get, 503, Code::Unavailable, true),
        (Get, 504, Code::Unavailable, true),
    ] {
        assert_eq!(meaning(action, status, ""), (expected, retryable), "{action:?} {status}");
    }
    let marker = Reply { delete_marker: true, ..reply(404, "", "") };
    assert_eq!(from_reply(Action::Head, &AT, &marker).code(), Code::NotFound, "only S3 knows delete markers");
}

#[test]
fn a_message_says_what_was_tried_what_was_said_what_to_do_and_ends_as_operators_know_it() {
    let error = from_reply(Action::Put, &AT, &reply(403, "AccessDenied", "Access Denied."));
    assert_eq!(
        error.message(),
        "cannot create t/0/k in bucket logs at https://s3.example: Access Denied; the policy must allow \
         s3:PutObject (seglift doctor --policy prints one) (Service: Amazon S3; Status Code: 403; Error Code: \
         AccessDenied; Request ID: R1; S3 Extended Request ID: X1)"
    );
    assert_eq!((error.http_status(), error.service_code()), (403, "AccessDenied"));
    assert_eq!((error.request_id(), error.extended_request_id()), ("R1", "X1"));
}

#[test]
fn an_error_without_a_word_says_so() {
    let error = from_reply(Action::Get, &AT, &reply(500, "InternalError", ""));
    assert!(error.message().contains("https://s3.example: the service gives no reason (Service:"), "{error}");
}

#[test]
fn a_missing_bucket_names_bucket_endpoint_and_remedy() {
    let error =
        from_reply(Action::Get, &AT, &reply(404, "NoSuchBucket", "The specified bucket does not exist"));
    let text = error.message();
    assert!(
        text.contains("bucket logs at https://s3.example")
            && text.contains("create the bucket logs")
            && text.contains("s3.endpoint"),
        "{text}"
    );
}

#[test]
fn a_wrong_clock_is_called_so_with_the_difference() {
    let skewed = |clock_ahead, code| {
        let reply = Reply { clock_ahead, ..reply(403, code, "The difference … is too large.") };
        from_reply(Action::Get, &AT, &reply).message().to_owned()
    };
    let text = skewed(Some(3_700), "RequestTimeTooSkewed");
    assert!(text.contains("this machine's clock is 1h 1m 40s behind the service's"), "{text}");
    let text = skewed(Some(-1_200), "RequestTimeTooSkewed");
    assert!(text.contains("this machine's clock is 20m ahead of the service's"), "{text}");
    assert!(skewed(None, "RequestTimeTooSkewed").contains("set the clock"));
    assert!(skewed(Some(900), "SignatureDoesNotMatch").contains("clock is 15m behind"));
    assert!(!skewed(Some(9), "SignatureDoesNotMatch").contains("clock"));
}

#[test]
fn a_wrong_region_names_the_right_one() {
    for (status, code) in [
        (301, "PermanentRedirect"),
        (301, ""),
        (307, "TemporaryRedirect"),
        (400, "AuthorizationHeaderMalformed"),
    ] {
        let reply = Reply { region: Some("eu-west-1"), ..reply(status, code, "elsewhere") };
        let error = from_reply(Action::Get, &AT, &reply);
        assert_eq!(error.code(), Code::InvalidConfig, "{code}");
        assert!(error.message().contains("set s3.region=eu-west-1"), "{error}");
    }
}

#[test]
fn a_body_that_is_not_s3s_is_no_missing_object_and_no_refusal() {
    for (status, retryable) in
        [(200, true), (404, false), (403, false), (400, false), (502, true), (503, true)]
    {
        let reply = Reply { body: b"<html><h1>It works!</h1>", ..reply(status, "", "") };
        let error = from_reply(Action::Get, &AT, &reply);
        assert_eq!((error.code(), error.retryable()), (Code::Unavailable, retryable), "{status}");
        let text = error.message();
        assert!(
            text.contains("not S3's XML; is the endpoint right?") && text.contains("It works!"),
            "{text}"
        );
    }
}

#[test]
fn a_refusal_of_the_key_service_says_that_the_object_is_there() {
    let denied =
        reply(403, "AccessDenied", "User: u is not authorized to perform: kms:Decrypt on resource: k");
    assert_eq!(from_reply(Action::Get, &AT, &denied).code(), Code::PermissionDenied);
}

#[test]
fn a_folder_that_is_an_object_holds_nothing() {
    let parent = reply(409, "ObjectParentIsFile", "Object parent already exists as a file.");
    for action in [Action::Get, Action::Head, Action::Delete] {
        assert_eq!(from_reply(action, &AT, &parent).code(), Code::NotFound, "{action:?}");
    }
}

#[test]
fn the_wish_to_wait_is_kept_where_a_retry_can_help() {
    let wait = Some(Duration::from_secs(9));
    let after = |status, code| {
        from_reply(Action::Get, &AT, &Reply { retry_after: wait, ..reply(status, code, "") }).retry_after()
    };
    assert_eq!(after(503, "SlowDown"), wait);
    assert_eq!(after(503, ""), wait);
    assert_eq!(after(403, "AccessDenied"), None);
}

#[test]
fn what_no_time_puts_right_on_the_way_is_not_tried_again() {
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use rustls::{CertificateError, Error as Tls, InvalidMessage};
    use std::io;
    type Failed = SdkError<aws_sdk_s3::operation::head_object::HeadObjectError, HttpResponse>;
    let certificate = |why| io::Error::other(Tls::InvalidCertificate(why));
    for (cause, retryable, remedy) in [
        (certificate(CertificateError::UnknownIssuer), false, "s3.ca.file"),
        (certificate(CertificateError::Expired), false, "its dates"),
        (certificate(CertificateError::NotValidForName), false, "its names"),
        (io::Error::other(Tls::InvalidMessage(InvalidMessage::InvalidContentType)), false, "TLS"),
        (io::Error::other("dns error: failed to lookup address information"), true, "name server"),
        (io::ErrorKind::ConnectionRefused.into(), true, "is the service up"),
        (io::ErrorKind::ConnectionReset.into(), true, "network"),
    ] {
        let text = cause.to_string();
        let error: Failed = SdkError::dispatch_failure(ConnectorError::io(cause.into()));
        let error = from_sdk(Action::Head, &AT, error);
        assert_eq!((error.code(), error.retryable()), (Code::Unavailable, retryable), "{text}");
        assert!(error.message().contains(remedy), "{error}");
    }
}
