//! How often and how long a batch is tried, under Lambda's names.

use std::time::Duration;

use clap::ArgAction;

/// Retries of a file's batch, unless told otherwise.
pub(super) const FILE_RETRIES: u32 = 4;
/// Of a stream's: some minutes, as it can wait for a sink that is away.
pub(super) const STREAM_RETRIES: u32 = 59;
/// Between the first try and the second; longer between later ones, up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Error handling of the event source mapping.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RetryArguments {
    /// Retries of a batch that fails, 0 to 10,000; -1: until it expires or the run is stopped. If not given, 4 for
    /// files and 59 for streams.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1..=10_000), help_heading = "Error handling")]
    maximum_retry_attempts: Option<i32>,
    /// Give records up that came so many seconds ago, 60 to 604,800; -1: never.
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true, value_parser = age, help_heading = "Error handling")]
    maximum_record_age: i64,
    /// Split a batch in two when the function fails.
    #[arg(long, value_name = "BOOLEAN", default_value_t = true, action = ArgAction::Set, help_heading = "Error handling")]
    pub(super) bisect_batch_on_function_error: bool,
    /// Write batches that are given up to this folder or s3://bucket/prefix, as Lambda does to an on-failure
    /// destination on S3, and go on; `tripline redrive --failed-batches` sends them again. Without it, a batch
    /// that is given up ends the run.
    #[arg(long, value_name = "URL", help_heading = "Error handling")]
    pub(super) on_failure: Option<String>,
}

fn age(text: &str) -> Result<i64, &'static str> {
    match text.parse() {
        Ok(seconds @ (-1 | 60..=604_800)) => Ok(seconds),
        _ => Err("60 to 604800, or -1"),
    }
}

/// How long it goes on with a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// `None`: without end.
    pub(super) retries: Option<u32>,
    /// `None`: however old it is.
    pub(super) age_ms: Option<i64>,
}

impl RetryArguments {
    /// The limits; `default` retries where nothing is said.
    pub(super) fn limits(&self, default: u32) -> Limits {
        let retries = match self.maximum_retry_attempts {
            Some(retries) => u32::try_from(retries).ok(),
            None => Some(default),
        };
        let age_ms = (self.maximum_record_age >= 0).then_some(self.maximum_record_age * 1000);
        Limits { retries, age_ms }
    }
}

/// The wait after so many failures in a row.
pub(super) fn pause_after(failures: u32) -> Duration {
    let (first, longest) = PAUSES;
    (first * failures.min(100)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_those_that_lambda_takes() {
        for (text, expected) in [("-1", Ok(-1)), ("60", Ok(60)), ("604800", Ok(604_800))] {
            assert_eq!(age(text), expected);
        }
        for text in ["0", "59", "604801", "-2", "1h", ""] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
