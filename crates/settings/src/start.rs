//! What both functions do first: load the pipeline, open its lake.

use std::sync::Arc;

use tripline_kinesis::KinesisError;
use tripline_lake::store::{StoreError, open};
use tripline_lake::{Environment, Lake, OpenError};
use tripline_model::pipeline::{Pipeline, PipelineError};
use tripline_search::{SearchError, SearchSink};

use crate::{Settings, SinkSettings};

/// A function cannot start.
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
    Lake(#[from] OpenError),
    /// The search cluster cannot be used as it is set.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The Kinesis stream cannot be used as it is set.
    #[error(transparent)]
    Kinesis(#[from] KinesisError),
    /// The Kafka topic cannot be used as it is set.
    #[cfg(feature = "kafka")]
    #[error(transparent)]
    Kafka(#[from] tripline_kafka::KafkaError),
}

/// Loads the pipeline that the settings name and opens its lake.
///
/// # Errors
/// [`StartError`]; nothing has been written then but the proof of the store's conditions.
pub async fn open_lake(settings: &Settings) -> Result<(Arc<Pipeline>, Lake), StartError> {
    let pipeline = Arc::new(Pipeline::load(&settings.pipeline)?);
    let store = open(&settings.lake, &settings.store).await?;
    let lake = Lake::open(store, Environment::default(), &pipeline).await?;
    Ok((pipeline, lake))
}

/// The search sink that the settings name, if they do. Nothing is asked of the cluster yet.
///
/// # Errors
/// [`SearchError`] with everything that is wrong.
pub async fn connect_search(
    settings: &SinkSettings,
    pipeline: &Arc<Pipeline>,
    environment: &Environment,
) -> Result<Option<SearchSink>, SearchError> {
    let Some(options) = settings.search.clone() else { return Ok(None) };
    SearchSink::connect(Arc::clone(pipeline), options, search_environment(environment)).await.map(Some)
}

/// The time and the randomness of the lake's environment, for the search cluster.
#[must_use]
pub fn search_environment(environment: &Environment) -> tripline_search::Environment {
    let (clock, entropy) = (Arc::clone(&environment.clock), Arc::clone(&environment.entropy));
    tripline_search::Environment::new(move || clock.now_ms(), move || entropy.next())
}
