//! The two kinds of settings files, as lists of names and texts with their lines.
//!
//! TOML is parsed by the `toml` crate. The other kind is the Java properties format, which is what
//! `broker.conf`, `standalone.conf` and `server.properties` are; its rules fit on one page.

use crate::{Code, Error, Result};
use std::{fs::File, io::Read, path::Path};
use toml::de::{DeTable, DeValue};

/// No broker's file comes near; a device or a log file given by mistake does not fill the memory.
const LARGEST_FILE: u64 = 4 << 20;

pub(super) struct Entry {
    pub name: String,
    pub value: String,
    /// From 1.
    pub line: usize,
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    if let Err(e) = read {
        let message = format!("the settings file {} cannot be read: {e}", path.display());
        return Err(Error::new(Code::InvalidConfig, message));
    }
    if bytes.len() as u64 > LARGEST_FILE {
        let message = format!("{} is no settings file: it has more than 4 MiB", path.display());
        return Err(Error::new(Code::InvalidConfig, message));
    }
    Ok(bytes)
}

/// The entries of a TOML file, nested tables as dotted names, in the order of their lines.
pub(super) fn toml(path: &str, bytes: &[u8]) -> Result<Vec<Entry>> {
    let refuse =
        |line: usize, problem: &str| Error::new(Code::InvalidConfig, format!("{path}:{line}: {problem}"));
    let text = std::str::from_utf8(bytes)
        .map_err(|e| refuse(line_at(bytes, e.valid_up_to()), "this is not UTF-8, as TOML must be"))?;
    let root = DeTable::parse(text).map_err(|e| {
        // The message without the lines around it, which may hold a secret.
        refuse(line_at(bytes, e.span().map_or(0, |span| span.start)), e.message())
    })?;
    let line_ends: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    let mut entries = Vec::new();
    flatten("", root.get_ref(), &mut |name, at, value| {
        let line = 1 + line_ends.partition_point(|end| *end < at);
        let value = toml_text(value).map_err(|problem| refuse(line, &format!("{name} {problem}")))?;
        entries.push(Entry { name, value, line });
        Ok(())
    })?;
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn flatten(
    prefix: &str,
    table: &DeTable<'_>,
    visit: &mut dyn FnMut(String, usize, &DeValue<'_>) -> Result<()>,
) -> Result<()> {
    for (key, value) in table.iter() {
        let name = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => flatten(&format!("{name}."), inner, visit)?,
            other => visit(name, key.span().start, other)?,
        }
    }
    Ok(())
}

fn toml_text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(on) => Ok(on.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| "has a number that is too large".to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| toml_text(item.get_ref()));
            Ok(items.collect::<Result<Vec<_>, _>>()?.join(";"))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
            Err("takes a string, a whole number, true or false, or a list of strings".to_string())
        }
    }
}

fn line_at(bytes: &[u8], at: usize) -> usize {
    1 + bytes.iter().take(at).filter(|byte| **byte == b'\n').count()
}

/// The entries of a properties file. Nothing in it is an error: most of it is not ours. Bytes that
/// are no UTF-8 become U+FFFD, because old files hold Latin-1 in their comments.
pub(super) fn properties(bytes: &[u8]) -> Vec<Entry> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, first)) = lines.next() {
        let first = first.trim_start();
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_string();
        let mut goes_on = ends_in_odd_backslashes(first);
        while goes_on {
            logical.pop();
            let more = lines.next().map_or("", |(_, more)| more.trim_start());
            logical.push_str(more);
            // An even number of backslashes stands in front of it, so its own decide.
            goes_on = ends_in_odd_backslashes(more);
        }
        let (name, value) = split_property(&logical);
        entries.push(Entry {
            name: unescape(name),
            value: unescape(value).trim_end().to_string(),
            line: number + 1,
        });
    }
    entries
}

