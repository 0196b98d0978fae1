//! Reads `pipeline.toml`.

use std::collections::BTreeSet;
use std::path::Path;

use toml::de::DeTable;

use super::event::{self, Draft};
use super::faults::{Fault, Faults, suggestion};
use super::members::Members;
use super::table::Table;
use super::walk::{At, Section};
use super::{Event, LakeFormat, Limits, NullPolicy, Pipeline, PipelineError, Policy, event_time, search};
use crate::batch::LATE_SUFFIX;

pub(super) const POLICIES: [(&str, Policy); 3] =
    [("dead-letter", Policy::DeadLetter), ("fail", Policy::Fail), ("ignore", Policy::Ignore)];

/// `on_null` before it is known which event type a null is of.
#[derive(Clone, Copy)]
enum Nulls {
    DeadLetter,
    Fail,
    Ignore,
    Delete,
}

pub(super) fn load(dir: &Path) -> Result<Pipeline, PipelineError> {
    let file = dir.join("pipeline.toml");
    let text = std::fs::read_to_string(&file).map_err(|error| {
        let reason = format!("cannot read the pipeline: {error}");
        PipelineError { faults: vec![Fault { file: file.clone(), place: None, key: String::new(), reason }] }
    })?;
    let (root, errors) = DeTable::parse_recoverable(&text);
    let mut faults = Faults::new(&file, &text);
    for error in errors {
        faults.add(error.span().map_or(0, |span| span.start), "", format!("not TOML: {}", error.message()));
    }
    let pipeline = read(Section::root(root.get_ref()), dir, &mut faults);
    let mut found = faults.found;
    match pipeline {
        Some(pipeline) if found.is_empty() => Ok(pipeline),
        _ => {
            found.sort_by(|left, right| {
                let order = |fault: &Fault| (fault.file != file, fault.file.clone(), fault.place);
                order(left).cmp(&order(right))
            });
            Err(PipelineError { faults: found })
        }
    }
}

