#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::batch::metadata;

const SOUND: &str = r#"
id = "ads"
schema_version = 3

[tables.sites]
file = "sites.csv"
key = "site"

[events.click]
id = ["click_id"]
event_time = "at"
fields = [
  { name = "click_id", type = "string", required = true },
  { name = "at", type = "timestamp", required = true },
  { name = "site", type = "string", from = "siteName" },
]
derived = [{ name = "country", lookup = "sites", key = "site", column = "country" }]
partition = [{ name = "land", field = "country" }, { name = "year", time = "year" }]

[events."Ad Shown"]
table = "impression"
event_time = "at"
unknown_fields = "keep"
fields = [{ name = "at", type = "timestamp", required = true }, { name = "price", type = "int64" }]
partition = [{ name = "day", time = "day" }]
"#;

const SITES: &str = "site,country\na.example,New Zealand\nb.example,Peru\n";

fn folder(pipeline: &str, sites: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("pipeline.toml"), pipeline).unwrap();
    fs::write(dir.path().join("sites.csv"), sites).unwrap();
    dir
}

/// The faults, without the folder's name.
fn faults(pipeline: &str, sites: &str) -> Vec<String> {
    let dir = folder(pipeline, sites);
    let prefix = format!("{}/", dir.path().display());
    match Pipeline::load(dir.path()) {
        Ok(_) => Vec::new(),
        Err(error) => error.to_string().lines().map(|line| line.replace(&prefix, "")).collect(),
    }
}

/// The one fault that comes of a change to the sound pipeline.
fn fault_of(before: &str, after: &str) -> String {
    assert!(SOUND.contains(before), "{before}");
    let found = faults(&SOUND.replacen(before, after, 1), SITES);
    assert_eq!(found.len(), 1, "{before} -> {after}: {found:#?}");
    found[0].clone()
}

#[test]
fn the_taxi_pipeline_is_sound() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/taxi");
    let pipeline = Pipeline::load(&dir).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((pipeline.id.as_str(), pipeline.events.len()), ("taxi", 2));
    let trip = &pipeline.events[pipeline.event_of_type("trip").unwrap()];
    let columns: Vec<&str> = trip.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(columns[..3], ["vendor_id", "pickup_datetime", "dropoff_datetime"]);
    assert_eq!(columns[17..19], ["trip_id", "type"]);
    assert_eq!(columns.last(), Some(&"borough"));
    let borough =
        |id| trip.derived[0].lookup.find_integer(id).and_then(|number| trip.derived[0].lookup.value(number));
    assert_eq!(
        [1, 4, 44, 264, 265, 266, 0, -1].map(|id| borough(id).unwrap()),
        ["EWR", "Manhattan", "Staten Island", "Unknown", "N/A", "Unknown", "Unknown", "Unknown"]
    );
}

#[test]
fn the_adtech_pipeline_is_sound() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/adtech");
    let pipeline = Pipeline::load(&dir).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((pipeline.id.as_str(), pipeline.on_null), ("adtech", NullPolicy::Ignore));
    let of_type = |name: &str| &pipeline.events[pipeline.event_of_type(name).unwrap()];
    let columns = |event: &Event| -> Vec<String> {
        event.schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    let (impressions, clicks) = (of_type("impressions"), of_type("clicks"));
    assert_eq!((&*impressions.table, &*clicks.table), ("impressions", "clicks"));
    assert_eq!(
        columns(impressions),
        ["bid_id", "campaign_id", "creative_details", "country_code", "created_at", "continent"]
    );
    assert_eq!(columns(clicks), ["correlation_id", "tracker", "created_at"]);
    let countries = &impressions.derived[0].lookup;
    let continent = |code| countries.find_text(code).and_then(|number| countries.value(number));
    assert_eq!(
        ["NA", "NZ", "AQ", "", "nz"].map(|code| continent(code).unwrap()),
        ["Africa", "Oceania", "Antarctica", "Unknown", "Unknown"]
    );
    let indices = [impressions, clicks].map(|event| event.search.as_ref().unwrap().index.pattern());
    assert_eq!(indices, ["impressions", "clicks"]);
}

