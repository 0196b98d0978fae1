//! What becomes of given records.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};

use super::*;
use crate::batch::{Counts, DEAD_LETTER_TABLE};
use crate::decode::{Reason, dead_letter_schema, digest};

const TRIP: &str = r#"{"vendor_id": 2, "pickup_datetime": "2018-01-01T00:35:40.000Z",
 "dropoff_datetime": "2018-01-01T00:48:12.000Z", "passenger_count": 1, "trip_distance": 2.7, "ratecode_id": 1,
 "store_and_fwd_flag": "N", "pickup_location_id": 239, "dropoff_location_id": 140, "payment_type": 2,
 "fare_amount": 14.0, "extra": 0.5, "mta_tax": 0.5, "tip_amount": 0.0, "tolls_amount": 0.0,
 "improvement_surcharge": 0.3, "total_amount": 15.3, "trip_id": 1234567, "type": "trip", "padding": "xx"}"#;

fn trip(members: &str) -> String {
    format!(r#"{{"type": "trip", "trip_id": 1, "pickup_datetime": "2018-01-01T00:35:40Z"{members}}}"#)
}

/// Reason, message and type of what must be a dead letter.
fn dead_letter(pipeline: &Pipeline, payload: &[u8]) -> (String, String, Option<String>) {
    let (pushed, batch) = decode(pipeline, &[payload]);
    assert_eq!(
        pushed,
        [Pushed::DeadLetter],
        "{}",
        String::from_utf8_lossy(payload).get(..80).unwrap_or_default()
    );
    let [section] = batch.sections.as_slice() else { panic!("{} sections", batch.sections.len()) };
    assert_eq!(section.rows.column_by_name("payload").unwrap().as_binary::<i32>().value(0), payload);
    let reason = text_of(section, "reason", 0);
    assert_eq!(
        batch.dead_letter_reasons.iter().map(|(code, count)| (*code, *count)).collect::<Vec<_>>(),
        [(reason.as_str(), 1)]
    );
    let known = section.rows.column_by_name("event_type").unwrap().is_valid(0);
    (reason, text_of(section, "error", 0), known.then(|| text_of(section, "event_type", 0)))
}

#[test]
fn a_trip_becomes_a_row_with_its_borough_and_partition() {
    let (pushed, batch) = decode(&TAXI, &[TRIP]);
    assert_eq!(pushed, [Pushed::Stored]);
    assert_eq!(batch.counts, Counts { records: 1, rows: 1, ..Counts::default() });
    assert_eq!(batch.event_time_max_ms, Some(1_514_766_940_000));
    let [section] = batch.sections.as_slice() else { panic!() };
    assert_eq!(&*section.table, "trip");
    let column = |name| section.rows.column_by_name(name).unwrap();
    assert_eq!(column("vendor_id").as_primitive::<Int32Type>().value(0), 2);
    assert_eq!(column("trip_id").as_primitive::<Int64Type>().value(0), 1_234_567);
    assert!((column("total_amount").as_primitive::<Float64Type>().value(0) - 15.3).abs() < f64::EPSILON);
    assert_eq!(
        column("dropoff_datetime").as_primitive::<TimestampMillisecondType>().value(0),
        1_514_767_692_000
    );
    assert!(column("cab_type").is_null(0));
    assert_eq!(
        (text_of(section, "type", 0), text_of(section, "borough", 0)),
        ("trip".into(), "Manhattan".into())
    );
    assert_eq!(section.partitions[0].path, "pickup_borough=manhattan/year=2018/month=01/day=01/hour=00");
    assert_eq!((section.partition_of.as_slice(), section.digest), (&[0][..], digest(&section.rows).unwrap()));
}

#[test]
fn every_pickup_zone_has_a_defined_partition() {
    let zones = [
        ("1", "ewr"),
        ("44", "staten-island"),
        ("264", "unknown"),
        ("265", "outside-nyc"),
        ("266", "unknown"),
    ];
    let others = [
        ("0", "unknown"),
        ("-3", "unknown"),
        ("null", "unknown"),
        ("\"44\"", "staten-island"),
        ("44.0", "staten-island"),
    ];
    for (zone, expected) in zones.into_iter().chain(others) {
        let (_, batch) = decode(&TAXI, &[trip(&format!(", \"pickup_location_id\": {zone}"))]);
        let path = &batch.sections[0].partitions[0].path;
        assert_eq!(path.split('/').next(), Some(format!("pickup_borough={expected}").as_str()), "{zone}");
    }
    let (_, batch) = decode(&TAXI, &[trip("")]);
    assert_eq!(text_of(&batch.sections[0], "borough", 0), "Unknown");
}

#[test]
fn each_partition_is_named_once_and_rows_stay_in_order() {
    let trips: Vec<String> =
        [239, 1, 44, 236, 1].iter().map(|zone| trip(&format!(", \"pickup_location_id\": {zone}"))).collect();
    let (_, batch) = decode(&TAXI, &trips);
    assert_eq!(batch.sections[0].partitions.len(), 3);
    assert_eq!(batch.sections[0].partition_of, [0, 1, 2, 0, 1]);
}

#[test]
fn bad_records_become_dead_letters_with_a_reason() {
    let large = trip(&format!(", \"store_and_fwd_flag\": \"{}\"", "N".repeat(6 << 20)));
    let long = trip(&format!(", \"store_and_fwd_flag\": \"{}\"", "N".repeat(65_537)));
    let deep = trip(&format!(", \"deep\": {}{}", "[".repeat(10_000), "]".repeat(10_000)));
    let garbage = format!("{} x", trip(""));
    let cases: [(&str, &[u8], &str, Option<&str>); 27] = [
        ("too-large", large.as_bytes(), "the record is 6291", None),
        (
            "text-too-long",
            long.as_bytes(),
            "field `store_and_fwd_flag` at byte 96 is 65537 bytes, and 65536 are allowed",
            Some("trip"),
        ),
        ("too-deep", deep.as_bytes(), "nested too deep at byte ", None),
        ("trailing-data", garbage.as_bytes(), "trailing data at byte 74", None),
        ("not-utf8", b"{\"type\": \"\xff\"}", "not UTF-8 at byte 10", None),
        ("null-value", b"", "the record is empty or a null", None),
        ("null-value", b" null\n", "the record is empty or a null", None),
        ("not-json", b"nil", "unexpected byte at byte 1", None),
        ("not-json", b"hello", "unexpected byte at byte 0", None),
        ("not-json", b"{\"type\": \"trip\",", "unexpected end at byte 16", None),
        ("not-json", b"[1", "unexpected end at byte 2", None),
        ("not-an-object", b"[1]", "the record is an array", None),
        ("not-an-object", b"true", "the record is a boolean", None),
        ("missing-type", b"{}", "field `type`, which tells the type, is missing or null", None),
        ("missing-type", b"{\"type\": null}", "field `type`, which tells", None),
        ("wrong-type", b"{\"type\": 7}", "field `type` at byte 9, which tells the type, is a number", None),
        ("unknown-type", b"{\"type\": \"ride\"}", "field `type` at byte 9 tells a type", Some("ride")),
        (
            "missing-field",
            b"{\"type\": \"trip\", \"trip_id\": 1}",
            "required field `pickup_datetime` is missing",
            Some("trip"),
        ),
        (
            "missing-field",
            b"{\"trip_id\": null, \"type\": \"trip\", \"pickup_datetime\": 0}",
            "required field `trip_id` at byte 12 is null",
            Some("trip"),
        ),
        (
            "wrong-type",
            b"{\"type\": \"trip\", \"pickup_datetime\": 0, \"trip_id\": \"x\"}",
            "field `trip_id` at byte 50 must be a 64-bit integer: a string does not fit",
            Some("trip"),
        ),
        (
            "wrong-type",
            b"{\"type\": \"trip\", \"pickup_datetime\": 0, \"trip_id\": 1, \"vendor_id\": 2147483648}",
            "field `vendor_id` at byte 66 must be a 32-bit integer: a number does not fit",
            Some("trip"),
        ),
        (
            "wrong-type",
            b"{\"type\": \"trip\", \"pickup_datetime\": [], \"trip_id\": 1}",
            "field `pickup_datetime` at byte 36 must be a datetime or milliseconds since 1970: an array does not fit",
            Some("trip"),
        ),
        (
            "bad-datetime",
            b"{\"type\": \"trip\", \"pickup_datetime\": \"2018-02-30\", \"trip_id\": 1}",
            "field `pickup_datetime` at byte 36: no such day or time of day",
            Some("trip"),
        ),
        (
            "bad-datetime",
            b"{\"type\": \"trip\", \"pickup_datetime\": 9e15, \"trip_id\": 1}",
            "field `pickup_datetime` at byte 36: outside the years 0001 to 9999",
            Some("trip"),
        ),
        (
            "missing-field",
            b"{\"type\": \"watermark\"}",
            "required field `watermark` is missing",
            Some("watermark"),
        ),
        (
            "bad-datetime",
            b"{\"type\": \"watermark\", \"watermark\": \"soon\"}",
            "field `watermark` at byte 35: not an ISO 8601 datetime",
            Some("watermark"),
        ),
        (
            "wrong-type",
            b"{\"type\": \"watermark\", \"watermark\": true}",
            "field `watermark` at byte 35 must be a datetime",
            Some("watermark"),
        ),
    ];
    for (code, payload, message, event_type) in cases {
        let (reason, error, told) = dead_letter(&TAXI, payload);
        assert_eq!((reason.as_str(), told.as_deref()), (code, event_type), "{error}");
        assert!(error.starts_with(message), "{code}: {error}");
        assert!(Reason::ALL.iter().any(|reason| reason.code() == code));
    }
}

#[test]
fn a_bad_record_leaves_no_part_of_a_row() {
    // The last field of each is the bad one, so that every column before has had its value.
    let bad = trip(", \"vendor_id\": 5, \"store_and_fwd_flag\": \"Y\", \"type\": \"trip\", \"cab_type\": 9");
    let good = trip(", \"vendor_id\": null, \"store_and_fwd_flag\": \"N\"");
    let records = [bad.clone(), good.clone(), bad.clone(), bad, good.clone(), trip(&format!(", {PANIC}"))];
    let (_, mixed) = decode(&TAXI, &records);
    let (_, alone) = decode(&TAXI, &[good.clone(), good]);
    assert_eq!(mixed.sections[0].rows, alone.sections[0].rows);
    assert_eq!(mixed.sections[0].digest, alone.sections[0].digest);
    assert_eq!(mixed.counts, Counts { records: 6, rows: 2, dead_letters: 4, ..Counts::default() });
}

#[test]
fn a_panic_is_the_dead_letter_of_its_record() {
    let good = trip("");
    let (pushed, batch) = decode(&TAXI, &[good.clone(), trip(&format!(", {PANIC}")), good]);
    assert_eq!(pushed, [Pushed::Stored, Pushed::DeadLetter, Pushed::Stored]);
    assert_eq!(batch.dead_letter_reasons, [("internal", 1)]);
    assert_eq!(batch.sections[0].rows.num_rows(), 2);
}

#[test]
fn dead_letters_say_where_they_come_from() {
    let mut decoder = Decoder::new(&TAXI, &origin(), NOW);
    let mut bad = record(77, b"***");
    bad.payload = Payload::Undecodable(b"***");
    bad.sub_position = 3;
    bad.arrival_ms = None;
    assert_eq!(decoder.push(&bad), Pushed::DeadLetter);
    let batch = decoder.finish().unwrap();
    let section = &batch.sections[0];
    assert_eq!((&*section.table, section.rows.schema()), (DEAD_LETTER_TABLE, dead_letter_schema()));
    let texts = ["reason", "source", "epoch", "partition", "position", "partition_key"]
        .map(|name| text_of(section, name, 0));
    assert_eq!(texts, ["undecodable-payload", "arn:stream", "1", "shard-0", "77", "key"]);
    let column = |name| section.rows.column_by_name(name).unwrap();
    assert_eq!(column("sub_position").as_primitive::<Int32Type>().value(0), 3);
    assert_eq!(column("failed_at").as_primitive::<TimestampMillisecondType>().value(0), NOW);
    assert!(column("arrival_time").is_null(0));
    assert_eq!(section.partitions[0].path, "year=2018/month=01/day=02");
    assert_eq!(section.digest, digest(&section.rows).unwrap());
}

#[test]
fn values_come_in_more_than_one_spelling() {
    let spellings = [
        ("trip_id", "1234567", "\"1234567\""),
        ("trip_id", "1234567", "1234567.0"),
        ("passenger_count", "3", "\"3\""),
        ("fare_amount", "2.5", "\"2.50\""),
        ("fare_amount", "14", "14.0"),
        ("pickup_datetime", "1514766940000", "\"2018-01-01 02:35:40+02:00\""),
        ("store_and_fwd_flag", "\"N\"", r#""\u004e""#),
        ("vendor_id", "2", "1, \"vendor_id\": 2"),
        ("vendor_id", "null, \"vendor_id\": null", "2, \"vendor_id\": null"),
    ];
    for (name, left, right) in spellings {
        let [left, right] =
            [left, right].map(|value| decode(&TAXI, &[trip(&format!(", \"{name}\": {value}"))]).1);
        assert_eq!((left.counts.rows, right.counts.rows), (1, 1), "{name}");
        assert_eq!(left.sections[0].rows, right.sections[0].rows, "{name}");
    }
}

#[test]
fn odd_data_is_data() {
    let odd = r#", "fare_amount": -52.0, "dropoff_datetime": "2017-12-31T23:00:00Z", "passenger_count": 0"#;
    let years = ["2008-12-31T23:59:59Z", "2041-01-01T00:00:00Z"];
    let trips: Vec<String> =
        years.iter().map(|year| trip(odd).replace("2018-01-01T00:35:40Z", year)).collect();
    let (pushed, batch) = decode(&TAXI, &trips);
    assert_eq!(pushed, [Pushed::Stored, Pushed::Stored]);
    // 2041 is more than a day past its arrival and does not move the watermark.
    assert_eq!(batch.event_time_max_ms, Some(1_230_767_999_000));
}

#[test]
fn the_watermark_follows_event_times_up_to_the_bound() {
    let watermark = |ms: i64| format!("{{\"type\": \"watermark\", \"watermark\": {ms}}}");
    let day = 86_400_000;
    let (pushed, batch) = decode(&TAXI, &[watermark(NOW + day), watermark(5), watermark(NOW + day + 1)]);
    assert_eq!(pushed, [Pushed::Watermark, Pushed::Watermark, Pushed::Watermark]);
    assert_eq!(
        (batch.event_time_max_ms, batch.counts.watermarks, batch.sections.len()),
        (Some(NOW + day), 3, 0)
    );
    assert_eq!(decode(&TAXI, &[watermark(i64::from(i32::MIN))]).1.event_time_max_ms, Some(i32::MIN.into()));
    // Without a time of arrival the time of decoding stands in.
    let mut decoder = Decoder::new(&TAXI, &origin(), 0);
    let far = watermark(day + 1);
    assert_eq!(
        decoder.push(&SourceRecord { arrival_ms: None, ..record(0, far.as_bytes()) }),
        Pushed::Watermark
    );
    assert_eq!(decoder.finish().unwrap().event_time_max_ms, None);
}

const SMALL: &str = r#"
id = "small"
schema_version = 1
default_type = "a"
[events.a]
event_time = "at"
unknown_fields = "keep"
unknown_fields_column = "rest"
ignored_fields = ["noise"]
fields = [{ name = "at", type = "timestamp", required = true }, { name = "ok", type = "bool" }]
partition = [{ name = "flag", field = "ok" }]
[events.mark]
kind = "watermark"
event_time = "upto"
"#;

#[test]
fn what_moves_the_watermark_is_chosen() {
    let records = ["{\"at\": 5}", "{\"type\": \"mark\", \"upto\": 3}"];
    for (choice, expected) in [("", 3), ("event_time.from = \"rows\"", 5), ("event_time.from = \"both\"", 5)]
    {
        let (_, batch) = decode(&pipeline(&format!("{choice}\n{SMALL}")), &records);
        assert_eq!(batch.event_time_max_ms, Some(expected), "{choice}");
    }
}

#[test]
fn unknown_members_are_kept_as_json_if_the_pipeline_says_so() {
    let small = pipeline(SMALL);
    let record =
        r#"{"b": [1, {"x": "]"}], "at": 1, "upto": 2, "b\u0062": 1, "noise": 1, "b": null, "ok": true}"#;
    let (_, batch) = decode(&small, &[record, "{\"at\": 1, \"type\": null}"]);
    assert_eq!(text_of(&batch.sections[0], "rest", 0), r#"{"upto":2,"b\u0062":1,"b":null}"#);
    assert!(batch.sections[0].rows.column_by_name("rest").unwrap().is_null(1));
    assert_eq!(batch.counts.unknown_fields, 4);
    let paths: Vec<&str> =
        batch.sections[0].partitions.iter().map(|partition| partition.path.as_str()).collect();
    assert_eq!(paths, ["flag=true", "flag=__HIVE_DEFAULT_PARTITION__"]);
    let long = format!("{{\"at\": 1, \"more\": \"{}\"}}", "x".repeat(65_536));
    assert_eq!(dead_letter(&small, long.as_bytes()).0, "text-too-long");
}

#[test]
fn unknown_members_are_counted_in_rows_only() {
    let (_, batch) =
        decode(&TAXI, &[trip(", \"new\": 1, \"watermark\": 2, \"padding\": 3"), "{\"new\": 1}".to_owned()]);
    assert_eq!(batch.counts.unknown_fields, 2);
}

#[test]
fn policies_say_what_becomes_of_bad_records() {
    let cases = [
        ("on_malformed", "{\"at\": true}", "wrong-type"),
        ("on_unknown_type", "{\"type\": \"z\"}", "unknown-type"),
    ];
    for (key, bad, code) in cases {
        let ignoring = pipeline(&format!("{key} = \"ignore\"\n{SMALL}"));
        let (pushed, batch) = decode(&ignoring, &[bad]);
        assert_eq!(pushed, [Pushed::Ignored]);
        assert_eq!(batch.counts, Counts { records: 1, ignored: 1, ..Counts::default() });
        let failing = pipeline(&format!("{key} = \"fail\"\n{SMALL}"));
        let (pushed, batch) = decode(&failing, &["{\"at\": 1}", bad]);
        let Pushed::Refused(refusal) = &pushed[1] else { panic!("{pushed:?}") };
        assert_eq!(refusal.reason.code(), code);
        assert_eq!(batch.counts, Counts { records: 1, rows: 1, ..Counts::default() });
        assert_eq!((batch.sections.len(), batch.sections[0].rows.num_rows()), (1, 1));
    }
    // A bug is never a reason to lose a record.
    let ignoring = pipeline(&format!("on_malformed = \"ignore\"\n{SMALL}"));
    assert_eq!(decode(&ignoring, &[format!("{{\"at\": 1, {PANIC}}}")]).0, [Pushed::DeadLetter]);
}

#[test]
fn a_batch_that_can_hold_no_more_partitions_says_so() {
    let by_id = SMALL.replace("name = \"ok\", type = \"bool\"", "name = \"ok\", type = \"int64\"");
    let by_id = pipeline(&by_id);
    let mut decoder = Decoder::new(&by_id, &origin(), NOW);
    for id in 0..=u16::MAX {
        assert_eq!(
            decoder.push(&record(0, format!("{{\"at\": 1, \"ok\": {id}}}").as_bytes())),
            Pushed::Stored
        );
    }
    let Pushed::Refused(refusal) = decoder.push(&record(0, b"{\"at\": 1, \"ok\": -1}")) else { panic!() };
    assert_eq!(refusal.reason, Reason::BatchFull);
    assert_eq!(decoder.push(&record(0, b"{\"at\": 1, \"ok\": 7}")), Pushed::Stored);
    let batch = decoder.finish().unwrap();
    assert_eq!((batch.sections[0].partitions.len(), batch.counts.rows), (65_536, 65_537));
}

#[test]
fn nothing_comes_of_nothing() {
    let (_, batch) = decode::<&[u8]>(&TAXI, &[]);
    assert!(
        batch.sections.is_empty() && batch.event_time_max_ms.is_none() && batch.counts == Counts::default()
    );
}

#[test]
fn reasons_are_listed_in_order_of_their_codes() {
    assert!(Reason::ALL.is_sorted_by_key(|reason| reason.code()) && Reason::ALL.is_sorted());
}

const CLICKS: &str = r#"
id = "clicks"
schema_version = 1
[events.clicks]
topics = ["ad-clicks"]
event_time = "created_at"
fields = [
  { name = "tracker", type = "string" },
  { name = "created_at", type = "timestamp", required = true, default = "arrival-time" },
]
partition = [{ name = "year", time = "year" }]
"#;

#[test]
fn a_record_that_tells_no_type_is_of_the_one_that_its_topic_is_of() {
    let pipeline = pipeline(CLICKS);
    let reasons = |source: &str, partition: &str, payload: &str| {
        let (source, partition) = (source.to_owned(), partition.to_owned());
        let origin = SourcePartition { source, epoch: String::new(), partition };
        let mut decoder = Decoder::new(&pipeline, &origin, NOW);
        let _ = decoder.push(&record(1, payload.as_bytes()));
        let batch = decoder.finish().unwrap();
        (
            batch.counts.rows,
            batch.dead_letter_reasons.into_iter().map(|(reason, _)| reason).collect::<Vec<_>>(),
        )
    };
    let click = r#"{"tracker":"t"}"#;
    assert_eq!(reasons("kafka://b:9092", "ad-clicks-3", click), (1, vec![]));
    assert_eq!(reasons("kafka://b:9092", "clicks-3", click), (0, vec!["missing-type"]));
    assert_eq!(reasons("arn:aws:kinesis:us-east-1:1:stream/ad-clicks", "ad-clicks-3", click).0, 0);
    let told = r#"{"type":"scooter","tracker":"t"}"#;
    assert_eq!(reasons("kafka://b:9092", "ad-clicks-3", told), (0, vec!["unknown-type"]));
}

#[test]
fn the_record_s_own_time_stands_in_for_a_time_that_it_does_not_tell() {
    let pipeline = pipeline(CLICKS);
    let time_of = |payload: &str, arrival_ms: Option<i64>| {
        let origin = SourcePartition {
            source: "kafka://b".to_owned(),
            epoch: String::new(),
            partition: "ad-clicks-0".to_owned(),
        };
        let mut decoder = Decoder::new(&pipeline, &origin, NOW);
        let _ = decoder.push(&SourceRecord { arrival_ms, ..record(1, payload.as_bytes()) });
        let batch = decoder.finish().unwrap();
        batch.event_time_max_ms.ok_or(batch.dead_letter_reasons.first().map(|(reason, _)| *reason))
    };
    let (told, untold, null) = (r#"{"created_at":5}"#, "{}", r#"{"created_at":null}"#);
    assert_eq!(time_of(told, Some(NOW)), Ok(5));
    assert_eq!(time_of(untold, Some(NOW)), Ok(NOW));
    assert_eq!(time_of(null, Some(NOW)), Ok(NOW));
    assert_eq!(time_of(untold, None), Err(Some("missing-field")));
    assert_eq!(time_of(untold, Some(i64::MAX)), Err(Some("bad-datetime")));
}
