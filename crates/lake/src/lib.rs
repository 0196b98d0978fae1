//! Exactly-once Parquet from an at-least-once source, with nothing but an object store.
//!
//! * [`store`]: the small [`store::ObjectStore`] trait and its S3, folder and in-memory
//!   implementations;
//! * [`journal`]: one conditional PUT per batch makes a redelivered, re-cut or concurrent batch
//!   harmless;
//! * [`publish`]: turns journal entries into large partitioned files, committed by replacing one
//!   checkpoint object;
//! * [`event_time`]: how far the sources are, and which partitions of the lake are complete;
//! * [`schemas`]: which versions of the pipeline's columns are in, and what fits beside them;
//! * [`redrive`]: sends dead letters and given-up batches again, each at most once more;
//! * [`audit`]: proves from what lies in the store that every record is there once;
//! * [`status`]: says how far publish is behind the journal, and which lanes stand still;
//! * [`inspect`]: says what one object is and holds, or where it is damaged;
//! * [`survey`]: counts what lies in the store by hour, file and batch, for pictures of it;
//! * [`invariants`]: what must always hold, checked in tests and in production.
//!
//! The protocol and why it holds are written up in `ARCHITECTURE.md`.

pub mod audit;
pub mod checkpoint;
pub mod clock;
pub mod environment;
pub mod event_time;
pub mod identity;
pub mod inspect;
pub mod invariants;
pub mod journal;
mod lake;
pub mod lane;
pub mod layout;
mod patience;
pub mod publish;
pub mod redrive;
pub mod schemas;
pub mod status;
pub mod store;
pub mod survey;
mod text;

pub use environment::{Environment, FailPoint};
pub use lake::{Lake, OpenError};
pub use lane::{Lane, Role};
