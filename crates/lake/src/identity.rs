//! Whose lake this is: written once, compared at every start.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::environment::Entropy;
use crate::layout::IDENTITY;
use crate::store::{Condition, ObjectStore, Put, StoreError};
use crate::store::{ProbeError, probe};

/// Format of everything that lies under `_tripline` and `_journal`.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    format: u32,
    pub(crate) pipeline: String,
    /// Where the store's conditions were proved. A lake that was copied elsewhere is proved anew.
    pub(crate) location: String,
}

/// The lake must not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store does not do what exactly-once needs.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The lake belongs to another pipeline.
    #[error(
        "the lake at {location} belongs to pipeline {found:?}, not {wanted:?}; give every pipeline a prefix of its own"
    )]
    OtherPipeline {
        /// Where the lake is.
        location: String,
        /// Whose it is.
        found: String,
        /// Who asked.
        wanted: String,
    },
    /// Nobody has opened a lake there yet.
    #[error("there is no lake at {location}: {IDENTITY} is missing; check the address")]
    NoLake {
        /// Where it was looked for.
        location: String,
    },
    /// The identity object is damaged or of another version.
    #[error("{location}/{IDENTITY} cannot be read: {reason}; is this prefix a lake of this version?")]
    Unreadable {
        /// Where the lake is.
        location: String,
        /// Why.
        reason: String,
    },
}

/// Makes sure that the lake is `pipeline`'s and that its store can be trusted, before anything is
/// written to it. The first caller proves the store (about a dozen requests) and signs the lake;
/// later ones read one object. `bare` is the same store without repeated calls, which a proof of
/// conditional writes cannot have in its way.
///
/// # Errors
/// [`IdentityError`] when the lake must not be used.
pub(crate) async fn claim(
    store: &dyn ObjectStore,
    bare: &dyn ObjectStore,
    entropy: &dyn Entropy,
    pipeline: &str,
) -> Result<(), IdentityError> {
    let location = store.location();
    if let Some(found) = read(store, &location).await? {
        check(&found, pipeline, &location)?;
        if found.location != location {
            probe(bare, entropy).await?;
        }
        return Ok(());
    }
    probe(bare, entropy).await?;
    let identity = Identity { format: FORMAT, pipeline: pipeline.to_owned(), location: location.clone() };
    let unreadable = |reason: String| IdentityError::Unreadable { location: location.clone(), reason };
    let body = serde_json::to_vec_pretty(&identity).map_err(|error| unreadable(error.to_string()))?;
    match store.put(IDENTITY, Bytes::from(body), Condition::Absent).await? {
        Put::Stored { .. } => Ok(()),
        Put::Refused => {
            let found =
                read(store, &location).await?.ok_or_else(|| unreadable("it comes and goes".to_owned()))?;
            check(&found, pipeline, &location)
        }
    }
}

/// Makes sure that there is a lake and that it is `pipeline`'s. Writes nothing.
///
/// # Errors
/// [`IdentityError`] when there is none, or another's.
pub async fn expect(store: &dyn ObjectStore, pipeline: &str) -> Result<(), IdentityError> {
    let location = store.location();
    match read(store, &location).await? {
        Some(found) => check(&found, pipeline, &location),
        None => Err(IdentityError::NoLake { location }),
    }
}

async fn read(store: &dyn ObjectStore, location: &str) -> Result<Option<Identity>, IdentityError> {
    let Some(object) = store.get(IDENTITY).await? else { return Ok(None) };
    serde_json::from_slice(&object.body).map(Some).map_err(|error| IdentityError::Unreadable {
        location: location.to_owned(),
        reason: error.to_string(),
    })
}

fn check(found: &Identity, pipeline: &str, location: &str) -> Result<(), IdentityError> {
    if found.format != FORMAT {
        return Err(IdentityError::Unreadable {
            location: location.to_owned(),
            reason: format!("format {} where {FORMAT} is known", found.format),
        });
    }
    if found.pipeline != pipeline {
        return Err(IdentityError::OtherPipeline {
            location: location.to_owned(),
            found: found.pipeline.clone(),
            wanted: pipeline.to_owned(),
        });
    }
    Ok(())
}
