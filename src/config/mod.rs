//! Settings: from strings with a known origin to one checked, typed struct.
//!
//! **Purpose.** A host sets keys, loads files and passes its environment on; [`Config`] keeps each
//! value with where it came from, and [`Config::settings`] checks the whole and hands out
//! [`Settings`]. All of it follows from one table ([`PROPERTIES`]).
//!
//! **Invariant.** A stored value has been parsed and lies within the limits of its property, so
//! every error about a value still knows its file and line. A call that fails changes nothing.
//! The order of calls between sources does not matter: what the caller sets wins over files, files
//! over the environment, the environment over defaults; within one of them the last wins. No
//! secret is ever printed.
//!
//! **Trade-off.** Keys are strings looked up in a table of a few dozen rows. A typo is found when
//! the host starts, not when it compiles; in exchange a host written in any language, and any
//! broker's own file, can give every setting.

mod check_s3;
mod choice;
mod document;
mod file;
mod secret;
mod settings;
mod table;
mod value;

pub use choice::{CacheVerify, CodecName, S3Encryption, S3Probe, S3Style, StoreDriver};
pub use document::document;
pub use secret::Secret;
pub(crate) use table::default_threads;
pub use table::{Alias, PROPERTIES, Preset, Property, S3Settings, Scope, Settings};
pub(crate) use value::parse_address;
pub use value::{GIB, KIB, Kind, MIB, TIB, Value, parse_size};

use crate::{Code, Error, Result};
use std::{cmp::Ordering, collections::BTreeMap, ffi::OsStr, fmt, path::Path};

/// What native names begin with in the environment.
const ENV_PREFIX: &str = "SEGLIFT_";

/// What native names may begin with where they stand among others: `seglift.upload.part.size`.
const NATIVE_PREFIX: &str = "seglift.";

/// What Kafka hands to its remote storage manager, whichever that is (KIP-405). Our own JVM plugin is one.
const KAFKA_PREFIX: &str = "rsm.config.";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Nobody gave one.
    Default,
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A file.
    File {
        /// Its path, as it was given.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The key as the file spells it.
        name: String,
    },
    /// The caller set it.
    Set {
        /// The key as the caller spelled it.
        name: String,
    },
}

impl Source {
    fn rank(&self) -> u8 {
        match self {
            Source::Default => 0,
            // Other products' variables count behind our own.
            Source::Environment { variable } if !variable.starts_with(ENV_PREFIX) => 1,
            Source::Environment { .. } => 2,
            Source::File { .. } => 3,
            Source::Set { .. } => 4,
        }
    }
}

impl Source {
    /// The same with another spelling of the setting.
    fn renamed(self, to: impl Fn(&str) -> String) -> Source {
        match self {
            Source::Default => Source::Default,
            Source::Environment { variable } => Source::Environment { variable: to(&variable) },
            Source::File { path, line, name } => Source::File { path, line, name: to(&name) },
            Source::Set { name } => Source::Set { name: to(&name) },
        }
    }
}

/// As much of `text` as can be a setting's name: behind it may stand a value, even a secret.
fn as_a_name(text: &str) -> String {
    let is_within = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match text.find(|c| !is_within(c)) {
        Some(end) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Environment { variable } => write!(f, "environment variable {variable}"),
            Source::File { path, line, name } => write!(f, "{path}:{line}, {name}"),
            Source::Set { name } => write!(f, "set as {name}"),
        }
    }
}

/// A name that was given and has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The name as it was given.
    pub name: String,
    /// Where.
    pub source: Source,
    /// Why it has no effect.
    pub reason: String,
}

/// A setting as `seglift config` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The native name.
    pub key: &'static str,
    /// The value in force; `(hidden)` for a secret.
    pub value: String,
    /// Where the value came from.
    pub source: Source,
    /// The value if nobody gives one, in words where it is computed.
    pub default: &'static str,
    /// Which values are allowed, in words.
    pub allowed: String,
    /// What the setting belongs to.
    pub scope: Scope,
    /// What the setting does.
    pub help: String,
    /// The version of seglift that brought it.
    pub since: &'static str,
    /// Other names.
    pub aliases: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Given {
    value: Value,
    source: Source,
}

