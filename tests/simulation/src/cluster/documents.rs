//! What the cluster holds, and how it is changed: by id, with external versions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tripline_search::verdict::Act;

use super::bulk::{Operation, Said};
use super::trouble::Mood;
use crate::mutant::Mutant;

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    /// Its text.
    pub(crate) source: String,
    /// Its external version.
    pub(crate) version: Option<u64>,
}

/// All documents, by index and id. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Indices {
    mutant: Mutant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    documents: BTreeMap<(String, String), Document>,
    mood: Mood,
    /// What was asked for a document and refused for the time being.
    busy: BTreeSet<(String, String, Option<u64>)>,
}

impl Indices {
    /// A cluster without a document, sound but for `mutant`.
    #[must_use]
    pub(crate) fn new(mutant: Mutant) -> Self {
        Self { mutant, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every document there is.
    #[must_use]
    pub(crate) fn contents(&self) -> BTreeMap<(String, String), Document> {
        self.state().documents.clone()
    }

    /// How the cluster is.
    #[must_use]
    pub(super) fn mood(&self) -> Mood {
        self.state().mood
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Remembers that a document was refused for the time being.
    pub(super) fn note_busy(&self, operation: &Operation) {
        let Operation { index, id, version, .. } = operation;
        self.state().busy.insert((index.clone(), id.clone(), *version));
    }

    /// Whether a document was refused for the time being.
    #[must_use]
    pub(super) fn was_busy(&self, operation: &Operation) -> bool {
        let Operation { index, id, version, .. } = operation;
        self.state().busy.contains(&(index.clone(), id.clone(), *version))
    }

    /// Does what is asked for one document.
    pub(super) fn apply(&self, operation: &Operation) -> Said {
        let Operation { act, index, id, version, source } = operation;
        let mut state = self.state();
        let place = (index.clone(), id.clone());
        let document = Document { source: source.clone(), version: *version };
        let Some(present) = state.documents.get_mut(&place) else {
            state.documents.insert(place, document);
            return Said::CREATED;
        };
        if *act == Act::Create || self.is_older(*version, present.version) {
            return Said::CONFLICT;
        }
        // An event has an id of its own where documents are updated: merged is replaced.
        if *act == Act::Update && *present == document {
            return Said::NOOP;
        }
        *present = document;
        Said::UPDATED
    }

    /// `external_gte`.
    fn is_older(&self, version: Option<u64>, present: Option<u64>) -> bool {
        version < present && self.mutant != Mutant::IgnoresVersions
    }
}
