//! Typed reading of TOML tables that notes what is wrong and goes on.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::faults::{Faults, listed, suggestion};

/// Something read, with the place and key it was read from.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    /// Byte offset in the file.
    pub(super) offset: usize,
    /// Path of the key.
    pub(super) path: String,
}

impl<T> At<T> {
    pub(super) fn fault(&self, faults: &mut Faults<'_>, reason: impl Into<String>) {
        faults.add(self.offset, self.path.as_str(), reason);
    }
}

/// A table that is being read. Each key asked for is thereby a known one; [`Section::finish`] notes the
/// others.
#[derive(Debug)]
pub(super) struct Section<'d> {
    table: Option<&'d DeTable<'d>>,
    pub(super) offset: usize,
    pub(super) path: String,
    known: Vec<&'static str>,
}

type Found<'d> = At<&'d DeValue<'d>>;

impl<'d> Section<'d> {
    pub(super) const fn root(table: &'d DeTable<'d>) -> Self {
        Self { table: Some(table), offset: 0, path: String::new(), known: Vec::new() }
    }

    fn of(value: &Found<'d>, faults: &mut Faults<'_>) -> Option<Self> {
        match value.value {
            DeValue::Table(table) => Some(Self {
                table: Some(table),
                offset: value.offset,
                path: value.path.clone(),
                known: Vec::new(),
            }),
            other => wrong_type(value, other, "a table", faults),
        }
    }

