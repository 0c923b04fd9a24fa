//! The grammar of the command line.
//!
//! The help, the man pages and the completions all come from these declarations, so a sentence here
//! is documentation: it says what the user gets, with units and defaults.

use crate::cleanup::span;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use std::{path::PathBuf, time::Duration};

/// What the exit status means; `docs/cli.md` and the man page repeat it, a test compares them.
pub const EXIT_STATUS: &str = "\
Exit status:
  0    everything succeeded
  1    an error that none of the others names, or several things failed in different ways
  2    the command line, a setting or a key is wrong
  3    not found: no such object, attachment or offset
  4    corrupt: the bytes do not match their checksums, or cat --salvage could not save them all
  5    the key, or the file to write, exists with other content
  6    the outcome is unknown; repeat the command with the same --key to settle it
  7    busy, throttled, unavailable or timed out; try again later
  8    credentials are missing, wrong, or do not allow this
  130  interrupted (Ctrl-C); 143 terminated; nothing half-done is left
  141  whoever read standard output went away";

const ADDRESSES: &str = "\
Addresses:
  An object is named URI/KEY, or URI KEY [KEY…] with the store and its keys apart.
  In file:///DIR/KEY the store is everything up to the last slash; in other URIs it ends
  after the first component (s3://BUCKET/KEY), and a query behind an s3 address is the
  store's (s3://BUCKET/KEY?endpoint=URL). KEY is taken as `seglift ls` prints it.";

/// Puts log segments into an object store and reads any part of them back.
#[derive(Debug, Parser)]
#[command(name = "seglift", version, author, after_help = EXIT_STATUS, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// A setting, such as upload.part.size=16MiB; wins over files and the environment. Repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", global = true, value_parser = pair)]
    pub settings: Vec<(String, String)>,
    /// A file of settings: TOML if its name ends in .toml, else a broker's KEY=VALUE file. Repeatable
    #[arg(long = "config", value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub config_files: Vec<PathBuf>,
    /// Print results as JSON, one object on each line
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but results and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The commands, in the order of a first session.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put files into a store, one object each, and print their keys
    Offload(Offload),
    /// Write a segment, or a part of it, to standard output
    #[command(after_help = ADDRESSES)]
    Cat(Cat),
    /// Restore segments into files
    #[command(after_help = ADDRESSES)]
    Get(Get),
    /// List the keys of a store
    #[command(after_help = ADDRESSES)]
    Ls(Ls),
    /// Show what an object holds, with a map of its blocks
    #[command(after_help = ADDRESSES)]
    Stat(Stat),
    /// Read whole objects and check every checksum
    #[command(after_help = ADDRESSES)]
    Verify(Verify),
    /// Remove objects
    #[command(after_help = ADDRESSES)]
    Rm(Rm),
    /// Abort uploads that were begun and never ended
    Reap(Reap),
    /// Delete objects that no list of live keys names; without --delete only say which
    Sweep(Sweep),
    /// Check that a store can do what a broker needs, with the remedy where it cannot
    Doctor(Doctor),
    /// Show what a running host's tiered storage does: queued, running, success, error
    Status(Status),
    /// Show every setting, its value and where it came from
    Config(Config),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write the pages of all commands into a directory
    Man {
        /// Write one page per command into this directory
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

/// `seglift offload`
#[derive(Args, Debug)]
pub struct Offload {
    /// Files to offload; - is standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// The store, such as file:///var/tier
    #[arg(long, value_name = "URI", value_hint = ValueHint::Url)]
    pub to: String,
    /// The key of the only FILE. Without it a key is the file's name, a dash and a fresh UUID
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Text in front of the keys that are made from file names, such as topic/0/
    #[arg(long, value_name = "TEXT", conflicts_with = "key", default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// How to compress [default: the setting codec]
    #[arg(long, value_enum)]
    pub codec: Option<Codec>,
    /// A blob that travels with the segment: its name and the file that holds it. Repeatable
    #[arg(long = "attach", value_name = "NAME=FILE", value_parser = pair)]
    pub attachments: Vec<(String, String)>,
    /// Metadata of the segment. Repeatable
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = pair)]
    pub metadata: Vec<(String, String)>,
    /// Write a segment of records: every line of the input is one
    #[arg(long)]
    pub records: bool,
    /// The id of the first record; each line has the next one
    #[arg(long, value_name = "ID", requires = "records", default_value_t = 0)]
    pub first_id: u64,
    /// The broker's first and last offset in the segment, both included
    #[arg(long, value_name = "A-B", conflicts_with = "records")]
    pub offsets: Option<String>,
    /// What to do when the key exists already
    #[arg(long, value_enum, default_value_t = IfExists::Same)]
    pub if_exists: IfExists,
    /// Keep what was sent when it fails, and go on with it when the command is repeated: PATH says what is needed for
    /// that [default: FILE.seglift-resume]
    #[arg(
        long,
        value_name = "PATH",
        num_args = 0..=1,
        require_equals = true,
        requires = "key",
        conflicts_with = "records",
        value_hint = ValueHint::FilePath
    )]
    pub resume: Option<Option<PathBuf>>,
}

