//! `tripline setup`: prepares a search cluster for a pipeline's documents.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use tripline_lake::Environment;
use tripline_model::pipeline::Pipeline;
use tripline_search::setup::{Change, Setup, SetupOptions};

use crate::sinks::SinkArguments;
use tripline_settings::search_environment;

/// Arguments of `tripline setup`.
#[derive(Clone, Debug, clap::Args)]
pub struct SetupArguments {
    /// Folder that holds the pipeline file.
    #[arg(long, value_name = "DIR", env = "TRIPLINE_PIPELINE")]
    pipeline: PathBuf,
    #[command(flatten)]
    sinks: SinkArguments,
    /// Delete indices so many days after they were made, by a policy of Index State Management.
    #[arg(long, value_name = "DAYS")]
    delete_after_days: Option<u32>,
    /// Tell what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Prepares the cluster, or tells what there is to do.
///
/// # Errors
/// When the pipeline or the options cannot be used, or the cluster refuses.
pub async fn run(arguments: &SetupArguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.pipeline;
    let pipeline = Pipeline::load(folder)
        .with_context(|| format!("the pipeline in {} cannot be used", folder.display()))?;
    let mut out = std::io::stdout().lock();
    let settings = arguments.sinks.settings().await?;
    let cluster = settings.search.context("no cluster is named: give --opensearch or --domain")?;
    if let Some(domain) = arguments.sinks.domain() {
        writeln!(out, "domain {domain}: {}", cluster.hosts.join(", "))?;
    }
    let setup = Setup::connect(&cluster, search_environment(&Environment::default())).await?;
    let options = SetupOptions { delete_after_days: arguments.delete_after_days };
    let steps = setup.plan(&pipeline, &options).await?;
    ensure!(!steps.is_empty(), "every event type has `search = false`: there is nothing to prepare");
    for step in &steps {
        let what = &step.what;
        match (&step.change, arguments.dry_run) {
            (Change::None, _) => writeln!(out, "{what}: is there as it should be")?,
            (Change::Create, true) => writeln!(out, "{what}: would be created: {:#}", step.body)?,
            (Change::Create, false) => {
                setup.apply(step).await?;
                writeln!(out, "{what}: created")?;
            }
            (Change::Replace(lines), dry_run) => {
                if !dry_run {
                    setup.apply(step).await?;
                }
                writeln!(out, "{what}: {}", if dry_run { "would be changed" } else { "changed" })?;
                lines.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
            }
        }
    }
    if !arguments.dry_run && steps.iter().any(|step| matches!(step.change, Change::Replace(_))) {
        writeln!(out, "indices that exist keep their mappings: what has changed counts for new ones")?;
    }
    Ok(ExitCode::SUCCESS)
}
