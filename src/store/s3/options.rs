//! What the settings say about S3.

use crate::config::Secret;
use std::{path::PathBuf, time::Duration};

/// How the bucket stands in the address of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// What suits the endpoint.
    #[default]
    Auto,
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`.
    Virtual,
}

/// What encrypts objects at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sse {
    /// S3's own keys at Amazon's, nothing elsewhere.
    #[default]
    Auto,
    /// Nothing is asked for.
    Off,
    /// S3's own keys.
    S3,
    /// A key of the key management service.
    Kms {
        /// The key's id; none for the account's default key.
        key_id: Option<String>,
        /// The encryption context, a JSON object.
        context: Option<String>,
        /// Whether to use a bucket key.
        bucket_key: Option<bool>,
    },
    /// A key of 32 bytes that goes along with each request, in base64.
    Customer {
        /// The key.
        key: Secret,
    },
}

/// Whether a store can do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// Found out by asking.
    #[default]
    Auto,
    /// It can.
    On,
    /// It cannot.
    Off,
}

/// Everything that the settings say about S3.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// URL of the service; none for Amazon's.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: String,
    /// How the bucket stands in the address.
    pub style: Style,
    /// What encrypts objects at rest.
    pub sse: Sse,
    /// The storage class; none for the bucket's own.
    pub storage_class: Option<String>,
    /// Tags of new objects.
    pub tags: Vec<(String, String)>,
    /// Canned ACL of new objects.
    pub acl: Option<String>,
    /// PEM file of trusted certificates.
    pub ca_file: Option<PathBuf>,
    /// URL of a proxy.
    pub proxy: Option<String>,
    /// Longest time for a connection.
    pub connect_timeout: Duration,
    /// Longest time in which no byte of a request or an answer moves.
    pub attempt_timeout: Duration,
    /// Requests at a time.
    pub concurrency: usize,
    /// Whether payloads are signed.
    pub payload_signing: bool,
    /// Whether the store takes checksums as trailers.
    pub trailers: Probe,
    /// Whether the store honours `If-None-Match: *`.
    pub conditional_writes: Probe,
    /// Access key and secret.
    pub credentials: CredentialOptions,
}

/// Where credentials come from.
#[derive(Clone, Debug, Default)]
pub struct CredentialOptions {
    /// Access key and secret.
    pub fixed: Option<(String, Secret)>,
}

impl Default for S3Options {
    fn default() -> Self {
        S3Options {
            endpoint: None,
            region: "us-east-1".into(),
            style: Style::Auto,
            sse: Sse::Auto,
            storage_class: None,
            tags: Vec::new(),
            acl: None,
            ca_file: None,
            proxy: None,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(20),
            concurrency: 64,
            payload_signing: false,
            trailers: Probe::Auto,
            conditional_writes: Probe::Auto,
            credentials: CredentialOptions::default(),
        }
    }
}

/// What a store of S3 is opened with.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// The settings.
    pub options: S3Options,
    /// Connections that all stores of an engine share.
    pub http: std::sync::Arc<super::http::HttpClients>,
}
