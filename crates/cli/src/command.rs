//! The commands as the command line names them.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{
    audit, backfill, ddl, doctor, events, generate, help, inspect, manual, publish, redrive, replay, report,
    run, schema, setup, status,
};

/// Streaming ETL as AWS Lambda functions, on a laptop.
#[derive(Debug, Parser)]
#[command(name = "tripline", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// A command with its arguments.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Command {
    /// Run files or a stream through the real handlers into a lake, as Lambda's event source mapping would.
    Run(Box<run::RunArguments>),
    /// Run many files, objects or a query's rows through the same stages into a lake, files side by side.
    Backfill(Box<backfill::BackfillArguments>),
    /// Publish what lies in the journal of a lake, as the publish function does on its schedule.
    Publish(publish::PublishArguments),
    /// Say how far a lake is: what waits for publish, since when, what stands still, what failed.
    Status(status::StatusArguments),
    /// Check a deployment, piece by piece, and say how to mend what is not right.
    Doctor(Box<doctor::DoctorArguments>),
    /// Prove from what lies in a lake that every record is there exactly once.
    Audit(audit::AuditArguments),
    /// Say what one object of a lake is and holds, or where it is damaged.
    Inspect(inspect::InspectArguments),
    /// Draw what lies in a lake, as one HTML page: rows over time, lateness, files, dead letters, throughput.
    Report(report::ReportArguments),
    /// Print a lake's tables for those who read it: Athena, Spark, DuckDB, Terraform.
    Ddl(ddl::DdlArguments),
    /// Say whether a pipeline's columns fit beside those that are in a lake, and what has changed.
    Schema(schema::SchemaArguments),
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
    /// Print completions for a shell.
    Completions(manual::CompletionsArguments),
    /// Write man pages, one for each command.
    Man(manual::ManArguments),
}

/// All commands, with what their long help teaches.
#[must_use]
pub fn command() -> clap::Command {
    let with_help = |command: clap::Command| match help::of(command.get_name()) {
        Some(help) => command.after_long_help(help),
        None => command,
    };
    Arguments::command().mut_subcommands(with_help).after_long_help(help::EXIT_CODES)
}

impl Command {
    /// The command that the process was started with. Ends the process where there is none, or help is asked for.
    #[must_use]
    pub fn of_process() -> Self {
        match Arguments::from_arg_matches(&command().get_matches()) {
            Ok(arguments) => arguments.command,
            Err(error) => error.exit(),
        }
    }

    /// Does what it is there for.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run(arguments) => run::run(arguments).await,
            Self::Backfill(arguments) => backfill::run(arguments).await,
            Self::Publish(arguments) => publish::run(arguments).await,
            Self::Status(arguments) => status::run(arguments).await,
            Self::Doctor(arguments) => doctor::run(arguments).await,
            Self::Audit(arguments) => audit::run(arguments).await,
            Self::Inspect(arguments) => inspect::run(arguments).await,
            Self::Report(arguments) => report::run(arguments).await,
            Self::Ddl(arguments) => ddl::run(arguments),
            Self::Schema(arguments) => schema::run(arguments).await,
            Self::Redrive(arguments) => redrive::run(arguments).await,
            Self::Setup(arguments) => setup::run(arguments).await,
            Self::Replay(arguments) => replay::run(arguments).await,
            Self::Generate(arguments) => generate::run(arguments),
            Self::Events(arguments) => events::run(arguments),
            Self::Completions(arguments) => manual::completions(arguments),
            Self::Man(arguments) => manual::man(arguments),
        }
    }

    /// Files side by side need threads; all else is one thing at a time, as in a function.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn runtime(&self) -> std::io::Result<tokio::runtime::Runtime> {
        let mut builder = match self {
            Self::Backfill(_) => tokio::runtime::Builder::new_multi_thread(),
            _ => tokio::runtime::Builder::new_current_thread(),
        };
        builder.enable_all().build()
    }
}