fn ends_in_odd_backslashes(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Splits at the first `=`, `:` or blank that no backslash protects; blanks around it belong to it.
fn split_property(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let separates = !escaped && (matches!(c, '=' | ':') || c.is_whitespace());
        escaped = c == '\\' && !escaped;
        separates
    });
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    (name, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                out.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_properties(text: &str) -> Vec<(String, String, usize)> {
        properties(text.as_bytes()).into_iter().map(|e| (e.name, e.value, e.line)).collect()
    }

    #[test]
    fn a_properties_file_reads_as_java_reads_it() {
        let text = "\u{feff}# a comment\n! another\n\nplain=1\n  spaced  =  2  \ncolon: 3\nblank 4\nlong=a\\\n   b\\\nc\n\
                    esc\\=aped=\\u0041\\tz\nempty=\nname-only\nuri=s3://b/p=q\r\nslash=a\\\\\nlast=1\\";
        let expected = [
            ("plain", "1", 4),
            ("spaced", "2", 5),
            ("colon", "3", 6),
            ("blank", "4", 7),
            ("long", "abc", 8),
            ("esc=aped", "A\tz", 11),
            ("empty", "", 12),
            ("name-only", "", 13),
            ("uri", "s3://b/p=q", 14),
            ("slash", "a\\", 15),
            ("last", "1", 16),
        ];
        assert_eq!(
            read_properties(text),
            expected.map(|(name, value, line)| (name.into(), value.into(), line))
        );
    }

    #[test]
    fn latin_1_in_a_comment_does_not_spoil_the_file() {
        let entries = properties(b"# gr\xfc\xdfe\nkey=1\n");
        assert_eq!((entries.len(), entries[0].line), (1, 2));
    }

    #[test]
    fn toml_tables_become_dotted_names_with_their_lines() {
        let text = "owner = 'x'\nstore.previous = ['a', 'b']\n\n[upload]\nverify.exists = true\n\n[upload.part]\nsize = 0x100\n";
        let entries = toml("f", text.as_bytes()).unwrap();
        let entries: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.value.as_str(), e.line)).collect();
        let expected = [
            ("owner", "x", 1),
            ("store.previous", "a;b", 2),
            ("upload.verify.exists", "true", 5),
            ("upload.part.size", "256", 8),
        ];
        assert_eq!(entries, expected);
    }

    #[test]
    fn a_toml_error_names_the_line_and_shows_nothing_of_it() {
        let error = toml("f.toml", b"a = 1\nsecret = 'hunter2\n").err().unwrap();
        assert!(error.message().starts_with("f.toml:2: "), "{error}");
        assert!(!error.message().contains("hunter2"), "{error}");
        let error = toml("f.toml", b"a = 1\n\nb = \xff\n").err().unwrap();
        assert!(error.message().starts_with("f.toml:3: "), "{error}");
        let error = toml("f.toml", b"a.b = 1.5\n").err().unwrap();
        assert!(error.message().starts_with("f.toml:1: a.b "), "{error}");
    }

    #[test]
    fn a_large_file_takes_a_second_and_not_hours_whatever_is_in_it() {
        let full = |line: &str| line.repeat(LARGEST_FILE as usize / 4 / line.len());
        let numbered: String = (0..125_000).map(|n| format!("a{n}=\n")).collect();
        let nested = full("[a]\n").replacen("[a]", "[b]", 1);
        let begun = std::time::Instant::now();
        for text in [full("\\\\\\\n"), full("\\\n"), full("a\n"), full("\\"), numbered.clone()] {
            properties(text.as_bytes());
        }
        for text in [numbered.replace('=', "=1"), full("a."), full("["), full("{a="), nested] {
            let _ = toml("f", text.as_bytes());
        }
        // Some seconds unoptimized; what is quadratic takes minutes.
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn no_file_makes_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            properties(&bytes);
            let _ = toml("f", &bytes);
        }

        #[test]
        fn no_text_file_makes_a_parser_panic(text in "[ -~\\n\\\\=\\[\\]\"'äu.]{0,200}") {
            properties(text.as_bytes());
            let _ = toml("f", text.as_bytes());
        }
    }
}
