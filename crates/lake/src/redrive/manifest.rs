//! A redrive's own object: what it is about, and whether it is done.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::ready;
use serde::{Deserialize, Serialize};
use tripline_model::batch::DEAD_LETTER_TABLE;

use super::letters::{LetterGroup, grouped, read};
use super::{Filter, Letter, RedriveError};
use crate::layout::{REDRIVE, file_generation, redrive_key};
use crate::store::{Condition, ETag, ObjectMeta, ObjectStore, Put, objects};

/// Format of the object; a reader refuses another.
const FORMAT: u32 = 1;

/// A redrive of dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    format: u32,
    /// Its number, from 1.
    pub number: u64,
    /// When it was begun, milliseconds since 1970 UTC.
    pub begun_at_ms: i64,
    /// Which letters of the files it is about.
    pub filter: Filter,
    /// The sinks that its letters go to, by name: a repetition must have them too.
    pub sinks: BTreeSet<String>,
    /// The files, by key.
    pub files: BTreeSet<String>,
    /// Whether it is done.
    pub state: RedriveState,
}

/// How far a redrive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum RedriveState {
    /// Begun, and perhaps interrupted: it is to be repeated.
    Running,
    /// All its letters have been sent.
    Done {
        /// When, milliseconds since 1970 UTC.
        at_ms: i64,
        /// What became of them.
        sent: Sent,
    },
}

/// What became of letters that were sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Letters sent.
    pub letters: u64,
    /// Those that became dead letters once more.
    pub failed_again: u64,
    /// Those that a run before this one, which died, had sent already.
    pub sent_before: u64,
}

impl Redrive {
    /// Reads a redrive's object; else says why it is none that this version reads.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let redrive: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if redrive.format != FORMAT {
            return Err(format!("format {} where {FORMAT} is known", redrive.format));
        }
        Ok(redrive)
    }

    /// Whether a letter of one of the lake's files is this redrive's.
    fn has(&self, file: &str, letter: &Letter) -> bool {
        self.files.contains(file) && self.filter.passes(letter)
    }
}

/// Redrives of a lake, in order of their numbers, each with the tag of its object.
async fn all(store: &dyn ObjectStore) -> Result<Vec<(Redrive, ETag)>, RedriveError> {
    let mut found: Vec<(Redrive, ETag)> = Vec::new();
    let mut listed = objects(store, REDRIVE, None);
    while let Some(ObjectMeta { key, .. }) = listed.try_next().await? {
        let Some(object) = store.get(&key).await? else { continue };
        let redrive = Redrive::parse(&object.body).map_err(|reason| RedriveError::UnreadableRedrive {
            location: store.location(),
            key,
            reason,
        })?;
        found.push((redrive, object.meta.tag));
    }
    Ok(found)
}

/// The letters of one redrive, ready to be sent: those of its files that pass its filter and were in no
/// redrive before it.
#[derive(Debug)]
pub struct Selection {
    /// The redrive.
    pub redrive: Redrive,
    earlier: Vec<Redrive>,
    tag: Option<ETag>,
}

impl Selection {
    /// All redrives of a lake so far, in order.
    ///
    /// # Errors
    /// [`RedriveError`].
    pub async fn history(store: &dyn ObjectStore) -> Result<Vec<Redrive>, RedriveError> {
        Ok(all(store).await?.into_iter().map(|(redrive, _)| redrive).collect())
    }

    /// What a redrive with this filter, to these sinks, would be about now. Writes nothing.
    ///
    /// # Errors
    /// [`RedriveError`].
    pub async fn preview(
        store: &dyn ObjectStore,
        filter: Filter,
        sinks: BTreeSet<String>,
        now_ms: i64,
    ) -> Result<Self, RedriveError> {
        let earlier = Self::history(store).await?;
        let number = earlier.last().map_or(1, |redrive| redrive.number + 1);
        let files = files(store).await?;
        let redrive = Redrive {
            format: FORMAT,
            number,
            begun_at_ms: now_ms,
            filter,
            sinks,
            files,
            state: RedriveState::Running,
        };
        Ok(Self { redrive, earlier, tag: None })
    }

