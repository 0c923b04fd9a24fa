//! What goes wrong, and when: parsed from a URI's query, printed back as the same text.
//!
//! A script is `operation=rule,rule…&operation=…`; a rule is `when:fault`. *When* counts the calls of the
//! operation from 1: `3` is the third, `3+` the third and all after it, `*` every one. `seed=N` adds faults at
//! random, `rate=M` in M of 1,000 calls (50 unless told): which calls, depends on nothing but the seed, the
//! operation and the call's number, so threads cannot shuffle them.

use crate::error::{Code, Error, Result};
use std::{fmt, str::FromStr, time::Duration};

macro_rules! operations {
    ($($name:ident = $text:literal,)+) => {
        /// A call of a store or an upload.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is the method of the same name")]
        pub enum Operation { $($name,)+ }

        impl Operation {
            /// All operations.
            pub const ALL: &'static [Operation] = &[$(Operation::$name,)+];

            /// Its name in a script.
            pub const fn name(self) -> &'static str {
                match self { $(Operation::$name => $text,)+ }
            }
        }
    };
}

operations! {
    Put = "put", Begin = "begin", Part = "part", Commit = "commit", Abort = "abort",
    Get = "get", Head = "head", Delete = "delete", List = "list",
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Fails with the code and does nothing: `UNAVAILABLE`. A put or a commit is then `NotDone`.
    Code(Code),
    /// Begins later: `delay-50ms`.
    Delay(Duration),
    /// Never answers: `stall`. Ends when it is dropped.
    Stall,
    /// Panics: `panic`.
    Panic,
    /// put, commit: commits and answers `Unknown`: `lost`.
    Lost,
    /// put, commit: takes the whole request, answers `Unknown` and does nothing: `unknown`.
    Unknown,
    /// put, commit: takes the whole request, fails with `UNAVAILABLE` and keeps nothing, for certain: `refused`.
    Refused,
    /// put, commit: answers `Unknown` at once and commits after the time, whoever waits for it: `late-300ms`.
    Late(Duration),
    /// put, commit: answers `Exists` and does nothing: `exists`.
    Exists,
    /// get: the body ends n bytes early, as if it were complete: `short-10`.
    Short(u64),
    /// get: the body goes on for n bytes more: `long-10`.
    Long(u64),
    /// get: the bit with this number, counted from the first of the body, is flipped: `flip-7`. Past the
    /// end nothing happens.
    Flip(u64),
    /// get: the body fails with `UNAVAILABLE` after n bytes: `break-10`.
    Break(u64),
    /// get: the body stops coming after n bytes, without an end: `hang-10`.
    Hang(u64),
}

/// Which calls of an operation a rule is about, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// This one only.
    At(u64),
    /// This one and all after it.
    From(u64),
}

impl When {
    /// Whether it is about call number `nth`, counted from 1.
    pub fn fits(self, nth: u64) -> bool {
        match self {
            When::At(n) => n == nth,
            When::From(n) => nth >= n,
        }
    }
}

/// A list of rules, and perhaps a seed of random ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The rules in order; the first that fits a call decides.
    pub rules: Vec<(Operation, When, Fault)>,
    /// Random faults where no rule fits: the seed, and how many of 1,000 calls fail.
    pub random: Option<(u64, u64)>,
}

/// Random faults in 1,000 calls unless told.
const RATE: u64 = 50;

impl Script {
    /// What goes wrong in call number `nth` (from 1) of `operation`.
    pub fn fault(&self, operation: Operation, nth: u64) -> Option<Fault> {
        let ruled = self.rules.iter().find(|(op, when, _)| *op == operation && when.fits(nth));
        ruled.map(|(.., fault)| fault.clone()).or_else(|| self.random_fault(operation, nth))
    }

    /// Random faults are those that a correct caller survives: nothing that lies for good, panics or hangs.
    fn random_fault(&self, operation: Operation, nth: u64) -> Option<Fault> {
        let (seed, rate) = self.random?;
        let dice = mix(seed ^ mix(nth ^ mix(operation as u64)));
        if dice % 1000 >= rate {
            return None;
        }
        let (kind, size) = (mix(dice), mix(mix(dice)) % 4096);
        let plain = [
            Fault::Code(Code::Unavailable),
            Fault::Code(Code::Throttled),
            Fault::Delay(Duration::from_millis(1 + size % 5)),
        ];
        let more = match operation {
            Operation::Get => {
                vec![Fault::Short(1 + size), Fault::Long(1 + size), Fault::Flip(size), Fault::Break(size)]
            }
            Operation::Put | Operation::Commit => vec![Fault::Lost, Fault::Unknown],
            _ => vec![],
        };
        let all: Vec<Fault> = plain.into_iter().chain(more).collect();
        Some(all[(kind % all.len() as u64) as usize].clone())
    }
}

/// SplitMix64's finaliser: each bit of the input changes half of the output.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn malformed(what: &str) -> Error {
    let operations: Vec<_> = Operation::ALL.iter().map(|op| op.name()).collect();
    Error::new(
        Code::InvalidArgument,
        format!(
            "{what:?} is no part of a fault script; write get=2:UNAVAILABLE,3+:short-10 with operations {} or seed=N, rate=N",
            operations.join(", ")
        ),
    )
}

