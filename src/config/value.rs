//! What a setting may hold: kinds with their limits, values, and the text form of both.
//!
//! Every text is parsed once, where it enters, so that an error can still say which file and line
//! it came from. A value prints in the shortest form that parses back to itself, which is why
//! `seglift config` can be pasted into a file.
//!
//! There are no fractions (`1.5GiB`): they read well and round badly.

use super::secret::Secret;
use std::{fmt, ops::Range, time::Duration};

/// 1024 bytes.
pub const KIB: u64 = 1 << 10;
/// 1024 KiB.
pub const MIB: u64 = 1 << 20;
/// 1024 MiB.
pub const GIB: u64 = 1 << 30;
/// 1024 GiB.
pub const TIB: u64 = 1 << 40;

/// The type of a setting and the values that it takes; both ends of a range belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Bytes.
    Size {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// Bytes, or any negative number for "off".
    SizeOrOff,
    /// A power of two in bytes, or 0 for the setting's default.
    PowerOfTwo {
        /// Smallest but 0.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A time span.
    Duration {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// A time span, or any negative number for "off".
    DurationOrOff,
    /// A whole number.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// `true` or `false`.
    Bool,
    /// One of a few words, in any case.
    Choice(&'static [&'static str]),
    /// Text without control characters.
    Text {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// The URL of a service, or its host with or without a port; nothing at all for none. Without a user and a
    /// password, so that it can be shown.
    Address,
    /// Text that is never shown.
    Secret,
    /// Texts separated by `;`. URIs among them hold no user and no password, so that they can be shown.
    List,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// The setting is switched off (`-1`).
    Off,
    /// The setting's default is asked for by name (`0` where 0 is no value of its own).
    Auto,
    /// Bytes.
    Size(u64),
    /// A time span.
    Duration(Duration),
    /// A whole number.
    Integer(i64),
    /// A truth value.
    Bool(bool),
    /// One of the words of its [`Kind::Choice`], spelled as there.
    Choice(&'static str),
    /// Text.
    Text(String),
    /// Text that is never shown.
    Secret(Secret),
    /// Several texts.
    List(Vec<String>),
}

impl Kind {
    /// Reads `text` as this kind. `plain` is what a time without a unit counts in; natively that
    /// is nothing, so that nobody has to guess. The error says what is wrong, without the text.
    pub(super) fn parse(self, text: &str, plain: Option<Duration>) -> Result<Value, String> {
        let text = text.trim();
        match self {
            Kind::Size { min, max } => in_range(Value::Size, parse_size(text)?, min, max),
            Kind::SizeOrOff if is_negative(text) => Ok(Value::Off),
            Kind::SizeOrOff => parse_size(text).map(Value::Size),
            Kind::PowerOfTwo { min, max } => match parse_size(text)? {
                0 => Ok(Value::Auto),
                size if !size.is_power_of_two() => Err("it is no power of two".into()),
                size => in_range(Value::Size, size, min, max),
            },
            Kind::Duration { min, max } => in_range(Value::Duration, parse_duration(text, plain)?, min, max),
            Kind::DurationOrOff if is_negative(text) => Ok(Value::Off),
            Kind::DurationOrOff => parse_duration(text, plain).map(Value::Duration),
            Kind::Integer { min, max } => {
                let number = text.parse().map_err(|_| "it is no whole number".to_string())?;
                in_range(Value::Integer, number, min, max)
            }
            Kind::Bool => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err("it is neither true nor false".into()),
            },
            Kind::Choice(words) => words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text))
                .map(|word| Value::Choice(word))
                .ok_or_else(|| "there is no such choice".into()),
            Kind::Text { min, max } => parse_text(text, min, max).map(Value::Text),
            Kind::Address => parse_address(text).map(Value::Text),
            Kind::Secret => Ok(Value::Secret(Secret::new(text))),
            Kind::List => {
                let items = text.split(';').map(str::trim).filter(|item| !item.is_empty());
                items.map(parse_item).collect::<Result<_, _>>().map(Value::List)
            }
        }
    }
}

