//! Index templates: what the cluster must know of documents before the first one comes.
//!
//! Without them it would guess from the first document, take a text that looks like a date for one, and
//! map every member that anybody sends. With them each field has the type that the pipeline says, and
//! members that the pipeline does not know are kept and not indexed.

use serde_json::{Map, Value, json};
use tripline_model::batch::DEAD_LETTER_TABLE;
use tripline_model::document::{LetterField, letter_fields};
use tripline_model::pipeline::{Event, FieldType, IndexName, IndexPart, Pipeline, Search};

/// An index template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Its name: `tripline-<pipeline>-<table>`.
    pub name: String,
    /// What it says.
    pub body: Value,
}

/// The spellings of times that documents have; see [`tripline_model::document`].
pub const DATE_FORMAT: &str = "strict_date_optional_time||epoch_millis";

/// Longest text that is indexed, in characters: of four bytes each they are what an index's term may have.
const KEYWORD_CHARACTERS: u32 = 8_191;

/// Among templates whose patterns fit an index, that of the highest priority counts: of ours, that whose
/// pattern says most. From here on there is room for others below.
const PRIORITY: usize = 200;

/// The templates of a pipeline's indices, in the order of its event types.
#[must_use]
pub fn templates(pipeline: &Pipeline) -> Vec<Template> {
    let indexed = pipeline.events.iter().filter_map(|event| Some((event, event.search.as_ref()?)));
    let of_events = indexed.map(|(event, search)| template(pipeline, event, search));
    of_events.chain(of_dead_letters(pipeline)).collect()
}

/// The template of the index of dead letters, where the pipeline has one.
fn of_dead_letters(pipeline: &Pipeline) -> Option<Template> {
    let index = pipeline.dead_letter_index.as_ref()?;
    let property = |(name, field): (&str, LetterField)| {
        let mapping = match field {
            LetterField::Text => mapping(FieldType::String),
            LetterField::Shown => json!({ "type": "keyword", "index": false, "doc_values": false }),
            LetterField::Integer => mapping(FieldType::Int64),
            LetterField::Time => mapping(FieldType::Timestamp),
        };
        (name.to_owned(), mapping)
    };
    let properties: Map<String, Value> = letter_fields().into_iter().map(property).collect();
    let body = json!({
        "index_patterns": [index.pattern()],
        "priority": priority(index),
        "template": { "mappings": { "dynamic": "false", "properties": properties } },
        "version": pipeline.schema_version,
        "_meta": { "description": "written by `tripline setup`", "pipeline": pipeline.id, "event": "dead letters" },
    });
    Some(Template { name: format!("tripline-{}-{DEAD_LETTER_TABLE}", pipeline.id), body })
}

fn priority(index: &IndexName) -> usize {
    PRIORITY + index.parts.iter().map(literal_length).sum::<usize>()
}

fn template(pipeline: &Pipeline, event: &Event, search: &Search) -> Template {
    let mut properties = Map::new();
    for field in &event.fields {
        properties.insert(field.from.clone(), mapping(field.kind));
    }
    for derived in &event.derived {
        properties.insert(derived.name.clone(), mapping(FieldType::String));
    }
    for appended in search.ingested_at.iter().chain(&search.timestamp_field) {
        properties.insert(appended.name.clone(), mapping(FieldType::Timestamp));
    }
    let mut body = json!({
        "index_patterns": [search.index.pattern()],
        "priority": priority(&search.index),
        "template": { "mappings": { "dynamic": "false", "properties": properties } },
        "version": pipeline.schema_version,
        "_meta": { "description": "written by `tripline setup`", "pipeline": pipeline.id, "event": event.type_value },
    });
    if let (Some(field), Some(body)) = (&search.timestamp_field, body.as_object_mut()) {
        body.insert("data_stream".to_owned(), json!({ "timestamp_field": { "name": field.name } }));
    }
    Template { name: format!("tripline-{}-{}", pipeline.id, event.table), body }
}

const fn literal_length(part: &IndexPart) -> usize {
    match part {
        IndexPart::Literal(text) => text.len(),
        IndexPart::Value(_) | IndexPart::Time(..) | IndexPart::Now(_) => 0,
    }
}

fn mapping(kind: FieldType) -> Value {
    match kind {
        FieldType::Bool => json!({ "type": "boolean" }),
        FieldType::Int32 => json!({ "type": "integer" }),
        FieldType::Int64 => json!({ "type": "long" }),
        FieldType::Float64 => json!({ "type": "double" }),
        FieldType::String => json!({ "type": "keyword", "ignore_above": KEYWORD_CHARACTERS }),
        FieldType::Timestamp => json!({ "type": "date", "format": DATE_FORMAT }),
    }
}
