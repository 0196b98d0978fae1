//! `tripline backfill` as a process: what it leaves is what the stream would have left, whatever befalls it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Desk, repository};
use tripline_test_support::{Postgres, S3Server, or_left_out};

/// A pipeline of small orders, one file a table.
const ORDERS: &str = r#"
id = "orders"
schema_version = 1
default_type = "order"

[events.order]
id = ["order_id"]
event_time = "placed_at"
fields = [
  { name = "order_id", type = "int64", required = true },
  { name = "placed_at", type = "timestamp", required = true },
  { name = "amount", type = "float64" },
  { name = "paid", type = "bool" },
  { name = "note", type = "string" },
]
partition = [{ name = "year", time = "year" }]
"#;

/// The taxi pipeline with partitions of months: files of hours would be many.
fn taxi() -> Desk {
    let desk = support::taxi("trips-x");
    let text = fs::read_to_string(desk.path("pipeline/pipeline.toml")).unwrap();
    let is_fine =
        |line: &&str| line.contains("{ name = \"hour\", time") || line.contains("{ name = \"day\", time");
    let coarse: Vec<&str> = text.lines().filter(|line| !is_fine(line)).collect();
    assert_eq!(coarse.len() + 2, text.lines().count());
    desk.write("pipeline/pipeline.toml", &coarse.join("\n"));
    desk
}

fn orders() -> Desk {
    Desk::new(ORDERS)
}

fn lines(ids: std::ops::Range<u64>) -> String {
    let minute = |id: u64| id % 60;
    ids.map(|id| {
        format!(
            "{{\"order_id\":{id},\"placed_at\":\"2026-01-01T00:{:02}:00Z\",\"amount\":1.5}}\n",
            minute(id)
        )
    })
    .collect()
}

/// All rows of a table, sorted, by what the lake's files hold: JSON lines.
fn rows(desk: &Desk, lake: &str, table: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![desk.path(lake).join(table)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // Of hours that are complete: a back-fill completes none.
            if path.ends_with("_SUCCESS") {
                continue;
            }
            let partition = folder.strip_prefix(desk.path(lake)).unwrap().display().to_string();
            let mut text = String::new();
            std::io::Read::read_to_string(
                &mut flate2::read::MultiGzDecoder::new(fs::File::open(path).unwrap()),
                &mut text,
            )
            .unwrap();
            found.extend(text.lines().map(|line| {
                let mut row: Value = serde_json::from_str(line).unwrap();
                if table == "dead_letter" {
                    // Where and when it came from, which differs between a stream and a file.
                    for place in [
                        "source",
                        "epoch",
                        "partition",
                        "position",
                        "partition_key",
                        "failed_at",
                        "arrival_time",
                    ] {
                        row.as_object_mut().unwrap().remove(place);
                    }
                    return row.to_string();
                }
                format!("{partition} {row}")
            }));
        }
    }
    found.sort();
    found
}

