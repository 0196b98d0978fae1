//! The commands of `tripline`.
//!
//! Exit codes are the same for all: 0 all is well, 1 the command worked and found something wrong,
//! 2 it could not do its work.

pub mod audit;
pub mod backfill;
mod command;
pub mod ddl;
pub mod doctor;
pub mod events;
pub mod generate;
mod help;
mod input;
pub mod inspect;
mod invoke;
mod lake;
pub mod manual;
mod objects;
pub mod publish;
pub mod redrive;
pub mod replay;
pub mod report;
pub mod run;
pub mod schema;
mod send;
pub mod setup;
mod sinks;
pub mod status;
mod stream_source;
mod text;

pub use command::{Command, command};
pub use tripline_source as source;
