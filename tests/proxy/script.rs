//! What goes wrong on the wire, and when: parsed from one line, printed back as the same text.
//!
//! Purpose: a test that failed is repeated by the line that it printed. A script is `operation=rule,rule&operation=…`,
//! a rule is `when:fault`. *When* counts the requests of that operation from 1: `3` is the third, `3+` the third and
//! all after it, `*` every one. `seed=N` adds faults at random, `rate=M` in M of 1,000 requests (50 unless told).
//!
//! Invariant: which request fails, and how, depends on nothing but the seed, the operation and the request's number, so
//! threads cannot shuffle it.
//!
//! Trade-off: the same grammar as the scripts of the store that fails on purpose, and another list of faults: that one
//! knows what a store answers, this one what bytes do.

pub use seglift::store::fault::{When, mix};
use std::{fmt, str::FromStr, time::Duration};

macro_rules! operations {
    ($($name:ident = $text:literal,)+) => {
        /// What a request asks for, by its method and query.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation { $($name,)+ }

        impl Operation {
            pub const ALL: &'static [Operation] = &[$(Operation::$name,)+];

            /// Its name in a script.
            pub const fn name(self) -> &'static str {
                match self { $(Operation::$name => $text,)+ }
            }
        }
    };
}

operations! {
    Put = "put", Begin = "begin", Part = "part", Commit = "commit", Abort = "abort", Get = "get", Head = "head",
    Delete = "delete", List = "list", Uploads = "uploads", Parts = "parts", Other = "other",
}

impl Operation {
    /// Of a request's first line: `GET /bucket/key?query`.
    pub fn of(method: &str, target: &str) -> Operation {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        // `/bucket` and `/bucket/` are the bucket itself.
        let bucket = path.trim_matches('/').split('/').count() < 2;
        match method {
            "PUT" if has("partNumber") => Operation::Part,
            "PUT" if !bucket => Operation::Put,
            "POST" if has("uploads") => Operation::Begin,
            "POST" if has("uploadId") => Operation::Commit,
            "POST" if has("delete") => Operation::Delete,
            "DELETE" if has("uploadId") => Operation::Abort,
            "DELETE" if !bucket => Operation::Delete,
            "GET" if has("uploads") => Operation::Uploads,
            "GET" if has("uploadId") => Operation::Parts,
            "GET" if has("list-type") => Operation::List,
            "GET" if !bucket => Operation::Get,
            "HEAD" if !bucket => Operation::Head,
            _ => Operation::Other,
        }
    }
}

/// One thing that goes wrong. A number of bytes counts modulo the length of the body, where that is known, so that each
/// number hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store does not hear of the request; the client gets this status with an error as S3 words it: `503`, or
    /// `400-ExpiredToken` with a code other than the usual one. 429 and 503 come with `Retry-After`. 200 is a success whose
    /// body is an error.
    Status(u16, Option<String>),
    /// The same with a page of HTML, as a load balancer answers: `html-502`.
    Html(u16),
    /// The store does what was asked, and the client gets this status with an error: `done-500`.
    Done(u16),
    /// The request goes on later: `delay-50ms`.
    Delay(Duration),
    /// The request is taken and nothing else ever happens: `stall`.
    Stall,
    /// The connection is reset before the request's body: `reset`.
    Reset,
    /// The store does what was asked, and the connection is closed instead of an answer: `lost`.
    Lost,
    /// The store does what was asked, and no answer ever comes: `mute`.
    Mute,
    /// The request is sent to the store twice, the client gets the second answer: `twice`.
    Twice,
    /// Both connections are reset after n bytes of the request's body: `up-break-10`.
    UpBreak(u64),
    /// Nobody takes more of the request than n bytes of its body: `up-hang-10`.
    UpHang(u64),
    /// The bit with this number of the request's body is flipped: `up-flip-7`.
    UpFlip(u64),
    /// The request's body goes on in pieces of n bytes, a hundred each second: `up-drip-1000`.
    UpDrip(u64),
    /// The connection is reset after n bytes of the answer's body: `break-10`.
    Break(u64),
    /// The connection is closed after n bytes of the answer's body, its promised length unchanged: `cut-10`.
    Cut(u64),
    /// Nothing comes after n bytes of the answer's body: `hang-10`.
    Hang(u64),
    /// The answer ends n bytes early, and says so from the beginning: `short-10`.
    Short(u64),
    /// The answer goes on for n bytes more, and says so from the beginning: `long-10`.
    Long(u64),
    /// The bit with this number of the answer's body is flipped: `flip-7`.
    Flip(u64),
    /// The answer's body comes in pieces of n bytes, a hundred each second: `drip-1000`.
    Drip(u64),
    /// get: the answer says that its bytes stand n bytes further on: `range-10`.
    Range(u64),
    /// get: the store does not hear which bytes were asked for, and answers with all: `whole`.
    Whole,
    /// put, commit: the store does not hear that it must not overwrite: `overwrite`.
    Overwrite,
    /// The answer has no ETag: `no-etag`.
    NoEtag,
}