/// Says what is allowed, as documents and errors print it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Kind::Size { min, max } => write!(f, "a size, {} to {}", Bytes(min), Bytes(max)),
            Kind::SizeOrOff => f.write_str("a size, or -1 for off"),
            Kind::PowerOfTwo { min, max } => {
                write!(f, "0, or a power of two, {} to {}", Bytes(min), Bytes(max))
            }
            Kind::Duration { min, max } => write!(f, "a time, {} to {}", Span(min), Span(max)),
            Kind::DurationOrOff => f.write_str("a time, or -1 for off"),
            Kind::Integer { min, max } => write!(f, "a number, {min} to {max}"),
            Kind::Bool => f.write_str("true or false"),
            Kind::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Kind::Text { min, max } => write!(f, "{min} to {max} characters, none a control character"),
            Kind::Address => f.write_str("a http:// or https:// URL, or a host with or without a port"),
            Kind::Secret => f.write_str("a secret"),
            Kind::List => f.write_str("a list, separated by `;`"),
        }
    }
}

/// The form that [`Kind`] reads; a secret prints as `(hidden)`, unless it is empty and there is none.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Off => f.write_str("-1"),
            Value::Auto => f.write_str("0"),
            Value::Size(size) => Bytes(*size).fmt(f),
            Value::Duration(span) => Span(*span).fmt(f),
            Value::Integer(number) => number.fmt(f),
            Value::Bool(on) => on.fmt(f),
            Value::Choice(word) => f.write_str(word),
            Value::Text(text) => f.write_str(text),
            Value::Secret(secret) if secret.is_empty() => Ok(()),
            Value::Secret(secret) => secret.fmt(f),
            Value::List(items) => f.write_str(&items.join(";")),
        }
    }
}

/// A number of bytes that prints in the largest unit that divides it: `64MiB`, `1000`.
pub(super) struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
        match units.iter().find(|(unit, _)| self.0 != 0 && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => self.0.fmt(f),
        }
    }
}

/// A time span, whole milliseconds, that prints in the largest unit that divides it: `4h`, `1500ms`.
pub(super) struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        match units.iter().find(|(unit, _)| ms != 0 && ms.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", ms / unit),
            None => f.write_str("0s"),
        }
    }
}

fn in_range<T: PartialOrd>(make: fn(T) -> Value, value: T, min: T, max: T) -> Result<Value, String> {
    if value < min {
        Err("it is too small".into())
    } else if value > max {
        Err("it is too large".into())
    } else {
        Ok(make(value))
    }
}

fn is_negative(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Splits `64MiB` into its digits as a number and its unit in lower case.
fn number_and_unit(text: &str) -> Result<(u64, String), String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err("it does not begin with a whole, positive number".into());
    }
    let number = digits.parse().map_err(|_| "its number is too large".to_string())?;
    Ok((number, unit.trim_start().to_ascii_lowercase()))
}

/// Bytes from a text such as `50MiB`. `K`, `M`, `G`, `T` count in 1024s, as Pulsar's and the usual Unix tools do;
/// `KB`, `MB`, … are the thousands of the SI.
///
/// # Errors
/// What is wrong with it, without the text.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kib" => KIB,
        "m" | "mib" => MIB,
        "g" | "gib" => GIB,
        "t" | "tib" => TIB,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err("its unit is none of KiB, MiB, GiB, TiB, K, M, G, T, KB, MB, GB, TB".into()),
    };
    number.checked_mul(factor).ok_or_else(|| "it is too large".into())
}

fn parse_duration(text: &str, plain: Option<Duration>) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match (unit.as_str(), plain) {
        ("ms", _) => Duration::from_millis(1),
        ("s", _) => Duration::from_secs(1),
        ("m" | "min", _) => Duration::from_secs(60),
        ("h", _) => Duration::from_secs(3_600),
        ("d", _) => Duration::from_secs(86_400),
        ("", Some(plain)) => plain,
        ("", None) if number == 0 => Duration::ZERO,
        ("", None) => return Err("it has no unit (ms, s, m, h, d)".into()),
        _ => return Err("its unit is none of ms, s, m, h, d".into()),
    };
    // A century is "for ever" to any broker, and keeps every sum of times far from an overflow.
    let century = Duration::from_secs(36_525 * 86_400);
    number
        .checked_mul(factor.as_millis() as u64)
        .map(Duration::from_millis)
        .filter(|span| *span <= century)
        .ok_or_else(|| "it is longer than a hundred years".into())
}

fn parse_text(text: &str, min: usize, max: usize) -> Result<String, String> {
    let count = text.chars().count();
    if text.chars().any(char::is_control) {
        Err("it has a control character".into())
    } else if count < min {
        Err("it is too short".into())
    } else if count > max {
        Err("it is too long".into())
    } else {
        Ok(text.to_string())
    }
}

fn parse_item(item: &str) -> Result<String, String> {
    match user_info(item) {
        Some(_) => Err(NO_CREDENTIALS.into()),
        None => parse_text(item, 1, usize::MAX),
    }
}