fn into(desk: &Desk, command: &str, lake: &str, more: &[&str], code: i32) -> String {
    let mut process = desk.command(command);
    process.arg("--lake").arg(desk.path(lake)).args(more);
    let output = process.output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// The number in a line of the summary.
fn told(said: &str, label: &str) -> u64 {
    let line = said
        .lines()
        .find(|line| line.trim_start().starts_with(label))
        .unwrap_or_else(|| panic!("{label}: {said}"));
    let number = line.trim_start()[label.len()..].split_whitespace().next().unwrap_or_default();
    number.replace(',', "").parse().unwrap()
}

#[test]
fn the_result_of_a_back_fill_equals_that_of_the_stream() {
    let desk = taxi();
    // A stream's events, as Lambda's mapping sends them, of the same trips.
    let sample = repository().join("pipelines/taxi/sample");
    let events = desk.path("events");
    let bad = "no json\n{\"type\":\"what\"}\n";
    desk.write("files/bad.jsonl", bad);
    for name in ["green_tripdata_2019-03_sample.csv", "yellow_tripdata_2019-03_sample.csv"] {
        fs::copy(sample.join(name), desk.path(&format!("files/{name}"))).unwrap();
    }
    stream(&events, &desk);
    into(&desk, "run", "of-stream", &["--format", "json", "--input", events.to_str().unwrap()], 0);
    let files = desk.path("files");
    let asked = [
        "--format",
        "json",
        "--parallel",
        "3",
        "--rows-per-range",
        "700",
        "--input",
        files.to_str().unwrap(),
    ];
    let said = into(&desk, "backfill", "of-files", &asked, 0);
    assert_eq!(
        (told(&said, "records read"), told(&said, "new rows"), told(&said, "new dead letters")),
        (6_502, 6_500, 2)
    );
    for (table, count) in [("trip", 6_500), ("dead_letter", 2)] {
        let expected = rows(&desk, "of-stream", table);
        assert_eq!(expected.len(), count, "{table}");
        assert!(rows(&desk, "of-files", table) == expected, "{table} differs");
    }
    into(&desk, "audit", "of-files", &[], 0);
}

/// Saved events of a Kinesis mapping with the records of the desk's files, over two shards.
fn stream(events: &std::path::Path, desk: &Desk) {
    fs::create_dir_all(events).unwrap();
    let output = desk.path("all.jsonl");
    let status = Command::new(env!("CARGO_BIN_EXE_tripline"))
        .args(["replay", "--speedup", "0", "--order", "none", "--output"])
        .arg(&output)
        .arg("--input")
        .arg(desk.path("files"))
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let text = fs::read(&output).unwrap();
    let records: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(records.len(), 6_502);
    for (number, batch) in records.chunks(1_000).enumerate() {
        let record = |(index, data): (usize, &&[u8])| {
            let (shard, sequence) = (number % 2, number * 1_000 + index + 1);
            serde_json::json!({
                "eventSource": "aws:kinesis",
                "eventID": format!("shardId-{shard:012}:{sequence}"),
                "eventSourceARN": "arn:aws:kinesis:us-east-1:111122223333:stream/trips",
                "kinesis": {"sequenceNumber": sequence.to_string(), "partitionKey": "k",
                    "approximateArrivalTimestamp": 1_700_000_000.0 + sequence as f64,
                    "data": base64_simd::STANDARD.encode_to_string(data)},
            })
        };
        let records: Vec<Value> = batch.iter().enumerate().map(record).collect();
        let event = serde_json::json!({ "Records": records });
        fs::write(events.join(format!("{number:03}.json")), event.to_string()).unwrap();
    }
}

#[test]
fn a_file_that_a_run_has_taken_adds_nothing_and_one_that_changed_is_another() {
    let desk = orders();
    desk.write("in/1.jsonl", &lines(0..500));
    desk.write("in/2.jsonl", &lines(500..900));
    desk.run("in/1.jsonl");
    let folder = desk.path("in");
    let asked = ["--input", folder.to_str().unwrap()];
    let said = desk.tripline("backfill", &asked, 0);
    assert_eq!(
        (told(&said, "records read"), told(&said, "new rows"), told(&said, "duplicates dropped")),
        (900, 400, 500)
    );
    // It has grown: what is new comes in. Another file under the old name: all of it does.
    desk.write("in/1.jsonl", &lines(0..600));
    desk.write("in/2.jsonl", &lines(2_000..2_010));
    let said = desk.tripline("backfill", &asked, 0);
    assert_eq!((told(&said, "new rows"), told(&said, "duplicates dropped")), (110, 500));
    let said = desk.tripline("backfill", &asked, 0);
    assert!(said.contains("nothing new"), "{said}");
    assert_eq!(desk.rows(["order"]), [1_010]);
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_the_others_are_in() {
    let desk = orders();
    desk.write("in/1.jsonl", &lines(0..10));
    desk.write("in/2.jsonl", "{\"order_id\":1,\"placed_at\":\"2026-01-01T00:00:00Z\"}\n{\"order_id\":2");
    desk.write("in/3.csv", "a,b\n1,2\n");
    let folder = desk.path("in");
    let asked = ["--input", folder.to_str().unwrap()];
    let said = desk.tripline("backfill", &[&asked[..], &["--dry-run"]].concat(), 0);
    assert!(said.contains("3 files would be read") && !desk.path("lake").exists(), "{said}");
    let said = desk.tripline("backfill", &asked, 1);
    assert!(said.contains("3.csv: ") && said.contains("2.jsonl:2: left for the next back-fill"), "{said}");
    assert_eq!((told(&said, "files done"), told(&said, "new rows")), (2, 11));
    assert_eq!(desk.rows(["order"]), [11]);
}

#[test]
fn the_rows_before_a_fault_are_in_however_few_they_are() {
    let desk = orders();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines(0..2_000).as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    let cut = &whole[..whole.len() / 2];
    let mut readable = Vec::new();
    flate2::read::GzDecoder::new(cut).read_to_end(&mut readable).unwrap_err();
    let readable = readable.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert!(readable > 100, "{readable}");
    fs::create_dir(desk.path("in")).unwrap();
    fs::write(desk.path("in/cut.jsonl.gz"), cut).unwrap();
    let said = desk.tripline("backfill", &["--input", desk.path("in").to_str().unwrap()], 1);
    assert!(said.contains("what lies before it is in") && said.contains("cut.jsonl.gz"), "{said}");
    assert_eq!(told(&said, "new rows"), readable);
    assert_eq!(desk.rows(["order"]), [readable]);
}

#[test]
fn what_was_in_before_a_sink_failed_is_published_and_summed_up_and_no_other_file_is_begun() {
    let desk = Desk::new(&ORDERS.replace("default_type", "on_malformed = \"fail\"\ndefault_type"));
    desk.write("in/1.jsonl", &lines(0..10));
    desk.write("in/2.jsonl", &(lines(10..15) + "no json\n"));
    desk.write("in/3.jsonl", &lines(20..30));
    let folder = desk.path("in");
    let asked = ["--parallel", "1", "--input", folder.to_str().unwrap()];
    let said = desk.tripline("backfill", &asked, 2);
    assert!(said.contains("2.jsonl") && said.contains("is refused"), "{said}");
    assert_eq!((told(&said, "files done"), told(&said, "new rows")), (1, 15), "{said}");
    assert_eq!(desk.rows(["order"]), [15]);
}

#[test]
fn a_back_fill_that_is_killed_again_and_again_ends_with_each_row_once() {
    let desk = orders();
    for file in 0..6_u64 {
        desk.write(&format!("in/{file}.jsonl"), &lines(file * 20_000..(file + 1) * 20_000));
    }
    let folder = desk.path("in");
    let mut killed = 0;
    for wait in [150, 300, 500, 700, 900, 1_200] {
        let mut process = desk.command("backfill");
        process.arg("--lake").arg(desk.path("lake")).arg("--input").arg(&folder);
        process.args(["--parallel", "3", "--rows-per-range", "500", "--publish-every", "20"]);
        let mut child = process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        if child.try_wait().unwrap().is_none() {
            killed += 1;
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(killed > 0, "none was killed while it worked");
    let said =
        desk.tripline("backfill", &["--rows-per-range", "500", "--input", folder.to_str().unwrap()], 0);
    assert_eq!(told(&said, "records read"), 120_000);
    assert_eq!(told(&said, "new rows") + told(&said, "duplicates dropped"), 120_000);
    assert_eq!(desk.rows(["order"]), [120_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_in_once_whether_the_command_or_the_function_takes_it() {
    let test = "an_object_is_in_once_whether_the_command_or_the_function_takes_it";
    let Some(server) = S3Server::shared_for(test) else { return };
    let mut desk = orders();
    desk.variables = server.environment();
    let store = server.store("").await.unwrap();
    use tripline_lake::store::{Condition, ObjectStore as _};
    for (key, ids) in [("fill/a b.jsonl", 0..400), ("fill/c.jsonl", 400..1_000)] {
        let _ = store.put(key, lines(ids).into(), Condition::Absent).await.unwrap();
    }
    function(&desk, server, &["fill/a b.jsonl"], 400).await;
    let prefix = format!("s3://{}/fill/", server.bucket());
    let said = desk.tripline("backfill", &["--input", &prefix], 0);
    assert_eq!((told(&said, "new rows"), told(&said, "duplicates dropped")), (600, 400));
    function(&desk, server, &["fill/a b.jsonl", "fill/c.jsonl"], 0).await;
    assert_eq!(desk.rows(["order"]), [1_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_the_lake_is_refused() {
    let desk = orders();
    desk.write("all/in/1.jsonl", &lines(0..10));
    let all = desk.path("all");
    let mut asked = ["--lake", "", "--input", all.to_str().unwrap()];
    let lake = desk.path("all/lake").display().to_string();
    asked[1] = &lake;
    let backfill = |asked: &[&str], code| support::said(desk.command("backfill").args(asked), code);
    let said = backfill(&asked, 0);
    assert_eq!(told(&said, "new rows"), 10, "{said}");
    let said = backfill(&asked, 2);
    assert!(said.contains("lies in the lake"), "{said}");

    let Some(server) = S3Server::shared_for("what_lies_in_the_lake_is_refused") else { return };
    let mut desk = orders();
    desk.variables = server.environment();
    let store = server.store("").await.unwrap();
    use tripline_lake::store::{Condition, ObjectStore as _};
    let _ = store.put("shared/in/1.jsonl", lines(0..10).into(), Condition::Absent).await.unwrap();
    let (lake, input) =
        (format!("s3://{}/shared/lake", server.bucket()), format!("s3://{}/shared/", server.bucket()));
    let backfill =
        |code| support::said(desk.command("backfill").args(["--lake", &lake, "--input", &input]), code);
    assert_eq!(told(&backfill(0), "new rows"), 10);
    let said = backfill(2);
    assert!(said.contains("lies in the lake, s3://"), "{said}");
}

/// Invokes the function with objects; so many rows must be new.
async fn function(desk: &Desk, server: &S3Server, keys: &[&str], new: u64) {
    use std::sync::Arc;
    use tripline_ingest::{Ingest, IngestOptions, Objects, Response};
    use tripline_lake::store::FolderStore;
    let pipeline = Arc::new(tripline_model::pipeline::Pipeline::load(&desk.path("pipeline")).unwrap());
    let store = Arc::new(FolderStore::new(desk.path("lake")).unwrap());
    let lake =
        tripline_lake::Lake::open(store, tripline_lake::Environment::default(), &pipeline).await.unwrap();
    let objects = Some(Arc::new(Objects::new(server.options(), lake.store().location())));
    let ingest = Ingest::new(pipeline, &lake, IngestOptions { objects, ..IngestOptions::default() });
    let urls: Vec<String> = keys.iter().map(|key| format!("s3://{}/{key}", server.bucket())).collect();
    let body = serde_json::json!({"backfill": {"objects": urls}}).to_string();
    let Response::Objects(done) = ingest.invoke(body.as_bytes(), i64::MAX).await.unwrap() else {
        panic!("{body}")
    };
    assert_eq!((done.records - done.duplicates, done.left.len()), (new, 0), "{done:?}");
}

fn psql(url: &str, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
    });
}

#[test]
fn the_rows_of_a_query_are_events_each_once_with_every_type_as_it_should_be() {
    let test = "the_rows_of_a_query_are_events_each_once_with_every_type_as_it_should_be";
    let Some(server) = Postgres::shared_for(test) else { return };
    let desk = orders();
    psql(
        &server.url(),
        "CREATE TABLE typed (order_id bigint PRIMARY KEY, placed_at timestamptz, amount numeric, paid bool, note text);
         INSERT INTO typed VALUES (9007199254740993, '2026-01-01 02:00:00.25+02', 12.50, true, E'a \"b\"\\n'),
           (2, '2026-01-02', NULL, NULL, NULL), (3, NULL, 1, false, 'no time')",
    );
    let url = server.url();
    let asked =
        ["--format", "json", "--postgres", &url, "--query", "SELECT * FROM typed ORDER BY order_id DESC;"];
    let said = desk.tripline("backfill", &asked, 0);
    assert_eq!((told(&said, "new rows"), told(&said, "new dead letters")), (2, 1));
    let found: Vec<Value> = rows(&desk, "lake", "order")
        .iter()
        .map(|row| serde_json::from_str(row.split_once(' ').unwrap().1).unwrap())
        .collect();
    let expected = |id: u64| found.iter().find(|row| row["order_id"] == id).unwrap();
    let first = expected(9_007_199_254_740_993);
    assert_eq!(
        (first["amount"].as_f64(), &first["paid"], &first["note"]),
        (Some(12.5), &Value::Bool(true), &"a \"b\"\n".into())
    );
    assert!(first["placed_at"].as_str().unwrap().starts_with("2026-01-01T00:00:00.25"), "{first}");
    assert!(expected(2).get("amount").is_none_or(Value::is_null));
    let said = desk.tripline("backfill", &asked, 0);
    assert!(said.contains("nothing new") && !said.contains("test-secret"), "{said}");
    let said = desk.tripline("backfill", &["--postgres", &url, "--query", "SELECT nothing FROM nowhere"], 2);
    assert!(said.contains("nowhere") && !said.contains("test-secret"), "{said}");
}

#[test]
fn a_query_s_rows_are_in_once_after_kills_and_new_rows_are_added() {
    let test = "a_query_s_rows_are_in_once_after_kills_and_new_rows_are_added";
    let Some(server) = Postgres::shared_for(test) else { return };
    let desk = orders();
    let insert = |from: u64, to: u64| {
        format!(
            "INSERT INTO many SELECT id, timestamptz '2026-01-01' + id * interval '1 second', id / 2.0 \
             FROM generate_series({from}, {to}) AS id;"
        )
    };
    psql(
        &server.url(),
        &("CREATE TABLE many (order_id bigint PRIMARY KEY, placed_at timestamptz, amount numeric);"
            .to_owned()
            + &insert(1, 100_000)),
    );
    let url = server.url();
    let asked =
        ["--rows-per-range", "500", "--postgres", &url, "--query", "SELECT * FROM many ORDER BY order_id"];
    let mut killed = 0;
    for wait in [150, 300, 500, 800] {
        let mut process = desk.command("backfill");
        process.arg("--lake").arg(desk.path("lake")).args(asked);
        let mut child = process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        killed += u32::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(killed > 0, "none was killed while it worked");
    let said = desk.tripline("backfill", &asked, 0);
    assert_eq!(told(&said, "new rows") + told(&said, "duplicates dropped"), 100_000);
    assert_eq!(desk.rows(["order"]), [100_000]);
    psql(&server.url(), &insert(100_001, 100_700));
    let said = desk.tripline("backfill", &asked, 0);
    assert_eq!((told(&said, "new rows"), told(&said, "duplicates dropped")), (700, 100_000));
    assert_eq!(desk.rows(["order"]), [100_700]);
}

#[test]
fn the_rows_before_one_that_the_database_fails_at_are_in() {
    let test = "the_rows_before_one_that_the_database_fails_at_are_in";
    let Some(server) = Postgres::shared_for(test) else { return };
    let desk = orders();
    let query = "SELECT id AS order_id, timestamp '2026-01-01' AS placed_at, 1 / (4000 - id) AS amount \
                 FROM generate_series(1, 5000) AS id";
    let said = desk.tripline("backfill", &["--postgres", &server.url(), "--query", query], 2);
    assert!(said.contains("division by zero") && said.contains("what came before is in"), "{said}");
    assert_eq!((told(&said, "new rows"), desk.rows(["order"])), (3_999, [3_999]));
}

#[test]
fn a_database_can_be_asked_by_its_socket() {
    let test = "a_database_can_be_asked_by_its_socket";
    let Some(server) = Postgres::shared_for(test) else { return };
    let desk = orders();
    let query = "SELECT 1 AS order_id, timestamp '2026-01-01' AS placed_at";
    let said = desk.tripline("backfill", &["--postgres", &server.socket_url(), "--query", query], 0);
    assert_eq!(told(&said, "new rows"), 1, "{said}");
    assert_eq!(desk.rows(["order"]), [1]);
}

#[test]
fn a_database_is_asked_over_tls_only_if_its_certificate_is_trusted() {
    let test = "a_database_is_asked_over_tls_only_if_its_certificate_is_trusted";
    let Some(server) = or_left_out(test, Postgres::start_with_tls()) else { return };
    let mut desk = orders();
    let url = server.url() + "?sslmode=require";
    let query = "SELECT 1 AS order_id, timestamp '2026-01-01' AS placed_at";
    let asked = ["--postgres", &url, "--query", query];
    let said = desk.tripline("backfill", &asked, 2);
    assert!(said.contains("SSL_CERT_FILE"), "{said}");
    desk.variables = vec![("SSL_CERT_FILE", server.ca().display().to_string())];
    let said = desk.tripline("backfill", &asked, 0);
    assert_eq!(told(&said, "new rows"), 1, "{said}");
    assert_eq!(desk.rows(["order"]), [1]);
}
