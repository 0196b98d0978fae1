//! What each answer of an S3 server means, from a server that answers as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use tripline_lake::store::{
    Completed, Condition, Credentials, ETag, ErrorKind, ObjectStore, Put, S3Store, StoreError, StoreOptions,
};

/// What a server says to each request.
#[derive(Clone)]
enum Say {
    /// A status and a body.
    Answer(u16, String),
    /// Closes the connection when the request has come.
    HangUp,
    /// An object, whose bytes break off in the answers to the first so many requests.
    BreakOff(usize),
}

/// A server that says the same to every request, and keeps the requests' heads.
struct Scripted {
    store: S3Store,
    requests: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

async fn scripted(say: Say) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = StoreOptions {
        endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
        path_style: true,
        region: Some("us-east-1".to_owned()),
        credentials: Some(Credentials { access_key: "AKID".to_owned(), secret_key: "hush".to_owned() }),
    };
    let (requests, heads) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (count, keep) = (requests.clone(), heads.clone());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, say) = (stream.unwrap(), say.clone());
            let Some(head) = read_request(&mut stream) else { continue };
            let before = count.fetch_add(1, Ordering::SeqCst);
            if let Say::BreakOff(times) = say {
                let body = if before < times { "who" } else { "whole" };
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 X\r\ncontent-length: 5\r\netag: \"a\"\r\nlast-modified: Tue, 24 Nov 2026 17:00:00 \
                     GMT\r\nconnection: close\r\n\r\n{body}"
                );
                continue;
            }
            let is_head = head.starts_with("HEAD");
            keep.lock().unwrap().push(head);
            if let Say::Answer(status, body) = say {
                let body = if is_head { "" } else { body.as_str() };
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        }
    });
    let store = S3Store::connect("trips", "p", &options).await.unwrap();
    Scripted { store, requests, heads }
}

/// The head of a request, once its body has come too.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            // The method as it was sent.
            return Some(format!("{}{}", &text[..4], &head[4..]));
        }
    }
}

fn error(status: u16, code: &str) -> Say {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>because</Message></Error>");
    Say::Answer(status, body)
}

async fn put(server: &Scripted, condition: Condition) -> Result<Put, StoreError> {
    server.store.put("key", Bytes::from_static(b"x"), condition).await
}

fn matches() -> Condition {
    Condition::Matches(ETag::new("\"abc\""))
}

#[tokio::test]
async fn a_broken_condition_is_a_refusal() {
    let server = scripted(error(412, "PreconditionFailed")).await;
    assert_eq!(put(&server, Condition::Absent).await.unwrap(), Put::Refused);
    assert_eq!(put(&server, matches()).await.unwrap(), Put::Refused);
    let heads = server.heads.lock().unwrap().clone();
    assert!(heads[0].contains("\r\nif-none-match: *\r\n") && !heads[0].contains("if-match"), "{}", heads[0]);
    assert!(heads[1].contains("\r\nif-match: \"abc\"\r\n") && !heads[1].contains("if-none"), "{}", heads[1]);
}