/// `--codec`
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Codec {
    /// Compress blocks of 256 KiB
    Zstd,
    /// Store the bytes as they are
    None,
}

/// `--if-exists`
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum IfExists {
    /// Succeed if segment and attachments are the same
    Same,
    /// Succeed if the segment is the same
    SameSegment,
    /// Fail
    Fail,
}

/// `seglift cat`
#[derive(Args, Debug)]
pub struct Cat {
    /// The object, as URI/KEY or URI KEY
    #[arg(required = true, num_args = 1..=2, value_name = "ADDRESS", value_hint = ValueHint::Url)]
    pub address: Vec<String>,
    /// Bytes A to B, both included, the first is 0; A- is to the end, -N the last N
    #[arg(long, value_name = "A-B", allow_hyphen_values = true, group = "part")]
    pub range: Option<String>,
    /// Records with the ids A to B, both included, one on each line; A- is to the end
    #[arg(long, value_name = "A-B", group = "part")]
    pub records: Option<String>,
    /// This attachment instead of the segment
    #[arg(long, value_name = "NAME", group = "part")]
    pub attachment: Option<String>,
    /// Of a damaged segment write every block that is provably still good, and say what is missing; status 4 then
    #[arg(long, group = "part")]
    pub salvage: bool,
    /// With --salvage: zeros in the place of what is missing, so that offsets stay
    #[arg(long, requires = "salvage")]
    pub fill: bool,
    /// With --salvage: also what can be decoded and no checksum vouches for; it may be wrong
    #[arg(long, requires = "salvage")]
    pub unchecked: bool,
}

/// `seglift get`
#[derive(Args, Debug)]
pub struct Get {
    /// The objects, as URI/KEY or URI KEY…
    #[arg(required = true, value_name = "ADDRESS", value_hint = ValueHint::Url)]
    pub addresses: Vec<String>,
    /// The file to write, or the directory if it is one or ends in a slash [default: the current one]
    #[arg(long, short, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub output: Option<PathBuf>,
    /// Take the addresses as folders and restore everything in them, with their paths
    #[arg(long, short)]
    pub recursive: bool,
    /// Replace files that exist
    #[arg(long, short)]
    pub force: bool,
}

/// `seglift ls`
#[derive(Args, Debug)]
pub struct Ls {
    /// The store and the begin of the keys, as URI/PREFIX or URI PREFIX
    #[arg(required = true, num_args = 1..=2, value_name = "ADDRESS", value_hint = ValueHint::Url)]
    pub address: Vec<String>,
    /// Print stored bytes and time as well
    #[arg(long, short)]
    pub long: bool,
}

/// `seglift stat`
#[derive(Args, Debug)]
pub struct Stat {
    /// The objects, as URI/KEY or URI KEY…
    #[arg(required = true, value_name = "ADDRESS", value_hint = ValueHint::Url)]
    pub addresses: Vec<String>,
    /// Draw the map with ASCII characters [default: where the locale is not UTF-8]
    #[arg(long)]
    pub ascii: bool,
}

