//! What delivery asks of a cluster, whatever lies between.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// A way to a search cluster.
#[async_trait]
pub trait Cluster: fmt::Debug + Send + Sync {
    /// Sends the body of a bulk request and waits for the answer, no longer than `timeout`.
    ///
    /// # Errors
    /// [`Failure`] when there is no answer.
    async fn bulk(&self, body: Bytes, timeout: Duration) -> Result<Answer, Failure>;
}

/// The cluster's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What was said.
    pub body: Bytes,
    /// Length of the body that was sent, as it went over the wire.
    pub sent_bytes: usize,
}

/// There is no answer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The cluster may have got the request.
    pub sent: bool,
    /// What happened instead.
    pub reason: String,
}
