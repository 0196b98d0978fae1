//! What the sink makes of answers that a test server does not give: a double's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{SharedCredentialsProvider, future};
use tripline_kinesis::read::{ReadError, Start};
use tripline_kinesis::{KinesisOptions, KinesisSink, StreamReader};
use tripline_model::forward::Outgoing;
use tripline_stream::sink::{Fate, Sent, StreamSink};

/// Answers each request in turn, the last answer over and over, and keeps the requests' heads and bodies.
struct Double {
    endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Double {
    fn start(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<(u16, String)> =
            answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(bytes) = line.to_lowercase().strip_prefix("content-length:") {
                        length = bytes.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                    head.push_str(&line);
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let mut kept = kept.lock().unwrap();
                let (status, answer) = answers.get(kept.len()).or(answers.last()).unwrap();
                kept.push(head + &String::from_utf8(body).unwrap());
                let length = answer.len();
                let head =
                    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                reader.get_mut().write_all((head + answer).as_bytes()).unwrap();
            }
        });
        Self { endpoint, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn options(endpoint: &str, stream: &str) -> KinesisOptions {
    let credentials = Credentials::new("AKIDTEST", "secrettest", None, None, "tests");
    KinesisOptions {
        endpoint: Some(endpoint.to_owned()),
        region: Some("eu-west-1".to_owned()),
        credentials: Some(SharedCredentialsProvider::new(credentials)),
        ..KinesisOptions::new(stream)
    }
}

/// Sends two events.
async fn send(options: KinesisOptions, within: Duration) -> Sent {
    let event = |record| Outgoing {
        record,
        event_type: "trip",
        key: format!("k{record}"),
        payload: Cow::Borrowed(b"{\"pay\":1}"),
        source: format!("s/{record}"),
        headers: "",
    };
    KinesisSink::connect(options).await.unwrap().send(&[event(0), event(1)], within).await
}

fn error(fate: &Fate) -> &str {
    match fate {
        Fate::Open { error } | Fate::Refused { error } => error,
        Fate::Taken => panic!("it was taken"),
    }
}

const BOTH: &str = r#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"shardId-000000000000"},{"SequenceNumber":"2","ShardId":"shardId-000000000000"}]}"#;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_an_operator_must_mend_ends_a_run_at_once_with_what_to_do() {
    for (code, words) in [
        ("com.amazonaws.kinesis.v20131202#AccessDeniedException", "kinesis:PutRecords"),
        ("ExpiredTokenException", "get new credentials"),
        ("KMSAccessDeniedException", "KMS key"),
        ("UnrecognizedClientException", "give AWS credentials"),
        ("InvalidSignatureException", "clock"),
        ("AnotherException", "correct the stream's name"),
    ] {
        let double = Double::start(&[(400, &format!(r#"{{"__type":"{code}","message":"told"}}"#))]);
        let start = Instant::now();
        let sent = send(options(&double.endpoint, "trips"), MINUTE).await;
        assert!(start.elapsed() < Duration::from_secs(10));
        let told = error(&sent.fates[1]);
        assert!(matches!(sent.fates[1], Fate::Open { .. }) && told.contains(words), "{told}");
        assert!(told.contains(": told") && !told.contains("pay"), "{told}");
        assert_eq!(double.requests().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    for (status, body, throttled) in [
        (500, r#"{"__type":"InternalFailure"}"#, 0),
        (503, "Service Unavailable", 0),
        (502, "", 0),
        (400, r#"{"__type":"ProvisionedThroughputExceededException","message":"told"}"#, 2),
        (429, "", 2),
        (429, "<html>", 2),
        (200, r#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"s"}]}"#, 0),
        (200, r#"{"FailedRecordCount":0,"Records":[{},{}]}"#, 0),
        (200, "{}", 0),
        (200, "<html>", 0),
    ] {
        let double = Double::start(&[(status, body), (200, BOTH)]);
        let sent = send(options(&double.endpoint, "trips"), MINUTE).await;
        assert_eq!(sent.fates, [Fate::Taken, Fate::Taken], "{status} {body}");
        assert_eq!((sent.counts.requests, sent.counts.retried), (2, 2), "{status} {body}");
        assert_eq!(sent.counts.throttled, throttled, "{status} {body}");
    }
}

#[tokio::test]
async fn a_record_s_own_error_within_a_success_is_its_alone() {
    let half = r#"{"FailedRecordCount":1,"Records":[{"SequenceNumber":"1","ShardId":"s"},{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded"}]}"#;
    let one = r#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"2","ShardId":"s"}]}"#;
    let double = Double::start(&[(200, half), (200, one)]);
    let sent = send(options(&double.endpoint, "trips"), MINUTE).await;
    assert_eq!(sent.fates, [Fate::Taken, Fate::Taken]);
    assert_eq!((sent.counts.retried, sent.counts.throttled), (1, 1));
    let requests = double.requests();
    assert!(requests[1].contains("\"k1\"") && !requests[1].contains("\"k0\""), "{}", requests[1]);
}

#[tokio::test]
async fn what_understands_nothing_has_the_events_stay_open() {
    let refusal = r#"{"__type":"ValidationException","message":"told"}"#;
    let double = Double::start(&[(400, refusal)]);
    let sent = send(options(&double.endpoint, "trips"), MINUTE).await;
    assert!(sent.fates.iter().all(|fate| matches!(fate, Fate::Open { .. })), "{sent:?}");
    assert!(error(&sent.fates[0]).contains("correct the stream's name"), "{sent:?}");
    assert_eq!(double.requests().len(), 3);
}

#[tokio::test]
async fn a_stream_is_asked_for_by_what_it_is_called_by_and_requests_are_signed() {
    let arn = "arn:aws:kinesis:ap-south-1:111122223333:stream/trips";
    for (stream, called) in [("trips", r#""StreamName":"trips""#), (arn, &format!(r#""StreamARN":"{arn}""#))]
    {
        let double = Double::start(&[(200, BOTH)]);
        let options = KinesisOptions { region: None, ..options(&double.endpoint, stream) };
        assert_eq!(send(options, MINUTE).await.counts.taken, 2);
        let request = &double.requests()[0];
        assert!(request.contains(called), "{request}");
        assert!(
            request.to_lowercase().contains("authorization: aws4-hmac-sha256 credential=akidtest/"),
            "{request}"
        );
        assert!(stream != arn || request.contains("/ap-south-1/kinesis/aws4_request"), "{request}");
    }
}

#[tokio::test]
async fn without_credentials_a_run_ends_at_once_with_what_to_do() {
    #[derive(Debug)]
    struct None;
    impl aws_credential_types::provider::ProvideCredentials for None {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("there are none")))
        }
    }
    let double = Double::start(&[(200, BOTH)]);
    let credentials = Some(SharedCredentialsProvider::new(None));
    let options = KinesisOptions { credentials, ..options(&double.endpoint, "trips") };
    let start = Instant::now();
    let sent = send(options, MINUTE).await;
    let told = error(&sent.fates[0]);
    assert!(start.elapsed() < Duration::from_secs(10), "{told}");
    assert!(told.contains("give AWS credentials, or the function a role"), "{told}");
    assert!(double.requests().is_empty());
}

fn refusal(code: &str) -> String {
    format!(r#"{{"__type":"{code}","message":"told"}}"#)
}

#[tokio::test]
async fn reading_goes_on_behind_limits_and_iterators_that_have_expired() {
    let shard = |number| {
        format!(r#"{{"ShardId":"shard-{number}","SequenceNumberRange":{{"StartingSequenceNumber":"1"}}}}"#)
    };
    let page = format!(r#"{{"Shards":[{}],"NextToken":"more"}}"#, shard(0));
    let last = format!(r#"{{"Shards":[{}]}}"#, shard(1));
    let records = |numbers: &[u8], next: &str| {
        let record =
            |number: &u8| format!(r#"{{"SequenceNumber":"{number}","Data":"eA==","PartitionKey":"k"}}"#);
        let records: Vec<String> = numbers.iter().map(record).collect();
        format!(
            r#"{{"Records":[{}],"NextShardIterator":"{next}","MillisBehindLatest":1500}}"#,
            records.join(",")
        )
    };
    let double = Double::start(&[
        (200, &page),
        (200, &last),
        (200, r#"{"ShardIterator":"first"}"#),
        (400, &refusal("ProvisionedThroughputExceededException")),
        (200, &records(&[7, 8], "second")),
        (400, &refusal("ExpiredIteratorException")),
        (200, r#"{"ShardIterator":"third"}"#),
        (500, ""),
        (200, &records(&[9], "fourth")),
    ]);
    let options = options(&double.endpoint, "trips");
    let mut reader = StreamReader::connect(&options, Start::TrimHorizon, BTreeMap::new()).await.unwrap();
    let mut shards = reader.shards(MINUTE).await.unwrap();
    assert_eq!(shards.iter().map(|shard| shard.shard()).collect::<Vec<_>>(), ["shard-0", "shard-1"]);
    let first = shards[0].poll(100, MINUTE).await.unwrap();
    assert_eq!(
        (first.records.len(), first.behind, first.ended),
        (2, Some(Duration::from_millis(1500)), false)
    );
    let second = shards[0].poll(100, MINUTE).await.unwrap();
    assert_eq!(second.records[0].sequence.to_string(), "9");
    let requests = double.requests();
    for (request, present, absent) in [
        (0, r#""StreamName":"trips""#, "NextToken"),
        (1, r#""NextToken":"more""#, "StreamName"),
        (2, "TRIM_HORIZON", "StartingSequenceNumber"),
        (4, r#""ShardIterator":"first""#, "second"),
        (5, r#""ShardIterator":"second""#, "first"),
        (6, r#""StartingSequenceNumber":"8""#, "TRIM_HORIZON"),
        (8, r#""ShardIterator":"third""#, "second"),
    ] {
        assert!(requests[request].contains(present), "{}", requests[request]);
        assert!(!requests[request].contains(absent), "{}", requests[request]);
    }
    assert_eq!(requests.len(), 9);
}

#[tokio::test]
async fn a_stream_that_may_not_be_read_is_told_with_what_to_allow_and_one_that_is_busy_in_time() {
    let reader = async |double: &Double| {
        let options = options(&double.endpoint, "trips");
        StreamReader::connect(&options, Start::Latest, BTreeMap::new()).await.unwrap()
    };
    let denied = Double::start(&[(400, &refusal("AccessDeniedException"))]);
    let error = reader(&denied).await.shards(MINUTE).await.unwrap_err();
    assert!(
        matches!(&error, ReadError::Refused { .. }) && error.to_string().contains("kinesis:ListShards"),
        "{error}"
    );

    let busy = Double::start(&[(400, &refusal("LimitExceededException"))]);
    let start = Instant::now();
    let error = reader(&busy).await.shards(Duration::from_millis(500)).await.unwrap_err();
    assert!(
        matches!(&error, ReadError::Busy { .. }) && error.to_string().contains("LimitExceeded"),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(2));
}
