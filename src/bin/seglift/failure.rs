//! What an error means for the user: an exit status, and a hint on what to do next.
//!
//! Both follow from the code alone, so that a script which switches on the status and a person who
//! reads the hint are told the same thing.

use seglift::{Code, Error};
use serde_json::{Value, json};
use std::io;

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// Something to report.
    Error(Error),
    /// Whoever read standard output went away: nothing to say, and nobody to say it to.
    Pipe,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl Failure {
    /// A failed write to standard output.
    pub fn of_stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Pipe,
            _ => Failure::Error(local("standard output", &error)),
        }
    }
}

/// An error of this machine's own files, with `what` it was about.
pub fn local(what: impl std::fmt::Display, error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    let code = match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => Code::NoSpace,
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Code::PermissionDenied,
        _ => Code::SourceFailed,
    };
    Error::new(code, format!("{what}: {error}"))
}

/// Exit status when the reader of standard output went away: 128 + SIGPIPE, as a shell shows it
/// for a process that the signal ended.
pub const EXIT_PIPE: u8 = 141;
/// Exit status of success.
pub const EXIT_OK: u8 = 0;
/// Exit status of an error without one of its own, and of failures that differ.
pub const EXIT_ERROR: u8 = 1;
/// Exit status of a wrong command line; clap ends with the same.
pub const EXIT_USAGE: u8 = 2;

/// The exit status of a code.
pub fn exit_status(code: Code) -> u8 {
    match code {
        Code::InvalidArgument | Code::InvalidConfig => EXIT_USAGE,
        Code::NotFound | Code::OutOfRange => 3,
        Code::Corrupt => 4,
        Code::AlreadyExists => 5,
        Code::OutcomeUnknown => 6,
        Code::Busy | Code::WouldBlock | Code::Throttled | Code::Unavailable | Code::TimedOut => 7,
        // A store that hides whether an object is missing refuses to say: that is a permission.
        Code::Unauthenticated | Code::PermissionDenied | Code::NotFoundOrDenied => 8,
        Code::Cancelled => 130,
        _ => EXIT_ERROR,
    }
}

/// What the user can do about it; `None` where the message says all there is.
pub fn hint(error: &Error) -> Option<&'static str> {
    Some(match error.code() {
        // What no retry can help says itself what can.
        Code::Throttled | Code::Unavailable | Code::Busy | Code::TimedOut if !error.retryable() => {
            return None;
        }
        Code::NotFound => "`seglift ls URI` lists the keys that are there",
        Code::NotFoundOrDenied => "allow listing the bucket, and the store will say which of the two it is",
        Code::AlreadyExists => "choose another name, or look at what is there first",
        Code::Corrupt => {
            "`seglift verify` says how much of the object is damaged, `seglift cat --salvage` writes what is still good"
        }
        Code::UnsupportedVersion => "a newer seglift wrote this object; update seglift",
        Code::OutcomeUnknown => {
            "repeat the command with the same --key: it settles whether the segment is there"
        }
        Code::TimedOut => {
            "raise --set deadline.offload=…, deadline.read=… or stall=… if the store is merely slow"
        }
        Code::Throttled | Code::Unavailable | Code::Busy => "try again later; nothing is left to clean up",
        Code::Unauthenticated => "give credentials that the store knows",
        Code::PermissionDenied => "check who owns the files or what the credentials allow",
        Code::NoSpace => "make room and repeat the command; what was committed is kept",
        Code::ResourceExhausted => "raise --set memory.budget=…",
        Code::Internal => "this is a defect in seglift; please report it with the command line",
        _ => return None,
    })
}

/// The `error` object of the JSON output.
pub fn to_json(error: &Error) -> Value {
    let mut object = json!({
        "code": error.code().name(),
        "message": error.message(),
        "retryable": error.retryable(),
    });
    if let Some(hint) = hint(error) {
        object["hint"] = hint.into();
    }
    if let Some(after) = error.retry_after() {
        object["retry_after_ms"] = (after.as_millis() as u64).into();
    }
    if error.http_status() != 0 {
        object["http_status"] = error.http_status().into();
        object["service_code"] = error.service_code().into();
        object["request_id"] = error.request_id().into();
        object["extended_request_id"] = error.extended_request_id().into();
    }
    object
}

/// The exit status of a command that did several things: theirs if they agree, else 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally(Option<u8>);

impl Tally {
    /// Counts a failure.
    pub fn add(&mut self, status: u8) {
        self.0 = Some(match self.0 {
            None => status,
            Some(before) if before == status => status,
            Some(_) => EXIT_ERROR,
        });
    }

    /// The status so far.
    pub fn status(self) -> u8 {
        self.0.unwrap_or(EXIT_OK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::EXIT_STATUS;

    #[test]
    fn every_exit_status_is_documented() {
        for code in Code::ALL {
            let status = format!("\n  {:<4} ", exit_status(*code));
            assert!(
                EXIT_STATUS.contains(&status),
                "{code} has the status {status}, which the help does not name"
            );
        }
        assert!(EXIT_STATUS.contains(&format!("\n  {EXIT_PIPE}  ")));
    }

    #[test]
    fn failures_that_differ_are_a_plain_error() {
        let mut tally = Tally::default();
        assert_eq!(tally.status(), EXIT_OK);
        tally.add(3);
        tally.add(3);
        assert_eq!(tally.status(), 3);
        tally.add(4);
        assert_eq!(tally.status(), EXIT_ERROR);
        tally.add(1);
        assert_eq!(tally.status(), EXIT_ERROR);
    }
}
