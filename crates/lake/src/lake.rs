//! A pipeline's lake: a store that was found fit, with everything that works on it.

use std::sync::Arc;

use crate::environment::Environment;
use crate::identity::{self, IdentityError};
use crate::journal::Journal;
use crate::lane::Role;
use crate::patience::Patience;
use crate::publish::{PublishOptions, Publisher};
use crate::store::ObjectStore;

/// One pipeline's lake.
#[derive(Clone, Debug)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    environment: Environment,
    pipeline: String,
}

impl Lake {
    /// Opens a lake for a pipeline: the first time, the store is proved to honour conditions and
    /// the lake is signed; later the signature is compared.
    ///
    /// # Errors
    /// [`IdentityError`] when the store is unfit or the lake is another pipeline's. Nothing has been
    /// written then but the proof's own objects.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        environment: Environment,
        pipeline: &str,
    ) -> Result<Self, IdentityError> {
        let patient: Arc<dyn ObjectStore> = Arc::new(Patience::new(Arc::clone(&store), environment.clone()));
        identity::claim(&*patient, &*store, &*environment.entropy, pipeline).await?;
        let store = patient;
        Ok(Self { store, environment, pipeline: pipeline.to_owned() })
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
