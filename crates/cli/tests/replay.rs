//! `tripline replay` as people run it: files in, a file, a stream or a function out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;
use tripline_stream::kpl::user_records;
use tripline_test_support::{KinesisServer, S3Server, StreamRecord, or_left_out, read_request};

/// Trips of the shipped sample.
const SAMPLE: u64 = 6_500;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sample() -> String {
    repository().join("pipelines/taxi/sample").to_str().unwrap().to_owned()
}

struct Desk {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    fn beside(server: &KinesisServer) -> Self {
        Self { variables: server.environment(), ..Self::new() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let bytes = fs::read(self.path(name)).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(str::to_owned).collect()
    }

    fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tripline"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("TRIPLINE_") || name.starts_with("AWS_")) {
                process.env_remove(name);
            }
        }
        process.envs(self.variables.iter().map(|(name, value)| (name, value)));
        process.arg(command).args(arguments);
        process
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command("replay", arguments).output().unwrap()
    }

    /// The final count of a replay that goes well.
    fn replay(&self, arguments: &[&str]) -> Value {
        let output = self.output(&[arguments, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a replay says that cannot do its work.
    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        said
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command("replay", arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Events a minute apart, from 2019-03-01 on.
fn event(number: u64) -> String {
    let (day, hour, minute) = (1 + number / 1440, number / 60 % 24, number % 60);
    format!(
        "{{\"type\":\"trip\",\"trip_id\":{number},\"pickup_location_id\":{},\
         \"pickup_datetime\":\"2019-03-{day:02}T{hour:02}:{minute:02}:00.000Z\",\
         \"dropoff_datetime\":\"2019-03-{day:02}T{hour:02}:{minute:02}:30.000Z\"}}",
        1 + number % 265
    )
}

fn events(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers.into_iter().map(|number| event(number) + "\n").collect()
}

fn expected(count: u64) -> Vec<String> {
    (0..count).map(event).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn lz4(text: &str) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 1).unwrap()
}

fn id(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?["trip_id"].as_u64()
}

/// How often each id is there.
fn ids(lines: &[String]) -> BTreeMap<u64, usize> {
    let mut ids = BTreeMap::new();
    for line in lines {
        *ids.entry(id(line).unwrap()).or_default() += 1;
    }
    ids
}

fn time(line: &str, member: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()[member].as_str().unwrap().to_owned()
}

#[test]
fn every_compression_gives_the_same_events_in_several_frames_too() {
    let desk = Desk::new();
    let (one, two) = (events(0..1_500), events(1_500..3_000));
    for (name, content) in [
        ("a.json", [one.as_bytes(), two.as_bytes()].concat()),
        ("b.json.gz", [gzip(&one), gzip(&two)].concat()),
        ("c.json.lz4", [lz4(&one), lz4(&two)].concat()),
        ("d.json.zst", [zstd(&one), zstd(&two)].concat()),
        // Told by content, as the reference tool does.
        ("e.json", lz4(&(one.clone() + &two))),
    ] {
        let path = desk.write(name, content);
        let count = desk.replay(&["--input", &path, "--speedup", "0", "--output", &desk.path("out")]);
        assert_eq!((&count["read"], &count["records"]), (&3_000.into(), &3_000.into()), "{name}");
        assert_eq!(desk.lines("out"), expected(3_000), "{name}");
    }
}

#[test]
fn a_file_that_is_cut_short_ends_the_replay_after_what_it_has() {
    let desk = Desk::new();
    for (name, whole) in [
        ("a.json.gz", gzip(&events(0..3_000))),
        ("b.json.zst", zstd(&events(0..3_000))),
        ("c.json.lz4", lz4(&events(0..3_000))),
    ] {
        let path = desk.write(name, &whole[..whole.len() / 2]);
        let said = desk.refusal(&["--input", &path, "--speedup", "0", "--output", &desk.path("out")]);
        assert!(said.contains(name), "{said}");
        // Their blocks are of other sizes: a small file may be one.
        let lines = desk.lines("out");
        assert_eq!(lines, expected(lines.len() as u64));
        assert!(
            lines.len() < 3_000 && (name != "a.json.gz" || lines.len() > 1_000),
            "{name}: {}",
            lines.len()
        );
    }
}

#[test]
fn the_shipped_trips_come_from_folders_and_patterns_in_the_order_of_any_member() {
    let desk = Desk::new();
    for member in ["dropoff_datetime", "pickup_datetime"] {
        for input in [sample(), sample() + "/*_tripdata_*.csv"] {
            for order in ["window", "full"] {
                let out = desk.path("out");
                let count = desk.replay(&[
                    "--input",
                    &input,
                    "--speedup",
                    "0",
                    "--output",
                    &out,
                    "--timestamp-attribute",
                    member,
                    "--order",
                    order,
                ]);
                assert_eq!((&count["records"], &count["files"]), (&SAMPLE.into(), &2.into()));
                assert_eq!(count["unordered"], 0);
                let times: Vec<String> = desk.lines("out").iter().map(|line| time(line, member)).collect();
                assert!(times.is_sorted() && times.len() as u64 == SAMPLE);
            }
        }
    }
}

#[test]
fn files_are_merged_and_what_is_too_far_off_for_the_window_is_late_and_not_lost() {
    let desk = Desk::new();
    desk.write("in/even.json", events((0..3_000).step_by(2)));
    desk.write("in/odd.json.gz", gzip(&events((1..3_000).step_by(2))));
    // The first event stands at the end of its file.
    desk.write("in/turned.json", events([3_000, 3_001, 3_002, 3_003].into_iter().rev()));
    let (input, out) = (desk.path("in"), desk.path("out"));
    let replay = |more: &[&str]| {
        desk.replay(&[&["--input", &input, "--speedup", "0", "--output", &out], more].concat())
    };
    assert_eq!(replay(&["--buffer-size", "4"])["unordered"], 0);
    assert_eq!(desk.lines("out"), expected(3_004));
    assert_eq!(replay(&["--buffer-size", "0"])["unordered"], 3);
    assert_eq!(ids(&desk.lines("out")).len(), 3_004);
    assert_eq!(replay(&["--order", "full", "--sort-memory", "1"])["unordered"], 0);
    assert_eq!(desk.lines("out"), expected(3_004));
    replay(&["--order", "none"]);
    assert_eq!(id(&desk.lines("out")[1]), Some(2));
}

#[test]
fn a_replay_begins_and_ends_where_it_is_told() {
    let desk = Desk::new();
    let input = desk.write("in.json", events(0..3_000));
    let count = desk.replay(&[
        "--input",
        &input,
        "--speedup",
        "0",
        "--output",
        &desk.path("out"),
        "--seek",
        "2019-03-01T01:00:00Z",
        "--limit",
        "10",
    ]);
    assert_eq!((&count["read"], &count["skipped"]), (&10.into(), &60.into()));
    assert_eq!(desk.lines("out"), (60..70).map(event).collect::<Vec<_>>());
    let dry = desk.replay(&["--input", &input, "--dry-run"]);
    assert_eq!((&dry["read"], &dry["up_to"]), (&3_000.into(), &"2019-03-03T01:59:30.000Z".into()));
}

#[test]
fn lines_that_tell_no_time_go_with_the_event_before_them() {
    let desk = Desk::new();
    let text = format!("no json\n{}\n{{\"id\":1}}\n{}\n", event(7), event(3));
    let input = desk.write("in.json", &text);
    let count = desk.replay(&["--input", &input, "--output", &desk.path("out")]);
    assert_eq!((&count["records"], &count["untimed"]), (&4.into(), &2.into()));
    let expected = [event(3), "no json".to_owned(), event(7), "{\"id\":1}".to_owned()];
    assert_eq!(desk.lines("out"), expected);
}

#[test]
fn events_can_be_moved_to_now_with_their_durations() {
    let desk = Desk::new();
    let input = desk.write("in.json", events(0..10));
    desk.replay(&["--input", &input, "--output", &desk.path("out"), "--adapt-time", "now"]);
    let year_ago = "2026-01-01T00:00:00.000Z";
    for line in desk.lines("out") {
        let (from, to) = (time(&line, "pickup_datetime"), time(&line, "dropoff_datetime"));
        let ms = |text: &str| tripline_model::time::parse(text.as_bytes()).unwrap();
        assert!(from.as_str() > year_ago, "{line}");
        assert_eq!(ms(&to) - ms(&from), 30_000);
    }
}

#[test]
fn what_is_sent_is_what_the_audit_counts_faults_included() {
    let desk = Desk::new();
    // Few partitions, as a folder writes files slowly.
    let input = desk.write(
        "in.json",
        (0..2_000)
            .map(|number| event(number % 60 + 60).replace("\"trip_id\":", "\"n\":0,\"trip_id\":") + "\n")
            .collect::<String>(),
    );
    let faults =
        ["--late-share", "0.1", "--duplicate-share", "0.05", "--poison-share", "0.02", "--seed", "7"];
    let arguments = ["--input", &input, "--speedup", "0", "--output", &desk.path("out.jsonl")];
    let count = desk.replay(&[&arguments[..], &faults].concat());
    let number = |name: &str| count[name].as_u64().unwrap();
    assert_eq!(number("read"), 2_000);
    assert_eq!(number("events") + number("late"), 2_000);
    for name in ["late", "duplicates", "poison"] {
        assert!(number(name) > 10, "{name}: {count}");
    }
    assert_eq!(number("records"), 2_000 + number("duplicates") + number("poison"));
    let first = desk.lines("out.jsonl");
    desk.replay(&[&arguments[..], &faults].concat());
    assert_eq!(desk.lines("out.jsonl"), first, "another order with the same seed");

    let (pipeline, lake) = (repository().join("pipelines/taxi"), desk.path("lake"));
    let place = ["--pipeline", pipeline.to_str().unwrap(), "--lake", &lake];
    let run =
        desk.command("run", &[&place[..], &["--input", &desk.path("out.jsonl")]].concat()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let audit = desk.command("audit", &[&place[..], &["--json"]].concat()).output().unwrap();
    let audit: Value = serde_json::from_slice(&audit.stdout).unwrap();
    let rows = |table: &str| audit["tables"][table]["rows"].as_u64().unwrap();
    assert_eq!(rows("dead_letter"), number("poison"));
    assert_eq!(rows("trip") + rows("dead_letter"), number("records"));
}

/// Replays three seconds' worth of events, and ends the first run in the middle.
fn interrupted(desk: &Desk, signal: &str, arguments: &[&str], sent: &dyn Fn() -> u64) -> Option<i32> {
    let mut child = desk.start(arguments);
    let began = Instant::now();
    while sent() < 200 {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing was sent");
        assert_eq!(child.try_wait().unwrap(), None, "the replay ended too early");
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    child.wait().unwrap().code()
}

/// 3,000 minutes in three seconds.
const PACE: &str = "60000";

#[test]
fn a_replay_that_was_killed_goes_on_and_loses_nothing() {
    let desk = Desk::new();
    let input = desk.write("in.json", events(0..3_000));
    let (out, checkpoint) = (desk.path("out"), desk.path("replay.json"));
    let arguments = ["--input", &input, "--speedup", PACE, "--output", &out, "--checkpoint", &checkpoint];
    let sent = || fs::read(&out).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count() as u64);
    interrupted(&desk, "-9", &arguments, &sent);
    // As if it had died in the middle of a line.
    fs::OpenOptions::new().append(true).open(&out).unwrap().write_all(b"{\"trip_").unwrap();
    let count = desk.replay(&arguments);
    assert_eq!((&count["records"], &count["complete"]), (&3_000.into(), &true.into()));
    let found = ids(&desk.lines("out"));
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), (0..3_000).collect::<Vec<_>>());
    assert!(desk.lines("out").len() < 5_000, "it began anew");

    // It is complete: nothing is sent once more.
    let before = desk.lines("out").len();
    let again = desk.replay(&arguments);
    assert_eq!((&again["records"], desk.lines("out").len()), (&3_000.into(), before));
    // Another replay does not go on from it.
    let other = [&arguments[..], &["--limit", "10"]].concat();
    assert!(desk.refusal(&other).contains("another replay"));
}

#[test]
fn a_replay_that_is_told_to_stop_sees_through_what_it_began_and_goes_on_without_a_repetition() {
    let desk = Desk::new();
    let input = desk.write("in.json", events(0..3_000));
    let (out, checkpoint) = (desk.path("out"), desk.path("replay.json"));
    let arguments = ["--input", &input, "--speedup", PACE, "--output", &out, "--checkpoint", &checkpoint];
    let sent = || fs::read(&out).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count() as u64);
    assert_eq!(interrupted(&desk, "-TERM", &arguments, &sent), Some(1));
    let before = desk.lines("out").len() as u64;
    let count = desk.replay(&arguments);
    assert_eq!((&count["records"], &count["before"]), (&3_000.into(), &before.into()));
    assert_eq!(desk.lines("out"), expected(3_000));
}

/// A stream's records, by id; each with its count.
fn held(records: &[StreamRecord]) -> BTreeMap<u64, usize> {
    let lines: Vec<String> =
        records.iter().map(|record| String::from_utf8(record.data.clone()).unwrap()).collect();
    ids(&lines)
}

fn all_once(count: u64) -> BTreeMap<u64, usize> {
    (0..count).map(|number| (number, 1)).collect()
}

#[test]
fn a_stream_within_its_limits_has_every_event_once_and_over_all_shards() {
    let server = KinesisServer::start(&[("KINESIS_LIMITS", "1")]);
    let Some(server) = or_left_out("replay within limits", server) else { return };
    let desk = Desk::beside(&server);
    server.create_stream("trips", 2).unwrap();
    let input = desk.write("in.json", events(0..6_000));
    let count = desk.replay(&["--input", &input, "--stream-name", "trips", "--speedup", "0"]);
    assert_eq!(count["records"], 6_000);
    assert!(count["throttled"].as_u64().unwrap() > 0, "{count}");
    let records = server.records("trips").unwrap();
    assert_eq!(held(&records), all_once(6_000));
    let keys: BTreeSet<&str> = records.iter().map(|record| record.key.as_str()).collect();
    let shards: BTreeSet<&str> = records.iter().map(|record| record.shard.as_str()).collect();
    assert_eq!((keys.len(), shards.len()), (6_000, 2));
}

#[test]
fn a_stream_that_fails_now_and_then_has_every_event_once() {
    let server = KinesisServer::start(&[("KINESIS_FAIL", "0.1")]);
    let Some(server) = or_left_out("replay with failures", server) else { return };
    let desk = Desk::beside(&server);
    server.create_stream("trips", 3).unwrap();
    let input = desk.write("in.json", events(0..4_000));
    let count = desk.replay(&[
        "--input",
        &input,
        "--stream-name",
        "trips",
        "--speedup",
        "0",
        "--partition-key",
        "trip_id",
        "--newline",
    ]);
    assert_eq!(count["records"], 4_000);
    assert!(count["retried"].as_u64().unwrap() > 100, "{count}");
    let records = server.records("trips").unwrap();
    assert_eq!(held(&records), all_once(4_000));
    assert!(records.iter().all(|record| record.data.ends_with(b"}\n")));
    assert!(
        records.iter().all(|record| id(str::from_utf8(&record.data).unwrap()) == record.key.parse().ok())
    );
}

#[test]
fn aggregates_hold_every_event_once_in_far_fewer_records() {
    let Some(server) = KinesisServer::shared_for("replay of aggregates") else { return };
    let desk = Desk::beside(server);
    let input = desk.write("in.json", events(0..3_000));
    for (stream, key) in [("aggregated", "random"), ("aggregated-by-key", "trip_id")] {
        server.create_stream(stream, 3).unwrap();
        let count = desk.replay(&[
            "--input",
            &input,
            "--stream-name",
            stream,
            "--speedup",
            "0",
            "--aggregate",
            "--partition-key",
            key,
        ]);
        assert_eq!(count["records"], 3_000);
        let records = server.records(stream).unwrap();
        assert!((3..100).contains(&records.len()), "{}", records.len());
        let mut found = Vec::new();
        let mut shard_of_key: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for record in &records {
            assert!(record.data.len() <= 52_000);
            for user in user_records(&record.data).unwrap() {
                found.push(String::from_utf8(user.data.to_vec()).unwrap());
                let hash = u128::from_be_bytes(md5(user.partition_key));
                // Three even shards.
                let third = hash / (u128::MAX / 3 + 1);
                assert!(record.shard.ends_with(&third.to_string()), "{} has {third}", record.shard);
                shard_of_key.entry(record.shard.clone()).or_default().insert(user.partition_key.to_owned());
            }
        }
        assert_eq!(ids(&found), all_once(3_000));
    }
}

fn md5(text: &str) -> [u8; 16] {
    use md5::Digest as _;
    md5::Md5::digest(text.as_bytes()).into()
}

#[test]
fn watermarks_go_to_every_shard_and_promise_nothing_that_is_not_there() {
    let Some(server) = KinesisServer::shared_for("replay with watermarks") else { return };
    let desk = Desk::beside(server);
    server.create_stream("marked", 3).unwrap();
    let input = desk.write("in.json", events(0..3_000));
    let count =
        desk.replay(&["--input", &input, "--stream-name", "marked", "--speedup", PACE, "--watermarks"]);
    let records = server.records("marked").unwrap();
    let mut shards = BTreeMap::<&str, Vec<String>>::new();
    let mut found = Vec::new();
    for record in &records {
        let text = String::from_utf8(record.data.clone()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let seen = shards.entry(&record.shard).or_default();
        if value["type"] == "watermark" {
            seen.push(value["watermark"].as_str().unwrap().to_owned());
        } else {
            if let Some(mark) = seen.last() {
                assert!(*mark <= time(&text, "dropoff_datetime"), "{text} after {mark}");
            }
            found.push(text);
        }
    }
    assert_eq!(ids(&found), all_once(3_000));
    assert!(shards.values().all(|marks| !marks.is_empty() && marks.is_sorted()), "{shards:?}");
    let marks: usize = shards.values().map(Vec::len).sum();
    assert_eq!((&count["watermarks"], &count["records"]), (&marks.into(), &3_000.into()));
}

#[test]
fn a_replay_into_a_stream_that_was_killed_goes_on_and_loses_nothing() {
    let Some(server) = KinesisServer::shared_for("a killed replay") else { return };
    let desk = Desk::beside(server);
    server.create_stream("killed", 2).unwrap();
    let (input, checkpoint) = (desk.write("in.json", events(0..3_000)), desk.path("replay.json"));
    let arguments =
        ["--input", &input, "--stream-name", "killed", "--speedup", PACE, "--checkpoint", &checkpoint];
    let sent = || server.records("killed").unwrap().len() as u64;
    interrupted(&desk, "-9", &arguments, &sent);
    let count = desk.replay(&arguments);
    assert_eq!(count["records"], 3_000);
    let found = held(&server.records("killed").unwrap());
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), (0..3_000).collect::<Vec<_>>());
}

