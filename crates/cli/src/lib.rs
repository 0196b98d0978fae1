//! The commands of `tripline`.
//!
//! Exit codes are the same for all: 0 all is well, 1 the command worked and found something wrong,
//! 2 it could not do its work.

pub mod audit;
pub mod events;
pub mod generate;
mod invoke;
mod lake;
pub mod publish;
pub mod redrive;
pub mod replay;
pub mod report;
pub mod run;
pub mod setup;
mod sinks;
pub mod source;
mod text;
