//! Fuzz targets: what seglift makes of bytes that nobody has vouched for.
//!
//! Each target is a plain function of bytes, in a file that says at its top what must hold (its oracle); a target
//! that finds something panics. So the same functions run twice: by `make fuzz` under libFuzzer, which looks for new
//! ways into the code, and by `make test` (tests/fuzz_corpus.rs, which includes this file) with the corpus and a fixed
//! number of mutations of it.
//!
//! What stands behind a checksum is reached by making the checksum right after the mutation: where a target says
//! *sealed*, the bytes pass every CRC32C and only the checks behind them can object.
//!
//! | target | its bytes are |
//! |---|---|
//! | `tail` | the tail frame of an object, sealed or not: its place, header, page table, trailer |
//! | `page` | an index page, sealed |
//! | `records` | the raw bytes of a record block |
//! | `block` | a zstd frame in the place of a block |
//! | `token` | a receipt's token, sealed or not |
//! | `resume` | the file that a host keeps of an upload under way, sealed or not |
//! | `config` | TOML, properties, an environment, single values |
//! | `uri` | a store's URI |
//! | `key` | a key, a name in a listing |
//! | `s3_answer` | status, headers and body of what an S3 service answers to one of thirteen requests |
//! | `object` | edits of a whole object, sealed or not, that a reader then reads in every way |
//! | `salvage` | the same, of which a salvage then saves what it can |
//! | `scrub_state` | the file of where a scrub stands, sealed or not |

pub mod block;
pub mod config;
pub mod key;
pub mod object;
pub mod page;
pub mod records;
pub mod resume;
pub mod s3_answer;
pub mod salvage;
pub mod scrub_state;
pub mod tail;
pub mod token;
pub mod uri;

mod forge;
#[path = "../../tests/reader_support/mod.rs"]
mod reader_support;

/// One target.
pub struct Target {
    /// What `make fuzz TARGET=` and the folder below `corpus/` are called.
    pub name: &'static str,
    /// Panics if the bytes break a promise.
    pub run: fn(&[u8]),
    /// Inputs to begin with, the same at each call; `make bless` writes them into the corpus.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Most bytes that one allocation may take while an input of a length is run.
    pub allocation: fn(usize) -> usize,
    /// Executions of `make test`: a second or two each.
    pub executions: u32,
}

/// The most that a part of an object may take whatever its index claims: a block of 64 MiB, and a page of memory for what
/// goes with it. Nothing is allocated for a frame that claims more.
const ONE_BLOCK: usize = (64 << 20) + 4096;

/// All of them.
pub const TARGETS: &[Target] = &[
    // An entry of the page table takes 28 bytes in the tail and 120 in memory.
    Target {
        name: "tail",
        run: tail::run,
        seeds: tail::seeds,
        allocation: |n| 8 * n + 4096,
        executions: 20_000,
    },
    // A block takes 4 bytes in the page and 24 in memory.
    Target {
        name: "page",
        run: page::run,
        seeds: page::seeds,
        allocation: |n| 8 * n + 65_536,
        executions: 20_000,
    },
    Target {
        name: "records",
        run: records::run,
        seeds: records::seeds,
        allocation: |n| 64 * n + 65_536,
        executions: 20_000,
    },
    Target {
        name: "block",
        run: block::run,
        seeds: block::seeds,
        allocation: |n| 4 * n + (1 << 20),
        executions: 10_000,
    },
    Target {
        name: "token",
        run: token::run,
        seeds: token::seeds,
        allocation: |n| 4 * n + 4096,
        executions: 50_000,
    },
    Target {
        name: "resume",
        run: resume::run,
        seeds: resume::seeds,
        allocation: |n| 4 * n + 4096,
        executions: 50_000,
    },
    Target {
        name: "config",
        run: config::run,
        seeds: config::seeds,
        allocation: |n| 64 * n + 65_536,
        executions: 3000,
    },
    Target {
        name: "uri",
        run: uri::run,
        seeds: uri::seeds,
        allocation: |n| 64 * n + 65_536,
        executions: 5000,
    },
    Target {
        name: "key",
        run: key::run,
        seeds: key::seeds,
        allocation: |n| 16 * n + 4096,
        executions: 50_000,
    },
    Target {
        name: "s3_answer",
        run: s3_answer::run,
        seeds: s3_answer::seeds,
        allocation: |n| 64 * n + (2 << 20),
        executions: 3000,
    },
    Target {
        name: "object",
        run: object::run,
        seeds: object::seeds,
        allocation: |_| ONE_BLOCK,
        executions: 1500,
    },
    Target {
        name: "salvage",
        run: salvage::run,
        seeds: salvage::seeds,
        allocation: |_| ONE_BLOCK,
        executions: 1500,
    },
    Target {
        name: "scrub_state",
        run: scrub_state::run,
        seeds: scrub_state::seeds,
        allocation: |n| 4 * n + 65_536,
        executions: 3000,
    },
];

/// Reads the choices of an input from its start; behind its end there are zeros.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let taken = self.bytes(N);
        out[..taken.len()].copy_from_slice(taken);
        out
    }

    fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// A message for whoever operates a broker: in one line of bearable length.
fn is_message(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control)
}
