//! The store: one for all, and each process's own line to it.

mod backing;
mod line;

pub(crate) use backing::Backing;
pub(crate) use line::Line;
