//! Connects the sinks that the settings name, and puts them together as a function, or a redrive, needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tripline_kinesis::KinesisSink;
use tripline_lake::{Environment, Lake, Role};
use tripline_model::decode::Stage;
use tripline_model::pipeline::{Pipeline, Target};
use tripline_search::SearchSink;
use tripline_settings::{SinkSettings, StartError, connect_search};
use tripline_stream::sink::StreamSink;

use crate::sinks::{Malformed, Sinks};

/// The sinks that there are, connected. Cheap to share.
#[derive(Clone, Debug)]
pub struct Connected {
    names: BTreeSet<Role>,
    lake_elsewhere: bool,
    search: Option<SearchSink>,
    streams: BTreeMap<Target, Arc<dyn StreamSink>>,
}

impl Connected {
    /// Connects what the settings name. Nothing is asked of any server yet.
    ///
    /// # Errors
    /// [`StartError`] with what is wrong with the settings, alone or for this pipeline.
    pub async fn new(
        settings: &SinkSettings,
        pipeline: &Arc<Pipeline>,
        environment: &Environment,
    ) -> Result<Self, StartError> {
        let names = settings.names.clone();
        let search = match names.contains(&Role::Search) {
            true => connect_search(settings, pipeline, environment).await?,
            false => None,
        };
        let mut streams: BTreeMap<Target, Arc<dyn StreamSink>> = BTreeMap::new();
        if let Some(options) = settings.kinesis.clone().filter(|_| names.contains(&Role::Kinesis)) {
            streams.insert(Target::Kinesis, Arc::new(KinesisSink::connect(options).await?));
        }
        #[cfg(feature = "kafka")]
        if let Some(kafka) = settings.kafka.as_ref().filter(|_| names.contains(&Role::Kafka)) {
            let sink = tripline_kafka::KafkaSink::connect(&kafka.options, &kafka.topic)?;
            streams.insert(Target::Kafka, Arc::new(sink));
        }
        Ok(Self { names, lake_elsewhere: settings.lake_elsewhere, search, streams })
    }

    /// Their names.
    #[must_use]
    pub const fn names(&self) -> &BTreeSet<Role> {
        &self.names
    }

    /// All of them, for records that none has.
    #[must_use]
    pub fn all(&self, lake: &Lake) -> Sinks {
        self.sinks(&self.names, lake)
    }

    /// One of them, for records that the others get by another way; `None` where it is not among them.
    #[must_use]
    pub fn only(&self, role: Role, lake: &Lake) -> Option<Sinks> {
        self.names.contains(&role).then(|| self.sinks(&[role].into(), lake))
    }

    /// The sink beside the lake of a stage, for records that the others have; `None` where there is none. One
    /// that has become no event since is its letter once more.
    #[must_use]
    pub fn again(&self, stage: Stage, lake: &Lake) -> Option<Sinks> {
        let role = match stage {
            Stage::Decode => return None,
            Stage::Search => Role::Search,
            Stage::Kinesis => Role::Kinesis,
            Stage::Kafka => Role::Kafka,
        };
        self.names.contains(&role).then(|| self.with(Sinks::default(), role, lake, Malformed::Letter(stage)))
    }

    fn sinks(&self, wanted: &BTreeSet<Role>, lake: &Lake) -> Sinks {
        let mut sinks = if wanted.contains(&Role::Lake) { Sinks::lake(lake) } else { Sinks::default() };
        for role in wanted {
            sinks = self.with(sinks, *role, lake, self.malformed(*role));
        }
        sinks
    }

    fn with(&self, sinks: Sinks, role: Role, lake: &Lake, malformed: Malformed) -> Sinks {
        let stream = |target| self.streams.get(target).map(Arc::clone);
        match role {
            Role::Lake => sinks,
            Role::Search => match self.search.clone() {
                Some(search) => sinks.with_search(search, lake, malformed),
                None => sinks,
            },
            Role::Kinesis | Role::Kafka => {
                let target = if role == Role::Kafka { Target::Kafka } else { Target::Kinesis };
                match stream(&target) {
                    Some(stream) => sinks.with_stream(target, stream, lake, malformed),
                    None => sinks,
                }
            }
        }
    }

    /// Who keeps a record that is no event: the lake, where it is a sink here or of another function, else
    /// the first of the others.
    fn malformed(&self, role: Role) -> Malformed {
        if self.lake_elsewhere || self.names.first() != Some(&role) {
            Malformed::Elsewhere
        } else {
            Malformed::Letter(Stage::Decode)
        }
    }
}
