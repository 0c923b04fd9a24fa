//! What an object carries beside its bytes: metadata, encryption, storage class, tags, ACL.
//!
//! Invariant: encryption that was asked for is looked for in the answer ([`Attributes::check_echo`]), because
//! look-alikes take its headers and ignore them. What cannot be shown to be encrypted is an error.
//!
//! Metadata names have hyphens where ours have underscores, since proxies drop headers with underscores. Values
//! are printable ASCII; of all other bytes of the UTF-8 text, and of `%` and space, the object carries `%` and
//! two hexadecimal digits, so that no proxy and no signature sees anything that it could change.

use super::options::{S3Options, Sse};
use crate::{
    config::Secret,
    error::{Code, Error, Result},
    store::UploadInfo,
};
use aws_sdk_s3::{
    operation::{
        complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder,
        create_multipart_upload::builders::CreateMultipartUploadFluentBuilder,
        get_object::builders::GetObjectFluentBuilder,
        head_object::{HeadObjectOutput, builders::HeadObjectFluentBuilder},
        list_parts::builders::ListPartsFluentBuilder,
        put_object::builders::PutObjectFluentBuilder,
        upload_part::builders::UploadPartFluentBuilder,
    },
    types::{ObjectCannedAcl, ServerSideEncryption, StorageClass},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use md5::{Digest, Md5};
use std::{collections::HashMap, fmt::Write};

/// Begin of the names of our metadata: `x-amz-meta-seglift-owner` and so on.
const NAMESPACE: &str = "seglift-";

/// What all objects of a store carry.
#[derive(Debug)]
pub(super) struct Attributes {
    encryption: Encryption,
    storage_class: Option<StorageClass>,
    acl: Option<ObjectCannedAcl>,
    tagging: Option<String>,
}

#[derive(Debug)]
enum Encryption {
    Off,
    S3,
    Kms { key_id: Option<String>, context: Option<String>, bucket_key: Option<bool> },
    Customer(CustomerKey),
}

/// A key of the host's own, which the store gets with each request and forgets (SSE-C).
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html>
#[derive(Clone, Debug)]
pub(super) struct CustomerKey {
    key: Secret,
    md5: String,
}

impl CustomerKey {
    /// The only algorithm that there is.
    pub const ALGORITHM: &str = "AES256";

    /// The key that `sse` names, if it names one. `INVALID_CONFIG` unless it is base64 of 32 bytes.
    pub fn of(sse: &Sse) -> Result<Option<CustomerKey>> {
        let Sse::Customer { key } = sse else { return Ok(None) };
        let raw = BASE64_STANDARD.decode(key.reveal()).ok().filter(|raw| raw.len() == 32);
        let raw = raw.ok_or_else(|| {
            Error::new(
                Code::InvalidConfig,
                "s3.sse.customer.key is not base64 of 32 bytes; make one with: openssl rand -base64 32",
            )
        })?;
        Ok(Some(CustomerKey { key: key.clone(), md5: BASE64_STANDARD.encode(Md5::digest(raw)) }))
    }

    /// The key in base64, for the request. Never for a message.
    pub fn reveal(&self) -> &str {
        self.key.reveal()
    }

    /// Base64 of the key's MD5, by which the store checks that the key arrived whole.
    pub fn md5(&self) -> &str {
        &self.md5
    }
}

/// What an answer says about encryption.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Echo<'a> {
    /// `x-amz-server-side-encryption`.
    pub algorithm: Option<&'a ServerSideEncryption>,
    /// `x-amz-server-side-encryption-aws-kms-key-id`.
    pub kms_key: Option<&'a str>,
    /// `x-amz-server-side-encryption-customer-key-MD5`.
    pub customer_md5: Option<&'a str>,
}

