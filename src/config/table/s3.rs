//! The settings of the store `s3://`.

use super::{Alias, Preset};
use crate::config::{
    choice::{S3Encryption, S3Probe, S3Style},
    secret::Secret,
    value::Kind,
};
use std::time::Duration;

/// Longest name of a role, a profile, a key of the key management service; Amazon's longest is a key's ARN
/// of 2,048 characters.
const LONGEST_NAME: usize = 2048;

/// The canned ACLs of <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html>.
const ACLS: &[&str] = &[
    "none",
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
];

super::properties! {
    /// The settings of the store `s3://`. An empty text or list and an empty secret mean that nothing was given.
    S3Settings and {}

    /// The bucket, where the store's URI is empty or `s3:`; where it names one, it must be this one.
    bucket: String {
        key: "s3.bucket",
        kind: Kind::Text { min: 0, max: 255 },
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [Alias::of("managedLedgerOffloadBucket"), Alias::of("s3ManagedLedgerOffloadBucket")],
    }
    /// What all keys begin with, without slashes at its ends, where the store's URI is empty or `s3:`.
    prefix: String {
        key: "s3.prefix",
        kind: Kind::Text { min: 0, max: 512 },
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// URL of a service other than Amazon's, `https://minio.example:9000`. Without a scheme it is https, and
    /// http for localhost and 127.0.0.1.
    endpoint: String {
        key: "s3.endpoint",
        kind: Kind::Address,
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [
            Alias::of("managedLedgerOffloadServiceEndpoint"),
            Alias::of("s3ManagedLedgerOffloadServiceEndpoint"),
        ],
        variables: [Alias::of("AWS_ENDPOINT_URL_S3"), Alias::of("AWS_ENDPOINT_URL")],
    }
    /// The bucket's region. If nobody gives one, the AWS profile's counts before the default.
    region: String {
        key: "s3.region",
        kind: Kind::Text { min: 1, max: 64 },
        preset: Preset::Fixed("us-east-1"),
        scope: Driver,
        since: "0.1.0",
        aliases: [
            Alias::of("managedLedgerOffloadRegion").empty("us-east-1"),
            Alias::of("s3ManagedLedgerOffloadRegion").empty("us-east-1"),
        ],
        variables: [Alias::of("AWS_REGION"), Alias::of("AWS_DEFAULT_REGION")],
    }
    /// Where the bucket stands in a request's address: `path` behind the host, `virtual` in front of it.
    /// `auto` is virtual for Amazon, Alibaba and Tencent, which want it, and path for all others, which
    /// need no wildcard name and certificate for it.
    style: S3Style {
        key: "s3.style",
        kind: Kind::Choice(S3Style::WORDS),
        preset: Preset::Fixed("auto"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// What encrypts objects at rest: `s3` the store's own keys, `kms` a key of the key management service,
    /// `customer` the key in `s3.sse.customer.key`, `off` leaves it to the bucket. `auto` is `s3` for
    /// Amazon and `off` elsewhere.
    sse: S3Encryption {
        key: "s3.sse",
        kind: Kind::Choice(S3Encryption::WORDS),
        preset: Preset::Fixed("auto"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
        variables: [Alias::of("AWS_S3_ENCRYPTION").words(&[
            ("0", "off"), ("false", "off"), ("1", "s3"), ("true", "s3"), ("AES256", "s3"), ("aws:kms", "kms"),
        ])],
    }
    /// The key's id, ARN or alias for `s3.sse=kms`; empty takes the account's own.
    sse_kms_key: String {
        key: "s3.sse.kms.key",
        kind: Kind::Text { min: 0, max: LONGEST_NAME },
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// The encryption context for `s3.sse=kms`: a JSON object of texts.
    sse_kms_context: String {
        key: "s3.sse.kms.context",
        kind: Kind::Text { min: 0, max: 8192 },
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Whether `s3.sse=kms` uses a bucket key, which costs fewer calls of the key management service;
    /// `auto` leaves it to the bucket.
    sse_kms_bucket_key: Option<bool> {
        key: "s3.sse.kms.bucket.key",
        kind: Kind::Choice(&["auto", "true", "false"]),
        preset: Preset::Fixed("auto"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// The key for `s3.sse=customer`: 32 bytes in base64. Without it the objects cannot be read any more.
    sse_customer_key: Secret {
        key: "s3.sse.customer.key",
        kind: Kind::Secret,
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// The storage class of new objects, such as `STANDARD_IA`; empty leaves it to the store.
    storage_class: String {
        key: "s3.storage.class",
        kind: Kind::Text { min: 0, max: 64 },
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Tags of new objects, `name=value;name=value`, at most 10.
    tags: Vec<String> {
        key: "s3.tags",
        kind: Kind::List,
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// The canned ACL of new objects; `none` sends none.
    acl: String {
        key: "s3.acl",
        kind: Kind::Choice(ACLS),
        preset: Preset::Fixed("none"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// A PEM file of certificates to trust beside the system's, for stores with a certificate of their own.
    ca_file: String {
        key: "s3.ca.file",
        kind: Kind::Text { min: 0, max: 4096 },
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
        variables: [Alias::of("AWS_CA_BUNDLE")],
    }
    /// URL of the proxy for all requests, `http://user:password@proxy.example:3128`. Empty goes by
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`; `none` takes none.
    proxy: Secret {
        key: "s3.proxy",
        kind: Kind::Secret,
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Hosts, domains and networks that `s3.proxy` is not for: `localhost,.internal,10.0.0.0/8`.
    no_proxy: String {
        key: "s3.no.proxy",
        kind: Kind::Text { min: 0, max: 4096 },
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Longest time for a connection, its TLS handshake included. The default leaves room for two lost
    /// packets, which are sent again after 1 s and 3 s.
    timeout_connect: Duration {
        key: "s3.timeout.connect",
        kind: Kind::Duration { min: Duration::from_millis(10), max: Duration::from_secs(600) },
        preset: Preset::Fixed("5s"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// An attempt in which no byte moves for so long ends, and may be made again.
    timeout_attempt: Duration {
        key: "s3.timeout.attempt",
        kind: Kind::Duration { min: Duration::from_millis(10), max: Duration::from_secs(3600) },
        preset: Preset::Fixed("20s"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Whether payloads are signed with SHA-256: for stores that insist. It costs more processor time than all
    /// the rest of an upload; a CRC32C guards payloads without it.
    payload_signing: bool {
        key: "s3.payload.signing",
        kind: Kind::Bool,
        preset: Preset::Fixed("false"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Whether the store takes checksums behind the payload; `auto` finds out with the first upload.
    trailers: S3Probe {
        key: "s3.trailers",
        kind: Kind::Choice(S3Probe::WORDS),
        preset: Preset::Fixed("auto"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Whether the store honours `If-None-Match`, so that no object is ever replaced; `auto` finds out with
    /// the first upload.
    conditional_writes: S3Probe {
        key: "s3.conditional.writes",
        kind: Kind::Choice(S3Probe::WORDS),
        preset: Preset::Fixed("auto"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }

    /// The access key's id. Without it credentials come from the environment, the AWS profile, web identity,
    /// the container or the instance.
    access_key: Secret {
        key: "s3.access.key",
        kind: Kind::Secret,
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [Alias::of("s3ManagedLedgerOffloadCredentialId"), Alias::of("AWS_ACCESS_KEY_ID")],
    }
    /// The secret that belongs to `s3.access.key`.
    secret_key: Secret {
        key: "s3.secret.key",
        kind: Kind::Secret,
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [Alias::of("s3ManagedLedgerOffloadCredentialSecret"), Alias::of("AWS_SECRET_ACCESS_KEY")],
    }
    /// The token that belongs to a temporary `s3.access.key`.
    session_token: Secret {
        key: "s3.session.token",
        kind: Kind::Secret,
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [Alias::of("AWS_SESSION_TOKEN")],
    }
    /// The profile in `~/.aws/config` and `~/.aws/credentials` that gives credentials and region, and no
    /// other source does.
    profile: String {
        key: "s3.profile",
        kind: Kind::Text { min: 0, max: LONGEST_NAME },
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [Alias::of("AWS_PROFILE")],
    }
    /// The ARN of a role to assume with the credentials found.
    role_arn: String {
        key: "s3.role.arn",
        kind: Kind::Text { min: 0, max: LONGEST_NAME },
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [Alias::of("managedLedgerOffloadRole"), Alias::of("s3ManagedLedgerOffloadRole")],
    }
    /// What the session of `s3.role.arn` is called in the account's log.
    role_session_name: String {
        key: "s3.role.session.name",
        // https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
        kind: Kind::Text { min: 2, max: 64 },
        preset: Preset::Fixed("seglift"),
        scope: Driver,
        since: "0.1.0",
        aliases: [
            Alias::of("managedLedgerOffloadRoleSessionName").empty("seglift"),
            Alias::of("s3ManagedLedgerOffloadRoleSessionName").empty("seglift"),
        ],
    }
    /// The external id that the owner of `s3.role.arn` asks for.
    role_external_id: String {
        key: "s3.role.external.id",
        kind: Kind::Text { min: 0, max: 1224 },
        preset: Preset::Fixed(""),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
    /// Whether requests go unsigned, for public buckets. No credentials are looked for then.
    anonymous: bool {
        key: "s3.anonymous",
        kind: Kind::Bool,
        preset: Preset::Fixed("false"),
        scope: Driver,
        since: "0.1.0",
        aliases: [],
    }
}
