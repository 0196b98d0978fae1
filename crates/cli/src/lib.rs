//! The commands of `tripline`.
//!
//! Exit codes are the same for all: 0 all is well, 1 the command worked and found something wrong,
//! 2 it could not do its work.

pub mod audit;
pub mod backfill;
pub mod events;
pub mod generate;
mod input;
mod invoke;
mod lake;
mod objects;
pub mod publish;
pub mod redrive;
pub mod replay;
pub mod report;
pub mod run;
mod send;
pub mod setup;
mod sinks;
mod text;

pub use tripline_source as source;
