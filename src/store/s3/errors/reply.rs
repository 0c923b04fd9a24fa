//! The parts of an answer that say why a request failed.

use super::super::xml;
use aws_smithy_runtime_api::{client::orchestrator::HttpResponse, http::Headers};
use aws_smithy_types::{DateTime, date_time::Format};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest text of the service that goes into a message, in characters.
const MAX_SAID: usize = 300;
/// How much of a body that is not S3's goes into a message: enough to recognize a proxy's page.
const MAX_SNIPPET: usize = 80;

/// An answer with a status that is no success, or an error within one that is.
#[derive(Clone, Debug, Default)]
pub(in crate::store::s3) struct Reply<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The service's code, empty where the answer has none.
    pub code: &'a str,
    /// The service's sentence, empty where the answer has none.
    pub message: &'a str,
    /// `x-amz-request-id`.
    pub request_id: &'a str,
    /// `x-amz-id-2`.
    pub extended_request_id: &'a str,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The region that the bucket is in, where the answer tells.
    pub region: Option<&'a str>,
    /// By how many seconds the service's clock is ahead of ours.
    pub clock_ahead: Option<i64>,
    /// Whether the newest version is a delete marker.
    pub delete_marker: bool,
    /// The raw body.
    pub body: &'a [u8],
}

impl<'a> Reply<'a> {
    /// What `raw` says; `code` and `message` as the SDK has found them in the body.
    pub(in crate::store::s3) fn of(
        raw: &'a HttpResponse,
        code: Option<&'a str>,
        message: Option<&'a str>,
    ) -> Reply<'a> {
        let headers = raw.headers();
        let body = raw.body().bytes().unwrap_or_default();
        let status = raw.status().as_u16();
        // The SDK makes up a code for a 404 without a body, and reads half a code of half an answer; what nobody
        // said must not count.
        let said = !body.is_empty() && xml::is_well_formed(body);
        let (code, message) = if said { (code, message) } else { (None, None) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let date = header(headers, "date").and_then(http_date);
        Reply {
            status,
            code: code.unwrap_or_default(),
            message: message.unwrap_or_default(),
            request_id: header(headers, "x-amz-request-id").unwrap_or_default(),
            extended_request_id: header(headers, "x-amz-id-2").unwrap_or_default(),
            retry_after: header(headers, "retry-after").and_then(|text| retry_after(text, now)),
            region: header(headers, "x-amz-bucket-region")
                .filter(|text| is_plain(text))
                .or_else(|| element(body, "Region")),
            clock_ahead: date.map(|date| date - now),
            delete_marker: header(headers, "x-amz-delete-marker") == Some("true"),
            body,
        }
    }

    /// Whether there is a body and no service code in it: a proxy, a web server, a wrong port.
    pub(super) fn is_foreign(&self) -> bool {
        self.code.is_empty() && self.body.iter().any(|c| !c.is_ascii_whitespace())
    }

    /// The service's own words, fit for a message.
    pub(super) fn said(&self) -> String {
        let text = shown(self.message, MAX_SAID);
        text.trim_end_matches(['.', ' ']).to_owned()
    }

    /// The first words of a foreign body. A page may repeat the request: nothing that looks like credentials
    /// is shown.
    pub(super) fn snippet(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(4 * MAX_SNIPPET)]);
        let lower = text.to_ascii_lowercase();
        let suspicious = ["authorization", "signature", "credential", "token", "secret", "password", "akia"];
        if suspicious.iter().any(|word| lower.contains(word)) {
            return "(not shown)".to_owned();
        }
        format!("\"{}\"", shown(&text, MAX_SNIPPET))
    }

    /// The end of a message, in the form that Amazon's SDK for Java made familiar.
    pub(super) fn form(&self) -> String {
        let or_null = |text: &str| if text.is_empty() { "null".to_owned() } else { shown(text, MAX_SAID) };
        format!(
            "(Service: Amazon S3; Status Code: {}; Error Code: {}; Request ID: {}; S3 Extended Request ID: {})",
            self.status,
            or_null(self.code),
            or_null(self.request_id),
            or_null(self.extended_request_id),
        )
    }
}

/// `text` in one line without control characters, at most `max` characters long.
pub(super) fn shown(text: &str, max: usize) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > 4 * max {
            break;
        }
    }
    match line.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn header<'a>(headers: &'a Headers, name: &'static str) -> Option<&'a str> {
    match headers.try_get(name) {
        Some(Ok(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// The text of the first element `name` in an error's body, where that is plain.
fn element<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    let body = std::str::from_utf8(body).ok()?;
    let rest = &body[body.find(&format!("<{name}>"))? + name.len() + 2..];
    let text = &rest[..rest.find('<')?];
    is_plain(text).then_some(text)
}

/// Whether it can be a region's name, or another word that goes into a message as it is.
fn is_plain(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

/// Seconds since 1970 of an HTTP date.
fn http_date(text: &str) -> Option<i64> {
    DateTime::from_str(text, Format::HttpDate).ok().map(|date| date.secs())
}

/// RFC 9110, 10.2.3: seconds, or a date.
fn retry_after(text: &str, now: i64) -> Option<Duration> {
    let seconds = match text.trim().parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => u64::try_from(http_date(text)? - now).ok()?,
    };
    // A service that asks for more than an hour means "not now"; how long is then the caller's to decide.
    Some(Duration::from_secs(seconds.min(3600)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("7", 0), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:40 GMT", 40), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:00:00 GMT", 40), None);
        assert_eq!(retry_after("soon", 0), None);
        assert_eq!(retry_after("99999999999999", 0), Some(Duration::from_secs(3600)));
    }

    #[test]
    fn what_is_shown_is_one_short_line_without_control_characters() {
        assert_eq!(shown("  a\r\n\tb\u{1b}[31m  c ", 300), "a b [31m c");
        assert_eq!(shown(&"ä".repeat(500), 3), "äää…");
        assert_eq!(shown(&"a ".repeat(100_000), 5), "a a a…");
    }

    #[test]
    fn a_foreign_body_that_repeats_the_request_is_not_shown() {
        let reply = |body| Reply { body, ..Reply::default() };
        assert_eq!(reply(b"<html><title>Sorry</title>").snippet(), "\"<html><title>Sorry</title>\"");
        assert_eq!(reply(b"You sent Authorization: AWS4-HMAC").snippet(), "(not shown)");
        assert_eq!(reply(b"\xff\xfe\x00binary").snippet(), "\"\u{fffd}\u{fffd} binary\"");
    }
}
