//! A table's column, indexed by its key.

use std::collections::HashMap;

use super::table::Table;

/// A column of a lookup table by the table's key: the values are numbered, so that rows carry numbers
/// and each text is made once.
#[derive(Debug)]
pub struct Lookup {
    values: Vec<String>,
    index: Index,
    default: Option<u32>,
}

#[derive(Debug)]
enum Index {
    /// Keys `first..` one after another.
    Dense {
        first: i64,
        values: Vec<Option<u32>>,
    },
    /// Integer keys far apart.
    Sparse(HashMap<i64, u32>),
    Text(HashMap<String, u32>),
}

/// How many times as wide as their number integer keys may be spread to be looked up by position.
const SPREAD: usize = 16;

impl Lookup {
    /// # Errors
    /// The first key that is not an integer, if integer keys are asked for.
    pub(super) fn new(
        table: &Table,
        column: usize,
        integer_keys: bool,
        default: Option<&str>,
    ) -> Result<Self, String> {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut values = Vec::new();
        let mut number = |value| {
            *numbers.entry(value).or_insert_with(|| {
                values.push(str::to_owned(value));
                u32::try_from(values.len() - 1).unwrap_or(u32::MAX)
            })
        };
        let rows: Vec<(&String, u32)> = table
            .rows
            .iter()
            .filter_map(|(key, cells)| Some((key, number(cells.get(column)?.as_str()))))
            .collect();
        let default = default.map(number);
        let index = if integer_keys {
            let parse =
                |(key, value): &(&String, u32)| Ok((key.parse().map_err(|_| (*key).clone())?, *value));
            Index::integers(rows.iter().map(parse).collect::<Result<_, String>>()?)
        } else {
            Index::Text(rows.into_iter().map(|(key, value)| (key.clone(), value)).collect())
        };
        Ok(Self { values, index, default })
    }

    /// The values there can be, by number.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// The text of a value, by its number.
    #[must_use]
    pub fn value(&self, number: u32) -> Option<&str> {
        self.values.get(usize::try_from(number).ok()?).map(String::as_str)
    }

    /// The number of the default, which stands in for keys that are null or not in the table.
    #[must_use]
    pub const fn default_value(&self) -> Option<u32> {
        self.default
    }

    /// The number of the value for an integer key, or of the default.
    #[must_use]
    pub fn find_integer(&self, key: i64) -> Option<u32> {
        let found = match &self.index {
            Index::Dense { first, values } => {
                let position = key.checked_sub(*first).and_then(|position| usize::try_from(position).ok());
                position.and_then(|position| values.get(position).copied().flatten())
            }
            Index::Sparse(values) => values.get(&key).copied(),
            Index::Text(_) => None,
        };
        found.or(self.default)
    }

    /// The number of the value for a text key, or of the default.
    #[must_use]
    pub fn find_text(&self, key: &str) -> Option<u32> {
        let found = match &self.index {
            Index::Text(values) => values.get(key).copied(),
            Index::Dense { .. } | Index::Sparse(_) => None,
        };
        found.or(self.default)
    }
}

impl Index {
    fn integers(rows: Vec<(i64, u32)>) -> Self {
        let first = rows.iter().map(|(key, _)| *key).min().unwrap_or_default();
        let last = rows.iter().map(|(key, _)| *key).max().unwrap_or_default();
        let width = last.checked_sub(first).and_then(|width| usize::try_from(width).ok());
        match width.filter(|width| *width / SPREAD <= rows.len()) {
            Some(width) => {
                let mut values = vec![None; width + 1];
                for (key, value) in rows {
                    let position = usize::try_from(key - first).ok();
                    if let Some(slot) = position.and_then(|position| values.get_mut(position)) {
                        *slot = Some(value);
                    }
                }
                Self::Dense { first, values }
            }
            None => Self::Sparse(rows.into_iter().collect()),
        }
    }
}
