//! `seglift`, the command line of tiered storage.
//!
//! **Purpose.** What the library does, by hand and from scripts, with nothing of its own: every
//! command is a thin layer over [`seglift::driver`].
//!
//! **Invariant.** Results go to standard output, talk to standard error, and the exit status says
//! what happened ([`args::EXIT_STATUS`]). Nothing half-done is left behind, whatever ends the
//! process short of `kill -9`. Memory does not grow with the segment.
//!
//! **Trade-off.** The main thread does one thing at a time; what runs in parallel (parts of an
//! upload, ranges of a read) runs in the engine.

mod address;
mod app;
mod args;
mod cat;
mod cleanup;
mod config;
mod doctor;
mod failure;
mod generate;
mod get;
mod inflight;
mod input;
mod interrupt;
mod live;
mod ls;
mod map;
mod offload;
mod output;
mod reap;
mod restore;
mod rm;
mod salvage;
mod scrub;
mod span;
mod stat;
mod status;
mod sweep;
mod talk;
mod verify;

use app::App;
use args::{Cli, Command};
use clap::Parser;
use failure::{EXIT_ERROR, EXIT_PIPE, Failure, exit_status};
use serde_json::json;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut app = match App::new(&cli.common) {
        Ok(app) => app,
        Err(Failure::Pipe) => return ExitCode::from(EXIT_PIPE),
        Err(Failure::Error(error)) => {
            talk::Talk::new(true).error(&error);
            return ExitCode::from(exit_status(error.code()));
        }
    };
    let ended = app.configure(&cli.common).and_then(|()| match &cli.command {
        Command::Offload(args) => offload::run(&mut app, args),
        Command::Cat(args) => cat::run(&mut app, args),
        Command::Get(args) => get::run(&mut app, args),
        Command::Ls(args) => ls::run(&mut app, args),
        Command::Stat(args) => stat::run(&mut app, args),
        Command::Verify(args) => verify::run(&mut app, args),
        Command::Rm(args) => rm::run(&mut app, args),
        Command::Reap(args) => reap::run(&mut app, args),
        Command::Sweep(args) => sweep::run(&mut app, args),
        Command::Doctor(args) => doctor::run(&mut app, args),
        Command::Status(args) => status::run(&mut app, args),
        Command::Config(args) => config::run(&mut app, args),
        Command::Completions { shell } => generate::completions(&mut app, *shell),
        Command::Man { dir } => generate::man(&mut app, dir.as_deref()),
    });
    // An error that ends the command concerns no single object; the tally has the others.
    let ended = match ended {
        // Reported already, and nobody waits for more.
        Err(Failure::Error(_)) if app.interrupt.status().is_some() => Ok(()),
        Err(Failure::Error(error)) => app.failed(json!({}), &error),
        other => other,
    };
    let status = match ended {
        Ok(()) => app.close(),
        Err(Failure::Pipe) => EXIT_PIPE,
        Err(Failure::Error(_)) => EXIT_ERROR,
    };
    ExitCode::from(app.interrupt.status().unwrap_or(status))
}
