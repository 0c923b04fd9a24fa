//! One question that any store can answer, and all that its answer tells.
//!
//! It reads an object that is not there. Whether the credentials are taken, whether the bucket exists and in which
//! region, what time the store has: one answer says it, also where the credentials may do nothing but read.

use super::super::{
    S3Store,
    credentials::Provided,
    errors::{self, Action},
    exchange::Exchange,
};
use crate::{
    error::{Code, Error},
    store::{
        Key,
        doctor::{Finding, objects::shown},
    },
};
use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef,
    },
    error::BoxError,
};
use aws_smithy_types::date_time::{DateTime, Format};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// S3 refuses requests whose time is further from its own than this.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html>
const REFUSED: Duration = Duration::from_secs(15 * 60);

/// A clock that is so wrong is not kept by anybody, and will be wronger.
const NOTABLE: Duration = Duration::from_secs(60);

/// What the store said.
#[derive(Debug)]
pub(super) struct Answer {
    /// The error that is none of "it is not there".
    pub error: Option<Error>,
    /// The store hides whether an object is missing.
    hides: bool,
    headers: Headers,
    took: Duration,
}

/// The headers that tell about the store and not about the object.
#[derive(Clone, Debug, Default)]
struct Headers {
    /// The store's time, and ours when it came.
    date: Option<(SystemTime, SystemTime)>,
    server: Option<String>,
    region: Option<String>,
}

/// Listens to an answer. Clones listen to the same.
#[derive(Clone, Debug, Default)]
struct Listener(Arc<Mutex<Headers>>);

impl Intercept for Listener {
    fn name(&self) -> &'static str {
        "seglift doctor"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        let text = |name| headers.get(name).map(str::to_owned);
        let date = headers.get("date").and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        let date =
            date.and_then(|date| SystemTime::try_from(date).ok()).map(|date| (date, SystemTime::now()));
        *self.0.lock() = Headers { date, server: text("server"), region: text("x-amz-bucket-region") };
        Ok(())
    }
}

impl Answer {
    /// Asks for `key`, which is not there.
    pub async fn ask(store: &S3Store, key: &Key) -> Answer {
        let (listener, exchange) = (Listener::default(), Exchange::new(false));
        let begun = Instant::now();
        let asked = async {
            let request = store.connection.client().await?.get_object();
            let request = request.bucket(&store.place.bucket).key(store.place.object_key(key));
            let request = request.customize().interceptor(exchange.clone()).interceptor(listener.clone());
            match store.answer(Action::Get, Some(key), &exchange, request.send()).await {
                Ok(_) => Err(errors::odd_answer(
                    Action::Get,
                    &store.at(Some(key)),
                    "is an object where none can be; is the endpoint that of an S3 service?",
                )),
                Err(error) => Err(error),
            }
        };
        let asked: Result<(), Error> = asked.await;
        let error = asked.err();
        let mut headers = listener.0.lock().clone();
        for told in [&mut headers.server, &mut headers.region].into_iter().flatten() {
            *told = store.connection.hidden().clear(told);
        }
        let hides = error.as_ref().is_some_and(|e| e.code() == Code::NotFoundOrDenied);
        let error = error.filter(|e| !matches!(e.code(), Code::NotFound | Code::NotFoundOrDenied));
        Answer { error, hides, headers, took: begun.elapsed() }
    }

