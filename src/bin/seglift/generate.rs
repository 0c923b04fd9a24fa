//! `seglift completions` and `seglift man`: generated from the grammar, so they are never behind it.

use crate::{
    app::App,
    args::Cli,
    failure::{self, Failure},
};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use std::{fs, io, path::Path};

/// Prints the completions of `shell`.
pub fn completions(app: &mut App, shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "seglift", &mut script);
    app.out.bytes(&script)?;
    app.out.flush()
}

/// Prints the manual page, or writes the pages of all commands into `dir`.
pub fn man(app: &mut App, dir: Option<&Path>) -> Result<(), Failure> {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        titled(Cli::command()).render(&mut page).map_err(Failure::of_stdout)?;
        app.out.bytes(&page)?;
        return app.out.flush();
    };
    fs::create_dir_all(dir).and_then(|()| write_pages(dir)).map_err(|error| {
        failure::local(format_args!("writing manual pages into {}", dir.display()), &error)
    })?;
    Ok(())
}

fn write_pages(dir: &Path) -> io::Result<()> {
    // `seglift help` is in the page of seglift; it needs none of its own.
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    for command in root.get_subcommands().cloned().chain([root.clone()]) {
        titled(command).generate_to(dir)?;
    }
    Ok(())
}

/// A page whose foot says of which version it is, also for commands, which have none of their own.
fn titled(command: clap::Command) -> Man {
    Man::new(command).source(concat!("seglift ", env!("CARGO_PKG_VERSION"))).manual("seglift manual")
}