/// The encryption that an answer echoes; the outputs share the fields, not a type.
macro_rules! echo {
    ($output:expr) => {
        $crate::store::s3::attributes::Echo {
            algorithm: $output.server_side_encryption(),
            kms_key: $output.ssekms_key_id(),
            customer_md5: $output.sse_customer_key_md5(),
        }
    };
}
pub(super) use echo;

/// The fields that requests share, which have no type in common either.
macro_rules! customer_key {
    ($request:expr, $encryption:expr) => {
        match $encryption {
            Encryption::Customer(customer) => $request
                .sse_customer_algorithm(CustomerKey::ALGORITHM)
                .sse_customer_key(customer.reveal())
                .sse_customer_key_md5(customer.md5()),
            _ => $request,
        }
    };
}
macro_rules! creation {
    ($request:expr, $attributes:expr, $info:expr) => {{
        let request = $request
            .set_metadata(Some(metadata($info)))
            .set_storage_class($attributes.storage_class.clone())
            .set_acl($attributes.acl.clone())
            .set_tagging($attributes.tagging.clone());
        let request = customer_key!(request, &$attributes.encryption);
        match &$attributes.encryption {
            Encryption::Off | Encryption::Customer(_) => request,
            Encryption::S3 => request.server_side_encryption(ServerSideEncryption::Aes256),
            Encryption::Kms { key_id, context, bucket_key } => request
                .server_side_encryption(ServerSideEncryption::AwsKms)
                .set_ssekms_key_id(key_id.clone())
                .set_ssekms_encryption_context(context.clone())
                .set_bucket_key_enabled(*bucket_key),
        }
    }};
}

impl Attributes {
    /// What `options` say, with `sse` as it was resolved for the endpoint. `INVALID_CONFIG` where the customer's
    /// key is none.
    pub fn new(options: &S3Options, sse: &Sse) -> Result<Attributes> {
        let encryption = match sse {
            Sse::Auto | Sse::Off => Encryption::Off,
            Sse::S3 => Encryption::S3,
            Sse::Kms { key_id, context, bucket_key } => Encryption::Kms {
                key_id: key_id.clone(),
                // The header is base64 of the JSON object.
                context: context.as_ref().map(|json| BASE64_STANDARD.encode(json)),
                bucket_key: *bucket_key,
            },
            Sse::Customer { .. } => match CustomerKey::of(sse)? {
                Some(key) => Encryption::Customer(key),
                None => Encryption::Off,
            },
        };
        let tags: Vec<_> = options.tags.iter().map(|(k, v)| format!("{}={}", query(k), query(v))).collect();
        Ok(Attributes {
            encryption,
            storage_class: options.storage_class.as_deref().map(StorageClass::from),
            acl: options.acl.as_deref().map(ObjectCannedAcl::from),
            tagging: (!tags.is_empty()).then(|| tags.join("&")),
        })
    }

    /// On a PutObject.
    pub fn on_put(&self, request: PutObjectFluentBuilder, info: &UploadInfo) -> PutObjectFluentBuilder {
        creation!(request, self, info)
    }

    /// On a CreateMultipartUpload.
    pub fn on_begin(
        &self,
        request: CreateMultipartUploadFluentBuilder,
        info: &UploadInfo,
    ) -> CreateMultipartUploadFluentBuilder {
        creation!(request, self, info)
    }

    /// On a GetObject: the store knows all but the customer's key.
    pub fn on_get(&self, request: GetObjectFluentBuilder) -> GetObjectFluentBuilder {
        customer_key!(request, &self.encryption)
    }

    /// On a HeadObject, likewise.
    pub fn on_head(&self, request: HeadObjectFluentBuilder) -> HeadObjectFluentBuilder {
        customer_key!(request, &self.encryption)
    }

    /// On an UploadPart: the store knows all but the customer's key.
    pub fn on_part(&self, request: UploadPartFluentBuilder) -> UploadPartFluentBuilder {
        customer_key!(request, &self.encryption)
    }

