//! Standard output: results, and nothing else.
//!
//! The stream is written unbuffered by the standard library and buffered here, because its line
//! buffer would search every block of a segment for newlines. Every result line is flushed, so that
//! a reader of the pipe sees a key as soon as its segment is committed. Write errors are errors: a
//! full disk must not look like success.

use crate::failure::Failure;
use serde_json::Value;
use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write, stdout},
    os::fd::AsFd,
};

/// Text is gathered up to this size; larger pieces are written as they are.
const BUFFER: usize = 64 * 1024;

/// Where results go.
pub struct Output {
    /// Whether results are JSON.
    pub json: bool,
    writer: BufWriter<File>,
    terminal: bool,
    /// A write failed and was reported: there is nothing more to write to.
    broken: bool,
}

impl Output {
    /// Takes over standard output.
    pub fn new(json: bool) -> Result<Self, Failure> {
        let file = stdout().as_fd().try_clone_to_owned().map_err(Failure::of_stdout)?;
        Ok(Output {
            json,
            writer: BufWriter::with_capacity(BUFFER, File::from(file)),
            terminal: stdout().is_terminal(),
            broken: false,
        })
    }

    /// Whether a person looks at it.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes a result: `object` as one line in JSON, else `text` and a newline.
    pub fn result(
        &mut self,
        object: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        self.listed(object, text)?;
        self.flush()
    }

    /// The same for one of very many results: it is not flushed.
    pub fn listed(
        &mut self,
        object: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let line = if self.json { object().to_string() } else { text() };
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Writes data as it is.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.write(|writer| writer.write_all(bytes))
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.write(|writer| writer.flush())
    }

    fn write(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), Failure> {
        if self.broken {
            return Ok(());
        }
        write(&mut self.writer).map_err(|error| {
            self.broken = true;
            Failure::of_stdout(error)
        })
    }
}
