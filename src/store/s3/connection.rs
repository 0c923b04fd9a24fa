//! The way to one place: the SDK's client and what it is made of.
//!
//! Invariant: making one touches neither network nor disk, so that a broker may open hundreds; the first request
//! reads certificates and asks for credentials, and what goes wrong there is an error with the name of the setting.

use super::{
    credentials::{CredentialSource, Provided},
    hidden::Hidden,
    http,
    options::{Env, S3Options, Sse, Style},
    place::{self, Place},
};
use crate::{
    engine::Engine,
    error::{Code, Error, Result},
};
use aws_config::{
    meta::region::ProvideRegion, profile::region::ProfileFileRegionProvider, provider_config::ProviderConfig,
};
use aws_sdk_s3::{
    Client,
    config::{
        AppName, BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, SharedCredentialsProvider, StalledStreamProtectionConfig,
        retry::RetryConfig, timeout::TimeoutConfig,
    },
};
use tokio::sync::OnceCell;

/// The way to one place.
#[derive(Debug)]
pub(super) struct Connection {
    options: S3Options,
    /// For messages and the store's name; the region in it may turn out to be the profile's.
    endpoint: String,
    amazon: bool,
    sse: Sse,
    http: http::Client,
    engine: Option<Engine>,
    open: OnceCell<Open>,
}

/// What the first request makes.
#[derive(Debug)]
struct Open {
    client: Client,
    credentials: Option<CredentialSource>,
    endpoint: String,
}

impl Connection {
    /// The way to `place` with the settings of `env`. Nothing on the network, and no file.
    ///
    /// # Errors
    /// `INVALID_CONFIG` where an endpoint is missing, is none or begins with the bucket, and for a malformed proxy.
    pub fn new(place: &Place, env: &Env) -> Result<Connection> {
        let options = env.options.merged(&place.query)?;
        let amazon = options.endpoint.as_deref().is_none_or(place::is_amazon);
        let endpoint = match &options.endpoint {
            None => amazons(&options.region),
            Some(told) => url(told),
        };
        let host = host(&endpoint);
        if host.strip_prefix(place.bucket.as_str()).is_some_and(|rest| rest.starts_with('.')) {
            let bucket = &place.bucket;
            return Err(Error::new(
                Code::InvalidConfig,
                format!(
                    "the endpoint {endpoint} begins with the bucket {bucket}; leave the bucket out of it, or set s3.style"
                ),
            ));
        }
        if endpoint.parse::<::http::Uri>().is_err() {
            return Err(Error::new(
                Code::InvalidConfig,
                format!(
                    "the endpoint {endpoint} is no URL such as https://minio.example:9000; correct s3.endpoint"
                ),
            ));
        }
        let sse = match &options.sse {
            Sse::Auto if amazon => Sse::S3,
            Sse::Auto => Sse::Off,
            told => told.clone(),
        };
        let http = env.http.client(options.ca_file.as_deref(), &options.proxy)?;
        let (engine, open) = (env.engine.clone(), OnceCell::new());
        Ok(Connection { options, endpoint, amazon, sse, http, engine, open })
    }

    /// The SDK's client. The first call reads the certificates and the AWS profile.
    ///
    /// # Errors
    /// `INVALID_CONFIG` for certificates that cannot be used.
    pub async fn client(&self) -> Result<&Client> {
        Ok(&self.open().await?.client)
    }

    /// The endpoint's URL, for messages: `https://s3.eu-central-1.amazonaws.com`, or what was set.
    pub fn endpoint(&self) -> &str {
        self.open.get().map_or(&self.endpoint, |open| &open.endpoint)
    }

    /// Whether it is Amazon's own.
    pub fn is_amazon(&self) -> bool {
        self.amazon
    }

    /// What encrypts objects; never `Auto`.
    pub fn sse(&self) -> &Sse {
        &self.sse
    }

    /// The settings, with what the URI says.
    pub fn options(&self) -> &S3Options {
        &self.options
    }

    /// Who gave the credentials in use, asking for them if nobody did before; none where requests go unsigned.
    ///
    /// # Errors
    /// As the first request: who was asked, and what to do.
    pub async fn provider(&self) -> Result<Option<Provided>> {
        let Some(credentials) = &self.open().await?.credentials else { return Ok(None) };
        credentials.get().await?;
        Ok(credentials.provided())
    }

    /// What must not be shown of what others say.
    pub fn hidden(&self) -> Hidden {
        let given = &self.options.credentials;
        let hidden = Hidden::default().and_encryption(&self.sse).and_proxy(&self.options.proxy);
        let hidden = given.fixed.iter().fold(hidden, |hidden, (key, _)| hidden.and(key.reveal()));
        let hidden = given.session_token.iter().fold(hidden, |hidden, token| hidden.and(token.reveal()));
        let held = self.open.get().and_then(|open| open.credentials.as_ref()?.held());
        match held {
            Some(held) => hidden.and(held.access_key_id()).and(held.session_token().unwrap_or_default()),
            None => hidden,
        }
    }

