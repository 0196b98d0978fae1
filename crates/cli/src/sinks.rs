//! The sinks that a command has, by its options and the environment.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use tripline_ingest::Connected;
use tripline_lake::{Environment, Role};
use tripline_model::pipeline::Pipeline;
use tripline_search::{SearchOptions, Shown, Viewer, endpoint_of_domain};
use tripline_settings::{SinkSettings, environment_variables, search_environment};

/// Where the search cluster is, if there is one. Everything else about the sinks is said by the functions' own
/// variables.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SinkArguments {
    /// URL of an OpenSearch cluster to index events in, too.
    #[arg(long, value_name = "URL")]
    opensearch: Option<String>,
    /// The same by the name of a domain of Amazon OpenSearch Service, whose endpoint is looked up.
    #[arg(long, value_name = "NAME", visible_alias = "domain", conflicts_with = "opensearch")]
    opensearch_domain: Option<String>,
}

impl SinkArguments {
    /// The sinks' settings: the environment's, with the cluster that the options name.
    pub(crate) async fn settings(&self) -> anyhow::Result<SinkSettings> {
        let url = match &self.opensearch_domain {
            Some(name) => {
                let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
                Some(endpoint_of_domain(name, &config).await?)
            }
            None => self.opensearch.clone(),
        };
        let named = url.map(|url| ("TRIPLINE_OPENSEARCH_URL".to_owned(), url));
        Ok(SinkSettings::from_variables(environment_variables().chain(named))?)
    }

    /// Name of the domain whose endpoint was looked up.
    pub(crate) fn domain(&self) -> Option<&str> {
        self.opensearch_domain.as_deref()
    }

    /// The sinks that the options and the environment name.
    pub(crate) async fn connect(
        &self,
        pipeline: &Arc<Pipeline>,
        environment: &Environment,
    ) -> anyhow::Result<SinkChoices> {
        let settings = self.settings().await?;
        let connected = Connected::new(&settings, pipeline, environment).await?;
        let cluster = settings.search.filter(|_| connected.names().contains(&Role::Search));
        Ok(SinkChoices { connected, cluster })
    }
}

/// The sinks that there are.
#[derive(Clone, Debug)]
pub(crate) struct SinkChoices {
    pub(crate) connected: Connected,
    /// The search cluster, where it is one of them.
    cluster: Option<SearchOptions>,
}

/// Documents of each event type that are shown.
const SHOWN: usize = 2;

impl SinkChoices {
    /// What the indices of each event type have; nothing where there is no cluster.
    pub(crate) async fn shown(
        &self,
        pipeline: &Pipeline,
        environment: &Environment,
    ) -> anyhow::Result<Vec<Shown>> {
        let Some(cluster) = &self.cluster else { return Ok(Vec::new()) };
        let viewer = Viewer::connect(cluster, &search_environment(environment)).await?;
        let mut all: Vec<Shown> = Vec::new();
        for search in pipeline.events.iter().filter_map(|event| event.search.as_ref()) {
            let shown = viewer.show(search, SHOWN).await?;
            // Event types may share an index.
            if all.iter().all(|other| other.indices != shown.indices) {
                all.push(shown);
            }
        }
        Ok(all)
    }
}
