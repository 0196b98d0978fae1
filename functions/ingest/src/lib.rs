//! The ingest function: a batch of records goes into the journal, exactly once.

mod batch;
pub mod mapping;
pub mod raw_body;

use std::sync::Arc;

pub use batch::{Answer, Batch, Ingest, IngestError, IngestOptions};

use mapping::{LambdaMappings, Mappings};
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
        mappings: settings
            .own_function
            .clone()
            .map(|function| Arc::new(LambdaMappings::new(function)) as Arc<dyn Mappings>),
    };
    Ok(Ingest::new(pipeline, &lake, options))
}