/// Settings as they are gathered. Cheap to clone; safe to print.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// By row of the table.
    given: BTreeMap<usize, Given>,
    ignored: Vec<Ignored>,
}

/// What to do with a name that nobody knows.
#[derive(Clone, Copy, PartialEq)]
enum Strangers {
    Refuse,
    Ignore,
}

/// What a name stands for.
enum Name {
    Setting(usize, Option<&'static Alias>),
    WithoutEffect(&'static str),
    Unknown,
}

impl Config {
    /// Nothing but defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key`, a native name (with or without `seglift.` in front) or an alias, to the text
    /// form of its value.
    ///
    /// # Errors
    /// `INVALID_CONFIG` if no setting has this name (the nearest one is named) or the value is
    /// malformed or out of its limits.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        self.offer(key, value, Source::Set { name: key.to_string() }, Strangers::Refuse)
    }

    /// Reads a file of settings.
    ///
    /// A name that ends in `.toml` is seglift's own: nested tables are dotted keys, and an unknown
    /// key is an error. Any other file is taken for a broker's (`broker.conf`, `server.properties`):
    /// what it holds for others is listed by [`Config::ignored`], and a name without a value counts
    /// as not given.
    ///
    /// # Errors
    /// `INVALID_CONFIG` if the file cannot be read or a setting in it is wrong, with its line.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let bytes = file::read(path)?;
        let mut next = self.clone();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
            for entry in file::toml(&shown, &bytes)? {
                let source = Source::File { path: shown.clone(), line: entry.line, name: entry.name.clone() };
                next.offer(&entry.name, &entry.value, source, Strangers::Refuse)?;
            }
        } else {
            for entry in file::properties(&bytes) {
                let source = Source::File { path: shown.clone(), line: entry.line, name: entry.name.clone() };
                next.offer(&entry.name, &entry.value, source, Strangers::Ignore)?;
            }
        }
        *self = next;
        Ok(())
    }

    /// Takes the settings out of an environment, such as `std::env::vars_os()`: `SEGLIFT_` and the
    /// native name in capitals with underscores, `SEGLIFT_UPLOAD_PART_SIZE`, and what
    /// [`Config::with_others_environment`] takes. Unknown ones with this prefix are listed by
    /// [`Config::ignored`], because hosts and scripts have `SEGLIFT_` variables of their own. An empty
    /// one counts as not given.
    ///
    /// # Errors
    /// `INVALID_CONFIG` if a value is malformed or out of its limits.
    pub fn load_env<K, V>(&mut self, variables: impl IntoIterator<Item = (K, V)>) -> Result<()>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let mut next = self.clone();
        let mut others = Vec::new();
        for (variable, value) in variables {
            let Some(variable) = variable.as_ref().to_str() else { continue };
            if !variable.starts_with(ENV_PREFIX) {
                others.push((variable.to_string(), value.as_ref().to_os_string()));
                continue;
            }
            let source = Source::Environment { variable: variable.to_string() };
            let Some(property) = PROPERTIES.iter().find(|property| property.variable() == variable) else {
                let reason = "no setting of seglift has this variable".to_string();
                next.ignored.push(Ignored { name: variable.to_string(), source, reason });
                continue;
            };
            let value = utf8(variable, value.as_ref(), property)?;
            if !value.trim().is_empty() {
                next.offer(property.key, value, source, Strangers::Refuse)?;
            }
        }
        *self = next.with_others_environment(others)?;
        Ok(())
    }

    /// The same with what the variables of other products in an environment say: those that
    /// [`Property::variables`] lists, such as `AWS_REGION`. They count behind everything that was given. A driver
    /// does this by itself, so that they work for a host that loads no environment.
    ///
    /// # Errors
    /// `INVALID_CONFIG` if a value is malformed or out of its limits.
    pub fn with_others_environment<K, V>(&self, variables: impl IntoIterator<Item = (K, V)>) -> Result<Config>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let mut next = self.clone();
        let named =
            |name: &OsStr| PROPERTIES.iter().flat_map(|p| p.variables).any(|alias| name == alias.name);
        let variables: Vec<_> = variables
            .into_iter()
            .filter(|(name, value)| named(name.as_ref()) && !value.as_ref().is_empty())
            .collect();
        for (row, property) in PROPERTIES.iter().enumerate() {
            let found = property.variables.iter().find_map(|alias| {
                let (_, value) = variables.iter().find(|(name, _)| name.as_ref() == alias.name)?;
                Some((alias, value.as_ref()))
            });
            if let Some((alias, value)) = found {
                let source = Source::Environment { variable: alias.name.to_string() };
                let text = utf8(alias.name, value, property)?.trim();
                next.accept(row, Some(alias), text, source, false)?;
            }
        }
        Ok(next)
    }

    /// Every setting with its value and where that came from, in the order of the table.
    pub fn describe(&self) -> Vec<Described> {
        let describe = |(row, property): (usize, &Property)| Described {
            key: property.key,
            value: self.value_of_row(row).to_string(),
            source: self.given.get(&row).map_or(Source::Default, |given| given.source.clone()),
            default: match property.preset {
                Preset::Fixed(text) => text,
                Preset::Computed { says, .. } => says,
            },
            allowed: property.kind.to_string(),
            scope: property.scope,
            help: property.help(),
            since: property.since,
            aliases: property.aliases.iter().map(|alias| alias.name).collect(),
        };
        PROPERTIES.iter().enumerate().map(describe).collect()
    }

    /// Names that were given and have no effect, in the order in which they came.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// The settings of `scope` that were given, by native name. An engine that already runs takes
    /// no new ones: whoever opens a driver on it can say which would be lost.
    pub fn given(&self, scope: Scope) -> impl Iterator<Item = &'static str> {
        self.given.keys().map(|row| &PROPERTIES[*row]).filter(move |p| p.scope == scope).map(|p| p.key)
    }

    /// Checks the settings against each other and returns them as a plain struct.
    ///
    /// # Errors
    /// `INVALID_CONFIG` names the settings that contradict each other and what would be allowed.
    pub fn settings(&self) -> Result<Settings> {
        let settings = Settings::from_values(&mut (0..PROPERTIES.len()).map(|row| self.value_of_row(row)))?;
        settings.check(self)?;
        Ok(settings)
    }

    /// The value in force of a native key. Only for the table and the checks, which know their keys.
    fn value(&self, key: &str) -> Value {
        let row = PROPERTIES.iter().position(|property| property.key == key);
        row.map_or(Value::Auto, |row| self.value_of_row(row))
    }

    fn value_of_row(&self, row: usize) -> Value {
        match self.given.get(&row).map(|given| &given.value) {
            Some(value) if *value != Value::Auto => value.clone(),
            _ => match PROPERTIES[row].preset {
                Preset::Computed { value, .. } => value(self),
                // A test parses every preset, so the fallback is never taken.
                Preset::Fixed(text) => PROPERTIES[row].kind.parse(text, None).unwrap_or(Value::Auto),
            },
        }
    }

    /// `key=value (source)`, for messages.
    fn shown(&self, key: &str) -> String {
        let row = PROPERTIES.iter().position(|property| property.key == key);
        let source = row.and_then(|row| self.given.get(&row)).map_or(&Source::Default, |given| &given.source);
        format!("{key}={} ({source})", self.value(key))
    }

    fn offer(&mut self, name: &str, text: &str, source: Source, strangers: Strangers) -> Result<()> {
        match lookup(name) {
            Name::Setting(row, alias) => {
                let (text, implied) = match (text.trim(), alias.and_then(|alias| alias.empty), strangers) {
                    ("", Some(theirs), _) => (theirs, true),
                    // Brokers ship their files with every name and hardly a value.
                    ("", None, Strangers::Ignore) => return Ok(()),
                    (text, ..) => (text, false),
                };
                self.accept(row, alias, text, source, implied)?;
            }
            Name::WithoutEffect(reason) => {
                self.ignored.push(Ignored { name: name.to_string(), source, reason: reason.to_string() });
            }
            Name::Unknown => {
                let (nearest, distance) = nearest(native(name));
                // In a broker's file our prefix means us, so that a typo behind it is found.
                if strangers == Strangers::Refuse || name.starts_with(NATIVE_PREFIX) {
                    let (name, source) = (as_a_name(name), source.renamed(as_a_name));
                    let hint = format!("there is no setting {name} ({source}); the nearest is {nearest}");
                    return Err(Error::new(Code::InvalidConfig, hint));
                }
                // Two letters away is a typo; farther away it is a key of the broker's.
                let reason = match distance {
                    ..=2 => format!("no setting of seglift; did you mean {nearest}?"),
                    _ => "no setting of seglift".to_string(),
                };
                self.ignored.push(Ignored { name: name.to_string(), source, reason });
            }
        }
        Ok(())
    }

    /// Takes a value for a row; one that an empty name only `implied` gives way to any other.
    fn accept(
        &mut self,
        row: usize,
        alias: Option<&Alias>,
        text: &str,
        source: Source,
        implied: bool,
    ) -> Result<()> {
        let value = parse(&PROPERTIES[row], alias, text, &source)?;
        let replaces = |given: &Given| match given.source.rank().cmp(&source.rank()) {
            Ordering::Less => true,
            // An empty name does not take back what another name of the setting gave.
            Ordering::Equal => !implied,
            Ordering::Greater => false,
        };
        if self.given.get(&row).is_none_or(replaces) {
            self.given.insert(row, Given { value, source });
        }
        Ok(())
    }
}

