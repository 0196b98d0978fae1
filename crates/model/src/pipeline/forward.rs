//! Reads which other streams an event type goes on into, and how.

use std::collections::BTreeMap;

use super::faults::Faults;
use super::index_name::Columns;
use super::{ValueSource, walk::Section};

/// A kind of stream that events go on into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A Kinesis data stream.
    Kinesis,
    /// A Kafka topic.
    Kafka,
}

impl Target {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Kinesis, Self::Kafka];

    /// Its name, in pipeline files and wherever sinks are named.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kinesis => "kinesis",
            Self::Kafka => "kafka",
        }
    }
}

/// How the events of a type go on into a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// Whose value they are partitioned by; their id if there is none.
    pub key: Option<ValueSource>,
}

/// Reads `kinesis` and `kafka`: each a table, an absent one, or `false`, which leaves the type out.
pub(super) fn read(
    section: &mut Section<'_>,
    columns: &Columns<'_>,
    faults: &mut Faults<'_>,
) -> BTreeMap<Target, Forward> {
    let mut forwards = BTreeMap::new();
    for target in Target::ALL {
        let Some(mut section) = section.optional_section(target.name(), faults) else { continue };
        let key = section.text("key", faults).and_then(|at| columns.find(at.value, &at, faults));
        section.finish(faults);
        forwards.insert(target, Forward { key });
    }
    forwards
}
