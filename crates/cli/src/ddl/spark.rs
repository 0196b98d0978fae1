//! Tables of Spark over the files.

use std::fmt::Write as _;

use tripline_lake::publish::FileFormat;

use super::tables::Table;
use super::{Lake, backticked};

pub(super) fn of(table: &Table, lake: &Lake) -> String {
    let name = lake.name(table, backticked);
    let columns = table.columns.iter().map(|column| (&column.name, column.hive));
    let levels = table.levels.iter().map(|level| (&level.name, level.hive()));
    let all = columns.chain(levels).map(|(name, kind)| format!("  {} {kind}", backticked(name)));
    let using = if lake.format == FileFormat::Parquet { "PARQUET" } else { "JSON" };
    let all = all.collect::<Vec<_>>().join(",\n");
    let mut out = format!("CREATE TABLE IF NOT EXISTS {name} (\n{all}\n)\nUSING {using}\n");
    if !table.levels.is_empty() {
        let levels: Vec<String> = table.levels.iter().map(|level| backticked(&level.name)).collect();
        let _ = writeln!(out, "PARTITIONED BY ({})", levels.join(", "));
    }
    // Spark's own way of quoting.
    let _ = writeln!(out, "LOCATION '{}';", lake.folder(table).replace('\\', "\\\\").replace('\'', "\\'"));
    if !table.levels.is_empty() {
        let _ = writeln!(out, "-- Again for each new partition:\nMSCK REPAIR TABLE {name};");
    }
    out
}
