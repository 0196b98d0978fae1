//! How far each shard of a stream is read: in a file, or as the lake has it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context;
use tripline_lake::{Lane, Role, checkpoint};
use tripline_model::source::Position;

use super::functions::Local;

/// How far the lake is in each shard of a stream.
pub(super) async fn of_lake(functions: &Local, arn: &str) -> anyhow::Result<BTreeMap<String, Position>> {
    let lake = functions.lake();
    let loaded = checkpoint::load(&**lake.store(), lake.pipeline()).await?;
    let is_own =
        |lane: &Lane| lane.role == Role::Lake && lane.source == arn && lane.epoch == functions.source_epoch();
    let lanes = loaded.checkpoint.lanes.into_values().filter(|position| is_own(&position.lane));
    Ok(lanes.map(|position| (position.lane.partition, position.last)).collect())
}

/// The positions in a file; none where there is no file.
pub(super) fn load(file: &Path) -> anyhow::Result<BTreeMap<String, Position>> {
    let place = || format!("cannot read the positions in {}", file.display());
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text.with_context(place)?,
    };
    let texts: HashMap<String, String> = serde_json::from_str(&text).with_context(place)?;
    let parsed = texts.into_iter().map(|(shard, sequence)| Ok((shard, sequence.parse()?)));
    parsed.collect::<anyhow::Result<_>>().with_context(place)
}

/// Replaces the file as a whole, so that a run that dies leaves the old one or the new one.
pub(super) fn save(file: &Path, positions: &BTreeMap<String, Position>) -> anyhow::Result<()> {
    let texts: BTreeMap<&String, String> =
        positions.iter().map(|(shard, position)| (shard, position.to_string())).collect();
    let (next, text) = (file.with_extension("next"), serde_json::to_string_pretty(&texts)?);
    let written = File::create(&next).and_then(|mut next| {
        next.write_all(text.as_bytes())?;
        next.sync_all()
    });
    written
        .and_then(|()| std::fs::rename(&next, file))
        .with_context(|| format!("cannot write the positions to {}", file.display()))
}
