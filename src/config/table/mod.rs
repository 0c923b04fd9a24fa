//! The property table: every setting there is, once.
//!
//! A row is the field of [`Settings`], its documentation, its key, its limits, its default and the
//! names that others give it. Parsing, describing, `docs/configuration.md`, the environment
//! variables and the typed struct all come from it, so that a new setting is one new row: in `core`,
//! or in the file of its store.
//!
//! The price is a macro; it only repeats what the rows say.

mod core;
mod s3;

pub use self::core::Settings;
pub(crate) use self::core::default_threads;
pub use s3::S3Settings;

use super::{
    Config,
    choice::Field,
    value::{Kind, Value},
};
use crate::{Code, Error, Result};
use std::time::Duration;

/// What a setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The engine, shared by its drivers and fixed when it is made.
    Engine,
    /// One driver.
    Driver,
}

/// The value of a setting that nobody gave.
#[derive(Clone, Copy, Debug)]
pub enum Preset {
    /// Always the same text.
    Fixed(&'static str),
    /// It follows from the machine or from other settings.
    Computed {
        /// How, in words.
        says: &'static str,
        /// How, in deeds. It may ask only for settings with a fixed preset.
        value: fn(&Config) -> Value,
    },
}

/// Another product's name for a setting.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// The name.
    pub name: &'static str,
    /// What a time without a unit counts in under this name.
    pub plain: Option<Duration>,
    /// The smallest size under this name, where the other product is stricter.
    pub at_least: u64,
    /// What an empty value means under this name: the other product's default.
    pub empty: Option<&'static str>,
    /// Values that this name spells differently: theirs and ours.
    pub words: &'static [(&'static str, &'static str)],
}

impl Alias {
    const fn of(name: &'static str) -> Self {
        Alias { name, plain: None, at_least: 0, empty: None, words: &[] }
    }

    const fn millis(self) -> Self {
        Alias { plain: Some(Duration::from_millis(1)), ..self }
    }

    const fn seconds(self) -> Self {
        Alias { plain: Some(Duration::from_secs(1)), ..self }
    }

    const fn at_least(self, size: u64) -> Self {
        Alias { at_least: size, ..self }
    }

    const fn empty(self, text: &'static str) -> Self {
        Alias { empty: Some(text), ..self }
    }

    const fn words(self, words: &'static [(&'static str, &'static str)]) -> Self {
        Alias { words, ..self }
    }

    /// What `text` is called natively.
    pub(super) fn native_word<'a>(&self, text: &'a str) -> &'a str {
        let word = self.words.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(text));
        word.map_or(text, |(_, ours)| ours)
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// The native, dotted name.
    pub key: &'static str,
    /// Type and limits.
    pub kind: Kind,
    /// The value if nobody gives one.
    pub preset: Preset,
    /// What it belongs to.
    pub scope: Scope,
    /// The version of seglift that brought it.
    pub since: &'static str,
    /// Other names.
    pub aliases: &'static [Alias],
    /// Environment variables of others that set it too, behind our own; the first that is set counts.
    pub variables: &'static [Alias],
    /// What it does: the lines of the field's documentation.
    pub help_lines: &'static [&'static str],
}

impl Property {
    /// What it does, on one line.
    pub fn help(&self) -> String {
        self.help_lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// The environment variable that sets it: `SEGLIFT_UPLOAD_PART_SIZE`.
    pub fn variable(&self) -> String {
        format!("{}{}", super::ENV_PREFIX, self.key.replace('.', "_").to_ascii_uppercase())
    }
}

/// Names that are accepted everywhere and change nothing, and why.
pub(super) const WITHOUT_EFFECT: &[(&str, &str)] = &[(
    "offloadersDirectory",
    "seglift is a library that its host loads: there is no directory of offloaders to search",
)];

/// Every setting, in the order in which it is documented.
pub const PROPERTIES: &[Property] = &{
    let mut all = [core::ROWS[0]; core::ROWS.len() + s3::ROWS.len()];
    let mut row = 0;
    while row < all.len() {
        all[row] = if row < core::ROWS.len() { core::ROWS[row] } else { s3::ROWS[row - core::ROWS.len()] };
        row += 1;
    }
    all
};

/// Makes `ROWS` and the typed struct of one file's rows; `and` names structs of other files' rows, which
/// follow in [`PROPERTIES`] in the same order.
macro_rules! properties {
    (
        $(#[doc = $about:literal])+
        $name:ident and { $($(#[doc = $part_help:literal])+ $part:ident: $part_type:ident,)* }

        $($(#[doc = $help:literal])+ $field:ident: $type:ty {
            key: $key:literal,
            kind: $kind:expr,
            preset: $preset:expr,
            scope: $scope:ident,
            since: $since:literal,
            aliases: [$($alias:expr),* $(,)?],
            $(variables: [$($variable:expr),* $(,)?],)?
        })+
    ) => {
        pub(super) const ROWS: &[super::Property] = &[$(super::Property {
            key: $key,
            kind: $kind,
            preset: $preset,
            scope: super::Scope::$scope,
            since: $since,
            aliases: &[$($alias),*],
            variables: &[$($($variable),*)?],
            help_lines: &[$($help),+],
        }),+];

        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $help])+ pub $field: $type,)+
            $($(#[doc = $part_help])+ pub $part: $part_type,)*
        }

        impl $name {
            /// Takes the values in the order of [`PROPERTIES`](super::PROPERTIES).
            pub(in crate::config) fn from_values(
                values: &mut impl Iterator<Item = crate::config::Value>,
            ) -> crate::Result<Self> {
                Ok($name {
                    $($field: super::field($key, values.next())?,)+
                    $($part: $part_type::from_values(values)?,)*
                })
            }
        }
    };
}
use properties;

fn field<T: Field>(key: &str, value: Option<Value>) -> Result<T> {
    let shown = value.as_ref().map(Value::to_string).unwrap_or_default();
    value.and_then(T::from_value).ok_or_else(|| {
        Error::new(
            Code::InvalidConfig,
            format!("{key}={shown} is more than this machine can address; lower it"),
        )
    })
}
