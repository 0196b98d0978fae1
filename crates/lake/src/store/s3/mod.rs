//! The store in Amazon S3 or a server that speaks its protocol.
//!
//! The role needs `s3:GetObject`, `s3:PutObject` and `s3:DeleteObject` on the objects and
//! `s3:ListBucket` on the bucket. Without the last, S3 answers 403 for an absent object in place of
//! 404, and the protocol cannot begin. (Replacing with `If-Match` needs `s3:GetObject` too.)

mod answer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{self, Region};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use self::answer::Answer;
use super::error::{ErrorKind, StoreError, place};
use super::key::{check_folder, check_key, check_prefix};
use super::options::StoreOptions;
use super::{Completed, Condition, ETag, MAX_PARTS, Object, ObjectMeta, ObjectStore, Put};

/// To a connection; the rest of a request has its own limit.
const CONNECT: Duration = Duration::from_secs(3);

/// One attempt of a request, until its answer begins: more than S3 takes for a journal entry of some
/// megabytes, less than what is left of most invocations.
const ATTEMPT: Duration = Duration::from_secs(30);

/// One attempt to send a part, which may have tens of megabytes, or to join many parts.
const LONG_ATTEMPT: Duration = Duration::from_secs(90);

/// Tries of an object whose bytes break off, or are not those that their checksum is of, and the pause after the first.
const READ_TRIES: u32 = 3;
const READ_PAUSE: Duration = Duration::from_millis(100);
const READ: &str = "read";

/// Keys in one answer to a listing (Amazon S3 API reference, ListObjectsV2).
const PAGE: usize = 1000;

/// Objects below a prefix of a bucket. One client with its connections serves all calls; it connects
/// and looks for credentials at the first one.
#[derive(Debug)]
pub struct S3Store {
    client: Client,
    bucket: String,
    /// Empty, or ends in `/`.
    root: String,
    /// Whether any answer has shown that the bucket exists.
    bucket_seen: AtomicBool,
}

/// Why an object was not read.
enum Broken {
    /// Its bytes broke off: they may come whole the next time.
    Off(StoreError),
    /// Another try is no use, or was made by the SDK.
    For(StoreError),
}

/// A client for the S3 server that the options name; `None` where no region is known. Asks nothing of the server yet.
pub async fn s3_client(options: &StoreOptions) -> Option<Client> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    } else if options.endpoint.is_some() {
        // Another server rarely cares for the region, and there is no metadata service to ask.
        loader = loader.region(
            RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(Region::from_static("us-east-1")),
        );
    }
    if let Some(keys) = &options.credentials {
        loader = loader.credentials_provider(config::Credentials::new(
            keys.access_key.as_str(),
            keys.secret_key.as_str(),
            None,
            None,
            "tripline",
        ));
    }
    let sdk = loader.load().await;
    sdk.region()?;
    let mut builder = config::Builder::from(&sdk)
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts(ATTEMPT))
        .force_path_style(options.path_style);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    Some(Client::from_conf(builder.build()))
}

impl S3Store {
    /// The store below `prefix` (no `/` at its ends; may be empty) of `bucket`. Asks nothing of the
    /// server yet, but the region may be asked of the machine's metadata service.
    pub async fn connect(bucket: &str, prefix: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        let location = place(&format!("s3://{bucket}"), prefix);
        let invalid = |reason: &str, advice: &str| {
            StoreError::new(ErrorKind::Invalid, "open", location.as_str(), reason, advice)
        };
        if bucket.ends_with("--x-s3") {
            return Err(invalid(
                "S3 directory buckets do not list in order of keys",
                "use a general purpose bucket",
            ));
        }
        check_prefix("open", &format!("s3://{bucket}"), prefix)?;

        let client =
            s3_client(options).await.ok_or_else(|| invalid("no region is known", "set AWS_REGION"))?;
        let root = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { client, bucket: bucket.to_owned(), root, bucket_seen: AtomicBool::new(false) })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.root)
    }

    fn saw_bucket(&self) {
        self.bucket_seen.store(true, Ordering::Relaxed);
    }

    /// The error for an answer that nothing better is known of.
    fn fail<'a>(&'a self, action: &'static str, key: &'a str) -> impl Fn(Answer) -> StoreError + 'a {
        move |answer| answer.into_error(action, place(&self.location(), key))
    }

    fn incomplete(&self, action: &'static str, key: &str, what: &str) -> StoreError {
        let reason = format!("the server's answer has no {what}");
        let advice = "use a server that answers as Amazon S3 does";
        StoreError::new(ErrorKind::Invalid, action, place(&self.location(), key), reason, advice)
    }

    fn meta(
        &self,
        key: &str,
        size: Option<i64>,
        tag: Option<&str>,
        at: Option<&DateTime>,
    ) -> Option<ObjectMeta> {
        Some(ObjectMeta {
            key: key.to_owned(),
            size: u64::try_from(size?).ok()?,
            tag: ETag::new(tag?),
            modified_ms: at?.to_millis().ok()?,
        })
    }
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(attempt).build()
}

