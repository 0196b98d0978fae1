//! Objects of a bucket, brought here one by one as they are read.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Region};
use aws_sdk_s3::error::DisplayErrorContext;
use tempfile::NamedTempFile;
use tokio::sync::Mutex;

use crate::source::ObjectId;

/// Tries to bring an object here, each from its beginning, and the wait before the second; each further one waits
/// twice as long. A connection may break in the middle of it; what the server refuses the SDK has tried again.
const TRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(1);

const NO_ROOM: &str = "there is no room for it in the folder for temporary files (TMPDIR)";

/// How buckets are reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct BucketOptions {
    /// Without it, the SDK's.
    pub(crate) region: Option<String>,
    /// Another server's URL.
    pub(crate) endpoint: Option<String>,
    /// Ask without credentials, as public buckets allow.
    pub(crate) unsigned: bool,
}

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct ObjectKey {
    /// What it was when it was listed.
    pub(crate) id: ObjectId,
    pub(crate) bytes: u64,
}

impl ObjectKey {
    pub(crate) fn url(&self) -> String {
        self.id.url()
    }
}

/// Buckets, each connected once.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    options: BucketOptions,
    connected: Mutex<HashMap<String, Arc<Bucket>>>,
}

impl Buckets {
    pub(crate) fn new(options: BucketOptions) -> Self {
        Self { options, connected: Mutex::default() }
    }

    /// The objects of `s3://bucket/prefix`: see [`Bucket::list`].
    pub(crate) async fn list(&self, url: &str) -> anyhow::Result<Vec<ObjectKey>> {
        let rest = url.strip_prefix("s3://").unwrap_or(url);
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        ensure!(!name.is_empty(), "'{url}' names no bucket: give s3://bucket/prefix");
        self.bucket(name).await.list(prefix).await
    }

    /// The object as a file that goes when it is dropped.
    pub(crate) async fn fetch(&self, object: &ObjectKey) -> anyhow::Result<NamedTempFile> {
        self.bucket(object.id.bucket()).await.fetch(object).await
    }

    async fn bucket(&self, name: &str) -> Arc<Bucket> {
        let mut connected = self.connected.lock().await;
        if let Some(bucket) = connected.get(name) {
            return Arc::clone(bucket);
        }
        let bucket = Arc::new(Bucket::connect(name, &self.options).await);
        connected.insert(name.to_owned(), Arc::clone(&bucket));
        bucket
    }
}

/// A bucket.
#[derive(Debug)]
struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    /// Nothing is asked of it yet.
    async fn connect(name: &str, options: &BucketOptions) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if options.unsigned {
            loader = loader.no_credentials();
        }
        let sdk = loader.load().await;
        let mut builder = Builder::from(&sdk);
        if sdk.region().is_none() {
            // Where the reference tool's data are, and what other servers go by.
            builder = builder.region(Region::from_static("us-east-1"));
        }
        let endpoint = options.endpoint.clone().filter(|endpoint| !endpoint.is_empty());
        if let Some(endpoint) = &endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        // Bucket names with dots fit no certificate, and other servers have no names for buckets.
        builder = builder.force_path_style(endpoint.is_some() || name.contains('.'));
        Self { client: Client::from_conf(builder.build()), name: name.to_owned() }
    }

    /// The objects below a prefix in the order of their keys, without those that hold nothing and without
    /// README.md.
    async fn list(&self, prefix: &str) -> anyhow::Result<Vec<ObjectKey>> {
        let place = format!("s3://{}/{prefix}", self.name);
        let mut objects = Vec::new();
        let mut pages =
            self.client.list_objects_v2().bucket(&self.name).prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                anyhow!(
                    "cannot list {place}: {}; allow s3:ListBucket, or give --bucket-region or --no-sign-request",
                    DisplayErrorContext(&error)
                )
            })?;
            for object in page.contents() {
                let (key, bytes) = (object.key().unwrap_or_default(), object.size().unwrap_or_default());
                let bytes = u64::try_from(bytes).unwrap_or_default();
                if bytes > 0 && !key.ends_with('/') && !key.ends_with("README.md") {
                    let id = ObjectId::new(&self.name, key, object.e_tag().unwrap_or_default());
                    objects.push(ObjectKey { id, bytes });
                }
            }
        }
        ensure!(!objects.is_empty(), "{place}: there is no object below this prefix");
        Ok(objects)
    }

    async fn fetch(&self, object: &ObjectKey) -> anyhow::Result<NamedTempFile> {
        let (mut tries, mut wait) = (1, FIRST_WAIT);
        loop {
            let missed = match self.fetch_once(object).await {
                Ok(file) => return Ok(file),
                Err(missed) => missed,
            };
            if tries == TRIES || !missed.may_pass {
                return Err(missed.error.context(format!("cannot read {}", object.url())));
            }
            tokio::time::sleep(wait).await;
            (tries, wait) = (tries + 1, wait * 2);
        }
    }

    async fn fetch_once(&self, object: &ObjectKey) -> Result<NamedTempFile, Missed> {
        // What it holds may be decided by its name.
        let name = object.id.key().rsplit('/').next().unwrap_or_default();
        let suffix = format!("-{}", name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_"));
        let file = tempfile::Builder::new().prefix("tripline-").suffix(&suffix).tempfile();
        let mut file = file.context(NO_ROOM)?;
        let answer = self.client.get_object().bucket(&self.name).key(object.id.key()).send().await;
        let answer = answer.map_err(|error| Missed {
            may_pass: error.raw_response().is_none_or(|answer| !answer.status().is_client_error()),
            error: anyhow!("{}", DisplayErrorContext(&error)),
        })?;
        let tag = answer.e_tag().unwrap_or_default().trim_matches('"');
        if tag != object.id.tag() {
            return Err(anyhow!("it was written anew since it was listed: run the command again").into());
        }
        let mut body = answer.body;
        let mut bytes = 0;
        while let Some(part) =
            body.try_next().await.context("the answer breaks off").map_err(Missed::for_now)?
        {
            file.write_all(&part).context(NO_ROOM)?;
            bytes += part.len() as u64;
        }
        if bytes != object.bytes {
            let error = anyhow!("it has {bytes} bytes, and had {} when it was listed", object.bytes);
            return Err(Missed::for_now(error));
        }
        file.flush().context(NO_ROOM)?;
        Ok(file)
    }
}

/// Why an object did not come.
struct Missed {
    error: anyhow::Error,
    /// Another try may bring it.
    may_pass: bool,
}

impl Missed {
    const fn for_now(error: anyhow::Error) -> Self {
        Self { error, may_pass: true }
    }
}

/// For good, if nothing else is said.
impl From<anyhow::Error> for Missed {
    fn from(error: anyhow::Error) -> Self {
        Self { error, may_pass: false }
    }
}
