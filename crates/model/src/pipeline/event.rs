//! Reads one event type.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Schema};

use super::faults::{Faults, suggestion};
use super::members::Members;
use super::placement::{read_derived, read_partition};
use super::table::Table;
use super::walk::{At, Section};
use super::{
    DefaultValue, Derived, Event, EventKind, Field, FieldType, PartitionKey, PartitionSource, forward, search,
};
use crate::batch::{DEAD_LETTER_TABLE, metadata};
use crate::partition::VALUE_BYTES;

/// What an event type may refer to.
pub(super) struct Context<'c> {
    /// Names of the tables in the file, unreadable ones too.
    pub(super) declared: &'c [&'c str],
    pub(super) tables: &'c [Table],
    pub(super) schema_version: u32,
}

/// An event type, and the numbers of the members that it knows and does not store.
pub(super) struct Draft {
    pub(super) event: Event,
    pub(super) ignored: Vec<usize>,
}

/// Names that must differ: case apart, as query engines fold it, unless they are `exact`.
#[derive(Default)]
pub(super) struct Names {
    taken: HashMap<String, String>,
    exact: bool,
}

impl Names {
    /// Names of which the case counts.
    fn exact() -> Self {
        Self { exact: true, ..Self::default() }
    }
}

impl Names {
    /// Takes a name and returns true, or notes that it is taken.
    pub(super) fn claim(&mut self, name: &At<&str>, faults: &mut Faults<'_>) -> bool {
        let folded = if self.exact { name.value.to_owned() } else { name.value.to_lowercase() };
        match self.taken.get(&folded) {
            Some(first) => {
                name.fault(faults, format!("`{}` is taken by {first}: choose another name", name.value));
                false
            }
            None => self.taken.insert(folded, name.path.clone()).is_none(),
        }
    }
}

/// Names that event types have taken.
pub(super) struct Taken {
    tables: Names,
    topics: Names,
}

impl Default for Taken {
    fn default() -> Self {
        Self { tables: Names::default(), topics: Names::exact() }
    }
}

/// A field as it is being read; no `kind` where that is faulty, so that nothing is concluded from it.
pub(super) struct FieldDraft<'d> {
    pub(super) name: &'d str,
    pub(super) from: &'d str,
    pub(super) kind: Option<FieldType>,
    required: bool,
    default: Option<DefaultValue>,
}

/// Longest partition path, so that a key in the lake stays within the 1,024 bytes that S3 allows.
const PATH_BYTES: usize = 700;

pub(super) fn read(
    name: &At<&str>,
    mut section: Section<'_>,
    context: &Context<'_>,
    members: &mut Members,
    taken: &mut Taken,
    faults: &mut Faults<'_>,
) -> Option<Draft> {
    let kinds = [("rows", EventKind::Rows), ("watermark", EventKind::Watermark)];
    match section.choice("kind", &kinds, faults) {
        Some(EventKind::Watermark) => read_watermark(name, section, members, faults),
        Some(EventKind::Rows) | None => read_rows(name, section, context, members, taken, faults),
    }
}

fn read_watermark(
    name: &At<&str>,
    mut section: Section<'_>,
    members: &mut Members,
    faults: &mut Faults<'_>,
) -> Option<Draft> {
    section.needs("event_time", faults, "name the member that holds the watermark's time");
    let event_time = section.text("event_time", faults);
    section.finish(faults);
    let field = Field {
        name: event_time.as_ref()?.value.to_owned(),
        from: event_time.as_ref()?.value.to_owned(),
        kind: FieldType::Timestamp,
        required: true,
        default: None,
        member: members.number(event_time?.value),
    };
    let event = Event {
        type_value: name.value.to_owned(),
        topics: Vec::new(),
        table: name.value.into(),
        kind: EventKind::Watermark,
        fields: vec![field],
        derived: Vec::new(),
        id: Vec::new(),
        event_time: 0,
        timestamps: vec![0],
        unknown_fields_column: None,
        partition: Vec::new(),
        schema: Arc::new(Schema::empty()),
        search: None,
        forwards: BTreeMap::new(),
    };
    Some(Draft { event, ignored: Vec::new() })
}