#[tokio::test]
async fn replacing_what_is_missing_is_a_refusal_but_a_missing_bucket_is_a_fault() {
    let server = scripted(error(404, "NoSuchKey")).await;
    assert_eq!(put(&server, matches()).await.unwrap(), Put::Refused);
    // Nothing that creates an object finds the key missing.
    assert_eq!(put(&server, Condition::Absent).await.unwrap_err().kind(), ErrorKind::Invalid);
    let server = scripted(error(404, "NoSuchBucket")).await;
    assert_eq!(put(&server, matches()).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(server.store.get("key").await.unwrap_err().kind(), ErrorKind::Invalid);
}

/// Also the proof that the SDK does not try a write again by itself.
#[tokio::test]
async fn a_write_of_unknown_outcome_is_tried_once_and_said_to_be_unknown() {
    let unknown = [
        error(409, "ConditionalRequestConflict"),
        error(409, "OperationAborted"),
        error(500, "InternalError"),
        error(503, "SlowDown"),
        error(400, "RequestTimeout"),
        Say::Answer(502, "<html>bad gateway</html>".to_owned()),
        Say::HangUp,
    ];
    for say in unknown {
        let server = scripted(say).await;
        let error = put(&server, Condition::Absent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
        assert!(error.to_string().contains("s3://trips/p/key"), "{error}");
        assert!(error.to_string().contains("may or may not have taken effect: try again"), "{error}");
        assert_eq!(server.requests.load(Ordering::SeqCst), 1, "{error}");
        let completed = server.store.complete_upload("key", "id", &["tag".to_owned()]).await;
        assert_eq!(completed.unwrap_err().kind(), ErrorKind::Unknown);
        assert_eq!(server.requests.load(Ordering::SeqCst), 2, "{error}");
    }
}

#[tokio::test]
async fn reads_are_tried_again() {
    let server = scripted(error(503, "SlowDown")).await;
    assert_eq!(server.store.get("key").await.unwrap_err().kind(), ErrorKind::Unknown);
    assert_eq!(server.requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_completion_that_fails_after_it_began_to_answer_is_not_taken_for_done() {
    let server = scripted(error(200, "InternalError")).await;
    let failed = server.store.complete_upload("key", "id", &["tag".to_owned()]).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unknown, "{failed}");
}

#[tokio::test]
async fn a_completion_of_no_such_upload_says_gone() {
    let server = scripted(error(404, "NoSuchUpload")).await;
    let gone = server.store.complete_upload("key", "id", &["tag".to_owned()]).await.unwrap();
    assert_eq!(gone, Completed::Gone);
    let error = server.store.upload_part("key", "id", 1, Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("start another upload"), "{error}");
    let heads = server.heads.lock().unwrap().clone();
    assert!(!heads[0].contains("if-"), "{}", heads[0]);
}

#[tokio::test]
async fn other_refusals_say_whose_fault_they_are_and_what_to_do() {
    let cases = [
        (403, "AccessDenied", ErrorKind::Denied, "s3:ListBucket"),
        (403, "InvalidAccessKeyId", ErrorKind::Denied, "s3:GetObject"),
        (403, "SignatureDoesNotMatch", ErrorKind::Denied, "s3:GetObject"),
        (403, "RequestTimeTooSkewed", ErrorKind::Denied, "clock"),
        (400, "ExpiredToken", ErrorKind::Denied, "get new credentials"),
        (301, "PermanentRedirect", ErrorKind::Invalid, "AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", ErrorKind::Invalid, "AWS_REGION"),
        (501, "NotImplemented", ErrorKind::Invalid, "use a server that has this operation"),
        (400, "EntityTooLarge", ErrorKind::Invalid, "correct the request"),
    ];
    for (status, code, kind, advice) in cases {
        let server = scripted(error(status, code)).await;
        let error = put(&server, Condition::Absent).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        for part in ["cannot write s3://trips/p/key", code, "because", advice] {
            assert!(error.to_string().contains(part), "'{part}' is not in: {error}");
        }
        assert!(!error.to_string().contains("hush"));
    }
}

#[tokio::test]
async fn an_unreachable_server_is_of_unknown_outcome() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let options = StoreOptions {
        endpoint: Some(format!("http://{address}")),
        path_style: true,
        region: Some("us-east-1".to_owned()),
        credentials: Some(Credentials { access_key: "AKID".to_owned(), secret_key: "hush".to_owned() }),
    };
    let store = S3Store::connect("trips", "p", &options).await.unwrap();
    let error = store.put("key", Bytes::new(), Condition::Absent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert!(error.to_string().contains("tcp connect error"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_no_url_is_the_operators_fault() {
    let options = StoreOptions {
        endpoint: Some(":nonsense".to_owned()),
        path_style: true,
        region: Some("us-east-1".to_owned()),
        credentials: Some(Credentials { access_key: "AKID".to_owned(), secret_key: "hush".to_owned() }),
    };
    let store = S3Store::connect("trips", "p", &options).await.unwrap();
    let error = store.put("key", Bytes::new(), Condition::Absent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains(":nonsense"), "{error}");
}

#[tokio::test]
async fn a_directory_bucket_is_refused_at_once() {
    let options = StoreOptions { region: Some("us-east-1".to_owned()), ..StoreOptions::default() };
    let error = S3Store::connect("trips--use1-az4--x-s3", "", &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("use a general purpose bucket"), "{error}");
}

#[tokio::test]
async fn an_answer_without_a_body_of_errors_is_read_by_its_status() {
    let server = scripted(Say::Answer(404, String::new())).await;
    // Of a listing nothing is known to be absent but the bucket, so head's own check fails.
    assert!(server.store.head("key").await.is_err());
    assert_eq!(server.store.get("key").await.unwrap(), None);
    assert_eq!(server.store.head("key").await.unwrap(), None);
}

#[tokio::test]
async fn an_object_whose_bytes_break_off_is_read_again_some_times() {
    let once = scripted(Say::BreakOff(1)).await;
    assert_eq!(once.store.get("key").await.unwrap().unwrap().body, Bytes::from("whole"));
    assert_eq!(once.requests.load(Ordering::SeqCst), 2);
    let always = scripted(Say::BreakOff(usize::MAX)).await;
    let error = always.store.get("key").await.unwrap_err().to_string();
    assert!(error.contains("the answer broke off") && error.contains("try again"), "{error}");
    assert_eq!(always.requests.load(Ordering::SeqCst), 3);
}
