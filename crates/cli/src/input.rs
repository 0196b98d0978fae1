//! Files by their names: files, globs, folders and objects.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use tripline_lake::store::lies_below;

use crate::objects::{Buckets, ObjectKey};
use crate::source;

/// A file, here or in a bucket.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    File { path: PathBuf, bytes: u64 },
    Object(ObjectKey),
}

impl Input {
    /// What it is called in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Object(object) => object.url(),
        }
    }

    /// Whether it lies below a store's root, as its location names it.
    fn lies_below(&self, root: &str) -> bool {
        match self {
            Self::File { path, .. } => {
                // Links lead to the same file; a lake that is not there yet has none.
                let (root, path) = (Path::new(root).canonicalize(), path.canonicalize());
                root.is_ok_and(|root| path.is_ok_and(|path| path.starts_with(root)))
            }
            Self::Object(object) => lies_below(root, &object.url()),
        }
    }

    /// Its size, compressed as it may be.
    pub(crate) const fn bytes(&self) -> u64 {
        match self {
            Self::File { bytes, .. } => *bytes,
            Self::Object(object) => object.bytes,
        }
    }
}

/// The files that these names mean, in the order of the names, each file once: a file, a folder and all below it, a
/// pattern with `*`, `?` or `[…]`, or `s3://bucket/prefix`.
///
/// # Errors
/// When a name means no file, or a bucket cannot be listed.
pub(crate) async fn expand(names: &[String], buckets: &Buckets) -> anyhow::Result<Vec<Input>> {
    let mut inputs: Vec<Input> = Vec::new();
    for name in names {
        if name.starts_with("s3://") {
            inputs.extend(buckets.list(name).await?.into_iter().map(Input::Object));
            continue;
        }
        let path = Path::new(name);
        let files = if !path.exists() && name.contains(['*', '?', '[']) {
            let mut files = Vec::new();
            for found in glob::glob(name).with_context(|| format!("the pattern '{name}' cannot be read"))? {
                let found = found.with_context(|| format!("a folder of '{name}' cannot be listed"))?;
                files.extend(source::files(&found)?);
            }
            ensure!(!files.is_empty(), "no file fits '{name}'");
            files
        } else {
            source::files(path)?
        };
        for path in files {
            let bytes = path.metadata().with_context(|| format!("{}: cannot be read", path.display()))?.len();
            inputs.push(Input::File { path, bytes });
        }
    }
    let mut seen = std::collections::HashSet::new();
    inputs.retain(|input| seen.insert(input.name()));
    Ok(inputs)
}

/// Refuses files of the lake itself: what is taken in would be taken in again.
///
/// # Errors
/// Names the first of them.
pub(crate) fn refuse_those_below(lake: &str, inputs: &[Input]) -> anyhow::Result<()> {
    match inputs.iter().find(|input| input.lies_below(lake)) {
        Some(input) => bail!(
            "{} lies in the lake, {lake}: name folders, patterns or prefixes outside of it",
            input.name()
        ),
        None => Ok(()),
    }
}
