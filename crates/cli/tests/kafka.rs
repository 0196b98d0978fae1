//! `tripline run --kafka` as people run it, on a real broker: a topic as sink and as source.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Desk, repository, taxi};
use tripline_test_support::{Kafka, OpenSearch, or_left_out};

/// Trips in the shipped sample.
const SAMPLE: u64 = 6_500;

/// A pipeline that refuses what is no event.
const REFUSING: &str = r#"
id = "trips"
type_field = "type"
schema_version = 1
on_malformed = "fail"
[events.trip]
id = ["trip_id"]
event_time = "pickup_datetime"
fields = [
  { name = "trip_id", type = "int64", required = true },
  { name = "pickup_datetime", type = "timestamp", required = true },
]
partition = [{ name = "year", time = "year" }]
"#;

/// Sends the sample's trips into a topic, by the Kafka sink alone.
fn produce(servers: &str, topic: &str) {
    let mut desk = taxi("unused");
    desk.variables = vec![
        ("TRIPLINE_KAFKA_BROKERS", servers.to_owned()),
        ("TRIPLINE_KAFKA_TOPIC", topic.to_owned()),
        ("TRIPLINE_SINKS", "kafka".to_owned()),
    ];
    let sample = repository().join("pipelines/taxi/sample");
    let printed = desk.tripline("run", &["--input", sample.to_str().unwrap()], 0);
    assert!(printed.contains("kafka records              6,500"), "{printed}");
    assert_eq!(desk.seen(), (0, 0), "without the lake among the sinks it gets nothing");
}

