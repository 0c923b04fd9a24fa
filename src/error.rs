//! The only error type: a stable code, a sentence for a human, and what the store said.
//!
//! The code is API (C hosts switch on it); the message is not. A message says what happened, to
//! what, and what to do about it. It never holds a secret: nothing here formats configuration
//! values, and `config` hands out secrets only as `Secret`, whose `Debug` and `Display` hide them.
//!
//! An `Error` is one pointer wide and cheap to clone, because every waiter of a shared fetch gets
//! the same one.

use std::{fmt, sync::Arc, time::Duration};

/// `Result` with seglift's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $num:literal, $text:literal;)+) => {
        /// What went wrong, as a number that never changes its meaning.
        #[repr(i32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[doc = $doc])+ $name = $num,)+ }

        impl Code {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The code's name as the C header and `--json` spell it, such as `NOT_FOUND`.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }
        }
    };
}

codes! {
    /// A pointer is NULL, a length or a value is out of its range, a string is not UTF-8.
    InvalidArgument = 1, "INVALID_ARGUMENT";
    /// A struct carries non-zero bytes that this library does not know: the caller asks for
    /// something that a newer version offers.
    UnsupportedField = 2, "UNSUPPORTED_FIELD";
    /// The object needs a newer version of seglift.
    UnsupportedVersion = 3, "UNSUPPORTED_VERSION";
    /// A setting is unknown, malformed or contradicts another.
    InvalidConfig = 4, "INVALID_CONFIG";
    /// There is no such object, certainly.
    NotFound = 10, "NOT_FOUND";
    /// The store hides whether the object is missing or forbidden. Never treat it as missing.
    NotFoundOrDenied = 11, "NOT_FOUND_OR_DENIED";
    /// The key exists with another content; nothing was changed.
    AlreadyExists = 12, "ALREADY_EXISTS";
    /// The bytes do not match their checksum, or the object is not a seglift object.
    Corrupt = 13, "CORRUPT";
    /// The offset, record or attachment lies outside the segment.
    OutOfRange = 14, "OUT_OF_RANGE";
    /// The object is in a cold class and must be restored first.
    Archived = 15, "ARCHIVED";
    /// The receipt names another store than this driver's.
    WrongStore = 16, "WRONG_STORE";
    /// The source (file, descriptor) of an offload could not be read, or changed while it was.
    SourceFailed = 17, "SOURCE_FAILED";
    /// No or wrong credentials.
    Unauthenticated = 20, "UNAUTHENTICATED";
    /// The credentials do not allow this.
    PermissionDenied = 21, "PERMISSION_DENIED";
    /// The store asks to slow down.
    Throttled = 22, "THROTTLED";
    /// The store could not be reached or failed.
    Unavailable = 23, "UNAVAILABLE";
    /// The deadline or the stall limit passed; nothing was committed.
    TimedOut = 24, "TIMED_OUT";
    /// The caller cancelled; nothing was committed.
    Cancelled = 25, "CANCELLED";
    /// The commit was sent and its result could not be learnt. Repeat the offload with the same
    /// key to settle it.
    OutcomeUnknown = 26, "OUTCOME_UNKNOWN";
    /// The disk or the quota behind the store is full.
    NoSpace = 27, "NO_SPACE";
    /// The handle, the queue or the memory budget is in use; try again later.
    Busy = 30, "BUSY";
    /// The answer needs I/O and the caller asked for none, or a writer is full.
    WouldBlock = 31, "WOULD_BLOCK";
    /// Memory, threads or descriptors ran out, or the request can never fit the budget.
    ResourceExhausted = 32, "RESOURCE_EXHAUSTED";
    /// The handle is closed.
    Closed = 33, "CLOSED";
    /// The handle was inherited through `fork`; open a new one in the child.
    Forked = 34, "FORKED";
    /// There is nothing more: the end of a listing or of a batch of records.
    End = 35, "END";
    /// A defect in seglift; the message says where.
    Internal = 99, "INTERNAL";
}

impl Code {
    /// Whether the same call may succeed later without anyone changing anything.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Code::Throttled
                | Code::Unavailable
                | Code::TimedOut
                | Code::OutcomeUnknown
                | Code::Busy
                | Code::WouldBlock
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Debug)]
struct Inner {
    code: Code,
    message: String,
    http_status: u16,
    service_code: String,
    request_id: String,
    extended_request_id: String,
    retryable: bool,
    retry_after: Option<Duration>,
}

/// A failed operation: code, message and, where a store answered, what it answered.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

impl Error {
    /// An error with the code's own idea of whether a retry can help.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error(Arc::new(Inner {
            code,
            message: message.into(),
            http_status: 0,
            service_code: String::new(),
            request_id: String::new(),
            extended_request_id: String::new(),
            retryable: code.retryable(),
            retry_after: None,
        }))
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// One sentence or two for a human; no API.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The store's HTTP status, 0 if there was none.
    pub fn http_status(&self) -> u16 {
        self.0.http_status
    }

    /// The store's own code such as `AccessDenied`, empty if there was none.
    pub fn service_code(&self) -> &str {
        &self.0.service_code
    }

    /// The store's request id, empty if there was none.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The store's extended request id, empty if there was none.
    pub fn extended_request_id(&self) -> &str {
        &self.0.extended_request_id
    }

    /// Whether the same call may succeed later without anyone changing anything.
    pub fn retryable(&self) -> bool {
        self.0.retryable
    }

    /// How long the store asks to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The same error with `what` in front of its message: `"offload of k: disk is full"`.
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.message = format!("{what}: {}", inner.message);
        self
    }

    /// The same error with `hint` behind its message: `"disk is full; 3 parts are kept"`.
    pub fn with_hint(mut self, hint: impl fmt::Display) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.message = format!("{}; {hint}", inner.message);
        self
    }

    /// The same error with its texts as `map` makes them.
    pub(crate) fn map_texts(mut self, map: impl Fn(&str) -> String) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        for text in [
            &mut inner.message,
            &mut inner.service_code,
            &mut inner.request_id,
            &mut inner.extended_request_id,
        ] {
            *text = map(text);
        }
        self
    }

    /// The same error with another idea of whether a retry can help.
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        Arc::make_mut(&mut self.0).retryable = retryable;
        self
    }

    /// The same error with the time that the store asks to wait.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        Arc::make_mut(&mut self.0).retry_after = Some(after);
        self
    }

    /// The same error with what an HTTP store answered.
    pub fn with_service(
        mut self,
        http_status: u16,
        service_code: impl Into<String>,
        request_id: impl Into<String>,
        extended_request_id: impl Into<String>,
    ) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.http_status = http_status;
        inner.service_code = service_code.into();
        inner.request_id = request_id.into();
        inner.extended_request_id = extended_request_id.into();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn codes_are_unique_and_named_in_capitals() {
        for (i, a) in Code::ALL.iter().enumerate() {
            assert!(Code::ALL[..i].iter().all(|b| (*b as i32) < *a as i32 && b.name() != a.name()));
            assert!(a.name().bytes().all(|c| c.is_ascii_uppercase() || c == b'_'));
        }
    }

    #[test]
    fn context_goes_in_front_and_keeps_what_the_store_said() {
        let e = Error::new(Code::Throttled, "slow down")
            .with_service(503, "SlowDown", "r", "x")
            .context("read of k");
        assert_eq!(e.to_string(), "read of k: slow down");
        assert_eq!(
            (e.http_status(), e.service_code(), e.request_id(), e.extended_request_id()),
            (503, "SlowDown", "r", "x")
        );
        assert!(e.retryable());
    }
}
