//! The commands as people run them: what they print, what they leave behind, and their exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Trips in [`trips`].
const TRIPS: u64 = 400;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sample() -> PathBuf {
    repository().join("pipelines/taxi/sample")
}

/// A file of trips in few lake partitions, as a folder writes files far more slowly than a bucket.
fn trips() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trips.jsonl");
    let lines: String = (0..TRIPS)
        .map(|trip| {
            let (hour, minute, zone) = (trip % 3, trip * 7 % 60, 140 + trip % 4);
            format!(
                "{{\"type\":\"trip\",\"trip_id\":{trip},\"pickup_location_id\":{zone},\
                 \"pickup_datetime\":\"2019-03-01T{hour:02}:{minute:02}:00.000Z\"}}\n"
            )
        })
        .collect();
    fs::write(&path, lines).unwrap();
    (folder, path)
}

fn tripline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TRIPLINE_") || name.starts_with("AWS_")) {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command said that could not do its work: exit code 2, and one message.
fn refusal(arguments: &[&str]) -> String {
    let output = tripline(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    said
}

/// A folder for a lake, which the commands make.
struct Lake(TempDir);

impl Lake {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("lake")
    }

    fn with(&self, command: &str, more: &[&str]) -> Output {
        self.command(command, more).output().unwrap()
    }

    fn command<'a>(&self, command: &'a str, more: &[&'a str]) -> Command {
        let (pipeline, lake) = (repository().join("pipelines/taxi"), self.path());
        let lake =
            [command, "--pipeline", pipeline.to_str().unwrap(), "--lake", lake.to_str().unwrap()].to_vec();
        tripline(&[&lake, more].concat())
    }

    fn run(&self, input: &Path, more: &[&str]) -> String {
        let input = ["--input", input.to_str().unwrap()];
        let output = self.with("run", &[&input, more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        printed(&output)
    }

    /// The audit's result and exit code.
    fn audit(&self) -> (Value, Option<i32>) {
        let output = self.with("audit", &["--json"]);
        (serde_json::from_slice(&output.stdout).unwrap(), output.status.code())
    }

    /// All files below a folder of the lake.
    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}

/// What identifies the rows of an audited lake, however they got there: rows and digest by lane and table.
fn rows(audit: &Value) -> Vec<Value> {
    let lanes = audit["lanes"].as_array().unwrap();
    lanes.iter().map(|lane| serde_json::json!([lane["lane"], lane["totals"]["tables"]])).collect()
}

/// A line of the summary: what stands behind a label.
fn number(summary: &str, label: &str) -> u64 {
    let line = summary.lines().find(|line| line.trim_start().starts_with(label)).unwrap();
    let digits: String = line.trim_start()[label.len()..].split_whitespace().next().unwrap().replace(',', "");
    digits.parse().unwrap()
}

#[test]
fn the_shipped_events_are_what_the_command_writes() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("events");
    let (input, to) = (sample(), output.to_str().unwrap());
    let arguments = ["events", "--input", input.to_str().unwrap(), "--output", to];
    let written = tripline(&arguments).output().unwrap();
    assert_eq!(written.status.code(), Some(0), "{}", String::from_utf8_lossy(&written.stderr));
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let shipped = repository().join("events");
    assert_eq!(names(&shipped), names(&output), "run `make events`");
    for name in names(&output) {
        let same = fs::read(shipped.join(&name)).unwrap() == fs::read(output.join(&name)).unwrap();
        assert!(same, "events/{} is not what the command writes: run `make events`", name.display());
    }
    assert_eq!(printed(&written).lines().count(), names(&shipped).len(), "it names each file");
}

#[test]
fn a_run_is_proved_by_the_audit_and_a_second_run_adds_nothing() {
    let (lake, (_folder, trips)) = (Lake::new(), trips());
    let summary = lake.run(&trips, &[]);
    let counted = ["records read", "new in the lake", "rows"].map(|label| number(&summary, label));
    assert_eq!(counted, [TRIPS; 3], "{summary}");
    let (first, code) = lake.audit();
    assert_eq!((code, &first["clean"], &first["pendingFiles"]), (Some(0), &true.into(), &0.into()));
    assert_eq!(first["tables"]["trip"]["rows"], TRIPS);
    let files = lake.files("");
    let summary = lake.run(&trips, &[]);
    assert_eq!(number(&summary, "new in the lake"), 0, "{summary}");
    assert_eq!(number(&summary, "duplicates dropped"), TRIPS, "{summary}");
    assert!(summary.contains("every record was in the lake already"), "{summary}");
    assert_eq!(lake.files(""), files);
    assert_eq!(lake.audit(), (first, Some(0)));
}

#[test]
fn a_fault_drill_gives_the_same_rows_whatever_its_seed() {
    let (plain, (_folder, trips)) = (Lake::new(), trips());
    plain.run(&trips, &[]);
    let (expected, _) = plain.audit();
    for seed in ["1", "2", "3", "20190301"] {
        let lake = Lake::new();
        let summary = lake.run(&trips, &["--batch-size", "10", "--seed-faults", seed]);
        assert!(number(&summary, "deaths on purpose") > 0, "seed {seed}: {summary}");
        let (audit, code) = lake.audit();
        assert_eq!(code, Some(0), "seed {seed}: {audit:#}");
        assert_eq!(rows(&audit), rows(&expected), "seed {seed}");
        assert_eq!(audit["tables"]["trip"]["rows"], expected["tables"]["trip"]["rows"], "seed {seed}");
    }
}

#[test]
fn a_journal_that_one_command_fills_another_publishes() {
    let (lake, (_folder, trips)) = (Lake::new(), trips());
    let summary = lake.run(&trips, &["--no-publish", "--batch-size", "100"]);
    let counted = ["records read", "new in the journal", "rows"].map(|label| number(&summary, label));
    assert_eq!(counted, [TRIPS; 3], "{summary}");
    assert!(summary.contains("not published yet") && !summary.contains("files written"), "{summary}");
    assert!(!lake.path().join("trip").exists(), "no reader sees anything");
    let published = lake.with("publish", &[]);
    assert_eq!(published.status.code(), Some(0), "{}", String::from_utf8_lossy(&published.stderr));
    let text = printed(&published);
    assert!(text.starts_with(&format!("published 4 batches: {TRIPS} rows in ")), "{text}");
    assert_eq!(printed(&lake.with("publish", &[])), "nothing to publish\n");
    let summary = lake.run(&trips, &["--no-publish"]);
    assert!(summary.contains("every record was in the journal already"), "{summary}");
    let plain = Lake::new();
    plain.run(&trips, &["--publish-every", "1", "--batch-size", "100"]);
    assert_eq!(
        number(&printed(&plain.with("run", &["--input", trips.to_str().unwrap()])), "files written"),
        0
    );
    let ((audit, code), (expected, _)) = (lake.audit(), plain.audit());
    assert_eq!(code, Some(0), "{audit:#}");
    assert_eq!(rows(&audit), rows(&expected));
    let commits = |lake: &Lake| {
        let checkpoint = fs::read(lake.path().join("_tripline/checkpoint.json")).unwrap();
        serde_json::from_slice::<Value>(&checkpoint).unwrap()["generation"].as_u64()
    };
    // Two for each run that published: one that lists the files, and one once they are visible.
    assert_eq!((commits(&lake), commits(&plain)), (Some(2), Some(8)));
}

#[test]
fn a_publisher_that_is_kept_running_publishes_what_comes_later() {
    let (lake, (_folder, trips)) = (Lake::new(), trips());
    let mut command = lake.command("publish", &["--every", "1s"]);
    let mut publisher = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(publisher.stdout.take().unwrap()).lines();
    for part in [TRIPS / 2, TRIPS] {
        let (text, path) = (fs::read_to_string(&trips).unwrap(), trips.with_file_name("part.jsonl"));
        let lines: String = text.split_inclusive('\n').take(usize::try_from(part).unwrap()).collect();
        fs::write(&path, lines).unwrap();
        lake.run(&path, &["--no-publish"]);
        let line = said.next().unwrap().unwrap();
        assert!(line.starts_with(&format!("published 1 batches: {} rows in ", TRIPS / 2)), "{line}");
    }
    publisher.kill().unwrap();
    publisher.wait().unwrap();
    assert_eq!(lake.audit().1, Some(0));
}

#[test]
fn saved_events_run_like_any_other_input() {
    let lake = Lake::new();
    for (name, new) in [("trips", 20), ("recut", 10), ("poison", 16), ("empty", 0), ("trips", 0)] {
        let event = repository().join("events").join(format!("kinesis-{name}.json"));
        assert_eq!(number(&lake.run(&event, &[]), "new in the lake"), new, "{name}");
    }
    let (audit, code) = lake.audit();
    assert_eq!((code, &audit["tables"]["dead_letter"]["rows"]), (Some(0), &8.into()), "{audit:#}");
}

#[test]
fn json_lines_are_audited_like_parquet() {
    let (lake, (_folder, trips)) = (Lake::new(), trips());
    lake.run(&trips, &["--format", "json"]);
    assert!(lake.files("trip").iter().all(|file| file.to_str().unwrap().ends_with(".json.gz")));
    let parquet = Lake::new();
    parquet.run(&trips, &[]);
    let ((audit, code), (expected, _)) = (lake.audit(), parquet.audit());
    assert_eq!(code, Some(0), "{audit:#}");
    assert_eq!(rows(&audit), rows(&expected));
}

#[test]
fn damage_gives_exit_code_1_and_says_where() {
    let (lake, (_folder, trips)) = (Lake::new(), trips());
    lake.run(&trips, &[]);
    let file = lake.files("trip").remove(0);
    let body = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let (audit, code) = lake.audit();
    assert_eq!((code, &audit["clean"]), (Some(1), &false.into()));
    assert!(!audit["faults"].as_array().unwrap().is_empty());
    let output = lake.with("audit", &[]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("FAULT table trip: its files hold") && text.contains("faults"), "{text}");
    fs::write(&file, body).unwrap();
    assert_eq!(lake.audit().1, Some(0), "and it is whole again");
}

#[test]
fn a_pipeline_that_cannot_be_used_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (input, lake) = (sample(), folder.path().join("lake"));
    let (input, lake) = (input.to_str().unwrap(), lake.to_str().unwrap());
    let missing = folder.path().join("none");
    let said = refusal(&["run", "--pipeline", missing.to_str().unwrap(), "--input", input, "--lake", lake]);
    assert!(said.contains(missing.to_str().unwrap()) && said.contains("pipeline.toml"), "{said}");
    fs::write(folder.path().join("pipeline.toml"), "id = \"x\"\nschema_versoin = 1\n").unwrap();
    let wrong = folder.path().to_str().unwrap();
    let said = refusal(&["run", "--pipeline", wrong, "--input", input, "--lake", lake]);
    assert!(said.contains("schema_versoin") && said.contains("pipeline.toml:2:1"), "{said}");
    assert!(!Path::new(lake).exists(), "nothing is written");
}

