//! Requests that got no answer, or one that broke off: refused, unknown host, TLS, proxy, time-out, credentials.

use super::{Action, At, reply::shown};
use crate::error::{Code, Error};
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{
    orchestrator::HttpResponse,
    result::{ConnectorError, SdkError},
};
use std::{error::Error as StdError, io::ErrorKind};

/// Longest chain of causes that goes into a message, in characters.
const MAX_CAUSE: usize = 300;

/// What to do where a proxy answers 407.
pub(super) const PROXY_PASSWORD: &str = "the proxy takes no request without user and password, or not with these; put \
     them into s3.proxy, http://user:password@proxy.example:3128";

/// An answer that is longer than it may be.
#[derive(Debug)]
pub(in crate::store::s3) struct TooLong(pub usize);

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the answer is longer than {} bytes, which none of S3's is", self.0)
    }
}

impl StdError for TooLong {}

/// The error where no answer came.
pub(super) fn no_answer<E>(action: Action, at: &At<'_>, error: &SdkError<E, HttpResponse>) -> Error
where
    E: StdError + 'static,
{
    let cannot = format!("cannot {} {at}", action.verb());
    if let Some(own) = find::<Error>(error) {
        return own.clone().context(cannot);
    }
    let cause = causes(error);
    if find::<CredentialsError>(error).is_some() || cause.contains("no identity") {
        let remedy = "set s3.access.key and s3.secret.key, a profile, or the environment of the AWS SDKs";
        return Error::new(Code::Unauthenticated, format!("{cannot}: no credentials: {cause}; {remedy}"));
    }
    let (code, passes, remedy) = why(error, &cause);
    Error::new(code, format!("{cannot}: {cause}; {remedy}")).with_retryable(passes)
}

/// The error where an answer began and cannot be used.
pub(super) fn broken_answer<E>(
    action: Action,
    at: &At<'_>,
    raw: &HttpResponse,
    error: &SdkError<E, HttpResponse>,
) -> Error
where
    E: StdError + 'static,
{
    let status = raw.status().as_u16();
    let what = format!(
        "cannot {} {at}: the answer with status {status} is unusable: {}",
        action.verb(),
        causes(error)
    );
    Error::new(Code::Unavailable, what).with_service(status, "", "", "")
}

/// The error of a body that ended before its time or broke.
pub(in crate::store::s3) fn broken_body(
    action: Action,
    at: &At<'_>,
    error: &(dyn StdError + 'static),
) -> Error {
    let what = format!("cannot {} {at}: the answer broke off: {}; try again", action.verb(), causes(error));
    Error::new(Code::Unavailable, what)
}

/// The code, whether time alone can help, and what to do.
fn why<E>(error: &SdkError<E, HttpResponse>, cause: &str) -> (Code, bool, &'static str)
where
    E: StdError + 'static,
{
    let lower = cause.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let passes = |remedy| (Code::Unavailable, true, remedy);
    let stays = |remedy| (Code::Unavailable, false, remedy);
    let kind = find::<std::io::Error>(error).map(std::io::Error::kind);
    let timed_out = matches!(error, SdkError::TimeoutError(_))
        || find::<ConnectorError>(error).is_some_and(ConnectorError::is_timeout);
    if has(&["proxy authorization required"]) {
        (Code::InvalidConfig, false, PROXY_PASSWORD)
    } else if has(&["proxy", "tunnel"]) {
        passes("look at s3.proxy and at the proxy's log")
    } else if has(&["unknownissuer", "unknown issuer", "selfsigned", "self-signed", "caused by othererror"]) {
        stays(
            "the service's certificate is signed by nobody that this machine trusts; name the signer's certificate in s3.ca.file",
        )
    } else if has(&["certificate"]) {
        stays("look at the service's certificate: its names, its dates, and this machine's clock")
    } else if has(&["invalidcontenttype", "corrupt message", "wrong version number"]) {
        stays("the service does not speak TLS at this port; write http:// in the endpoint, or another port")
    } else if has(&["dns error", "failed to lookup", "name or service not known", "name resolution"]) {
        // A name server may be away for a moment; the limits of retries end what stays so.
        passes("the host is not known; look at s3.endpoint, s3.region, s3.style and at the name server")
    } else if kind == Some(ErrorKind::ConnectionRefused) || has(&["connection refused"]) {
        passes("nothing listens there; is the service up, and are host and port of s3.endpoint right?")
    } else if timed_out {
        passes("no answer in time; look at the network, a firewall, and s3.timeout.connect")
    } else if matches!(error, SdkError::ConstructionFailure(_)) {
        (Code::InvalidConfig, false, "the request could not be made; look at the settings of s3")
    } else {
        passes("look at the network and the service")
    }
}

/// The first cause of type `T`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The chain of causes in one line, without those that repeat the one before and the SDK's own first words.
fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut line: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = shown(&error.to_string(), MAX_CAUSE);
        let empty =
            ["dispatch failure", "response error", "request has timed out", "service error", "other", ""];
        if !empty.contains(&text.as_str()) && line.last().is_none_or(|last| !last.contains(&text)) {
            line.push(text);
        }
        next = error.source();
    }
    if line.is_empty() {
        line.push("no cause was given".into());
    }
    shown(&line.join(": "), MAX_CAUSE)
}