    /// The error of an answer, without what must not be shown. One about the credentials says who gave them and when they end. Where they have run
    /// out, new ones are asked for before the next request, which may then do what this one could not.
    pub fn heard(&self, error: Error) -> Error {
        let error = self.hidden().cleared(error);
        let ran_out =
            matches!(error.service_code(), "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired");
        let error = match self.provided() {
            // Of a wrong clock no credentials are to blame.
            Some(provided)
                if error.code() == Code::Unauthenticated
                    && error.service_code() != "RequestTimeTooSkewed" =>
            {
                error.context(format_args!("with the credentials of {provided}"))
            }
            _ => error,
        };
        if ran_out {
            self.forget_credentials();
            return error.with_retryable(true);
        }
        error
    }

    /// Who gave the credentials in use, if anybody was asked yet.
    fn provided(&self) -> Option<Provided> {
        self.open.get()?.credentials.as_ref()?.provided()
    }

    /// Asks for credentials anew before the next request: for an answer such as `ExpiredToken`.
    pub fn forget_credentials(&self) {
        if let Some(credentials) = self.open.get().and_then(|open| open.credentials.as_ref()) {
            credentials.forget();
        }
    }

    async fn open(&self) -> Result<&Open> {
        self.open.get_or_try_init(|| self.make()).await
    }

    async fn make(&self) -> Result<Open> {
        let options = &self.options;
        if self.endpoint.starts_with("https:") {
            self.http.prepare_tls().await?;
        }
        let region = self.region().await;
        let endpoint = match options.endpoint {
            None => amazons(&region),
            Some(_) => self.endpoint.clone(),
        };
        let credentials = (!options.credentials.anonymous).then(|| {
            let (http, engine) = (self.http.shared(), self.engine.clone());
            CredentialSource::new(options.credentials.clone(), region.clone(), http, engine)
        });
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .http_client(self.http.shared())
            .force_path_style(path_style(options.style, options.endpoint.as_deref()))
            // Retries and attempts' time-outs are ours: one table for all stores.
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(options.connect_timeout)
                    .disable_read_timeout()
                    .build(),
            )
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // Checksums are ours, too: a part's is known before the SDK could compute it.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // `CredentialSource` keeps and renews them.
            .identity_cache(IdentityCache::no_cache());
        config.set_app_name(AppName::new(concat!("seglift-", env!("CARGO_PKG_VERSION"))).ok());
        if options.endpoint.is_some() {
            config = config.endpoint_url(&self.endpoint);
        }
        config = match &credentials {
            Some(source) => config.credentials_provider(SharedCredentialsProvider::new(source.clone())),
            None => config.allow_no_auth(),
        };
        Ok(Open { client: Client::from_conf(config.build()), credentials, endpoint })
    }

    /// What was given, else the AWS profile's, else the default. The instance is never asked: it may take seconds
    /// to say that there is none.
    async fn region(&self) -> String {
        let options = &self.options;
        if options.region_given {
            return options.region.clone();
        }
        let config = ProviderConfig::without_region().with_http_client(self.http.shared());
        let mut profile = ProfileFileRegionProvider::builder().configure(&config);
        if let Some(name) = &options.credentials.profile {
            profile = profile.profile_name(name);
        }
        let found = profile.build().region().await;
        found.map_or_else(|| options.region.clone(), |region| region.to_string())
    }
}

/// <https://docs.aws.amazon.com/general/latest/gr/s3.html>
fn amazons(region: &str) -> String {
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://s3.{region}.amazonaws.com{china}")
}

/// An endpoint as a URL: one without a scheme is https, or http where it is this machine.
fn url(told: &str) -> String {
    if told.contains("://") {
        return told.trim_end_matches('/').to_owned();
    }
    let scheme = if ["localhost", "127.0.0.1", "[::1]"].contains(&host(told)) { "http" } else { "https" };
    format!("{scheme}://{}", told.trim_end_matches('/'))
}

/// The host of a URL, without its port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

