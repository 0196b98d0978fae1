//! Options that name the search cluster, shared by the commands.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use tripline_ingest::Sinks;
use tripline_lake::{Environment, Lake};
use tripline_model::pipeline::Pipeline;
use tripline_search::{SearchSink, endpoint_of_domain};
use tripline_settings::{SinkChoice, SinkSettings, connect_search};

/// Where the search cluster is, if there is one. How to reach it is said by the functions' own variables,
/// `TRIPLINE_OPENSEARCH_…`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SearchArguments {
    /// URL of an OpenSearch cluster to index events in, too.
    #[arg(long, value_name = "URL")]
    opensearch: Option<String>,
    /// The same by the name of a domain of Amazon OpenSearch Service, whose endpoint is looked up.
    #[arg(long, value_name = "NAME", conflicts_with = "opensearch")]
    opensearch_domain: Option<String>,
}

impl SearchArguments {
    /// The sinks that the options and the environment name.
    pub(crate) async fn connect(
        &self,
        pipeline: &Arc<Pipeline>,
        environment: &Environment,
    ) -> anyhow::Result<SinkChoices> {
        let of_environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let url = match &self.opensearch_domain {
            Some(name) => {
                let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
                Some(endpoint_of_domain(name, &config).await?)
            }
            None => self.opensearch.clone(),
        };
        let named = url.map(|url| ("TRIPLINE_OPENSEARCH_URL".to_owned(), url));
        let settings = SinkSettings::from_variables(of_environment.chain(named))?;
        let sink = match settings.choice {
            SinkChoice::Lake => None,
            SinkChoice::Search { .. } | SinkChoice::Both => {
                connect_search(&settings, pipeline, environment).await?
            }
        };
        Ok(SinkChoices { sink, has_lake: !matches!(settings.choice, SinkChoice::Search { .. }) })
    }
}

/// The sinks that there are.
#[derive(Clone, Debug)]
pub(crate) struct SinkChoices {
    sink: Option<SearchSink>,
    has_lake: bool,
}

impl SinkChoices {
    /// All of them.
    pub(crate) fn all(&self, lake: &Lake) -> Sinks {
        match &self.sink {
            Some(sink) if self.has_lake => Sinks::both(sink.clone(), lake),
            Some(sink) => Sinks::search(sink.clone(), lake, false),
            None => Sinks::lake(lake),
        }
    }

    /// The lake alone, where it is one of them.
    pub(crate) fn lake(&self, lake: &Lake) -> Option<Sinks> {
        self.has_lake.then(|| Sinks::lake(lake))
    }

    /// The search cluster alone, where there is one. Beside a lake, that keeps what is no event.
    pub(crate) fn search(&self, lake: &Lake) -> Option<Sinks> {
        self.sink.clone().map(|sink| Sinks::search(sink, lake, self.has_lake))
    }
}