    /// Path of the member `key`.
    pub(super) fn path_of(&self, key: &str) -> String {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let key = if !key.is_empty() && key.bytes().all(bare) {
            key.to_owned()
        } else {
            format!("\"{}\"", key.escape_debug())
        };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    /// Notes a fault of `key`, which is not there, or of the table as a whole.
    pub(super) fn fault(&self, key: &str, faults: &mut Faults<'_>, reason: impl Into<String>) {
        let path = if key.is_empty() { self.path.clone() } else { self.path_of(key) };
        faults.add(self.offset, path, reason);
    }

    fn find(&mut self, key: &'static str) -> Option<Found<'d>> {
        self.known.push(key);
        let value = self.table?.get(key)?;
        Some(At { value: value.get_ref(), offset: value.span().start, path: self.path_of(key) })
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where the value of a key is, or the table where it is not there.
    pub(super) fn place(&self, key: &str) -> usize {
        self.table.and_then(|table| table.get(key)).map_or(self.offset, |value| value.span().start)
    }

    /// Notes that a key is missing, if it is.
    pub(super) fn needs(&self, key: &str, faults: &mut Faults<'_>, advice: &str) {
        if !self.has(key) {
            self.fault(key, faults, format!("is missing: {advice}"));
        }
    }

    pub(super) fn text(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Option<At<&'d str>> {
        let found = self.find(key)?;
        as_text(&found, faults)
    }

    pub(super) fn flag(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Option<bool> {
        let found = self.find(key)?;
        match found.value {
            DeValue::Boolean(value) => Some(*value),
            other => wrong_type(&found, other, "`true` or `false`", faults),
        }
    }

    pub(super) fn integer(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        faults: &mut Faults<'_>,
    ) -> Option<u64> {
        let found = self.find(key)?;
        let DeValue::Integer(integer) = found.value else {
            return wrong_type(&found, found.value, "an integer", faults);
        };
        let value =
            u64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|value| range.contains(value));
        if value.is_none() {
            let (low, high) = range.into_inner();
            found.fault(faults, format!("{integer} is out of range: it must be from {low} to {high}"));
        }
        value
    }

    /// One of a set of words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        faults: &mut Faults<'_>,
    ) -> Option<T> {
        let found = self.text(key, faults)?;
        let choice = choices.iter().find(|(word, _)| *word == found.value);
        if choice.is_none() {
            let words = choices.iter().map(|(word, _)| word);
            let reason = format!("`{}` is not a choice here: use one of {}", found.value, listed(words));
            found.fault(faults, reason);
        }
        choice.map(|(_, value)| *value)
    }

    /// A number with a unit, `ms`, `s`, `m`, `h` or `d`, in milliseconds.
    pub(super) fn duration_ms(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Option<i64> {
        let found = self.text(key, faults)?;
        let digits = found.value.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = found.value.split_at_checked(digits)?;
        let unit_ms = match unit {
            "ms" => Some(1),
            "s" => Some(1000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            "d" => Some(86_400_000),
            _ => None,
        };
        let ms = unit_ms.and_then(|unit| number.parse::<i64>().ok()?.checked_mul(unit));
        if ms.is_none() {
            let reason = format!(
                "`{}` is not a duration: write a number and ms, s, m, h or d, as in \"24h\"",
                found.value
            );
            found.fault(faults, reason);
        }
        ms
    }

    /// An array of strings; empty if it is not there.
    pub(super) fn texts(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Vec<At<&'d str>> {
        self.elements(key, faults).iter().filter_map(|element| as_text(element, faults)).collect()
    }

    /// An array of tables; empty if it is not there.
    pub(super) fn sections(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Vec<Self> {
        self.elements(key, faults).iter().filter_map(|element| Self::of(element, faults)).collect()
    }

    fn elements(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Vec<Found<'d>> {
        let Some(found) = self.find(key) else { return Vec::new() };
        let DeValue::Array(array) = found.value else {
            return wrong_type(&found, found.value, "an array", faults).unwrap_or_default();
        };
        let element = |(index, value): (usize, &'d Spanned<DeValue<'d>>)| At {
            value: value.get_ref(),
            offset: value.span().start,
            path: format!("{}[{index}]", found.path),
        };
        array.iter().enumerate().map(element).collect()
    }

    /// A table; an empty one if it is not there.
    pub(super) fn section(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Self {
        let path = self.path_of(key);
        self.find(key).and_then(|found| Self::of(&found, faults)).unwrap_or(Self {
            table: None,
            offset: self.offset,
            path,
            known: Vec::new(),
        })
    }

    /// A table, an empty one if it is not there or `true`; `None` if it is `false`.
    pub(super) fn optional_section(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Option<Self> {
        match self.table.and_then(|table| table.get(key)).map(Spanned::get_ref) {
            Some(DeValue::Boolean(on)) => {
                self.known.push(key);
                let (offset, path) = (self.place(key), self.path_of(key));
                on.then_some(Self { table: None, offset, path, known: Vec::new() })
            }
            _ => Some(self.section(key, faults)),
        }
    }

    /// The members of a table whose keys the writer chooses, in the order of the file.
    pub(super) fn entries(&self) -> Vec<(At<&'d str>, At<&'d DeValue<'d>>)> {
        let mut entries: Vec<_> = self
            .table
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let path = self.path_of(key.get_ref());
                let name = At { value: key.get_ref().as_ref(), offset: key.span().start, path: path.clone() };
                (name, At { value: value.get_ref(), offset: value.span().start, path })
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.offset);
        entries
    }

    /// As [`Section::entries`], each of which must be a table. Its place is that of its key.
    pub(super) fn named_sections(&self, faults: &mut Faults<'_>) -> Vec<(At<&'d str>, Self)> {
        let named = |(key, value): (At<&'d str>, Found<'d>)| {
            let section = Self::of(&value, faults)?;
            Some((key.clone(), Self { offset: key.offset, ..section }))
        };
        self.entries().into_iter().filter_map(named).collect()
    }

    /// Notes every key that was not asked for.
    pub(super) fn finish(self, faults: &mut Faults<'_>) {
        for (key, _) in self.entries() {
            if !self.known.contains(&key.value) {
                key.fault(faults, format!("no such key: {}", suggestion(key.value, &self.known)));
            }
        }
    }
}

/// The string that `found` must be.
pub(super) fn as_text<'d>(found: &At<&'d DeValue<'d>>, faults: &mut Faults<'_>) -> Option<At<&'d str>> {
    match found.value {
        DeValue::String(value) => {
            Some(At { value: value.as_ref(), offset: found.offset, path: found.path.clone() })
        }
        other => wrong_type(found, other, "a string", faults),
    }
}

fn wrong_type<T>(at: &Found<'_>, value: &DeValue<'_>, wanted: &str, faults: &mut Faults<'_>) -> Option<T> {
    let found = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a datetime",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    at.fault(faults, format!("must be {wanted}, and is {found}"));
    None
}
