//! The publish function's real binary behind a Runtime API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tripline_ingest::{Ingest, IngestOptions};
use tripline_lake::audit::audit;
use tripline_lake::store::{Condition, FolderStore, ObjectStore};
use tripline_lake::{Environment, Lake};
use tripline_model::pipeline::Pipeline;
use tripline_test_support::Function;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A lake whose journal has the sample events.
struct Bench {
    folder: TempDir,
    store: FolderStore,
    pipeline: Arc<Pipeline>,
}

impl Bench {
    async fn with(samples: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path()).unwrap();
        let pipeline = Arc::new(Pipeline::load(&repository().join("pipelines/taxi")).unwrap());
        let bench = Self { folder, store, pipeline };
        let store = Arc::new(FolderStore::new(bench.folder.path()).unwrap());
        let lake = Lake::open(store, Environment::default(), &bench.pipeline).await.unwrap();
        let ingest = Ingest::new(Arc::clone(&bench.pipeline), &lake, IngestOptions::default());
        for name in samples {
            let event = repository().join("events").join(format!("kinesis-{name}.json"));
            ingest.handle(&std::fs::read(event).unwrap(), i64::MAX).await.unwrap();
        }
        bench
    }

    fn start(&self, more: &[(&str, &str)]) -> Function {
        let pipeline = repository().join("pipelines/taxi");
        let variables = [
            ("TRIPLINE_PIPELINE", pipeline.to_str().unwrap()),
            ("TRIPLINE_LAKE", self.folder.path().to_str().unwrap()),
        ];
        Function::start(env!("CARGO_BIN_EXE_publish"), &[&variables, more].concat()).unwrap()
    }

    /// Rows by table, after an audit that finds no fault.
    async fn rows(&self) -> Vec<(String, u64)> {
        let audit = audit(&self.store, "taxi", &|table| self.pipeline.schema(table)).await.unwrap();
        assert!(audit.is_clean(), "{:#?}", audit.faults);
        assert_eq!(audit.pending, 0);
        audit.tables.into_iter().map(|(name, table)| (name, table.found.rows)).collect()
    }
}

fn summary(function: &Function, event: &str) -> Value {
    serde_json::from_str(&function.invoke(event).unwrap().response().unwrap()).unwrap()
}

#[tokio::test]
async fn a_run_publishes_what_waits_and_the_next_one_finds_nothing() {
    let bench = Bench::with(&["trips", "recut", "poison"]).await;
    let function = bench.start(&[]);
    let first = summary(&function, "{}");
    assert_eq!((&first["entries"], &first["rows"]), (&json!(3), &json!(46)), "{first}");
    assert_eq!((&first["more"], &first["gaveWay"]), (&json!(false), &json!(false)));
    let scheduled = r#"{"version":"0","detail-type":"Scheduled Event","source":"aws.events","detail":{}}"#;
    let second = summary(&function, scheduled);
    assert_eq!((&second["entries"], &second["files"]), (&json!(0), &json!(0)), "{second}");
    let lines = function.end();
    let logged: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let files: Vec<&Value> =
        logged.iter().filter(|line| line["message"] == "published").map(|line| &line["files"]).collect();
    assert_eq!(files, [&first["files"], &json!(0)]);
    let told: Vec<_> = logged
        .iter()
        .filter(|line| line["_aws"].is_object())
        .map(|line| (&line["PublishRuns"], &line["PublishedRows"]))
        .collect();
    assert_eq!(told, [(&json!(1), &json!(46)), (&json!(1), &json!(0))]);
    assert!(!lines.concat().contains("not json at all"), "{lines:#?}");
    assert_eq!(bench.rows().await, [("dead_letter".to_owned(), 8), ("trip".to_owned(), 38)]);
}

#[tokio::test]
async fn two_publishers_at_once_publish_each_row_once() {
    let bench = Bench::with(&["trips", "recut", "poison", "late", "duplicates"]).await;
    let functions = [bench.start(&[]), bench.start(&[])];
    let limit = std::time::Duration::from_secs(60);
    let running = functions.each_ref().map(|function| function.api().invoke("{}", limit));
    for invocation in running {
        assert!(invocation.wait(limit).unwrap().response().is_some());
    }
    // Whoever gave way may have left something for the next run.
    summary(&functions[0], "{}");
    assert_eq!(bench.rows().await, [("dead_letter".to_owned(), 8), ("trip".to_owned(), 62)]);
}

#[tokio::test]
async fn the_environment_decides_the_file_format() {
    let bench = Bench::with(&["trips"]).await;
    summary(&bench.start(&[("TRIPLINE_FILE_FORMAT", "json")]), "{}");
    let mut files = bench.store.list("trip/", None, 100).await.unwrap();
    files.retain(|file| !file.key.ends_with("/_SUCCESS"));
    assert!(!files.is_empty() && files.iter().all(|file| file.key.ends_with(".json.gz")), "{files:?}");
    assert_eq!(bench.rows().await, [("trip".to_owned(), 20)]);
}

#[tokio::test]
async fn a_lane_that_stands_still_fails_the_invocation_and_no_other_lane() {
    let bench = Bench::with(&["trips", "poison"]).await;
    let entry = bench.store.list("_journal/", None, 100).await.unwrap().remove(0).key;
    bench.store.delete(&entry).await.unwrap();
    let put = bench.store.put(&entry, "damaged".into(), Condition::Absent).await.unwrap();
    assert!(matches!(put, tripline_lake::store::Put::Stored { .. }));
    let function = bench.start(&[]);
    let error: Value = serde_json::from_str(&function.invoke("{}").unwrap().error().unwrap()).unwrap();
    let message = error["errorMessage"].as_str().unwrap();
    assert!(message.contains("1 lanes stand still") && message.contains("at entry 1"), "{message}");
    assert_eq!(error["errorType"], "PublishError");
    assert!(bench.store.list("dead_letter/", None, 100).await.unwrap().len() == 1, "shard 1 is published");
}
