//! Which request is sent again after which error: one table for every store.
//!
//! A store translates what it was told into a [`Code`] and says with [`Error::retryable`] whether time alone can
//! help; this table only says no to some of those. What is not in it is never sent again.

use crate::{
    error::{Code, Error},
    metrics::Request,
};

/// A call of a store or of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Learn,
    Put,
    Begin,
    Part,
    Commit,
    Abort,
    Get,
    Head,
    Delete,
    List,
}

impl Operation {
    /// What the metrics count it as, as for the request itself.
    pub fn request(self) -> Request {
        match self {
            Operation::Put => Request::Put,
            Operation::Begin | Operation::Part => Request::Part,
            Operation::Commit => Request::Commit,
            Operation::Abort => Request::Abort,
            Operation::Get => Request::Get,
            Operation::Learn | Operation::Head => Request::Head,
            Operation::Delete => Request::Delete,
            Operation::List => Request::List,
        }
    }
}

/// What a failure of a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another attempt will fail as well, or would hide something.
    Never,
    /// Another attempt within the limits, but not twice in one request.
    Once,
    /// Other attempts, within the limits.
    Again,
}

/// The table, for errors that call themselves retryable.
pub(super) const fn row(operation: Operation, code: Code) -> Verdict {
    use Operation::*;
    match (operation, code) {
        // The store or the way to it, and no word about the request itself.
        (_, Code::Throttled | Code::Unavailable | Code::TimedOut) => Verdict::Again,
        // Two requests for one key have met (S3's 409), and nothing was done. After a commit it takes a whole new
        // upload, which is the writer's to begin.
        (Put | Begin | Part | Abort | Delete, Code::Busy) => Verdict::Again,
        // The credentials ran out between their refresh and the request; the next attempt asks for new ones.
        (_, Code::Unauthenticated) => Verdict::Once,
        // A refusal, an answer, damage, a full disk, or a defect: it stays so, and must be seen.
        _ => Verdict::Never,
    }
}

/// Whether, and how often, `operation` is tried again after `error`.
pub(super) fn verdict(operation: Operation, error: &Error) -> Verdict {
    if error.retryable() { row(operation, error.code()) } else { Verdict::Never }
}

/// What an answer says about the store's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It answered, if only with a refusal or with "slow down".
    Alive,
    /// It did not, or only to say that it is broken.
    Failing,
    /// The request did not come so far.
    Silent,
}

/// What an error says about the store's health.
pub(super) fn health(error: &Error) -> Health {
    match error.code() {
        Code::Unavailable | Code::TimedOut => Health::Failing,
        Code::NotFound
        | Code::NotFoundOrDenied
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::Archived
        | Code::PermissionDenied
        | Code::Throttled
        | Code::NoSpace
        | Code::Busy => Health::Alive,
        // Whatever it refuses, it is there.
        _ if error.http_status() != 0 => Health::Alive,
        _ => Health::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Operation; 10] = [
        Operation::Learn,
        Operation::Put,
        Operation::Begin,
        Operation::Part,
        Operation::Commit,
        Operation::Abort,
        Operation::Get,
        Operation::Head,
        Operation::Delete,
        Operation::List,
    ];

    /// The whole table, written out: a line for each code, a column for each operation in the order of `ALL`. `A`
    /// is again, `1` once, `.` never.
    const TABLE: &str = "
        INVALID_ARGUMENT    . . . . . . . . . .
        UNSUPPORTED_FIELD   . . . . . . . . . .
        UNSUPPORTED_VERSION . . . . . . . . . .
        INVALID_CONFIG      . . . . . . . . . .
        NOT_FOUND           . . . . . . . . . .
        NOT_FOUND_OR_DENIED . . . . . . . . . .
        ALREADY_EXISTS      . . . . . . . . . .
        CORRUPT             . . . . . . . . . .
        OUT_OF_RANGE        . . . . . . . . . .
        ARCHIVED            . . . . . . . . . .
        WRONG_STORE         . . . . . . . . . .
        SOURCE_FAILED       . . . . . . . . . .
        UNAUTHENTICATED     1 1 1 1 1 1 1 1 1 1
        PERMISSION_DENIED   . . . . . . . . . .
        THROTTLED           A A A A A A A A A A
        UNAVAILABLE         A A A A A A A A A A
        TIMED_OUT           A A A A A A A A A A
        CANCELLED           . . . . . . . . . .
        OUTCOME_UNKNOWN     . . . . . . . . . .
        NO_SPACE            . . . . . . . . . .
        BUSY                . A A A . A . . A .
        WOULD_BLOCK         . . . . . . . . . .
        RESOURCE_EXHAUSTED  . . . . . . . . . .
        CLOSED              . . . . . . . . . .
        FORKED              . . . . . . . . . .
        END                 . . . . . . . . . .
        INTERNAL            . . . . . . . . . .
    ";

    #[test]
    fn every_pair_of_operation_and_code_is_as_the_table_says() {
        let lines: Vec<Vec<&str>> =
            TABLE.trim().lines().map(|line| line.split_whitespace().collect()).collect();
        let codes: Vec<&str> = lines.iter().map(|line| line[0]).collect();
        assert_eq!(codes, Code::ALL.iter().map(|code| code.name()).collect::<Vec<_>>());
        for (line, &code) in lines.iter().zip(Code::ALL) {
            assert_eq!(line.len(), ALL.len() + 1, "{code}");
            for (mark, operation) in line[1..].iter().zip(ALL) {
                let expected = match *mark {
                    "A" => Verdict::Again,
                    "1" => Verdict::Once,
                    _ => Verdict::Never,
                };
                assert_eq!(row(operation, code), expected, "{operation:?} {code}");
                let willing = Error::new(code, "").with_retryable(true);
                assert_eq!(verdict(operation, &willing), expected, "{operation:?} {code}");
                let unwilling = Error::new(code, "").with_retryable(false);
                assert_eq!(verdict(operation, &unwilling), Verdict::Never, "{operation:?} {code}");
            }
        }
    }

    #[test]
    fn what_opens_the_breaker_is_tried_again_and_a_throttled_store_is_alive() {
        for &code in Code::ALL {
            if health(&Error::new(code, "")) == Health::Failing {
                assert_eq!(row(Operation::Get, code), Verdict::Again, "{code}");
            }
        }
        assert_eq!(health(&Error::new(Code::Throttled, "")), Health::Alive);
        assert_eq!(health(&Error::new(Code::SourceFailed, "")), Health::Silent);
        let keyless = Error::new(Code::Unauthenticated, "no credentials");
        assert_eq!(health(&keyless), Health::Silent);
        assert_eq!(health(&keyless.with_service(403, "InvalidAccessKeyId", "", "")), Health::Alive);
        let down = Error::new(Code::Unavailable, "").with_service(503, "ServiceUnavailable", "", "");
        assert_eq!(health(&down), Health::Failing);
    }
}