/// A list of rules, and perhaps a seed of random ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The first rule that fits a request decides.
    pub rules: Vec<(Operation, When, Fault)>,
    /// Random faults where no rule fits: the seed, and how many of 1,000 requests fail.
    pub random: Option<(u64, u64)>,
}

/// Random faults in 1,000 requests unless told.
const RATE: u64 = 50;

impl Script {
    /// What goes wrong in request number `nth` (from 1) of `operation`.
    pub fn fault(&self, operation: Operation, nth: u64) -> Option<Fault> {
        let ruled = self.rules.iter().find(|(op, when, _)| *op == operation && when.fits(nth));
        ruled.map(|(.., fault)| fault.clone()).or_else(|| self.random_fault(operation, nth))
    }

    /// Random faults are those after which a correct client still tells the truth: none that lies about what the store
    /// holds (a 404 for what is there), none in what no checksum guards (a bit of a listing).
    fn random_fault(&self, operation: Operation, nth: u64) -> Option<Fault> {
        let (seed, rate) = self.random?;
        let dice = mix(seed ^ mix(nth ^ mix(operation as u64)));
        if operation == Operation::Other || dice % 1000 >= rate {
            return None;
        }
        let (kind, size) = (mix(dice), mix(mix(dice)) % (1 << 22));
        let status = |status| Fault::Status(status, None);
        let mut all = vec![
            status(500),
            status(503),
            status(429),
            Fault::Status(503, Some("SlowDown".into())),
            Fault::Status(400, Some("RequestTimeout".into())),
            Fault::Html(502),
            Fault::Delay(Duration::from_millis(1 + size % 50)),
            Fault::Reset,
            Fault::Lost,
            Fault::Done(500),
            Fault::Break(size),
            Fault::Cut(size),
        ];
        // Silence costs the client a whole time-out, and a refusal the operation: now and then is enough.
        if kind >> 32 & 3 == 0 {
            all = vec![Fault::Stall, Fault::Mute, Fault::Hang(size), status(403)];
        } else if operation == Operation::Get {
            all.extend([Fault::Flip(size), Fault::Short(1 + size % 4096), Fault::Long(1 + size % 4096)]);
            all.extend([Fault::Range(1 + size), Fault::Drip(16 << 10)]);
        } else if matches!(operation, Operation::Put | Operation::Part) {
            all.extend([Fault::UpBreak(size), Fault::UpFlip(size), Fault::UpDrip(64 << 10), Fault::NoEtag]);
            all.extend([Fault::UpHang(size), Fault::Twice]);
        } else if matches!(operation, Operation::Begin | Operation::Commit | Operation::Abort) {
            all.extend([Fault::Twice]);
        }
        Some(all[(kind % all.len() as u64) as usize].clone())
    }
}

