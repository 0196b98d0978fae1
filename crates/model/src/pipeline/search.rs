//! Reads how an event type's documents are indexed.

use super::event::FieldDraft;
use super::faults::Faults;
use super::index_name::{Columns, IndexName};
use super::load::POLICIES;
use super::members::Members;
use super::walk::{At, Section};
use super::{Derived, Event, EventKind, Policy, ValueSource};
use crate::document::index;

/// How the documents of an event type are indexed.
#[derive(Debug)]
pub struct Search {
    /// How their index is named.
    pub index: IndexName,
    /// Patterns with `*`, one of which a document's index must fit; empty: any will do.
    pub allow: Vec<String>,
    /// What is done with a document.
    pub action: Action,
    /// Documents have ids of ours; without, the cluster gives them out.
    pub id: bool,
    /// Stands between the values of an id of several fields.
    pub id_delimiter: String,
    /// Whose value routes a document to its shard.
    pub routing: Option<ValueSource>,
    /// Where a document's version comes from.
    pub version: VersionFrom,
    /// The cluster's ingest pipeline that documents go through.
    pub ingest_pipeline: Option<String>,
    /// The member that tells when a document was made.
    pub ingested_at: Option<Appended>,
    /// The member that a data stream wants: the event time.
    pub timestamp_field: Option<Appended>,
    /// What becomes of a record whose id has a newer document, or with [`Action::Create`] any: of those
    /// always [`Policy::Ignore`].
    pub on_version_conflict: Policy,
    /// What becomes of a record that has no index, is too large, or that the cluster refuses.
    pub on_rejected: Policy,
}

/// A member that documents have and records do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its name.
    pub name: String,
    pub(crate) member: usize,
}

/// What is done with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It replaces the document of its id.
    Index,
    /// It is added, unless there is one of its id; the only action of data streams.
    Create,
    /// Its members replace those of the document of its id, which is made if there is none.
    Update,
}

/// Where a document's version comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionFrom {
    /// The cluster counts.
    None,
    /// From the record's place in its source, so that an older record never replaces a newer one.
    Position,
}

/// What an index name and a routing may refer to.
pub(super) struct Context<'c> {
    pub(super) type_value: &'c str,
    pub(super) table: &'c str,
    pub(super) fields: &'c [FieldDraft<'c>],
    pub(super) derived: &'c [Option<Derived>],
    pub(super) event_time: Option<usize>,
}

impl<'c> Context<'c> {
    /// The columns that can be named.
    pub(super) fn columns(&self) -> Columns<'c> {
        Columns {
            type_value: self.type_value,
            fields: self.fields.iter().map(|field| (field.name, field.kind)).collect(),
            derived: self
                .derived
                .iter()
                .map(|found| found.as_ref().map(|found| found.name.as_str()))
                .collect(),
        }
    }
}

/// Reads `search`: a table, an absent one, or `false`, which gives `None`.
pub(super) fn read(
    section: Option<Section<'_>>,
    context: &Context<'_>,
    members: &mut Members,
    faults: &mut Faults<'_>,
) -> Option<Search> {
    let mut section = section?;
    let columns = context.columns();
    let allow = section.texts("allow", faults);
    for pattern in allow.iter().filter(|pattern| pattern.value.is_empty()) {
        pattern.fault(faults, "a pattern cannot be empty: write one as in \"trips-*\"");
    }
    let index = match section.text("index", faults) {
        None => IndexName::fixed(&index::sanitised(context.table)),
        Some(at) => {
            let name = IndexName::read(&at, &columns, faults);
            if allow.is_empty() && name.as_ref().is_some_and(|name| name.begins_with_text(&columns)) {
                let reason = "a name that begins with a text of the event could be any index's: begin with a \
                              text of your own, or say which may be written with `allow`";
                at.fault(faults, reason);
            }
            // The fault stops the file; the table's name lets the rest be read.
            name.unwrap_or_else(|| IndexName::fixed(context.table))
        }
    };
    let actions = [("index", Action::Index), ("create", Action::Create), ("update", Action::Update)];
    let action = section.choice("action", &actions, faults).unwrap_or(Action::Index);
    let id = section.flag("id", faults).unwrap_or(true);
    let id_delimiter = section.text("id_delimiter", faults);
    if let Some(at) = &id_delimiter {
        // Numbers, times and nulls stand in ids as they are, and must not have a delimiter in them.
        let of_values = |character: char| character.is_alphanumeric() || ".+-%".contains(character);
        if at.value.is_empty() || at.value.len() > 16 {
            at.fault(faults, "a delimiter is 1 to 16 bytes");
        } else if at.value.contains(of_values) {
            let reason = "letters, digits and any of `. + - %` are parts of values, and different values would \
                          come to one id: use others, as in \"_\" or \"~\"";
            at.fault(faults, reason);
        }
    }
    let routing = section.text("routing", faults).and_then(|at| columns.find(at.value, &at, faults));
    let versions = [("none", VersionFrom::None), ("position", VersionFrom::Position)];
    let version = section.choice("version", &versions, faults).unwrap_or(VersionFrom::None);
    let ingest_pipeline = section.text("ingest_pipeline", faults);
    let ingested_at = section.text("ingested_at", faults);
    let timestamp_field = section.text("timestamp_field", faults);
    let on_version_conflict = section.choice("on_version_conflict", &POLICIES, faults);
    let on_rejected = section.choice("on_rejected", &POLICIES, faults);

    let of_event_time =
        context.event_time.and_then(|field| context.fields.get(field)).map(|field| field.from);
    check_appended(ingested_at.as_ref(), context, faults);
    if timestamp_field.as_ref().map(|at| at.value) != of_event_time {
        check_appended(timestamp_field.as_ref(), context, faults);
    }
    if let Some((at, other)) = ingested_at.as_ref().zip(timestamp_field.as_ref())
        && at.value == other.value
    {
        at.fault(faults, "is the `timestamp_field` too: choose another name");
    }
    let mut unfit = |key: &str, unfit: bool, reason: &str| {
        if unfit && section.has(key) {
            section.fault(key, faults, reason);
        }
    };
    unfit(
        "version",
        version != VersionFrom::None && action != Action::Index,
        "goes with action \"index\" only",
    );
    unfit(
        "version",
        version != VersionFrom::None && !id,
        "goes with ids only: drop `version` or `id = false`",
    );
    unfit("id", !id && action == Action::Update, "cannot be false where documents are updated");
    unfit("ingest_pipeline", action == Action::Update, "is not asked about updates: use another action");
    unfit(
        "on_version_conflict",
        action == Action::Create && on_version_conflict.is_some_and(|policy| policy != Policy::Ignore),
        "must be \"ignore\" with action \"create\": a document that is sent again, because an answer was lost, \
         conflicts with itself",
    );
    unfit(
        "timestamp_field",
        action != Action::Create,
        "is for data streams, which take action \"create\" only",
    );
    section.finish(faults);

    let mut appended = |at: Option<At<&str>>| {
        at.map(|at| Appended { name: at.value.to_owned(), member: members.number(at.value) })
    };
    Some(Search {
        index,
        allow: allow.iter().map(|pattern| pattern.value.to_owned()).collect(),
        action,
        id,
        id_delimiter: id_delimiter.map_or("_", |at| at.value).to_owned(),
        routing,
        version,
        ingest_pipeline: ingest_pipeline.map(|at| at.value.to_owned()),
        ingested_at: appended(ingested_at),
        timestamp_field: appended(timestamp_field),
        on_version_conflict: on_version_conflict.unwrap_or(Policy::Ignore),
        on_rejected: on_rejected.unwrap_or(Policy::DeadLetter),
    })
}

