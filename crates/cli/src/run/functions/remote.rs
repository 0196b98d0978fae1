//! The functions behind Lambda's invocation API, as `cargo lambda watch` has it.

use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

use super::{Outcome, Publication};
use crate::invoke::{FunctionClient, InvokeError, LONGEST_INVOCATION};
use crate::publish::RIVAL_PAUSE;
use crate::run::retries::{STREAM_RETRIES, pause_after};

/// Functions that are invoked over HTTP.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::run) struct InvokeArguments {
    /// Invoke the function behind this URL, as cargo lambda watch serves it, instead of the handler in this
    /// process. The pipeline, the lake and the sinks are that function's own.
    #[arg(long, value_name = "URL", help_heading = "Invocation", conflicts_with_all = ["seed_faults", "opensearch", "opensearch_domain", "format"])]
    pub(in crate::run) invoke: Option<String>,
    /// Name of the function.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "ingest",
        requires = "invoke",
        help_heading = "Invocation"
    )]
    pub(in crate::run) function: String,
    /// Function to invoke when it is time to publish; without it, publishing is left to others.
    #[arg(
        long,
        value_name = "NAME",
        requires = "invoke",
        conflicts_with = "no_publish",
        help_heading = "Invocation"
    )]
    pub(in crate::run) invoke_publish: Option<String>,
    /// Seconds that an invocation may take, as the function's time-out.
    #[arg(long, value_name = "SECONDS", default_value_t = LONGEST_INVOCATION.as_secs(), value_parser = clap::value_parser!(u64).range(1..), requires = "invoke", help_heading = "Invocation")]
    invoke_timeout: u64,
}

/// `ingest`, and `publish` where it was named.
#[derive(Debug)]
pub(in crate::run) struct Remote {
    ingest: FunctionClient,
    publish: Option<FunctionClient>,
}

/// What is read of the publish function's answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PublishAnswer {
    files: u64,
    rows: u64,
    more: bool,
    gave_way: bool,
    #[serde(default)]
    watermark_ms: Option<i64>,
}

impl Remote {
    /// Functions at this URL. Nothing is asked of them yet.
    pub(in crate::run) fn new(url: &str, arguments: &InvokeArguments) -> anyhow::Result<Self> {
        let timeout = Duration::from_secs(arguments.invoke_timeout);
        let client = |name: &str| FunctionClient::new(url, name, timeout);
        let publish = arguments.invoke_publish.as_deref().map(client).transpose()?;
        Ok(Self { ingest: client(&arguments.function)?, publish })
    }

    /// A function that nobody serves: the port is that of a protocol which is not spoken any more.
    #[cfg(test)]
    #[allow(clippy::panic)]
    pub(in crate::run) fn nowhere() -> Self {
        let ingest = FunctionClient::new("http://127.0.0.1:1", "ingest", LONGEST_INVOCATION);
        Self { ingest: ingest.unwrap_or_else(|error| panic!("{error}")), publish: None }
    }

    /// Whether there is a function that publishes.
    pub(in crate::run) const fn publishes(&self) -> bool {
        self.publish.is_some()
    }

    pub(super) async fn invoke(&self, event: &[u8]) -> anyhow::Result<Outcome> {
        Ok(match self.ingest.invoke(event.to_vec()).await {
            Ok(body) => Outcome::Body(body),
            Err(error @ (InvokeError::Away { .. } | InvokeError::Busy { .. })) => Outcome::Away(error.into()),
            Err(error @ InvokeError::TooLarge { .. }) => Outcome::TooLarge(error.into()),
            Err(error @ (InvokeError::Failed { .. } | InvokeError::TimedOut(_))) => {
                Outcome::Failed(error.into())
            }
            Err(error @ InvokeError::Refused { .. }) => return Err(error.into()),
        })
    }

    /// Invokes the publish function until it says that nothing is left.
    pub(super) async fn publish(&self) -> anyhow::Result<Publication> {
        let mut publication = Publication::default();
        let Some(publish) = &self.publish else { return Ok(publication) };
        let mut failures = 0;
        loop {
            let body = match publish.invoke(b"{}".to_vec()).await {
                Ok(body) => body,
                // What it has done stays, and the next run goes on; a schedule would invoke it again, too.
                Err(error) if error.may_pass() && failures < STREAM_RETRIES => {
                    failures += 1;
                    tokio::time::sleep(pause_after(failures)).await;
                    continue;
                }
                Err(error) => return Err(error).context("cannot publish"),
            };
            failures = 0;
            let answer: PublishAnswer = serde_json::from_slice(&body).with_context(|| {
                format!("the publish function answers {}", String::from_utf8_lossy(&body))
            })?;
            publication.count += answer.files;
            publication.rows += answer.rows;
            publication.watermark_ms = answer.watermark_ms;
            if answer.gave_way {
                tokio::time::sleep(RIVAL_PAUSE).await;
            } else if !answer.more {
                return Ok(publication);
            }
        }
    }
}