    /// Which check the error belongs to.
    pub fn wrong(&self) -> Option<&'static str> {
        let error = self.error.as_ref()?;
        Some(match (error.service_code(), error.code()) {
            ("RequestTimeTooSkewed", _) => "clock",
            (_, Code::Unauthenticated | Code::PermissionDenied) => "credentials",
            (_, Code::InvalidConfig) => "bucket",
            _ => "endpoint",
        })
    }

    /// How the store answered, for the line about the endpoint.
    pub fn manner(&self) -> String {
        let server = self.headers.server.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
        format!("answers as S3 does{server} in {}", shown(self.took))
    }

    /// What the store calls itself.
    pub fn server(&self) -> &str {
        self.headers.server.as_deref().unwrap_or_default()
    }

    /// Who gave the credentials, and whether the store takes them.
    pub fn credentials(&self, provided: Option<&Provided>) -> Finding {
        const CHECK: &str = "credentials";
        let who = match provided {
            None => "none; requests go unsigned (s3.anonymous)".to_owned(),
            Some(provided) => format!("from {provided}"),
        };
        match (self.wrong(), &self.error) {
            // It says itself whose they are.
            (Some(CHECK), Some(error)) if provided.is_some() && error.code() == Code::Unauthenticated => {
                Finding::fail(CHECK, error)
            }
            (Some(CHECK), Some(error)) => Finding::fail(CHECK, &error.clone().context(who)),
            (Some("clock"), _) => Finding::skipped(
                CHECK,
                format!("{who}; whether the store takes them shows when the clock is right"),
            ),
            _ => Finding::ok(CHECK, format!("{who}; the store takes them")),
        }
    }

    /// How far our clock is from the store's.
    pub fn clock(&self) -> Finding {
        const CHECK: &str = "clock";
        const REMEDY: &str =
            "set this machine's clock and keep it (chrony, systemd-timesyncd): timedatectl status";
        if let (Some(CHECK), Some(error)) = (self.wrong(), &self.error) {
            return Finding::fail(CHECK, error).remedy(REMEDY);
        }
        let Some((store, ours)) = self.headers.date else {
            return Finding::skipped(CHECK, "not checked, because the answer has no date");
        };
        let (skew, way) = match ours.duration_since(store) {
            Ok(ahead) => (ahead, "ahead of"),
            Err(behind) => (behind.duration(), "behind"),
        };
        let by = humantime::format_duration(Duration::from_secs(skew.as_secs()));
        let detail = format!("this machine's clock is {by} {way} the store's");
        match skew {
            _ if skew >= REFUSED => {
                let what = format!("{detail}; from 15 minutes on S3 refuses every request");
                Finding::fail(CHECK, &Error::new(Code::Unauthenticated, what)).remedy(REMEDY)
            }
            _ if skew >= NOTABLE => Finding::warn(CHECK, detail, REMEDY),
            // A date has whole seconds, and an answer takes its time.
            _ if skew < Duration::from_secs(2) => Finding::ok(CHECK, "as the store's"),
            _ => Finding::ok(CHECK, detail),
        }
    }

    /// Whether the bucket can be used; `region` is the one that requests are signed for.
    pub fn bucket(&self, region: &str) -> Finding {
        const CHECK: &str = "bucket";
        if let (Some(CHECK), Some(error)) = (self.wrong(), &self.error) {
            return Finding::fail(CHECK, error);
        }
        let region = self.headers.region.as_deref().unwrap_or(region);
        let hides = if self.hides { "; it hides what is missing in it (no s3:ListBucket)" } else { "" };
        Finding::ok(CHECK, format!("there, in the region {region}{hides}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::doctor::State;

    fn answer(error: Option<Error>, skew: i64) -> Answer {
        let ours = SystemTime::now();
        let by = Duration::from_secs(skew.unsigned_abs());
        let store = if skew < 0 { ours + by } else { ours - by };
        let headers = Headers { date: Some((store, ours)), ..Headers::default() };
        Answer { error, hides: false, headers, took: Duration::ZERO }
    }

    #[test]
    fn a_refusal_is_blamed_on_what_must_be_changed() {
        for (code, service_code, check) in [
            (Code::Unauthenticated, "SignatureDoesNotMatch", "credentials"),
            (Code::Unauthenticated, "RequestTimeTooSkewed", "clock"),
            (Code::PermissionDenied, "AllAccessDisabled", "credentials"),
            (Code::InvalidConfig, "NoSuchBucket", "bucket"),
            (Code::InvalidConfig, "PermanentRedirect", "bucket"),
            (Code::Unavailable, "", "endpoint"),
            (Code::TimedOut, "", "endpoint"),
            (Code::Throttled, "SlowDown", "endpoint"),
        ] {
            let error = Error::new(code, "x").with_service(400, service_code, "", "");
            assert_eq!(answer(Some(error), 0).wrong(), Some(check), "{code} {service_code}");
        }
        assert_eq!(answer(None, 0).wrong(), None);
    }

    #[test]
    fn a_clock_is_red_where_s3_refuses_and_yellow_before() {
        for (skew, state) in [
            (0, State::Ok),
            (59, State::Ok),
            (-59, State::Ok),
            (60, State::Warn),
            (-899, State::Warn),
            (900, State::Fail),
            (-7200, State::Fail),
        ] {
            let finding = answer(None, skew).clock();
            assert_eq!(finding.state, state, "{skew}: {}", finding.detail);
        }
        assert!(answer(None, 7200).clock().detail.contains("2h ahead of"));
        assert!(answer(None, -7200).clock().detail.contains("2h behind"));
    }
}
