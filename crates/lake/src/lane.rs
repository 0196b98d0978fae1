//! Lanes: one run of journal entries per pipeline, role and source partition.

use std::fmt;

use crate::redrive::AGAIN;
use serde::{Deserialize, Serialize};
use tripline_model::pipeline::Target;
use tripline_model::source::SourcePartition;
use xxhash_rust::xxh3::xxh3_128;

/// What a lane's rows are for. The roles read the same source independently of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Rows and dead letters for the lake.
    Lake,
    /// Dead letters of the search sink.
    Search,
    /// Dead letters of the Kinesis sink.
    Kinesis,
    /// Dead letters of the Kafka sink.
    Kafka,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Lake, Self::Search, Self::Kinesis, Self::Kafka];
}

impl From<Target> for Role {
    fn from(target: Target) -> Self {
        match target {
            Target::Kinesis => Self::Kinesis,
            Target::Kafka => Self::Kafka,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Lake => "lake",
            Self::Search => "search",
            Self::Kinesis => Target::Kinesis.name(),
            Self::Kafka => Target::Kafka.name(),
        })
    }
}

/// A source partition as one pipeline and role see it, in full.
///
/// Two lanes are the same exactly if every part is: a shard of a stream that was made anew is
/// another lane only if the operator changed the epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// Pipeline id.
    pub pipeline: String,
    /// What the lane's rows are for.
    pub role: Role,
    /// The stream's or cluster's ARN, or a URL.
    pub source: String,
    /// Source epoch, chosen by the operator.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub epoch: String,
    /// Shard id or topic-partition.
    pub partition: String,
}

/// Readable part of a lane's folder name, in bytes; the hash behind it makes the name unique.
const READABLE_BYTES: usize = 96;

impl Lane {
    /// The lane of `origin` for a pipeline and role.
    #[must_use]
    pub fn new(pipeline: &str, role: Role, origin: &SourcePartition) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            role,
            source: origin.source.clone(),
            epoch: origin.epoch.clone(),
            partition: origin.partition.clone(),
        }
    }

    /// The source partition that this lane follows.
    #[must_use]
    pub fn origin(&self) -> SourcePartition {
        SourcePartition {
            source: self.source.clone(),
            epoch: self.epoch.clone(),
            partition: self.partition.clone(),
        }
    }

    /// Whether event time is followed along the lane: that of a stream, for the lake, as it first came. What is
    /// sent again, and what lies in files, objects or databases, is old: it neither holds the watermark nor moves
    /// it, and is never late.
    #[must_use]
    pub fn tells_event_time(&self) -> bool {
        // The names of files, objects and queries end in a fingerprint.
        self.role == Role::Lake && !self.epoch.contains(AGAIN) && !self.source.contains('#')
    }

    /// The lane's folder in the journal: a readable start and a 128-bit hash of the lane in full,
    /// so that no character of an ARN or path can make two lanes one. Entries repeat the lane, and
    /// a reader compares it.
    #[must_use]
    pub fn folder(&self) -> String {
        let mut identity = Vec::with_capacity(160);
        for part in [&self.pipeline, &self.role.to_string(), &self.source, &self.epoch, &self.partition] {
            identity.extend_from_slice(&(part.len() as u64).to_le_bytes());
            identity.extend_from_slice(part.as_bytes());
        }
        let short_source = self.source.rsplit(['/', ':']).find(|part| !part.is_empty()).unwrap_or_default();
        let mut readable: String = format!("{}-{short_source}-{}", self.role, self.partition)
            .chars()
            .map(
                |letter| {
                    if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-') { letter } else { '_' }
                },
            )
            .collect();
        readable.truncate(READABLE_BYTES);
        format!("{readable}-{:032x}", xxh3_128(&identity))
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{} {}", self.pipeline, self.role, self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(source: &str, epoch: &str, partition: &str) -> Lane {
        let origin =
            SourcePartition { source: source.into(), epoch: epoch.into(), partition: partition.into() };
        Lane::new("taxi", Role::Lake, &origin)
    }

    #[test]
    fn every_part_of_a_lane_counts_and_none_runs_into_the_next() {
        let folders: std::collections::BTreeSet<String> = [
            lane("a", "", "b"),
            lane("a", "b", ""),
            lane("ab", "", ""),
            lane("", "", "ab"),
            lane("a", "1", "b"),
            Lane { role: Role::Search, ..lane("a", "", "b") },
            Lane { pipeline: "adtech".into(), ..lane("a", "", "b") },
        ]
        .iter()
        .map(Lane::folder)
        .collect();
        assert_eq!(folders.len(), 7);
    }

    #[test]
    fn event_time_is_followed_along_streams_alone() {
        let stream = lane("arn:aws:kinesis:us-east-1:123456789012:stream/trips", "2", "shardId-000000000003");
        assert!(
            stream.tells_event_time()
                && lane("broker-1:9092,broker-2:9092", "", "trips-0").tells_event_time()
        );
        let again =
            crate::redrive::letters_origin(&stream.origin(), 1, tripline_model::decode::Stage::Decode);
        for apart in [
            Lane { role: Role::Search, ..stream.clone() },
            Lane::new("taxi", Role::Lake, &again),
            Lane::new("taxi", Role::Lake, &crate::redrive::batch_origin(&stream.origin(), "5", "7")),
            lane("s3://archive/2018/trips.json.gz#0123", "", "0"),
        ] {
            assert!(!apart.tells_event_time(), "{apart}");
        }
    }

    #[test]
    fn a_folder_is_readable_and_fits_one_path_component() {
        let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/trips";
        let folder = lane(arn, "", "shardId-000000000003").folder();
        assert!(folder.starts_with("lake-trips-shardId-000000000003-"), "{folder}");
        let long = lane(&format!("file:///{}", "ü/".repeat(300)), "", &"x".repeat(300)).folder();
        assert!(long.len() < 200 && !long.contains('/'), "{long}");
    }
}
