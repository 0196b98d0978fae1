//! The search cluster: one for all, and each process's own connection to it.

mod bulk;
mod connection;
mod documents;
mod plan;
mod trouble;

pub(crate) use connection::Connection;
pub(crate) use documents::{Document, Indices};
pub(crate) use plan::ClusterPlan;
pub(crate) use trouble::trouble_for_ever;
