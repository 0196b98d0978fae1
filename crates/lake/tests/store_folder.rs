//! The store in a local folder does what every store does, and survives a crash at any point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod store_conformance;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use store_conformance::Store;
use tempfile::TempDir;
use tripline_lake::store::{
    Completed, Condition, ErrorKind, FolderStore, ObjectStore, Put, StoreOptions, open as open_url,
};

/// In a folder whose path has spaces and more than ASCII.
async fn open(_test: &str) -> Option<(Store, TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(folder.path().join("a lake, ein See, 湖")).unwrap();
    Some((Arc::new(store), folder))
}

store_conformance::conformance!(open);

async fn create(store: &dyn ObjectStore, key: &str, body: &'static str) {
    let put = store.put(key, Bytes::from_static(body.as_bytes()), Condition::Absent).await.unwrap();
    assert!(matches!(put, Put::Stored { .. }), "{key}");
}

async fn keys(store: &dyn ObjectStore) -> Vec<String> {
    store.list("", None, 100).await.unwrap().into_iter().map(|meta| meta.key).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn reading_a_new_store_makes_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("new");
    let store = open_url(root.to_str().unwrap(), &StoreOptions::default()).await.unwrap();
    assert_eq!(store.get("a").await.unwrap(), None);
    assert_eq!(keys(&*store).await, Vec::<String>::new());
    store.delete("a").await.unwrap();
    assert!(!root.exists());
    create(&*store, "a", "x").await;
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "x");
    assert_eq!(store.location(), root.display().to_string());
}

#[tokio::test]
async fn a_file_url_opens_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a b");
    create(&FolderStore::new(&root).unwrap(), "a", "x").await;
    let url = format!("file://{}/a%20b", folder.path().display());
    let store = open_url(&url, &StoreOptions::default()).await.unwrap();
    assert_eq!(keys(&*store).await, ["a"]);
}

#[tokio::test]
async fn a_file_is_no_store() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = FolderStore::new(file.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn writes_leave_no_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(folder.path()).unwrap();
    create(&store, "a", "1").await;
    let stored = store.head("a").await.unwrap().unwrap().tag;
    for tag in [stored.clone(), stored] {
        let _ = store.put("a", Bytes::from_static(b"2"), Condition::Matches(tag)).await.unwrap();
    }
    assert_eq!(store.put("a", Bytes::new(), Condition::Absent).await.unwrap(), Put::Refused);
    let id = store.start_upload("b").await.unwrap();
    let part = store.upload_part("b", &id, 1, Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(store.complete_upload("b", &id, &[part]).await.unwrap(), Completed::Done);
    assert_eq!(names(&folder.path().join("_tripline/tmp")), Vec::<String>::new());
    assert_eq!(names(&folder.path().join("_tripline/uploads")), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_crash_leaves_is_never_seen() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(folder.path()).unwrap();
    create(&store, "a", "1").await;
    // Before the link: a temporary file. After it: a second name of the object. While an upload is
    // being removed: a part of it aside. And an upload that nobody completes.
    let tmp = folder.path().join("_tripline/tmp");
    fs::write(tmp.join("before"), "half").unwrap();
    fs::hard_link(folder.path().join("a"), tmp.join("after")).unwrap();
    fs::create_dir(tmp.join("aside")).unwrap();
    fs::write(tmp.join("aside/part-00001"), "x").unwrap();
    let id = store.start_upload("b").await.unwrap();
    store.upload_part("b", &id, 1, Bytes::from_static(b"x")).await.unwrap();

    let again = FolderStore::new(folder.path()).unwrap();
    assert_eq!(keys(&again).await, ["a"]);
    assert_eq!(again.list("_tripline", None, 10).await.unwrap(), vec![]);
    assert_eq!(again.list("_tripline/", None, 10).await.unwrap(), vec![]);
    assert_eq!(again.list_folders("").await.unwrap(), Vec::<String>::new());
    assert_eq!(again.list_folders("_tripline/").await.unwrap(), Vec::<String>::new());
    assert!(again.get("_tripline/tmp/before").await.is_err());
    assert!(again.list("_tripline/tmp/", None, 10).await.is_err());
    // And replacing the object leaves the stray second name as it is.
    let tag = again.head("a").await.unwrap().unwrap().tag;
    let put = again.put("a", Bytes::from_static(b"2"), Condition::Matches(tag)).await.unwrap();
    assert!(matches!(put, Put::Stored { .. }));
    assert_eq!(fs::read_to_string(tmp.join("after")).unwrap(), "1");
}

#[tokio::test]
async fn a_completion_cut_short_after_its_object_is_repeated_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(folder.path()).unwrap();
    let id = store.start_upload("b").await.unwrap();
    let part = store.upload_part("b", &id, 1, Bytes::from_static(b"x")).await.unwrap();
    // The crash is after the object has got its name and before the upload is removed.
    fs::write(folder.path().join("b"), "x").unwrap();
    let parts = [part];
    assert_eq!(store.complete_upload("b", &id, &parts).await.unwrap(), Completed::Done);
    assert_eq!(store.complete_upload("b", &id, &parts).await.unwrap(), Completed::Gone);
    assert_eq!(store.get("b").await.unwrap().unwrap().body, "x");
}

#[tokio::test]
async fn a_part_that_was_damaged_on_disk_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(folder.path()).unwrap();
    let id = store.start_upload("b").await.unwrap();
    let part = store.upload_part("b", &id, 1, Bytes::from_static(b"right")).await.unwrap();
    fs::write(folder.path().join("_tripline/uploads").join(&id).join("part-00001"), "wrong").unwrap();
    let error = store.complete_upload("b", &id, &[part]).await.unwrap_err();
    assert!(error.to_string().contains("part 1 has another tag"), "{error}");
    assert_eq!(store.get("b").await.unwrap(), None);
}

