//! What the settings say about S3, in the terms of S3.
//!
//! Invariant: nothing here contradicts anything else: [`Config::settings`](crate::config::Config::settings) has
//! checked the settings against each other, and [`S3Options::merged`] what a URI says against them.

use super::{
    http::HttpClients,
    place::{self, Overrides},
};
use crate::{
    config::{S3Encryption, S3Settings, Secret, Settings, StoreDriver, parse_address},
    engine::Engine,
    error::{Code, Error, Result},
};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

pub use super::http::Proxy;
pub use crate::config::{S3Probe as Probe, S3Style as Style};

/// What encrypts objects at rest.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sse {
    /// The store's own keys for Amazon, nothing elsewhere.
    Auto,
    /// Nothing is asked for; the bucket's own rule applies.
    Off,
    /// The store's own keys.
    S3,
    /// A key of the key management service.
    Kms {
        /// The key's id, ARN or alias; none for the account's own.
        key_id: Option<String>,
        /// The encryption context, a JSON object of texts.
        context: Option<String>,
        /// Whether to use a bucket key; none leaves it to the bucket.
        bucket_key: Option<bool>,
    },
    /// A key that goes along with each request.
    Customer {
        /// 32 bytes in base64.
        key: Secret,
    },
}

/// Everything that the settings say about S3.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// URL of the service, or its host with or without a port; none for Amazon's.
    pub endpoint: Option<String>,
    /// Whether Amazon's own endpoint would be a mistake: Pulsar's driver `S3` names one always.
    pub endpoint_required: bool,
    /// The bucket's region.
    pub region: String,
    /// Whether somebody gave the region; else the AWS profile's counts before it.
    pub region_given: bool,
    /// Where the bucket stands in the address.
    pub style: Style,
    /// What encrypts objects at rest.
    pub sse: Sse,
    /// The storage class of new objects; none leaves it to the store.
    pub storage_class: Option<String>,
    /// Tags of new objects, name and value.
    pub tags: Vec<(String, String)>,
    /// Canned ACL of new objects.
    pub acl: Option<String>,
    /// PEM file of certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Through what requests go.
    pub proxy: Proxy,
    /// Longest time for a connection, its TLS handshake included.
    pub connect_timeout: Duration,
    /// Longest time in which no byte of a request or an answer moves.
    pub attempt_timeout: Duration,
    /// Whether payloads are signed with SHA-256.
    pub payload_signing: bool,
    /// Whether the store takes checksums as trailers.
    pub trailers: Probe,
    /// Whether the store honours `If-None-Match: *`.
    pub conditional_writes: Probe,
    /// Where credentials come from.
    pub credentials: CredentialOptions,
}

/// Where credentials come from. By default from the first of environment, AWS profile, web identity, container
/// and instance that has some.
#[derive(Clone, Debug, Default)]
pub struct CredentialOptions {
    /// Access key and secret; nothing else is asked then.
    pub fixed: Option<(Secret, Secret)>,
    /// The token that belongs to a temporary `fixed`.
    pub session_token: Option<Secret>,
    /// The AWS profile; nothing else is asked then.
    pub profile: Option<String>,
    /// A role to assume with what was found.
    pub role: Option<Role>,
    /// Whether requests go unsigned.
    pub anonymous: bool,
    /// Whether `ACCESS_KEY_ID` and `ACCESS_KEY_SECRET` in the environment count, where Pulsar's driver `S3` reads
    /// them.
    pub pulsar_environment: bool,
}

/// A role to assume.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What the session is called.
    pub session_name: String,
    /// The external id that its owner asks for.
    pub external_id: Option<String>,
}

impl Default for S3Options {
    /// The defaults of the settings.
    fn default() -> Self {
        S3Options {
            endpoint: None,
            endpoint_required: false,
            region: "us-east-1".into(),
            region_given: false,
            style: Style::Auto,
            sse: Sse::Auto,
            storage_class: None,
            tags: Vec::new(),
            acl: None,
            ca_file: None,
            proxy: Proxy::Environment,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(20),
            payload_signing: false,
            trailers: Probe::Auto,
            conditional_writes: Probe::Auto,
            credentials: CredentialOptions::default(),
        }
    }
}

impl S3Options {
    /// What `settings` say; `region_given` tells whether the region among them is more than the default.
    pub fn new(settings: &Settings, region_given: bool) -> S3Options {
        let s3 = &settings.s3;
        let pulsars = settings.store_driver == StoreDriver::S3;
        S3Options {
            endpoint: given(&s3.endpoint),
            endpoint_required: pulsars,
            region: s3.region.clone(),
            region_given,
            style: s3.style,
            sse: sse(s3),
            storage_class: given(&s3.storage_class),
            tags: s3.tags().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            acl: given(&s3.acl).filter(|acl| acl != "none"),
            ca_file: given(&s3.ca_file).map(PathBuf::from),
            proxy: Proxy::new(&s3.proxy, &s3.no_proxy),
            connect_timeout: s3.timeout_connect,
            attempt_timeout: s3.timeout_attempt,
            payload_signing: s3.payload_signing,
            trailers: s3.trailers,
            conditional_writes: s3.conditional_writes,
            credentials: credentials(s3, pulsars),
        }
    }

