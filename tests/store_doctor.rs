//! What `seglift doctor` says of a bucket, on a server in this process that lies as told.
//!
//! Real servers, and users who may do little, are in tests/stores/doctor.rs.

mod s3_support;

use s3_support::inprocess::{Front, Server};
use seglift::{
    Code,
    store::{
        Key,
        doctor::{Access, Finding, Question, State, examine},
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

/// A server that answers some requests itself: given as `METHOD /path?query`.
fn behind(answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static) -> Server {
    Server::start_behind(Front { answer: Some(Box::new(move |line, _| answer(line))), ..Front::default() })
}

fn error(status: u16, code: &str) -> Option<(u16, String)> {
    Some((status, format!("<Error><Code>{code}</Code><Message>as told</Message></Error>")))
}

/// Everything that the doctor says of the store below `tier`.
fn examined(server: &Server, access: Access) -> Vec<Finding> {
    examined_with(server, Question { access, key: None })
}

fn examined_with(server: &Server, question: Question) -> Vec<Finding> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut findings = Vec::new();
    let mut report = |finding| findings.push(finding);
    let (uri, options) = ("s3://bucket/tier", server.options());
    runtime
        .block_on(examine(uri, &options, &question, std::future::pending(), &mut report))
        .expect("the examination goes to its end");
    findings
}

#[track_caller]
fn found<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings
        .iter()
        .find(|finding| finding.check == check)
        .unwrap_or_else(|| panic!("no {check} in {findings:#?}"))
}

/// The only failure, and that all checks are in the report.
#[track_caller]
fn failure<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    let failed: Vec<_> = findings.iter().filter(|finding| finding.state == State::Fail).collect();
    assert!(failed.len() == 1 && failed[0].check == check, "{failed:#?}");
    assert!(findings.len() >= 15, "{findings:#?}");
    failed[0]
}

/// What a store has of lifecycle rules, as XML.
fn rules(rule: &'static str) -> Server {
    behind(move |line| {
        (line.starts_with("GET") && line.contains("?lifecycle")).then(|| {
            let filter = "<Filter><Prefix>tier/</Prefix></Filter><Status>Enabled</Status>";
            let rule = format!("<Rule><ID>r1</ID>{filter}{rule}</Rule>");
            (200, format!("<LifecycleConfiguration>{rule}</LifecycleConfiguration>"))
        })
    })
}

const ABORTS: &str = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload>";

#[test]
fn a_bucket_that_works_is_green_in_every_line_and_empty_afterwards() {
    let server = rules(ABORTS);
    let findings = examined(&server, Access::Write);
    for finding in &findings {
        // Plain HTTP on this machine is nothing to check.
        let expected = if finding.check == "tls" { State::Skipped } else { State::Ok };
        assert_eq!(finding.state, expected, "{finding:#?}");
    }
    assert!(found(&findings, "lifecycle").detail.contains("r1 removes unfinished uploads after 3 days"));
    assert!(found(&findings, "credentials").detail.contains("the settings"));
    assert_eq!((server.bucket.keys(), server.bucket.uploads()), (vec![], vec![]));
}

#[test]
fn an_examination_for_reading_changes_nothing_and_proves_reads_with_what_is_there() {
    let counted = Arc::new(AtomicUsize::new(0));
    let changes = counted.clone();
    let server = behind(move |line| {
        changes.fetch_add(usize::from(!line.starts_with("GET") && !line.starts_with("HEAD")), SeqCst);
        None
    });
    let empty = examined(&server, Access::Read);
    assert_eq!(found(&empty, "read").state, State::Warn);
    server.bucket.plant("tier/segment", "x");
    assert_eq!(found(&examined(&server, Access::Read), "read").state, State::Ok);
    let named = |key| Question { access: Access::Read, key: Some(Key::new(key).unwrap()) };
    assert_eq!(found(&examined_with(&server, named("segment")), "read").state, State::Ok);
    let missing = examined_with(&server, named("other"));
    assert_eq!(failure(&missing, "read").error.as_ref().unwrap().code(), Code::NotFound);
    assert_eq!(counted.load(SeqCst), 0, "requests that change something");
}

