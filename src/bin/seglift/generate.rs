//! `seglift completions` and `seglift man`: generated from the grammar, so they are never behind it.

use crate::{
    app::App,
    args::Cli,
    failure::{self, Failure},
};
use clap::CommandFactory;
use clap_complete::Shell;
use std::{fs, path::Path};

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
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Failure::of_stdout)?;
        app.out.bytes(&page)?;
        return app.out.flush();
    };
    fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir)).map_err(
        |error| failure::local(format_args!("writing manual pages into {}", dir.display()), &error),
    )?;
    Ok(())
}
