//! The versions of a pipeline's columns that a lake has seen.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Change, Definition, changes};

/// Every version that has been at work in a lake, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The versions, each once, in ascending order.
    pub versions: Vec<Version>,
}

/// A version that has been at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When it was seen first, milliseconds since 1970 UTC.
    pub seen_at_ms: i64,
    /// Its tables.
    #[serde(flatten)]
    pub definition: Definition,
}

/// How a version that may be at work stands to a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is a part of it.
    Known,
    /// It is not, and fits beside all that are.
    New,
}

/// A version may not be at work in a lake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another definition has its number.
    #[error(
        "schema_version {version} is known with other columns: {}; raise schema_version when columns change",
        listed(.changes)
    )]
    Redefined {
        /// The version.
        version: u32,
        /// What differs from the definition that is known.
        changes: Vec<Change>,
    },
    /// Files of it and of other versions could not be read together.
    #[error("schema_version {version} does not fit beside what is in the lake: {}", listed(.conflicts))]
    Incompatible {
        /// The version.
        version: u32,
        /// Why.
        conflicts: Vec<Conflict>,
    },
}

/// What keeps two versions apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The older version.
    pub older: u32,
    /// The newer version.
    pub newer: u32,
    /// What has changed from the one to the other.
    pub change: Change,
}

impl fmt::Display for Conflict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.change.refusal().unwrap_or_default();
        write!(out, "{} from version {} to {} ({reason})", self.change, self.older, self.newer)
    }
}

fn listed<T: fmt::Display>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join("; ")
}

impl History {
    /// Whether a version may be at work beside all that have been.
    ///
    /// A version is compared with each of the others, not with its neighbours alone: a column that was removed may
    /// come back, though not as something else. An older version than the newest is no fault, as functions are
    /// replaced one after another and may be taken back.
    ///
    /// # Errors
    /// [`Refused`] with everything that stands against it.
    pub fn check(&self, definition: &Definition) -> Result<Fit, Refused> {
        let version = definition.version;
        if let Some(known) = self.versions.iter().find(|known| known.definition.version == version) {
            let changes = changes(&known.definition, definition);
            return if changes.is_empty() {
                Ok(Fit::Known)
            } else {
                Err(Refused::Redefined { version, changes })
            };
        }
        let mut conflicts: Vec<Conflict> = Vec::new();
        // The newest version first, so that what several versions stand against is told of the nearest.
        for known in self.versions.iter().rev() {
            for conflict in conflicts_of(&known.definition, definition) {
                if conflicts.iter().all(|told| told.change != conflict.change) {
                    conflicts.push(conflict);
                }
            }
        }
        if conflicts.is_empty() { Ok(Fit::New) } else { Err(Refused::Incompatible { version, conflicts }) }
    }

    /// The history with a version that was seen at `now_ms`, or `None` where it is known.
    ///
    /// # Errors
    /// [`Refused`], as [`Self::check`] says.
    pub fn with(&self, definition: &Definition, now_ms: i64) -> Result<Option<Self>, Refused> {
        if self.check(definition)? == Fit::Known {
            return Ok(None);
        }
        let mut next = self.clone();
        let place = self.versions.partition_point(|known| known.definition.version < definition.version);
        next.versions.insert(place, Version { seen_at_ms: now_ms, definition: definition.clone() });
        Ok(Some(next))
    }
}

fn conflicts_of(one: &Definition, other: &Definition) -> impl Iterator<Item = Conflict> {
    let (older, newer) = if one.version < other.version { (one, other) } else { (other, one) };
    let refused = changes(older, newer).into_iter().filter(|change| change.refusal().is_some());
    let (older, newer) = (older.version, newer.version);
    refused.map(move |change| Conflict { older, newer, change })
}
