//! A server that speaks S3's protocol and ignores conditions, as some do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

const AT: &str = "2026-11-24T18:00:00.000Z";
/// Rules that throw away what they should not.
const LIFECYCLE: &str = "<LifecycleConfiguration><Rule><ID>tidy</ID><Filter><Prefix></Prefix></Filter>\
    <Status>Enabled</Status><Expiration><Days>30</Days></Expiration><AbortIncompleteMultipartUpload>\
    <DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>";

type Objects = Arc<Mutex<BTreeMap<String, (u64, Vec<u8>)>>>;

/// A server with the bucket `careless`.
pub struct CarelessS3 {
    url: String,
}

impl CarelessS3 {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let objects = Objects::default();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, objects) = (stream.unwrap(), Arc::clone(&objects));
                thread::spawn(move || serve(stream, &objects));
            }
        });
        Self { url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

fn serve(mut stream: TcpStream, objects: &Objects) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = decoded(path.trim_start_matches('/').strip_prefix("careless").unwrap_or_default());
    let (status, tag, answer) = answer(objects, method, key.trim_start_matches('/'), query, body);
    let head = format!(
        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\nETag: \"{tag}\"\r\n\
         Last-Modified: Tue, 24 Nov 2026 18:00:00 GMT\r\n\r\n",
        answer.len()
    );
    let _ = stream.write_all(head.as_bytes());
    if method != "HEAD" {
        let _ = stream.write_all(&answer);
    }
}

fn answer(objects: &Objects, method: &str, key: &str, query: &str, body: Vec<u8>) -> (u16, u64, Vec<u8>) {
    let mut objects = objects.lock().unwrap();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let tag = objects.values().map(|(tag, _)| tag).max().map_or(1, |tag| tag + 1);
    match method {
        "GET" if has("lifecycle") => (200, 0, LIFECYCLE.into()),
        "GET" if has("versioning") => {
            (200, 0, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>".into())
        }
        "GET" if key.is_empty() => (200, 0, listing(&objects, query).into()),
        "POST" if has("uploads") => (
            200,
            0,
            "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>".into(),
        ),
        "PUT" if has("partNumber") => (200, tag, Vec::new()),
        "POST" => {
            objects.insert(key.to_owned(), (tag, Vec::new()));
            (
                200,
                0,
                format!(
                    "<CompleteMultipartUploadResult><ETag>\"{tag}\"</ETag></CompleteMultipartUploadResult>"
                )
                .into(),
            )
        }
        // Whatever is there, and whatever the request says of it.
        "PUT" => {
            objects.insert(key.to_owned(), (tag, body));
            (200, tag, Vec::new())
        }
        "DELETE" => {
            objects.remove(key);
            (204, 0, Vec::new())
        }
        _ => match objects.get(key) {
            Some((tag, body)) => (200, *tag, body.clone()),
            None => (404, 0, "<Error><Code>NoSuchKey</Code></Error>".into()),
        },
    }
}

fn listing(objects: &BTreeMap<String, (u64, Vec<u8>)>, query: &str) -> String {
    let value = |name: &str| {
        let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        decoded(found.unwrap_or_default())
    };
    let (prefix, after) = (value("prefix"), value("start-after"));
    let limit = value("max-keys").parse().unwrap_or(1000);
    let found = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after).take(limit);
    let mut listed = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
    for (key, (tag, body)) in found {
        let size = body.len();
        let _ = write!(
            listed,
            "<Contents><Key>{key}</Key><LastModified>{AT}</LastModified><ETag>\"{tag}\"</ETag><Size>{size}</Size></Contents>"
        );
    }
    listed + "</ListBucketResult>"
}

/// A text without its % escapes.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}
