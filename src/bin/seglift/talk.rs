//! Standard error: what happens, what went wrong, and how far it is.
//!
//! A failed write to it is ignored: there is nobody left to tell.

use crate::failure;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use seglift::Error;
use std::{
    cell::RefCell,
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

/// Between two lines of progress where no bar can be drawn: often enough to see life, seldom
/// enough for a log.
const EVERY: Duration = Duration::from_secs(5);

/// Where talk goes.
pub struct Talk {
    quiet: bool,
    terminal: bool,
    bar: RefCell<Option<ProgressBar>>,
}

impl Talk {
    /// Takes over standard error; `quiet` leaves errors only.
    pub fn new(quiet: bool) -> Self {
        Talk { quiet, terminal: stderr().is_terminal(), bar: RefCell::default() }
    }

    /// Says something that nobody needs to know.
    pub fn note(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            self.line(&format!("seglift: {}", one_line(&text.to_string())));
        }
    }

    /// Says what went wrong and, if we know, what to do about it.
    pub fn error(&self, error: &Error) {
        self.line(&format!("seglift: {}", one_line(error.message())));
        if let Some(hint) = failure::hint(error) {
            self.line(&format!("hint: {hint}"));
        }
    }

    /// Does something that writes to the terminal, with the bar out of the way.
    pub fn aside<T>(&self, action: impl FnOnce() -> T) -> T {
        match &*self.bar.borrow() {
            Some(bar) => bar.suspend(action),
            None => action(),
        }
    }

    /// Begins to show how far `what` is.
    pub fn progress(&self, what: &str) -> Progress<'_> {
        if self.terminal && !self.quiet {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_message(one_line(what));
            *self.bar.borrow_mut() = Some(bar);
        }
        Progress { talk: self, what: one_line(what), begun: Instant::now(), said: Instant::now() }
    }

    fn line(&self, text: &str) {
        self.aside(|| {
            let _ = writeln!(stderr(), "{text}");
        });
    }
}

/// How far one thing is: a bar on a terminal, now and then a line elsewhere.
pub struct Progress<'a> {
    talk: &'a Talk,
    what: String,
    begun: Instant,
    said: Instant,
}

impl Progress<'_> {
    /// `done` bytes of `total` (0: not known) have gone where they go.
    pub fn update(&mut self, done: u64, total: u64) {
        if let Some(bar) = &*self.talk.bar.borrow() {
            if total > 0 && bar.length() != Some(total) {
                bar.set_length(total);
                bar.set_style(style("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}"));
            } else if total == 0 && bar.length().is_none() {
                bar.set_style(style("{msg} {spinner} {bytes} {bytes_per_sec}"));
            }
            bar.set_position(done);
        } else if self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            let rate = (done as f64 / self.begun.elapsed().as_secs_f64()) as u64;
            let of = if total > 0 {
                format!(" of {} ({} %)", HumanBytes(total), (done as f64 / total as f64 * 100.0) as u64)
            } else {
                String::new()
            };
            self.talk.note(format_args!("{}: {}{of}, {}/s", self.what, HumanBytes(done), HumanBytes(rate)));
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = self.talk.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are literals in this file; a wrong one falls back to the plain bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Keys and file names are other people's text: control characters in them must not reach a
/// terminal, and an error is one line.
pub fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(one_line("a\nb\u{1b}[31mc ü"), "a\\nb\\u{1b}[31mc ü");
    }
}