/// Notes a fault where a member that is to be appended would stand twice.
fn check_appended(at: Option<&At<&str>>, context: &Context<'_>, faults: &mut Faults<'_>) {
    let Some(at) = at else { return };
    if at.value.is_empty() {
        at.fault(faults, "a member's name cannot be empty");
    }
    let of_field = context.fields.iter().any(|field| field.from == at.value);
    let of_derived = context.derived.iter().flatten().any(|derived| derived.name == at.value);
    if of_field || of_derived {
        at.fault(faults, format!("`{}` is a field of the event: choose another name", at.value));
    }
}

/// Notes a fault of each event type whose documents would overwrite those of another: both have ids of
/// their fields' values, and one name of index. `{type}` in it, which is read as text, tells them apart.
pub(super) fn check_shared(events: &[Event], types: &[At<&str>], faults: &mut Faults<'_>) {
    let mut known: Vec<(Vec<String>, &Event)> = Vec::new();
    for (event, at) in events.iter().zip(types) {
        let Some(search) = event.search.as_ref().filter(|search| search.id && !event.id.is_empty()) else {
            continue;
        };
        let index = search.index.spelled(event);
        match known.iter().find(|(other, _)| *other == index) {
            Some((_, other)) => {
                let reason = format!(
                    "its documents would overwrite those of `{}`, which have the same index and may have the \
                     same ids: give it an index of its own, as with {{type}} in `search.index`",
                    other.type_value
                );
                at.fault(faults, reason);
            }
            None => known.push((index, event)),
        }
    }
}

/// Reads the name of the index of dead letters, which no event's documents may be in.
pub(super) fn read_dead_letter_index(
    at: &At<&str>,
    events: &[Event],
    faults: &mut Faults<'_>,
) -> Option<IndexName> {
    if at.value.contains("{type}") {
        at.fault(faults, "a dead letter may be of no type: only {now|…} can be in its index's name");
        return None;
    }
    let no_columns = Columns { type_value: "", fields: Vec::new(), derived: Vec::new() };
    let name = IndexName::read(at, &no_columns, faults)?;
    let example = name.pattern().replace('*', "0");
    for event in events {
        let pattern = event.search.as_ref().map(|search| search.index.pattern());
        if pattern.is_some_and(|pattern| index::fits(&example, &pattern)) {
            let reason =
                format!("may be the index of events of type `{}` too: begin it otherwise", event.type_value);
            at.fault(faults, reason);
        }
    }
    Some(name)
}

/// The event type whose documents are deleted by records without a value.
///
/// # Errors
/// Why there is none, and what to do.
pub(super) fn deletes_from(events: &[Event], default_event: Option<usize>) -> Result<usize, String> {
    let mut of_rows = (0..events.len())
        .filter(|&event| events.get(event).is_some_and(|event| event.kind == EventKind::Rows));
    let only = of_rows.next().filter(|_| of_rows.next().is_none());
    let event =
        default_event.or(only).ok_or("a null tells no type: name a `default_type`, or use another policy")?;
    let of = events.get(event).map(|event| event.type_value.as_str()).unwrap_or_default();
    let fault = match events.get(event).and_then(|event| event.search.as_ref()) {
        None => "have no documents",
        Some(search) if !search.id || search.action == Action::Create => "cannot be deleted by id",
        Some(search) if !search.index.is_fixed() || search.routing.is_some() => {
            "have an index or a routing that a null does not tell"
        }
        Some(_) => return Ok(event),
    };
    Err(format!("events of type `{of}` {fault}: use another policy"))
}
