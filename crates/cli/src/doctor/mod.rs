//! `tripline doctor`: what of a deployment is as it must be, and how to mend what is not.

mod bucket;
mod credentials;
mod findings;
mod function;
mod search;
mod source;
mod store;
mod variables;

use std::process::ExitCode;
use std::sync::Arc;

use tripline_model::pipeline::Pipeline;

use crate::lake::LakeArguments;
use crate::sinks::SinkArguments;
use crate::stream_source::SourceArguments;
use findings::{Findings, Verdict};

/// Arguments of `tripline doctor`.
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorArguments {
    #[command(flatten)]
    lake: LakeArguments,
    #[command(flatten)]
    sinks: SinkArguments,
    #[command(flatten)]
    source: SourceArguments,
    /// A function of the deployment, by its name: its variables, memory, timeout and event source mappings.
    #[arg(long, value_name = "NAME")]
    function: Vec<String>,
    /// Leave out the checks that write throw-away objects into the lake.
    #[arg(long)]
    read_only: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Checks a deployment and says what it finds, a line each. Exit code 1: something fails.
///
/// # Errors
/// When the result cannot be printed: what is wrong with the deployment is a finding.
pub async fn run(arguments: &DoctorArguments) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    let pipeline = pipeline(arguments, &mut findings);
    let settings = variables::check(arguments, &mut findings);
    if arguments.needs_aws() {
        credentials::check(&mut findings).await;
    } else {
        findings.not_checked("credentials", "nothing of AWS is named");
    }
    store::check(arguments, pipeline.as_deref(), &mut findings).await;
    match arguments.sinks.settings().await {
        Ok(sinks) => search::check(&sinks, pipeline.as_deref(), &mut findings).await,
        Err(_) if settings.is_none() => findings.not_checked("search", "the variables are not right"),
        Err(error) => findings.fail("search", format!("{error:#}"), ""),
    }
    if let Some(settings) = &settings {
        source::check_sinks(&settings.sinks, &mut findings).await;
    }
    source::check(&arguments.source, &mut findings).await;
    function::check(arguments, settings.as_ref(), &mut findings).await;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&findings.json())?);
    } else {
        print!("{}", findings.text());
    }
    Ok(if findings.count(Verdict::Fail) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl DoctorArguments {
    /// Whether anything that is named asks for AWS credentials.
    fn needs_aws(&self) -> bool {
        self.lake.lake.starts_with("s3://")
            || self.source.kinesis.is_some()
            || self.sinks.domain().is_some()
            || !self.function.is_empty()
    }
}

fn pipeline(arguments: &DoctorArguments, findings: &mut Findings) -> Option<Arc<Pipeline>> {
    match Pipeline::load(&arguments.lake.pipeline) {
        Ok(pipeline) => {
            let tables: Vec<&str> = pipeline.tables().collect();
            let what = format!(
                "{}, schema version {}, tables {}",
                pipeline.id,
                pipeline.schema_version,
                tables.join(", ")
            );
            findings.ok("pipeline", what);
            Some(Arc::new(pipeline))
        }
        Err(error) => {
            findings.fail("pipeline", error.to_string(), "");
            None
        }
    }
}
