//! `tripline completions` and `tripline man`: the commands, told to shells and to `man`.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap_complete::{Generator as _, Shell};

use crate::command::command;

/// Arguments of `tripline completions`.
#[derive(Clone, Debug, clap::Args)]
pub struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a shell's completions.
///
/// # Errors
/// When nobody reads them.
pub fn completions(arguments: &CompletionsArguments) -> anyhow::Result<ExitCode> {
    let mut command = command();
    command.set_bin_name("tripline");
    command.build();
    arguments
        .shell
        .try_generate(&command, &mut io::stdout().lock())
        .context("cannot print the completions")?;
    Ok(ExitCode::SUCCESS)
}

/// Arguments of `tripline man`.
#[derive(Clone, Debug, clap::Args)]
pub struct ManArguments {
    /// The folder that the pages go into; it is made if need be.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes a page for each command.
///
/// # Errors
/// When the folder cannot be written to.
pub fn man(arguments: &ManArguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.folder;
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command(), folder));
    written.with_context(|| format!("cannot write the pages to {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