#[test]
fn a_sound_pipeline_is_what_its_file_says() {
    let pipeline = Pipeline::load(folder(SOUND, SITES).path()).unwrap();
    assert_eq!(pipeline.type_field, "type");
    assert_eq!((pipeline.on_malformed, pipeline.on_unknown_type), (Policy::DeadLetter, Policy::DeadLetter));
    let event_time = EventTime {
        from: EventTimeFrom::Rows,
        future_bound_ms: 86_400_000,
        allowed_lateness_ms: 3_600_000,
        idle_after_ms: 3_600_000,
        late: LatePolicy::Append,
    };
    assert_eq!(pipeline.event_time, event_time);
    assert_eq!(pipeline.limits, Limits { record_bytes: 1 << 20, text_bytes: 1 << 16, nesting: 64 });
    assert_eq!(
        pipeline.events.iter().map(|event| &*event.table).collect::<Vec<_>>(),
        ["click", "impression"]
    );
    assert_eq!(pipeline.event_of_type("Ad Shown"), Some(1));
    let click = &pipeline.events[0];
    assert_eq!((click.fields[2].name.as_str(), click.fields[2].from.as_str()), ("site", "siteName"));
    assert_eq!(click.schema.metadata()[metadata::TABLE], "click");
    assert_eq!(click.schema.metadata()[metadata::SCHEMA_VERSION], "3");
    assert_eq!(click.schema.metadata()[metadata::TIME_COLUMN], "at");
    assert_eq!(click.schema.metadata()[metadata::ID_COLUMNS], "click_id");
    let country = click.schema.field_with_name("country").unwrap();
    assert!(country.is_nullable() && !click.schema.field(0).is_nullable());
    assert_eq!(pipeline.events[1].schema.fields().last().unwrap().name(), "unknown_fields");
}

