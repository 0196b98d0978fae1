//! `tripline generate` as people run it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::Desk;

fn folder(pipeline: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines").join(pipeline)
}

fn generate(pipeline: &str, more: &[&str]) -> Vec<u8> {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_tripline"));
    let output = tool.arg("generate").arg("--pipeline").arg(folder(pipeline)).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn events(lines: &[u8]) -> Vec<Value> {
    lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_events_and_another_gives_others() {
    let some = |seed: &str| generate("taxi", &["--limit", "50", "--start", "2026-01-01", "--seed", seed]);
    assert_eq!(some("7"), some("7"));
    assert_ne!(some("7"), some("8"));
}

#[test]
fn every_made_up_event_of_a_shipped_pipeline_is_a_row() {
    for (pipeline, tables) in [("taxi", vec!["trip"]), ("adtech", vec!["impressions", "clicks"])] {
        let desk = Desk::new("");
        for entry in
            std::fs::read_dir(folder(pipeline)).unwrap().flatten().filter(|entry| entry.path().is_file())
        {
            desk.write(
                &format!("pipeline/{}", entry.file_name().to_str().unwrap()),
                &std::fs::read_to_string(entry.path()).unwrap(),
            );
        }
        let made = generate(pipeline, &["--limit", "2000", "--start", "2026-01-01", "--step", "50"]);
        desk.write("made.jsonl", std::str::from_utf8(&made).unwrap());
        desk.run("made.jsonl");
        let [dead_letters] = desk.rows(["dead_letter"]);
        let rows: u64 = tables.iter().map(|table| desk.rows([table])[0]).sum();
        assert_eq!((rows, dead_letters), (2_000, 0), "{pipeline}");
    }
}

#[test]
fn clicks_are_on_impressions_before_them_or_on_none() {
    let made = events(&generate("adtech", &["--limit", "4000", "--start", "2026-01-01"]));
    let (mut shown, mut known, mut unknown) = (BTreeSet::new(), 0, 0);
    for event in &made {
        assert!(event.as_object().unwrap().values().all(Value::is_string), "{event}");
        match (event["type"].as_str().unwrap(), event["correlation_id"].as_str()) {
            ("impressions", None) => _ = shown.insert(event["bid_id"].as_str().unwrap()),
            ("clicks", Some("NA")) => unknown += 1,
            ("clicks", Some(bid)) => {
                assert!(shown.contains(bid), "{event}");
                known += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let clicks = known + unknown;
    assert!((850..1_150).contains(&clicks), "a quarter of 4,000: {clicks}");
    assert!((0.75..0.85).contains(&(f64::from(known) / f64::from(clicks))), "{known} of {clicks}");
}

#[test]
fn events_come_until_nobody_reads_them_any_more() {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_tripline"));
    tool.arg("generate").arg("--pipeline").arg(folder("taxi")).stdout(Stdio::piped());
    let mut process = tool.spawn().unwrap();
    let first = BufReader::new(process.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["trip_id"], 1);
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_pipeline_without_a_plan_says_what_is_missing() {
    let desk = Desk::new(&std::fs::read_to_string(folder("adtech").join("pipeline.toml")).unwrap());
    desk.write(
        "pipeline/countries.csv",
        &std::fs::read_to_string(folder("adtech").join("countries.csv")).unwrap(),
    );
    let output = desk.command("generate").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("generate.toml"), "{said}");
}
