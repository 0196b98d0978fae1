//! The ingest function: a batch of records, or the rows of an object, go into the journal, exactly once.

mod batch;
mod connect;
pub mod mapping;
mod objects;
mod observe;
pub mod raw_body;
mod sinks;

use std::sync::Arc;

pub use batch::{Answer, Batch, Ingest, IngestError, IngestOptions};
pub use connect::Connected;
pub use objects::{FailedObject, ObjectError, Objects, ObjectsDone, Response, Rest};
pub use sinks::{Cause, Malformed, Place, Setback, Sinks, Taken};

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
        objects: Some(Arc::new(Objects::new(settings.store.clone(), lake.store().location()))),
        mappings: settings
            .own_function
            .clone()
            .map(|function| Arc::new(LambdaMappings::new(function)) as Arc<dyn Mappings>),
        metrics: settings.metrics(),
    };
    let environment = lake.environment();
    let connected = Connected::new(&settings.sinks, &pipeline, environment).await?;
    let sinks = connected.all(&lake);
    Ok(Ingest::feeding(sinks, pipeline, Arc::clone(&environment.clock), options))
}
