//! Kafka: a sink that sends events on into a topic, and a poller that does what Lambda's event source
//! mapping does, over librdkafka.
//!
//! All of it is behind the feature `kafka`, since librdkafka and OpenSSL are C that takes minutes to compile.
#![cfg(feature = "kafka")]

mod connection;
mod error;
mod msk;
mod offsets;
mod options;
mod poll;
mod sink;

pub use error::KafkaError;
pub use offsets::{Offsets, TopicSettings, offsets, topic_settings};
pub use options::{Compression, KafkaOptions, Sasl, Security, Token, TokenSource};
pub use poll::{Batch, Done, FailedAt, KafkaPoller, PartitionState, PollSettings, Start};
pub use sink::{EVENT_TYPE_HEADER, KafkaSink, SOURCE_HEADER};
