//! How far a replay has come, in a file, so that it can go on.
//!
//! What a replay sends, and in which order, follows from its files and options alone; so a number is enough:
//! everything below it is in the target. What was taken after the file was last written is sent again.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::stage::{Item, Sort};

const VERSION: u32 = 1;

/// What the target has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Events in their turn.
    pub(super) events: u64,
    /// Events that were held back.
    pub(super) late: u64,
    /// Events that were sent once more.
    pub(super) duplicates: u64,
    /// What was sent and is no event.
    pub(super) poison: u64,
    /// Of all these, what the target will never take.
    pub(super) refused: u64,
    /// Bytes of all, without keys.
    pub(super) bytes: u64,
}

impl Counts {
    /// Counts an item.
    pub(super) fn count(&mut self, item: &Item) {
        match item.sort {
            Sort::Event => self.events += 1,
            Sort::Late => self.late += 1,
            Sort::Duplicate => self.duplicates += 1,
            Sort::Poison => self.poison += 1,
        }
        self.bytes += item.data.len() as u64;
    }

    /// Adds another's counts.
    pub(super) const fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.poison += other.poison;
        self.refused += other.refused;
        self.bytes += other.bytes;
    }

    /// Everything that the target has: what an audit behind it counts as records.
    pub(super) const fn records(&self) -> u64 {
        (self.events + self.late + self.duplicates + self.poison).saturating_sub(self.refused)
    }
}

/// A replay's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    version: u32,
    /// Fingerprint of the files and of the options on which depends what is sent.
    replay: String,
    /// Everything with a smaller number is in the target.
    pub(super) next: u64,
    /// What that was.
    pub(super) counts: Counts,
    /// There is nothing more.
    pub(super) complete: bool,
    /// When the first run began, milliseconds since 1970 UTC: what a function sees as time of arrival, and
    /// what its sequence numbers begin from.
    pub(super) began_ms: i64,
}

impl Checkpoint {
    /// Of a replay that begins.
    pub(super) const fn new(replay: String, began_ms: i64) -> Self {
        let counts = Counts { events: 0, late: 0, duplicates: 0, poison: 0, refused: 0, bytes: 0 };
        Self { version: VERSION, replay, next: 0, counts, complete: false, began_ms }
    }

    /// The one in a file, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or is of another replay.
    pub(super) fn load(path: &Path, replay: &str) -> anyhow::Result<Option<Self>> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read the checkpoint {}", path.display()));
            }
        };
        let found: Self = serde_json::from_slice(&text).with_context(|| {
            format!("{} is no checkpoint of a replay; name another file, or remove it", path.display())
        })?;
        ensure!(
            found.version == VERSION,
            "the checkpoint {} was written by another version of tripline ({}); go on with that one, or remove the \
             file to begin anew",
            path.display(),
            found.version
        );
        if found.replay != replay {
            bail!(
                "the checkpoint {} is of another replay: files, their sizes, order, --seek, --limit, --seed, shares and \
                 target must be those of the first run; remove it to begin anew",
                path.display()
            );
        }
        Ok(Some(found))
    }

    /// Replaces the file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let write = || -> io::Result<()> {
            let mut file = NamedTempFile::new_in(&folder)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write the checkpoint {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_was_written_and_only_by_its_own_replay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replay.json");
        assert_eq!(Checkpoint::load(&path, "a").unwrap(), None);
        let mut checkpoint = Checkpoint::new("a".to_owned(), 5);
        checkpoint.next = 12;
        checkpoint.save(&path).unwrap();
        checkpoint.next = 13;
        checkpoint.save(&path).unwrap();
        assert_eq!(Checkpoint::load(&path, "a").unwrap(), Some(checkpoint));
        let other = Checkpoint::load(&path, "b").unwrap_err().to_string();
        assert!(other.contains("another replay") && other.contains("remove it"), "{other}");
        fs::write(&path, "{}").unwrap();
        assert!(format!("{:#}", Checkpoint::load(&path, "a").unwrap_err()).contains("is no checkpoint"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