    /// On a ListParts: the key again, where parts have checksums.
    pub fn on_parts(&self, request: ListPartsFluentBuilder) -> ListPartsFluentBuilder {
        customer_key!(request, &self.encryption)
    }

    /// On a CompleteMultipartUpload: the key again, where parts have checksums.
    pub fn on_commit(
        &self,
        request: CompleteMultipartUploadFluentBuilder,
    ) -> CompleteMultipartUploadFluentBuilder {
        customer_key!(request, &self.encryption)
    }

    /// A number for all that an upload gets when it is begun and can never change: its CRC-64/NVME. Of a customer's key
    /// it covers the MD5 that each request shows anyhow.
    pub fn terms(&self) -> u64 {
        let encryption = match &self.encryption {
            Encryption::Off => "off".to_owned(),
            Encryption::S3 => "s3".to_owned(),
            Encryption::Kms { key_id, context, bucket_key } => {
                format!("kms {key_id:?} {context:?} {bucket_key:?}")
            }
            Encryption::Customer(key) => format!("customer {}", key.md5()),
        };
        let Attributes { storage_class, acl, tagging, .. } = self;
        let all = format!("{encryption} {storage_class:?} {acl:?} {tagging:?}");
        crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, all.as_bytes())
    }

    /// Whether encryption is asked for at all, so that answers must show it.
    pub fn encrypts(&self) -> bool {
        !matches!(self.encryption, Encryption::Off)
    }

    /// `INVALID_CONFIG` unless the answer shows the encryption that was asked for. An alias of a KMS key cannot be
    /// compared with the ARN that comes back, so then the algorithm suffices.
    pub fn check_echo(&self, echo: Echo<'_>) -> Result<()> {
        let kms = |echo: Echo<'_>| {
            matches!(echo.algorithm, Some(ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse))
        };
        let (shown, setting) = match &self.encryption {
            Encryption::Off => return Ok(()),
            // A bucket may insist on more than was asked for.
            Encryption::S3 => {
                (echo.algorithm == Some(&ServerSideEncryption::Aes256) || kms(echo), "s3.sse=s3")
            }
            Encryption::Kms { key_id, .. } => {
                let key = key_id.as_deref().is_none_or(|asked| same_key(asked, echo.kms_key));
                (kms(echo) && key, "s3.sse=kms")
            }
            Encryption::Customer(key) => (echo.customer_md5 == Some(key.md5()), "s3.sse=customer"),
        };
        if shown {
            return Ok(());
        }
        Err(Error::new(
            Code::InvalidConfig,
            format!(
                "{setting} asks for encryption and the store's answer does not show it, so nothing is stored \
                 there; take a store that encrypts, or say s3.sse=off"
            ),
        ))
    }
}

/// Whether the key that an answer names (an ARN, mostly) can be the one that was asked for.
fn same_key(asked: &str, shown: Option<&str>) -> bool {
    let Some(shown) = shown else { return true };
    let id = |key: &str| key.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
    asked.contains("alias/") || id(asked) == id(shown)
}

/// `seglift-owner`, `seglift-uuid` and what the writer adds, as a store can keep it.
fn metadata(info: &UploadInfo) -> HashMap<String, String> {
    let own = [("owner", &info.owner), ("uuid", &info.uuid)];
    let user = info.user.iter().map(|(name, value)| (*name, value));
    own.into_iter()
        .chain(user)
        .map(|(name, value)| (format!("{NAMESPACE}{}", name.replace('_', "-")), header(value)))
        .collect()
}

/// Whether an object is the upload with this UUID, by the metadata that it got when it was made.
pub(super) fn carries(head: &HeadObjectOutput, uuid: &str) -> bool {
    let name = format!("{NAMESPACE}uuid");
    head.metadata().and_then(|metadata| metadata.get(&name)).is_some_and(|shown| *shown == header(uuid))
}

