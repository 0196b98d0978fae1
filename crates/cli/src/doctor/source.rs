//! The source: whether it is there, and keeps records long enough.

use std::collections::BTreeMap;
use std::time::Duration;

use tripline_kinesis::KinesisOptions;
use tripline_kinesis::read::{Start, StreamReader};
use tripline_settings::SinkSettings;

use super::findings::Findings;
use crate::status::duration;
use crate::stream_source::{PATIENCE, SourceArguments};

/// What is not taken in for so long is lost: shorter than a weekend is little.
const SHORT: Duration = Duration::from_secs(72 * 3600);

pub(super) async fn check(source: &SourceArguments, findings: &mut Findings) {
    if source.kinesis.is_none() && source.kafka.is_none() {
        return findings.not_checked("source", "no stream or topic is named (--kinesis, --kafka)");
    }
    if let Some(options) = source.stream() {
        stream("stream", &options, findings).await;
    }
    topics(source, findings).await;
}

/// The stream and the topic that events go on into.
pub(super) async fn check_sinks(sinks: &SinkSettings, findings: &mut Findings) {
    if let Some(options) = &sinks.kinesis {
        stream("kinesis sink", options, findings).await;
    }
    #[cfg(feature = "kafka")]
    if let Some(target) = &sinks.kafka {
        topic("kafka sink", &target.options, &target.topic, findings).await;
    }
}

async fn stream(about: &'static str, options: &KinesisOptions, findings: &mut Findings) {
    let reader = match StreamReader::connect(options, Start::TrimHorizon, BTreeMap::new()).await {
        Ok(reader) => reader,
        Err(error) => return findings.fail(about, error.to_string(), ""),
    };
    let facts = match reader.facts(PATIENCE).await {
        Ok(facts) => facts,
        Err(error) => return findings.fail(about, error.to_string(), ""),
    };
    let what =
        format!("{}: {}, {} open shards, {}", options.stream, facts.status, facts.open_shards, facts.mode);
    match facts.status.as_str() {
        "ACTIVE" | "UPDATING" => findings.ok(about, what),
        _ => findings.fail(about, what, "wait until it is ACTIVE, or make it anew"),
    }
    kept(about, Some(facts.retention), "raise its retention (IncreaseStreamRetentionPeriod)", findings);
}

/// Judges for how long a source keeps its records; `None`: for ever.
fn kept(about: &'static str, retention: Option<Duration>, fix: &str, findings: &mut Findings) {
    match retention {
        Some(retention) if retention < SHORT => {
            let what = format!(
                "records are kept for {}: an outage that lasts longer, as over a weekend, loses some",
                duration(retention)
            );
            findings.warn(about, what, fix);
        }
        Some(retention) => findings.ok(about, format!("records are kept for {}", duration(retention))),
        None => findings.ok(about, "records are kept without end"),
    }
}

#[cfg(feature = "kafka")]
async fn topics(source: &SourceArguments, findings: &mut Findings) {
    use tripline_settings::{environment_variables, kafka_cluster};

    const ABOUT: &str = "topic";
    let Some(brokers) = &source.kafka else { return };
    let options = match kafka_cluster(brokers, environment_variables()) {
        Ok(options) => options,
        Err(error) => return findings.fail(ABOUT, error.to_string(), ""),
    };
    for name in &source.topic {
        topic(ABOUT, &options, name, findings).await;
    }
}

#[cfg(feature = "kafka")]
async fn topic(
    about: &'static str,
    options: &tripline_kafka::KafkaOptions,
    name: &str,
    findings: &mut Findings,
) {
    match tripline_kafka::offsets(options, name, PATIENCE) {
        Ok(offsets) => findings.ok(about, format!("{name}: {} partitions", offsets.len())),
        Err(error) => return findings.fail(about, error.to_string(), ""),
    }
    match tripline_kafka::topic_settings(options, name, PATIENCE).await {
        Ok(settings) => {
            if settings.compacts {
                let what =
                    format!("{name} is compacted: of records with one key the older ones go, read or not");
                findings.warn(about, what, "cleanup.policy=delete");
            }
            kept(about, settings.retention, "raise retention.ms", findings);
        }
        Err(error) => findings.not_checked(about, format!("its retention: {error}")),
    }
}

#[cfg(not(feature = "kafka"))]
async fn topics(source: &SourceArguments, findings: &mut Findings) {
    if source.kafka.is_some() {
        findings.not_checked("topic", "this build cannot reach Kafka: build the tool with --features kafka");
    }
}
