//! The store in a real S3 server does what every store does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod store_conformance;

use std::sync::Arc;

use bytes::Bytes;
use store_conformance::Store;
use tripline_lake::store::{Condition, Credentials, ErrorKind, ObjectStore, Put, open as open_url};
use tripline_test_support::S3Server;

async fn open(test: &str) -> Option<(Store, ())> {
    let server = S3Server::shared_for(test)?;
    Some((Arc::new(server.store(&format!("tests/a {test}")).await.unwrap()), ()))
}

store_conformance::conformance!(open);

#[tokio::test]
async fn an_object_is_the_file_that_other_readers_see() {
    let Some(server) = S3Server::shared_for("an_object_is_the_file_that_other_readers_see") else { return };
    let store = open_url("s3://trips/plain/", &server.options()).await.unwrap();
    assert_eq!(store.location(), "s3://trips/plain");
    let put = store.put("a/b.parquet", Bytes::from_static(b"PAR1"), Condition::Absent).await.unwrap();
    assert!(matches!(put, Put::Stored { .. }));
    assert_eq!(std::fs::read(server.folder().join("plain/a/b.parquet")).unwrap(), b"PAR1");
}

#[tokio::test]
async fn the_whole_bucket_may_be_the_store() {
    let Some(server) = S3Server::shared_for("the_whole_bucket_may_be_the_store") else { return };
    let store = open_url("s3://trips", &server.options()).await.unwrap();
    let _ = store.put("top level", Bytes::new(), Condition::Absent).await.unwrap();
    let listed = store.list("top", None, 10).await.unwrap();
    assert_eq!(listed[0].key, "top level");
    store.delete("top level").await.unwrap();
}

#[tokio::test]
async fn a_missing_bucket_is_told_from_a_missing_object() {
    let Some(server) = S3Server::shared_for("a_missing_bucket_is_told_from_a_missing_object") else { return };
    let store = open_url("s3://no-such-bucket/x", &server.options()).await.unwrap();
    let errors = [
        store.get("a").await.unwrap_err(),
        store.head("a").await.unwrap_err(),
        store.put("a", Bytes::new(), Condition::Absent).await.unwrap_err(),
        store.list("", None, 1).await.unwrap_err(),
        store.list_folders("").await.unwrap_err(),
        store.start_upload("a").await.unwrap_err(),
        store.delete("a").await.unwrap_err(),
        store.complete_upload("a", "b", &["c".to_owned()]).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("s3://no-such-bucket/x"), "{error}");
        assert!(error.to_string().contains("create the bucket"), "{error}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_denied_and_not_shown() {
    let Some(server) = S3Server::shared_for("wrong_credentials_are_denied_and_not_shown") else { return };
    for (access, secret) in [("AKIDTEST", "wrong-hush"), ("AKIDOTHER", "wrong-hush")] {
        let mut options = server.options();
        options.credentials =
            Some(Credentials { access_key: access.to_owned(), secret_key: secret.to_owned() });
        let store = open_url("s3://trips/x", &options).await.unwrap();
        for error in [
            store.get("a").await.unwrap_err(),
            store.head("a").await.unwrap_err(),
            store.put("a", Bytes::new(), Condition::Absent).await.unwrap_err(),
            store.list("", None, 1).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
