//! What a pipeline is and what its records mean: the pipeline file, decoding of JSON records into
//! Arrow columns and into documents, event time, derived columns and lake partitions.
//!
//! Pure on purpose: no I/O beyond loading the pipeline folder, no clock, no AWS. Time and origin
//! are handed in, so that the same records always decode to the same columns.

pub mod batch;
pub mod decode;
mod digits;
pub mod document;
pub mod forward;
mod id;
pub mod json;
pub mod partition;
pub mod pipeline;
pub mod schema;
pub mod source;
pub mod time;
pub mod time_levels;
