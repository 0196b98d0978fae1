//! `tripline inspect` as people run it: on what a real lake holds, whole and damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Desk, said, taxi};
use tripline_test_support::S3Server;

/// A desk with a published lake of 30 trips and a dead letter, and a redrive of it.
fn desk() -> Desk {
    let desk = taxi("unused");
    let trips = (0..30).map(|trip| {
        format!(
            "{{\"type\":\"trip\",\"trip_id\":{trip},\"pickup_location_id\":140,\
             \"pickup_datetime\":\"2019-03-01T01:{trip:02}:00.000Z\"}}\n"
        )
    });
    desk.write("in.jsonl", &(trips.collect::<String>() + "no event\n"));
    desk.run("in.jsonl");
    desk
}

fn inspect(desk: &Desk, object: &str, more: &[&str], code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.env_remove("TRIPLINE_LAKE").envs(desk.variables.iter().map(|(name, value)| (name, value)));
    said(command.arg("inspect").arg(object).args(more), code)
}

/// The first file below a folder of the lake.
fn first(desk: &Desk, folder: &str) -> PathBuf {
    let mut path = desk.path("lake").join(folder);
    while path.is_dir() {
        let mut inner: Vec<PathBuf> =
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
        inner.sort();
        path = inner[0].clone();
    }
    path
}

fn all_in(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
}

/// What is done to a file's bytes.
type Change = Box<dyn FnOnce(&mut Vec<u8>)>;

/// A copy of a file with its bytes changed.
fn changed(desk: &Desk, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    let copy = desk.path("changed");
    fs::write(&copy, bytes).unwrap();
    copy.to_str().unwrap().to_owned()
}

#[test]
fn an_entry_is_told_in_words_with_its_sections_and_partitions() {
    let desk = desk();
    let path = first(&desk, "_journal");
    let told = inspect(&desk, path.to_str().unwrap(), &[], 0);
    all_in(
        &told,
        &[
            "entry 1 of the journal",
            "lane          taxi/lake ",
            "31 records, 0 duplicates dropped",
            "table         trip: 30 rows, digest ",
            "dead letters  not-json: 1",
            "newest event  2019-03-01T01:29:00.000Z",
            "section       trip: 30 rows",
            "pickup_borough=manhattan/year=2019/month=03/day=01/hour=01: 30 rows",
        ],
    );
    let rows = inspect(&desk, path.to_str().unwrap(), &["--rows", "2"], 0);
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tables: Vec<&str> = rows.iter().map(|row| row["_table"].as_str().unwrap()).collect();
    assert_eq!(tables.iter().filter(|table| **table == "trip").count(), 2, "{rows:?}");
    assert_eq!(tables.iter().filter(|table| **table == "dead_letter").count(), 1);
    let trip = rows.iter().find(|row| row["_table"] == "trip").unwrap();
    assert_eq!(
        (&trip["trip_id"], &trip["pickup_datetime"]),
        (&0.into(), &"2019-03-01T01:00:00Z".into()),
        "{trip}"
    );
}

#[test]
fn a_published_file_is_told_with_labels_row_groups_and_columns() {
    let desk = desk();
    let path = first(&desk, "trip");
    let path = path.to_str().unwrap();
    let told = inspect(&desk, path, &[], 0);
    all_in(
        &told,
        &[
            "Parquet, 30 rows",
            "label         tripline.pipeline = taxi",
            "row group     1: 30 rows",
            "DELTA_BINARY_PACKED",
            "ZSTD",
        ],
    );
    let found: Value = serde_json::from_str(&inspect(&desk, path, &["--json"], 0)).unwrap();
    assert_eq!(
        (&found["inspected"]["kind"], &found["inspected"]["contents"]["rows"]),
        (&"parquet".into(), &30.into())
    );
    let rows = inspect(&desk, path, &["--rows", "3"], 0);
    let ids: Vec<Value> =
        rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["trip_id"].clone()).collect();
    assert_eq!(ids, [0, 1, 2]);
}

#[test]
fn keys_of_a_lake_are_checkpoint_identity_and_redrives() {
    let desk = desk();
    let lake = desk.path("lake");
    let lake = ["--lake", lake.to_str().unwrap()];
    let told = inspect(&desk, "_tripline/checkpoint.json", &lake, 0);
    all_in(&told, &["checkpoint, generation 2", "pipeline      taxi", "entry 1, position "]);
    all_in(
        &inspect(&desk, "_tripline/identity.json", &lake, 0),
        &["identity of a lake", "pipeline      taxi"],
    );
    desk.tripline("redrive", &[], 0);
    let told = inspect(&desk, "_tripline/redrive/00000000000000000001", &lake, 0);
    all_in(&told, &["redrive 1 of dead letters", "letters       all", "1 letters, 1 failed again"]);
    all_in(&inspect(&desk, "_tripline/nothing", &lake, 2), &["there is no object _tripline/nothing at"]);
    all_in(&inspect(&desk, "nothing", &[], 2), &["there is no file nothing"]);
}

