//! `tripline ddl` as people run it: one truth with the tables of the deployment, and what each dialect says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Desk, repository, said};

/// What the command prints; it must end with this exit code.
fn ddl(pipeline: &Path, more: &[&str], code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.env_remove("TRIPLINE_LAKE").arg("ddl").arg("--pipeline").arg(pipeline).args(more);
    said(&mut command, code)
}

#[test]
fn the_tables_that_are_deployed_are_those_of_the_pipelines() {
    for name in ["taxi", "adtech"] {
        let printed = ddl(&repository().join("pipelines").join(name), &["--dialect", "glue-json"], 0);
        let file = repository().join(format!("infra/terraform/tables/{name}.json"));
        let shipped = std::fs::read_to_string(&file).unwrap();
        let [printed, shipped]: [Value; 2] =
            [&printed, &shipped].map(|text| serde_json::from_str(text).unwrap());
        let fix = format!(
            "tripline ddl --pipeline pipelines/{name} --dialect glue-json > infra/terraform/tables/{name}.json"
        );
        assert_eq!(printed, shipped, "write it again: {fix}");
    }
}

#[test]
fn athena_works_partitions_out_of_the_query() {
    let taxi = repository().join("pipelines/taxi");
    let printed =
        ddl(&taxi, &["--lake", "s3://trips/taxi/", "--database", "taxi", "--years", "2009-2030"], 0);
    for part in [
        "CREATE EXTERNAL TABLE IF NOT EXISTS `taxi`.`trip` (\n  `vendor_id` int,\n",
        "  `pickup_datetime` timestamp,\n",
        "PARTITIONED BY (\n  `pickup_borough` string,\n  `year` int,\n  `month` int,\n  `day` int,\n  `hour` int\n)",
        "STORED AS PARQUET\nLOCATION 's3://trips/taxi/trip/'\n",
        "'projection.year.range' = '2009,2030'",
        "'projection.month.digits' = '2'",
        "'projection.pickup_borough.values' = '__HIVE_DEFAULT_PARTITION__,bronx,brooklyn,ewr,manhattan,outside-nyc,queens,",
        "'storage.location.template' = 's3://trips/taxi/trip/pickup_borough=${pickup_borough}/year=${year}/month=${month}/\
         day=${day}/hour=${hour}/'",
        "CREATE EXTERNAL TABLE IF NOT EXISTS `taxi`.`dead_letter` (\n  `stage` string,\n",
    ] {
        assert!(printed.contains(part), "{part} is not in: {printed}");
    }
    assert!(ddl(&taxi, &["--lake", "/data/lake"], 2).contains("Athena reads buckets alone"));
    assert!(ddl(&taxi, &[], 2).contains("--lake is missing"));
    assert!(ddl(&taxi, &["--lake", "s3://x", "--years", "2030-2009"], 2).contains("two years"));
}

const ODD: &str = r#"
id = "odd"
schema_version = 1
[events.order]
id = ["order"]
event_time = "at"
fields = [
  { name = "order", type = "int64", required = true },
  { name = "at", type = "timestamp", required = true },
  { name = "market", type = "string" },
]
partition = [{ name = "shop", field = "market" }]
"#;

#[test]
fn a_level_that_can_have_any_value_must_be_named_by_queries_and_json_lines_have_texts_for_times() {
    let desk = Desk::new(ODD);
    let pipeline = desk.path("pipeline");
    let printed = ddl(&pipeline, &["--lake", "s3://odd/it's", "--format", "json"], 0);
    for part in [
        "'projection.shop.type' = 'injected'",
        "LOCATION 's3://odd/it''s/order/'",
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'",
        "`at` string",
    ] {
        assert!(printed.contains(part), "{part} is not in: {printed}");
    }
    let printed = ddl(&pipeline, &["--lake", "/odd/it's", "--dialect", "spark"], 0);
    let expected = "CREATE TABLE IF NOT EXISTS `order` (\n  `order` bigint,\n  `at` timestamp,\n  `market` string,\n  \
                    `shop` string\n)\nUSING PARQUET\nPARTITIONED BY (`shop`)\nLOCATION '/odd/it\\'s/order/';\n";
    assert!(printed.contains(expected), "{printed}");
    let printed = ddl(&pipeline, &["--lake", "/odd", "--dialect", "duckdb", "--database", "main"], 0);
    assert!(
        printed
            .contains("VIEW \"main\".\"order\" AS\nSELECT * FROM read_parquet(\n  '/odd/order/**/*.parquet'")
    );
}

#[test]
fn late_rows_have_a_table_where_they_are_diverted() {
    let taxi = repository().join("pipelines/taxi");
    let text = std::fs::read_to_string(taxi.join("pipeline.toml")).unwrap();
    let desk = Desk::new(&text.replace("late = \"append\"", "late = \"divert\""));
    let pipeline = desk.path("pipeline");
    std::fs::copy(taxi.join("taxi_zone_lookup.csv"), pipeline.join("taxi_zone_lookup.csv")).unwrap();
    let printed: Value = serde_json::from_str(&ddl(&pipeline, &["--dialect", "glue-json"], 0)).unwrap();
    let names: Vec<&String> = printed.as_object().unwrap().keys().collect();
    assert_eq!(names, ["dead_letter", "trip", "trip_late"]);
    assert_eq!(printed["trip_late"], printed["trip"]);
}
