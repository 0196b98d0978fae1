//! What a stream says of itself.

use std::time::Duration;

use aws_sdk_kinesis::types::StreamDescriptionSummary;

use super::{ReadError, Source, StreamReader};

/// What a stream says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFacts {
    /// `ACTIVE`, `UPDATING`, `CREATING` or `DELETING`.
    pub status: String,
    /// `PROVISIONED` or `ON_DEMAND`.
    pub mode: String,
    /// Shards that take records.
    pub open_shards: i32,
    /// For how long it keeps records.
    pub retention: Duration,
}

impl StreamReader {
    /// What the stream says of itself.
    ///
    /// # Errors
    /// [`ReadError`] when it does not within `within`.
    pub async fn facts(&self, within: Duration) -> Result<StreamFacts, ReadError> {
        let told = self.source.describe(within).await?;
        let mode = told.stream_mode_details.as_ref().map(|details| details.stream_mode.as_str());
        let hours = u64::try_from(told.retention_period_hours).unwrap_or_default();
        Ok(StreamFacts {
            status: told.stream_status.as_str().to_owned(),
            mode: mode.unwrap_or("PROVISIONED").to_owned(),
            open_shards: told.open_shard_count,
            retention: Duration::from_secs(hours * 3600),
        })
    }
}

impl Source {
    pub(super) async fn describe(&self, within: Duration) -> Result<StreamDescriptionSummary, ReadError> {
        let id = &self.stream.id;
        let ask = || {
            let ask = self.stream.client.describe_stream_summary();
            ask.set_stream_name(id.name()).set_stream_arn(id.arn()).send()
        };
        let answer = self.ask("describe", within, ask).await?;
        let summary = answer.and_then(|answer| answer.stream_description_summary);
        summary.ok_or_else(|| self.busy("describe", "the answer says nothing of it".to_owned()))
    }
}
