//! The ingest function: a batch of records goes into the journal, exactly once.

mod batch;
pub mod raw_body;

pub use batch::{Answer, Batch, Ingest, IngestError, IngestOptions};

use std::sync::Arc;

use tripline_lake::identity::IdentityError;
use tripline_lake::store::{StoreError, open};
use tripline_lake::{Environment, Lake};
use tripline_model::pipeline::{Pipeline, PipelineError};
use tripline_settings::Settings;

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The pipeline file is wrong.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lake must not be used.
    #[error(transparent)]
    Lake(#[from] IdentityError),
}

/// Loads the pipeline, opens its lake and makes the function ready.
///
/// # Errors
/// [`StartError`].
pub async fn start(settings: &Settings) -> Result<Ingest, StartError> {
    let pipeline = Arc::new(Pipeline::load(&settings.pipeline)?);
    let store = open(&settings.lake, &settings.store).await?;
    let lake = Lake::open(store, Environment::default(), &pipeline.id).await?;
    let options = IngestOptions {
        source_epoch: settings.source_epoch.clone(),
        partial_responses: settings.partial_responses,
    };
    Ok(Ingest::new(pipeline, &lake, options))
}
