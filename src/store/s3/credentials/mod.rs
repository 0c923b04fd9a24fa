//! Credentials: who is asked for them, and what is said when there are none.
//!
//! Invariants: what was told explicitly is asked alone; else the order is that of AWS's own tools. An error names
//! who was asked, and what to do. No secret is in any message or `Debug`. [`keeper`] keeps and renews them.
//!
//! Trade-off: providers are made anew for each renewal: a rotated file is read again, at the price of a few requests
//! an hour.

mod keeper;
mod noted;

use keeper::{Held, Keeper};
use noted::Noted;

use super::options::{CredentialOptions, Role};
use crate::{
    config::Secret,
    engine::Engine,
    error::{Code, Error, Result},
};
use aws_config::{
    BehaviorVersion, ecs::EcsCredentialsProvider, environment::EnvironmentVariableCredentialsProvider, imds,
    imds::credentials::ImdsCredentialsProvider, profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig, sts::AssumeRoleProvider,
    web_identity_token::WebIdentityTokenCredentialsProvider,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_runtime::retries::classifiers::THROTTLING_ERRORS;
use aws_smithy_runtime_api::client::{http::SharedHttpClient, result::ConnectorError};
use aws_smithy_types::{error::ErrorMetadata, retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::region::Region;
use std::{
    error::Error as StdError,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// One provider gets so long. Requests to it are tried three times within.
const LONGEST_ANSWER: Duration = Duration::from_secs(20);
/// One request to the security token service gets so long.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(6);
/// The metadata service is on the machine itself: where it does not answer at once there is none.
const IMDS_ANSWER: Duration = Duration::from_secs(1);
/// More of a provider's message than that is rarely one.
const LONGEST_REASON: usize = 600;

/// Who gave the credentials in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provided {
    /// The provider, in words: `the environment (AWS_ACCESS_KEY_ID)`.
    pub provider: String,
    /// Until when they are valid, where it was told.
    pub expires: Option<SystemTime>,
}

impl fmt::Display for Provided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.provider)?;
        match self.expires {
            Some(end) if end <= SystemTime::now() => write!(f, ", which expired at {}", keeper::time(end)),
            Some(end) => write!(f, ", valid until {}", keeper::time(end)),
            None => Ok(()),
        }
    }
}

/// The credentials of one driver. Clones are the same.
#[derive(Clone)]
pub(super) struct CredentialSource(Arc<Source>);

struct Source {
    options: CredentialOptions,
    region: Region,
    http: Noted,
    engine: Option<Engine>,
    keeper: Keeper,
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSource").field("provided", &self.provided()).finish_non_exhaustive()
    }
}

impl CredentialSource {
    /// Asks nobody yet. `region` is where the security token service is asked.
    pub fn new(
        options: CredentialOptions,
        region: String,
        http: SharedHttpClient,
        engine: Option<Engine>,
    ) -> CredentialSource {
        let (region, keeper, http) = (Region::new(region), Keeper::default(), Noted::new(http));
        CredentialSource(Arc::new(Source { options, region, http, engine, keeper }))
    }

    /// Who gave the credentials in use; none before the first request.
    pub fn provided(&self) -> Option<Provided> {
        self.0.keeper.held().map(|held| Provided { expires: held.expires(), provider: held.provider })
    }

    /// The credentials in use, if anybody was asked yet.
    pub fn held(&self) -> Option<Credentials> {
        self.0.keeper.held().map(|held| held.credentials)
    }

    /// Asks anew before the next request: for when the store says that the credentials are no good any more.
    pub fn forget(&self) {
        self.0.keeper.forget();
    }

    /// Valid credentials: those in use, or new ones.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` names who was asked and what is missing, `UNAVAILABLE` who did not answer or is in trouble,
    /// `THROTTLED` who was asked too often, and `INVALID_CONFIG` what is wrong with a profile.
    pub async fn get(&self) -> Result<Credentials> {
        let source = &self.0;
        source.keeper.get(|| source.ask(), |old, problem| source.warn(old, problem)).await
    }
}