/// `seglift verify`
#[derive(Args, Debug)]
pub struct Verify {
    /// The objects, as URI/KEY or URI KEY…
    #[arg(required = true, value_name = "ADDRESS", value_hint = ValueHint::Url)]
    pub addresses: Vec<String>,
    /// Take the addresses as folders and verify everything in them
    #[arg(long, short)]
    pub recursive: bool,
    /// Read so many bytes each second at most, such as 50MiB; 0 is no limit
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "0", hide_default_value = true)]
    pub rate: u64,
    /// Keep in this file how far a folder was verified, and go on behind that the next time; it is removed at the end
    #[arg(long, value_name = "FILE", requires = "recursive", value_hint = ValueHint::FilePath)]
    pub state: Option<PathBuf>,
}

/// `seglift rm`
#[derive(Args, Debug)]
pub struct Rm {
    /// The objects, as URI/KEY or URI KEY…; what is not there counts as removed
    #[arg(required = true, value_name = "ADDRESS", value_hint = ValueHint::Url)]
    pub addresses: Vec<String>,
    /// Take the addresses as folders and remove everything in them
    #[arg(long, short)]
    pub recursive: bool,
    /// Only print what would be removed
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// `seglift reap`
#[derive(Args, Debug)]
pub struct Reap {
    /// The store, such as s3://bucket/prefix
    #[arg(value_name = "URI", value_hint = ValueHint::Url)]
    pub uri: String,
    /// Start and newest part of an upload must be longer ago than this, by the store's clock, such as 1d or 90m
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub older_than: Duration,
    /// Only print what would be aborted
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Also uploads of other owners, and those whose owner the store does not show: in S3 all of them
    #[arg(long)]
    pub all_owners: bool,
}

/// `seglift sweep`
#[derive(Args, Debug)]
pub struct Sweep {
    /// The store, such as s3://bucket/prefix
    #[arg(value_name = "URI", value_hint = ValueHint::Url)]
    pub uri: String,
    /// The keys that stay, one on each line, in byte order (LC_ALL=C sort -u); - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub live: PathBuf,
    /// Only keys that begin with this text; those in the list must, too
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// Leave what was committed within this time before the list was made, or else before the sweep began
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "1d")]
    pub grace: Duration,
    /// Delete; without it nothing is changed
    #[arg(long)]
    pub delete: bool,
}

/// `seglift doctor`
#[derive(Args, Debug)]
pub struct Doctor {
    /// The store, such as s3://bucket/prefix
    #[arg(value_name = "URI", value_hint = ValueHint::Url)]
    pub uri: String,
    /// What the store is to be used for, and so which checks must pass
    #[arg(long = "for", value_enum, value_name = "ACCESS", default_value_t = For::Write)]
    pub access: For,
    /// An object that exists, to prove reads with where nothing may be written
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Only print the least IAM policy that allows this, and ask the store nothing
    #[arg(long, value_enum, value_name = "ACCESS", conflicts_with_all = ["access", "key"])]
    pub policy: Option<For>,
}

/// `--for` and `--policy`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum For {
    /// Read segments
    Read,
    /// Offload segments and read them
    Write,
    /// All of that, and list, delete and clean up
    Admin,
}

/// `seglift status`
#[derive(Args, Debug)]
pub struct Status {
    /// The host's status socket [default: the setting status.socket, SEGLIFT_STATUS_SOCKET]
    #[arg(value_name = "SOCKET", value_hint = ValueHint::AnyPath)]
    pub socket: Option<PathBuf>,
    /// Wait until nothing but reads is queued or running; fails if something failed meanwhile
    #[arg(long, short)]
    pub wait: bool,
    /// Give up after this time, such as 10m [default: never]
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub deadline: Option<Duration>,
}

/// `seglift config`
#[derive(Args, Debug)]
pub struct Config {
    /// Only these settings, with their documentation
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
    /// Only what is not at its default
    #[arg(long)]
    pub changed: bool,
}

/// A size such as 50MiB, or plain bytes.
fn size(text: &str) -> Result<u64, String> {
    seglift::config::parse_size(text)
}

/// `NAME=VALUE`; the value may hold more equals signs and may be empty.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("it must be a name, an equals sign and a value".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_has_no_contradictions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_pair_is_split_at_its_first_equals_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