fn utf8<'a>(variable: &str, value: &'a OsStr, property: &Property) -> Result<&'a str> {
    value.to_str().ok_or_else(|| {
        let problem = format!("{variable} is not UTF-8; set it to {}", property.kind);
        Error::new(Code::InvalidConfig, problem)
    })
}

fn native(name: &str) -> &str {
    name.strip_prefix(NATIVE_PREFIX).or_else(|| name.strip_prefix(KAFKA_PREFIX)).unwrap_or(name)
}

fn lookup(name: &str) -> Name {
    let name = native(name);
    for (row, property) in PROPERTIES.iter().enumerate() {
        if property.key == name {
            return Name::Setting(row, None);
        }
        if let Some(alias) = property.aliases.iter().find(|alias| alias.name == name) {
            return Name::Setting(row, Some(alias));
        }
    }
    match table::WITHOUT_EFFECT.iter().find(|(known, _)| *known == name) {
        Some((_, reason)) => Name::WithoutEffect(reason),
        None => Name::Unknown,
    }
}

/// The known name that is nearest to `name`, and how many letters away it is.
fn nearest(name: &str) -> (&'static str, usize) {
    let names =
        PROPERTIES.iter().flat_map(|p| std::iter::once(p.key).chain(p.aliases.iter().map(|a| a.name)));
    let by_distance = names.map(|known| (known, strsim::osa_distance(known, name)));
    by_distance.min_by_key(|(_, distance)| *distance).unwrap_or(("", usize::MAX))
}

fn parse(property: &Property, alias: Option<&Alias>, text: &str, source: &Source) -> Result<Value> {
    let refuse = |problem: String, allowed: String| {
        let value = if property.kind == Kind::Secret { "(hidden)".to_string() } else { value::shown(text) };
        let key = property.key;
        Error::new(Code::InvalidConfig, format!("{key}={value} ({source}): {problem}; allowed is {allowed}"))
    };
    let plain = alias.and_then(|alias| alias.plain);
    let word = alias.map_or(text, |alias| alias.native_word(text));
    let value =
        property.kind.parse(word, plain).map_err(|problem| refuse(problem, property.kind.to_string()))?;
    match (&value, alias) {
        (Value::Size(size), Some(alias)) if *size < alias.at_least => {
            let least = value::Bytes(alias.at_least);
            Err(refuse("it is too small".into(), format!("{least} or more under the name {}", alias.name)))
        }
        _ => Ok(value),
    }
}
