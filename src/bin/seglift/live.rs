//! A list of live keys, as `seglift sweep` reads it.
//!
//! Invariant: a list that may lack its end is never taken for a whole one. A line without an end is refused, and a list
//! that begins with `#seglift-live-keys 1 TIME` (microseconds since 1970) ends with `#end N` after its N keys, so that even
//! one that was cut off between two lines shows it.
//!
//! Trade-off: a plain list, of keys alone, still does, since any tool can make one; of that, nobody can tell whether it
//! ends where it should.

use crate::{
    app::App,
    failure::{Failure, local},
    input::Input,
};
use seglift::{Code, Error};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, stdin},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Before the time at which whoever made the list began to look.
const HEADER: &str = "#seglift-live-keys ";
/// The form that this version reads.
const VERSION: &str = "1";
/// Before the number of keys, behind the last one.
const END: &str = "#end ";

/// The keys of a list, one after the other.
pub struct Live {
    from: Box<dyn BufRead>,
    name: String,
    /// Lines that were read.
    lines: u64,
    /// It says where it ends.
    framed: bool,
    /// It has said so.
    ended: bool,
    made: Option<SystemTime>,
    /// The first line of a plain list is a key.
    first: Option<String>,
}

impl Live {
    /// The list in the file `list`, or on standard input for `-`.
    pub fn open(app: &App, list: &Path) -> Result<Live, Failure> {
        let name = list.display().to_string();
        let failed = |e: io::Error| local(format!("reading {name}"), &e);
        let mut made = None;
        let from: Box<dyn BufRead> = if list == Path::new("-") {
            Box::new(Input::new(stdin(), app.interrupt.cancel()).map_err(failed)?)
        } else {
            let file = File::open(list).map_err(failed)?;
            let about = file.metadata().map_err(failed)?;
            made = about.modified().ok().filter(|_| about.is_file());
            Box::new(BufReader::new(file))
        };
        let mut live = Live { from, name, lines: 0, framed: false, ended: false, made, first: None };
        match live.line()? {
            Some(line) if line.starts_with(HEADER) => {
                live.framed = true;
                live.made = Some(live.began(&line[HEADER.len()..])?);
            }
            first => live.first = first,
        }
        Ok(live)
    }

    /// How old the list is by this machine's clock: what came into the store since cannot be in it. Zero where nobody knows.
    pub fn age(&self) -> Duration {
        self.made.and_then(|made| made.elapsed().ok()).unwrap_or_default()
    }

    /// The next key; none at the end of the list.
    pub fn next(&mut self) -> Result<Option<String>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let line = match self.first.take() {
            Some(first) => Some(first),
            None => self.line()?,
        };
        if !self.framed {
            return Ok(line);
        }
        let keys = self.lines.saturating_sub(2);
        match line {
            Some(line) if line.starts_with(END) => {
                if line[END.len()..] != keys.to_string() || self.line()?.is_some() {
                    let what =
                        format!("{} holds {keys} keys, and its end does not say so: \"{line}\"", self.name);
                    return Err(invalid(what));
                }
                self.ended = true;
                Ok(None)
            }
            Some(key) => Ok(Some(key)),
            None => {
                let what =
                    format!("{} lacks its last line: a list that was cut off is not swept by", self.name);
                Err(invalid(what))
            }
        }
    }

    fn began(&self, header: &str) -> Result<SystemTime, Failure> {
        let mut words = header.split(' ');
        if words.next() != Some(VERSION) {
            let what = format!(
                "{} is a list of a newer version of seglift; use that version's command line",
                self.name
            );
            return Err(Error::new(Code::UnsupportedVersion, what).into());
        }
        let time = words.next().and_then(|micros| micros.parse().ok()).map(Duration::from_micros);
        time.and_then(|time| UNIX_EPOCH.checked_add(time))
            .filter(|_| words.next().is_none())
            .ok_or_else(|| invalid(format!("the first line of {} does not say when it was made", self.name)))
    }

    fn line(&mut self) -> Result<Option<String>, Failure> {
        let mut line = Vec::new();
        let failed = |e| local(format!("reading {}", self.name), &e);
        if self.from.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(None);
        }
        self.lines += 1;
        // A list that was cut off in the middle of a key must not delete the object of that key.
        if line.pop() != Some(b'\n') {
            let what = "has no end; a list that may have been cut off is not swept by";
            return Err(invalid(format!("line {} of {} {what}", self.lines, self.name)));
        }
        let text = String::from_utf8(line);
        text.map(Some).map_err(|_| invalid(format!("line {} of {} is not UTF-8", self.lines, self.name)))
    }
}

fn invalid(what: String) -> Failure {
    Error::new(Code::InvalidArgument, what).into()
}