#[test]
fn every_fault_of_a_file_is_reported_at_its_line() {
    let wrong = r#"id = "Ads!"
schema_version = 0
on_malfromed = "fail"
on_unknown_type = "drop"
event_time.future_bound = "soon"
default_type = "klick"

[limits]
nesting = "deep"

[lake]
format = "orc"

[tables.sites]
file = "sites.csv"
key = "sight"

[tables.gone]
file = "../gone.csv"
key = "x"

[events.dead_letter]
event_time = "at"
fields = [{ name = "at", type = "timestamp", required = true }]
partition = [{ name = "day", time = "day" }]

[events.click]
id = ["clickid"]
event_time = "at"
fields = [
  { name = "click_id", type = "strin" },
  { name = "at", type = "timestamp" },
  { name = "AT", type = "bool", requird = true },
  { type = "int32" },
]
derived = [
  { name = "at", lookup = "cites", key = "click_id", column = "country" },
]
partition = [
  { name = "click_id", field = "sight" },
  { name = "hour", time = "minute" },
  { name = "both", field = "click_id", time = "day" },
]

[events.mark]
kind = "watermark"
fields = []
"#;
    let expected = [
        "pipeline.toml:1:6: id: must be 1 to 64 of a-z, 0-9 and -, as it is part of paths",
        "pipeline.toml:2:18: schema_version: 0 is out of range: it must be from 1 to 4294967295",
        "pipeline.toml:3:1: on_malfromed: no such key: did you mean `on_malformed`?",
        "pipeline.toml:4:19: on_unknown_type: `drop` is not a choice here: use one of `dead-letter`, `fail` and `ignore`",
        "pipeline.toml:5:27: event_time.future_bound: `soon` is not a duration: write a number and ms, s, m, h or d, as in \"24h\"",
        "pipeline.toml:6:16: default_type: no event type `klick`: did you mean `click`?",
        "pipeline.toml:9:11: limits.nesting: must be an integer, and is a string",
        "pipeline.toml:12:10: lake.format: `orc` is not a choice here: use one of `parquet` and `json`",
        "pipeline.toml:16:7: tables.sites.key: table `sites` has no column `sight`: there is `site` and `country`",
        "pipeline.toml:19:8: tables.gone.file: must name a file below the pipeline's folder, without `..` and not from the root",
        "pipeline.toml:22:9: events.dead_letter: `dead_letter` is the table of dead letters: choose another with `table`",
        "pipeline.toml:28:7: events.click.id[0]: no field `clickid`: did you mean `click_id`?",
        "pipeline.toml:29:14: events.click.event_time: field `at` must be of type \"timestamp\" and have required = true",
        "pipeline.toml:31:31: events.click.fields[0].type: `strin` is not a choice here: use one of `bool`, `int32`, `int64`, `float64`, `string` and `timestamp`",
        "pipeline.toml:33:12: events.click.fields[2].name: `AT` is taken by events.click.fields[1].name: choose another name",
        "pipeline.toml:33:33: events.click.fields[2].requird: no such key: did you mean `required`?",
        "pipeline.toml:34:3: events.click.fields[3].name: is missing: name the column",
        "pipeline.toml:37:12: events.click.derived[0].name: `at` is taken by events.click.fields[1].name: choose another name",
        "pipeline.toml:37:27: events.click.derived[0].lookup: no table `cites`: did you mean `sites`?",
        "pipeline.toml:40:12: events.click.partition[0].name: `click_id` is taken by events.click.fields[0].name: choose another name",
        "pipeline.toml:41:27: events.click.partition[1].time: `minute` is not a choice here: use one of `year`, `month`, `day` and `hour`",
        "pipeline.toml:42:3: events.click.partition[2]: needs either `field` or `time`",
        "pipeline.toml:45:9: events.mark.event_time: is missing: name the member that holds the watermark's time",
        "pipeline.toml:47:1: events.mark.fields: no such key: there is `kind` and `event_time`",
    ];
    let found = faults(wrong, SITES);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn each_single_fault_is_found() {
    for (before, after, expected) in [
        (
            "id = [\"click_id\"]",
            "id = \"click_id\"",
            "10:6: events.click.id: must be an array, and is a string",
        ),
        (
            "[\"click_id\"]",
            "[\"click_id\", \"click_id\"]",
            "10:19: events.click.id[1]: `click_id` is named twice",
        ),
        ("\"at\"", "\"site\"", "events.click.event_time: field `site` must be of type \"timestamp\""),
        (
            "field = \"country\"",
            "field = \"at\"",
            "a timestamp makes no partition: use another field or `time`",
        ),
        ("field = \"country\"", "field = \"county\"", "no field `county`: did you mean `country`?"),
        ("land", "Country", "`Country` cannot be a level's name"),
        ("\"land\"", "\"country\"", "`country` is taken by events.click.derived[0].name"),
        ("\"land\"", "\"year\"", "`year` is taken by events.click.partition[0].name"),
        (
            "key = \"site\", col",
            "key = \"at\", col",
            "a timestamp cannot be looked up: the key must be an integer or a string",
        ),
        (
            "\"string\", from",
            "\"int32\", from",
            "key `a.example` of table `sites` is not an integer: declare the field",
        ),
        (
            "column = \"country\"",
            "column = \"land\"",
            "table `sites` has no column `land`: there is `site` and `country`",
        ),
        ("from = \"siteName\"", "from = \"at\"", "`at` is taken by events.click.fields[1].name"),
        ("table = \"impression\"", "table = \"click\"", "`click` is taken by events.click"),
        ("table = \"impression\"\n", "", "`Ad Shown` cannot be a folder's name"),
        (
            "\"keep\"",
            "\"count\"\nunknown_fields_column = \"rest\"",
            "has no effect without unknown_fields = \"keep\"",
        ),
        (
            "\"keep\"",
            "\"keep\"\nunknown_fields_column = \"Price\"",
            "`Price` is taken by events.\"Ad Shown\".fields[1].name",
        ),
        (
            "\"keep\"",
            "\"keep\"\nignored_fields = [\"at\"]",
            "`at` is taken by events.\"Ad Shown\".fields[0].name",
        ),
        (
            "field = \"country\"",
            "field = \"country\", slugs = { Peruu = \"peru\" }",
            "the table has no `Peruu`: did you mean `Peru`?",
        ),
        (
            "field = \"country\"",
            "field = \"country\", slugs = { Peru = \"\" }",
            "a partition value is 1 to 128 bytes",
        ),
        (
            "time = \"year\"",
            "time = \"year\", slugs = { a = \"b\" }",
            "slugs are for `field`, not for `time`",
        ),
        ("file = \"sites.csv\"", "file = \"none.csv\"", "tables.sites.file: cannot read none.csv"),
        (
            "schema_version = 3",
            "schema_version = 3\nevent_time = { from = \"watermarks\" }",
            "there is no event type of kind \"watermark\"",
        ),
        (
            "schema_version = 3",
            "schema_version = 3\nevent_time.late = \"drop\"",
            "`drop` is not a choice here: use one of `append` and `divert`",
        ),
        (
            "[events.\"Ad Shown\"]\ntable = \"impression\"",
            "[events.\"Ad Shown\"]\ntable = \"click_late\"",
            "the table `click_late` is that of late rows of `click`",
        ),
        ("\"price\"", "\"price in €\"", "`price in €` cannot be a column's name"),
    ] {
        let fault = fault_of(before, after);
        assert!(fault.contains(expected), "{fault}\nshould contain {expected}");
    }
}

#[test]
fn faults_of_tables_come_with_their_lines() {
    for (sites, expected) in [
        ("site,country\n", vec!["sites.csv:1:1: the table has no rows"]),
        (
            "site,country\na,x\nb,y\na,z\nc\n",
            vec![
                "sites.csv:4:1: key `a` stands on line 2 too: each key may stand once",
                "sites.csv:5:1: not a CSV row of 2 columns",
            ],
        ),
        ("site,country\na,\u{0}\n", vec![]),
    ] {
        let found = faults(SOUND, sites);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}\nshould start with {expected}");
        }
    }
    assert!(faults(SOUND, &format!("\u{feff}{SITES}")).is_empty(), "a byte-order mark is no part of a name");
}

