//! Reads what places a row: its derived columns and its partition.

use std::collections::BTreeMap;

use super::event::{Context, FieldDraft, Names, check_column_name, is_folder_name};
use super::faults::{Faults, suggestion};
use super::lookup::Lookup;
use super::members::Members;
use super::walk::{At, Section, as_text};
use super::{Derived, FieldType, PartitionKey, PartitionSource, TimePart};
use crate::partition::{self, VALUE_BYTES};

/// Reads one derived column; `find` finds a field by its name or notes that there is none.
pub(super) fn read_derived(
    mut section: Section<'_>,
    context: &Context<'_>,
    fields: &[FieldDraft<'_>],
    find: &impl Fn(&At<&str>, &mut Faults<'_>) -> Option<usize>,
    columns: &mut Names,
    members: &mut Members,
    faults: &mut Faults<'_>,
) -> Option<Derived> {
    section.needs("name", faults, "name the column");
    section.needs("lookup", faults, "name a table of [tables]");
    section.needs("key", faults, "name the field to look up");
    section.needs("column", faults, "name the table's column to take");
    let name = section.text("name", faults);
    let lookup = section.text("lookup", faults);
    let key_at = section.text("key", faults);
    let column = section.text("column", faults);
    let default = section.text("default", faults);
    section.finish(faults);
    if let Some(name) = &name {
        check_column_name(name, faults);
        columns.claim(name, faults);
    }
    let key = key_at.as_ref().and_then(|at| find(at, faults));
    let lookup = lookup?;
    if !context.declared.contains(&lookup.value) {
        let reason = format!("no table `{}`: {}", lookup.value, suggestion(lookup.value, context.declared));
        lookup.fault(faults, reason);
    }
    let table = context.tables.iter().find(|table| table.name == lookup.value)?;
    let column = column?;
    let found = table.columns.iter().position(|name| name == column.value);
    if found.is_none() {
        let advice = suggestion(column.value, &table.columns);
        column.fault(faults, format!("table `{}` has no column `{}`: {advice}", table.name, column.value));
    }
    let integer_keys = match fields.get(key?)?.kind? {
        FieldType::Int32 | FieldType::Int64 => true,
        FieldType::String => false,
        other => {
            let reason =
                format!("a {} cannot be looked up: the key must be an integer or a string", other.name());
            key_at?.fault(faults, reason);
            return None;
        }
    };
    match Lookup::new(table, found?, integer_keys, default.map(|default| default.value)) {
        Ok(lookup) => {
            let name = name?.value;
            Some(Derived { name: name.to_owned(), key: key?, lookup, member: members.number(name) })
        }
        Err(bad) => {
            let advice = "declare the field as \"string\" or mend the table";
            key_at?
                .fault(faults, format!("key `{bad}` of table `{}` is not an integer: {advice}", table.name));
            None
        }
    }
}

/// Reads one level of the partition folders.
pub(super) fn read_partition(
    mut section: Section<'_>,
    fields: &[FieldDraft<'_>],
    derived: &[Option<Derived>],
    columns: &mut Names,
    faults: &mut Faults<'_>,
) -> Option<PartitionKey> {
    section.needs("name", faults, "name the level");
    let name = section.text("name", faults);
    let field = section.text("field", faults);
    let has_time = section.has("time");
    let time = section.choice("time", &TimePart::NAMES, faults);
    let mapped = section.section("slugs", faults).entries();
    if let Some(name) = &name {
        if is_folder_name(name.value) {
            // A reader of the files would see such a column twice.
            columns.claim(name, faults);
        } else {
            name.fault(
                faults,
                format!("`{}` cannot be a level's name, which is [a-z][a-z0-9_]*", name.value),
            );
        }
    }
    if section.has("field") == has_time {
        section.fault("", faults, "needs either `field` or `time`");
    }
    let mut values = None;
    let source = match &field {
        None => time.map(PartitionSource::Time),
        Some(at) => {
            let names = fields.iter().map(|field| field.name);
            let names: Vec<&str> =
                names.chain(derived.iter().flatten().map(|derived| derived.name.as_str())).collect();
            if let Some(index) = fields.iter().position(|field| field.name == at.value) {
                if let Some(kind @ (FieldType::Float64 | FieldType::Timestamp)) = fields.get(index)?.kind {
                    at.fault(
                        faults,
                        format!("a {} makes no partition: use another field or `time`", kind.name()),
                    );
                }
                Some(PartitionSource::Field(index))
            } else if let Some(index) =
                derived.iter().position(|found| found.as_ref().is_some_and(|found| found.name == at.value))
            {
                values = derived.get(index).and_then(Option::as_ref).map(|derived| derived.lookup.values());
                Some(PartitionSource::Derived(index))
            } else {
                // A derived column that is itself at fault may be the one that is meant.
                if derived.iter().all(Option::is_some) {
                    at.fault(faults, format!("no field `{}`: {}", at.value, suggestion(at.value, &names)));
                }
                None
            }
        }
    };
    let mut slugs = BTreeMap::new();
    for (text, slug) in mapped {
        if has_time {
            text.fault(faults, "slugs are for `field`, not for `time`");
        }
        if let Some(values) = values
            && !values.iter().any(|value| value == text.value)
        {
            let reason = format!("the table has no `{}`: {}", text.value, suggestion(text.value, values));
            text.fault(faults, reason);
        }
        if let Some(slug) = as_text(&slug, faults) {
            if slug.value.is_empty() || partition::escape(slug.value).len() > VALUE_BYTES {
                slug.fault(
                    faults,
                    format!("a partition value is 1 to {VALUE_BYTES} bytes, escapes included"),
                );
            }
            slugs.insert(text.value.to_owned(), slug.value.to_owned());
        }
    }
    section.finish(faults);
    Some(PartitionKey { name: name?.value.to_owned(), source: source?, slugs })
}