impl Source {
    fn warn(&self, old: &Held, problem: &str) {
        if let Some(engine) = &self.engine {
            let expires = old.expires().map(keeper::time).unwrap_or_default();
            let message = "credentials could not be renewed; those in use go on";
            let fields: [(&'static str, &dyn fmt::Display); 3] =
                [("provider", &old.provider), ("expires", &expires), ("problem", &problem)];
            engine.log().warn("s3", message, &fields);
        }
    }

    async fn ask(&self) -> Result<Held> {
        let (provider, credentials) = self.base().await?;
        let (provider, credentials) = match &self.options.role {
            None => (provider, credentials),
            Some(role) => {
                let assumed = self.assume(role, &provider, credentials).await?;
                (format!("the role {} (assumed with {provider})", role.arn), assumed)
            }
        };
        Ok(Held::new(credentials, provider))
    }

    /// The credentials before any role: the first provider's that has some.
    async fn base(&self) -> Result<(String, Credentials)> {
        if let Some((key, secret)) = &self.options.fixed {
            let token = self.options.session_token.as_ref().map(|token| token.reveal().to_owned());
            let credentials = Credentials::new(key.reveal(), secret.reveal(), token, None, "settings");
            return Ok(("the settings (s3.access.key)".into(), credentials));
        }
        let mut reasons = Vec::new();
        for (name, provider) in self.providers() {
            self.http.forget();
            let answer = tokio::time::timeout(LONGEST_ANSWER, provider.provide_credentials()).await;
            match answer.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(LONGEST_ANSWER))) {
                Ok(credentials) => return Ok((name, credentials)),
                Err(e @ CredentialsError::CredentialsNotLoaded(_)) if self.options.profile.is_none() => {
                    reasons.push(format!("{name}: {}", reason(&e)));
                }
                Err(e) => return Err(self.failure(&name, &e)),
            }
        }
        Err(Error::new(
            Code::Unauthenticated,
            format!(
                "no credentials were found; set s3.access.key and s3.secret.key, or AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, or a profile, or give this machine a role; for a public bucket set \
                 s3.anonymous=true. Asked were {}",
                reasons.join("; ")
            ),
        ))
    }

    /// Who is asked, in the order of the SDK.
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>
    fn providers(&self) -> Vec<(String, SharedCredentialsProvider)> {
        fn named(
            name: impl Into<String>,
            provider: impl ProvideCredentials + 'static,
        ) -> (String, SharedCredentialsProvider) {
            (name.into(), SharedCredentialsProvider::new(provider))
        }
        let config = self.provider_config();
        let profile = ProfileFileCredentialsProvider::builder().configure(&config);
        if let Some(name) = &self.options.profile {
            return vec![named(format!("the AWS profile {name}"), profile.profile_name(name).build())];
        }
        let environment = EnvironmentVariableCredentialsProvider::new();
        let mut all = vec![named("the environment (AWS_ACCESS_KEY_ID)", environment)];
        if self.options.pulsar_environment {
            all.push(named("the environment (ACCESS_KEY_ID)", PulsarEnvironment));
        }
        let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(&config).build();
        let container = EcsCredentialsProvider::builder().configure(&config).build();
        let client = imds::Client::builder()
            .configure(&config)
            .max_attempts(2)
            .connect_timeout(IMDS_ANSWER)
            .read_timeout(IMDS_ANSWER)
            .build();
        let instance = ImdsCredentialsProvider::builder().configure(&config).imds_client(client).build();
        all.push(named("the AWS profile", profile.build()));
        all.push(named("web identity (AWS_WEB_IDENTITY_TOKEN_FILE)", web_identity));
        all.push(named("the container (AWS_CONTAINER_CREDENTIALS_FULL_URI)", container));
        all.push(named("the instance metadata service", instance));
        all
    }

    fn provider_config(&self) -> ProviderConfig {
        ProviderConfig::without_region()
            .with_region(Some(self.region.clone()))
            .with_http_client(self.http.shared())
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_retry_config(RetryConfig::standard())
            .with_timeout_config(attempt_timeout())
    }

