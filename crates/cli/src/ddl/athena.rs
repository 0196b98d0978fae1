//! External tables of Athena, whose partitions are worked out from the query: nothing has to register them.

use std::fmt::Write as _;

use tripline_lake::publish::FileFormat;
use tripline_model::pipeline::TimePart;

use super::tables::{Table, Values};
use super::{Lake, backticked, text};

pub(super) fn of(table: &Table, lake: &Lake) -> String {
    let is_parquet = lake.format == FileFormat::Parquet;
    let mut out = String::new();
    if !is_parquet {
        out.push_str("-- Times are texts in JSON lines: from_iso8601_timestamp(…) makes times of them.\n");
    }
    let _ = writeln!(out, "CREATE EXTERNAL TABLE IF NOT EXISTS {} (", lake.name(table, backticked));
    let columns = table.columns.iter().map(|column| {
        let kind = if !is_parquet && column.hive == "timestamp" { "string" } else { column.hive };
        format!("  {} {kind}", backticked(&column.name))
    });
    let _ = writeln!(out, "{}\n)", columns.collect::<Vec<_>>().join(",\n"));
    if !table.levels.is_empty() {
        let levels =
            table.levels.iter().map(|level| format!("  {} {}", backticked(&level.name), level.hive()));
        let _ = writeln!(out, "PARTITIONED BY (\n{}\n)", levels.collect::<Vec<_>>().join(",\n"));
    }
    out.push_str(if is_parquet {
        "STORED AS PARQUET\n"
    } else {
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\n"
    });
    let _ = writeln!(out, "LOCATION {}", text(&lake.folder(table)));
    let properties = properties(table, lake);
    let lines = properties.iter().map(|(name, value)| format!("  {} = {}", text(name), text(value)));
    let _ = writeln!(out, "TBLPROPERTIES (\n{}\n);", lines.collect::<Vec<_>>().join(",\n"));
    out
}

/// As the Terraform module `lake` and the CDK construct have them.
fn properties(table: &Table, lake: &Lake) -> Vec<(String, String)> {
    let mut properties = Vec::new();
    let mut add = |name: &str, value: String| properties.push((name.to_owned(), value));
    if lake.format == FileFormat::Parquet {
        add("classification", "parquet".to_owned());
        add("parquet.compression", "ZSTD".to_owned());
    } else {
        add("classification", "json".to_owned());
    }
    if table.levels.is_empty() {
        return properties;
    }
    add("projection.enabled", "true".to_owned());
    for level in &table.levels {
        let name = |property: &str| format!("projection.{}.{property}", level.name);
        match &level.values {
            Values::Time(part) => {
                let (range, digits) = range(*part, lake.years);
                add(&name("type"), "integer".to_owned());
                add(&name("range"), range);
                add(&name("digits"), digits.to_string());
            }
            Values::Texts(values) => {
                add(&name("type"), "enum".to_owned());
                add(&name("values"), values.join(","));
            }
            // Queries must name it.
            Values::AnyText => add(&name("type"), "injected".to_owned()),
        }
    }
    let path: String = table.levels.iter().map(|level| format!("{0}=${{{0}}}/", level.name)).collect();
    add("storage.location.template", lake.folder(table) + &path);
    properties
}

/// Parts of the time are written with leading zeros.
fn range(part: TimePart, (first, last): (u16, u16)) -> (String, u8) {
    match part {
        TimePart::Year => (format!("{first},{last}"), 4),
        TimePart::Month => ("1,12".to_owned(), 2),
        TimePart::Day => ("1,31".to_owned(), 2),
        TimePart::Hour => ("0,23".to_owned(), 2),
    }
}
