//! Names of indices: `trips-{borough}-{pickup_datetime|yyyy.MM}`.

use super::faults::{Faults, suggestion};
use super::walk::At;
use super::{Event, FieldType, TimePart, ValueSource};
use crate::document::index;

/// How the index of an event's document is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexName {
    /// Its parts, one after another.
    pub parts: Vec<IndexPart>,
}

/// A part of an index name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexPart {
    /// It stands as it is.
    Literal(String),
    /// `{field}`: a value of the event, made fit for an index name.
    Value(ValueSource),
    /// `{field|yyyy-MM}`: parts of a timestamp field, by its index among the event type's fields.
    Time(usize, TimeFormat),
    /// `{now|yyyy-MM}`: parts of the time at which the document is made.
    Now(TimeFormat),
}

/// Parts of a time and what stands between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeFormat(pub Vec<TimeToken>);

/// A piece of a [`TimeFormat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeToken {
    /// A part of the time, UTC.
    Part(TimePart),
    /// One of `-`, `_` and `.`.
    Between(char),
}

/// The words of a time format.
const WORDS: [(&str, TimePart); 4] =
    [("yyyy", TimePart::Year), ("MM", TimePart::Month), ("dd", TimePart::Day), ("HH", TimePart::Hour)];

/// What an index name may refer to.
pub(super) struct Columns<'c> {
    pub(super) type_value: &'c str,
    /// Names and types of the fields; no type where that is faulty.
    pub(super) fields: Vec<(&'c str, Option<FieldType>)>,
    /// Names of the derived columns; `None` where one is faulty.
    pub(super) derived: Vec<Option<&'c str>>,
}

impl Columns<'_> {
    /// The field or derived column that `at` names, or a fault.
    pub(super) fn find(&self, name: &str, at: &At<&str>, faults: &mut Faults<'_>) -> Option<ValueSource> {
        let field = self.fields.iter().position(|(field, _)| *field == name).map(ValueSource::Field);
        let derived = || self.derived.iter().position(|column| *column == Some(name));
        let found = field.or_else(|| derived().map(ValueSource::Derived));
        // A derived column that is itself at fault may be the one that is meant.
        if found.is_none() && self.derived.iter().all(Option::is_some) {
            let fields = self.fields.iter().map(|(field, _)| *field);
            let known: Vec<&str> = fields.chain(self.derived.iter().flatten().copied()).collect();
            at.fault(faults, format!("no field `{name}`: {}", suggestion(name, &known)));
        }
        found
    }

    pub(super) fn kind(&self, source: ValueSource) -> Option<FieldType> {
        match source {
            ValueSource::Field(field) => self.fields.get(field)?.1,
            ValueSource::Derived(_) => Some(FieldType::String),
        }
    }
}

impl IndexName {
    /// The name that is `text` for every event.
    pub(super) fn fixed(text: &str) -> Self {
        Self { parts: vec![IndexPart::Literal(text.to_owned())] }
    }

