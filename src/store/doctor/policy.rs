//! The least IAM policy for an access: pure, settings in and JSON out.
//!
//! Each action is there because a request of the driver fails without it; each is narrowed to the store's prefix.
//! Sources: Amazon's *Actions, resources, and condition keys for Amazon S3* and *Multipart upload and permissions*.
//!
//! Trade-off: without `s3:ListBucket` S3 answers 403 for a missing key (`NOT_FOUND_OR_DENIED`), and reading and
//! writing are content with that. A writer may delete nothing but what an examination or the look for what a store
//! can do has made: a broker that is broken into cannot remove the tier.

use super::{Access, PROBE};
use serde_json::{Value, json};

/// What a policy depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The bucket's name.
    pub bucket: String,
    /// In front of every key: empty, or ends in a slash.
    pub prefix: String,
    /// The region, of which only the partition counts: `cn-` and `us-gov-` have ARNs of their own.
    pub region: String,
    /// Objects are given tags.
    pub tags: bool,
    /// Objects are given a canned ACL.
    pub acl: bool,
    /// The ARN of the KMS key that encrypts objects, if they name one.
    pub kms_key: Option<String>,
}

impl Policy {
    /// The policy document for `access`.
    pub fn json(&self, access: Access) -> Value {
        let objects = self.arn(&format!("/{}*", self.prefix));
        let bucket = self.arn("");
        let mut statements = vec![statement("SegliftRead", &["s3:GetObject"], &objects)];
        if access >= Access::Write {
            // PutObject also begins, fills and completes multipart uploads.
            let mut actions = vec!["s3:PutObject", "s3:AbortMultipartUpload"];
            if self.tags {
                actions.push("s3:PutObjectTagging");
            }
            if self.acl {
                actions.push("s3:PutObjectAcl");
            }
            statements.push(statement("SegliftWrite", &actions, &objects));
        }
        if access >= Access::Write {
            // With their versions, so that in a bucket that keeps them nothing stays of a probe.
            let probes = self.arn(&format!("/{}{PROBE}*", self.prefix));
            let remove = ["s3:DeleteObject", "s3:DeleteObjectVersion"];
            statements.push(statement("SegliftProbes", &remove, &probes));
        }
        match access {
            Access::Read | Access::Write => {}
            Access::Admin => {
                let clean = ["s3:DeleteObject", "s3:ListMultipartUploadParts"];
                statements.push(statement("SegliftClean", &clean, &objects));
                let mut list = statement("SegliftList", &["s3:ListBucket"], &bucket);
                if !self.prefix.is_empty() {
                    list["Condition"] = json!({"StringLike": {"s3:prefix": [format!("{}*", self.prefix)]}});
                }
                statements.push(list);
                // Neither of these can be narrowed to a prefix.
                let look = ["s3:ListBucketMultipartUploads", "s3:GetLifecycleConfiguration"];
                statements.push(statement("SegliftLook", &look, &bucket));
            }
        }
        if let Some(key) = &self.kms_key {
            // Completing a multipart upload decrypts its parts, so a writer needs both.
            let actions: &[&str] = match access {
                Access::Read => &["kms:Decrypt"],
                _ => &["kms:GenerateDataKey", "kms:Decrypt"],
            };
            statements.push(statement("SegliftKey", actions, key));
        }
        json!({"Version": "2012-10-17", "Statement": statements})
    }

    fn arn(&self, resource: &str) -> String {
        let partition = match self.region.as_str() {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        format!("arn:{partition}:s3:::{}{resource}", self.bucket)
    }
}

fn statement(sid: &str, actions: &[&str], resource: &str) -> Value {
    json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(prefix: &str) -> Policy {
        Policy {
            bucket: "tier".into(),
            prefix: prefix.into(),
            region: "eu-central-1".into(),
            ..Policy::default()
        }
    }

    /// Every action that a policy allows on a resource.
    fn allowed(policy: &Value, resource: &str) -> Vec<String> {
        let mut actions: Vec<String> = policy["Statement"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|statement| statement["Resource"] == resource)
            .flat_map(|statement| statement["Action"].as_array().unwrap())
            .map(|action| action.as_str().unwrap().to_owned())
            .collect();
        actions.sort();
        actions
    }

    #[test]
    fn a_reader_may_get_objects_below_the_prefix_and_nothing_else() {
        let json = policy("logs/").json(Access::Read);
        assert_eq!(
            json,
            json!({"Version": "2012-10-17", "Statement": [
                {"Sid": "SegliftRead", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::tier/logs/*"}
            ]})
        );
    }

    #[test]
    fn a_writer_may_delete_probes_only() {
        let json = policy("logs/").json(Access::Write);
        assert_eq!(
            allowed(&json, "arn:aws:s3:::tier/logs/*"),
            ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
        );
        assert_eq!(
            allowed(&json, "arn:aws:s3:::tier/logs/.seglift-probe-*"),
            ["s3:DeleteObject", "s3:DeleteObjectVersion"]
        );
        assert_eq!(json["Statement"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn an_admin_lists_the_prefix_only() {
        let json = policy("logs/").json(Access::Admin);
        assert_eq!(
            allowed(&json, "arn:aws:s3:::tier"),
            ["s3:GetLifecycleConfiguration", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
        );
        assert!(
            allowed(&json, "arn:aws:s3:::tier/logs/*").contains(&"s3:DeleteObject".to_owned())
                && json["Statement"][4]["Condition"]["StringLike"]["s3:prefix"] == json!(["logs/*"]),
            "{json}"
        );
        let whole = policy("").json(Access::Admin);
        assert!(
            !whole.to_string().contains("Condition") && whole.to_string().contains("arn:aws:s3:::tier/*"),
            "{whole}"
        );
    }

    #[test]
    fn tags_acl_and_a_kms_key_ask_for_more_and_only_then() {
        let more = Policy { tags: true, acl: true, kms_key: Some("arn:aws:kms:x".into()), ..policy("") };
        let json = more.json(Access::Write);
        let objects = allowed(&json, "arn:aws:s3:::tier/*");
        assert!(
            objects.contains(&"s3:PutObjectTagging".into()) && objects.contains(&"s3:PutObjectAcl".into())
        );
        assert_eq!(allowed(&json, "arn:aws:kms:x"), ["kms:Decrypt", "kms:GenerateDataKey"]);
        assert_eq!(allowed(&more.json(Access::Read), "arn:aws:kms:x"), ["kms:Decrypt"]);
        assert!(!more.json(Access::Read).to_string().contains("Put"));
    }

    #[test]
    fn partitions_have_arns_of_their_own() {
        for (region, arn) in
            [("cn-north-1", "arn:aws-cn:s3:::tier/*"), ("us-gov-west-1", "arn:aws-us-gov:s3:::tier/*")]
        {
            let json = Policy { region: region.into(), ..policy("") }.json(Access::Read);
            assert_eq!(json["Statement"][0]["Resource"], arn);
        }
    }
}
