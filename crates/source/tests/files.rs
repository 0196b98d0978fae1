//! Files as sources: the shipped trips, and files of all sorts in a folder of their own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;
use tripline_source::{
    Entry, HeaderError, NumberedRecord, ObjectId, RecordSource, SHARD, Source, SourceError, files, open,
    open_fetched, open_whole,
};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/taxi/sample").join(name)
}

fn records_of(source: Source) -> RecordSource {
    match source {
        Source::Records(records) => records,
        Source::SavedEvent(event) => panic!("an event: {}", event.url),
    }
}

fn read(source: &mut RecordSource) -> Vec<NumberedRecord> {
    source
        .map(|entry| match entry.unwrap() {
            Entry::Record(record) => record,
            Entry::Oversize { position, bytes } => panic!("{position} of {bytes} bytes"),
        })
        .collect()
}

fn read_file(path: &Path) -> Vec<NumberedRecord> {
    read(&mut records_of(open(path).unwrap()))
}

fn texts(records: &[NumberedRecord]) -> Vec<(u64, String)> {
    records.iter().map(|record| (record.position, String::from_utf8(record.data.clone()).unwrap())).collect()
}

fn epoch(path: &Path) -> String {
    records_of(open(path).unwrap()).source_partition().epoch.clone()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

fn gzip(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_ref()).unwrap();
    encoder.finish().unwrap()
}

const YELLOW: &str = "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,RatecodeID,\
    store_and_fwd_flag,PULocationID,DOLocationID,payment_type,fare_amount,extra,mta_tax,tip_amount,tolls_amount,\
    improvement_surcharge,total_amount,congestion_surcharge";
const ROW: &str =
    "1,2019-03-23 20:21:09,2019-03-23 20:27:24,1,1.6,1,N,141,233,1,7.0,3.0,0.5,2.15,0.0,0.3,12.95,2.5";

#[test]
fn the_shipped_trips_all_become_events_with_ids_of_their_own() {
    let mut ids = HashSet::new();
    for (name, cab, trips) in [
        ("yellow_tripdata_2019-03_sample.csv", "yellow", 5_500),
        ("green_tripdata_2019-03_sample.csv", "green", 1_000),
    ] {
        let mut source = records_of(open(&sample(name)).unwrap());
        let records = read(&mut source);
        assert_eq!(records.len(), trips);
        assert_eq!(source.progress().bytes_read(), source.progress().bytes_total());
        assert_eq!(source.progress().bytes_total(), fs::metadata(sample(name)).unwrap().len());
        assert_eq!(source.unfinished(), None);
        assert_eq!(source.source_partition().partition, SHARD);
        assert!(source.source_partition().source.starts_with("file:///"));
        for (index, record) in records.iter().enumerate() {
            assert_eq!(record.position, index as u64 + 1);
            let event: Value = serde_json::from_slice(&record.data).unwrap();
            assert_eq!((&event["type"], &event["cab_type"]), (&"trip".into(), &cab.into()));
            let id = event["trip_id"].as_i64().unwrap();
            assert!(id > 0);
            assert_eq!(record.partition_key, id.to_string());
            assert!(ids.insert(id), "{id} stands there twice");
        }
    }
}

#[test]
fn every_value_of_the_shipped_trips_survives_as_it_is_spelled() {
    for (name, initial) in
        [("yellow_tripdata_2019-03_sample.csv", 't'), ("green_tripdata_2019-03_sample.csv", 'l')]
    {
        let text = fs::read_to_string(sample(name)).unwrap();
        let mut lines = text.lines();
        let member = |column: &str| match column {
            "VendorID" => "vendor_id".to_owned(),
            "RatecodeID" => "ratecode_id".to_owned(),
            "PULocationID" => "pickup_location_id".to_owned(),
            "DOLocationID" => "dropoff_location_id".to_owned(),
            other => other.strip_prefix(&format!("{initial}pep_")).unwrap_or(other).to_owned(),
        };
        let members: Vec<String> = lines.next().unwrap().split(',').map(member).collect();
        for (line, record) in lines.zip(read_file(&sample(name))) {
            let event = String::from_utf8(record.data).unwrap();
            let mut count = 0;
            for (member, field) in members.iter().zip(line.split(',')).filter(|(_, field)| !field.is_empty())
            {
                let value = match member.as_str() {
                    "pickup_datetime" | "dropoff_datetime" => format!("\"{}.000Z\"", field.replace(' ', "T")),
                    "store_and_fwd_flag" => format!("\"{field}\""),
                    "trip_type" => field.trim_end_matches(".0").to_owned(),
                    _ => field.to_owned(),
                };
                let found =
                    [",", "}"].iter().any(|end| event.contains(&format!("\"{member}\":{value}{end}")));
                assert!(found, "{member}: {field} is not in {event}");
                count += 1;
            }
            // Besides the columns: trip_id, type, cab_type.
            assert_eq!(serde_json::from_str::<Value>(&event).unwrap().as_object().unwrap().len(), count + 3);
        }
    }
}

