//! A real Kinesis server.

use std::io;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::http::send;
use crate::server::{Server, on_free_port};
use crate::{Unavailable, or_left_out};

const ACCESS_KEY: &str = "AKIDTEST";
const SECRET_KEY: &str = "secrettest";
const REGION: &str = "us-east-1";

/// A Kinesis server on loopback, in memory; see `tests/servers/kinesis`.
#[derive(Debug)]
pub struct KinesisServer {
    server: Server,
    endpoint: String,
}

/// A record as it lies in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its shard's id.
    pub shard: String,
    /// Its sequence number.
    pub sequence: String,
    /// Its partition key.
    pub key: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl KinesisServer {
    /// Starts a server of one's own with settings such as `("KINESIS_LIMITS", "1")`; [`Server`] says when
    /// it ends.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self, Unavailable> {
        on_free_port(|port| {
            let port = port.to_string();
            let mut variables = vec![("KINESIS_PORT", port.as_str())];
            variables.extend_from_slice(settings);
            let server = Server::start("kinesis", &variables)?;
            Ok(Self { server, endpoint: format!("http://127.0.0.1:{port}") })
        })
    }

    /// The server without limits that the tests of one binary share: each takes streams of its own.
    pub fn shared() -> Result<&'static Self, Unavailable> {
        static SHARED: OnceLock<Result<KinesisServer, Unavailable>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[])).as_ref().map_err(Clone::clone)
    }

    /// [`shared`](Self::shared), or `None` when `test` is to be left out: see [`or_left_out`].
    pub fn shared_for(test: &str) -> Option<&'static Self> {
        or_left_out(test, Self::shared())
    }

    /// `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The access key's id.
    pub fn access_key(&self) -> &str {
        ACCESS_KEY
    }

    /// The access key's secret.
    pub fn secret_key(&self) -> &str {
        SECRET_KEY
    }

    /// The region that signatures name.
    pub fn region(&self) -> &str {
        REGION
    }

    /// What a process needs in its environment to reach it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("TRIPLINE_KINESIS_ENDPOINT", self.endpoint.clone()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// Creates a stream of this many shards, and returns when it takes records.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub fn create_stream(&self, stream: &str, shards: usize) -> io::Result<()> {
        self.call("CreateStream", &json!({"StreamName": stream, "ShardCount": shards}))?;
        self.wait_active(stream)
    }

    /// Splits a shard in the middle of its range of hash keys, and returns when its children take records.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub fn split_shard(&self, stream: &str, shard: &str) -> io::Result<()> {
        let shards = self.shards(stream)?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("no range of {shard}"));
        let found = shards.iter().find(|found| text(found, "/ShardId") == shard).ok_or_else(malformed)?;
        let bound = |name: &str| text(found, name).parse::<u128>().ok();
        let (from, to) = bound("/HashKeyRange/StartingHashKey")
            .zip(bound("/HashKeyRange/EndingHashKey"))
            .ok_or_else(malformed)?;
        let middle = (from + (to - from) / 2 + 1).to_string();
        let ask = json!({"StreamName": stream, "ShardToSplit": shard, "NewStartingHashKey": middle});
        self.call("SplitShard", &ask)?;
        self.wait_active(stream)
    }

    fn wait_active(&self, stream: &str) -> io::Result<()> {
        for _ in 0..1000 {
            let told = self.call("DescribeStream", &json!({"StreamName": stream}))?;
            if text(&told, "/StreamDescription/StreamStatus") == "ACTIVE" {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("the stream {stream} does not become active")))
    }

    fn shards(&self, stream: &str) -> io::Result<Vec<Value>> {
        let told = self.call("DescribeStream", &json!({"StreamName": stream}))?;
        Ok(list(&told, "/StreamDescription/Shards"))
    }

    /// All records of a stream: shard by shard, in their order.
    ///
    /// # Errors
    /// When the server does not answer, refuses, or answers what is not understood.
    pub fn records(&self, stream: &str) -> io::Result<Vec<StreamRecord>> {
        let mut records = Vec::new();
        for shard in self.shards(stream)? {
            let id = text(&shard, "/ShardId");
            let ask = json!({"StreamName": stream, "ShardId": id, "ShardIteratorType": "TRIM_HORIZON"});
            let mut iterator = text(&self.call("GetShardIterator", &ask)?, "/ShardIterator");
            // A closed shard ends without an iterator, an open one with an empty answer.
            while !iterator.is_empty() {
                let told = self.call("GetRecords", &json!({"ShardIterator": iterator}))?;
                let found = list(&told, "/Records");
                for record in &found {
                    let data = text(record, "/Data");
                    let data = base64_simd::STANDARD
                        .decode_to_vec(data.as_bytes())
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
                    let (sequence, key) = (text(record, "/SequenceNumber"), text(record, "/PartitionKey"));
                    records.push(StreamRecord { shard: id.clone(), sequence, key, data });
                }
                iterator = if found.is_empty() { String::new() } else { text(&told, "/NextShardIterator") };
            }
        }
        Ok(records)
    }

    /// Asks for an action of the Kinesis API, in its JSON.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub fn call(&self, action: &str, ask: &Value) -> io::Result<Value> {
        // The server asks for a signature, and does not verify it.
        let head = format!(
            "Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: Kinesis_20131202.{action}\r\n\
             X-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential={ACCESS_KEY}/20260101/{REGION}/kinesis/aws4_request, SignedHeaders=host, Signature=0\r\n"
        );
        let reply = send(&self.endpoint, "POST", "/", &head, &ask.to_string())?;
        if reply.status != 200 {
            let told = format!("{action}: {} {}", reply.status, reply.body);
            return Err(io::Error::other(told));
        }
        if reply.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&reply.body)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{action}: {error}")))
    }

    /// Kills the server as it stands, as a power cut would. What it held is gone.
    ///
    /// # Errors
    /// When its process cannot be found.
    pub fn kill(self) -> io::Result<()> {
        let pid = std::fs::read_to_string(self.server.data().join("pid"))?;
        Command::new("kill").args(["-9", pid.trim()]).status()?;
        Ok(())
    }
}

/// The text at a place in an answer; empty if there is none.
fn text(answer: &Value, place: &str) -> String {
    answer.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The list at a place in an answer; empty if there is none.
fn list(answer: &Value, place: &str) -> Vec<Value> {
    answer.pointer(place).and_then(Value::as_array).cloned().unwrap_or_default()
}
