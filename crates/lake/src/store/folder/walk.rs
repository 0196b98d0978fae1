//! Listing files in the order of their keys, which is not that of the folders: `a-b` comes before
//! `a/b`, and the folder `a` before the file `a-b`.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::super::key::is_own;
use super::super::{ETag, ObjectMeta};
use super::disk::modified_ms;
use super::is_absent;

/// [`ObjectStore::list`](super::ObjectStore::list). Opens only folders that can hold a key asked for.
/// Links to elsewhere and names that are not UTF-8 are not objects.
pub(super) fn list(root: &Path, prefix: &str, after: &str, limit: usize) -> io::Result<Vec<ObjectMeta>> {
    let mut listing = Listing { root, prefix, after, limit, found: Vec::new() };
    let base = prefix.rfind('/').and_then(|end| prefix.get(..=end)).unwrap_or("");
    listing.walk(base)?;
    Ok(listing.found)
}

/// [`ObjectStore::list_folders`](super::ObjectStore::list_folders).
pub(super) fn folders(root: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, _) in entries(root, prefix)? {
        // A folder stays when its last object is deleted: one that has none below is not listed.
        let Some(folder) = name.strip_suffix('/') else { continue };
        if !list(root, &format!("{prefix}{name}"), "", 1)?.is_empty() {
            names.push(folder.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

struct Listing<'a> {
    root: &'a Path,
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    found: Vec<ObjectMeta>,
}

impl Listing<'_> {
    /// `folder` is empty or ends in `/`.
    fn walk(&mut self, folder: &str) -> io::Result<()> {
        for (name, entry) in entries(self.root, folder)? {
            if self.found.len() >= self.limit {
                break;
            }
            let key = format!("{folder}{name}");
            if key.ends_with('/') {
                let inside = key.starts_with(self.prefix) || self.prefix.starts_with(&key);
                let all_before = key.as_str() < self.after && !self.after.starts_with(&key);
                if inside && !all_before {
                    self.walk(&key)?;
                }
            } else if key.starts_with(self.prefix) && key.as_str() > self.after {
                self.take(key, &entry)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, key: String, entry: &DirEntry) -> io::Result<()> {
        let found = match entry.metadata() {
            Ok(found) => found,
            // Deleted since the folder was read.
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let changed = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let tag = format!("W/{:x}-{:x}", found.len(), changed.unwrap_or_default().as_nanos());
        self.found.push(ObjectMeta {
            key,
            size: found.len(),
            tag: ETag::new(tag),
            modified_ms: modified_ms(&found),
        });
        Ok(())
    }
}

/// What is in a folder, in the order of keys: each name is followed by `/` if it is a folder.
fn entries(root: &Path, folder: &str) -> io::Result<Vec<(String, DirEntry)>> {
    let read = match fs::read_dir(root.join(folder)) {
        Ok(read) => read,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    for entry in read {
        let entry = entry?;
        let Ok(mut name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type()?;
        if is_own(&format!("{folder}{name}")) || !(kind.is_dir() || kind.is_file()) {
            continue;
        }
        if kind.is_dir() {
            name.push('/');
        }
        entries.push((name, entry));
    }
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(entries)
}