/// Reads the address of a service; see [`Kind::Address`]. The error says what is wrong, without the text.
pub(crate) fn parse_address(text: &str) -> Result<String, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let known = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    if text.is_empty() {
        return Ok(String::new());
    }
    if user_info(text).is_some() || rest.split('/').next().is_some_and(|host| host.contains('@')) {
        return Err(NO_CREDENTIALS.into());
    }
    if !known {
        return Err("its scheme is neither http nor https".into());
    }
    if rest.is_empty() || rest.starts_with(['/', ':']) {
        return Err("it names no host".into());
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if let Some((_, port)) = authority.rsplit_once(':').filter(|_| !authority.ends_with(']'))
        && port.parse::<u16>().is_err()
    {
        return Err("its port is no number up to 65535".into());
    }
    if rest.contains(|c: char| c.is_whitespace() || c.is_control() || "?#\\\"<>".contains(c)) {
        return Err("it has a character that no address of a service has".into());
    }
    Ok(text.trim_end_matches('/').to_string())
}

const NO_CREDENTIALS: &str = "it holds a user or a password; give credentials in settings of their own";

/// Where in a URI its user and password stand; with other things between them if there are two of them.
fn user_info(uri: &str) -> Option<Range<usize>> {
    match (in_authority(uri), in_query(uri)) {
        (Some(first), Some(last)) => Some(first.start..first.end.max(last.end)),
        (first, last) => first.or(last),
    }
}

