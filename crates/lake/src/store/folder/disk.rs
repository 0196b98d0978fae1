//! Files that survive a power cut: temporary files, durable folders, the lock.

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh3::Xxh3;

use super::super::error::{ErrorKind, StoreError};
use super::super::key::TMP;
use super::super::unique::unique_id;
use crate::clock::epoch_ms;

/// The folder and what is known of it.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    /// Folders whose own names are known to be on disk, up to the root's.
    durable: Mutex<HashSet<PathBuf>>,
}

/// Why something on disk failed.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Invalid { reason: String, advice: &'static str },
}

impl Fault {
    pub(super) fn invalid(reason: impl Into<String>, advice: &'static str) -> Self {
        Self::Invalid { reason: reason.into(), advice }
    }

    pub(super) fn into_error(self, action: &'static str, place: String) -> StoreError {
        use io::ErrorKind as Io;
        let error = match self {
            Self::Invalid { reason, advice } => {
                return StoreError::new(ErrorKind::Invalid, action, place, reason, advice);
            }
            Self::Io(error) => error,
        };
        let (kind, advice) = match error.kind() {
            Io::PermissionDenied | Io::ReadOnlyFilesystem => {
                (ErrorKind::Denied, "give this user the right to write the folder")
            }
            Io::NotADirectory | Io::IsADirectory => {
                (ErrorKind::Invalid, "use another name: a folder cannot hold both 'a' and 'a/b'")
            }
            Io::Unsupported | Io::CrossesDevices | Io::TooManyLinks => {
                (ErrorKind::Invalid, "use a file system that has hard links and locks")
            }
            Io::InvalidFilename | Io::InvalidInput => (ErrorKind::Invalid, "use another name"),
            Io::StorageFull | Io::QuotaExceeded => (ErrorKind::Unknown, "free some space and try again"),
            _ => (ErrorKind::Unknown, "try again"),
        };
        StoreError::new(kind, action, place, error.to_string(), advice)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Disk {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, durable: Mutex::default() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A new empty file that is removed when it is dropped without having been renamed.
    pub(super) fn temporary(&self) -> Result<Temporary, Fault> {
        let path = self.root.join(TMP).join(unique_id());
        let create = || OpenOptions::new().write(true).create_new(true).open(&path);
        let file = match create() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder_of(&path)?;
                create()?
            }
            other => other?,
        };
        Ok(Temporary { file, path, renamed: false })
    }

    /// A temporary file with this content, on disk.
    pub(super) fn write_temporary(&self, body: &[u8]) -> Result<Temporary, Fault> {
        let mut temporary = self.temporary()?;
        temporary.file.write_all(body)?;
        temporary.file.sync_all()?;
        Ok(temporary)
    }

    /// Makes the folder that `path` is to lie in.
    pub(super) fn make_folder_of(&self, path: &Path) -> Result<(), Fault> {
        let Some(folder) = path.parent() else { return Ok(()) };
        fs::create_dir_all(folder).map_err(|error| match error.kind() {
            // It exists and is no folder.
            io::ErrorKind::AlreadyExists => Fault::Io(io::ErrorKind::NotADirectory.into()),
            _ => Fault::Io(error),
        })
    }

    /// Puts the names in the folder of `path`, and that folder's own name, on disk.
    pub(super) fn settle_parent(&self, path: &Path) -> Result<(), Fault> {
        let Some(folder) = path.parent() else { return Ok(()) };
        sync_folder(folder)?;
        // The folder's own name lies in the one above, and so on. That one is synced once by this
        // process, even if another made the folder: it may not have got that far.
        let mut unknown = Vec::new();
        for below in folder.ancestors() {
            if self.known().contains(below) || !below.starts_with(&self.root) {
                break;
            }
            match below.parent().map(sync_folder) {
                // The folder that holds the root may be closed to this user; it was not made here.
                Some(Err(Fault::Io(error)))
                    if below == self.root && error.kind() == io::ErrorKind::PermissionDenied => {}
                Some(synced) => synced?,
                None => {}
            }
            unknown.push(below.to_owned());
        }
        self.known().extend(unknown);
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the lock; it is given back when the file is dropped, or by the system when the
    /// process dies.
    pub(super) fn lock(&self, name: &str) -> Result<File, Fault> {
        let path = self.root.join(name);
        self.make_folder_of(&path)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok(file)
    }

    /// Removes a folder: at once for those who look for it, then its files.
    pub(super) fn retire(&self, folder: &Path) -> Result<(), Fault> {
        let aside = self.root.join(TMP).join(unique_id());
        self.make_folder_of(&aside)?;
        fs::rename(folder, &aside)?;
        // What is left of it after a crash is a stray temporary file.
        let _ = fs::remove_dir_all(&aside);
        self.settle_parent(folder)
    }
}

/// A file that is not yet an object.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the content the name `to`, which must be free.
    pub(super) fn link(&self, to: &Path) -> io::Result<()> {
        fs::hard_link(&self.path, to)
    }

    /// Gives the content the name `to`, whatever had it.
    pub(super) fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Puts the names in a folder on disk. Elsewhere than on Unix a folder cannot be opened for this.
fn sync_folder(folder: &Path) -> Result<(), Fault> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Hands the rest of a file to `take` in pieces, and returns how many bytes it had.
pub(super) fn copy(file: &mut File, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 18];
    let mut copied = 0_u64;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        take(buffer.get(..read).unwrap_or_default())?;
        copied = copied.saturating_add(read as u64);
    }
}

/// The hash behind a tag, without holding the file in memory.
pub(super) fn content_hash(mut file: File) -> io::Result<u128> {
    let mut hash = Xxh3::new();
    copy(&mut file, |chunk| {
        hash.update(chunk);
        Ok(())
    })?;
    Ok(hash.digest128())
}

pub(super) fn modified_ms(found: &Metadata) -> i64 {
    found.modified().map_or(0, epoch_ms)
}