    async fn assume(&self, role: &Role, with: &str, base: Credentials) -> Result<Credentials> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(self.region.clone())
            .http_client(self.http.shared())
            .timeout_config(attempt_timeout())
            .credentials_provider(SharedCredentialsProvider::new(base.clone()));
        if let Some(profile) = &self.options.profile {
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        let mut builder =
            AssumeRoleProvider::builder(&role.arn).session_name(&role.session_name).configure(&config);
        if let Some(id) = &role.external_id {
            builder = builder.external_id(id);
        }
        let provider = builder.build_from_provider(base).await;
        self.http.forget();
        let answer = tokio::time::timeout(LONGEST_ANSWER, provider.provide_credentials()).await;
        let answer = answer.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(LONGEST_ANSWER)));
        answer.map_err(|e| {
            self.failure(&format!("the role {} (s3.role.arn, assumed with {with})", role.arn), &e)
        })
    }

    /// The error of a provider that has credentials, or should have, and could not hand them out.
    fn failure(&self, provider: &str, error: &CredentialsError) -> Error {
        // A file of certificates that cannot be used is an error of ours, which the SDK has wrapped.
        if let Some(ours) = chain(error).find_map(|error| error.downcast_ref::<Error>()) {
            return ours.clone().context(format_args!("{provider} gave no credentials"));
        }
        let (code, remedy) = match error {
            CredentialsError::InvalidConfiguration(_) | CredentialsError::CredentialsNotLoaded(_) => {
                (Code::InvalidConfig, "correct its settings, or name another source of credentials")
            }
            _ if is_silent(error) => {
                (Code::Unavailable, "it did not answer; try again, or check the network")
            }
            _ if self.http.is_throttled() || is_throttled(error) => {
                (Code::Throttled, "it asks for fewer requests; try again later")
            }
            _ if self.http.is_in_trouble() => (Code::Unavailable, "it is in trouble itself; try again later"),
            _ => {
                (Code::Unauthenticated, "check that it is allowed to, or name another source of credentials")
            }
        };
        Error::new(code, format!("{provider} gave no credentials: {}; {remedy}", reason(error)))
    }
}

impl ProvideCredentials for CredentialSource {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        // The SDK wraps it in errors of its own, and `errors` finds it again.
        future::ProvideCredentials::new(async { self.get().await.map_err(CredentialsError::provider_error) })
    }
}

/// Variables that Pulsar's driver `S3` reads.
#[derive(Debug)]
struct PulsarEnvironment;

impl ProvideCredentials for PulsarEnvironment {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.trim().is_empty());
        let pair = variable("ACCESS_KEY_ID").zip(variable("ACCESS_KEY_SECRET").map(Secret::new));
        future::ProvideCredentials::ready(match pair {
            Some((key, secret)) => {
                Ok(Credentials::new(key.trim(), secret.reveal().trim(), None, None, "Pulsar"))
            }
            None => Err(CredentialsError::not_loaded("environment variable not set")),
        })
    }
}

fn attempt_timeout() -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(LONGEST_ATTEMPT).build()
}

/// Whether the provider could not be reached or answered too late, which may pass.
fn is_silent(error: &CredentialsError) -> bool {
    matches!(error, CredentialsError::ProviderTimedOut(_))
        || chain(error).any(|e| {
            let connector = e.downcast_ref::<ConnectorError>();
            connector.is_some_and(|e| e.is_io() || e.is_timeout())
                || e.is::<aws_smithy_async::future::timeout::TimedOutError>()
        })
}

/// Whether the provider's service says so by a code, as the security token service does, with status 400.
fn is_throttled(error: &CredentialsError) -> bool {
    let code = |e: &(dyn StdError + 'static)| e.downcast_ref::<ErrorMetadata>()?.code().map(str::to_owned);
    chain(error).filter_map(code).any(|code| THROTTLING_ERRORS.contains(&code.as_str()))
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What the errors of a chain say, the outermost left out, which says only that there are none. Their `Debug` is
/// never shown: it holds whole answers.
fn reason(error: &CredentialsError) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in chain(error).map(ToString::to_string) {
        if !parts.iter().any(|earlier| earlier.contains(&part)) {
            parts.push(part);
        }
    }
    if parts.len() > 1 {
        parts.remove(0);
    }
    let text: String = parts.join(": ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{}…", text[..end].trim()),
        None => text.trim().to_owned(),
    }
}
