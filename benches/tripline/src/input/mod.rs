//! Events that are the same on every machine: no library's random numbers, no function of its floats.

mod events;
mod random;
mod trips;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub use events::{FULL_EVENT_RECORDS, aggregated_event, kinesis_event, msk_event, small_records};
pub use trips::Trips;

/// The events of a folder, one a file (`*.json`), in the order of their names.
///
/// # Errors
/// When the folder cannot be read.
pub fn event_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths)
}
