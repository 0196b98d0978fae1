//! A search cluster in this process: it takes every document and says so, as a real one does.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use memchr::memmem;
use tripline_search::{Answer, Cluster, Failure};

/// The cluster, and what it was sent.
#[derive(Debug, Default)]
pub struct Yes {
    gzip: bool,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Yes {
    /// With `gzip`, bodies are compressed as the real transport does.
    #[must_use]
    pub fn new(gzip: bool) -> Self {
        Self { gzip, ..Self::default() }
    }

    /// Requests and bytes, as they would have gone over the wire.
    #[must_use]
    pub fn taken(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl Cluster for Yes {
    async fn bulk(&self, body: Bytes, _: Duration) -> Result<Answer, Failure> {
        let sent_bytes = if self.gzip { gzip(&body).len() } else { body.len() };
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(sent_bytes as u64, Ordering::Relaxed);
        Ok(Answer { status: 200, body: Bytes::from(created(&body)), sent_bytes })
    }
}

/// The fastest level of gzip, as bulk requests have it.
#[must_use]
pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// The answer to a bulk request all of whose documents are new.
#[must_use]
pub fn created(body: &[u8]) -> Vec<u8> {
    let id_at = memmem::Finder::new(br#""_id":""#);
    let mut answer = br#"{"errors":false,"items":["#.to_vec();
    let (mut rest, mut is_action) = (body, true);
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        is_action = !is_action;
        if is_action {
            continue;
        }
        let id = id_at.find(line).and_then(|at| line.get(at + id_at.needle().len()..)).unwrap_or_default();
        let id = id.split(|&byte| byte == b'"').next().unwrap_or_default();
        if !answer.ends_with(b"[") {
            answer.push(b',');
        }
        answer.extend_from_slice(br#"{"index":{"_id":""#);
        answer.extend_from_slice(id);
        answer.extend_from_slice(br#"","result":"created","status":201}}"#);
    }
    answer.extend_from_slice(b"]}");
    answer
}
