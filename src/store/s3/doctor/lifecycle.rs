//! The bucket's lifecycle rules: one should remove unfinished uploads, none may remove segments.
//!
//! Source: *Lifecycle configuration elements* and *Configuring a bucket lifecycle configuration to delete incomplete
//! multipart uploads* in Amazon's user guide.

use super::{super::errors::Action, super::exchange::Exchange, Answer, Exam, state};
use crate::{
    error::{Code, Result},
    store::doctor::{Access, Finding, within},
};
use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule, TransitionStorageClass};
use serde_json::json;
use std::sync::atomic::Ordering::SeqCst;

const CHECK: &str = "lifecycle";

/// Days after which the rule that we print aborts an upload: longer than any may take, short on the bill.
const DAYS: u32 = 7;

/// What to do about versions that nobody sees.
const OLD_VERSIONS: &str = "add a lifecycle rule with NoncurrentVersionExpiration (docs/setup-s3.md, Versioning), \
                                       or they are paid for ever";

impl Exam<'_> {
    /// Whether a rule removes unfinished uploads, and none removes segments.
    pub(super) async fn lifecycle(&self, access: Access, answer: &Answer) -> Finding {
        if answer.server().eq_ignore_ascii_case("minio") {
            let detail = "none needed: MinIO removes unfinished uploads itself, after 24 h \
                          (MINIO_API_STALE_UPLOADS_EXPIRY)";
            return Finding::ok(CHECK, detail);
        }
        let (store, exchange) = (self.store, Exchange::new(false));
        let work = async {
            let request = store.connection.client().await?.get_bucket_lifecycle_configuration();
            let request = request.bucket(&store.place.bucket).customize().interceptor(exchange.clone());
            store.answer(Action::Rules, None, &exchange, request.send()).await
        };
        let rules: Result<Vec<LifecycleRule>> =
            within("reading the lifecycle rules", work).await.map(|output| output.rules.unwrap_or_default());
        match rules {
            Ok(rules) => self.judged(access, &rules),
            Err(error) if error.service_code() == "NoSuchLifecycleConfiguration" => self.judged(access, &[]),
            Err(error) if matches!(error.http_status(), 405 | 501) => Finding::warn(
                CHECK,
                "the store has no lifecycle rules",
                "run seglift reap now and then: unfinished uploads are paid for and in no listing of objects",
            ),
            Err(error) if error.code() == Code::PermissionDenied && access < Access::Admin => {
                Finding::skipped(
                    CHECK,
                    "not allowed to look (s3:GetLifecycleConfiguration); --for admin needs it",
                )
            }
            Err(error) => Finding::fail(CHECK, &error),
        }
    }

    fn judged(&self, access: Access, rules: &[LifecycleRule]) -> Finding {
        let place = &self.store.place;
        match judge(rules, &place.prefix, self.versioned.load(SeqCst)) {
            Verdict::Deletes(rule, days) => {
                let what = format!("the rule {rule} deletes segments {days} after they were written");
                let remedy = "let it spare the store's prefix: brokers would look for segments that are gone";
                Finding::fail(CHECK, &state(Code::InvalidConfig, what)).remedy(remedy)
            }
            Verdict::Archives(rule) => Finding::warn(
                CHECK,
                format!(
                    "the rule {rule} moves segments to an archive class, from which no read works before a restore"
                ),
                "let it spare the store's prefix, or take GLACIER_IR",
            ),
            Verdict::KeepsVersions => Finding::warn(
                CHECK,
                "the bucket keeps versions, and no rule removes those of deleted segments",
                OLD_VERSIONS,
            ),
            Verdict::Aborts(rule, days) => {
                Finding::ok(CHECK, format!("the rule {rule} removes unfinished uploads after {days} days"))
            }
            Verdict::Missing => {
                let what = "no rule removes unfinished uploads, whose parts are paid for and in no listing of objects";
                let endpoint = match self.store.connection.is_amazon() {
                    true => String::new(),
                    false => format!(" --endpoint-url {}", self.store.connection.endpoint()),
                };
                let keep =
                    if rules.is_empty() { "" } else { " (it replaces the rules that are there: add them)" };
                let remedy = format!(
                    "run{keep}:\naws s3api put-bucket-lifecycle-configuration --bucket {}{endpoint} --lifecycle-configuration '{:#}'",
                    place.bucket,
                    rule(&place.prefix)
                );
                match access {
                    Access::Admin => Finding::fail(CHECK, &state(Code::InvalidConfig, what)).remedy(remedy),
                    _ => Finding::warn(CHECK, what, remedy),
                }
            }
        }
    }
}

/// The rule to paste.
fn rule(prefix: &str) -> serde_json::Value {
    json!({"Rules": [{
        "ID": "seglift-abort-incomplete-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": DAYS},
    }]})
}

/// What the rules do to a store.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// A rule that deletes, and when.
    Deletes(String, String),
    /// A rule that moves to a class that cannot be read at once.
    Archives(String),
    /// The bucket keeps versions and no rule removes old ones.
    KeepsVersions,
    /// A rule that aborts uploads, and after how many days.
    Aborts(String, i32),
    Missing,
}