#[test]
fn a_missing_lifecycle_rule_is_red_for_an_admin_with_the_rule_to_paste() {
    let server =
        behind(
            |line| {
                if line.contains("?lifecycle") { error(404, "NoSuchLifecycleConfiguration") } else { None }
            },
        );
    assert_eq!(found(&examined(&server, Access::Write), "lifecycle").state, State::Warn);
    // It has no listing of uploads, which an admin is told of and which is no failure.
    let findings = examined(&server, Access::Admin);
    let remedy = failure(&findings, "lifecycle").remedy.clone().unwrap();
    let (command, rule) = remedy.split_once(" '").unwrap();
    assert!(command.contains("--bucket bucket") && command.contains(&server.endpoint()), "{command}");
    let rule: serde_json::Value = serde_json::from_str(rule.trim_end_matches('\'')).unwrap();
    assert_eq!(rule["Rules"][0]["Filter"]["Prefix"], "tier/");
    assert_eq!(rule["Rules"][0]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"], 7);
}

#[test]
fn a_lifecycle_rule_that_deletes_segments_is_red_for_everybody_who_writes() {
    let server = rules("<Expiration><Days>30</Days></Expiration>");
    let findings = examined(&server, Access::Write);
    let what = &failure(&findings, "lifecycle").detail;
    assert!(what.contains("r1 deletes segments 30 days"), "{what}");
}

#[test]
fn a_clock_that_is_an_hour_off_is_red() {
    let hour_ago = httpdate(SystemTime::now() - Duration::from_secs(3600));
    let server = Server::start_behind(Front { answer: None, headers: vec![("date", hour_ago)] });
    let findings = examined(&server, Access::Write);
    let clock = failure(&findings, "clock");
    assert!(
        clock.detail.contains("ahead of") && clock.remedy.as_ref().unwrap().contains("chrony"),
        "{clock:#?}"
    );
}

#[test]
fn a_store_that_refuses_the_time_gets_no_blame_for_the_credentials() {
    let server =
        behind(|line| if line.starts_with("GET") { error(403, "RequestTimeTooSkewed") } else { None });
    let findings = examined(&server, Access::Write);
    failure(&findings, "clock");
    assert_eq!(found(&findings, "credentials").state, State::Skipped);
}

#[test]
fn what_answers_and_does_not_speak_s3_is_no_endpoint() {
    for page in ["<html><body>It works!</body></html>", "", "{}"] {
        let server = behind(move |_| Some((200, page.into())));
        let findings = examined(&server, Access::Write);
        failure(&findings, "endpoint");
        assert_eq!(found(&findings, "write").state, State::Skipped);
    }
}

#[test]
fn a_bucket_elsewhere_names_its_region() {
    let answer = |line: &str| if line.starts_with("GET") { error(301, "PermanentRedirect") } else { None };
    let server = Server::start_behind(Front {
        answer: Some(Box::new(move |line, _| answer(line))),
        headers: vec![("x-amz-bucket-region", "eu-west-9".into())],
    });
    let findings = examined(&server, Access::Write);
    assert!(failure(&findings, "bucket").detail.contains("eu-west-9"));
}

#[test]
fn a_store_that_overwrites_is_a_warning_and_nothing_stays_of_it() {
    let ask = |line: &str, bucket: &s3_support::flat::Flat| {
        if let Some(key) = line.strip_prefix("PUT /bucket/").filter(|rest| !rest.contains("partNumber")) {
            bucket.forget(key.split('?').next().unwrap());
        }
        None
    };
    let server = Server::start_behind(Front { answer: Some(Box::new(ask)), ..Front::default() });
    let findings = examined(&server, Access::Write);
    let condition = found(&findings, "conditional-create");
    assert_eq!(condition.state, State::Warn, "{condition:#?}");
    assert!(condition.remedy.as_ref().unwrap().contains("UUID"));
    assert!(findings.iter().all(|finding| finding.state != State::Fail), "{findings:#?}");
    assert_eq!(server.bucket.keys(), [""; 0]);
}

#[test]
fn where_nothing_may_be_removed_nothing_is_made() {
    let deletes =
        |line: &str| (line.starts_with("DELETE") && !line.contains("uploadId")) || line.contains("?delete");
    let server = behind(move |line| if deletes(line) { error(403, "AccessDenied") } else { None });
    let findings = examined(&server, Access::Write);
    let write = found(&findings, "write");
    assert_eq!(write.state, State::Warn, "{write:#?}");
    assert!(write.remedy.as_ref().unwrap().contains("tier/.seglift-probe-"), "{write:#?}");
    failure(&examined(&server, Access::Admin), "delete");
    assert_eq!((server.bucket.keys(), server.bucket.uploads()), (vec![], vec![]));

    let nothing =
        behind(
            move |line| {
                if deletes(line) || line.contains("?uploads") { error(403, "AccessDenied") } else { None }
            },
        );
    let refused = examined(&nothing, Access::Write);
    assert_eq!(failure(&refused, "write").error.as_ref().unwrap().code(), Code::PermissionDenied);
}

#[test]
fn a_failure_in_the_middle_leaves_nothing_and_says_what_it_could_not_remove() {
    // Abilities and the object are written; then it cannot be read.
    let server = behind(|line| match line {
        line if line.starts_with("GET") && line.contains("seglift-probe") => None,
        line if line.starts_with("HEAD") => error(500, "InternalError"),
        _ => None,
    });
    let findings = examined(&server, Access::Write);
    let cleanup = found(&findings, "cleanup");
    assert!(cleanup.remedy.as_ref().unwrap().contains("tier/.seglift-probe-"), "{cleanup:#?}");

    let uploads = behind(|line| if line.contains("partNumber=") { error(503, "SlowDown") } else { None });
    let findings = examined(&uploads, Access::Write);
    assert_eq!(failure(&findings, "multipart").error.as_ref().unwrap().code(), Code::Throttled);
    assert_eq!((uploads.bucket.keys(), uploads.bucket.uploads()), (vec![], vec![]));
}

/// As RFC 9110 writes it.
fn httpdate(at: SystemTime) -> String {
    use aws_smithy_types::date_time::{DateTime, Format};
    DateTime::from(at).fmt(Format::HttpDate).unwrap()
}
