//! `tripline`: the pipeline on a laptop, and the tools around it.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tripline_cli::{audit, backfill, events, generate, publish, redrive, replay, report, run, setup};

/// Streaming ETL as AWS Lambda functions, on a laptop.
#[derive(Debug, Parser)]
#[command(name = "tripline", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run files or a stream through the real handlers into a lake, as Lambda's event source mapping would.
    Run(Box<run::RunArguments>),
    /// Run many files, objects or a query's rows through the same stages into a lake, files side by side.
    Backfill(Box<backfill::BackfillArguments>),
    /// Publish what lies in the journal of a lake, as the publish function does on its schedule.
    Publish(publish::PublishArguments),
    /// Prove from what lies in a lake that every record is there exactly once.
    Audit(audit::AuditArguments),
    /// Draw what lies in a lake, as one HTML page: rows over time, lateness, files, dead letters, throughput.
    Report(report::ReportArguments),
    /// Send dead letters, or batches that a mapping gave up, once more through the pipeline.
    Redrive(redrive::RedriveArguments),
    /// Prepare a search cluster for a pipeline's documents: index templates, and a policy for old indices.
    Setup(setup::SetupArguments),
    /// Replay events from files into a stream, in the order of their times and at their pace.
    Replay(Box<replay::ReplayArguments>),
    /// Make events up, for as long as they are wanted, as the pipeline's `generate.toml` says.
    Generate(generate::GenerateArguments),
    /// Write sample Lambda events made from trip records.
    Events(events::EventsArguments),
}

impl Command {
    async fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run(arguments) => run::run(arguments).await,
            Self::Backfill(arguments) => backfill::run(arguments).await,
            Self::Publish(arguments) => publish::run(arguments).await,
            Self::Audit(arguments) => audit::run(arguments).await,
            Self::Report(arguments) => report::run(arguments).await,
            Self::Redrive(arguments) => redrive::run(arguments).await,
            Self::Setup(arguments) => setup::run(arguments).await,
            Self::Replay(arguments) => replay::run(arguments).await,
            Self::Generate(arguments) => generate::run(arguments),
            Self::Events(arguments) => events::run(arguments),
        }
    }

    /// Files side by side need threads; all else is one thing at a time, as in a function.
    fn runtime(&self) -> std::io::Result<tokio::runtime::Runtime> {
        let mut builder = match self {
            Self::Backfill(_) => tokio::runtime::Builder::new_multi_thread(),
            _ => tokio::runtime::Builder::new_current_thread(),
        };
        builder.enable_all().build()
    }
}

/// What a command came to: its exit code.
fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TRIPLINE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let command = Arguments::parse().command;
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