#[test]
fn an_event_has_the_data_sets_members_in_its_order() {
    let records = read_file(&sample("yellow_tripdata_2019-03_sample.csv"));
    let expected = concat!(
        r#"{"vendor_id":1,"pickup_datetime":"2019-03-23T20:21:09.000Z","dropoff_datetime":"2019-03-23T20:27:24.000Z","#,
        r#""passenger_count":1,"trip_distance":1.6,"ratecode_id":1,"store_and_fwd_flag":"N","pickup_location_id":141,"#,
        r#""dropoff_location_id":233,"payment_type":1,"fare_amount":7.0,"extra":3.0,"mta_tax":0.5,"tip_amount":2.15,"#,
        r#""tolls_amount":0.0,"improvement_surcharge":0.3,"total_amount":12.95,"trip_id":TRIP_ID,"type":"trip","#,
        r#""congestion_surcharge":2.5,"cab_type":"yellow"}"#,
    );
    assert_eq!(texts(&records)[0].1, expected.replace("TRIP_ID", &records[0].partition_key));
}

#[test]
fn trip_ids_are_the_same_everywhere_and_depend_on_cab_row_number_and_row() {
    let folder = Folder::new();
    let ids = |content: String| -> Vec<String> {
        read_file(&folder.write("ids.csv", content)).into_iter().map(|record| record.partition_key).collect()
    };
    let twice = ids(format!("{YELLOW}\n{ROW}\n{ROW}\n"));
    // Spelled out: a changed hash would give every trip of every lake another id.
    assert_eq!(twice, ["4588721201163071352", "3961552764465371906"]);
    assert_eq!(ids(format!("{YELLOW}\r\n{ROW}\r\n{ROW}\r\n")), twice);
    let green = ids(format!("{}\n{ROW}\n", YELLOW.replace("tpep", "lpep")));
    assert_ne!(green[0], twice[0]);
}

#[test]
fn headers_are_told_in_any_case_and_order_and_new_columns_are_taken() {
    let folder = Folder::new();
    let header = ",PULOCATIONID, Lpep_dropoff_datetime ,lpep_pickup_datetime,Trip_type ,Ehail_fee,cbd_congestion_fee,\
        Airport_fee,request_source,DOLocationID";
    let row = "0,\"7\",2025-03-01T10:00:00.1239,2025-03-01 09:59:59,1.0,,0.75,1.75,\"a,b\",8.00";
    let records = read_file(&folder.write("trips", format!("\u{feff}{header}\n{row}\n")));
    let expected = format!(
        concat!(
            r#"{{"pickup_datetime":"2025-03-01T09:59:59.000Z","dropoff_datetime":"2025-03-01T10:00:00.123Z","#,
            r#""pickup_location_id":7,"dropoff_location_id":8,"trip_id":{},"type":"trip","airport_fee":1.75,"#,
            r#""cbd_congestion_fee":0.75,"trip_type":1,"cab_type":"green"}}"#
        ),
        records[0].partition_key
    );
    assert_eq!(texts(&records), [(1, expected)]);
}

#[test]
fn a_row_that_makes_no_event_is_passed_on_as_it_stands_and_the_file_goes_on() {
    let folder = Folder::new();
    let bad = [
        ROW.replace(",141,", ",141.5,"),
        ROW.replace(",141,", ",abc,"),
        ROW.replace("7.0,", "seven,"),
        ROW.replace("7.0,", "NaN,"),
        ROW.replace("7.0,", "1e400x,"),
        ROW.replace("2019-03-23 20:21:09", "2019-02-29 20:21:09"),
        ROW.replace("2019-03-23 20:21:09", "23.03.2019 20:21:09"),
        ROW.replace("2019-03-23 20:21:09", "2019-03-23 24:00:00"),
        ROW.replace(",2.5", ""),
        format!("{ROW},1"),
        "{\"not\":\"csv\"}".to_owned(),
        "\"unbalanced".to_owned(),
    ];
    for (index, bad) in bad.iter().enumerate() {
        let path = folder.write("bad.csv", format!("{YELLOW}\n\n{ROW}\n{bad}\n{ROW}\n"));
        let records = read_file(&path);
        assert_eq!(records.len(), 3, "{bad}");
        assert_eq!(texts(&records)[1], (3, bad.clone()), "case {index}");
        assert_eq!(records[1].partition_key, "3");
        assert_eq!(records[2].position, 4);
    }
    // Late-2016 files end their rows in two empty fields that the header does not name.
    let records = read_file(&folder.write("2016.csv", format!("{YELLOW}\n{ROW},,\n")));
    assert!(texts(&records)[0].1.starts_with("{\"vendor_id\":1,"));
}

