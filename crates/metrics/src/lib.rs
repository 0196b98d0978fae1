//! What the functions tell CloudWatch: metrics in its embedded metric format, one JSON document a batch or run.
//!
//! The documents go to standard output, where Lambda hands them to CloudWatch Logs, which makes metrics of them: the
//! functions need neither a right nor a way to CloudWatch's API. [`catalogue`] is the one list of names; the shipped
//! dashboards, alarms and documentation are compared with it by tests.

pub mod catalogue;
mod emitter;
mod points;

pub use catalogue::Metric;
pub use emitter::{Metrics, NAMESPACE};
pub use points::Points;
