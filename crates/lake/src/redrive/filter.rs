//! Which dead letters a redrive is about.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use tripline_model::time::rfc3339;

use super::Letter;

/// A letter must pass every part; an empty part lets all pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Not before this time of failure, milliseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// Before this time of failure, milliseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// Reason codes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reasons: BTreeSet<String>,
    /// Event types, as the records told them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub event_types: BTreeSet<String>,
    /// Stage codes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stages: BTreeSet<String>,
}

impl Filter {
    /// Whether a letter passes.
    #[must_use]
    pub fn passes(&self, letter: &Letter) -> bool {
        let is_in = |wanted: &BTreeSet<String>, value: &str| wanted.is_empty() || wanted.contains(value);
        self.since_ms.is_none_or(|since| letter.failed_at_ms >= since)
            && self.until_ms.is_none_or(|until| letter.failed_at_ms < until)
            && is_in(&self.reasons, &letter.reason)
            && is_in(&self.event_types, letter.event_type.as_deref().unwrap_or_default())
            && is_in(&self.stages, letter.stage.code())
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (name, values) in
            [("stage", &self.stages), ("reason", &self.reasons), ("type", &self.event_types)]
        {
            if !values.is_empty() {
                parts.push(format!("{name} {}", values.iter().cloned().collect::<Vec<_>>().join(" or ")));
            }
        }
        parts.extend(self.since_ms.map(|ms| format!("since {}", rfc3339(ms))));
        parts.extend(self.until_ms.map(|ms| format!("until {}", rfc3339(ms))));
        formatter.write_str(if parts.is_empty() { "all" } else { "" })?;
        formatter.write_str(&parts.join(", "))
    }
}
