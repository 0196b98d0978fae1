//! `tripline`: the pipeline on a laptop, and the tools around it.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use tripline_cli::Command;

/// What a command came to: its exit code.
fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TRIPLINE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let command = Command::of_process();
    let outcome = match command.runtime() {
        Ok(runtime) => runtime.block_on(command.run()),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tripline: {error:#}");
            ExitCode::from(2)
        }
    }
}
