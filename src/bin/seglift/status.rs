//! `seglift status`: what the tiered storage of another process does.
//!
//! The process tells it through its status socket (docs/status.md); here it is only asked for and shown. What a line
//! says is the host's answer at a moment, so that nothing here keeps count but of what failed since the first one.

use crate::{
    app::{App, count},
    args,
    failure::Failure,
    talk::one_line,
};
use indicatif::HumanBytes;
use seglift::{Code, Error, Result, engine::OpKind};
use serde_json::Value;
use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{self, BufRead, BufReader, ErrorKind, Read},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long a host may take to answer: it sends a line each second, and is late by a few when it is busy.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest line that is read: that of a host with some hundred thousand operations.
const LONGEST: u64 = 64 << 20;
/// Between two lines of talk while it waits.
const EVERY: Duration = Duration::from_secs(5);

/// Shows it once, or waits until nothing is under way.
pub fn run(app: &mut App, args: &args::Status) -> Result<(), Failure> {
    let path = path(app, args)?;
    let until = args.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
    let mut host = Host::connect(&path, until)?;
    let mut seen = host.line(until)?;
    if !args.wait {
        return app.out.result(|| seen.clone(), || text(&seen));
    }
    // By line, since what failed in a long wait may be remembered no longer at its end.
    let mut known: HashSet<u64> = awaited(&seen, "failed").map(|op| number(op, "id")).collect();
    let mut failed: Vec<Code> = Vec::new();
    let mut said = Instant::now();
    let ended = loop {
        if app.out.json {
            app.out.result(|| seen.clone(), String::new)?;
        }
        let running: Vec<&Value> = awaited(&seen, "running").collect();
        if running.is_empty() {
            break Ok(());
        }
        if said.elapsed() >= EVERY {
            said = Instant::now();
            app.talk.note(under_way(&running));
        }
        match host.line(until) {
            Ok(next) => seen = next,
            Err(error) => break Err(error.context(under_way(&running))),
        }
        failed.extend(awaited(&seen, "failed").filter(|op| known.insert(number(op, "id"))).map(code));
    };
    if !app.out.json {
        app.out.result(|| Value::Null, || text(&seen))?;
    }
    ended?;
    failed.iter().for_each(|&code| app.count(code));
    app.talk.note(match failed.len() as u64 {
        0 => "nothing is under way, and nothing failed meanwhile".to_owned(),
        n => format!("nothing is under way; {} failed meanwhile", count(n, "operation")),
    });
    Ok(())
}

/// Where the socket is: as the command line says, else as the settings do.
fn path(app: &App, args: &args::Status) -> Result<PathBuf> {
    let named = match &args.socket {
        Some(path) => path.clone(),
        None => PathBuf::from(app.config.settings()?.status_socket),
    };
    match named.as_os_str().is_empty() {
        false => Ok(named),
        true => Err(Error::new(
            Code::InvalidArgument,
            "no socket is named; give its path, or SEGLIFT_STATUS_SOCKET, or a --config with the host's status.socket",
        )),
    }
}

/// The process that tells.
struct Host {
    path: String,
    stream: BufReader<UnixStream>,
}

impl Host {
    fn connect(path: &Path, until: Option<Instant>) -> Result<Host> {
        let shown = path.display().to_string();
        let (sender, connected) = mpsc::channel();
        let to = path.to_owned();
        // A host that is stopped may take no connections, and connecting has no time-out of its own.
        thread::spawn(move || sender.send(UnixStream::connect(to)));
        let stream = connected.recv_timeout(patience(until)).map_err(|_| silent(&shown, until))?;
        let stream = BufReader::new(stream.map_err(|e| out_of_reach(&shown, &e))?);
        Ok(Host { path: shown, stream })
    }

    /// The next line.
    fn line(&mut self, until: Option<Instant>) -> Result<Value> {
        let broken = |e: &io::Error| match e.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => silent(&self.path, until),
            _ => gone(&self.path),
        };
        self.stream.get_ref().set_read_timeout(Some(patience(until))).map_err(|e| broken(&e))?;
        let mut line = String::new();
        let read = Read::by_ref(&mut self.stream).take(LONGEST).read_line(&mut line);
        match read {
            Ok(_) if line.ends_with('\n') => {}
            Ok(_) => return Err(gone(&self.path)),
            Err(e) => return Err(broken(&e)),
        }
        let value: Value = serde_json::from_str(&line).map_err(|_| {
            let message = format!("what answers at {} is no seglift: it does not speak JSON", self.path);
            Error::new(Code::InvalidArgument, message)
        })?;
        match &value["error"] {
            Value::Null => Ok(value),
            error => {
                let message = format!("{}: {}", self.path, word(error, "message"));
                Err(Error::new(code(error), message).with_retryable(false))
            }
        }
    }
}

