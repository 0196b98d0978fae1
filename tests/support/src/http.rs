//! A request to a test server, for looking at what it holds, and one that a test answers. Not for what is tested.

use std::io::{self, Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: String,
}

/// Sends a request with a JSON body, if any, to `http://host:port` and returns the answer.
///
/// # Errors
/// When there is no such server, or it breaks off.
pub fn request(url: &str, method: &str, path: &str, body: &str) -> io::Result<Reply> {
    send(url, method, path, "Content-Type: application/json\r\n", body)
}

/// Sends a request with further lines of its head, each with its end.
pub(crate) fn send(url: &str, method: &str, path: &str, head: &str, body: &str) -> io::Result<Reply> {
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{head}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("no answer: {text}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
    Ok(Reply { status, body: body.to_owned() })
}

/// Reads a request that has a length: its path and its body.
///
/// # Panics
/// When it is not whole, or none.
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
pub fn read_request(stream: &mut impl Read) -> (String, Vec<u8>) {
    let mut text = Vec::new();
    let mut buffer = [0; 65_536];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the request ends early");
        text.extend_from_slice(&buffer[..count]);
        let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if text.len() >= end + 4 + length.parse::<usize>().unwrap() {
            return (head.split(' ').nth(1).unwrap().to_owned(), text.split_off(end + 4));
        }
    }
}
