//! The real code under seeded schedules: the ingest function behind a double of Lambda's event source
//! mapping, publishers and readers, over a store in memory behind lines that are slow, lossy and dead, and a
//! search cluster that is worse.
//! Time is virtual and randomness is drawn from the seed, so that a seed repeats its schedule to the byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod campaign;
mod clock;
mod cluster;
mod coverage;
mod dice;
mod feeding;
mod freezing;
mod mapping;
mod marks;
mod mutant;
mod publisher;
mod reader;
mod rides;
mod saboteur;
mod sandbox;
mod scene;
mod schedule;
mod store;
mod stream;
mod trace;
mod verdict;
mod world;

pub use campaign::{Campaign, Failure, Summary, play_one};
pub use coverage::{Coverage, Feature, Seen};
pub use mutant::Mutant;
pub use world::Played;