/// How long to wait for the next answer; a moment at least, since no time-out at all means for ever.
fn patience(until: Option<Instant>) -> Duration {
    let left = until.map_or(ANSWER, |until| until.saturating_duration_since(Instant::now()));
    left.clamp(Duration::from_millis(1), ANSWER)
}

fn silent(path: &str, until: Option<Instant>) -> Error {
    if until.is_some_and(|until| until <= Instant::now()) {
        return Error::new(Code::TimedOut, "the deadline passed").with_retryable(false);
    }
    let message = format!("{path}: the host has not answered for {} s; is it stopped?", ANSWER.as_secs());
    Error::new(Code::Unavailable, message).with_retryable(false)
}

fn gone(path: &str) -> Error {
    Error::new(Code::Unavailable, format!("{path}: the host has ended or closed its engine"))
        .with_retryable(false)
}

fn out_of_reach(path: &str, error: &io::Error) -> Error {
    let (code, why) = match error.kind() {
        ErrorKind::NotFound => (
            Code::Unavailable,
            "there is no such socket; does the host run, and is its setting status.socket this path?"
                .to_owned(),
        ),
        ErrorKind::ConnectionRefused => {
            (Code::Unavailable, "nobody answers: the process that made it has ended".to_owned())
        }
        ErrorKind::PermissionDenied => {
            (Code::PermissionDenied, "only the host's user and root may ask it".to_owned())
        }
        _ => (Code::Unavailable, error.to_string()),
    };
    Error::new(code, format!("{path}: {why}")).with_retryable(false)
}

fn list<'a>(status: &'a Value, name: &str) -> &'a [Value] {
    status[name].as_array().map_or(&[], Vec::as_slice)
}

fn word<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_default()
}

fn number(object: &Value, name: &str) -> u64 {
    object[name].as_u64().unwrap_or_default()
}

/// A code that a newer host may have and this command does not know is an error like any other.
fn code(object: &Value) -> Code {
    let name = word(object, "code");
    Code::ALL.iter().copied().find(|code| code.name() == name).unwrap_or(Code::Internal)
}

/// Those of a list that `--wait` waits for. Of a kind that a newer host may have nobody knows here how long it takes.
fn awaited<'a>(status: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    list(status, name).iter().filter(|op| {
        let kind = word(op, "kind");
        OpKind::ALL.iter().any(|known| known.name() == kind && !known.comes_and_goes())
    })
}

fn under_way(ops: &[&Value]) -> String {
    let queued = ops.iter().filter(|op| op["queued"] == true).count();
    let sum = |name| ops.iter().map(|op| number(op, name)).sum::<u64>();
    let (done, total, rate) = (sum("bytes_done"), sum("bytes_total"), sum("bytes_per_s_now"));
    let of = if total > 0 { format!(" of {}", HumanBytes(total)) } else { String::new() };
    let running = count((ops.len() - queued) as u64, "operation");
    format!("{running} running, {queued} queued, {}{of}, {}/s", HumanBytes(done), HumanBytes(rate))
}

fn text(status: &Value) -> String {
    let budget = &status["budget"];
    let mut text = format!(
        "process {}, seglift {}, up {}; memory {} of {}\n",
        number(status, "pid"),
        one_line(word(status, "version")),
        span(&status["uptime_s"]),
        HumanBytes(number(budget, "used")),
        HumanBytes(number(budget, "limit")),
    );
    let stores = list(status, "stores");
    let rows = stores.iter().map(|store| {
        let breaker = &store["breaker"];
        let places = |way: &str| {
            let way = &store[way];
            format!("{}/{} +{}", number(way, "in_use"), number(way, "limit"), number(way, "waiting"))
        };
        let why = match &breaker["last"] {
            Value::Null => String::new(),
            last => format!("failing for {}: {}", span(&breaker["failing_s"]), reason(last)),
        };
        let retries = number(store, "retries_last_minute").to_string();
        let state = word(breaker, "state").to_owned();
        vec![word(store, "uri").to_owned(), state, places("reads"), places("writes"), retries, why]
    });
    text += &table(&["store", "breaker", "reads", "writes", "retries/min", ""], rows);
    let running = list(status, "running").iter().map(|op| {
        let state = if op["queued"] == true { "queued" } else { "running" };
        let of = match number(op, "bytes_total") {
            0 => String::new(),
            total => format!(" of {}", HumanBytes(total)),
        };
        vec![
            state.to_owned(),
            word(op, "kind").to_owned(),
            word(op, "what").to_owned(),
            format!("{}{of}", HumanBytes(number(op, "bytes_done"))),
            format!("{}/s", HumanBytes(number(op, "bytes_per_s_now"))),
            span(&op["age_s"]),
            word(op, "stage").to_owned(),
        ]
    });
    let mut ended: Vec<(f64, Vec<String>)> = Vec::new();
    for (name, state) in [("succeeded", "success"), ("failed", "error")] {
        ended.extend(list(status, name).iter().map(|op| {
            let ago = op["ago_s"].as_f64().unwrap_or_default();
            let what = if name == "failed" { reason(op) } else { String::new() };
            let row = vec![
                state.to_owned(),
                word(op, "kind").to_owned(),
                word(op, "what").to_owned(),
                HumanBytes(number(op, "bytes_done")).to_string(),
                String::new(),
                span(&op["age_s"]),
                format!("{} ago{}{what}", span(&op["ago_s"]), if what.is_empty() { "" } else { ": " }),
            ];
            (ago, row)
        }));
    }
    // The newest last, as in a log.
    ended.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let rows: Vec<Vec<String>> = running.chain(ended.into_iter().map(|(_, row)| row)).collect();
    if rows.is_empty() {
        return text + "\nnothing is under way, and nothing has ended so far";
    }
    text += &table(&["state", "what", "of", "bytes", "rate", "time", "stage or end"], rows.into_iter());
    text.truncate(text.trim_end().len());
    text
}

