//! Who sends records once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::anyhow;
use tripline_ingest::{Ingest, IngestOptions};
use tripline_lake::{Lake, Role};
use tripline_model::decode::Stage;
use tripline_model::pipeline::Pipeline;

use crate::sinks::SinkArguments;

/// The pipeline with each choice of sinks that a redrive needs.
pub(super) struct Senders {
    /// Every sink that there is.
    pub(super) all: Ingest,
    /// Each by itself, for records that the others get by another way.
    pub(super) single: BTreeMap<Role, Ingest>,
    /// The sink of each stage by itself, for records that the others have.
    again: BTreeMap<Stage, Ingest>,
    /// Names of the sinks.
    pub(super) names: BTreeSet<String>,
}

impl Senders {
    pub(super) async fn new(
        pipeline: &Arc<Pipeline>,
        lake: &Lake,
        sinks: &SinkArguments,
    ) -> anyhow::Result<Self> {
        let connected = sinks.connect(pipeline, lake.environment()).await?.connected;
        let feeding = |sinks| {
            let clock = Arc::clone(&lake.environment().clock);
            Ingest::feeding(sinks, Arc::clone(pipeline), clock, IngestOptions::default())
        };
        let single = |&role: &Role| Some((role, feeding(connected.only(role, lake)?)));
        let again = |stage| Some((stage, feeding(connected.again(stage, lake)?)));
        Ok(Self {
            all: feeding(connected.all(lake)),
            single: connected.names().iter().filter_map(single).collect(),
            again: Stage::ALL.into_iter().filter_map(again).collect(),
            names: connected.names().iter().map(Role::to_string).collect(),
        })
    }

    /// Who sends dead letters of a stage again: to every sink, or to the one that refused them.
    ///
    /// # Errors
    /// When that one is not there: what became of the letters, and what to do.
    pub(super) fn of_stage(&self, stage: Stage) -> anyhow::Result<&Ingest> {
        let how = match stage {
            Stage::Decode => return Ok(&self.all),
            Stage::Search => "were refused by the search cluster: say where it is with --opensearch",
            Stage::Kinesis => "were refused by a Kinesis stream: name it in TRIPLINE_KINESIS_STREAM",
            Stage::Kafka => "were refused by a Kafka topic: name it in TRIPLINE_KAFKA_BROKERS and …_TOPIC",
        };
        self.again.get(&stage).ok_or_else(|| anyhow!("{how}, or leave them out with --stage decode"))
    }
}
