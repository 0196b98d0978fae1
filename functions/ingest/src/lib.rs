//! The ingest function: a batch of records goes into the journal, exactly once.

mod batch;
pub mod raw_body;

pub use batch::{Answer, Batch, Ingest, IngestError, IngestOptions};

use tripline_settings::{Settings, StartError, open_lake};

/// Loads the pipeline, opens its lake and makes the function ready.
///
/// # Errors
/// [`StartError`].
pub async fn start(settings: &Settings) -> Result<Ingest, StartError> {
    let (pipeline, lake) = open_lake(settings).await?;
    let options = IngestOptions {
        source_epoch: settings.source_epoch.clone(),
        partial_responses: settings.partial_responses,
    };
    Ok(Ingest::new(pipeline, &lake, options))
}
