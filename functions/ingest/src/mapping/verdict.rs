//! Which mappings exactly-once can live with.

use super::SourceMapping;

/// A mapping's settings would lose records, or fail every batch. Nothing has been written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingFault {
    /// Batches of one shard come beside each other.
    #[error(
        "event source mapping {id} of {stream} has ParallelizationFactor {factor}: records of a shard would come out \
         of order and be taken for duplicates; set it to 1 (reshard the stream to go faster)"
    )]
    Parallel {
        /// The mapping.
        id: String,
        /// Its source.
        stream: String,
        /// Its factor.
        factor: i32,
    },
    /// Several mappings deliver the same source.
    #[error(
        "{stream} is delivered to this function by {count} event source mappings ({ids}): what one of them has not \
         delivered yet would be taken for duplicates of another; disable all but one", count = ids.len(),
        ids = ids.join(", ")
    )]
    Several {
        /// The mappings.
        ids: Vec<String>,
        /// Their source.
        stream: String,
    },
    /// The function would name failed records to a mapping that takes the answer for success.
    #[error(
        "event source mapping {id} of {stream} lacks ReportBatchItemFailures while TRIPLINE_PARTIAL_RESPONSES is true: \
         records that failed would be taken as done; set FunctionResponseTypes, or the variable to false"
    )]
    PartialResponsesUnread {
        /// The mapping.
        id: String,
        /// Its source.
        stream: String,
    },
    /// The mapping wants a state with every answer.
    #[error(
        "event source mapping {id} of {stream} has a tumbling window, whose state this function does not keep; \
         remove TumblingWindowInSeconds"
    )]
    TumblingWindow {
        /// The mapping.
        id: String,
        /// Its source.
        stream: String,
    },
}

/// Judges the mappings of one source. None at all is fine: a person or a test invokes the function.
///
/// # Errors
/// [`MappingFault`].
pub fn judge(source: &str, mappings: &[SourceMapping], partial_responses: bool) -> Result<(), MappingFault> {
    let active: Vec<&SourceMapping> = mappings.iter().filter(|mapping| mapping.is_active).collect();
    let stream = source.to_owned();
    if active.len() > 1 {
        let ids = active.iter().map(|mapping| mapping.id.clone()).collect();
        return Err(MappingFault::Several { ids, stream });
    }
    let Some(mapping) = active.first() else { return Ok(()) };
    let id = mapping.id.clone();
    if mapping.parallelization_factor > 1 {
        return Err(MappingFault::Parallel { id, stream, factor: mapping.parallelization_factor });
    }
    if mapping.tumbling_window_seconds > 0 {
        return Err(MappingFault::TumblingWindow { id, stream });
    }
    if partial_responses && !mapping.reports_batch_item_failures {
        return Err(MappingFault::PartialResponsesUnread { id, stream });
    }
    if !partial_responses && mapping.reports_batch_item_failures {
        tracing::warn!(
            mapping = id,
            source,
            "the mapping takes partial responses and is given none: set TRIPLINE_PARTIAL_RESPONSES=true"
        );
    }
    Ok(())
}
