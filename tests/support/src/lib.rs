//! Real servers for tests, from the scripts in `tests/servers`, and functions' real processes behind a
//! Runtime API of ours: see [`Function`].
//!
//! A test whose server cannot be had is left out, and says so: see [`or_left_out`].

mod function;
mod http;
mod kafka;
mod kinesis;
mod lambda_api;
mod opensearch;
mod postgres;
mod readers;
mod runtime_api;
mod s3;
mod server;
mod sigv4_proxy;

use std::fmt;
use std::io::Write;

pub use function::Function;
pub use http::{Reply, read_request, request};
pub use kafka::{Kafka, KilledKafka};
pub use kinesis::{KinesisServer, StreamRecord};
pub use lambda_api::LambdaApi;
pub use opensearch::{Killed, OpenSearch};
pub use postgres::Postgres;
pub use readers::readers_python;
pub use runtime_api::{Answer, Invocation, RuntimeApi};
pub use s3::S3Server;
pub use server::Server;
pub use sigv4_proxy::SigV4Proxy;

/// Why a server cannot be had on this machine.
#[derive(Debug, Clone)]
pub struct Unavailable {
    reason: String,
    /// Whether this machine cannot have it at all, so that another try is no use.
    for_good: bool,
}

impl Unavailable {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), for_good: false }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Unavailable {}

/// The server; or `None` after a line `left out: <test>: <reason>` on standard error, upon which the
/// test returns. The line shows even when the test passes.
///
/// # Panics
/// Where the environment says `CI=true`: there, a test that did not run is a failure.
#[allow(clippy::panic)]
pub fn or_left_out<T>(test: &str, server: Result<T, Unavailable>) -> Option<T> {
    let reason = match server {
        Ok(server) => return Some(server),
        Err(reason) => reason,
    };
    // Not `eprintln!`, which the test harness keeps from the reader.
    let _ = writeln!(std::io::stderr(), "left out: {test}: {reason}");
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        panic!("left out: {test}: {reason}");
    }
    None
}
