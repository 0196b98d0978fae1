//! The tables as the Terraform modules and the CDK construct take them.

use serde_json::{Map, Value, json};
use tripline_model::pipeline::TimePart;

use super::tables::{Level, Table, Values};

pub(super) fn of(tables: &[Table]) -> Value {
    let table = |table: &Table| {
        let columns: Vec<Value> =
            table.columns.iter().map(|column| json!({ "name": column.name, "type": column.hive })).collect();
        let levels: Vec<Value> = table.levels.iter().map(level).collect();
        (table.name.clone(), json!({ "columns": columns, "partitions": levels }))
    };
    Value::Object(tables.iter().map(table).collect::<Map<_, _>>())
}

fn level(level: &Level) -> Value {
    let Level { name, values } = level;
    match values {
        Values::Time(part) => json!({ "name": name, "kind": kind(*part) }),
        Values::Texts(values) => json!({ "name": name, "kind": "text", "values": values }),
        Values::AnyText => json!({ "name": name, "kind": "text" }),
    }
}

const fn kind(part: TimePart) -> &'static str {
    match part {
        TimePart::Year => "year",
        TimePart::Month => "month",
        TimePart::Day => "day",
        TimePart::Hour => "hour",
    }
}
