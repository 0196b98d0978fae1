//! Views of DuckDB over the files.

use tripline_lake::publish::FileFormat;

use super::tables::{Level, Table, Values};
use super::{Lake, text};

pub(super) fn of(table: &Table, lake: &Lake) -> String {
    let name = lake.name(table, quoted);
    let (function, extension) = match lake.format {
        FileFormat::Parquet => ("read_parquet", "parquet"),
        FileFormat::JsonLines => ("read_json", "json.gz"),
    };
    let mut options = vec![text(&format!("{}**/*.{extension}", lake.folder(table)))];
    if lake.format == FileFormat::JsonLines {
        let columns = table
            .columns
            .iter()
            .map(|column| format!("{}: {}", text(&column.name), text(duckdb(column.hive))));
        options.push(format!("columns = {{{}}}", columns.collect::<Vec<_>>().join(", ")));
    } else {
        // Files of an older schema lack the columns that are new.
        options.push("union_by_name = true".to_owned());
    }
    options.push(format!("hive_partitioning = {}", !table.levels.is_empty()));
    if !table.levels.is_empty() {
        let levels = table.levels.iter().map(|level| format!("{}: {}", text(&level.name), kind(level)));
        options.push(format!("hive_types = {{{}}}", levels.collect::<Vec<_>>().join(", ")));
    }
    format!(
        "-- A view needs files: leave out a table that has none yet.\n\
         CREATE OR REPLACE VIEW {name} AS\nSELECT * FROM {function}(\n  {}\n);\n",
        options.join(",\n  ")
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

const fn kind(level: &Level) -> &'static str {
    match level.values {
        Values::Time(_) => "INTEGER",
        Values::Texts(_) | Values::AnyText => "VARCHAR",
    }
}

fn duckdb(hive: &str) -> &'static str {
    match hive {
        "boolean" => "BOOLEAN",
        "int" => "INTEGER",
        "bigint" => "BIGINT",
        "double" => "DOUBLE",
        "timestamp" => "TIMESTAMPTZ",
        _ => "VARCHAR",
    }
}
