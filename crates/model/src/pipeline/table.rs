//! Lookup tables: CSV files beside the pipeline file.

use std::collections::HashMap;
use std::path::{Component, Path};

use super::faults::{Fault, Faults, suggestion};
use super::walk::{At, Section};

/// A lookup table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// The keys, in order of the file, and for each the row's cells, as many as there are columns.
    pub(super) rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Reads the table that `section` describes, from `folder`.
    pub(super) fn read(
        name: &str,
        mut section: Section<'_>,
        folder: &Path,
        faults: &mut Faults<'_>,
    ) -> Option<Self> {
        section.needs("file", faults, "name a CSV file beside the pipeline file");
        section.needs("key", faults, "name the column by which rows are looked up");
        let file = section.text("file", faults);
        let key = section.text("key", faults);
        section.finish(faults);
        let (file, key) = file.zip(key)?;
        let path = Path::new(file.value);
        if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_)))
        {
            file.fault(
                faults,
                "must name a file below the pipeline's folder, without `..` and not from the root",
            );
            return None;
        }
        let path = folder.join(path);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) => {
                file.fault(faults, format!("cannot read {}: {error}", path.display()));
                return None;
            }
        };
        let (table, found) = parse(name, &path, &text, &key, faults);
        faults.found.extend(found);
        table
    }
}

fn parse(
    name: &str,
    path: &Path,
    text: &[u8],
    key: &At<&str>,
    faults: &mut Faults<'_>,
) -> (Option<Table>, Vec<Fault>) {
    let mut found = Vec::new();
    let mut fault = |line: u64, reason: String| {
        let place = Some((usize::try_from(line).unwrap_or(usize::MAX), 1));
        found.push(Fault { file: path.to_owned(), place, key: String::new(), reason });
    };
    // A byte-order mark would become part of the first column's name.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = csv::Reader::from_reader(text);
    let columns: Vec<String> = match reader.headers() {
        Ok(headers) => headers.iter().map(str::to_owned).collect(),
        Err(error) => {
            fault(1, format!("not a CSV file: {error}"));
            return (None, found);
        }
    };
    let Some(key_column) = columns.iter().position(|column| column == key.value) else {
        let reason =
            format!("table `{name}` has no column `{}`: {}", key.value, suggestion(key.value, &columns));
        key.fault(faults, reason);
        return (None, found);
    };
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    let mut lines: HashMap<String, u64> = HashMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(1, csv::Position::line);
                fault(line, format!("not a CSV row of {} columns in UTF-8: {error}", columns.len()));
                continue;
            }
        };
        let line = record.position().map_or(1, csv::Position::line);
        let key = record.get(key_column).unwrap_or_default().to_owned();
        match lines.get(&key) {
            Some(first) => {
                fault(line, format!("key `{key}` stands on line {first} too: each key may stand once"))
            }
            None => {
                lines.insert(key.clone(), line);
                rows.push((key, record.iter().map(str::to_owned).collect()));
            }
        }
    }
    if rows.is_empty() {
        fault(1, "the table has no rows".to_owned());
    }
    (Some(Table { name: name.to_owned(), columns, rows }), found)
}