/// Checks the table's name, which is the type's if none is given.
fn read_table_name(
    name: &At<&str>,
    section: &mut Section<'_>,
    tables: &mut Names,
    faults: &mut Faults<'_>,
) -> Arc<str> {
    let table = section.text("table", faults).unwrap_or_else(|| name.clone());
    if table.value == DEAD_LETTER_TABLE {
        table.fault(
            faults,
            format!("`{DEAD_LETTER_TABLE}` is the table of dead letters: choose another with `table`"),
        );
    } else if !is_folder_name(table.value) {
        let reason = format!(
            "`{}` cannot be a folder's name, which is [a-z][a-z0-9_]*: choose one with `table`",
            table.value
        );
        table.fault(faults, reason);
    } else {
        tables.claim(&table, faults);
    }
    table.value.into()
}

pub(super) fn is_folder_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(sound)
}

fn read_rows(
    name: &At<&str>,
    mut section: Section<'_>,
    context: &Context<'_>,
    members: &mut Members,
    taken: &mut Taken,
    faults: &mut Faults<'_>,
) -> Option<Draft> {
    let table = read_table_name(name, &mut section, &mut taken.tables, faults);
    let before = faults.found.len();
    let mut columns = Names::default();
    let mut sources = Names::exact();
    section.needs("fields", faults, "list the columns, as in { name = \"trip_id\", type = \"int64\" }");
    let field_sections = section.sections("fields", faults);
    let fields: Vec<FieldDraft<'_>> = field_sections
        .into_iter()
        .filter_map(|field| read_field(field, &mut columns, &mut sources, faults))
        .collect();
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    let find = |at: &At<&str>, faults: &mut Faults<'_>| {
        let found = names.iter().position(|name| *name == at.value);
        if found.is_none() {
            at.fault(faults, format!("no field `{}`: {}", at.value, suggestion(at.value, &names)));
        }
        found
    };

    section.needs("event_time", faults, "name the required timestamp field by which rows are partitioned");
    let event_time = section.text("event_time", faults).and_then(|at| {
        let found = find(&at, faults)?;
        let field = fields.get(found)?;
        if field.kind.is_some_and(|kind| kind != FieldType::Timestamp) || !field.required {
            let reason =
                format!("field `{}` must be of type \"timestamp\" and have required = true", at.value);
            at.fault(faults, reason);
        }
        Some(found)
    });
    let mut topics = Vec::new();
    for at in section.texts("topics", faults) {
        taken.topics.claim(&at, faults);
        topics.push(at.value.to_owned());
    }
    let mut id = Vec::new();
    for at in section.texts("id", faults) {
        if let Some(found) = find(&at, faults) {
            if id.contains(&found) {
                at.fault(faults, format!("`{}` is named twice", at.value));
            }
            id.push(found);
        }
    }

    let derived: Vec<Option<Derived>> = section
        .sections("derived", faults)
        .into_iter()
        .map(|section| read_derived(section, context, &fields, &find, &mut columns, members, faults))
        .collect();

    let keep = section.choice("unknown_fields", &[("count", false), ("keep", true)], faults).unwrap_or(false);
    let keep_at = section.text("unknown_fields_column", faults);
    if let (Some(at), false) = (&keep_at, keep) {
        at.fault(faults, "has no effect without unknown_fields = \"keep\": add that or leave this out");
    }
    let unknown_fields_column =
        keep.then(|| keep_at.as_ref().map_or("unknown_fields", |at| at.value).to_owned());
    if let Some(column) = &unknown_fields_column {
        let fallback =
            At { value: column.as_str(), offset: section.offset, path: section.path_of("unknown_fields") };
        let at = keep_at.unwrap_or(fallback);
        check_column_name(&at, faults);
        columns.claim(&at, faults);
    }

    let mut ignored = Vec::new();
    for at in section.texts("ignored_fields", faults) {
        sources.claim(&at, faults);
        ignored.push(members.number(at.value));
    }

    section.needs("partition", faults, "name at least one level, as in { name = \"year\", time = \"year\" }");
    let mut partition = Vec::new();
    for level in section.sections("partition", faults) {
        partition.extend(read_partition(level, &fields, &derived, &mut columns, faults));
    }
    let level = |key: &PartitionKey| match key.source {
        PartitionSource::Time(_) => key.name.len() + 6,
        PartitionSource::Field(_) | PartitionSource::Derived(_) => key.name.len() + 2 + VALUE_BYTES,
    };
    let path: usize = partition.iter().map(level).sum();
    if path > PATH_BYTES {
        let reason =
            format!("paths could come to {path} bytes, and {PATH_BYTES} are allowed: leave out a level");
        section.fault("partition", faults, reason);
    }
    let search_context = search::Context {
        type_value: name.value,
        table: &table,
        fields: &fields,
        derived: &derived,
        event_time,
    };
    let search = search::read(section.optional_section("search", faults), &search_context, members, faults);
    let forwards = forward::read(&mut section, &search_context.columns(), faults);
    section.finish(faults);
    if faults.found.len() > before {
        return None;
    }

    let fields = fields
        .iter()
        .map(|field| {
            Some(Field {
                name: field.name.to_owned(),
                from: field.from.to_owned(),
                kind: field.kind?,
                required: field.required,
                default: field.default,
                member: members.number(field.from),
            })
        })
        .collect::<Option<Vec<_>>>()?;
    let is_timestamp =
        |(index, field): (usize, &Field)| (field.kind == FieldType::Timestamp).then_some(index);
    let timestamps = fields.iter().enumerate().filter_map(is_timestamp).collect();
    let mut event = Event {
        type_value: name.value.to_owned(),
        topics,
        table,
        kind: EventKind::Rows,
        fields,
        derived: derived.into_iter().collect::<Option<_>>()?,
        id,
        event_time: event_time?,
        timestamps,
        unknown_fields_column,
        partition,
        schema: Arc::new(Schema::empty()),
        search,
        forwards,
    };
    event.schema = Arc::new(schema(&event, context.schema_version));
    Some(Draft { event, ignored })
}

