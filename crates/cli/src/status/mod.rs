//! `tripline status`: how far a lake is, and whether it needs a person.

mod ahead;
mod json;
mod text;

use std::process::ExitCode;
use std::time::Duration;

use tripline_lake::clock::{Clock as _, SystemClock};
use tripline_lake::event_time::{Activity, EventTimeRules};
use tripline_lake::status::{LaneStatus, Status, status};

use crate::lake::LakeArguments;
use crate::stream_source::SourceArguments;
use ahead::Ahead;
pub(crate) use text::duration;

/// Arguments of `tripline status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArguments {
    #[command(flatten)]
    lake: LakeArguments,
    #[command(flatten)]
    source: SourceArguments,
    /// Exit with 1 where something has been committed for longer than this, as in 30s or 10m, and is not visible to
    /// readers.
    #[arg(long, value_name = "DURATION", value_parser = tripline_settings::parse_duration)]
    max_lag: Option<Duration>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Look again every so many seconds, until the command is stopped.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
}

/// What is told.
struct Seen<'s> {
    lake: &'s str,
    pipeline: &'s str,
    rules: &'s EventTimeRules,
    status: &'s Status,
    ahead: &'s [Ahead],
    /// What needs a person, a sentence each.
    needs: &'s [String],
    now_ms: i64,
}

impl Seen<'_> {
    /// How long ago something was, in milliseconds.
    fn age_ms(&self, at_ms: i64) -> i64 {
        self.now_ms.saturating_sub(at_ms).max(0)
    }

    /// What a lane has to say about event time; `None`: nothing of it is published.
    fn activity(&self, lane: &LaneStatus) -> Option<Activity> {
        Some(lane.published.as_ref()?.activity(self.rules, self.now_ms))
    }
}

/// Looks at a lake and says how it stands. Exit code 1: something needs a person.
///
/// # Errors
/// When the lake, or the source that is named, cannot be read.
pub async fn run(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    loop {
        let needs_nobody = once(arguments).await?;
        let Some(seconds) = arguments.watch else {
            return Ok(if needs_nobody { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        };
        println!();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

async fn once(arguments: &StatusArguments) -> anyhow::Result<bool> {
    let (pipeline, store) = arguments.lake.open().await?;
    let status = status(&*store, &pipeline.id).await?;
    let ahead = ahead::look(&arguments.source, &status).await?;
    let now_ms = SystemClock.now_ms();
    let needs = needs(&status, arguments.max_lag, now_ms);
    let rules = EventTimeRules::of(&pipeline);
    let (lake, pipeline) = (store.location(), pipeline.id.as_str());
    let seen =
        Seen { lake: &lake, pipeline, rules: &rules, status: &status, ahead: &ahead, needs: &needs, now_ms };
    if arguments.json {
        let value = json::of(&seen);
        // One line a look, where there are many.
        let text = match arguments.watch {
            Some(_) => value.to_string(),
            None => serde_json::to_string_pretty(&value)?,
        };
        println!("{text}");
    } else {
        print!("{}", text::of(&seen));
    }
    Ok(needs.is_empty())
}

fn needs(status: &Status, max_lag: Option<Duration>, now_ms: i64) -> Vec<String> {
    let mut needs: Vec<String> = status
        .stopped()
        .map(|stopped| {
            let advice =
                "restore the object from a version or backup; the lane's later batches wait until then";
            format!(
                "lane {} stands still at entry {}: {}; {advice}",
                stopped.folder, stopped.entry, stopped.reason
            )
        })
        .collect();
    let since = status.behind_since_ms().and_then(|at_ms| u64::try_from(now_ms.saturating_sub(at_ms)).ok());
    if let Some((max, age)) = max_lag.zip(since.map(Duration::from_millis))
        && age > max
    {
        needs.push(format!(
            "something was committed {} ago and readers do not see it, where {} are allowed: look whether publish \
             runs, and at its log",
            duration(age),
            duration(max)
        ));
    }
    needs
}
