//! Which versions of a pipeline's columns have been at work in a lake: what comes later must fit beside them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tripline_model::schema::{Definition, History, Refused};

use crate::layout::SCHEMAS;
use crate::store::{Condition, ETag, ObjectStore, Put, StoreError};

/// Format of the object.
const FORMAT: u32 = 1;
/// Other starters that may be first, one after another. Each has written a version, so more would be more versions
/// at once than anybody deploys.
const RIVALS: u32 = 16;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Schemas {
    format: u32,
    #[serde(flatten)]
    pub(crate) history: History,
}

/// The pipeline's columns may not go into the lake, or it cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They do not fit beside those that are in.
    #[error("the lake at {location}: {refused}")]
    Refused {
        /// Where the lake is.
        location: String,
        /// Why.
        refused: Refused,
    },
    /// The object is damaged or of another version.
    #[error(
        "{location}/{SCHEMAS} cannot be read: {reason}; restore the object's last good version, or delete it, \
         and the versions that start next are written down anew"
    )]
    Unreadable {
        /// Where the lake is.
        location: String,
        /// Why.
        reason: String,
    },
    /// Others replace the object all the time.
    #[error("{location}/{SCHEMAS} was replaced {RIVALS} times meanwhile; start again")]
    Contended {
        /// Where the lake is.
        location: String,
    },
}

/// The versions that a lake knows, with the tag under which they may be replaced; `None` before the first.
#[derive(Debug)]
pub(crate) struct Known {
    history: History,
    tag: Option<ETag>,
}

/// The versions of a pipeline's columns that have been at work in a lake; none where nobody has written any down.
///
/// # Errors
/// [`SchemaError`] when the store fails or the object cannot be read.
pub async fn history(store: &dyn ObjectStore) -> Result<History, SchemaError> {
    Ok(read(store).await?.history)
}

pub(crate) async fn read(store: &dyn ObjectStore) -> Result<Known, SchemaError> {
    let Some(object) = store.get(SCHEMAS).await? else {
        return Ok(Known { history: History::default(), tag: None });
    };
    let unreadable = |reason: String| SchemaError::Unreadable { location: store.location(), reason };
    let Schemas { format, history } =
        serde_json::from_slice(&object.body).map_err(|error| unreadable(error.to_string()))?;
    if format != FORMAT {
        return Err(unreadable(format!("format {format} where {FORMAT} is known")));
    }
    Ok(Known { history, tag: Some(object.meta.tag) })
}

/// Takes a pipeline's columns in beside those that are known, by compare-and-swap: of two versions that start at the
/// same time and do not fit beside each other, the second is refused.
///
/// # Errors
/// [`SchemaError`] when they do not fit, or it cannot be told.
pub(crate) async fn admit(
    store: &dyn ObjectStore,
    mut known: Known,
    definition: &Definition,
    now_ms: i64,
) -> Result<(), SchemaError> {
    for _ in 0..RIVALS {
        let next = known.history.with(definition, now_ms);
        let next = next.map_err(|refused| SchemaError::Refused { location: store.location(), refused })?;
        let Some(history) = next else { return Ok(()) };
        let body = serde_json::to_vec_pretty(&Schemas { format: FORMAT, history });
        let body = body.map_err(|error| SchemaError::Unreadable {
            location: store.location(),
            reason: error.to_string(),
        })?;
        let condition = known.tag.map_or(Condition::Absent, Condition::Matches);
        match store.put(SCHEMAS, Bytes::from(body), condition).await? {
            Put::Stored { .. } => return Ok(()),
            // Perhaps by an earlier try of this very put: then the version is known now.
            Put::Refused => known = read(store).await?,
        }
    }
    Err(SchemaError::Contended { location: store.location() })
}