/// The worst first.
fn judge(rules: &[LifecycleRule], prefix: &str, versioned: bool) -> Verdict {
    let enabled = || rules.iter().filter(|rule| *rule.status() == ExpirationStatus::Enabled);
    let name = |rule: &LifecycleRule| rule.id().unwrap_or("without a name").to_owned();
    // A rule may be narrower than the store and still hit some of it.
    let touches = |rule: &&LifecycleRule| {
        let its = prefix_of(rule);
        its.starts_with(prefix) || prefix.starts_with(its)
    };
    for rule in enabled().filter(touches) {
        if let Some(expiration) = rule.expiration() {
            let when = match (expiration.days(), expiration.date()) {
                (Some(days), _) => format!("{days} days"),
                (None, Some(date)) => format!("from {date} on, whenever"),
                // It removes delete markers, no objects.
                (None, None) => continue,
            };
            return Verdict::Deletes(name(rule), when);
        }
    }
    let archives = |rule: &&LifecycleRule| {
        rule.transitions().iter().any(|transition| {
            matches!(
                transition.storage_class(),
                Some(TransitionStorageClass::Glacier | TransitionStorageClass::DeepArchive)
            )
        })
    };
    if let Some(rule) = enabled().filter(touches).find(archives) {
        return Verdict::Archives(name(rule));
    }
    let covers = |rule: &&LifecycleRule| prefix.starts_with(prefix_of(rule));
    let days = |rule: &LifecycleRule| {
        rule.abort_incomplete_multipart_upload().and_then(|abort| abort.days_after_initiation())
    };
    match enabled().filter(covers).find_map(|rule| days(rule).map(|days| (name(rule), days))) {
        Some(_)
            if versioned
                && !enabled().filter(covers).any(|r| r.noncurrent_version_expiration().is_some()) =>
        {
            Verdict::KeepsVersions
        }
        Some((name, days)) => Verdict::Aborts(name, days),
        None => Verdict::Missing,
    }
}

/// What the keys of a rule begin with.
fn prefix_of(rule: &LifecycleRule) -> &str {
    let filter = rule.filter();
    let both = filter.and_then(|filter| filter.and()).and_then(|and| and.prefix());
    #[allow(deprecated, reason = "old rules have their prefix there, and stores send it")]
    let old = rule.prefix();
    filter.and_then(|filter| filter.prefix()).or(both).or(old).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::{
        AbortIncompleteMultipartUpload, LifecycleExpiration, LifecycleRuleFilter,
        NoncurrentVersionExpiration, Transition, builders::LifecycleRuleBuilder,
    };

    fn rule(prefix: &str, what: impl FnOnce(LifecycleRuleBuilder) -> LifecycleRuleBuilder) -> LifecycleRule {
        let filter = LifecycleRuleFilter::builder().prefix(prefix).build();
        let rule = LifecycleRule::builder().id("r").filter(filter).status(ExpirationStatus::Enabled);
        what(rule).build().unwrap()
    }

    fn aborts(prefix: &str) -> LifecycleRule {
        let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(3).build();
        rule(prefix, |rule| rule.abort_incomplete_multipart_upload(abort))
    }

    fn expires(prefix: &str) -> LifecycleRule {
        rule(prefix, |rule| rule.expiration(LifecycleExpiration::builder().days(30).build()))
    }

    #[test]
    fn a_rule_that_aborts_uploads_must_cover_the_whole_prefix() {
        for (rules, verdict) in [
            (vec![], Verdict::Missing),
            (vec![aborts("")], Verdict::Aborts("r".into(), 3)),
            (vec![aborts("logs/")], Verdict::Aborts("r".into(), 3)),
            (vec![aborts("lo")], Verdict::Aborts("r".into(), 3)),
            (vec![aborts("logs/a/")], Verdict::Missing),
            (vec![aborts("other/")], Verdict::Missing),
            (vec![rule("", |rule| rule), aborts("")], Verdict::Aborts("r".into(), 3)),
        ] {
            assert_eq!(judge(&rules, "logs/", false), verdict, "{rules:?}");
        }
        let off = rule("", |rule| rule.status(ExpirationStatus::Disabled));
        assert_eq!(judge(&[off], "logs/", false), Verdict::Missing);
        assert_eq!(judge(&[aborts("")], "logs/", true), Verdict::KeepsVersions);
        let old = NoncurrentVersionExpiration::builder().noncurrent_days(7).build();
        let old = rule("", |rule| rule.noncurrent_version_expiration(old));
        assert_eq!(judge(&[aborts(""), old], "logs/", true), Verdict::Aborts("r".into(), 3));
    }

    #[test]
    fn a_rule_that_deletes_or_archives_any_segment_is_worse_than_a_missing_one() {
        let deletes = Verdict::Deletes("r".into(), "30 days".into());
        for prefix in ["", "logs/", "logs/topic/", "l"] {
            assert_eq!(judge(&[aborts(""), expires(prefix)], "logs/", false), deletes, "{prefix}");
        }
        assert_eq!(judge(&[aborts(""), expires("other/")], "logs/", false), Verdict::Aborts("r".into(), 3));
        let markers = LifecycleExpiration::builder().expired_object_delete_marker(true).build();
        assert_eq!(judge(&[rule("", |rule| rule.expiration(markers))], "logs/", false), Verdict::Missing);
        for (class, verdict) in [
            (TransitionStorageClass::Glacier, Verdict::Archives("r".into())),
            (TransitionStorageClass::DeepArchive, Verdict::Archives("r".into())),
            (TransitionStorageClass::GlacierIr, Verdict::Missing),
            (TransitionStorageClass::StandardIa, Verdict::Missing),
        ] {
            let moves = Transition::builder().days(30).storage_class(class).build();
            assert_eq!(judge(&[rule("logs/", |rule| rule.transitions(moves))], "logs/", false), verdict);
        }
    }
}