/// All parts of an error, in a line.
fn reason(error: &Value) -> String {
    let mut text = word(error, "code").to_owned();
    let parts = [
        (
            "HTTP ",
            error["http_status"].as_u64().filter(|&status| status != 0).map(|status| status.to_string()),
        ),
        ("", Some(word(error, "service_code").to_owned())),
        ("request ", Some(word(error, "request_id").to_owned())),
        ("extended request ", Some(word(error, "extended_request_id").to_owned())),
        ("", (error["retryable"] == true).then(|| "may pass".to_owned())),
        ("again in ", error["retry_after_ms"].as_u64().map(|ms| format!("{ms} ms"))),
    ];
    let parts = parts.iter().filter_map(|(name, part)| {
        part.as_deref().filter(|part| !part.is_empty()).map(|part| format!("{name}{part}"))
    });
    let parts: Vec<String> = parts.collect();
    if !parts.is_empty() {
        // Writing into a string cannot fail.
        let _ = write!(text, " ({})", parts.join(", "));
    }
    text + ": " + word(error, "message")
}

fn span(seconds: &Value) -> String {
    let seconds = seconds.as_f64().unwrap_or_default().max(0.0);
    match seconds {
        ..60.0 => format!("{seconds:.1} s"),
        _ => humantime::format_duration(Duration::from_secs(seconds as u64)).to_string(),
    }
}

/// Columns as wide as their widest cell; nothing where there are no rows.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = head.iter().map(|&cell| cell.to_owned()).collect();
    let clean = |row: Vec<String>| row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows.map(clean)).collect();
    if rows.len() == 1 {
        return String::new();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::from("\n");
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_shows_all_its_parts_and_no_empty_ones() {
        let all = json!({"code": "THROTTLED", "message": "slow\ndown", "http_status": 503, "service_code": "SlowDown",
            "request_id": "r", "extended_request_id": "x", "retryable": true, "retry_after_ms": 200});
        assert_eq!(
            reason(&all),
            "THROTTLED (HTTP 503, SlowDown, request r, extended request x, may pass, again in 200 ms): slow\ndown"
        );
        let few = json!({"code": "CORRUPT", "message": "bad", "http_status": 0, "service_code": "", "retryable": false});
        assert_eq!(reason(&few), "CORRUPT: bad");
    }

    #[test]
    fn what_runs_comes_first_and_what_ended_last_stands_last() {
        let status = json!({"pid": 7, "version": "0.1.0", "uptime_s": 3.0, "budget": {"used": 0, "limit": 1048576},
            "stores": [{"uri": "memory:", "breaker": {"state": "open", "failing_s": 2.0,
                "last": {"code": "UNAVAILABLE", "message": "down"}}, "retries_last_minute": 4,
                "reads": {"in_use": 1, "limit": 128, "waiting": 2}, "writes": {}}],
            "running": [{"kind": "offload", "what": "a\u{1b}b", "queued": true, "age_s": 1.0, "stage": "start"}],
            "succeeded": [{"kind": "offload", "what": "new", "ago_s": 1.0, "age_s": 90.0, "bytes_done": 5}],
            "failed": [{"kind": "read", "what": "old", "ago_s": 2.0, "code": "NOT_FOUND", "message": "no"}]});
        let lines: Vec<String> = text(&status).lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "process 7, seglift 0.1.0, up 3.0 s; memory 0 B of 1.00 MiB");
        assert!(
            lines[3].contains("open     1/128 +2")
                && lines[3].contains("failing for 2.0 s: UNAVAILABLE: down")
        );
        let states: Vec<&str> = lines[6..].iter().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(states, ["queued", "error", "success"]);
        assert!(lines[6].contains("a\\u{1b}b") && lines[8].contains("1m 30s"), "{lines:#?}");
        assert_eq!(
            text(&json!({})).lines().last(),
            Some("nothing is under way, and nothing has ended so far")
        );
    }
}
