//! `tripline report`: a picture of a lake, as one page that needs nothing else.

mod chart;
mod page;
mod time_axis;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use tripline_lake::clock::{Clock as _, SystemClock};
use tripline_lake::survey::survey;

use crate::lake::LakeArguments;
use crate::text::grouped;
use page::Subject;

/// Arguments of `tripline report`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportArguments {
    #[command(flatten)]
    lake: LakeArguments,
    /// The page to write.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
}

/// Reads the lake's files and the journal, and writes the page.
///
/// # Errors
/// When the lake cannot be read, or the page not be written.
pub async fn run(arguments: &ReportArguments) -> anyhow::Result<ExitCode> {
    let (pipeline, store) = arguments.lake.open().await?;
    let survey = survey(&*store, &pipeline.id, &|table| pipeline.schema(table)).await?;
    let subject = Subject {
        pipeline: &pipeline,
        lake: &arguments.lake.lake,
        survey: &survey,
        now_ms: SystemClock.now_ms(),
    };
    let output = &arguments.output;
    std::fs::write(output, page::html(&subject))
        .with_context(|| format!("cannot write the report to {}", output.display()))?;
    let rows: u64 = survey.tables.values().map(tripline_lake::survey::SurveyedTable::rows).sum();
    let files: usize = survey.tables.values().map(|table| table.files.len()).sum();
    println!("{} rows in {} files: {}", grouped(rows), grouped(files as u64), output.display());
    Ok(ExitCode::SUCCESS)
}
