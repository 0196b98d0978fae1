//! Polls topics as a member of a consumer group, as Lambda's event source mapping does.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::timeout;
use tripline_kafka::{Batch, FailedAt, KafkaError, KafkaPoller, PollSettings, Start};
use tripline_settings::{environment_variables, kafka_cluster};
use tripline_stream::mapping::INVOCATION_PAYLOAD_BYTES;
use tripline_stream::mapping::kafka::{Cluster, TopicPartition, TopicRecord, write_event};
use tripline_stream::response::{BatchResponse, ItemIdentifier};

use super::KafkaArguments;
use crate::run::Run;
use crate::run::mapping::{Outcome, STREAM_ATTEMPTS, pause};
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
    let group = match &arguments.group {
        Some(group) => group.clone(),
        None => format!("tripline-{}", run.mapping.lake().pipeline()),
    };
    let settings = PollSettings {
        batch_size: run.batch_size,
        payload_bytes: INVOCATION_PAYLOAD_BYTES,
        window: Duration::from_secs(stream.window),
    };
    let mut poller =
        KafkaPoller::subscribe(&options, &group, &arguments.topic, stream.start.into(), settings)?;
    let mut attempt = 1;
    while !(run.is_stopped() || stream.until_end && poller.end_reached()) {
        let batch = match timeout(LOOK, poller.next_batch()).await {
            Ok(Ok(batch)) => batch,
            Ok(Err(error)) if matches!(error, KafkaError::Refused { .. }) && attempt < STREAM_ATTEMPTS => {
                run.note_once(&error.to_string());
                pause(attempt).await;
                attempt += 1;
                continue;
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                run.publish_if_due().await?;
                run.show(&place(&poller));
                continue;
            }
        };
        let outcome = run.mapping.invoke(&write_event(&cluster, batch.partitions())).await?;
        let failed = failures(&outcome, &batch);
        run.read += settled(&batch, &failed);
        let is_whole = failed.is_empty();
        let done = poller.done(batch, &failed).await?;
        if done.uncommitted {
            run.note_once(
                "the brokers did not acknowledge all offsets in time: their records may come again",
            );
        }
        if is_whole {
            attempt = 1;
            run.is_delivered().await?;
        } else if attempt < STREAM_ATTEMPTS {
            pause(attempt).await;
            attempt += 1;
        } else {
            let place = format!("batches of {} failed {attempt} times", arguments.topic.join(", "));
            match outcome {
                Outcome::Failed(error) => return Err(error).context(place),
                _ => bail!("{place}: the function refuses records (see on_malformed in the pipeline file)"),
            }
        }
        run.show(&place(&poller));
    }
    poller.close().await;
    Ok(())
}

/// What of a batch must come again.
fn failures(outcome: &Outcome, batch: &Batch) -> Vec<FailedAt> {
    match outcome {
        Outcome::Answered(answer) => named(&answer.response, batch),
        Outcome::Failed(_) | Outcome::Died => batch.all_failed(),
    }
}

/// What a partial response names. As to Lambda, one that names what is not there is about everything.
fn named(response: &BatchResponse, batch: &Batch) -> Vec<FailedAt> {
    let mut failed = Vec::new();
    for failure in &response.failures {
        let ItemIdentifier::Offset { partition: name, offset } = &failure.item else {
            return batch.all_failed();
        };
        let known =
            batch.partitions().iter().find(|known| format!("{}-{}", known.topic, known.partition) == *name);
        let Some(known) = known else { return batch.all_failed() };
        failed.push(FailedAt { topic: known.topic.clone(), partition: known.partition, offset: *offset });
    }
    failed
}

/// How many of a batch's records do not come again.
fn settled(batch: &Batch, failed: &[FailedAt]) -> u64 {
    let of_partition = |known: &TopicPartition| {
        let failed = failed.iter().find(|at| at.topic == known.topic && at.partition == known.partition);
        let is_settled = |record: &&TopicRecord| failed.is_none_or(|at| record.offset < at.offset);
        known.records.iter().filter(is_settled).count() as u64
    };
    batch.partitions().iter().map(of_partition).sum()
}

/// How far the group is, for the person who watches.
fn place(poller: &KafkaPoller) -> String {
    let partitions = poller.assignment();
    let behind: u64 = partitions
        .iter()
        .filter_map(|partition| Some(partition.end_at_start?.saturating_sub(partition.next?)))
        .sum();
    format!("{} topic-partitions, {behind} records of the start to come", partitions.len())
}
