//! The function's own event source mappings, looked at before anything is written.
//!
//! Some settings of a mapping lose records, whatever the function does: more than one batch of a
//! shard at a time, a second mapping that is further along, partial responses that nobody reads. In a
//! batch nothing of it can be seen, so the function asks Lambda.

mod lambda;
mod verdict;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tripline_lake::clock::Clock;

pub use lambda::LambdaMappings;
pub use verdict::{MappingFault, judge};

/// Mappings are looked at again after this: they can be changed while the function runs.
const LOOK_AGAIN_MS: i64 = 10 * 60 * 1_000;

/// An event source mapping of this function, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceMapping {
    /// Its id, by which consoles and the command line name it.
    pub id: String,
    /// It delivers, or is about to, or has not stopped yet.
    pub is_active: bool,
    /// Batches of one shard at a time.
    pub parallelization_factor: i32,
    /// `FunctionResponseTypes` has `ReportBatchItemFailures`.
    pub reports_batch_item_failures: bool,
    /// Seconds of its tumbling window; 0 where it has none.
    pub tumbling_window_seconds: i32,
    /// Topics that it delivers; none where its source is a stream.
    pub topics: Vec<String>,
    /// What it delivers: an ARN, or the bootstrap servers of a self-managed cluster.
    pub source: String,
    /// ARN of the destination of what it gives up.
    pub on_failure: Option<String>,
    /// It cuts a batch in two that fails the function.
    pub bisects: bool,
    /// Retries of a batch; -1: without end.
    pub maximum_retry_attempts: i32,
    /// Age at which records are given up, seconds; -1: never.
    pub maximum_record_age_seconds: i32,
}

/// Where mappings are found.
#[async_trait]
pub trait Mappings: Debug + Send + Sync + 'static {
    /// The mappings by which `source`, an ARN or the URL of a self-managed Kafka cluster, invokes this
    /// function, under any alias or version where the source has an ARN.
    ///
    /// # Errors
    /// Why they cannot be seen, for a log.
    async fn of(&self, source: &str) -> Result<Vec<SourceMapping>, String>;
}

/// A stream's ARN, or a cluster with one of its topics.
type Source = (String, Option<String>);

/// Looks at mappings, now and then.
#[derive(Debug)]
pub(crate) struct MappingCheck {
    mappings: Arc<dyn Mappings>,
    clock: Arc<dyn Clock>,
    partial_responses: bool,
    /// When the mappings of a source were last looked at and found right, or could not be seen.
    looked_ms: Mutex<HashMap<Source, i64>>,
}

impl MappingCheck {
    pub(crate) fn new(mappings: Arc<dyn Mappings>, clock: Arc<dyn Clock>, partial_responses: bool) -> Self {
        Self { mappings, clock, partial_responses, looked_ms: Mutex::default() }
    }

    /// Makes sure that what delivers `source`, or `topic` of it, is fit for exactly-once. Mappings that
    /// cannot be seen are warned about and otherwise taken as they are promised to be.
    pub(crate) async fn check(&self, source: &str, topic: Option<&str>) -> Result<(), MappingFault> {
        let now_ms = self.clock.now_ms();
        let is_known = |looked_ms: &i64| (0..LOOK_AGAIN_MS).contains(&(now_ms - looked_ms));
        let key = (source.to_owned(), topic.map(str::to_owned));
        if self.looked().get(&key).is_some_and(is_known) {
            return Ok(());
        }
        match self.mappings.of(source).await {
            Ok(mut mappings) => {
                // Each topic of a cluster may have a mapping of its own.
                mappings.retain(|mapping| {
                    topic.is_none_or(|topic| mapping.topics.iter().any(|own| own == topic))
                });
                judge(source, &mappings, self.partial_responses)?;
            }
            Err(error) => tracing::warn!(
                source,
                error,
                "the event source mapping cannot be seen and is trusted: allow lambda:ListEventSourceMappings, or \
                 set TRIPLINE_CHECK_MAPPING=false"
            ),
        }
        self.looked().insert(key, now_ms);
        Ok(())
    }

    fn looked(&self) -> MutexGuard<'_, HashMap<Source, i64>> {
        self.looked_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
