//! The store in a local folder, crash-safe: an object is there whole and for good, or not at all.
//!
//! - Create: a temporary file in `_tripline/tmp` (outside every lake root), fsync, `link` to the
//!   name (which fails when it exists: S3's 412), fsync of the folder.
//! - Replace: under an exclusive lock on `_tripline/lock`, comparison of the tag, `rename`, fsync of
//!   the folder. Deletion holds the same lock.
//! - A multipart upload is a folder `_tripline/uploads/<id>` with a file per part.
//!
//! What it needs of the file system: hard links, locks, atomic rename; a folder on one machine. What
//! it cannot do: hold a key `a` and a key `a/b` at once.
//!
//! Plain blocking file I/O inside each call, on purpose: a call's whole work is one poll, so a future
//! that is dropped has either not begun or has finished, and no write outlives its caller. (A task on
//! a blocking thread cannot be cancelled.) For the same reason the lock is never held across an await.
//! This store is for one machine's tests, demos and small lakes; it stalls the thread it runs on.

mod disk;
mod walk;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use self::disk::{Disk, Fault, content_hash, modified_ms};
use super::error::{ErrorKind, StoreError, place};
use super::key::{LOCK, UPLOADS, check_folder, check_key, check_prefix};
use super::memory::content_tag;
use super::unique::unique_id;
use super::{Completed, Condition, ETag, MAX_PARTS, MIN_PART_BYTES, Object, ObjectMeta, ObjectStore, Put};

/// Objects as files below a folder.
///
/// The tag of an object is a hash of its content (so equal contents share a tag, as in S3).
/// [`get`](ObjectStore::get), [`head`](ObjectStore::head) and [`put`](ObjectStore::put) give it;
/// [`list`](ObjectStore::list) does not read the files and gives [weak](ETag::is_weak) tags. A tag made
/// of inode, time and size alone would not do for replacing: on a file system with a coarse clock two
/// versions can have all three in common.
#[derive(Debug)]
pub struct FolderStore {
    disk: Disk,
}

impl FolderStore {
    /// The store in folder `root`, which is made by the first write.
    pub fn new(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        let root = root.as_ref();
        let shown = root.display().to_string();
        let root = std::path::absolute(root).map_err(|error| {
            let advice = "give the path of a folder";
            StoreError::new(ErrorKind::Invalid, "open", shown.clone(), error.to_string(), advice)
        })?;
        if root.metadata().is_ok_and(|found| !found.is_dir()) {
            let advice = "give the path of a folder";
            return Err(StoreError::new(ErrorKind::Invalid, "open", shown, "it is a file", advice));
        }
        Ok(Self { disk: Disk::new(root) })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.disk.root().join(key)
    }

    fn fail(&self, action: &'static str, key: &str) -> impl Fn(Fault) -> StoreError {
        let place = place(&self.location(), key);
        move |fault| fault.into_error(action, place.clone())
    }

