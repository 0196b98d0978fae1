//! A real S3 server.

use std::path::PathBuf;
use std::sync::OnceLock;

use tripline_lake::store::{Credentials, S3Store, StoreError, StoreOptions};

use crate::server::{Server, on_free_port};
use crate::{Unavailable, or_left_out};

const ACCESS_KEY: &str = "AKIDTEST";
const SECRET_KEY: &str = "secrettest";
const REGION: &str = "us-east-1";
const BUCKET: &str = "trips";

/// A real S3 server with one empty bucket, on loopback; see `tests/servers/s3`.
#[derive(Debug)]
pub struct S3Server {
    server: Server,
    endpoint: String,
}

impl S3Server {
    /// Starts a server of one's own; [`Server`] says when it ends.
    pub fn start() -> Result<Self, Unavailable> {
        on_free_port(|port| {
            let port = port.to_string();
            let variables = [
                ("S3_PORT", port.as_str()),
                ("S3_BUCKETS", BUCKET),
                ("S3_ACCESS", ACCESS_KEY),
                ("S3_SECRET", SECRET_KEY),
            ];
            let server = Server::start("s3", &variables)?;
            Ok(Self { server, endpoint: format!("http://127.0.0.1:{port}") })
        })
    }

    /// The server that the tests of one binary share: each takes a prefix of its own.
    pub fn shared() -> Result<&'static Self, Unavailable> {
        static SHARED: OnceLock<Result<S3Server, Unavailable>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    /// [`shared`](Self::shared), or `None` when `test` is to be left out: see [`or_left_out`].
    pub fn shared_for(test: &str) -> Option<&'static Self> {
        or_left_out(test, Self::shared())
    }

    /// `http://127.0.0.1:<port>`; buckets are named in the path.
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

    /// The bucket.
    pub fn bucket(&self) -> &str {
        BUCKET
    }

    /// The folder that holds the bucket's objects as files, for reading.
    pub fn folder(&self) -> PathBuf {
        self.server.data().join("buckets").join(BUCKET)
    }

    /// What [`tripline_lake::store::open`] needs for it.
    pub fn options(&self) -> StoreOptions {
        StoreOptions {
            endpoint: Some(self.endpoint.clone()),
            path_style: true,
            region: Some(REGION.to_owned()),
            credentials: Some(Credentials {
                access_key: ACCESS_KEY.to_owned(),
                secret_key: SECRET_KEY.to_owned(),
            }),
        }
    }

    /// What a process needs in its environment to reach it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("TRIPLINE_S3_ENDPOINT", self.endpoint.clone()),
            ("TRIPLINE_S3_PATH_STYLE", "true".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// A store below `prefix` of the bucket, for the runtime that calls this.
    pub async fn store(&self, prefix: &str) -> Result<S3Store, StoreError> {
        S3Store::connect(BUCKET, prefix, &self.options()).await
    }
}
