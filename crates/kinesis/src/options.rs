//! Which stream events are sent to, and how it is treated.

use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;

use crate::limits::{LARGEST_RECORD_BYTES, RECORD_BYTES};

/// Which stream, how to reach it, and what to ask of it at once.
#[derive(Clone, Debug)]
pub struct KinesisOptions {
    /// The stream's name, or its ARN: a stream of another account has only that.
    pub stream: String,
    /// The region. Without it the ARN's, else the SDK's (`AWS_REGION`, a profile, the function's own), else
    /// `us-east-1` at another endpoint.
    pub region: Option<String>,
    /// Another server's URL, for tests and VPC interface endpoints.
    pub endpoint: Option<String>,
    /// Where credentials come from; the SDK's own search if there is none.
    pub credentials: Option<SharedCredentialsProvider>,
    /// The JSON member that is added to every event and carries its
    /// [`source`](tripline_model::forward::Outgoing::source), as records of Kinesis have no headers. None:
    /// events stay as they are, and a reader cannot tell what comes twice.
    pub source_member: Option<String>,
    /// Most bytes of a record, its partition key counted: 1 MiB, or what the stream's `MaxRecordSizeInKiB`
    /// allows, up to 10 MiB.
    pub max_record_bytes: usize,
    /// Most requests under way at once, over all that is sent at a time. Fewer are while the stream
    /// throttles.
    pub max_in_flight: usize,
    /// After which a request is given up; large ones have a second more for each 512 KiB.
    pub request_timeout: Duration,
}

impl Default for KinesisOptions {
    fn default() -> Self {
        Self {
            stream: String::new(),
            region: None,
            endpoint: None,
            credentials: None,
            source_member: Some("tripline_source".to_owned()),
            max_record_bytes: RECORD_BYTES,
            max_in_flight: 4,
            request_timeout: Duration::from_secs(10),
        }
    }
}

impl KinesisOptions {
    /// Options for a stream, by its name or ARN.
    #[must_use]
    pub fn new(stream: impl Into<String>) -> Self {
        Self { stream: stream.into(), ..Self::default() }
    }

    /// What is wrong with them.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |sound: bool, fault: String| {
            if !sound {
                faults.push(fault);
            }
        };
        check(
            StreamId::parse(&self.stream).is_some(),
            "give the stream's name (1 to 128 of a-z, A-Z, 0-9, '_', '.', '-') or its ARN \
             (arn:aws:kinesis:REGION:ACCOUNT:stream/NAME)"
                .to_owned(),
        );
        let url = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        check(
            self.endpoint.as_deref().is_none_or(url),
            "its endpoint is no URL: give https://HOST[:PORT]".to_owned(),
        );
        let member = self.source_member.as_deref();
        check(member != Some(""), "the member that carries an event's source needs a name".to_owned());
        check(
            (1..=LARGEST_RECORD_BYTES).contains(&self.max_record_bytes),
            format!("a record may have 1 to {LARGEST_RECORD_BYTES} bytes, not {}", self.max_record_bytes),
        );
        check(
            (1..=64).contains(&self.max_in_flight),
            format!("1 to 64 requests may be under way at once, not {}", self.max_in_flight),
        );
        check(!self.request_timeout.is_zero(), "a request needs time to be answered".to_owned());
        faults
    }
}

/// What a stream is called by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamId {
    Name(String),
    Arn { arn: String, region: String },
}

impl StreamId {
    /// The name, where that is what it is called by.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::Arn { .. } => None,
        }
    }

    /// The ARN, where that is what it is called by.
    pub(crate) fn arn(&self) -> Option<String> {
        match self {
            Self::Name(_) => None,
            Self::Arn { arn, .. } => Some(arn.clone()),
        }
    }

    pub(crate) fn parse(stream: &str) -> Option<Self> {
        let named = |name: &str| {
            (1..=128).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        if !stream.starts_with("arn:") {
            return named(stream).then(|| Self::Name(stream.to_owned()));
        }
        let mut parts = stream.splitn(6, ':').skip(2);
        let (service, region, account) = (parts.next()?, parts.next()?, parts.next()?);
        let name = parts.next()?.strip_prefix("stream/")?;
        let sound = service == "kinesis" && !region.is_empty() && !account.is_empty() && named(name);
        sound.then(|| Self::Arn { arn: stream.to_owned(), region: region.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_called_by_its_name_or_its_arn() {
        assert_eq!(StreamId::parse("trips-2.eu_x"), Some(StreamId::Name("trips-2.eu_x".to_owned())));
        let arn = "arn:aws-cn:kinesis:cn-north-1:111122223333:stream/trips";
        let parsed = StreamId::Arn { arn: arn.to_owned(), region: "cn-north-1".to_owned() };
        assert_eq!(StreamId::parse(arn), Some(parsed));
        for other in [
            "",
            "a b",
            "arn:aws:sqs:eu-west-1:111122223333:trips",
            "arn:aws:kinesis:eu-west-1:111122223333:stream/",
            "arn:aws:kinesis:eu-west-1:111122223333:stream/trips/consumer/c:1",
        ] {
            assert_eq!(StreamId::parse(other), None, "{other}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        assert_eq!(KinesisOptions::new("trips").faults(), Vec::<String>::new());
        let wrong = KinesisOptions {
            endpoint: Some("localhost:4567".to_owned()),
            source_member: Some(String::new()),
            max_record_bytes: LARGEST_RECORD_BYTES + 1,
            max_in_flight: 0,
            request_timeout: Duration::ZERO,
            ..KinesisOptions::default()
        };
        assert_eq!(wrong.faults().len(), 6);
    }
}
