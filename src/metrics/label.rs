//! The labels: small enums, so that the number of series is known when the library is compiled.

use crate::{Code, Error};

/// A label of a metric: an enum whose values index an array.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// How many values it has.
    const COUNT: usize;

    /// The place of this value, below [`Label::COUNT`].
    fn index(self) -> usize;

    /// The text of the value at `index`, which is below [`Label::COUNT`].
    fn text(index: usize) -> &'static str;

    /// Whether a counter with this value is written while it is zero.
    fn shown_at_zero(_index: usize) -> bool {
        true
    }
}

macro_rules! labels {
    ($($(#[$meta:meta])* $name:ident = $label:literal { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ })+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum $name { $($(#[$variant_meta])* $variant,)+ }

            impl $name {
                const TEXTS: &'static [&'static str] = &[$($text),+];

                /// Every value, in order.
                pub const ALL: &'static [$name] = &[$($name::$variant),+];

                /// The value as labels, logs and `--json` spell it.
                pub const fn name(self) -> &'static str {
                    Self::TEXTS[self as usize]
                }
            }

            impl Label for $name {
                const NAME: &'static str = $label;
                const COUNT: usize = Self::TEXTS.len();

                fn index(self) -> usize {
                    self as usize
                }

                fn text(index: usize) -> &'static str {
                    Self::TEXTS[index]
                }
            }
        )+

        /// Every label with its values, for the documents.
        pub(super) fn all() -> Vec<(&'static str, Vec<&'static str>)> {
            let mut labels = vec![$(($label, $name::TEXTS.to_vec())),+];
            labels.push((Outcome::NAME, (0..Outcome::COUNT).map(Outcome::text).collect()));
            labels
        }
    };
}

labels! {
    /// What a host can ask for.
    Op = "op" {
        /// A whole segment goes out.
        Offload = "offload",
        /// A segment goes out through a streaming writer.
        Writer = "writer",
        /// A range of bytes comes back.
        Read = "read",
        /// Records come back.
        ReadRecords = "read_records",
        /// An attachment comes back.
        ReadAttachment = "read_attachment",
        /// What is known of a segment.
        Stat = "stat",
        /// A segment is read and checked.
        Verify = "verify",
        /// Objects are deleted.
        Delete = "delete",
        /// Objects are listed.
        List = "list",
        /// A range of a raw object comes back.
        ObjectRange = "object_range",
        /// Abandoned uploads are aborted.
        Reap = "reap",
        /// A step of a sweep: objects that nobody refers to are deleted.
        Sweep = "sweep",
    }

    /// What seglift asks a store for.
    Request = "request" {
        /// Bytes of an object.
        Get = "get",
        /// A whole object in one request.
        Put = "put",
        /// One part of an upload; beginning the upload counts too.
        Part = "part",
        /// The request that makes an object visible.
        Commit = "commit",
        /// An upload is given up.
        Abort = "abort",
        /// Objects are deleted.
        Delete = "delete",
        /// One page of a listing.
        List = "list",
        /// An object's size and nothing else.
        Head = "head",
    }

    /// The operations that move segments.
    Work = "work" {
        /// Out, by offload or writer.
        Offload = "offload",
        /// Back, by any kind of read.
        Read = "read",
    }

    /// What bytes are counted as.
    Form = "form" {
        /// As the host sees them.
        Raw = "raw",
        /// As the object holds them.
        Stored = "stored",
    }

    /// Which way bytes go, seen from here.
    Direction = "direction" {
        /// To the store.
        Up = "up",
        /// From the store.
        Down = "down",
    }

    /// What a store's breaker changed to.
    BreakerState = "state" {
        /// Requests fail at once.
        Open = "open",
        /// One request tries whether the store is back.
        HalfOpen = "half_open",
        /// Requests go to the store.
        Closed = "closed",
    }

    /// A cache.
    CacheKind = "cache" {
        /// Verified blocks in memory.
        Memory = "memory",
    }
}

impl Op {
    /// Whether it only asks, and is over soon: reads, listings and looks. Nobody waits for their end, and there are
    /// thousands of them for each of the others.
    pub const fn comes_and_goes(self) -> bool {
        match self {
            Op::Offload | Op::Writer | Op::Verify | Op::Delete | Op::Reap | Op::Sweep => false,
            Op::Read | Op::ReadRecords | Op::ReadAttachment | Op::Stat | Op::List | Op::ObjectRange => true,
        }
    }
}

/// How something ended: `OK`, or the code of its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome(Option<Code>);

impl Outcome {
    /// It succeeded.
    pub const OK: Outcome = Outcome(None);
}

impl From<Code> for Outcome {
    fn from(code: Code) -> Self {
        Outcome(Some(code))
    }
}

impl<T> From<&Result<T, Error>> for Outcome {
    fn from(result: &Result<T, Error>) -> Self {
        Outcome(result.as_ref().err().map(Error::code))
    }
}

/// The place of each code's number, so that counting does not search. Numbers stay below 128.
const PLACES: [u8; 128] = {
    let mut places = [0; 128];
    let mut n = 0;
    while n < Code::ALL.len() {
        places[Code::ALL[n] as usize] = n as u8 + 1;
        n += 1;
    }
    places
};

impl Label for Outcome {
    const NAME: &'static str = "result";
    const COUNT: usize = Code::ALL.len() + 1;

    fn index(self) -> usize {
        self.0.map_or(0, |code| PLACES[code as usize] as usize)
    }

    fn text(index: usize) -> &'static str {
        match index.checked_sub(1) {
            None => "OK",
            Some(code) => Code::ALL[code].name(),
        }
    }

    fn shown_at_zero(index: usize) -> bool {
        index == 0
    }
}
