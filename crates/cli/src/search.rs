//! Options that name the search cluster, shared by the commands.

use std::sync::Arc;

use tripline_lake::Environment;
use tripline_model::pipeline::Pipeline;
use tripline_search::SearchSink;
use tripline_settings::{SinkChoice, SinkSettings, connect_search};

/// Where the search cluster is, if there is one. How to reach it is said by the functions' own variables,
/// `TRIPLINE_OPENSEARCH_…`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SearchArguments {
    /// URL of an OpenSearch cluster to index events in too.
    #[arg(long, value_name = "URL")]
    opensearch: Option<String>,
}

impl SearchArguments {
    fn settings(&self) -> anyhow::Result<SinkSettings> {
        let mut variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        if let Some(url) = &self.opensearch {
            variables.push(("TRIPLINE_OPENSEARCH_URL".to_owned(), url.clone()));
        }
        Ok(SinkSettings::from_variables(variables)?)
    }

    /// The sink; `None` where no cluster is named.
    pub(crate) async fn connect(
        &self,
        pipeline: &Arc<Pipeline>,
        environment: &Environment,
    ) -> anyhow::Result<Option<SearchSink>> {
        let settings = self.settings()?;
        match settings.choice {
            SinkChoice::Lake => Ok(None),
            SinkChoice::Search { .. } | SinkChoice::Both => {
                Ok(connect_search(&settings, pipeline, environment).await?)
            }
        }
    }

    /// Whether the lake is one of the sinks.
    pub(crate) fn feeds_lake(&self) -> anyhow::Result<bool> {
        Ok(!matches!(self.settings()?.choice, SinkChoice::Search { .. }))
    }
}