#[test]
fn numbers_that_json_cannot_spell_are_respelled() {
    let folder = Folder::new();
    for (field, value) in
        [("-.5", "-0.5"), (".25", "0.25"), ("7.", "7.0"), ("007.5", "7.5"), ("-0.00", "-0.00")]
    {
        let records = read_file(
            &folder.write("n.csv", format!("{YELLOW}\n{}\n", ROW.replace(",7.0,", &format!(",{field},")))),
        );
        assert!(texts(&records)[0].1.contains(&format!("\"fare_amount\":{value},")), "{field}");
    }
}

#[test]
fn csv_files_of_another_kind_are_refused_with_the_reason() {
    let folder = Folder::new();
    let cases = [
        ("LocationID,Borough,Zone", HeaderError::NotTrips),
        (
            "vendor_id,pickup_datetime,dropoff_datetime,pickup_longitude,pickup_latitude",
            HeaderError::Coordinates,
        ),
        ("VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,pickup_longitude", HeaderError::Coordinates),
        ("dispatching_base_num,pickup_datetime,dropOff_datetime,PUlocationID", HeaderError::ForHire),
        (
            "VendorID,tpep_pickup_datetime,PULocationID",
            HeaderError::Missing("tpep_dropoff_datetime".to_owned()),
        ),
        (
            "tpep_pickup_datetime,tpep_dropoff_datetime,PULocationID,Extra,extra",
            HeaderError::Twice("extra".to_owned()),
        ),
    ];
    for (header, expected) in cases {
        match open(&folder.write("other.csv", format!("{header}\n1,2\n"))).unwrap_err() {
            SourceError::Header { error, .. } => assert_eq!(error, expected, "{header}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn json_lines_are_records_at_their_line_numbers_plain_or_gzipped() {
    let folder = Folder::new();
    let text = "{\"a\":1}\r\n\nnot json\n{\"a\":2}";
    let expected =
        [(1, "{\"a\":1}"), (3, "not json"), (4, "{\"a\":2}")].map(|(number, text)| (number, text.to_owned()));
    for name in ["a.jsonl", "a.ndjson", "a.json", "a.log"] {
        assert_eq!(texts(&read_file(&folder.write(name, text))), expected, "{name}");
    }
    let two_members = [gzip(&text[..12]), gzip(&text[12..])].concat();
    let path = folder.write("a.jsonl.gz", &two_members);
    let mut source = records_of(open(&path).unwrap());
    assert_eq!(texts(&read(&mut source)), expected);
    assert_eq!(source.progress().bytes_total(), two_members.len() as u64);
    assert_eq!(source.progress().bytes_read(), two_members.len() as u64);
}

#[test]
fn a_growing_file_is_the_same_source_and_goes_on_where_it_ended() {
    let folder = Folder::new();
    let (whole, half) = (format!("{YELLOW}\n{ROW}\n"), format!("{YELLOW}\n{ROW}\n{}", &ROW[..ROW.len() - 1]));
    let path = folder.write("grow.csv", &whole);
    let (first, records) = (epoch(&path), read_file(&path));
    folder.write("grow.csv", &half);
    let mut source = records_of(open(&path).unwrap());
    assert_eq!((read(&mut source), source.unfinished()), (records.clone(), Some(2)));
    assert_eq!(read(&mut records_of(open_whole(&path).unwrap())).len(), 2);
    folder.write("grow.csv", format!("{whole}{ROW}\n"));
    assert_eq!(epoch(&path), first);
    assert_eq!(read_file(&path)[..1], records);
    assert_eq!(read_file(&path).len(), 2);
    folder.write("grow.csv", format!("{YELLOW}\n{}\n", ROW.replace("12.95", "12.96")));
    assert_ne!(epoch(&path), first);

    let lines = folder.write("grow.jsonl", "{\"a\":1}");
    let first = epoch(&lines);
    assert!(!first.is_empty());
    folder.write("grow.jsonl", "{\"a\":1}\n{\"a\":");
    assert_eq!(epoch(&lines), first);
    assert_eq!(read_file(&lines).len(), 1);
}

#[test]
fn a_file_without_a_whole_record_has_none_yet() {
    let folder = Folder::new();
    for (name, text) in [
        ("e.csv", ""),
        ("e.jsonl", "\n\n"),
        ("h.csv", YELLOW),
        ("h2.csv", &format!("{YELLOW}\n")),
        ("half.json", "{\"a\""),
    ] {
        let mut source = records_of(open(&folder.write(name, text)).unwrap());
        assert_eq!(source.source_partition().epoch, "", "{name}");
        assert_eq!(read(&mut source), vec![], "{name}");
    }
}

#[test]
fn a_saved_event_is_handed_over_as_it_stands() {
    let folder = Folder::new();
    let events = [
        "{\"Records\":[]}",
        "{\n  \"Records\": [\n    {\"kinesis\": {}}\n  ]\n}\n",
        r#"{"eventSource":"aws:kafka","records":{}}"#,
    ];
    for event in events {
        for path in [folder.write("event.json", event), folder.write("event.json.gz", gzip(event))] {
            match open(&path).unwrap() {
                Source::SavedEvent(saved) => assert_eq!(saved.body, event.as_bytes()),
                Source::Records(_) => panic!("{event}"),
            }
        }
    }
    // More than one object is lines, and so is what says so by its name.
    assert_eq!(read_file(&folder.write("two.json", "{\"Records\":[]}\n{\"Records\":[]}\n")).len(), 2);
    assert_eq!(read_file(&folder.write("one.jsonl", "{\"Records\":[]}\n")).len(), 1);
    for other in ["{\n\"type\":\"trip\"\n}\n", "[\n{}\n]\n"] {
        let error = open(&folder.write("other.json", other)).unwrap_err();
        assert!(matches!(error, SourceError::NotRecords { .. }), "{error}");
    }
    // A bad first line does not hide the good ones.
    assert_eq!(read_file(&folder.write("bad.json", "{\"a\":\n{\"a\":1}\n")).len(), 2);
}

#[test]
fn a_folder_is_walked_in_sorted_order() {
    let folder = Folder::new();
    for name in [
        "b/2.jsonl",
        "b/1.CSV.GZ",
        "a.ndjson",
        "c.json",
        "README.md",
        ".hidden.json",
        ".git/x.json",
        "b/x.gz",
    ] {
        folder.write(name, "");
    }
    let found = files(folder.0.path()).unwrap();
    let names: Vec<_> =
        found.iter().map(|path| path.strip_prefix(folder.0.path()).unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.ndjson", "b/1.CSV.GZ", "b/2.jsonl", "c.json"]);
    assert_eq!(files(&found[0]).unwrap(), found[..1]);
    let empty = Folder::new();
    assert!(matches!(files(empty.0.path()), Err(SourceError::Empty { .. })));
    assert!(matches!(files(&empty.0.path().join("none")), Err(SourceError::Unreadable { .. })));
}

#[test]
fn a_file_is_named_by_its_absolute_path() {
    let folder = Folder::new();
    let path = folder.write("a b%é.jsonl", "{}\n");
    let around = folder.0.path().join(".").join("a b%é.jsonl");
    let url = records_of(open(&path).unwrap()).source_partition().source.clone();
    assert!(url.ends_with("/a%20b%25%C3%A9.jsonl"), "{url}");
    assert_eq!(records_of(open(&around).unwrap()).source_partition().source, url);
}

#[test]
fn a_gzip_file_that_is_cut_short_gives_its_good_lines_and_then_an_error() {
    let folder = Folder::new();
    let mut seed = 1_u64;
    let lines: String = (0..20_000)
        .map(|number| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{{\"a\":{number},\"b\":{seed}}}\n")
        })
        .collect();
    let mut packed = gzip(&lines);
    packed.truncate(packed.len() / 2);
    let mut source = records_of(open(&folder.write("cut.jsonl.gz", &packed)).unwrap());
    let good = source.by_ref().take_while(Result::is_ok).count();
    assert!(good > 1_000, "{good}");
    let mut again = records_of(open(&folder.write("cut.jsonl.gz", &packed)).unwrap());
    let error = again.find_map(Result::err).unwrap();
    assert!(
        matches!(&error, SourceError::Interrupted { position, .. } if *position == good as u64 + 1),
        "{error}"
    );
}

#[test]
fn an_object_that_was_brought_here_is_told_by_its_own_name() {
    let folder = Folder::new();
    let cut = gzip(vec![b'{'; 100_000]);
    let object = |key| ObjectId::new("trips", key, "0");
    for (key, content) in [
        ("2019/bad.csv", b"a,b\n1,2\n".to_vec()),
        ("2019/bad.parquet", b"PAR1 and no more".to_vec()),
        ("2019/bad.json", b"{\n}\n".to_vec()),
        ("2019/cut.json.gz", cut[..cut.len() / 2].to_vec()),
    ] {
        let path = folder.write("spooled", content);
        let error = match open_fetched(&object(key), &path) {
            Ok(mut records) => records.find_map(Result::err).unwrap(),
            Err(error) => error,
        };
        let told = error.to_string();
        assert!(told.starts_with(&format!("s3://trips/{key}: ")) && !told.contains("spooled"), "{told}");
    }
}
