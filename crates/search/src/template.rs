//! Index templates: what the cluster must know of documents before the first one comes.
//!
//! Without them it would guess from the first document, take a text that looks like a date for one, and
//! map every member that anybody sends. With them each field has the type that the pipeline says, and
//! members that the pipeline does not know are kept and not indexed.

use serde_json::{Map, Value, json};
use tripline_model::pipeline::{Event, FieldType, IndexPart, Pipeline, Search};

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
    indexed.map(|(event, search)| template(pipeline, event, search)).collect()
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
    let said: usize = search.index.parts.iter().map(literal_length).sum();
    let mut body = json!({
        "index_patterns": [search.index.pattern()],
        "priority": PRIORITY + said,
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
