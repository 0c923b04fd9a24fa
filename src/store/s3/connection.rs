//! The SDK's client for one place.

use super::{
    http::HttpClients,
    options::{S3Options, Sse, Style},
    place::{self, Place},
};
use crate::error::Result;
use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The way to one place. Cheap to make: nothing on the network and no file before the first request.
#[derive(Debug)]
pub(super) struct Connection {
    options: S3Options,
    endpoint: String,
    amazon: bool,
    sse: Sse,
    http: Arc<HttpClients>,
    client: OnceCell<Client>,
}

impl Connection {
    pub fn new(place: &Place, options: &S3Options, http: Arc<HttpClients>) -> Result<Connection> {
        let mut options = options.clone();
        let query = place.query.clone();
        options.endpoint = query.endpoint.or(options.endpoint);
        options.region = query.region.unwrap_or(options.region);
        options.style = query.style.unwrap_or(options.style);
        let amazon = options.endpoint.as_deref().is_none_or(place::is_amazon);
        let endpoint = match &options.endpoint {
            None => format!("https://s3.{}.amazonaws.com", options.region),
            Some(url) if url.contains("://") => url.clone(),
            Some(host) => format!("https://{host}"),
        };
        let sse = match &options.sse {
            Sse::Auto if amazon => Sse::S3,
            Sse::Auto => Sse::Off,
            told => told.clone(),
        };
        Ok(Connection { options, endpoint, amazon, sse, http, client: OnceCell::new() })
    }

    pub async fn client(&self) -> Result<&Client> {
        self.client.get_or_try_init(|| async { Ok(self.build()) }).await
    }

    fn build(&self) -> Client {
        let options = &self.options;
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(options.region.clone()))
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(options.connect_timeout).build())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .force_path_style(match options.style {
                Style::Auto => !self.amazon,
                style => style == Style::Path,
            })
            .http_client(self.http.client());
        if options.endpoint.is_some() {
            config = config.endpoint_url(&self.endpoint);
        }
        if let Some((key, secret)) = &options.credentials.fixed {
            config =
                config.credentials_provider(Credentials::new(key, secret.reveal(), None, None, "settings"));
        }
        Client::from_conf(config.build())
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn is_amazon(&self) -> bool {
        self.amazon
    }

    pub fn sse(&self) -> &Sse {
        &self.sse
    }
}