    /// Whether every document has the same index.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, IndexPart::Literal(_)))
    }

    /// Whether a field's text, which is its sender's, is what the name begins with.
    pub(super) fn begins_with_text(&self, columns: &Columns<'_>) -> bool {
        match self.parts.first() {
            Some(IndexPart::Value(source @ ValueSource::Field(_))) => {
                columns.kind(*source) == Some(FieldType::String)
            }
            _ => false,
        }
    }

    /// The index pattern that every name fits: what varies is `*`.
    #[must_use]
    pub fn pattern(&self) -> String {
        let mut pattern = String::new();
        for part in &self.parts {
            match part {
                IndexPart::Literal(text) => pattern.push_str(text),
                _ if pattern.ends_with('*') => {}
                _ => pattern.push('*'),
            }
        }
        pattern
    }

    /// Its parts in words that are the same for the same name, whichever event type of columns named so it
    /// belongs to.
    pub(super) fn spelled(&self, event: &Event) -> Vec<String> {
        let field = |field: usize| event.fields.get(field).map(|field| field.name.as_str());
        let derived = |column: usize| event.derived.get(column).map(|column| column.name.as_str());
        let part = |part: &IndexPart| match part {
            IndexPart::Literal(text) => text.clone(),
            IndexPart::Value(ValueSource::Field(of)) => format!("{{{}}}", field(*of).unwrap_or_default()),
            IndexPart::Value(ValueSource::Derived(of)) => format!("{{{}}}", derived(*of).unwrap_or_default()),
            IndexPart::Time(of, format) => format!("{{{}|{format:?}}}", field(*of).unwrap_or_default()),
            IndexPart::Now(format) => format!("{{now|{format:?}}}"),
        };
        self.parts.iter().map(part).collect()
    }

    /// Reads a name; `None` only with a fault noted.
    pub(super) fn read(at: &At<&str>, columns: &Columns<'_>, faults: &mut Faults<'_>) -> Option<Self> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = at.value;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            let Some((inner, after)) = after.split_once('}') else {
                at.fault(faults, "`{` without `}`: write values as in trips-{borough}");
                return None;
            };
            if inner == "type" {
                literal.push_str(&index::sanitised(columns.type_value));
            } else {
                if !literal.is_empty() {
                    parts.push(IndexPart::Literal(std::mem::take(&mut literal)));
                }
                parts.push(read_part(inner, at, columns, faults)?);
            }
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(IndexPart::Literal(literal));
        }
        let mut literals = parts.iter().filter_map(|part| match part {
            IndexPart::Literal(text) => Some(text.as_str()),
            _ => None,
        });
        if let Some(bad) = literals.find_map(index::misfit) {
            at.fault(faults, format!("an index name cannot have {bad} in it"));
            return None;
        }
        let first_is_bad = |text: &str| text.starts_with(index::NEVER_FIRST);
        match parts.first() {
            None => at.fault(faults, "an index name cannot be empty"),
            Some(IndexPart::Literal(text)) if first_is_bad(text) => {
                at.fault(faults, "an index name cannot begin with `-`, `_`, `+` or `.`");
            }
            Some(_) => return Some(Self { parts }),
        }
        None
    }
}

/// Reads what stands between `{` and `}`.
fn read_part(
    inner: &str,
    at: &At<&str>,
    columns: &Columns<'_>,
    faults: &mut Faults<'_>,
) -> Option<IndexPart> {
    let Some((name, format)) = inner.split_once('|') else {
        if inner == "now" {
            at.fault(faults, "`{now}` needs a format, as in {now|yyyy-MM-dd}");
            return None;
        }
        let source = columns.find(inner, at, faults)?;
        return match columns.kind(source)? {
            FieldType::Timestamp => {
                at.fault(faults, format!("a timestamp needs a format, as in {{{inner}|yyyy-MM-dd}}"));
                None
            }
            FieldType::Float64 => {
                at.fault(faults, "a float64 makes no index name: use another field");
                None
            }
            _ => Some(IndexPart::Value(source)),
        };
    };
    let format = read_format(format, at, faults);
    if name == "now" {
        return format.map(IndexPart::Now);
    }
    match columns.find(name, at, faults)? {
        ValueSource::Field(field) if columns.kind(ValueSource::Field(field))? == FieldType::Timestamp => {
            format.map(|format| IndexPart::Time(field, format))
        }
        _ => {
            at.fault(faults, format!("`{name}` is no timestamp, and only timestamps have a format"));
            None
        }
    }
}

fn read_format(text: &str, at: &At<&str>, faults: &mut Faults<'_>) -> Option<TimeFormat> {
    let mut tokens = Vec::new();
    let mut rest = text;
    'words: while let Some(first) = rest.chars().next() {
        for (word, part) in WORDS {
            if let Some(after) = rest.strip_prefix(word) {
                tokens.push(TimeToken::Part(part));
                rest = after;
                continue 'words;
            }
        }
        if !matches!(first, '-' | '_' | '.') {
            break;
        }
        tokens.push(TimeToken::Between(first));
        rest = rest.get(1..).unwrap_or_default();
    }
    if rest.is_empty() && tokens.iter().any(|token| matches!(token, TimeToken::Part(_))) {
        return Some(TimeFormat(tokens));
    }
    let reason = format!("`{text}` is no format here: use yyyy, MM, dd and HH with `-`, `_` or `.` between");
    at.fault(faults, reason);
    None
}
