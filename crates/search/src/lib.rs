//! The search sink: records become documents of OpenSearch, an index for each event type.
//!
//! [`SearchSink::deliver`] takes the records of one source partition, makes bulk requests of them and says
//! which records are safe, which are refused and from which on they must come again. Delivery is at least
//! once; documents have ids of their own, so that once more changes nothing.
//!
//! What a document is and where it belongs is [`tripline_model::document`]'s. What an answer of the cluster
//! means is [`verdict`]'s.

mod batch;
mod cluster;
mod delivered;
mod delivery;
#[cfg(feature = "domain-lookup")]
mod domain;
mod environment;
mod error;
mod options;
mod reply;
pub mod setup;
mod sink;
pub mod template;
mod transport;
pub mod verdict;
mod viewer;

pub use cluster::{Answer, Cluster, Failure};
pub use delivered::{Delivered, Refused, SearchCounts, Undelivered, Why};
#[cfg(feature = "domain-lookup")]
pub use domain::{DomainError, endpoint_of_domain};
pub use environment::Environment;
pub use error::SearchError;
pub use options::{Auth, MAX_BODY_BYTES, SearchOptions, Service, SigV4};
pub use sink::SearchSink;
pub use viewer::{Document, ShowError, Shown, Viewer};
