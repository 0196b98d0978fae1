//! Bulk requests as a cluster reads them, and its answers.

use serde_json::{Value, json};
use tripline_search::verdict::Act;

/// What a bulk request asks for one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(super) act: Act,
    pub(super) index: String,
    pub(super) id: String,
    /// The external version.
    pub(super) version: Option<u64>,
    /// The document.
    pub(super) source: String,
}

/// What is said of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(super) status: u16,
    /// What was done, or the type of what went wrong.
    pub(super) what: &'static str,
}

impl Said {
    pub(super) const BUSY: Self = Self { status: 429, what: "rejected_execution_exception" };
    pub(super) const AWAY: Self = Self { status: 503, what: "unavailable_shards_exception" };
    pub(super) const FAILED: Self = Self { status: 500, what: "exception" };
    pub(super) const FORBIDDEN: Self = Self { status: 403, what: "security_exception" };
    pub(super) const UNFIT: Self = Self { status: 400, what: "mapper_parsing_exception" };
    pub(super) const CONFLICT: Self = Self { status: 409, what: "version_conflict_engine_exception" };
    pub(super) const CREATED: Self = Self { status: 201, what: "created" };
    pub(super) const UPDATED: Self = Self { status: 200, what: "updated" };
    pub(super) const NOOP: Self = Self { status: 200, what: "noop" };

    /// Whether the document was taken.
    #[must_use]
    pub(super) const fn is_done(self) -> bool {
        self.status < 300
    }
}

/// Reads a request as strictly as a cluster does.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Operation>, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let text = text.strip_suffix('\n').ok_or("the last line does not end")?;
    let mut lines = text.split('\n');
    let mut operations = Vec::new();
    while let Some(line) = lines.next() {
        let action: Value = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        let named = action.as_object().filter(|action| action.len() == 1);
        let (name, said) = named.and_then(|action| action.iter().next()).ok_or("an action has one name")?;
        let act = [Act::Index, Act::Create, Act::Update].into_iter().find(|act| act.name() == name);
        let act = act.ok_or_else(|| format!("nobody asks for `{name}`"))?;
        let text_of = |member: &str| {
            said[member].as_str().map(str::to_owned).ok_or_else(|| format!("{line}: no {member}"))
        };
        let version = said["version"].as_u64();
        let is_versioned = said["version_type"] == "external_gte";
        if is_versioned != version.is_some() || version.is_some() && act != Act::Index {
            return Err(format!("{line}: a version of which type?"));
        }
        let source = lines.next().ok_or_else(|| format!("{line}: no document"))?;
        let document = match act {
            Act::Update => source
                .strip_prefix("{\"doc\":")
                .and_then(|source| source.strip_suffix(",\"doc_as_upsert\":true}"))
                .ok_or_else(|| format!("{source}: no update"))?,
            _ => source,
        };
        if !serde_json::from_str::<Value>(document).is_ok_and(|document| document.is_object()) {
            return Err(format!("{document}: no object"));
        }
        operations.push(Operation {
            act,
            index: text_of("_index")?,
            id: text_of("_id")?,
            version,
            source: document.to_owned(),
        });
    }
    Ok(operations)
}

/// The answer to a request that was read: each document's id with what is said of it.
#[must_use]
pub(super) fn answer<'a>(items: impl IntoIterator<Item = (&'a Operation, Said)>) -> String {
    let item = |(operation, said): (&Operation, Said)| {
        let mut item = json!({ "_id": operation.id, "status": said.status });
        if said.is_done() {
            item["result"] = said.what.into();
        } else {
            item["error"] = json!({ "type": said.what, "reason": "so it is" });
        }
        json!({ operation.act.name(): item })
    };
    let items: Vec<Value> = items.into_iter().map(item).collect();
    json!({ "errors": true, "items": items }).to_string()
}
