//! The pipelines that schedules run, and the records that go through them.

use std::sync::{Arc, OnceLock};

use tripline_model::pipeline::{Pipeline, Policy};
use tripline_model::source::Position;
use tripline_model::time::Civil;

use crate::clock::{BEGIN_MS, HOUR};

/// What every sequence number begins with: real ones have 56 digits, more than a machine integer.
const SEQUENCE_PREFIX: &str = "4959033827149025660855969";

/// Id of all the pipelines.
pub(crate) const PIPELINE: &str = "rides";

const DEFINITION: &str = r#"
id = "rides"
schema_version = 1
type_field = "type"
event_time = { from = "both", future_bound = "48h" }
[events.ride]
id = ["<id>"]
event_time = "at"
fields = [
  { name = "ride_id", type = "int64", required = true },
  { name = "at", type = "timestamp", required = true },
  { name = "zone", type = "string" },
]
partition = [
  { name = "area", field = "zone" },
  { name = "year", time = "year" },
  { name = "month", time = "month" },
  { name = "day", time = "day" },
]
[events.ride.search]
<search>
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

/// How rides become documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each has one of its own.
    Plain,
    /// Each has one of its own, and the first to come stays.
    Created,
    /// Each has one of its own, into which it is merged.
    Updated,
    /// Each has one of its own, and one that the cluster refuses fails the batch.
    Strict,
    /// Each zone has an index of its own, of which one is not allowed.
    Spread,
    /// All of a zone have one, and the latest stays.
    Latest,
}

/// A pipeline and what it does with records that cannot be rows or documents.
#[derive(Clone, Debug)]
pub(crate) struct Rides {
    /// As the function has loaded it.
    pub(crate) pipeline: Arc<Pipeline>,
    /// How its rides become documents.
    pub(crate) shape: Shape,
}

impl Rides {
    /// How many policies there are.
    pub(crate) const POLICIES: usize = POLICIES.len();
    /// How many shapes there are.
    pub(crate) const SHAPES: usize = SHAPES.len();

    /// The pipeline with these of the policies and shapes.
    #[must_use]
    pub(crate) fn of(policies: usize, shape: usize) -> Self {
        static LOADED: OnceLock<Vec<Arc<Pipeline>>> = OnceLock::new();
        let loaded = LOADED.get_or_init(|| {
            let all = POLICIES.iter().flat_map(|policies| SHAPES.iter().map(|shape| load(*policies, *shape)));
            all.collect()
        });
        Self { pipeline: Arc::clone(&loaded[policies * SHAPES.len() + shape]), shape: SHAPES[shape].0 }
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
            || self.shape == Shape::Strict
    }

    /// Index and id of a ride's document; `None` if no index may have it.
    #[must_use]
    pub(crate) fn place(&self, number: u64) -> Option<(String, String)> {
        let (index, id) = match self.shape {
            Shape::Spread if zone(number) == "north" => return None,
            Shape::Spread => (format!("ride-{}", zone(number)), number.to_string()),
            Shape::Latest => ("ride".to_owned(), zone(number).to_owned()),
            _ => ("ride".to_owned(), number.to_string()),
        };
        Some((index, id))
    }
}

/// `on_malformed` and `on_unknown_type`; the first one is the default and the most frequent.
const POLICIES: [(&str, &str); 4] = [
    ("dead-letter", "dead-letter"),
    ("fail", "dead-letter"),
    ("ignore", "dead-letter"),
    ("dead-letter", "fail"),
];

/// The shapes, what identifies a document, and what else the pipeline says of them.
const SHAPES: [(Shape, &str, &str); 6] = [
    (Shape::Plain, "ride_id", ""),
    (Shape::Created, "ride_id", "action = \"create\""),
    (Shape::Updated, "ride_id", "action = \"update\""),
    (Shape::Strict, "ride_id", "on_rejected = \"fail\""),
    (Shape::Spread, "ride_id", "index = \"ride-{zone}\"\nallow = [\"ride-s*\"]"),
    (Shape::Latest, "zone", "version = \"position\""),
];

fn load(
    (on_malformed, on_unknown_type): (&str, &str),
    (_, id, search): (Shape, &str, &str),
) -> Arc<Pipeline> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policies = format!("on_malformed = \"{on_malformed}\"\non_unknown_type = \"{on_unknown_type}\"\n");
    let events = DEFINITION.replace("<id>", id).replace("<search>", search);
    std::fs::write(folder.path().join("pipeline.toml"), policies + &events).expect("a file");
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

/// The ride of which this is the document; 0 if it is none's.
#[must_use]
pub(crate) fn ride_in(source: &str) -> u64 {
    let digits = source.strip_prefix("{\"ride_id\":").unwrap_or_default();
    let digits = digits.split(|character: char| !character.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// A ride's zone.
#[must_use]
pub(crate) const fn zone(number: u64) -> &'static str {
    if number.is_multiple_of(3) { "north" } else { "south" }
}

/// What a wild clock is ahead: it shows 2041.
const WILD: u64 = 22 * 365 * 24 * HOUR;

/// Whether the clock of a ride was wild.
#[must_use]
pub(crate) const fn is_wild(number: u64) -> bool {
    number % 13 == 5
}

/// A ride's time: within two days, and not in the order of arrival; now and then of a wild clock.
#[must_use]
pub(crate) fn event_time(number: u64) -> i64 {
    let ahead = if is_wild(number) { WILD } else { 0 };
    BEGIN_MS + ((number * 7) % 30 * HOUR + ahead) as i64 + (number % 60) as i64
}

/// No ride whose clock is right is of a later time, nor is any watermark.
#[must_use]
pub(crate) const fn latest_time() -> i64 {
    BEGIN_MS + (30 * HOUR) as i64
}

/// The folder of a ride's partition, below its table's.
#[must_use]
pub(crate) fn folder(zone: &str, at: i64) -> String {
    let Civil { year, month, day, .. } = Civil::from_ms(at);
    format!("area={zone}/year={year:04}/month={month:02}/day={day:02}")
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