/// `None` only with a fault noted.
fn read(mut root: Section<'_>, dir: &Path, faults: &mut Faults<'_>) -> Option<Pipeline> {
    root.needs("id", faults, "name the pipeline, as in id = \"taxi\"");
    let id = root.text("id", faults);
    if let Some(id) = &id {
        let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.value.is_empty() || id.value.len() > 64 || !id.value.bytes().all(sound) {
            id.fault(faults, "must be 1 to 64 of a-z, 0-9 and -, as it is part of paths");
        }
    }
    root.needs("schema_version", faults, "start with 1 and raise it when columns change");
    let schema_version = root.integer("schema_version", 1..=u64::from(u32::MAX), faults);
    let type_field = root.text("type_field", faults).map_or("type", |field| field.value);
    let default_type = root.text("default_type", faults);
    let on_malformed = root.choice("on_malformed", &POLICIES, faults);
    let on_unknown_type = root.choice("on_unknown_type", &POLICIES, faults);
    let nulls = [
        ("dead-letter", Nulls::DeadLetter),
        ("fail", Nulls::Fail),
        ("ignore", Nulls::Ignore),
        ("delete", Nulls::Delete),
    ];
    let on_null_at = root.place("on_null");
    let on_null = root.choice("on_null", &nulls, faults);
    let event_time = event_time::read(root.section("event_time", faults), faults);
    let limits = read_limits(root.section("limits", faults), faults);
    let mut lake = root.section("lake", faults);
    let formats = [("parquet", LakeFormat::Parquet), ("json", LakeFormat::Json)];
    let format = lake.choice("format", &formats, faults);
    lake.finish(faults);
    let mut dead_letters = root.section("dead_letters", faults);
    let dead_letter_index = dead_letters.text("index", faults);
    dead_letters.finish(faults);

    let tables = root.section("tables", faults).named_sections(faults);
    let declared: Vec<&str> = tables.iter().map(|(name, _)| name.value).collect();
    let tables: Vec<Table> = tables
        .into_iter()
        .filter_map(|(name, section)| Table::read(name.value, section, dir, faults))
        .collect();

    let mut members = Members::new(type_field);
    let schema_version = u32::try_from(schema_version.unwrap_or(1)).unwrap_or(1);
    let context = event::Context { declared: &declared, tables: &tables, schema_version };
    let sections = root.section("events", faults).named_sections(faults);
    if sections.is_empty() {
        root.fault("events", faults, "there is no event type: describe one under [events.<type>]");
    }
    let type_names: Vec<_> = sections.iter().map(|(name, _)| name.clone()).collect();
    let types: Vec<&str> = type_names.iter().map(|name| name.value).collect();
    let default_event = default_type.and_then(|default| {
        let found = types.iter().position(|name| *name == default.value);
        if found.is_none() {
            default.fault(
                faults,
                format!("no event type `{}`: {}", default.value, suggestion(default.value, &types)),
            );
        }
        found
    });
    let mut taken = event::Taken::default();
    let drafts: Vec<Option<Draft>> = sections
        .into_iter()
        .map(|(name, section)| event::read(&name, section, &context, &mut members, &mut taken, faults))
        .collect();
    let drafts = drafts.into_iter().collect::<Option<Vec<_>>>();
    root.finish(faults);
    let (events, ignored): (Vec<_>, Vec<_>) =
        drafts?.into_iter().map(|draft| (draft.event, draft.ignored)).unzip();
    members.settle(&events, &ignored);
    search::check_shared(&events, &type_names, faults);
    let dead_letter_index =
        dead_letter_index.and_then(|at| search::read_dead_letter_index(&at, &events, faults));

    let event_time = event_time.settle(&events, faults);
    check_late_tables(&events, &type_names, faults);
    let on_null = match on_null {
        None | Some(Nulls::DeadLetter) => NullPolicy::DeadLetter,
        Some(Nulls::Fail) => NullPolicy::Fail,
        Some(Nulls::Ignore) => NullPolicy::Ignore,
        Some(Nulls::Delete) => match search::deletes_from(&events, default_event) {
            Ok(event) => NullPolicy::Delete { event },
            Err(reason) => {
                faults.add(on_null_at, "on_null", reason);
                return None;
            }
        },
    };
    Some(Pipeline {
        id: id.map(|id| id.value.to_owned())?,
        schema_version,
        type_field: type_field.to_owned(),
        default_event,
        on_malformed: on_malformed.unwrap_or(Policy::DeadLetter),
        on_unknown_type: on_unknown_type.unwrap_or(Policy::DeadLetter),
        on_null,
        event_time,
        limits,
        format: format.unwrap_or(LakeFormat::Parquet),
        dead_letter_index,
        events,
        members,
    })
}

/// Late rows have a table of their own beside that of the others.
fn check_late_tables(events: &[Event], names: &[At<&str>], faults: &mut Faults<'_>) {
    let tables: BTreeSet<&str> = events.iter().map(|event| &*event.table).collect();
    for (event, name) in events.iter().zip(names) {
        if let Some(table) = event.table.strip_suffix(LATE_SUFFIX).filter(|table| tables.contains(table)) {
            let reason = format!(
                "the table `{}` is that of late rows of `{table}`: choose another with `table`",
                event.table
            );
            name.fault(faults, reason);
        }
    }
}

fn read_limits(mut section: Section<'_>, faults: &mut Faults<'_>) -> Limits {
    let mut limit = |key, range, default| {
        let value = section.integer(key, range, faults).unwrap_or(default);
        usize::try_from(value).unwrap_or(usize::MAX)
    };
    let record_bytes = limit("record_bytes", 1..=64 << 20, 1 << 20);
    let text_bytes = limit("text_bytes", 1..=64 << 20, 1 << 16);
    let nesting = limit("nesting", 1..=1000, 64);
    section.finish(faults);
    Limits { record_bytes, text_bytes, nesting }
}