#[test]
fn what_is_not_toml_and_what_is_not_there_are_faults_too() {
    let found = faults("id = \n", SITES);
    assert!(found[0].starts_with("pipeline.toml:1:"), "{found:#?}");
    assert!(found.iter().any(|fault| fault.contains("not TOML")), "{found:#?}");
    let empty = TempDir::new().unwrap();
    let error = Pipeline::load(empty.path()).unwrap_err();
    assert!(error.to_string().contains("cannot read the pipeline"), "{error}");
    let found = faults("id = \"a\"\nschema_version = 1\n", SITES);
    assert_eq!(
        found,
        ["pipeline.toml:1:1: events: there is no event type: describe one under [events.<type>]"]
    );
}

#[test]
fn integer_keys_near_and_far_are_found() {
    let ads = SOUND.replacen("\"string\", from", "\"int64\", from", 1);
    for keys in [["3", "5"], ["-9223372036854775808", "9223372036854775807"]] {
        let sites = format!("site,country\n{},New Zealand\n{},Peru\n", keys[0], keys[1]);
        let pipeline = Pipeline::load(folder(&ads, &sites).path()).unwrap();
        let lookup = &pipeline.events[0].derived[0].lookup;
        let found =
            keys.map(|key| lookup.find_integer(key.parse().unwrap()).and_then(|number| lookup.value(number)));
        assert_eq!(found, [Some("New Zealand"), Some("Peru")]);
        assert_eq!(lookup.find_integer(4), None);
    }
}

/// The sound pipeline with these lines about the search of clicks.
fn with_search(search: &str) -> String {
    let at = SOUND.find("[events.\"Ad Shown\"]").unwrap();
    format!("{}{search}\n\n{}", &SOUND[..at], &SOUND[at..])
}