#[test]
fn a_stream_that_is_not_there_ends_the_replay_at_once_with_what_to_do() {
    let Some(server) = KinesisServer::shared_for("no stream") else { return };
    let desk = Desk::beside(server);
    let input = desk.write("in.json", events(0..10));
    let said = desk.refusal(&["--input", &input, "--stream-name", "nothing"]);
    assert!(said.contains("the Kinesis stream 'nothing'") && said.contains("--checkpoint"), "{said}");
}

#[test]
fn an_event_that_no_stream_takes_is_told_and_the_others_go_on() {
    let Some(server) = KinesisServer::shared_for("an event too large") else { return };
    let desk = Desk::beside(server);
    server.create_stream("large", 1).unwrap();
    let large = event(1).replace("{\"type\"", &format!("{{\"x\":\"{}\",\"type\"", "y".repeat(1 << 20)));
    let input = desk.write("in.json", format!("{}\n{large}\n{}\n", event(0), event(2)));
    let output = desk.output(&["--input", &input, "--stream-name", "large", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let count: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&count["records"], &count["refused"]), (&2.into(), &1.into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1048"), "{output:?}");
    assert_eq!(server.records("large").unwrap().len(), 2);
}

#[tokio::test]
async fn objects_of_a_bucket_are_replayed_like_files() {
    use tripline_lake::store::{Condition, ObjectStore as _};
    let Some(server) = S3Server::shared_for("replay of objects") else { return };
    let desk = Desk { variables: server.environment(), ..Desk::new() };
    let store = server.store("replayed").await.unwrap();
    for (key, content) in [
        ("trips/README.md", b"not an event".to_vec()),
        ("trips/part-1.json.lz4", lz4(&events(0..1_000))),
        ("trips/part-2.json.gz", gzip(&events(1_000..2_000))),
        ("trips/part-3.json", events(2_000..3_000).into_bytes()),
    ] {
        let _ = store.put(key, content.into(), Condition::Absent).await.unwrap();
    }
    let url = format!("s3://{}/replayed/trips/", server.bucket());
    let common = ["--speedup", "0", "--output", &desk.path("out")];
    let count = desk.replay(&[&["--input", &url], &common[..]].concat());
    assert_eq!((&count["files"], &count["records"]), (&3.into(), &3_000.into()));
    assert_eq!(desk.lines("out"), expected(3_000));
    let named = ["--bucket-name", server.bucket(), "--object-prefix", "replayed/trips/part-2"];
    desk.replay(&[&named[..], &common].concat());
    assert_eq!(desk.lines("out"), (1_000..2_000).map(event).collect::<Vec<_>>());
    let said =
        desk.refusal(&[&["--input", &format!("s3://{}/nothing/", server.bucket())], &common[..]].concat());
    assert!(said.contains("there is no object below this prefix"), "{said}");
}

/// A function that notes what it is given, and whose first answers are not what one hopes for.
struct Invoked {
    url: String,
    seen: Arc<Mutex<Vec<Invocation>>>,
}

#[derive(Clone, Debug)]
struct Invocation {
    path: String,
    /// Shard, sequence number and id of each record.
    records: Vec<(String, u64, u64)>,
}

fn function() -> Invoked {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let invocation = invocation(&mut stream);
            let third = invocation.records.get(2).map(|record| record.1).unwrap_or_default();
            noted.lock().unwrap().push(invocation);
            let (head, body) = match number {
                0 => ("500 Internal Server Error", "{}".to_owned()),
                1 => ("200 OK\r\nX-Amz-Function-Error: Unhandled", "{\"errorMessage\":\"no\"}".to_owned()),
                2 => ("200 OK", format!("{{\"batchItemFailures\":[{{\"itemIdentifier\":\"{third}\"}}]}}")),
                _ => ("200 OK", "{\"batchItemFailures\":[]}".to_owned()),
            };
            let answer = format!(
                "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    Invoked { url, seen }
}

fn invocation(stream: &mut TcpStream) -> Invocation {
    let (path, body) = read_request(stream);
    let event: Value = serde_json::from_slice(&body).unwrap();
    let record = |record: &Value| {
        let data = record["kinesis"]["data"].as_str().unwrap();
        let data = base64_simd::STANDARD.decode_to_vec(data.as_bytes()).unwrap();
        let shard = record["eventID"].as_str().unwrap().split(':').next().unwrap().to_owned();
        let sequence = record["kinesis"]["sequenceNumber"].as_str().unwrap().parse().unwrap();
        (shard, sequence, id(str::from_utf8(&data).unwrap()).unwrap())
    };
    Invocation { path, records: event["Records"].as_array().unwrap().iter().map(record).collect() }
}

#[test]
fn a_function_is_invoked_as_its_mapping_would_until_it_has_every_event() {
    let desk = Desk::new();
    let function = function();
    let input = desk.write("in.json", events(0..1_000));
    let count = desk.replay(&[
        "--input",
        &input,
        "--function",
        &function.url,
        "--function-name",
        "taxi",
        "--shards",
        "2",
        "--batch-size",
        "100",
        "--speedup",
        "0",
    ]);
    assert_eq!(count["records"], 1_000);
    let seen = function.seen.lock().unwrap().clone();
    let mut found = BTreeSet::new();
    let mut shards: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for invocation in &seen {
        assert_eq!(invocation.path, "/2015-03-31/functions/taxi/invocations");
        assert!((1..=100).contains(&invocation.records.len()));
        let of: BTreeSet<&str> = invocation.records.iter().map(|record| record.0.as_str()).collect();
        assert_eq!(of.len(), 1, "records of two shards in one invocation");
        for (shard, sequence, id) in &invocation.records {
            found.insert(*id);
            shards.entry(shard.clone()).or_default().push(*sequence);
        }
    }
    assert_eq!(found.len(), 1_000);
    assert_eq!(shards.len(), 2);
    // An error, an error in the function and a partial failure: something came again.
    assert!(seen.iter().map(|invocation| invocation.records.len()).sum::<usize>() > 1_000);
    assert!(count["retried"].as_u64().unwrap() > 0);
    for sequences in shards.values() {
        let once: BTreeSet<u64> = sequences.iter().copied().collect();
        assert!((300..700).contains(&once.len()), "{}", once.len());
    }
}

#[test]
fn a_function_that_is_not_there_is_told_with_what_to_do() {
    let desk = Desk::new();
    let input = desk.write("in.json", events(0..10));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let said = desk.refusal(&["--input", &input, "--function", &url, "--give-up-after", "0"]);
    assert!(said.contains("does not answer") && said.contains("cargo lambda watch"), "{said}");
    let said = desk.refusal(&["--input", &input, "--function", "127.0.0.1:9001"]);
    assert!(said.contains("http://"), "{said}");
}

#[test]
fn the_manual_names_every_option_and_no_other() {
    let help = Desk::new().output(&["--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    // An option's line begins with it; its aliases stand in brackets.
    let options: BTreeSet<String> = help
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with("--") || line.starts_with("-h, --") || line.starts_with("[alias"))
        .flat_map(names)
        .filter(|name| name != "--help")
        .collect();
    assert!(options.len() > 30);
    let manual = fs::read_to_string(repository().join("docs/replay.md")).unwrap();
    let told: BTreeSet<String> = manual
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(names)
        .collect();
    assert_eq!(told, options);
}

fn names(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'))
        .filter(|word| word.len() > 2 && word.starts_with("--"))
        .map(str::to_owned)
        .collect()
}