fn in_authority(uri: &str) -> Option<Range<usize>> {
    let start = uri.find("://")? + 3;
    let rest = &uri[start..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    // The last @: a password may hold one by mistake.
    if let Some(at) = authority.rfind('@') {
        return Some(start..start + at);
    }
    // And it may hold a slash, as Amazon's do: then what looks like a port is no number.
    let (_, port) = authority.rsplit_once(':')?;
    let at = rest.rfind('@').filter(|_| !port.bytes().all(|c| c.is_ascii_digit()))?;
    Some(start..start + at)
}

/// `s3://bucket?endpoint=http://user:password@host`: no parameter of a store has an @ of its own. The password may hold
/// whatever separates parameters, so all from the first value on counts as part of it.
fn in_query(uri: &str) -> Option<Range<usize>> {
    let query = uri.find('?')? + 1;
    let end = ["@", "%40"].iter().filter_map(|at| uri[query..].rfind(at)).max()?;
    let start = uri[query..][..end].find('=').map_or(0, |equals| equals + 1);
    Some(query + start..query + end)
}

/// `text`, URIs perhaps, as a message may show it: what looks like credentials in them is hidden.
pub(super) fn shown(text: &str) -> String {
    let shown = |uri: &str| match user_info(uri) {
        Some(secret) => format!("{}(hidden){}", &uri[..secret.start], &uri[secret.end..]),
        None => uri.to_string(),
    };
    text.split(';').map(shown).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANY_SIZE: Kind = Kind::Size { min: 0, max: u64::MAX };
    const ANY_TIME: Kind = Kind::Duration { min: Duration::ZERO, max: Duration::MAX };

    #[test]
    fn sizes_take_binary_and_decimal_units_in_any_case() {
        for (text, bytes) in [
            ("0", 0),
            ("123", 123),
            ("7 B", 7),
            ("10M", 10 << 20),
            ("10m", 10 << 20),
            ("64MiB", 64 << 20),
            ("64mib", 64 << 20),
            ("1GB", 1_000_000_000),
            ("3K", 3072),
            ("3KB", 3000),
            ("2T", 2 << 40),
            (" 5 GiB ", 5 << 30),
        ] {
            assert_eq!(ANY_SIZE.parse(text, None), Ok(Value::Size(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5G", "1 0", "10X", "0x10", "+1", "99999999999999999999", "16777216T"]
        {
            assert!(ANY_SIZE.parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn times_want_a_unit_unless_they_are_zero_or_the_name_implies_one() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("0", 0),
        ] {
            assert_eq!(ANY_TIME.parse(text, None), Ok(Value::Duration(Duration::from_millis(ms))), "{text}");
        }
        for text in ["30", "s", "1.5s", "-1", "1w", "9999999999d", "36526d"] {
            assert!(ANY_TIME.parse(text, None).is_err(), "{text}");
        }
        let millis = Some(Duration::from_millis(1));
        assert_eq!(ANY_TIME.parse("14400000", millis).unwrap().to_string(), "4h");
        assert_eq!(ANY_TIME.parse("5s", millis).unwrap().to_string(), "5s");
    }

    #[test]
    fn negative_means_off_only_where_the_kind_says_so() {
        for text in ["-1", "-5", "-1GiB"] {
            assert_eq!(Kind::SizeOrOff.parse(text, None), Ok(Value::Off));
            assert!(ANY_SIZE.parse(text, None).is_err());
            assert!(ANY_TIME.parse(text, None).is_err());
        }
        assert_eq!(Kind::DurationOrOff.parse("-1", None), Ok(Value::Off));
        assert!(Kind::SizeOrOff.parse("-", None).is_err());
        assert!(Kind::DurationOrOff.parse("off", None).is_err());
    }

    #[test]
    fn a_list_drops_empty_items_and_spaces() {
        let list = Kind::List.parse(" file:///a ; ;file:///b;", None).unwrap();
        assert_eq!(list, Value::List(vec!["file:///a".into(), "file:///b".into()]));
        assert_eq!(list.to_string(), "file:///a;file:///b");
    }

    #[test]
    fn an_address_is_a_url_or_a_host_without_credentials() {
        for (text, kept) in [
            ("", ""),
            ("minio", "minio"),
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("http://minio:9000/", "http://minio:9000"),
            ("HTTPS://s3.example/path/", "HTTPS://s3.example/path"),
            ("[::1]:9000", "[::1]:9000"),
        ] {
            assert_eq!(Kind::Address.parse(text, None), Ok(Value::Text(kept.into())), "{text}");
        }
        for text in [
            "ftp://h",
            "http://",
            "http:///x",
            ":9000",
            "h?x=1",
            "h#x",
            "a b",
            "http://u:p@h",
            "u:p@h",
            "u@h/x",
        ] {
            assert!(Kind::Address.parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_in_a_uri_are_refused_in_a_list_and_hidden_in_a_message() {
        assert!(Kind::List.parse("s3://a;s3://AKIA:hunter2@b", None).is_err());
        assert!(Kind::List.parse("s3://a/x@y;s3://b?endpoint=h", None).is_ok());
        assert!(Kind::List.parse("s3://AKIA:hun/ter2@b", None).is_err());
        for plain in ["s3://a/x@y", "http://h:90/x@y", "a;b", "1MiB", "://@".trim_end_matches('@')] {
            assert_eq!(shown(plain), plain);
        }
        assert_eq!(
            shown("s3://a;s3://k:hunter2@b;s3://k:p@ss@b/c@d"),
            "s3://a;s3://(hidden)@b;s3://(hidden)@b/c@d"
        );
        assert_eq!(shown("s3://AKIA:hun/ter2@b"), "s3://(hidden)@b");
        assert_eq!(shown("s3://b?endpoint=http://u:hun=&?ter2@h"), "s3://b?endpoint=(hidden)@h");
        assert_eq!(shown("s3://k:p@b?endpoint=http://u:hunter2%40h"), "s3://(hidden)%40h");
    }

    #[test]
    fn text_counts_characters_not_bytes_and_refuses_control_characters() {
        let kind = Kind::Text { min: 1, max: 3 };
        assert!(kind.parse("äöü", None).is_ok());
        assert!(kind.parse("äöüß", None).is_err());
        assert!(kind.parse("  ", None).is_err());
        assert!(kind.parse("a\u{7}b", None).is_err());
    }

    proptest! {
        #[test]
        fn a_size_prints_as_text_that_reads_back(size: u64, shift in 0u32..64) {
            let value = Value::Size(size >> shift << shift.min(40));
            prop_assert_eq!(ANY_SIZE.parse(&value.to_string(), None), Ok(value));
        }

        #[test]
        fn a_time_prints_as_text_that_reads_back(ms in 0u64..3_000_000_000_000, round in 1u64..100_000_000) {
            let value = Value::Duration(Duration::from_millis(ms / round * round));
            prop_assert_eq!(ANY_TIME.parse(&value.to_string(), None), Ok(value));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in ".{0,40}") {
            let kinds = [ANY_SIZE, ANY_TIME, Kind::SizeOrOff, Kind::DurationOrOff, Kind::Bool, Kind::List,
                Kind::PowerOfTwo { min: 1, max: 8 }, Kind::Integer { min: 0, max: 9 }, Kind::Choice(&["a"])];
            for kind in kinds {
                let _ = kind.parse(&text, Some(Duration::from_secs(1)));
            }
        }
    }
}
