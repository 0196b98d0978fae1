//! What the benchmarks measure and what they measure it with.
//!
//! * [`input`]: events that are the same on every machine;
//! * [`world`]: the real functions over a store and a search cluster that are in this process, so that a figure
//!   is their own cost and not a server's;
//! * [`cluster`]: that search cluster, which takes every document;
//! * [`naive`]: the same work as it is written with the crates that come to hand first;
//! * [`stages`]: what is measured in this process, and [`instructions`], which counts it;
//! * [`whole`]: the functions' own processes;
//! * [`report`]: the table;
//! * [`cpu`]: what the calling thread has cost.

pub mod cluster;
pub mod cpu;
pub mod input;
pub mod instructions;
pub mod naive;
pub mod report;
pub mod stages;
pub mod whole;
pub mod world;