pub(super) fn check_column_name(at: &At<&str>, faults: &mut Faults<'_>) {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let digit_first = at.value.starts_with(|first: char| first.is_ascii_digit());
    if at.value.is_empty() || at.value.len() > 128 || digit_first || !at.value.bytes().all(sound) {
        let reason = format!("`{}` cannot be a column's name, which is [A-Za-z_][A-Za-z0-9_]*", at.value);
        at.fault(faults, reason);
    }
}

fn read_field<'d>(
    mut section: Section<'d>,
    columns: &mut Names,
    sources: &mut Names,
    faults: &mut Faults<'_>,
) -> Option<FieldDraft<'d>> {
    section.needs("name", faults, "name the column");
    section.needs("type", faults, "choose one of the field types, such as \"string\"");
    let name = section.text("name", faults);
    let kind = section.choice("type", &FieldType::NAMES, faults);
    let required = section.flag("required", faults).unwrap_or(false);
    let from = section.text("from", faults);
    let default = section.choice("default", &[("arrival-time", DefaultValue::ArrivalTime)], faults);
    if default.is_some() && kind.is_some_and(|kind| kind != FieldType::Timestamp) {
        section.fault("default", faults, "is a time: it goes with type \"timestamp\" only");
    }
    section.finish(faults);
    let name = name?;
    check_column_name(&name, faults);
    if columns.claim(&name, faults) {
        sources.claim(from.as_ref().unwrap_or(&name), faults);
    }
    let from = from.map_or(name.value, |from| from.value);
    Some(FieldDraft { name: name.value, from, kind, required, default })
}

fn schema(event: &Event, version: u32) -> Schema {
    let column = arrow_schema::Field::new;
    let fields = event.fields.iter().map(|field| column(&field.name, field.kind.arrow(), !field.required));
    let derived = event
        .derived
        .iter()
        .map(|derived| column(&derived.name, DataType::Utf8, derived.lookup.default_value().is_none()));
    let unknown = event.unknown_fields_column.iter().map(|name| column(name, DataType::Utf8, true));
    let name_of =
        |index: &usize| event.fields.get(*index).map(|field| field.name.as_str()).unwrap_or_default();
    let ids: Vec<&str> = event.id.iter().map(name_of).collect();
    let metadata = table_metadata(&event.table, version, name_of(&event.event_time), &ids);
    Schema::new_with_metadata(fields.chain(derived).chain(unknown).collect::<Vec<_>>(), metadata)
}

/// The metadata by which a table explains itself.
pub(crate) fn table_metadata(table: &str, version: u32, time: &str, ids: &[&str]) -> HashMap<String, String> {
    [
        (metadata::TABLE, table.to_owned()),
        (metadata::SCHEMA_VERSION, version.to_string()),
        (metadata::TIME_COLUMN, time.to_owned()),
        (metadata::ID_COLUMNS, ids.join(",")),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}
