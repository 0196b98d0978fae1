//! How two JSON values differ, in lines that people read.

use serde_json::Value;

/// What must be done to `from` to make `to` of it: a line for each place, as in
/// `template.mappings.properties.fare.type: "float" -> "double"`.
#[must_use]
pub fn differences(from: &Value, to: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", from, to, &mut lines);
    lines
}

fn compare(path: &str, from: &Value, to: &Value, lines: &mut Vec<String>) {
    match (from, to) {
        (Value::Object(before), Value::Object(after)) => {
            let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            for (name, before) in before {
                match after.get(name) {
                    Some(after) => compare(&at(name), before, after, lines),
                    None => lines.push(format!("{}: {before} -> nothing", at(name))),
                }
            }
            for (name, after) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
                lines.push(format!("{}: nothing -> {after}", at(name)));
            }
        }
        _ if from == to => {}
        _ => lines.push(format!("{path}: {from} -> {to}")),
    }
}