fn header(text: &str) -> String {
    percent(text, |byte| byte.is_ascii_graphic() && byte != b'%')
}

/// As in a URL's query.
fn query(text: &str) -> String {
    percent(text, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn percent(text: &str, keep: impl Fn(u8) -> bool) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if keep(byte) {
            out.push(byte as char);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(sse: Sse) -> Attributes {
        Attributes::new(&S3Options::default(), &sse).unwrap()
    }

    fn kms(key: &str) -> Attributes {
        with(Sse::Kms { key_id: Some(key.into()), context: None, bucket_key: None })
    }

    fn customer() -> Sse {
        Sse::Customer { key: Secret::new(BASE64_STANDARD.encode([7; 32])) }
    }

    #[test]
    fn metadata_is_ascii_without_underscores_and_says_whose_the_object_is() {
        let info = UploadInfo {
            owner: " clüster 1%".into(),
            uuid: "u".into(),
            user: vec![("codec", "zstd".into()), ("segment_bytes", "17".into())],
        };
        let metadata = metadata(&info);
        let mut metadata: Vec<_> = metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        metadata.sort();
        assert_eq!(
            metadata,
            [
                ("seglift-codec", "zstd"),
                ("seglift-owner", "%20cl%C3%BCster%201%25"),
                ("seglift-segment-bytes", "17"),
                ("seglift-uuid", "u"),
            ]
        );
    }

    #[test]
    fn tags_are_written_as_a_query() {
        let tags = vec![("a b".into(), "c&d=e".into()), ("f".into(), "é".into())];
        let options = S3Options { tags, ..S3Options::default() };
        let attributes = Attributes::new(&options, &Sse::Off).unwrap();
        assert_eq!(attributes.tagging.as_deref(), Some("a%20b=c%26d%3De&f=%C3%A9"));
        assert_eq!(with(Sse::Off).tagging, None);
    }

    #[test]
    fn a_customer_key_is_checked_and_never_shown() {
        for wrong in ["", "hunter2", &BASE64_STANDARD.encode([7; 31])] {
            let error = CustomerKey::of(&Sse::Customer { key: Secret::new(wrong) }).unwrap_err();
            assert_eq!(error.code(), Code::InvalidConfig);
            assert!(wrong.is_empty() || !error.message().contains(wrong));
        }
        let attributes = with(customer());
        assert!(!format!("{attributes:?}").contains(&BASE64_STANDARD.encode([7; 32])));
    }

    #[test]
    fn encryption_that_is_not_shown_in_the_answer_is_an_error() {
        let nothing = Echo::default();
        let aes = Echo { algorithm: Some(&ServerSideEncryption::Aes256), ..nothing };
        let by = |kms_key| Echo { algorithm: Some(&ServerSideEncryption::AwsKms), kms_key, ..nothing };
        let arn = "arn:aws:kms:eu-central-1:1:key/k1";
        for (attributes, echo, fine) in [
            (with(Sse::Off), nothing, true),
            (with(Sse::S3), nothing, false),
            (with(Sse::S3), aes, true),
            (with(Sse::S3), by(None), true),
            (kms("k1"), nothing, false),
            (kms("k1"), aes, false),
            (kms("k1"), by(Some(arn)), true),
            (kms("k1"), by(Some("arn:aws:kms:k1")), true),
            (kms(arn), by(Some(arn)), true),
            (kms("k2"), by(Some(arn)), false),
            (kms("alias/mine"), by(Some(arn)), true),
            (with(customer()), aes, false),
            (with(customer()), Echo { customer_md5: Some("other"), ..nothing }, false),
            (
                with(customer()),
                Echo { customer_md5: Some(CustomerKey::of(&customer()).unwrap().unwrap().md5()), ..nothing },
                true,
            ),
        ] {
            let checked = attributes.check_echo(echo);
            assert_eq!(checked.is_ok(), fine, "{attributes:?} and {echo:?}");
        }
    }
}