fn malformed(what: &str) -> String {
    let operations: Vec<_> = Operation::ALL.iter().map(|op| op.name()).collect();
    format!(
        "\"{what}\" is no part of a fault script; write get=2:503,3+:cut-10 with operations {} or seed=N, rate=N",
        operations.join(", ")
    )
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut script = Script::default();
        let mut rate = RATE;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| malformed(pair))?;
            let number = || value.parse().map_err(|_| malformed(pair));
            match name {
                "seed" => script.random = Some((number()?, rate)),
                "rate" => {
                    rate = number().and_then(|n| if n > 1000 { Err(malformed(pair)) } else { Ok(n) })?
                }
                _ => {
                    let operation = Operation::ALL.iter().find(|op| op.name() == name);
                    let operation = *operation.ok_or_else(|| malformed(pair))?;
                    for rule in value.split(',') {
                        let (when, fault) = rule.split_once(':').ok_or_else(|| malformed(rule))?;
                        let when = when.parse().map_err(|_| malformed(when))?;
                        script.rules.push((operation, when, fault.parse()?));
                    }
                }
            }
        }
        script.random = script.random.map(|(seed, _)| (seed, rate));
        Ok(script)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The number, if any, stands behind the last dash: but for a status with its code.
        let (first, rest) = text.split_once('-').unwrap_or((text, ""));
        if let Ok(status) = first.parse() {
            return Ok(Fault::Status(status, (!rest.is_empty()).then(|| rest.to_owned())));
        }
        let (name, number) = match text.rsplit_once('-') {
            Some((name, number)) if number.starts_with(|c: char| c.is_ascii_digit()) => (name, number),
            _ => (text, ""),
        };
        let count = || number.parse::<u64>().map_err(|_| malformed(text));
        let status = || number.parse::<u16>().map_err(|_| malformed(text));
        let some = || count().and_then(|n| if n == 0 { Err(malformed(text)) } else { Ok(n) });
        Ok(match (name, number) {
            ("stall", "") => Fault::Stall,
            ("reset", "") => Fault::Reset,
            ("lost", "") => Fault::Lost,
            ("mute", "") => Fault::Mute,
            ("twice", "") => Fault::Twice,
            ("whole", "") => Fault::Whole,
            ("overwrite", "") => Fault::Overwrite,
            ("no-etag", "") => Fault::NoEtag,
            ("html", _) => Fault::Html(status()?),
            ("done", _) => Fault::Done(status()?),
            ("delay", _) => {
                let ms = number.strip_suffix("ms").and_then(|ms| ms.parse().ok());
                Fault::Delay(ms.map(Duration::from_millis).ok_or_else(|| malformed(text))?)
            }
            ("up-break", _) => Fault::UpBreak(count()?),
            ("up-hang", _) => Fault::UpHang(count()?),
            ("up-flip", _) => Fault::UpFlip(count()?),
            ("up-drip", _) => Fault::UpDrip(some()?),
            ("break", _) => Fault::Break(count()?),
            ("cut", _) => Fault::Cut(count()?),
            ("hang", _) => Fault::Hang(count()?),
            ("short", _) => Fault::Short(some()?),
            ("long", _) => Fault::Long(some()?),
            ("flip", _) => Fault::Flip(count()?),
            ("drip", _) => Fault::Drip(some()?),
            ("range", _) => Fault::Range(some()?),
            _ => return Err(malformed(text)),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Status(status, None) => write!(f, "{status}"),
            Fault::Status(status, Some(code)) => write!(f, "{status}-{code}"),
            Fault::Html(status) => write!(f, "html-{status}"),
            Fault::Done(status) => write!(f, "done-{status}"),
            Fault::Delay(time) => write!(f, "delay-{}ms", time.as_millis()),
            Fault::Stall => f.write_str("stall"),
            Fault::Reset => f.write_str("reset"),
            Fault::Lost => f.write_str("lost"),
            Fault::Mute => f.write_str("mute"),
            Fault::Twice => f.write_str("twice"),
            Fault::Whole => f.write_str("whole"),
            Fault::Overwrite => f.write_str("overwrite"),
            Fault::NoEtag => f.write_str("no-etag"),
            Fault::UpBreak(n) => write!(f, "up-break-{n}"),
            Fault::UpHang(n) => write!(f, "up-hang-{n}"),
            Fault::UpFlip(n) => write!(f, "up-flip-{n}"),
            Fault::UpDrip(n) => write!(f, "up-drip-{n}"),
            Fault::Break(n) => write!(f, "break-{n}"),
            Fault::Cut(n) => write!(f, "cut-{n}"),
            Fault::Hang(n) => write!(f, "hang-{n}"),
            Fault::Short(n) => write!(f, "short-{n}"),
            Fault::Long(n) => write!(f, "long-{n}"),
            Fault::Flip(n) => write!(f, "flip-{n}"),
            Fault::Drip(n) => write!(f, "drip-{n}"),
            Fault::Range(n) => write!(f, "range-{n}"),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (operation, when, fault) in &self.rules {
            write!(f, "{between}{}={when}:{fault}", operation.name())?;
            between = "&";
        }
        match self.random {
            Some((seed, rate)) => write!(f, "{between}seed={seed}&rate={rate}"),
            None => Ok(()),
        }
    }
}