#[tokio::test]
async fn a_name_cannot_be_a_file_and_a_folder_and_the_error_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(folder.path()).unwrap();
    create(&store, "a/b", "x").await;
    for key in ["a", "a/b/c"] {
        let error = store.put(key, Bytes::new(), Condition::Absent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("use another name"), "{error}");
    }
    assert_eq!(keys(&store).await, ["a/b"]);
}

#[tokio::test]
async fn the_tag_of_a_listing_is_weak_and_an_error_as_a_condition() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(folder.path()).unwrap();
    create(&store, "a", "1").await;
    let listed = store.list("", None, 1).await.unwrap().remove(0).tag;
    assert!(listed.is_weak());
    let error = store.put("a", Bytes::new(), Condition::Matches(listed)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("use the tag of a get"), "{error}");
}

/// A counter that processes increase by replacing it: no increase may be lost.
#[test]
fn stores_opened_separately_exclude_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime().block_on(create(&FolderStore::new(&root).unwrap(), "counter", "000"));
    let increase = |root: &Path| {
        let store = FolderStore::new(root).unwrap();
        runtime().block_on(async {
            let mut increased = 0;
            while increased < 20 {
                let found = store.get("counter").await.unwrap().unwrap();
                let count: u32 = std::str::from_utf8(&found.body).unwrap().parse().unwrap();
                let next = Bytes::from(format!("{:03}", count + 1));
                let put = store.put("counter", next, Condition::Matches(found.meta.tag)).await.unwrap();
                increased += u32::from(put != Put::Refused);
            }
        });
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| increase(&root));
        }
    });
    assert_eq!(fs::read_to_string(root.join("counter")).unwrap(), "080");
}

#[tokio::test]
async fn links_and_names_that_are_no_keys_are_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(folder.path()).unwrap();
    create(&store, "a/b", "x").await;
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let not_utf8 = std::ffi::OsStr::from_bytes(b"a/\xff");
        fs::write(folder.path().join(not_utf8), "x").unwrap();
    }
    assert_eq!(keys(&store).await, ["a/b"]);
    assert_eq!(store.list_folders("").await.unwrap(), ["a"]);
}