#[test]
fn documents_have_an_index_of_their_table_unless_the_file_says_otherwise() {
    let load =
        |text: &str| Pipeline::load(folder(text, SITES).path()).unwrap_or_else(|error| panic!("{error}"));
    let pipeline = load(SOUND);
    let search = pipeline.events[0].search.as_ref().unwrap();
    assert_eq!(search.index.parts, [IndexPart::Literal("click".to_owned())]);
    assert_eq!((search.action, search.id, search.version), (Action::Index, true, VersionFrom::None));
    assert_eq!((search.on_version_conflict, search.on_rejected), (Policy::Ignore, Policy::DeadLetter));
    assert!(load(&with_search("search = false")).events[0].search.is_none());
    assert!(load(&with_search("search = true")).events[0].search.is_some());

    let pipeline = load(&with_search("search.index = \"{type}-{country}-{at|yyyy_MM}.{now|dd}\""));
    let search = pipeline.events[0].search.as_ref().unwrap();
    let time = |parts: &[TimeToken]| TimeFormat(parts.to_vec());
    let expected = [
        IndexPart::Literal("click-".to_owned()),
        IndexPart::Value(ValueSource::Derived(0)),
        IndexPart::Literal("-".to_owned()),
        IndexPart::Time(
            1,
            time(&[
                TimeToken::Part(TimePart::Year),
                TimeToken::Between('_'),
                TimeToken::Part(TimePart::Month),
            ]),
        ),
        IndexPart::Literal(".".to_owned()),
        IndexPart::Now(time(&[TimeToken::Part(TimePart::Day)])),
    ];
    assert_eq!(search.index.parts, expected);
    assert_eq!((search.index.pattern().as_str(), search.index.is_fixed()), ("click-*-*.*", false));
}

#[test]
fn each_fault_of_a_search_section_is_found() {
    for (search, expected) in [
        ("search = 1", "events.click.search: must be a table, and is an integer"),
        ("search.indx = \"x\"", "events.click.search.indx: no such key: did you mean `index`?"),
        ("search.index = \"\"", "an index name cannot be empty"),
        ("search.index = \"Clicks\"", "an index name cannot have upper-case letters in it"),
        ("search.index = \"a b\"", "an index name cannot have white space or control characters in it"),
        ("search.index = \"a/b\"", "an index name cannot have any of `\\ / * ? \" < > | , # :` in it"),
        ("search.index = \"_all\"", "an index name cannot begin with `-`, `_`, `+` or `.`"),
        ("search.index = \"a-{site\"", "`{` without `}`"),
        ("search.index = \"a-{sitte}\"", "no field `sitte`: did you mean `site`?"),
        ("search.index = \"a-{now}\"", "`{now}` needs a format"),
        ("search.index = \"a-{at}\"", "a timestamp needs a format, as in {at|yyyy-MM-dd}"),
        ("search.index = \"a-{site|yyyy}\"", "`site` is no timestamp, and only timestamps have a format"),
        ("search.index = \"a-{at|YYYY}\"", "`YYYY` is no format here: use yyyy, MM, dd and HH"),
        ("search.index = \"a-{at|-}\"", "`-` is no format here"),
        ("search.index = \"{site}\"", "a name that begins with a text of the event could be any index's"),
        ("search.allow = [\"\"]", "events.click.search.allow[0]: a pattern cannot be empty"),
        (
            "search.action = \"upsert\"",
            "`upsert` is not a choice here: use one of `index`, `create` and `update`",
        ),
        ("search.routing = \"sit\"", "events.click.search.routing: no field `sit`: did you mean `site`?"),
        ("search.id_delimiter = \"\"", "a delimiter is 1 to 16 bytes"),
        ("search.id_delimiter = \"_x\"", "letters, digits and any of `. + - %` are parts of values"),
        ("search.id_delimiter = \"7\"", "different values would come to one id"),
        ("search.id_delimiter = \"--\"", "different values would come to one id"),
        ("search.id_delimiter = \".\"", "different values would come to one id"),
        ("search.ingested_at = \"siteName\"", "`siteName` is a field of the event: choose another name"),
        ("search.ingested_at = \"country\"", "`country` is a field of the event: choose another name"),
        (
            "search.version = \"position\"\nsearch.id = false",
            "events.click.search.version: goes with ids only: drop `version` or `id = false`",
        ),
        ("search.version = \"position\"\nsearch.action = \"create\"", "goes with action \"index\" only"),
        ("search.action = \"update\"\nsearch.id = false", "cannot be false where documents are updated"),
        ("search.action = \"update\"\nsearch.ingest_pipeline = \"x\"", "is not asked about updates"),
        ("search.timestamp_field = \"@timestamp\"", "is for data streams, which take action \"create\" only"),
        (
            "search.action = \"create\"\nsearch.on_version_conflict = \"dead-letter\"",
            "events.click.search.on_version_conflict: must be \"ignore\" with action \"create\"",
        ),
        ("search.action = \"create\"\nsearch.on_version_conflict = \"fail\"", "conflicts with itself"),
        ("search.on_rejected = \"drop\"", "use one of `dead-letter`, `fail` and `ignore`"),
    ] {
        let found = faults(&with_search(search), SITES);
        assert_eq!(found.len(), 1, "{search}: {found:#?}");
        assert!(found[0].contains(expected), "{}\nshould contain {expected}", found[0]);
    }
}