#[test]
fn an_input_that_cannot_be_used_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = repository().join("pipelines/taxi");
    let lake = folder.path().join("lake");
    let strange = folder.path().join("strange.json");
    fs::write(&strange, "[1, 2,\n3]").unwrap();
    let headless = folder.path().join("headless.csv");
    fs::write(&headless, "a,b\n1,2\n").unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for input in [folder.path().join("none.csv"), strange, headless, empty] {
        let input = input.to_str().unwrap();
        let said = refusal(&[
            "run",
            "--pipeline",
            pipeline.to_str().unwrap(),
            "--input",
            input,
            "--lake",
            lake.to_str().unwrap(),
        ]);
        assert!(said.starts_with("tripline: ") && said.contains(input), "{said}");
    }
}

#[test]
fn a_lake_that_cannot_be_used_is_explained() {
    let lake = Lake::new();
    lake.run(&repository().join("events/kinesis-trips.json"), &[]);
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(repository().join("pipelines/taxi/pipeline.toml")).unwrap();
    fs::write(folder.path().join("pipeline.toml"), text.replace("id = \"taxi\"", "id = \"cabs\"")).unwrap();
    fs::copy(
        repository().join("pipelines/taxi/taxi_zone_lookup.csv"),
        folder.path().join("taxi_zone_lookup.csv"),
    )
    .unwrap();
    let (cabs, of_taxi, input) = (folder.path().to_str().unwrap(), lake.path(), sample());
    let (of_taxi, input) = (of_taxi.to_str().unwrap(), input.to_str().unwrap());
    let said = refusal(&["run", "--pipeline", cabs, "--lake", of_taxi, "--input", input]);
    assert!(said.contains("\"taxi\"") && said.contains("\"cabs\"") && said.contains("prefix"), "{said}");
    let said = refusal(&["audit", "--pipeline", cabs, "--lake", of_taxi]);
    assert!(said.contains("\"taxi\"") && said.contains("prefix"), "{said}");
    for url in ["gs://bucket/lake", "s3://"] {
        let said = refusal(&["audit", "--pipeline", cabs, "--lake", url]);
        assert!(said.contains(url) && said.contains("s3://bucket/prefix"), "{said}");
    }
}

