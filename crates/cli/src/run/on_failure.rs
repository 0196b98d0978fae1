//! Where batches go that are given up.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use anyhow::Context;
use tripline_lake::clock::{Clock as _, SystemClock};
use tripline_lake::store::{Condition as PutCondition, ErrorKind, ObjectStore};
use tripline_stream::mapping::delivery::{Batch, Condition};
use tripline_stream::mapping::on_failure::{InvocationRecord, RequestContext, ResponseContext};
use xxhash_rust::xxh3::xxh3_128;

use super::retries::pause_after;

/// Tries to write a record.
const TRIES: u32 = 10;

/// An on-failure destination, as one mapping writes to it.
#[derive(Debug)]
pub(super) struct OnFailure {
    store: Arc<dyn ObjectStore>,
    function_arn: String,
    /// The mapping's UUID.
    mapping: String,
}

/// A batch that is given up, and its last invocation.
pub(super) struct GivenUp<'a, B> {
    pub(super) batch: &'a B,
    pub(super) event: &'a [u8],
    pub(super) condition: Condition,
    /// How often the function was invoked with it.
    pub(super) invocations: u32,
    /// Whether the last of them failed as a whole.
    pub(super) is_error: bool,
}

impl OnFailure {
    /// The destination of the mapping of a source to a function: the same mapping has the same UUID.
    pub(super) fn new(store: Arc<dyn ObjectStore>, function: &str, source: &str) -> Self {
        let function_arn = format!("arn:aws:lambda:local:000000000000:function:{function}");
        let mapping = uuid(xxh3_128(format!("{function_arn} {source}").as_bytes()), 8);
        Self { store, function_arn, mapping }
    }

    /// Where it is, for messages.
    pub(super) fn location(&self) -> String {
        self.store.location()
    }

    /// Writes a batch; when this returns, it is there.
    pub(super) async fn write<B: Batch>(&self, given_up: GivenUp<'_, B>) -> anyhow::Result<()> {
        let GivenUp { batch, event, condition, invocations, is_error } = given_up;
        let request_context = RequestContext {
            request_id: uuid(random(), 4),
            function_arn: &self.function_arn,
            condition,
            approximate_invoke_count: invocations,
        };
        let response_context = (invocations > 0).then(|| ResponseContext::new(is_error));
        let text = str::from_utf8(event).context("an event is no text: a bug of ours, please report it")?;
        let (info, now_ms) = (batch.info(event), SystemClock.now_ms());
        let record = InvocationRecord::new(request_context, response_context, info, text, now_ms);
        let (key, body) = (record.key(&self.mapping, &uuid(random(), 4)), serde_json::to_vec(&record)?);
        let body = bytes::Bytes::from(body);
        let mut tries = 1;
        loop {
            // Nobody else has the name: one that is refused was written by the try before.
            match self.store.put(&key, body.clone(), PutCondition::Absent).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Unknown && tries < TRIES => {
                    tokio::time::sleep(pause_after(tries)).await;
                    tries += 1;
                }
                Err(error) => return Err(error).context("a batch that is given up cannot be kept"),
            }
        }
    }
}

/// These bits as a UUID of this version (RFC 9562: 4 is random, 8 is one's own).
fn uuid(bits: u128, version: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | version << 76 | 0x2 << 62;
    crate::text::uuid(bits)
}

/// Bits that nobody else has: keyed by the operating system's randomness.
fn random() -> u128 {
    let half = || {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        u128::from(hasher.finish())
    };
    half() << 64 | half()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_version_and_differ() {
        assert_eq!(uuid(u128::MAX, 4), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid(0, 8), "00000000-0000-8000-8000-000000000000");
        assert_ne!(random(), random());
    }
}