#[test]
fn event_types_that_would_overwrite_each_other_s_documents_are_refused() {
    let two = |first: &str, second: &str| {
        let event = |name: &str, keys: &str| {
            format!(
                r#"[events.{name}]
                id = ["n"]
                event_time = "at"
                fields = [{{ name = "n", type = "int64" }}, {{ name = "at", type = "timestamp", required = true }}]
                partition = [{{ name = "day", time = "day" }}]
                {keys}
                "#
            )
        };
        let text = format!("id = \"a\"\nschema_version = 1\n{}{}", event("go", first), event("stop", second));
        faults(&text, SITES)
    };
    let shared = "search.index = \"rides-{n}-{at|yyyy}\"";
    let found = two(shared, shared);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("events.stop: its documents would overwrite those of `go`"), "{}", found[0]);
    for (first, second) in [
        ("", ""),
        ("search.index = \"rides-{type}\"", "search.index = \"rides-{type}\""),
        (shared, "search.index = \"rides-{n}-{at|yyyy-MM}\""),
        ("search.index = \"rides\"\nsearch.id = false", "search.index = \"rides\""),
        ("search = false", "search.index = \"go\""),
    ] {
        assert_eq!(two(first, second), [""; 0], "{first} and {second}");
    }
}

#[test]
fn nulls_delete_only_where_they_tell_what() {
    let nulls = |keys: &str, search: &str| {
        faults(&with_search(search).replacen("schema_version", &format!("{keys}\nschema_version"), 1), SITES)
    };
    let delete = "on_null = \"delete\"";
    let of_click = format!("{delete}\ndefault_type = \"click\"");
    assert!(nulls(&of_click, "").is_empty());
    for (keys, search, expected) in [
        (delete, "", "pipeline.toml:3:11: on_null: a null tells no type: name a `default_type`"),
        (&of_click, "search = false", "events of type `click` have no documents: use another policy"),
        (&of_click, "search.id = false", "events of type `click` cannot be deleted by id"),
        (&of_click, "search.routing = \"site\"", "have an index or a routing that a null does not tell"),
        (&of_click, "search.index = \"a-{country}\"", "have an index or a routing that a null does not tell"),
    ] {
        let found = nulls(keys, search);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:#?}\nshould contain {expected}");
    }
}

#[test]
fn dead_letters_have_an_index_of_their_own_that_only_time_tells_apart() {
    let index = |index: &str| {
        let keys = format!("schema_version = 3\n[dead_letters]\nindex = \"{index}\"");
        faults(
            &with_search("search.index = \"clicks-{at|yyyy}\"").replacen("schema_version = 3", &keys, 1),
            SITES,
        )
    };
    for sound in ["dead", "click-dead-letters-{now|yyyy.MM}"] {
        assert_eq!(index(sound), [""; 0], "{sound}");
    }
    for (wrong, expected) in [
        ("dead-{type}", "dead_letters.index: a dead letter may be of no type"),
        ("dead-{site}", "no field `site`"),
        ("Dead", "an index name cannot have upper-case letters in it"),
        ("clicks-dead-{now|yyyy}", "may be the index of events of type `click` too"),
    ] {
        let found = index(wrong);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:#?}\nshould contain {expected}");
    }
}