    /// The same with what a URI says, which wins. `INVALID_CONFIG` where an endpoint is still missing.
    pub fn merged(&self, uri: &Overrides) -> Result<S3Options> {
        let mut merged = self.clone();
        if let Some(told) = &uri.endpoint {
            let told = &parse_address(told).map_err(|problem| {
                Error::new(Code::InvalidArgument, format!("the endpoint of the s3: URI cannot be: {problem}"))
            })?;
            // A canonical URI names an endpoint without its scheme; where it is that of the settings, theirs holds.
            let same = |ours: &String| place::canonical_host(ours) == place::canonical_host(told);
            if told.contains("://") || !merged.endpoint.as_ref().is_some_and(same) {
                merged.endpoint = Some(told.clone());
            }
        }
        if let Some(region) = &uri.region {
            (merged.region, merged.region_given) = (region.clone(), true);
        }
        merged.style = uri.style.unwrap_or(merged.style);
        if merged.endpoint_required && merged.endpoint.is_none() {
            return Err(Error::new(
                Code::InvalidConfig,
                "store.driver=S3 is a store of one's own, and its address is missing: set s3.endpoint \
                 (managedLedgerOffloadServiceEndpoint), or store.driver=aws-s3 for Amazon's",
            ));
        }
        Ok(merged)
    }
}

/// What a store of S3 is opened with.
#[derive(Clone, Default)]
pub struct Env {
    /// The settings.
    pub options: S3Options,
    /// Connections that all stores of an engine share.
    pub http: Arc<HttpClients>,
    /// Whose log hears of credentials that could not be renewed.
    pub engine: Option<Engine>,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The URI of the store that the settings name, for a URI that names none (empty, `s3:`, `s3://`); none where
/// `uri` needs no completion. `INVALID_CONFIG` where the settings name no bucket, or another than `uri`.
pub fn complete_uri(uri: &str, settings: &Settings) -> Result<Option<String>> {
    let wanted = settings.store_driver.scheme() == Some("s3");
    let settings = &settings.s3;
    let rest = match uri.split_once(':') {
        None if uri.is_empty() && (wanted || !settings.bucket.is_empty()) => "",
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("s3") => rest,
        _ => return Ok(None),
    };
    let named = rest.strip_prefix("//").unwrap_or(rest);
    let named = named.split(['/', '?', '#']).next().unwrap_or_default();
    let bucket = settings.bucket.as_str();
    if !named.is_empty() {
        // A URI that holds credentials by mistake is refused where it is read, without being repeated.
        let odd = named.contains(|c: char| !c.is_ascii_alphanumeric() && !".-_".contains(c));
        return match bucket {
            "" => Ok(None),
            _ if named == bucket || odd => Ok(None),
            _ => Err(Error::new(
                Code::InvalidConfig,
                format!(
                    "the URI names the bucket {named} and the setting s3.bucket {bucket}; leave one of them out"
                ),
            )),
        };
    }
    if bucket.is_empty() {
        return Err(Error::new(
            Code::InvalidConfig,
            "no bucket is named; write it into the URI, s3://bucket/prefix, or set s3.bucket",
        ));
    }
    let query = rest.find('?').map_or("", |at| &rest[at..]);
    let mut uri = format!("s3://{bucket}");
    let prefix = settings.prefix.trim_matches('/');
    if !prefix.is_empty() {
        uri.push('/');
        place::encode_onto(&mut uri, prefix);
    }
    Ok(Some(uri + query))
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn sse(s3: &S3Settings) -> Sse {
    match s3.sse {
        S3Encryption::Auto => Sse::Auto,
        S3Encryption::Off => Sse::Off,
        S3Encryption::S3 => Sse::S3,
        S3Encryption::Kms => Sse::Kms {
            key_id: given(&s3.sse_kms_key),
            context: given(&s3.sse_kms_context),
            bucket_key: s3.sse_kms_bucket_key,
        },
        S3Encryption::Customer => Sse::Customer { key: s3.sse_customer_key.clone() },
    }
}

fn credentials(s3: &S3Settings, pulsars: bool) -> CredentialOptions {
    CredentialOptions {
        fixed: (!s3.access_key.is_empty()).then(|| (s3.access_key.clone(), s3.secret_key.clone())),
        session_token: Some(s3.session_token.clone()).filter(|token| !token.is_empty()),
        profile: given(&s3.profile),
        role: given(&s3.role_arn).map(|arn| Role {
            arn,
            session_name: s3.role_session_name.clone(),
            external_id: given(&s3.role_external_id),
        }),
        anonymous: s3.anonymous,
        pulsar_environment: pulsars,
    }
}