/// No second attempt by the SDK. The first may have taken effect although its answer was lost; the
/// second's 412 would then look like another writer's success. The caller's protocol knows this
/// case, and has to know that there was an attempt of unknown outcome.
fn one_attempt(attempt: Duration) -> config::Builder {
    config::Config::builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts(attempt))
}

/// What readers are told of a file by its name.
fn content_type(key: &str) -> &'static str {
    if key.ends_with(".parquet") { "application/vnd.apache.parquet" } else { "application/octet-stream" }
}

/// A part's tag with its checksum, which a completion must repeat: `etag` or `etag;crc32`.
fn part_tag(tag: &ETag, crc32: Option<&str>) -> String {
    match crc32 {
        Some(crc32) => format!("{tag};{crc32}"),
        None => tag.to_string(),
    }
}

fn completed_part(number: i32, tag: &str) -> CompletedPart {
    let (tag, crc32) = tag.split_once(';').map_or((tag, None), |(tag, crc32)| (tag, Some(crc32)));
    CompletedPart::builder()
        .part_number(number)
        .e_tag(format!("\"{tag}\""))
        .set_checksum_crc32(crc32.map(str::to_owned))
        .build()
}

impl S3Store {
    /// Reads an object, once.
    async fn get_once(&self, key: &str) -> Result<Option<Object>, Broken> {
        let sent = self.client.get_object().bucket(&self.bucket).key(self.key(key)).send().await;
        let found = match sent.map_err(Answer::from) {
            Ok(found) => found,
            Err(answer) if answer.is_absent() => {
                self.saw_bucket();
                return Ok(None);
            }
            Err(answer) => return Err(Broken::For(self.fail(READ, key)(answer))),
        };
        self.saw_bucket();
        let meta = self
            .meta(key, found.content_length, found.e_tag(), found.last_modified())
            .ok_or_else(|| Broken::For(self.incomplete(READ, key, "length, tag or time")))?;
        let body = found.body.collect().await.map_err(|error| {
            let reason = format!("the answer broke off: {}", answer::chain(&error));
            let place = place(&self.location(), key);
            Broken::Off(StoreError::new(ErrorKind::Unknown, READ, place, reason, "try again"))
        })?;
        Ok(Some(Object { body: body.into_bytes(), meta }))
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        check_key(READ, &self.location(), key)?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.get_once(key).await {
                // The SDK repeats a request, but not one whose answer breaks off after it began.
                Err(Broken::Off(_)) if tries < READ_TRIES => tokio::time::sleep(READ_PAUSE * tries).await,
                Err(Broken::Off(error) | Broken::For(error)) => return Err(error),
                Ok(found) => return Ok(found),
            }
        }
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        const ACTION: &str = "look at";
        check_key(ACTION, &self.location(), key)?;
        let sent = self.client.head_object().bucket(&self.bucket).key(self.key(key)).send().await;
        match sent.map_err(Answer::from) {
            Ok(found) => {
                self.saw_bucket();
                self.meta(key, found.content_length, found.e_tag(), found.last_modified())
                    .ok_or_else(|| self.incomplete(ACTION, key, "length, tag or time"))
                    .map(Some)
            }
            Err(answer) if answer.is_absent() => {
                // An answer to HEAD has no body, so that of a missing bucket looks the same.
                if !self.bucket_seen.load(Ordering::Relaxed) {
                    self.list(key, None, 1).await?;
                }
                Ok(None)
            }
            Err(answer) => Err(self.fail(ACTION, key)(answer)),
        }
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError> {
        const ACTION: &str = "write";
        check_key(ACTION, &self.location(), key)?;
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.key(key))
            .content_type(content_type(key))
            .body(ByteStream::from(body));
        let (request, replaces) = match &condition {
            Condition::Absent => (request.if_none_match("*"), false),
            Condition::Matches(tag) if tag.is_weak() => {
                let reason = "the tag is weak: it does not tell the content";
                let advice = "use the tag of a get, head or put";
                let place = place(&self.location(), key);
                return Err(StoreError::new(ErrorKind::Invalid, ACTION, place, reason, advice));
            }
            Condition::Matches(tag) => (request.if_match(format!("\"{tag}\"")), true),
        };
        let sent = request.customize().config_override(one_attempt(ATTEMPT)).send().await;
        match sent.map_err(Answer::from) {
            Ok(stored) => {
                self.saw_bucket();
                let tag = stored.e_tag().ok_or_else(|| self.incomplete(ACTION, key, "tag"))?;
                Ok(Put::Stored { tag: ETag::new(tag) })
            }
            Err(answer) if answer.is_refusal() || (replaces && answer.is_absent()) => {
                self.saw_bucket();
                Ok(Put::Refused)
            }
            Err(answer) => Err(self.fail(ACTION, key)(answer)),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        const ACTION: &str = "delete";
        check_key(ACTION, &self.location(), key)?;
        let sent = self.client.delete_object().bucket(&self.bucket).key(self.key(key)).send().await;
        match sent.map_err(Answer::from) {
            Ok(_) => Ok(()),
            Err(answer) if answer.is_absent() => Ok(()),
            Err(answer) => Err(self.fail(ACTION, key)(answer)),
        }
    }

