//! Mappings as Lambda's own API tells them.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::operation::list_event_source_mappings::builders::ListEventSourceMappingsFluentBuilder;
use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FunctionResponseType};
use tokio::sync::OnceCell;

use super::{Mappings, SourceMapping};

/// A look takes some tens of milliseconds; where there is no way to the API, a batch waits no longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks Lambda. Connects at the first look.
#[derive(Debug)]
pub struct LambdaMappings {
    function: String,
    client: OnceCell<Client>,
}

impl LambdaMappings {
    /// The mappings of the function with this name, as `AWS_LAMBDA_FUNCTION_NAME` has it.
    #[must_use]
    pub fn new(function: String) -> Self {
        Self { function, client: OnceCell::new() }
    }

    async fn client(&self) -> &Client {
        let connect = async || {
            let patience =
                TimeoutConfig::builder().connect_timeout(PATIENCE).operation_timeout(PATIENCE).build();
            let loader = aws_config::defaults(BehaviorVersion::latest())
                .timeout_config(patience)
                .retry_config(RetryConfig::standard());
            Client::new(&loader.load().await)
        };
        self.client.get_or_init(connect).await
    }

    /// All of the function's mappings, under any alias or version.
    ///
    /// # Errors
    /// Why they cannot be seen.
    pub async fn all(&self) -> Result<Vec<SourceMapping>, String> {
        self.ask(self.client().await.list_event_source_mappings(), |_| true).await
    }

    /// The function's own among the mappings that a question is answered with.
    async fn ask(
        &self,
        question: ListEventSourceMappingsFluentBuilder,
        is_wanted: impl Fn(&EventSourceMappingConfiguration) -> bool,
    ) -> Result<Vec<SourceMapping>, String> {
        let mut pages = question.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| DisplayErrorContext(error).to_string())?;
            let own = |mapping: &&EventSourceMappingConfiguration| {
                mapping.function_arn().is_some_and(|arn| self.is_own(arn)) && is_wanted(mapping)
            };
            found.extend(page.event_source_mappings().iter().filter(own).map(SourceMapping::from));
        }
        Ok(found)
    }

    /// Whether a function's ARN, with or without a qualifier, is that of this function.
    fn is_own(&self, arn: &str) -> bool {
        arn.split(':').nth(6) == Some(&self.function)
    }
}

#[async_trait]
impl Mappings for LambdaMappings {
    // Asked by source where it has an ARN: a question by function name leaves out the mappings of aliases.
    async fn of(&self, source: &str) -> Result<Vec<SourceMapping>, String> {
        let question = self.client().await.list_event_source_mappings();
        let by_arn = source.starts_with("arn:");
        let question =
            if by_arn { question.event_source_arn(source) } else { question.function_name(&self.function) };
        self.ask(question, |mapping| by_arn || mapping.self_managed_event_source().is_some()).await
    }
}

impl From<&EventSourceMappingConfiguration> for SourceMapping {
    fn from(mapping: &EventSourceMappingConfiguration) -> Self {
        Self {
            id: mapping.uuid().unwrap_or_default().to_owned(),
            // Creating, Enabling, Enabled, Updating, and Disabling, which may still deliver.
            is_active: !matches!(mapping.state(), Some("Disabled" | "Deleting")),
            parallelization_factor: mapping.parallelization_factor().unwrap_or(1),
            reports_batch_item_failures: mapping
                .function_response_types()
                .contains(&FunctionResponseType::ReportBatchItemFailures),
            tumbling_window_seconds: mapping.tumbling_window_in_seconds().unwrap_or(0),
            topics: mapping.topics().to_vec(),
            source: mapping.event_source_arn().map_or_else(|| servers(mapping), str::to_owned),
            on_failure: on_failure(mapping),
            bisects: mapping.bisect_batch_on_function_error().unwrap_or(false),
            maximum_retry_attempts: mapping.maximum_retry_attempts().unwrap_or(-1),
            maximum_record_age_seconds: mapping.maximum_record_age_in_seconds().unwrap_or(-1),
        }
    }
}

/// The bootstrap servers of a self-managed cluster.
fn servers(mapping: &EventSourceMappingConfiguration) -> String {
    let endpoints = mapping.self_managed_event_source().and_then(|source| source.endpoints());
    endpoints
        .into_iter()
        .flat_map(|endpoints| endpoints.values())
        .flatten()
        .cloned()
        .collect::<Vec<_>>()
        .join(",")
}

fn on_failure(mapping: &EventSourceMappingConfiguration) -> Option<String> {
    mapping.destination_config()?.on_failure()?.destination().map(str::to_owned)
}
