//! Settings of the store `s3://` that say too little or contradict each other.
//!
//! What would fail with the first request, and there with a message of the store's, is refused here, with the
//! names of the settings. Whether an endpoint is missing depends on the URI, too, and is the store's to say.

use super::{Config, S3Encryption, S3Settings};
use crate::{Code, Error, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>
const MOST_TAGS: usize = 10;
const LONGEST_TAG: (usize, usize) = (128, 256);

impl S3Settings {
    pub(super) fn check(&self, config: &Config) -> Result<()> {
        self.check_credentials(config)?;
        self.check_encryption(config)?;
        self.check_proxy(config)?;
        self.check_tags(config)
    }

    /// The tags as names and values.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tags.iter().map(|tag| tag.split_once('=').unwrap_or((tag, "")))
    }

    fn check_credentials(&self, config: &Config) -> Result<()> {
        let shown = |key| config.shown(key);
        let (access, secret) = (!self.access_key.is_empty(), !self.secret_key.is_empty());
        if access != secret {
            let (there, missing) =
                if access { ("s3.access.key", "s3.secret.key") } else { ("s3.secret.key", "s3.access.key") };
            return refuse(format!("{} is given without {missing}; give both, or neither", shown(there)));
        }
        if !self.session_token.is_empty() && !access {
            let token = shown("s3.session.token");
            return refuse(format!(
                "{token} is given without s3.access.key and s3.secret.key; give all three"
            ));
        }
        if access && !self.profile.is_empty() {
            let (key, profile) = (shown("s3.access.key"), shown("s3.profile"));
            return refuse(format!("{key} and {profile} are two sources of credentials; leave one out"));
        }
        let named = [
            ("s3.access.key", access),
            ("s3.profile", !self.profile.is_empty()),
            ("s3.role.arn", !self.role_arn.is_empty()),
        ];
        if let Some((key, _)) = named.iter().find(|(_, given)| *given && self.anonymous) {
            let (anonymous, key) = (shown("s3.anonymous"), shown(key));
            return refuse(format!("{anonymous} sends no credentials and {key} names some; leave one out"));
        }
        if !self.role_external_id.is_empty() && self.role_arn.is_empty() {
            let id = shown("s3.role.external.id");
            return refuse(format!("{id} is given without s3.role.arn; give both, or neither"));
        }
        if !self.role_arn.is_empty() && !self.role_arn.starts_with("arn:") {
            let role = shown("s3.role.arn");
            return refuse(format!("{role} is no ARN; it looks like arn:aws:iam::123456789012:role/name"));
        }
        // https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
        let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !self.role_session_name.chars().all(fits) {
            let name = shown("s3.role.session.name");
            return refuse(format!("{name} may hold letters, digits and _+=,.@- only"));
        }
        Ok(())
    }

    fn check_encryption(&self, config: &Config) -> Result<()> {
        let kms = self.sse == S3Encryption::Kms;
        for (key, given) in [
            ("s3.sse.kms.key", !self.sse_kms_key.is_empty()),
            ("s3.sse.kms.context", !self.sse_kms_context.is_empty()),
            ("s3.sse.kms.bucket.key", self.sse_kms_bucket_key.is_some()),
        ] {
            if given && !kms {
                let (key, sse) = (config.shown(key), config.shown("s3.sse"));
                return refuse(format!("{key} has no effect with {sse}; set s3.sse=kms or leave it out"));
            }
        }
        if !self.sse_kms_context.is_empty() {
            let object: Option<serde_json::Map<String, serde_json::Value>> =
                serde_json::from_str(&self.sse_kms_context).ok();
            if !object.is_some_and(|object| object.values().all(serde_json::Value::is_string)) {
                let context = config.shown("s3.sse.kms.context");
                return refuse(format!(r#"{context} is no JSON object of texts, such as {{"tenant":"a"}}"#));
            }
        }
        let key = &self.sse_customer_key;
        match (self.sse, key.is_empty()) {
            (S3Encryption::Customer, true) => {
                let sse = config.shown("s3.sse");
                refuse(format!("{sse} needs s3.sse.customer.key, 32 bytes in base64"))
            }
            (S3Encryption::Customer, false) => match BASE64_STANDARD.decode(key.reveal()) {
                Ok(bytes) if bytes.len() == 32 => Ok(()),
                _ => {
                    let key = config.shown("s3.sse.customer.key");
                    refuse(format!("{key} must be 32 bytes in base64; openssl rand -base64 32 makes one"))
                }
            },
            (_, false) => {
                let (key, sse) = (config.shown("s3.sse.customer.key"), config.shown("s3.sse"));
                refuse(format!("{key} has no effect with {sse}; set s3.sse=customer or leave it out"))
            }
            (_, true) => Ok(()),
        }
    }

    fn check_proxy(&self, config: &Config) -> Result<()> {
        let proxy = self.proxy.reveal();
        let is_url = ["http://", "https://"]
            .iter()
            .any(|begin| proxy.get(..begin.len()).is_some_and(|found| found.eq_ignore_ascii_case(begin)));
        if !proxy.is_empty() && !is_url && !proxy.eq_ignore_ascii_case("none") {
            let proxy = config.shown("s3.proxy");
            return refuse(format!("{proxy} is neither none nor a URL such as http://proxy.example:3128"));
        }
        if !self.no_proxy.is_empty() && !is_url {
            let hosts = config.shown("s3.no.proxy");
            return refuse(format!("{hosts} has no effect without s3.proxy; give both, or set NO_PROXY"));
        }
        Ok(())
    }

    fn check_tags(&self, config: &Config) -> Result<()> {
        let problem = |what: &str| {
            let tags = config.shown("s3.tags");
            refuse(format!("{tags} {what}; it looks like name=value;name=value"))
        };
        if self.tags.len() > MOST_TAGS {
            return problem("has more than 10 tags");
        }
        if self.tags.iter().any(|tag| !tag.contains('=')) {
            return problem("has a tag without =");
        }
        for (at, (name, value)) in self.tags().enumerate() {
            let too_long = name.chars().count() > LONGEST_TAG.0 || value.chars().count() > LONGEST_TAG.1;
            if name.is_empty() || too_long {
                return problem(
                    "has a tag whose name has not 1 to 128 characters or whose value more than 256",
                );
            }
            if self.tags().take(at).any(|(earlier, _)| earlier == name) {
                return problem("has a tag twice");
            }
        }
        Ok(())
    }
}

fn refuse(message: String) -> Result<()> {
    Err(Error::new(Code::InvalidConfig, message))
}
