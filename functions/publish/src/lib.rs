//! The publish function: journal entries become files of the lake. Started by a schedule; any
//! number may run at once, one gets anywhere.

mod observe;

use std::time::Instant;

use lambda_runtime::Diagnostic;
use serde::Serialize;
use tripline_lake::event_time::EventTimeRules;
use tripline_lake::publish::{FileFormat, PublishError, PublishOptions, PublishReport};
use tripline_metrics::Metrics;
use tripline_model::pipeline::{LakeFormat, Pipeline};
use tripline_settings::{Settings, StartError, open_lake};

use observe::observe;

/// A run ended, but something needs a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The run failed.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Some lanes stand still; the others were published.
    #[error("{count} lanes stand still, first {folder} at entry {entry}: {reason}", count = .0.len(),
        folder = .0.first().map(|lane| lane.folder.as_str()).unwrap_or_default(),
        entry = .0.first().map(|lane| lane.entry).unwrap_or_default(),
        reason = .0.first().map(|lane| lane.reason.as_str()).unwrap_or_default())]
    Stopped(Vec<tripline_lake::publish::StoppedLane>),
}

/// As the invocation's error: without it the runtime would name a type of Rust's.
impl From<RunError> for Diagnostic {
    fn from(error: RunError) -> Self {
        Self { error_type: "PublishError".to_owned(), error_message: error.to_string() }
    }
}

/// What an invocation answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Journal entries published.
    pub entries: u64,
    /// Files made visible.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Old journal entries deleted.
    pub deleted: u64,
    /// Rows that came when their partition was complete.
    pub late_rows: u64,
    /// How far the latest of them was behind the watermark, milliseconds.
    pub lateness_max_ms: Option<i64>,
    /// Partitions whose `_SUCCESS` was written.
    pub completed: u64,
    /// The watermark, milliseconds since 1970 UTC.
    pub watermark_ms: Option<i64>,
    /// How far the watermark is behind the clock, milliseconds.
    pub watermark_lag_ms: Option<i64>,
    /// There is more to publish.
    pub more: bool,
    /// Another publisher was at work; this one gave way.
    pub gave_way: bool,
}

impl Summary {
    /// Sums a report up.
    #[must_use]
    pub fn of(report: &PublishReport) -> Self {
        Self {
            entries: report.entries,
            files: report.files.len() as u64,
            rows: report.files.iter().map(|file| file.rows).sum(),
            bytes: report.files.iter().map(|file| file.bytes).sum(),
            deleted: report.deleted,
            late_rows: report.late_rows,
            lateness_max_ms: report.lateness_max_ms,
            completed: report.completed.len() as u64,
            watermark_ms: report.watermark_ms,
            watermark_lag_ms: report.watermark_lag_ms,
            more: report.more,
            gave_way: report.gave_way,
        }
    }
}

/// How the pipeline wants its files, in the lake's terms.
#[must_use]
pub fn file_format(pipeline: &Pipeline) -> FileFormat {
    match pipeline.format {
        LakeFormat::Parquet => FileFormat::Parquet,
        LakeFormat::Json => FileFormat::JsonLines,
    }
}

/// The publish function, started.
#[derive(Debug)]
pub struct Publish {
    publisher: tripline_lake::publish::Publisher,
    metrics: Metrics,
}

impl Publish {
    /// Loads the pipeline and opens its lake.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(settings: &Settings) -> Result<Self, StartError> {
        let (pipeline, lake) = open_lake(settings).await?;
        let options = PublishOptions {
            event_time: EventTimeRules::of(&pipeline),
            ..settings.publish_options(file_format(&pipeline))
        };
        Ok(Self { publisher: lake.publisher(options), metrics: settings.metrics() })
    }

    /// Publishes until nothing is left or the deadline (milliseconds since 1970 UTC) is near.
    ///
    /// # Errors
    /// [`RunError`]; what was committed stands.
    pub async fn run(&self, deadline_ms: i64) -> Result<Summary, RunError> {
        let began = Instant::now();
        let result = self.publisher.run(deadline_ms).await;
        observe(&self.metrics, &result, began.elapsed());
        let report = result?;
        if report.stopped.is_empty() {
            Ok(Summary::of(&report))
        } else {
            Err(RunError::Stopped(report.stopped))
        }
    }
}
