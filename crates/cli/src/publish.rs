//! `tripline publish`: what lies in the journal becomes files, once or again and again.

use std::process::ExitCode;
use std::time::Duration;

use tripline_lake::publish::{PublishError, PublishReport, Publisher};
use tripline_lake::{Environment, Lake};
use tripline_model::time;

use crate::lake::{FormatArguments, LakeArguments};
use crate::text::{grouped, size};

/// How long to leave a publisher alone that was first.
pub(crate) const RIVAL_PAUSE: Duration = Duration::from_millis(250);

/// Arguments of `tripline publish`.
#[derive(Clone, Debug, clap::Args)]
pub struct PublishArguments {
    #[command(flatten)]
    lake: LakeArguments,
    /// Publish again so long after each run, as in 30s or 5m, until the command is stopped.
    #[arg(long, value_name = "INTERVAL", value_parser = interval)]
    every: Option<Duration>,
    #[command(flatten)]
    format: FormatArguments,
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    tripline_settings::parse_duration(text)
        .and_then(|interval| if interval.is_zero() { Err("more than nothing") } else { Ok(interval) })
}

/// Publishes what lies in the journal and says what came of it. Exit code 1: a lane stands still.
///
/// # Errors
/// When the lake cannot be used.
pub async fn run(arguments: &PublishArguments) -> anyhow::Result<ExitCode> {
    let (pipeline, store) = arguments.lake.open().await?;
    let lake = Lake::open(store, Environment::default(), &pipeline).await?;
    let options = arguments.format.publish_options(&pipeline);
    let publisher = lake.publisher(options);
    let Some(every) = arguments.every else { return Ok(say(&all(&publisher).await?)) };
    loop {
        let report = all(&publisher).await?;
        if report.entries > 0
            || !report.files.is_empty()
            || !report.completed.is_empty()
            || !report.stopped.is_empty()
        {
            say(&report);
        }
        tokio::time::sleep(every).await;
    }
}

/// Publishes until nothing is left, after whoever else is at it.
pub(crate) async fn all(publisher: &Publisher) -> Result<PublishReport, PublishError> {
    let mut sum = PublishReport::default();
    loop {
        let report = publisher.run(i64::MAX).await?;
        sum.entries += report.entries;
        sum.rebuilt += report.rebuilt;
        sum.files.extend(report.files);
        sum.completed.extend(report.completed);
        sum.late_rows += report.late_rows;
        sum.watermark_ms = report.watermark_ms;
        sum.stopped = report.stopped;
        if !report.gave_way {
            return Ok(sum);
        }
        tokio::time::sleep(RIVAL_PAUSE).await;
    }
}

fn say(report: &PublishReport) -> ExitCode {
    let rows: u64 = report.files.iter().map(|file| file.rows).sum();
    let bytes: u64 = report.files.iter().map(|file| file.bytes).sum();
    if report.entries == 0 && report.files.is_empty() && report.completed.is_empty() {
        println!("nothing to publish");
    } else {
        println!(
            "published {} batches: {} rows in {} files, {}",
            grouped(report.entries),
            grouped(rows),
            grouped(report.files.len() as u64),
            size(bytes)
        );
    }
    if let Some(watermark_ms) = report.watermark_ms {
        println!(
            "event time is past {}: {} partitions completed, {} rows late",
            time::rfc3339(watermark_ms),
            grouped(report.completed.len() as u64),
            grouped(report.late_rows)
        );
    }
    if report.rebuilt > 0 {
        println!("{} files whose uploads were lost are built again", grouped(report.rebuilt));
    }
    for lane in &report.stopped {
        println!("lane {} stands still at entry {}: {}", lane.folder, lane.entry, lane.reason);
    }
    if report.stopped.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