    /// The open file of an object; `None` when there is none.
    fn open(&self, key: &str) -> Result<Option<(File, ObjectMeta)>, Fault> {
        let file = match File::open(self.path(key)) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return Ok(None);
        }
        let meta = ObjectMeta {
            key: key.to_owned(),
            size: found.len(),
            tag: ETag::new(""),
            modified_ms: modified_ms(&found),
        };
        Ok(Some((file, meta)))
    }

    fn read(&self, key: &str) -> Result<Option<Object>, Fault> {
        let Some((mut file, mut meta)) = self.open(key)? else { return Ok(None) };
        let mut body = Vec::with_capacity(usize::try_from(meta.size).unwrap_or(0));
        io::Read::read_to_end(&mut file, &mut body)?;
        meta.tag = content_tag(&body);
        // Another process may have linked it and not yet synced the folder. What is answered must
        // still be true after a power cut: the reader may be about to skip work because of it.
        self.disk.settle_parent(&self.path(key))?;
        Ok(Some(Object { body: Bytes::from(body), meta }))
    }

    fn look(&self, key: &str) -> Result<Option<ObjectMeta>, Fault> {
        let Some((file, mut meta)) = self.open(key)? else { return Ok(None) };
        meta.tag = ETag::new(format!("{:032x}", content_hash(file)?));
        self.disk.settle_parent(&self.path(key))?;
        Ok(Some(meta))
    }

    fn create(&self, key: &str, body: &[u8]) -> Result<Put, Fault> {
        let path = self.path(key);
        // Spares writing the body; the link below is what decides.
        if !path.is_file() {
            let temporary = self.disk.write_temporary(body)?;
            self.disk.make_folder_of(&path)?;
            match temporary.link(&path) {
                Ok(()) => {
                    self.disk.settle_parent(&path)?;
                    return Ok(Put::Stored { tag: content_tag(body) });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
        if path.is_dir() {
            return Err(Fault::invalid("a folder has this name", "use another name"));
        }
        // As for reads: whoever is refused relies on the other's object being there for good.
        self.disk.settle_parent(&path)?;
        Ok(Put::Refused)
    }

    fn replace(&self, key: &str, body: &[u8], tag: &ETag) -> Result<Put, Fault> {
        if tag.is_weak() {
            let reason = "the tag comes from a listing, which does not read the object";
            return Err(Fault::invalid(reason, "use the tag of a get, head or put"));
        }
        let path = self.path(key);
        let temporary = self.disk.write_temporary(body)?;
        let _lock = self.disk.lock(LOCK)?;
        if self.look(key)?.is_none_or(|current| current.tag != *tag) {
            return Ok(Put::Refused);
        }
        temporary.rename(&path)?;
        self.disk.settle_parent(&path)?;
        Ok(Put::Stored { tag: content_tag(body) })
    }

    fn remove(&self, key: &str) -> Result<(), Fault> {
        let path = self.path(key);
        if !path.is_file() {
            return Ok(());
        }
        let _lock = self.disk.lock(LOCK)?;
        match fs::remove_file(&path) {
            Ok(()) => self.disk.settle_parent(&path),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The folder of an upload; `None` when there is no such upload of this key.
    fn upload(&self, key: &str, upload: &str) -> Result<Option<PathBuf>, Fault> {
        if upload.is_empty() || !upload.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let folder = self.path(UPLOADS).join(upload);
        match fs::read_to_string(folder.join("key")) {
            Ok(of) => Ok((of == key).then_some(folder)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn begin(&self, key: &str) -> Result<String, Fault> {
        let id = unique_id();
        let named = self.path(UPLOADS).join(&id).join("key");
        self.disk.make_folder_of(&named)?;
        self.disk.write_temporary(key.as_bytes())?.rename(&named)?;
        self.disk.settle_parent(&named)?;
        Ok(id)
    }

    fn add_part(&self, key: &str, upload: &str, number: u16, body: &[u8]) -> Result<String, Fault> {
        if !(1..=MAX_PARTS).contains(&number) {
            let reason = format!("there is no part {number}");
            return Err(Fault::invalid(reason, "number parts from 1 to 10000"));
        }
        let gone = || Fault::invalid("the upload is gone", "start another");
        let folder = self.upload(key, upload)?.ok_or_else(gone)?;
        let path = part_path(&folder, number);
        match self.disk.write_temporary(body)?.rename(&path) {
            Ok(()) => self.disk.settle_parent(&path)?,
            Err(error) if is_absent(&error) => return Err(gone()),
            Err(error) => return Err(error.into()),
        }
        Ok(content_tag(body).as_str().to_owned())
    }

    fn finish(&self, key: &str, upload: &str, parts: &[String]) -> Result<Completed, Fault> {
        let Some(folder) = self.upload(key, upload)? else { return Ok(Completed::Gone) };
        let advice = "upload the file again";
        if parts.is_empty() {
            return Err(Fault::invalid("it has no parts", advice));
        }
        let mut whole = self.disk.temporary()?;
        for (number, tag) in (1_u16..).zip(parts) {
            let mut part = match File::open(part_path(&folder, number)) {
                Ok(part) => part,
                // Another process has completed it meanwhile, or there never was such a part.
                Err(error) if is_absent(&error) => {
                    if self.upload(key, upload)?.is_none() {
                        return Ok(Completed::Gone);
                    }
                    return Err(Fault::invalid(format!("part {number} is not there"), advice));
                }
                Err(error) => return Err(error.into()),
            };
            let mut hash = Xxh3::new();
            let copied = disk::copy(&mut part, |chunk| {
                hash.update(chunk);
                whole.file().write_all(chunk)
            })?;
            if format!("{:032x}", hash.digest128()) != *tag {
                return Err(Fault::invalid(format!("part {number} has another tag"), advice));
            }
            if usize::from(number) < parts.len() && copied < MIN_PART_BYTES as u64 {
                let reason = format!("part {number} is smaller than {MIN_PART_BYTES} bytes");
                return Err(Fault::invalid(reason, advice));
            }
        }
        whole.file().sync_all()?;
        let path = self.path(key);
        self.disk.make_folder_of(&path)?;
        // Under the lock, so that of two processes completing it the later one sees it gone and does
        // not put the object back after it was deleted.
        let _lock = self.disk.lock(LOCK)?;
        if self.upload(key, upload)?.is_none() {
            return Ok(Completed::Gone);
        }
        if path.is_dir() {
            return Err(Fault::invalid("a folder has this name", "use another name"));
        }
        whole.rename(&path)?;
        self.disk.settle_parent(&path)?;
        // Only now may the upload go: a crash before this line repeats the completion.
        self.disk.retire(&folder)?;
        Ok(Completed::Done)
    }
}

fn part_path(folder: &Path, number: u16) -> PathBuf {
    folder.join(format!("part-{number:05}"))
}

/// Whether the error says that there is nothing of that name.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[async_trait]
impl ObjectStore for FolderStore {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        check_key("read", &self.location(), key)?;
        self.read(key).map_err(self.fail("read", key))
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        check_key("look at", &self.location(), key)?;
        self.look(key).map_err(self.fail("look at", key))
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError> {
        check_key("write", &self.location(), key)?;
        match condition {
            Condition::Absent => self.create(key, &body),
            Condition::Matches(tag) => self.replace(key, &body, &tag),
        }
        .map_err(self.fail("write", key))
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        check_key("delete", &self.location(), key)?;
        self.remove(key).map_err(self.fail("delete", key))
    }

    async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        check_prefix("list", &self.location(), prefix)?;
        walk::list(self.disk.root(), prefix, start_after.unwrap_or(""), limit)
            .map_err(|error| self.fail("list", prefix)(error.into()))
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        check_folder("list", &self.location(), prefix)?;
        walk::folders(self.disk.root(), prefix).map_err(|error| self.fail("list", prefix)(error.into()))
    }

    async fn start_upload(&self, key: &str) -> Result<String, StoreError> {
        check_key("start an upload of", &self.location(), key)?;
        self.begin(key).map_err(self.fail("start an upload of", key))
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<String, StoreError> {
        check_key("upload a part of", &self.location(), key)?;
        self.add_part(key, upload, number, &body).map_err(self.fail("upload a part of", key))
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError> {
        check_key("complete the upload of", &self.location(), key)?;
        self.finish(key, upload, parts).map_err(self.fail("complete the upload of", key))
    }

    fn location(&self) -> String {
        self.disk.root().display().to_string()
    }
}
