//! A pipeline's lake: a store that was found fit, with everything that works on it.

use std::sync::Arc;

use tripline_model::pipeline::Pipeline;
use tripline_model::schema::Definition;

use crate::environment::Environment;
use crate::identity::{self, IdentityError};
use crate::journal::Journal;
use crate::lane::Role;
use crate::patience::Patience;
use crate::publish::{PublishOptions, Publisher};
use crate::schemas::{self, SchemaError};
use crate::store::ObjectStore;

/// A lake may not be used, or not with these columns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store is unfit, or the lake is another pipeline's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The pipeline's columns do not fit beside those in the lake.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// One pipeline's lake.
#[derive(Clone, Debug)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    environment: Environment,
    pipeline: String,
}

impl Lake {
    /// Opens a pipeline's lake: the first time, the store is proved to honour conditions and the lake is signed; later
    /// the signature is compared. The pipeline's columns are written down beside those of its other versions.
    ///
    /// # Errors
    /// [`OpenError`] when the store is unfit, the lake is another pipeline's, or the columns do not fit beside those
    /// that are in. Nothing has been written then but the proof's own objects and the signature.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        environment: Environment,
        pipeline: &Pipeline,
    ) -> Result<Self, OpenError> {
        let patient: Arc<dyn ObjectStore> = Arc::new(Patience::new(Arc::clone(&store), environment.clone()));
        // Side by side, as a cold start waits for both.
        let (claimed, known) = tokio::join!(
            identity::claim(&*patient, &*store, &*environment.entropy, &pipeline.id),
            schemas::read(&*patient)
        );
        claimed?;
        schemas::admit(&*patient, known?, &Definition::of(pipeline), environment.now_ms()).await?;
        Ok(Self { store: patient, environment, pipeline: pipeline.id.clone() })
    }

    /// A journal for one role, with no tail remembered yet.
    #[must_use]
    pub fn journal(&self, role: Role) -> Journal {
        Journal::new(Arc::clone(&self.store), self.environment.clone(), role)
    }

    /// A publisher.
    #[must_use]
    pub fn publisher(&self, options: PublishOptions) -> Publisher {
        Publisher::new(Arc::clone(&self.store), self.environment.clone(), self.pipeline.clone(), options)
    }

    /// The store, patient with failures whose outcome is unknown.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Id of the pipeline.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Time, randomness and mishaps.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}
