//! How far the source is ahead of the lake.

use std::collections::BTreeMap;
use std::time::Duration;

use tripline_kinesis::read::{Start, StreamReader};
use tripline_lake::status::{LaneStatus, Status};
use tripline_lake::{Lane, Role};
use tripline_model::source::Position;

use crate::stream_source::{PATIENCE, SourceArguments};

/// A source partition that has more than the lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    /// Shard or topic-partition.
    pub(super) partition: String,
    pub(super) by: By,
}

/// How far it is ahead of the lake's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By the arrival of records.
    Time(Duration),
    /// By a number of offsets.
    #[cfg_attr(not(feature = "kafka"), allow(dead_code))]
    Offsets(u64),
    /// It does not say.
    Unknown,
}

/// The source partitions of the source that the options name; none where they name none.
pub(super) async fn look(source: &SourceArguments, status: &Status) -> anyhow::Result<Vec<Ahead>> {
    match source.stream() {
        Some(options) => {
            let start = Start::TrimHorizon;
            let arn = StreamReader::connect(&options, start, BTreeMap::new()).await?.arn(PATIENCE).await?;
            let positions = positions(status, |lane| lane.source == arn);
            shards(StreamReader::connect(&options, start, positions).await?).await
        }
        None => topics(source, status),
    }
}

/// How far the lake is in each source partition of the lanes that are wanted, by its name: of several epochs the
/// one that came last is the stream as it is now.
fn positions(status: &Status, wanted: impl Fn(&Lane) -> bool) -> BTreeMap<String, Position> {
    let is_wanted = |lane: &Lane| {
        lane.role == Role::Lake && !lane.epoch.contains(tripline_lake::redrive::AGAIN) && wanted(lane)
    };
    let mut lanes: Vec<&LaneStatus> = status.lanes.iter().collect();
    lanes.sort_by_key(|lane| lane.committed.as_ref().and_then(|position| position.arrival_max_ms));
    let committed = lanes.into_iter().filter_map(|lane| lane.committed.as_ref());
    let own = committed.filter(|position| is_wanted(&position.lane));
    own.map(|position| (position.lane.partition.clone(), position.last)).collect()
}

/// Shards whose reading may go on: children come when their parents are read.
async fn shards(mut reader: StreamReader) -> anyhow::Result<Vec<Ahead>> {
    let mut found = Vec::new();
    for mut shard in reader.shards(PATIENCE).await? {
        // One record is enough to be told how far it is behind the newest.
        let polled = shard.poll(1, PATIENCE).await?;
        let by = match (polled.behind, polled.ended && polled.records.is_empty()) {
            (_, true) => continue,
            (Some(behind), _) => By::Time(behind),
            (None, _) => By::Unknown,
        };
        found.push(Ahead { partition: shard.shard().to_owned(), by });
    }
    Ok(found)
}

#[cfg(feature = "kafka")]
fn topics(source: &SourceArguments, status: &Status) -> anyhow::Result<Vec<Ahead>> {
    use tripline_settings::{environment_variables, kafka_cluster};

    let Some(brokers) = &source.kafka else { return Ok(Vec::new()) };
    let options = kafka_cluster(brokers, environment_variables())?;
    let known = positions(status, |_| true);
    let mut found = Vec::new();
    for topic in &source.topic {
        for ends in tripline_kafka::offsets(&options, topic, PATIENCE)? {
            let partition = format!("{topic}-{}", ends.partition);
            let next = known.get(&partition).and_then(Position::as_u64).map_or(ends.low, |last| last + 1);
            found.push(Ahead { partition, by: By::Offsets(ends.high.saturating_sub(next.max(ends.low))) });
        }
    }
    Ok(found)
}

#[cfg(not(feature = "kafka"))]
fn topics(source: &SourceArguments, _: &Status) -> anyhow::Result<Vec<Ahead>> {
    anyhow::ensure!(
        source.kafka.is_none(),
        "this build cannot reach Kafka: build the tool with --features kafka"
    );
    Ok(Vec::new())
}
