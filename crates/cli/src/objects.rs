//! Objects of a bucket, brought here one by one as they are read.

use std::io::Write as _;

use anyhow::{Context as _, ensure};
use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Region};
use aws_sdk_s3::error::DisplayErrorContext;
use tempfile::NamedTempFile;

use crate::source::ObjectId;

/// Tries to bring an object here, each from its beginning; a connection may break in the middle of it.
const TRIES: u32 = 3;

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

/// A bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    /// The bucket and the prefix of `s3://bucket/prefix`. Nothing is asked of it yet.
    pub(crate) async fn connect(url: &str, options: &BucketOptions) -> anyhow::Result<(Self, String)> {
        let rest = url.strip_prefix("s3://").unwrap_or(url);
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        ensure!(!name.is_empty(), "'{url}' names no bucket: give s3://bucket/prefix");
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
        Ok((Self { client: Client::from_conf(builder.build()), name: name.to_owned() }, prefix.to_owned()))
    }

    /// The objects below a prefix in the order of their keys, without those that hold nothing and without
    /// README.md.
    pub(crate) async fn list(&self, prefix: &str) -> anyhow::Result<Vec<ObjectKey>> {
        let place = format!("s3://{}/{prefix}", self.name);
        let mut objects = Vec::new();
        let mut pages =
            self.client.list_objects_v2().bucket(&self.name).prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                anyhow::anyhow!(
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

    /// The object as a file that goes when it is dropped.
    pub(crate) async fn fetch(&self, object: &ObjectKey) -> anyhow::Result<NamedTempFile> {
        let mut tries = 1;
        loop {
            match self.fetch_once(object).await {
                Err(error) if tries == TRIES => {
                    return Err(error).with_context(|| format!("cannot read {}", object.url()));
                }
                Err(_) => tries += 1,
                Ok(file) => return Ok(file),
            }
        }
    }

    async fn fetch_once(&self, object: &ObjectKey) -> anyhow::Result<NamedTempFile> {
        // What it holds may be decided by its name.
        let name = object.id.key().rsplit('/').next().unwrap_or_default();
        let suffix = format!("-{}", name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_"));
        let mut file = tempfile::Builder::new()
            .prefix("tripline-")
            .suffix(&suffix)
            .tempfile()
            .context("there is no room for it in the folder for temporary files (TMPDIR)")?;
        let answer = self.client.get_object().bucket(&self.name).key(object.id.key()).send().await;
        let answer = answer.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(&error)))?;
        let tag = answer.e_tag().unwrap_or_default().trim_matches('"');
        ensure!(tag == object.id.tag(), "it was written anew since it was listed: run the command again");
        let mut body = answer.body;
        let mut bytes = 0;
        while let Some(part) = body.try_next().await.context("the answer breaks off")? {
            file.write_all(&part)
                .context("there is no room for it in the folder for temporary files (TMPDIR)")?;
            bytes += part.len() as u64;
        }
        ensure!(bytes == object.bytes, "it has {bytes} bytes, and had {} when it was listed", object.bytes);
        file.flush()?;
        Ok(file)
    }
}