/// A run that reads the topic until it is ended, in a process of its own.
fn start(desk: &Desk, options: &[&str]) -> Child {
    let mut process = desk.command("run");
    process.arg("--lake").arg(desk.path("lake")).args(options);
    process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn ask(node: &OpenSearch, method: &str, path: &str) -> Value {
    let reply = node.request(method, path, "").unwrap();
    assert_eq!(reply.status, 200, "{method} {path}: {}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

#[test]
fn every_trip_of_a_topic_is_a_row_and_a_document_and_is_read_once() {
    let Some(kafka) = Kafka::shared_for("every trip of a topic") else { return };
    let Some(node) = OpenSearch::shared_for("every trip of a topic") else { return };
    let servers = kafka.bootstrap_servers();
    produce(&servers, "trips-of-a-topic");
    let desk = taxi("trips-of-a-topic");
    let options =
        ["--kafka", &servers, "--topic", "trips-of-a-topic", "--until-end", "--opensearch", node.url()];
    let printed = desk.tripline("run", &options, 0);
    assert!(printed.contains("records read               6,500"), "{printed}");
    assert_eq!(desk.seen(), (SAMPLE, 0));
    ask(node, "POST", "/trips-of-a-topic/_refresh");
    assert_eq!(ask(node, "GET", "/trips-of-a-topic/_count")["count"], SAMPLE);
    let printed = desk.tripline("run", &options, 0);
    assert!(printed.contains("records read                   0"), "{printed}");
    // Another group begins at the start, and the lake drops what it has.
    let printed = desk.tripline("run", &[options.as_slice(), &["--group", "another"]].concat(), 0);
    assert!(printed.contains("nothing new: every record was in the lake already"), "{printed}");
    assert_eq!(desk.seen(), (SAMPLE, 0));
}

#[test]
fn restarts_of_the_broker_and_members_that_come_and_die_neither_lose_nor_double_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let test = "restarts of the broker";
    let Some(kafka) = or_left_out(test, Kafka::start_in(folder.path(), None)) else { return };
    let servers = kafka.bootstrap_servers();
    produce(&servers, "trips");
    let mut desk = taxi("unused");
    // A member that was killed is missed after six seconds, not 45.
    let quick = "session.timeout.ms=6000,heartbeat.interval.ms=1000".to_owned();
    desk.variables.push(("TRIPLINE_KAFKA_PROPERTIES", quick));
    let options =
        ["--kafka", &servers, "--topic", "trips", "--no-publish", "--batch-size", "50", "--window", "0"];
    let mut first = start(&desk, &options);
    std::thread::sleep(Duration::from_millis(1_500));
    // The group's partitions are shared anew.
    let mut second = start(&desk, &options);
    std::thread::sleep(Duration::from_millis(1_500));
    first.kill().unwrap();
    let killed = kafka.kill().unwrap();
    first.wait().unwrap();
    let kafka = Kafka::start_in(folder.path(), Some(killed)).unwrap();
    produce(&servers, "trips");
    std::thread::sleep(Duration::from_millis(1_500));
    second.kill().unwrap();
    second.wait().unwrap();
    desk.tripline("run", &["--kafka", &servers, "--topic", "trips", "--until-end"], 0);
    assert_eq!(desk.seen(), (2 * SAMPLE, 0));
    drop(kafka);
}

#[test]
fn a_replay_into_a_topic_is_read_from_it_to_the_last_event() {
    let Some(kafka) = Kafka::shared_for("a replay into a topic") else { return };
    let (servers, sample) = (kafka.bootstrap_servers(), repository().join("pipelines/taxi/sample"));
    let mut replay = Command::new(env!("CARGO_BIN_EXE_tripline"));
    replay.args([
        "replay",
        "--kafka",
        &servers,
        "--topic",
        "replayed",
        "--speedup",
        "0",
        "--json",
        "--input",
    ]);
    let output = replay.arg(sample).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let desk = taxi("unused");
    desk.tripline("run", &["--kafka", &servers, "--topic", "replayed", "--until-end"], 0);
    assert_eq!((desk.seen(), &told["records"]), ((SAMPLE, 0), &Value::from(SAMPLE)), "{told}");
}

#[test]
fn what_a_topic_has_that_is_given_up_is_brought_in_by_a_redrive() {
    let Some(kafka) = Kafka::shared_for("what a topic has that is given up") else { return };
    let (servers, desk) = (kafka.bootstrap_servers(), Desk::new(REFUSING));
    let trip = |number| {
        format!("{{\"type\":\"trip\",\"trip_id\":{number},\"pickup_datetime\":\"2019-03-01T12:00:00Z\"}}\n")
    };
    desk.write("trips.jsonl", &(0..SAMPLE).map(trip).collect::<String>());
    let mut replay = Command::new(env!("CARGO_BIN_EXE_tripline"));
    replay.args(["replay", "--kafka", &servers, "--topic", "given-up", "--speedup", "0", "--json"]);
    let output = replay.args(["--poison-share", "0.01", "--input"]).arg(desk.path("trips.jsonl"));
    let output = output.output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let poison = told["poison"].as_u64().unwrap();
    assert!(poison > 0, "{told}");
    let failed = desk.path("failed");
    let failed = failed.to_str().unwrap();
    let source = ["--kafka", &servers, "--topic", "given-up", "--until-end"];
    let own = ["--batch-size", "500", "--maximum-retry-attempts", "2", "--on-failure", failed];
    let printed = desk.tripline("run", &[source.as_slice(), &own].concat(), 1);
    assert!(printed.contains("given up"), "{printed}");
    let (rows, dead_letters) = desk.seen();
    assert!(rows < SAMPLE && dead_letters == 0, "{printed}");
    // The group has moved on behind what was given up.
    desk.write("pipeline/pipeline.toml", &REFUSING.replace("\"fail\"", "\"dead-letter\""));
    let printed = desk.tripline("run", &source, 0);
    assert!(printed.contains("records read                   0"), "{printed}");
    desk.tripline("redrive", &["--failed-batches", failed], 0);
    desk.tripline("publish", &[], 0);
    assert_eq!(desk.seen(), (SAMPLE, poison));
}

#[test]
fn status_and_doctor_ask_a_topic_without_joining_its_group() {
    let Some(kafka) = Kafka::shared_for("status and doctor ask a topic") else { return };
    let (servers, topic) = (kafka.bootstrap_servers(), "trips-asked");
    produce(&servers, topic);
    let desk = taxi("unused");
    let source = ["--kafka", &servers, "--topic", topic];
    let ahead = || -> u64 {
        let told = desk.tripline("status", &[&source[..], &["--json"]].concat(), 0);
        let told: Value = serde_json::from_str(&told).unwrap();
        told["ahead"].as_array().unwrap().iter().map(|part| part["offsets"].as_u64().unwrap()).sum()
    };
    desk.tripline("run", &[&source[..], &["--until-end", "--no-publish"]].concat(), 0);
    assert_eq!(ahead(), 0);
    produce(&servers, topic);
    assert_eq!(ahead(), SAMPLE);
    // Nothing of it has moved: the run goes on where it was.
    let printed = desk.tripline("run", &[&source[..], &["--until-end", "--no-publish"]].concat(), 0);
    assert!(printed.contains("records read               6,500"), "{printed}");

    let told = desk.tripline("doctor", &source, 0);
    assert!(told.contains("ok          topic: trips-asked: 4 partitions"), "{told}");
    assert!(told.contains("topic: records are kept for 7 d"), "{told}");
    let told = desk.tripline("doctor", &["--kafka", &servers, "--topic", "no-such-topic"], 1);
    assert!(
        told.contains("FAIL        topic: ") && told.contains("the topic no-such-topic is not there"),
        "{told}"
    );
}

#[test]
fn a_topic_that_cannot_be_reached_is_said_with_what_to_do() {
    let desk = taxi("unused");
    let said = desk.tripline("run", &["--kafka", "no-port", "--topic", "trips"], 2);
    assert!(said.contains("host:port"), "{said}");
    let said = desk.tripline("run", &["--kafka", "127.0.0.1:1"], 2);
    assert!(said.contains("--topic"), "{said}");
}
