//! `tripline setup`: prepares a search cluster for a pipeline's documents.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use tripline_lake::Environment;
use tripline_model::pipeline::Pipeline;
use tripline_search::endpoint_of_domain;
use tripline_search::setup::{Change, Setup, SetupOptions};
use tripline_settings::SinkSettings;

/// Arguments of `tripline setup`.
#[derive(Clone, Debug, clap::Args)]
pub struct SetupArguments {
    /// Folder that holds the pipeline file.
    #[arg(long, value_name = "DIR", env = "TRIPLINE_PIPELINE")]
    pipeline: PathBuf,
    /// URL of the cluster; how to reach it is said by the functions' own variables, TRIPLINE_OPENSEARCH_….
    #[arg(long, value_name = "URL", conflicts_with = "domain")]
    opensearch: Option<String>,
    /// Name of a domain of Amazon OpenSearch Service, whose URL is looked up.
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
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
    let url = match (&arguments.opensearch, &arguments.domain) {
        (Some(url), _) => Some(url.clone()),
        (None, Some(domain)) => {
            let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
            let url = endpoint_of_domain(domain, &config).await?;
            writeln!(out, "domain {domain}: {url}")?;
            Some(url)
        }
        (None, None) => None,
    };
    let setup = connect(url).await?;
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

async fn connect(url: Option<String>) -> anyhow::Result<Setup> {
    let of_environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let named = url.map(|url| ("TRIPLINE_OPENSEARCH_URL".to_owned(), url));
    let settings = SinkSettings::from_variables(of_environment.chain(named))?;
    let options = settings.search.context("no cluster is named: give --opensearch or --domain")?;
    let Environment { clock, entropy, .. } = Environment::default();
    let environment = tripline_search::Environment::new(move || clock.now_ms(), move || entropy.next());
    Ok(Setup::connect(&options, environment).await?)
}