    async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        const ACTION: &str = "list";
        check_prefix(ACTION, &self.location(), prefix)?;
        let mut found: Vec<ObjectMeta> = Vec::new();
        let mut token = None;
        while found.len() < limit {
            let wanted = limit.saturating_sub(found.len()).min(PAGE);
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(self.key(prefix))
                .set_start_after(start_after.filter(|after| !after.is_empty()).map(|after| self.key(after)))
                .max_keys(i32::try_from(wanted).unwrap_or(i32::MAX))
                .set_continuation_token(token.take())
                .send()
                .await
                .map_err(|error| self.fail(ACTION, prefix)(error.into()))?;
            self.saw_bucket();
            for object in page.contents() {
                let meta = object
                    .key()
                    .and_then(|key| key.strip_prefix(&self.root))
                    .and_then(|key| self.meta(key, object.size, object.e_tag(), object.last_modified()))
                    .ok_or_else(|| self.incomplete(ACTION, prefix, "key, size, tag or time"))?;
                found.push(meta);
            }
            match page.next_continuation_token {
                Some(next) if page.is_truncated == Some(true) => token = Some(next),
                _ => break,
            }
        }
        Ok(found)
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        const ACTION: &str = "list";
        check_folder(ACTION, &self.location(), prefix)?;
        let base = self.key(prefix);
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(&base)
                .delimiter("/")
                .set_continuation_token(token.take())
                .send()
                .await
                .map_err(|error| self.fail(ACTION, prefix)(error.into()))?;
            self.saw_bucket();
            let folders = page.common_prefixes().iter().filter_map(|folder| {
                Some(folder.prefix()?.strip_prefix(base.as_str())?.strip_suffix('/')?.to_owned())
            });
            names.extend(folders);
            match page.next_continuation_token {
                Some(next) if page.is_truncated == Some(true) => token = Some(next),
                _ => break,
            }
        }
        // S3 orders them with their '/': 'a-b/' before 'a/'.
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn start_upload(&self, key: &str) -> Result<String, StoreError> {
        const ACTION: &str = "start an upload of";
        check_key(ACTION, &self.location(), key)?;
        let started = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(self.key(key))
            .content_type(content_type(key))
            // The SDK sends this checksum with each part; the server keeps and checks it only when the
            // upload was started with it.
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .send()
            .await
            .map_err(|error| self.fail(ACTION, key)(error.into()))?;
        self.saw_bucket();
        started.upload_id.ok_or_else(|| self.incomplete(ACTION, key, "upload id"))
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<String, StoreError> {
        const ACTION: &str = "upload a part of";
        check_key(ACTION, &self.location(), key)?;
        if !(1..=MAX_PARTS).contains(&number) {
            let (reason, advice) = (format!("there is no part {number}"), "number parts from 1 to 10000");
            let place = place(&self.location(), key);
            return Err(StoreError::new(ErrorKind::Invalid, ACTION, place, reason, advice));
        }
        let stored = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(self.key(key))
            .upload_id(upload)
            .part_number(i32::from(number))
            .body(ByteStream::from(body))
            .customize()
            .config_override(config::Config::builder().timeout_config(timeouts(LONG_ATTEMPT)))
            .send()
            .await
            .map_err(|error| self.fail(ACTION, key)(error.into()))?;
        let tag = stored.e_tag().ok_or_else(|| self.incomplete(ACTION, key, "tag"))?;
        Ok(part_tag(&ETag::new(tag), stored.checksum_crc32()))
    }

    /// Without `If-None-Match`, although S3 takes it here too: the repeat of a completion whose answer
    /// was lost must say done or gone, and with the condition S3 may answer 412 because of this
    /// upload's own object, which cannot be told from another's. The key is this upload's alone.
    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError> {
        const ACTION: &str = "complete the upload of";
        check_key(ACTION, &self.location(), key)?;
        let parts = (1_i32..).zip(parts).map(|(number, tag)| completed_part(number, tag)).collect();
        let sent = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.key(key))
            .upload_id(upload)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .customize()
            // The caller repeats pending completions anyway, in this run or the next, and counts them.
            .config_override(one_attempt(LONG_ATTEMPT))
            .send()
            .await;
        match sent.map_err(Answer::from) {
            Ok(_) => Ok(Completed::Done),
            Err(answer) if answer.is_upload_gone() => Ok(Completed::Gone),
            Err(answer) => Err(self.fail(ACTION, key)(answer)),
        }
    }

    fn location(&self) -> String {
        place(&format!("s3://{}", self.bucket), self.root.trim_end_matches('/'))
    }
}
