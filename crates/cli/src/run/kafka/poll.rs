//! Polls topics as a member of a consumer group, as Lambda's event source mapping does.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::timeout;
use tripline_kafka::{FailedAt, KafkaError, KafkaPoller, PollSettings, Start};
use tripline_settings::{environment_variables, kafka_cluster};
use tripline_stream::mapping::INVOCATION_PAYLOAD_BYTES;
use tripline_stream::mapping::delivery::{Batch as _, TopicBatch};
use tripline_stream::mapping::kafka::{Cluster, TopicPartition};

use super::KafkaArguments;
use crate::run::Run;
use crate::run::retries::{STREAM_RETRIES, pause_after};
use crate::run::status::{Lag, PartState, Status};
use crate::run::stream::{Begin, StreamArguments};

/// How often it is looked whether the run is to end while no records come.
const LOOK: Duration = Duration::from_millis(500);

impl From<Begin> for Start {
    fn from(begin: Begin) -> Self {
        match begin {
            Begin::TrimHorizon => Self::TrimHorizon,
            Begin::Latest => Self::Latest,
        }
    }
}

/// Reads the topics into the run's mapping.
pub(in crate::run) async fn poll(
    run: &mut Run,
    arguments: &KafkaArguments,
    stream: &StreamArguments,
    brokers: &str,
) -> anyhow::Result<()> {
    let options = kafka_cluster(brokers, environment_variables())?;
    let cluster = Cluster { arn: None, bootstrap_servers: options.bootstrap_servers.clone() };
    let group = arguments.group.clone().unwrap_or_else(|| format!("tripline-{}", run.name));
    let settings = PollSettings {
        batch_size: run.batch_size,
        payload_bytes: INVOCATION_PAYLOAD_BYTES,
        window: Duration::from_secs(stream.window),
    };
    let mut poller =
        KafkaPoller::subscribe(&options, &group, &arguments.topic, stream.start.into(), settings)?;
    let mut refusals = 0;
    while !(run.mapping.is_stopped() || stream.until_end && poller.end_reached()) {
        let batch = match timeout(LOOK, poller.next_batch()).await {
            Ok(Ok(batch)) => batch,
            Ok(Err(error)) if matches!(error, KafkaError::Refused { .. }) && refusals < STREAM_RETRIES => {
                run.note_once(&error.to_string());
                refusals += 1;
                run.mapping.status.fails(refusals, &error.to_string());
                tokio::time::sleep(pause_after(refusals)).await;
                continue;
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                run.publish_if_due().await?;
                show(&poller, &run.mapping.status);
                continue;
            }
        };
        refusals = 0;
        delivering(batch.partitions(), &run.mapping.status);
        let records = batch.records() as u64;
        let whole = TopicBatch { cluster: &cluster, partitions: Cow::Borrowed(batch.partitions()) };
        let left = run.mapping.deliver(whole).await?;
        let rest: u64 = left.iter().map(|part| part.records() as u64).sum();
        let failed: Vec<FailedAt> =
            left.iter().flat_map(|part| part.partitions.iter().filter_map(first)).collect();
        run.has_read(records - rest);
        let done = poller.done(batch, &failed).await?;
        if done.uncommitted {
            run.note_once(
                "the brokers did not acknowledge all offsets in time: their records may come again",
            );
        }
        if failed.is_empty() {
            run.is_delivered().await?;
        }
        show(&poller, &run.mapping.status);
    }
    poller.close().await;
    Ok(())
}

/// From where on a topic-partition comes again.
fn first(partition: &TopicPartition) -> Option<FailedAt> {
    let TopicPartition { topic, partition, records } = partition;
    let offset = records.first()?.offset;
    Some(FailedAt { topic: topic.clone(), partition: *partition, offset })
}

/// Tells that these are under way.
fn delivering(partitions: &[TopicPartition], status: &Status) {
    for TopicPartition { topic, partition, records } in partitions {
        status.part(&format!("{topic}-{partition}"), |part| {
            part.records += records.len() as u64;
            part.state = PartState::Delivering;
        });
    }
}

/// Tells how far the group is in the topic-partitions that are assigned here.
fn show(poller: &KafkaPoller, status: &Status) {
    let assigned = poller.assignment();
    let name = |topic: &str, partition: i32| format!("{topic}-{partition}");
    status.keep(|known| assigned.iter().any(|here| name(&here.topic, here.partition) == known));
    for here in &assigned {
        // What came after the start is not known here.
        let left = here.end_at_start.zip(here.next).map(|(end, next)| end.saturating_sub(next));
        status.part(&name(&here.topic, here.partition), |part| {
            part.position = here.next.map(|next| next.to_string()).unwrap_or_default();
            part.lag = left.map(Lag::Records);
            part.state = if left == Some(0) { PartState::Idle } else { PartState::Reading };
        });
    }
}
