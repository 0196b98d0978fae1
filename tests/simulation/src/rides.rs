//! The pipelines that schedules run, and the records that go through them.

use std::sync::{Arc, OnceLock};

use tripline_model::pipeline::{Pipeline, Policy};
use tripline_model::source::Position;

use crate::clock::{BEGIN_MS, HOUR};

/// What every sequence number begins with: real ones have 56 digits, more than a machine integer.
const SEQUENCE_PREFIX: &str = "4959033827149025660855969";

/// Id of all the pipelines.
pub(crate) const PIPELINE: &str = "rides";

const DEFINITION: &str = r#"
id = "rides"
schema_version = 1
type_field = "type"
[events.ride]
id = ["ride_id"]
event_time = "at"
fields = [
  { name = "ride_id", type = "int64", required = true },
  { name = "at", type = "timestamp", required = true },
  { name = "zone", type = "string" },
]
partition = [{ name = "area", field = "zone" }, { name = "day", time = "day" }]
[events.watermark]
kind = "watermark"
event_time = "watermark"
"#;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A ride, to become a row.
    Ride,
    /// Not JSON, or a ride that lacks its time.
    Malformed,
    /// Of a type that the pipeline does not know.
    UnknownType,
    /// A watermark event, which leaves no row.
    Watermark,
}

/// What becomes of a record that is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A row.
    Row,
    /// A dead letter.
    DeadLetter,
    /// It is counted and leaves nothing to read.
    Counted,
    /// It is refused, for ever.
    Refused,
}

/// A pipeline and what it does with records that cannot be rows.
#[derive(Clone, Debug)]
pub(crate) struct Rides {
    /// As the function has loaded it.
    pub(crate) pipeline: Arc<Pipeline>,
}

impl Rides {
    /// How many pipelines there are.
    pub(crate) const COUNT: usize = POLICIES.len();

    /// One of them.
    #[must_use]
    pub(crate) fn of(index: usize) -> Self {
        static LOADED: OnceLock<Vec<Arc<Pipeline>>> = OnceLock::new();
        let loaded = LOADED.get_or_init(|| POLICIES.iter().map(|policies| load(*policies)).collect());
        Self { pipeline: Arc::clone(&loaded[index % loaded.len()]) }
    }

    /// What becomes of a record of this kind.
    #[must_use]
    pub(crate) fn outcome(&self, kind: Kind) -> Outcome {
        let policy = match kind {
            Kind::Ride => return Outcome::Row,
            Kind::Watermark => return Outcome::Counted,
            Kind::Malformed => self.pipeline.on_malformed,
            Kind::UnknownType => self.pipeline.on_unknown_type,
        };
        match policy {
            Policy::DeadLetter => Outcome::DeadLetter,
            Policy::Ignore => Outcome::Counted,
            Policy::Fail => Outcome::Refused,
        }
    }

    /// Whether some records are refused.
    #[must_use]
    pub(crate) fn refuses(&self) -> bool {
        [Kind::Malformed, Kind::UnknownType].into_iter().any(|kind| self.outcome(kind) == Outcome::Refused)
    }
}

/// `on_malformed` and `on_unknown_type`; the first one is the default and the most frequent.
const POLICIES: [(&str, &str); 4] = [
    ("dead-letter", "dead-letter"),
    ("fail", "dead-letter"),
    ("ignore", "dead-letter"),
    ("dead-letter", "fail"),
];

fn load((on_malformed, on_unknown_type): (&str, &str)) -> Arc<Pipeline> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policies = format!("on_malformed = \"{on_malformed}\"\non_unknown_type = \"{on_unknown_type}\"\n");
    std::fs::write(folder.path().join("pipeline.toml"), policies + DEFINITION).expect("a file");
    Arc::new(Pipeline::load(folder.path()).expect("a pipeline"))
}

/// A record's sequence number.
#[must_use]
pub(crate) fn sequence(number: u64) -> Position {
    format!("{SEQUENCE_PREFIX}{number:031}").parse().expect("digits")
}

/// The record that a sequence number is of.
#[must_use]
pub(crate) fn number_of(sequence: &str) -> Option<u64> {
    sequence.strip_prefix(SEQUENCE_PREFIX)?.parse().ok()
}

/// A ride's zone.
#[must_use]
pub(crate) const fn zone(number: u64) -> &'static str {
    if number.is_multiple_of(3) { "north" } else { "south" }
}

/// A ride's time: within two days, and not in the order of arrival.
#[must_use]
pub(crate) fn event_time(number: u64) -> i64 {
    BEGIN_MS + ((number * 7) % 30 * HOUR) as i64 + (number % 60) as i64
}

/// A record's bytes.
#[must_use]
pub(crate) fn payload(number: u64, kind: Kind) -> Vec<u8> {
    let (at, zone) = (event_time(number), zone(number));
    let text = match kind {
        Kind::Ride => format!(r#"{{"ride_id":{number},"at":{at},"zone":"{zone}","type":"ride"}}"#),
        Kind::Malformed if number.is_multiple_of(2) => format!("no JSON, {number}"),
        Kind::Malformed => format!(r#"{{"ride_id":{number},"zone":"{zone}","type":"ride"}}"#),
        Kind::UnknownType => format!(r#"{{"ride_id":{number},"type":"tram"}}"#),
        Kind::Watermark => format!(r#"{{"watermark":{at},"type":"watermark"}}"#),
    };
    text.into_bytes()
}