impl FromStr for Script {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut script = Script::default();
        let (mut seed, mut rate) = (None, None);
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| malformed(part))?;
            match name {
                "seed" => seed = Some(value.parse().map_err(|_| malformed(part))?),
                "rate" => {
                    rate = Some(value.parse().ok().filter(|&r| r <= 1000).ok_or_else(|| malformed(part))?)
                }
                _ => {
                    let found = Operation::ALL.iter().find(|op| op.name() == name);
                    let operation = *found.ok_or_else(|| malformed(part))?;
                    for rule in value.split(',') {
                        let (when, fault) = rule.split_once(':').ok_or_else(|| malformed(rule))?;
                        let fault = fault.parse::<Fault>()?;
                        if !fault.fits(operation) {
                            return Err(malformed(&format!("{name}={rule}")));
                        }
                        script.rules.push((operation, when.parse()?, fault));
                    }
                }
            }
        }
        script.random = match (seed, rate) {
            (None, Some(_)) => return Err(malformed("rate without seed")),
            (seed, rate) => seed.map(|seed| (seed, rate.unwrap_or(RATE))),
        };
        Ok(script)
    }
}

impl FromStr for When {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse().ok().filter(|&n| n > 0).ok_or_else(|| malformed(text));
        Ok(match text.strip_suffix('+') {
            _ if text == "*" => When::From(1),
            Some(n) => When::From(number(n)?),
            None => When::At(number(text)?),
        })
    }
}

impl Fault {
    /// Whether it can happen to the operation.
    fn fits(&self, operation: Operation) -> bool {
        match self {
            Fault::Code(_) | Fault::Delay(_) | Fault::Stall | Fault::Panic => true,
            Fault::Lost | Fault::Unknown | Fault::Refused | Fault::Late(_) | Fault::Exists => {
                matches!(operation, Operation::Put | Operation::Commit)
            }
            Fault::Short(_) | Fault::Long(_) | Fault::Flip(_) | Fault::Break(_) | Fault::Hang(_) => {
                operation == Operation::Get
            }
        }
    }
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(&code) = Code::ALL.iter().find(|code| code.name() == text) {
            return Ok(Fault::Code(code));
        }
        let (name, number) = text.split_once('-').unwrap_or((text, ""));
        let count = || number.parse::<u64>().map_err(|_| malformed(text));
        let time = || {
            let ms = number.strip_suffix("ms").and_then(|ms| ms.parse().ok());
            ms.map(Duration::from_millis).ok_or_else(|| malformed(text))
        };
        Ok(match (name, number) {
            ("stall", "") => Fault::Stall,
            ("panic", "") => Fault::Panic,
            ("lost", "") => Fault::Lost,
            ("unknown", "") => Fault::Unknown,
            ("refused", "") => Fault::Refused,
            ("exists", "") => Fault::Exists,
            ("delay", _) => Fault::Delay(time()?),
            ("late", _) => Fault::Late(time()?),
            ("short", _) => Fault::Short(count()?),
            ("long", _) => Fault::Long(count()?),
            ("flip", _) => Fault::Flip(count()?),
            ("break", _) => Fault::Break(count()?),
            ("hang", _) => Fault::Hang(count()?),
            _ => return Err(malformed(text)),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Code(code) => write!(f, "{code}"),
            Fault::Delay(time) => write!(f, "delay-{}ms", time.as_millis()),
            Fault::Late(time) => write!(f, "late-{}ms", time.as_millis()),
            Fault::Stall => f.write_str("stall"),
            Fault::Panic => f.write_str("panic"),
            Fault::Lost => f.write_str("lost"),
            Fault::Unknown => f.write_str("unknown"),
            Fault::Refused => f.write_str("refused"),
            Fault::Exists => f.write_str("exists"),
            Fault::Short(n) => write!(f, "short-{n}"),
            Fault::Long(n) => write!(f, "long-{n}"),
            Fault::Flip(n) => write!(f, "flip-{n}"),
            Fault::Break(n) => write!(f, "break-{n}"),
            Fault::Hang(n) => write!(f, "hang-{n}"),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::At(n) => write!(f, "{n}"),
            When::From(1) => f.write_str("*"),
            When::From(n) => write!(f, "{n}+"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_prints_as_the_text_that_makes_it() {
        let text = "get=2:UNAVAILABLE&get=3+:short-10&put=*:lost&put=2:refused&put=1:late-9ms&head=1:delay-50ms&list=1:stall&seed=7&rate=20";
        let script: Script = text.parse().unwrap();
        assert_eq!(script.to_string(), text);
        assert_eq!("get=2:UNAVAILABLE,3+:short-10".parse::<Script>().unwrap().rules.len(), 2);
    }

    #[test]
    fn what_is_no_script_is_refused_with_an_example() {
        for bad in [
            "get",
            "got=1:stall",
            "get=1",
            "get=0:stall",
            "get=x:stall",
            "get=1:OOPS",
            "get=1:lost",
            "get=1:late-5ms",
            "put=1:flip-3",
            "rate=5",
            "seed=x",
            "get=1:short-",
            "head=1:delay-5",
            "seed=1&rate=1001",
        ] {
            let error = bad.parse::<Script>().unwrap_err();
            assert!(error.message().contains("get=2:UNAVAILABLE"), "{bad}: {error}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let script: Script = "get=2:panic,2+:stall".parse().unwrap();
        let faults: Vec<_> = (1..=3).map(|n| script.fault(Operation::Get, n)).collect();
        assert_eq!(faults, [None, Some(Fault::Panic), Some(Fault::Stall)]);
        assert_eq!(script.fault(Operation::Head, 2), None);
    }

    #[test]
    fn random_faults_depend_on_the_seed_alone_and_come_at_their_rate() {
        let script: Script = "seed=3&rate=100".parse().unwrap();
        let faults =
            |script: &Script| (1..=10_000).map(|n| script.fault(Operation::Get, n)).collect::<Vec<_>>();
        assert_eq!(faults(&script), faults(&script));
        assert_ne!(faults(&script), faults(&"seed=4&rate=100".parse().unwrap()));
        let count = faults(&script).iter().flatten().count();
        assert!((900..1100).contains(&count), "{count} of 10000");
    }
}