    /// The redrive that was begun and is not done, if there is one: it is to be repeated before
    /// another begins.
    ///
    /// # Errors
    /// [`RedriveError`].
    pub async fn unfinished(store: &dyn ObjectStore) -> Result<Option<Self>, RedriveError> {
        let mut redrives = all(store).await?;
        let Some(index) = redrives.iter().position(|(redrive, _)| redrive.state == RedriveState::Running)
        else {
            return Ok(None);
        };
        redrives.truncate(index + 1);
        let Some((redrive, tag)) = redrives.pop() else { return Ok(None) };
        let earlier = redrives.into_iter().map(|(redrive, _)| redrive).collect();
        Ok(Some(Self { redrive, earlier, tag: Some(tag) }))
    }

    /// Begins the redrive: from now on its letters are its own. `false`: somebody else has begun
    /// another one meanwhile, and this one must be looked for anew.
    ///
    /// # Errors
    /// [`RedriveError`].
    pub async fn begin(&mut self, store: &dyn ObjectStore) -> Result<bool, RedriveError> {
        let key = redrive_key(self.redrive.number);
        match store.put(&key, body(&self.redrive, store, &key)?, Condition::Absent).await? {
            Put::Stored { tag } => {
                self.tag = Some(tag);
                Ok(true)
            }
            // It may be this very one, put by a try whose answer was lost.
            Put::Refused => {
                let found = all(store).await?.into_iter().find(|(found, _)| *found == self.redrive);
                self.tag = found.map(|(_, tag)| tag);
                Ok(self.tag.is_some())
            }
        }
    }

    /// The files' letters, files of one commit at a time, and these in order: so the letters of a lane come
    /// in the order of their positions.
    #[must_use]
    pub fn rounds(&self) -> Vec<Vec<String>> {
        let mut rounds: BTreeMap<Option<u64>, Vec<String>> = BTreeMap::new();
        for file in &self.redrive.files {
            rounds.entry(file_generation(file)).or_default().push(file.clone());
        }
        rounds.into_values().collect()
    }

    /// Reads one round's letters.
    ///
    /// # Errors
    /// [`RedriveError`].
    pub async fn letters(
        &self,
        store: &dyn ObjectStore,
        round: &[String],
    ) -> Result<Vec<LetterGroup>, RedriveError> {
        let mut letters = Vec::new();
        for key in round {
            let Some(object) = store.get(key).await? else {
                // Files of the tables are the operator's to delete.
                tracing::warn!(key, "a file of dead letters is gone, and its letters with it");
                continue;
            };
            let found = read(key, &object).map_err(|reason| RedriveError::UnreadableFile {
                location: store.location(),
                key: key.clone(),
                reason,
            })?;
            letters.extend(found.into_iter().filter(|letter| {
                self.redrive.filter.passes(letter)
                    && !self.earlier.iter().any(|earlier| earlier.has(key, letter))
            }));
        }
        Ok(grouped(letters))
    }

    /// Says that all letters have been sent.
    ///
    /// # Errors
    /// [`RedriveError`]. Where the answer was lost, a repetition finds everything sent.
    pub async fn finish(&self, store: &dyn ObjectStore, at_ms: i64, sent: Sent) -> Result<(), RedriveError> {
        let key = redrive_key(self.redrive.number);
        let done = Redrive { state: RedriveState::Done { at_ms, sent }, ..self.redrive.clone() };
        if let Some(tag) = &self.tag {
            // Refused: another run of the same redrive was first.
            let _ = store.put(&key, body(&done, store, &key)?, Condition::Matches(tag.clone())).await?;
        }
        Ok(())
    }
}

fn body(redrive: &Redrive, store: &dyn ObjectStore, key: &str) -> Result<Bytes, RedriveError> {
    serde_json::to_vec_pretty(redrive).map(Bytes::from).map_err(|error| RedriveError::UnreadableRedrive {
        location: store.location(),
        key: key.to_owned(),
        reason: error.to_string(),
    })
}

/// Keys of the published files of dead letters.
async fn files(store: &dyn ObjectStore) -> Result<BTreeSet<String>, RedriveError> {
    let listed = objects(store, format!("{DEAD_LETTER_TABLE}/"), None).map_ok(|object| object.key);
    // Files that others put there are not ours to send.
    Ok(listed.try_filter(|key| ready(file_generation(key).is_some())).try_collect().await?)
}
