//! `tripline`: the pipeline on a laptop, and the tools around it.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tripline_cli::Command;

/// What a command came to: its exit code.
fn main() -> ExitCode {
    let lines = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines).with(tripline_settings::log_filter("off")).init();
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