/// Whether the bucket stands behind the host. Amazon, Alibaba and Tencent want it in front; everyone else takes
/// both, and behind the host needs no wildcard in DNS and certificate.
/// <https://www.alibabacloud.com/help/en/oss/developer-reference/compatibility-with-amazon-s3>
fn path_style(style: Style, endpoint: Option<&str>) -> bool {
    match style {
        Style::Path => true,
        Style::Virtual => false,
        Style::Auto => endpoint.is_some_and(|endpoint| {
            let host = host(endpoint).to_ascii_lowercase();
            !place::is_amazon(endpoint)
                && ![".aliyuncs.com", ".myqcloud.com"].iter().any(|end| host.ends_with(end))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(uri: &str, options: S3Options) -> Result<Connection> {
        let place = Place::parse(uri.strip_prefix("s3:").unwrap()).unwrap();
        Connection::new(&place, &Env { options, ..Env::default() })
    }

    fn at(endpoint: &str) -> S3Options {
        S3Options { endpoint: Some(endpoint.into()), ..S3Options::default() }
    }

    #[test]
    fn the_endpoint_is_amazons_of_the_region_unless_one_is_set() {
        let endpoint = |uri, options| connection(uri, options).unwrap().endpoint().to_owned();
        let default = S3Options::default;
        assert_eq!(endpoint("s3://logs", default()), "https://s3.us-east-1.amazonaws.com");
        assert_eq!(endpoint("s3://logs?region=eu-west-1", default()), "https://s3.eu-west-1.amazonaws.com");
        assert_eq!(
            endpoint("s3://logs?region=cn-north-1", default()),
            "https://s3.cn-north-1.amazonaws.com.cn"
        );
        assert_eq!(endpoint("s3://logs", at("http://minio:9000/")), "http://minio:9000");
        assert_eq!(endpoint("s3://logs", at("minio:9000")), "https://minio:9000");
        for (host, url) in [("127.0.0.1:9000", "http://127.0.0.1:9000"), ("[::1]:9", "http://[::1]:9")] {
            assert_eq!(endpoint("s3://logs", at(host)), url);
        }
        assert_eq!(endpoint("s3://logs?endpoint=http://other:1", at("http://minio:9000")), "http://other:1");
    }

    #[test]
    fn a_canonical_uri_keeps_the_scheme_that_the_settings_have_for_its_endpoint() {
        let made = connection("s3://logs?endpoint=minio:9000", at("http://minio:9000")).unwrap();
        assert_eq!(made.endpoint(), "http://minio:9000");
        let other = connection("s3://logs?endpoint=minio:9001", at("http://minio:9000")).unwrap();
        assert_eq!(other.endpoint(), "https://minio:9001");
    }

    #[test]
    fn an_endpoint_with_the_bucket_in_it_is_refused() {
        let error = connection("s3://logs", at("https://logs.nyc3.example.com")).unwrap_err();
        assert_eq!(error.code(), Code::InvalidConfig);
        assert!(error.message().contains("leave the bucket out"), "{error}");
        assert!(connection("s3://logs", at("https://logserver.example.com")).is_ok());
    }

    #[test]
    fn pulsars_driver_s3_wants_an_endpoint_and_the_error_names_the_key() {
        let required = || S3Options { endpoint_required: true, ..S3Options::default() };
        let error = connection("s3://logs", required()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidConfig);
        assert!(
            error.message().contains("s3.endpoint") && error.message().contains("ServiceEndpoint"),
            "{error}"
        );
        assert!(connection("s3://logs?endpoint=http://minio:9000", required()).is_ok());
    }

    #[test]
    fn the_bucket_stands_in_front_for_those_who_want_it_and_behind_for_the_rest() {
        for (endpoint, path) in [
            (None, false),
            (Some("https://s3.eu-west-1.amazonaws.com"), false),
            (Some("https://s3.oss-cn-hangzhou.aliyuncs.com"), false),
            (Some("https://cos.ap-guangzhou.myqcloud.com"), false),
            (Some("http://127.0.0.1:9000"), true),
            (Some("localhost"), true),
            (Some("https://s3.eu-central-003.backblazeb2.com"), true),
            (Some("https://account.r2.cloudflarestorage.com"), true),
        ] {
            assert_eq!(path_style(Style::Auto, endpoint), path, "{endpoint:?}");
            assert!(path_style(Style::Path, endpoint) && !path_style(Style::Virtual, endpoint));
        }
    }

    #[test]
    fn encryption_with_the_stores_keys_is_on_for_amazon_and_off_elsewhere_unless_told() {
        let sse = |options| connection("s3://logs", options).unwrap().sse().clone();
        assert_eq!(sse(S3Options::default()), Sse::S3);
        assert_eq!(sse(at("https://s3.eu-west-1.amazonaws.com")), Sse::S3);
        assert_eq!(sse(at("http://minio:9000")), Sse::Off);
        assert_eq!(sse(S3Options { sse: Sse::Off, ..S3Options::default() }), Sse::Off);
        assert_eq!(sse(S3Options { sse: Sse::S3, ..at("http://minio:9000") }), Sse::S3);
    }
}
