//! `seglift doctor`: a line for each check, and below what is not as it should be what to do about it.
//!
//! The checks are the library's; here they are only asked for and shown. A state has a word of its own, so that
//! nobody needs colours to see it.

use crate::{
    app::{App, count, joined},
    args,
    failure::{self, Failure},
    talk::one_line,
};
use seglift::{
    Code, Error, Result,
    driver::Target,
    store::{
        self, Key,
        doctor::{Access, Finding, Question, State, policy::Policy},
        s3::{Place, Sse},
    },
};
use serde_json::{Value, json};
use std::env;
use tokio::sync::mpsc;

/// Examines a store, or prints a policy for it.
pub fn run(app: &mut App, args: &args::Doctor) -> Result<(), Failure> {
    if let Some(access) = args.policy {
        let policy = policy(app, &args.uri)?.json(access.into());
        let text = || serde_json::to_string_pretty(&policy).unwrap_or_default();
        return app.out.result(|| policy.clone(), text);
    }
    let question =
        Question { access: args.access.into(), key: args.key.as_deref().map(Key::new).transpose()? };
    let Target { uri, options, .. } = app.target(&args.uri)?;
    // While it lives an interrupt waits until the probes are removed.
    let _hold = app.interrupt.hold();
    let cancel = app.interrupt.cancel().clone();
    let (sender, mut findings) = mpsc::unbounded_channel();
    let handle = app.engine()?.handle().clone();
    let asked = question.clone();
    let examination = handle.spawn(async move {
        // A reader that went away does not keep the probes from being removed.
        let mut report = |finding: Finding| _ = sender.send(finding);
        store::doctor::examine(&uri, &options, &asked, cancel.cancelled(), &mut report).await
    });
    let mut said = Said::default();
    let shown = show(app, args, &mut findings, &mut said);
    let ended = handle.block_on(examination);
    shown?;
    match ended {
        Ok(ended) => ended?,
        Err(panic) => return Err(Error::new(Code::Internal, panic.to_string()).into()),
    }
    let warned =
        if said.warnings > 0 { format!(", {}", count(said.warnings, "warning")) } else { String::new() };
    let verdict = match said.failed {
        0 => format!("healthy for {}{warned}", question.access.name()),
        failed => {
            format!("not healthy for {}: {} failed{warned}", question.access.name(), count(failed, "check"))
        }
    };
    app.talk.note(verdict);
    Ok(())
}

/// What a policy for the store depends on.
fn policy(app: &mut App, uri: &str) -> Result<Policy> {
    let Target { uri, options, .. } = app.target(uri)?;
    let Some(rest) = uri.strip_prefix("s3:") else {
        let message = "a policy is for a store in S3; write s3://BUCKET/PREFIX";
        return Err(Error::new(Code::InvalidArgument, message));
    };
    let place = Place::parse(rest)?;
    let options = options.s3.options.merged(&place.query)?;
    let kms_key = match options.sse {
        Sse::Kms { key_id, .. } => key_id,
        _ => None,
    };
    Ok(Policy {
        bucket: place.bucket,
        prefix: place.prefix,
        region: options.region,
        tags: !options.tags.is_empty(),
        acl: options.acl.is_some(),
        kms_key,
    })
}

/// What was said so far.
#[derive(Default)]
struct Said {
    warnings: u64,
    failed: u64,
}

fn show(
    app: &mut App,
    args: &args::Doctor,
    findings: &mut mpsc::UnboundedReceiver<Finding>,
    said: &mut Said,
) -> Result<(), Failure> {
    let colours = app.out.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    while let Some(finding) = findings.blocking_recv() {
        said.warnings += u64::from(finding.state == State::Warn);
        if let Some(error) = &finding.error {
            said.failed += 1;
            app.count(error.code());
        }
        app.out.result(|| to_json(&args.uri, &finding), || text(&finding, colours))?;
    }
    Ok(())
}

fn text(finding: &Finding, colours: bool) -> String {
    let (word, colour) = match finding.state {
        State::Ok => ("ok", "32"),
        State::Warn => ("warn", "33"),
        State::Fail => ("FAIL", "31"),
        State::Skipped => ("-", "2"),
    };
    let word = if colours { format!("\x1b[{colour}m{word:<4}\x1b[0m") } else { format!("{word:<4}") };
    let mut text = format!("{word}  {:<18}  {}", finding.check, one_line(&finding.detail));
    for (number, line) in finding.remedy.iter().flat_map(|remedy| remedy.lines()).enumerate() {
        text += if number == 0 { "\n      remedy: " } else { "\n      " };
        text += &one_line(line);
    }
    text
}

fn to_json(uri: &str, finding: &Finding) -> Value {
    let mut object = json!({
        "store": uri,
        "check": finding.check,
        "state": finding.state.name(),
        "detail": finding.detail,
    });
    if let Some(remedy) = &finding.remedy {
        object["remedy"] = remedy.as_str().into();
    }
    match &finding.error {
        Some(error) => joined(object, json!({"error": failure::to_json(error)})),
        None => object,
    }
}

impl From<args::For> for Access {
    fn from(word: args::For) -> Self {
        match word {
            args::For::Read => Access::Read,
            args::For::Write => Access::Write,
            args::For::Admin => Access::Admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_stands_without_colours_and_the_remedy_below_it() {
        let error = Error::new(Code::Unavailable, "no\nroute");
        let bad = Finding::fail("endpoint", &error).remedy("look:\n{\n  \"a\": 1\n}");
        let plain = text(&bad, false);
        assert_eq!(
            plain.lines().collect::<Vec<_>>(),
            [
                "FAIL  endpoint            no\\nroute",
                "      remedy: look:",
                "      {",
                "        \"a\": 1",
                "      }"
            ]
        );
        assert!(text(&bad, true).starts_with("\x1b[31mFAIL\x1b[0m  endpoint"));
        assert_eq!(text(&Finding::ok("list", "x"), false), "ok    list                x");
    }

    #[test]
    fn only_a_failure_has_an_error_in_json() {
        let error =
            Error::new(Code::Unauthenticated, "who?").with_service(403, "InvalidAccessKeyId", "r", "");
        let object = to_json("s3://b", &Finding::fail("credentials", &error));
        assert_eq!(object["state"], "fail");
        assert_eq!(object["error"]["code"], "UNAUTHENTICATED");
        assert_eq!(object["error"]["http_status"], 403);
        let object = to_json("s3://b", &Finding::warn("clock", "late", "set it"));
        assert_eq!((object["state"].as_str(), object["remedy"].as_str()), (Some("warn"), Some("set it")));
        assert!(object.get("error").is_none());
    }
}