#[test]
fn a_lake_that_is_not_there_is_no_proof() {
    let lake = Lake::new();
    let output = lake.with("audit", &[]);
    assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(lake.path().to_str().unwrap()) && said.contains("check the address"), "{said}");
    assert!(!lake.path().exists(), "an audit writes nothing");
}

#[test]
fn arguments_that_are_missing_or_wrong_are_explained() {
    for (arguments, word) in [
        (&["run"][..], "--pipeline"),
        (&["audit", "--pipeline", "p"], "--lake"),
        (&["events", "--output", "o"], "--input"),
        (&["play"], "play"),
        (&["run", "--pipeline", "p", "--lake", "l", "--input", "i", "--batch-size", "0"], "1..=10000"),
        (&["run", "--pipeline", "p", "--lake", "l", "--input", "i", "--publish-every", "0"], "publish-every"),
        (
            &[
                "run",
                "--pipeline",
                "p",
                "--lake",
                "l",
                "--input",
                "i",
                "--publish-every",
                "9",
                "--no-publish",
            ],
            "cannot be used with",
        ),
        (&["publish", "--pipeline", "p", "--lake", "l", "--every", "0s"], "more than nothing"),
        (&["publish", "--pipeline", "p", "--lake", "l", "--every", "now"], "a duration such as"),
    ] {
        let said = refusal(arguments);
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}
