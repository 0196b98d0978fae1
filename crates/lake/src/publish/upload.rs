//! Files on their way to the store: encoded, uploaded in parts, not yet visible.

use std::panic::resume_unwind;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use tripline_model::decode::digest;

use super::encode::{FileFormat, Label, encode};
use super::group::{Group, GroupKey};
use super::{PublishError, Publisher};
use crate::checkpoint::{Contents, PendingFile};
use crate::environment::FailPoint;
use crate::layout::file_generation;

impl Publisher {
    /// Encodes a group and uploads it to `key` without completing the upload. The key alone tells the
    /// format and the generation, so that the same rows under the same key are the same file.
    pub(super) async fn upload(
        &self,
        key: String,
        group_key: &GroupKey,
        group: Group,
    ) -> Result<PendingFile, PublishError> {
        let (file, contents) = self.built(&key, group_key, group).await?;
        let upload = self.store.start_upload(&key).await?;
        self.environment.reach(FailPoint::PublishAfterUploadStart)?;
        let bytes = file.len() as u64;
        let mut rest = Bytes::from(file);
        let mut parts = Vec::new();
        for number in 1_u16.. {
            let part = rest.split_to(rest.len().min(self.options.part_bytes));
            parts.push(self.store.upload_part(&key, &upload, number, part).await?);
            if rest.is_empty() {
                break;
            }
        }
        self.environment.reach(FailPoint::PublishAfterUpload)?;
        Ok(PendingFile { key, upload, parts, bytes, contents })
    }

    /// Builds a file, on another thread where there are cores for that: then uploads go on meanwhile.
    async fn built(
        &self,
        key: &str,
        group_key: &GroupKey,
        group: Group,
    ) -> Result<(Vec<u8>, Contents), PublishError> {
        if self.options.encodes_at_once <= 1 {
            return build(&self.pipeline, key, group_key, &group);
        }
        // Never closed: without a permit there would only be more threads.
        let _permit = self.encoders.acquire().await;
        let (pipeline, name, group_key) = (self.pipeline.clone(), key.to_owned(), group_key.clone());
        let building = spawn_blocking(move || build(&pipeline, &name, &group_key, &group));
        building.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(cancelled) => {
                Err(PublishError::Encode { key: key.to_owned(), reason: cancelled.to_string() })
            }
        })
    }
}

/// Builds the file `key` of a group's rows.
fn build(
    pipeline: &str,
    key: &str,
    group_key: &GroupKey,
    group: &Group,
) -> Result<(Vec<u8>, Contents), PublishError> {
    let failed = |reason: String| PublishError::Encode { key: key.to_owned(), reason };
    let (format, generation) = FileFormat::of_key(key)
        .zip(file_generation(key))
        .ok_or_else(|| failed("it is not named as a published file is".to_owned()))?;
    let batches = group.in_time_order().map_err(|error| failed(error.to_string()))?;
    let mut sum = 0_u64;
    for batch in &batches {
        sum = sum.wrapping_add(digest(batch).map_err(|error| failed(error.to_string()))?);
    }
    let sources = group.sources();
    let label = Label { pipeline, generation, rows: group.rows(), digest: sum, sources: &sources };
    let file = encode(format, group.schema(), &batches, &label).map_err(|error| failed(error.to_string()))?;
    let contents = Contents {
        table: group_key.table.to_string(),
        partition: group_key.partition.clone(),
        late: group_key.late,
        schema: group_key.schema,
        rows: group.rows(),
        digest: sum,
        sources,
    };
    Ok((file, contents))
}
