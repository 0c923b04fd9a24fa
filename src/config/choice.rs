//! The settings that are one word out of a few, and how a [`Value`] becomes the field of
//! [`Settings`](super::Settings) that the table declares for it.

use super::{secret::Secret, value::Value};
use crate::logging::Level;
use std::time::Duration;

/// A type that a field of `Settings` may have. `None` means that the value does not fit the type:
/// a size beyond this machine's address space, or a row whose kind and type disagree (which the
/// test of all defaults would find).
pub(super) trait Field: Sized {
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! fields {
    ($($type:ty: $($pattern:pat => $field:expr),+;)+) => {
        $(impl Field for $type {
            fn from_value(value: Value) -> Option<Self> {
                match value { $($pattern => $field,)+ _ => None }
            }
        })+
    };
}

fields! {
    u64: Value::Size(size) => Some(size);
    usize: Value::Size(size) => size.try_into().ok(), Value::Integer(number) => number.try_into().ok();
    i32: Value::Integer(number) => number.try_into().ok();
    u32: Value::Integer(number) => number.try_into().ok();
    bool: Value::Bool(on) => Some(on);
    String: Value::Text(text) => Some(text), Value::Choice(word) => Some(word.to_owned());
    Vec<String>: Value::List(items) => Some(items);
    Secret: Value::Secret(secret) => Some(secret);
    Duration: Value::Duration(span) => Some(span);
    Option<u64>: Value::Off => Some(None), Value::Size(size) => Some(Some(size));
    Option<Duration>: Value::Off => Some(None), Value::Duration(span) => Some(Some(span));
    Option<bool>: Value::Choice(word) => match word {
        "true" => Some(Some(true)),
        "false" => Some(Some(false)),
        _ => Some(None),
    };
    Option<Level>: Value::Choice(word) => match word {
        "off" => Some(None),
        word => Level::ALL.iter().find(|level| level.name() == word).map(|level| Some(*level)),
    };
}

macro_rules! choices {
    ($($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ })+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum $name { $($(#[$variant_meta])* $variant,)+ }

            impl $name {
                /// The words, in the order of the variants.
                pub const WORDS: &'static [&'static str] = &[$($word),+];
            }

            impl Field for $name {
                fn from_value(value: Value) -> Option<Self> {
                    match value {
                        $(Value::Choice($word) => Some($name::$variant),)+
                        _ => None,
                    }
                }
            }
        )+
    };
}

choices! {
    /// What compresses the blocks of a segment.
    CodecName {
        /// zstd, one frame per block.
        Zstd = "zstd",
        /// Nothing: the object begins with the segment as it is.
        None = "none",
    }

    /// When the blocks of the memory cache are checked.
    CacheVerify {
        /// As they come in.
        Fill = "fill",
        /// As they come in and again at every hit.
        Always = "always",
    }

    /// What kind of store a URI must name, in Pulsar's words.
    StoreDriver {
        /// Whatever the URI says.
        Auto = "auto",
        /// Amazon S3.
        AwsS3 = "aws-s3",
        /// Any other store that speaks S3; its endpoint must be given.
        S3 = "S3",
        /// Google Cloud Storage.
        GoogleCloudStorage = "google-cloud-storage",
        /// A directory.
        Filesystem = "filesystem",
    }

    /// Where the bucket stands in the address of a request to S3.
    S3Style {
        /// As the endpoint wants it.
        Auto = "auto",
        /// `https://host/bucket/key`.
        Path = "path",
        /// `https://bucket.host/key`.
        Virtual = "virtual",
    }

    /// What encrypts objects in S3.
    S3Encryption {
        /// The store's own keys for Amazon, nothing elsewhere.
        Auto = "auto",
        /// Nothing is asked for.
        Off = "off",
        /// The store's own keys.
        S3 = "s3",
        /// A key of the key management service.
        Kms = "kms",
        /// A key that goes along with each request.
        Customer = "customer",
    }

    /// Whether a store that speaks S3 can do something that not all can.
    S3Probe {
        /// Found out by asking.
        Auto = "auto",
        /// It can.
        On = "on",
        /// It cannot.
        Off = "off",
    }
}

impl StoreDriver {
    /// The URI scheme that this driver asks for, `None` if any will do.
    pub const fn scheme(self) -> Option<&'static str> {
        match self {
            StoreDriver::Auto => None,
            StoreDriver::AwsS3 | StoreDriver::S3 => Some("s3"),
            StoreDriver::GoogleCloudStorage => Some("gs"),
            StoreDriver::Filesystem => Some("file"),
        }
    }
}
