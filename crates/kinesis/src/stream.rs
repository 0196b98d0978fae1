//! The stream in Amazon Kinesis, or at a server that speaks its protocol.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{self, Region};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::ledger::{Answer, Outcome};
use crate::options::{KinesisOptions, StreamId};
use crate::verdict::{CORRECT, Verdict, verdict};

/// To a connection; the rest of a request has its own limit.
const CONNECT: Duration = Duration::from_secs(3);

/// What is told of a message of Kinesis at most, in characters.
const TOLD: usize = 300;

/// A record to be put.
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) data: Vec<u8>,
}

/// Where records are put; a double of it in tests.
#[async_trait]
pub(crate) trait Stream: fmt::Debug + Send + Sync {
    async fn put(&self, records: Vec<Record>) -> Outcome;
}

/// A stream with a client, which connects and looks for credentials at the first request.
#[derive(Debug)]
pub(crate) struct AwsStream {
    pub(crate) client: Client,
    pub(crate) id: StreamId,
}

impl AwsStream {
    /// Nothing is asked of the stream yet, but the region may be asked of the machine's metadata service.
    pub(crate) async fn connect(options: &KinesisOptions, faults: &mut Vec<String>) -> Option<Self> {
        let id = StreamId::parse(&options.stream)?;
        let region = options.region.clone().or(match &id {
            StreamId::Arn { region, .. } => Some(region.clone()),
            StreamId::Name(_) => None,
        });
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        } else if options.endpoint.is_some() {
            // Another server rarely cares for the region, and there is no metadata service to ask.
            loader = loader.region(
                RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                    .or_else(Region::from_static("us-east-1")),
            );
        }
        if let Some(credentials) = &options.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        let sdk = loader.load().await;
        if sdk.region().is_none() {
            faults.push("no region is known: set AWS_REGION".to_owned());
            return None;
        }
        let mut builder = config::Builder::from(&sdk)
            // The SDK would send whole requests again, where some records are in, and would not know how
            // long there is.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build());
        if let Some(endpoint) = &options.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        Some(Self { client: Client::from_conf(builder.build()), id })
    }
}

#[async_trait]
impl Stream for AwsStream {
    async fn put(&self, records: Vec<Record>) -> Outcome {
        let mut put = self.client.put_records();
        for Record { key, data } in records {
            let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data)).build();
            match entry {
                Ok(entry) => put = put.records(entry),
                Err(error) => {
                    let verdict = Verdict::Stop { advice: CORRECT };
                    return Outcome::Failed { verdict, told: chain(&error) };
                }
            }
        }
        let put = put.set_stream_name(self.id.name()).set_stream_arn(self.id.arn());
        match put.send().await {
            Ok(answer) => Outcome::Answers(answer.records().iter().map(read).collect()),
            Err(error) => failed(&error),
        }
    }
}

/// What is answered to a record. One that has no sequence number is in no shard, whatever else is told.
fn read(entry: &PutRecordsResultEntry) -> Answer {
    match (entry.error_code(), entry.sequence_number()) {
        (None, Some(_)) => Answer::Taken,
        (Some(code), _) => {
            let told = told(code, entry.error_message(), None);
            Answer::Failed { verdict: verdict(200, code), told }
        }
        (None, None) => {
            let told = "the answer has neither a sequence number nor an error for it".to_owned();
            Answer::Failed { verdict: Verdict::Later, told }
        }
    }
}

/// What a request that failed means.
pub(crate) fn failed<E>(error: &SdkError<E, HttpResponse>) -> Outcome
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let stop = |advice, told| Outcome::Failed { verdict: Verdict::Stop { advice }, told };
    match error {
        SdkError::ServiceError(refused) => {
            let (status, error) = (refused.raw().status().as_u16(), refused.err());
            let code = error.code().unwrap_or_default();
            let name = if code.is_empty() { format!("HTTP status {status}") } else { code.to_owned() };
            by(verdict(status, code), told(&name, error.message(), error.meta().request_id()))
        }
        // Not in Kinesis' words: a proxy's, say. Its status tells.
        SdkError::ResponseError(answer) => {
            let status = answer.raw().status().as_u16();
            by(verdict(status, ""), format!("HTTP status {status}: {}", chain(error)))
        }
        SdkError::ConstructionFailure(_) => stop(CORRECT, chain(error)),
        SdkError::DispatchFailure(failure) if failure.is_user() => stop(CORRECT, chain(error)),
        SdkError::DispatchFailure(_) if lacks_credentials(error) => {
            stop("give AWS credentials, or the function a role", chain(error))
        }
        // What else fails before the request is sent has no kind of its own here, only a text. One that is
        // not recognised is of unknown outcome, which is safe.
        SdkError::DispatchFailure(_) if chain(error).contains("not a valid URI") => {
            stop("correct the endpoint", chain(error))
        }
        _ => Outcome::Silence { told: chain(error) },
    }
}

/// Whether there are no credentials; and not: they could not be had just now.
fn lacks_credentials(error: &dyn Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<CredentialsError>() {
            let lacks = matches!(
                error,
                CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
            );
            return lacks;
        }
        cause = inner.source();
    }
    false
}

fn by(verdict: Verdict, told: String) -> Outcome {
    match verdict {
        // It may have been done, and only its answer was lost on the way.
        Verdict::Later => Outcome::Silence { told },
        verdict => Outcome::Failed { verdict, told },
    }
}

fn told(code: &str, message: Option<&str>, request: Option<&str>) -> String {
    let mut told = code.to_owned();
    if let Some(message) = message.filter(|message| !message.is_empty()) {
        told.push_str(": ");
        told.extend(message.chars().take(TOLD));
    }
    if let Some(request) = request {
        told.push_str(", request ");
        told.push_str(request);
    }
    told
}

/// An error and its causes. The SDK's own `Display` names only the outermost, and its `Debug` shows whole
/// requests.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = inner.source();
    }
    // Some are lists of several lines.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