#[test]
fn a_damaged_entry_is_told_with_the_place_where_it_differs() {
    let desk = desk();
    let path = first(&desk, "_journal");
    let size = fs::metadata(&path).unwrap().len() as usize;
    let header = u32::from_le_bytes(fs::read(&path).unwrap()[8..12].try_into().unwrap()) as usize;
    let cases: [(&str, Change); 6] = [
        ("it is cut off: ", Box::new(|bytes| bytes.truncate(bytes.len() - 40))),
        ("it is cut off within its header", Box::new(|bytes| bytes.truncate(100))),
        ("it is cut off within its first 12 bytes", Box::new(|bytes| bytes.truncate(9))),
        ("3 bytes follow its end", Box::new(|bytes| bytes.extend([1, 2, 3]))),
        // In the first section's frame.
        ("section 1 (table ", Box::new(move |bytes| bytes[12 + header] ^= 0xff)),
        ("or the checksum at its end differs", Box::new(move |bytes| bytes[size - 1] ^= 1)),
    ];
    for (expected, change) in cases {
        let copy = changed(&desk, &path, change);
        all_in(&inspect(&desk, &copy, &[], 1), &["a damaged journal entry", expected]);
    }
    let copy = changed(&desk, &path, |bytes| bytes[20] = 0);
    let told: Value = serde_json::from_str(&inspect(&desk, &copy, &["--json"], 1)).unwrap();
    assert!(told["fault"].as_str().unwrap().contains("its header, bytes 12 to "), "{told}");
}

#[test]
fn damaged_files_and_strangers_are_told_as_such() {
    let desk = desk();
    let path = first(&desk, "trip");
    let copy = changed(&desk, &path, |bytes| bytes.truncate(bytes.len() / 2));
    all_in(
        &inspect(&desk, &copy, &[], 1),
        &["a damaged Parquet file", "cut off at byte", "without its footer"],
    );
    let copy = changed(&desk, &path, |bytes| {
        let end = bytes.len();
        bytes[end - 8..end - 4].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    });
    all_in(&inspect(&desk, &copy, &[], 1), &["its footer, before byte", "cannot be read"]);
    // The first page of the first column.
    let copy = changed(&desk, &path, |bytes| bytes[4..64].fill(0xff));
    all_in(&inspect(&desk, &copy, &[], 1), &["a damaged Parquet file: row group 1: "]);

    let checkpoint = desk.path("lake/_tripline/checkpoint.json");
    let copy = changed(&desk, &checkpoint, |bytes| bytes.truncate(50));
    all_in(&inspect(&desk, &copy, &[], 1), &["a damaged JSON object", "line 1 column 50"]);
    let copy = changed(&desk, &checkpoint, |bytes| *bytes = b"{\"lanes\":{},\"generation\":\"x\"}".to_vec());
    all_in(&inspect(&desk, &copy, &[], 1), &["a damaged checkpoint: invalid type: string \"x\""]);
    desk.write("stranger", "hello");
    let stranger = desk.path("stranger");
    all_in(&inspect(&desk, stranger.to_str().unwrap(), &[], 1), &["it begins with \"hello\""]);
    desk.write("empty", "");
    let empty = desk.path("empty");
    all_in(&inspect(&desk, empty.to_str().unwrap(), &[], 1), &["it is empty"]);
}

#[test]
fn json_lines_are_counted_and_shown() {
    let desk = desk();
    let lake = desk.path("other");
    let input = desk.path("in.jsonl");
    let mut run = desk.command("run");
    run.arg("--lake").arg(&lake).arg("--input").arg(input).args(["--format", "json"]);
    said(&mut run, 0);
    let path = first(&desk, "../other/trip");
    let path = path.to_str().unwrap();
    all_in(&inspect(&desk, path, &[], 0), &["JSON lines, 30 rows"]);
    assert_eq!(inspect(&desk, path, &["--rows", "2"], 0).lines().count(), 2);
    let copy = changed(&desk, Path::new(path), |bytes| bytes.truncate(bytes.len() - 20));
    all_in(&inspect(&desk, &copy, &[], 1), &["a damaged file of JSON lines"]);
}

#[test]
fn objects_of_a_bucket_are_named_by_their_url_or_their_key() {
    let Some(server) = S3Server::shared_for("objects of a bucket are inspected") else { return };
    let mut desk = desk();
    desk.variables = server.environment();
    let lake = format!("s3://{}/inspected", server.bucket());
    let mut run = desk.command("run");
    run.arg("--lake").arg(&lake).arg("--input").arg(desk.path("in.jsonl"));
    said(&mut run, 0);
    all_in(
        &inspect(&desk, &format!("{lake}/_tripline/checkpoint.json"), &[], 0),
        &["checkpoint, generation 2"],
    );
    all_in(&inspect(&desk, "_tripline/identity.json", &["--lake", &lake], 0), &[&lake]);
    all_in(&inspect(&desk, "s3://nowhere-at-all/x", &[], 2), &["s3://nowhere-at-all", "NoSuchBucket"]);
}
