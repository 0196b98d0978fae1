//! The functions that a run invokes: in this process, or over HTTP.

mod local;
mod remote;

use tripline_ingest::{Answer, IngestError};
use tripline_lake::publish::PublishedFile;

use super::delivered::Delivered;

pub(super) use local::{Local, LocalOptions};
pub(super) use remote::{InvokeArguments, Remote};

/// What an invocation came to.
pub(super) enum Outcome {
    /// It answered, in this process.
    Answered(Box<Answer>),
    /// It answered over HTTP.
    Body(Vec<u8>),
    /// It failed.
    Failed(anyhow::Error),
    /// It could not be invoked for now.
    Away(anyhow::Error),
    /// The event is larger than an invocation may be.
    TooLarge(anyhow::Error),
    /// It died on purpose.
    Died,
}

impl From<IngestError> for Outcome {
    fn from(error: IngestError) -> Self {
        Self::Failed(error.into())
    }
}

/// What a publish run wrote.
#[derive(Debug, Default)]
pub(super) struct Publication {
    /// Files made visible, by name, where they are known by name.
    pub(super) files: Vec<PublishedFile>,
    /// How many there are.
    pub(super) count: u64,
    /// Rows in them.
    pub(super) rows: u64,
    /// The watermark since then, milliseconds since 1970 UTC.
    pub(super) watermark_ms: Option<i64>,
}

/// `ingest`, and `publish` if there is one.
#[derive(Debug)]
pub(super) enum Functions {
    /// In this process.
    Local(Box<Local>),
    /// Over HTTP.
    Remote(Box<Remote>),
}

impl Functions {
    /// Invokes `ingest` once, and counts what it says that it did.
    ///
    /// # Errors
    /// When another try would be no use.
    pub(super) async fn invoke(&mut self, event: &[u8], counts: &mut Delivered) -> anyhow::Result<Outcome> {
        counts.invocations += 1;
        match self {
            Self::Local(functions) => functions.invoke(event, counts).await,
            Self::Remote(functions) => functions.invoke(event).await,
        }
    }

    /// Publishes everything that is in the journal.
    pub(super) async fn publish(&mut self, counts: &mut Delivered) -> anyhow::Result<Publication> {
        match self {
            Self::Local(functions) => functions.publish(counts).await,
            Self::Remote(functions) => functions.publish().await,
        }
    }
}
