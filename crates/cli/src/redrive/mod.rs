//! `tripline redrive`: sends what failed once again, each record at most once more.

mod batches;
mod letters;
mod send;

use std::process::ExitCode;
use std::sync::Arc;

use tripline_lake::redrive::Filter;
use tripline_lake::{Environment, Lake};
use tripline_model::decode::{Reason, Stage};
use tripline_model::time;

use crate::lake::LakeArguments;
use crate::sinks::SinkArguments;
use batches::BatchesOf;
use send::Senders;

/// Arguments of `tripline redrive`.
#[derive(Clone, Debug, clap::Args)]
pub struct RedriveArguments {
    #[command(flatten)]
    lake: LakeArguments,
    #[command(flatten)]
    sinks: SinkArguments,
    /// Instead of dead letters: batches that an event source mapping gave up, as it wrote them to its
    /// on-failure destination. A folder or s3://bucket/prefix.
    #[arg(long, value_name = "URL", conflicts_with_all = ["since", "until", "reason", "type", "stage", "list"])]
    failed_batches: Option<String>,
    /// Only batches of this function. Needed where batches of several lie.
    #[arg(long, value_name = "NAME", requires = "failed_batches")]
    function: Option<String>,
    /// Source epoch of the function whose batches they are.
    #[arg(long, value_name = "EPOCH", default_value = "", env = "TRIPLINE_SOURCE_EPOCH")]
    source_epoch: String,
    /// Only dead letters that failed at or after this time, as in 2026-11-01 or 2026-11-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = datetime)]
    since: Option<i64>,
    /// Only dead letters that failed before this time.
    #[arg(long, value_name = "TIME", value_parser = datetime)]
    until: Option<i64>,
    /// Only dead letters with one of these reasons.
    #[arg(long, value_name = "CODE", num_args = 1.., value_parser = reason)]
    reason: Vec<String>,
    /// Only dead letters that told one of these types.
    #[arg(long, value_name = "TYPE", num_args = 1..)]
    r#type: Vec<String>,
    /// Only dead letters of this stage: `decode` (no sink has the record), or the sink that refused it, `search`,
    /// `kinesis` or `kafka`.
    #[arg(long, value_name = "STAGE", value_parser = stage)]
    stage: Option<String>,
    /// Show what would be sent, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Show the redrives so far.
    #[arg(long)]
    list: bool,
}

fn datetime(text: &str) -> Result<i64, String> {
    time::parse(text.as_bytes()).map_err(|error| error.to_string())
}

fn reason(text: &str) -> Result<String, String> {
    match Reason::ALL.iter().find(|reason| reason.code() == text) {
        Some(reason) => Ok(reason.code().to_owned()),
        None => {
            let codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
            Err(format!("no such reason; there are {}", codes.join(", ")))
        }
    }
}

fn stage(text: &str) -> Result<String, String> {
    let known = Stage::ALL.iter().find(|stage| stage.code() == text);
    known.map(|stage| stage.code().to_owned()).ok_or_else(|| {
        let codes: Vec<&str> = Stage::ALL.iter().map(|stage| stage.code()).collect();
        format!("no such stage; there are {}", codes.join(", "))
    })
}

/// Sends dead letters or given-up batches again. Exit code 0: all that was to be sent is; 1: a part of
/// it could not be.
///
/// # Errors
/// When the lake, the cluster or the batches cannot be read, or a sink does not take what is sent. Repeating the
/// command goes on where it stopped.
pub async fn run(arguments: &RedriveArguments) -> anyhow::Result<ExitCode> {
    let (pipeline, store) = arguments.lake.open().await?;
    if arguments.list {
        return letters::list(&*store).await;
    }
    let lake = Lake::open(Arc::clone(&store), Environment::default(), &pipeline).await?;
    let senders = Senders::new(&pipeline, &lake, &arguments.sinks).await?;
    match &arguments.failed_batches {
        Some(url) => {
            let batches = arguments.lake.stores.open(url).await?;
            let of = BatchesOf {
                store: &*batches,
                function: arguments.function.clone(),
                epoch: &arguments.source_epoch,
            };
            batches::send(&lake, &senders, of, arguments.dry_run).await
        }
        None => letters::send(&lake, &senders, arguments.filter(), arguments.dry_run).await,
    }
}

impl RedriveArguments {
    fn filter(&self) -> Filter {
        Filter {
            since_ms: self.since,
            until_ms: self.until,
            reasons: self.reason.iter().cloned().collect(),
            event_types: self.r#type.iter().cloned().collect(),
            stages: self.stage.iter().cloned().collect(),
        }
    }
}
