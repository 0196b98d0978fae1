//! A cluster that answers as a test wants it to: for what a real one cannot be brought to do.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flate2::read::GzDecoder;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// A bulk request as it came.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Length of the body as it was sent.
    pub sent_bytes: usize,
    /// The body, uncompressed.
    pub body: String,
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This status and body.
    Say(u16, String),
    /// This, after a while.
    Late(Duration, u16, String),
    /// Nothing: the connection breaks off.
    BreakOff,
}

/// The double. It serves until the test's process ends.
#[derive(Clone, Debug)]
pub struct Double {
    pub url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: Vec<Bulk>,
    connections: usize,
    under_way: usize,
    most_under_way: usize,
}

impl Bulk {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// What is to be done: the name of each action and what it says.
    pub fn actions(&self) -> Vec<(String, Value)> {
        let mut lines = self.body.lines();
        let mut actions = Vec::new();
        while let Some(line) = lines.next() {
            let action: Value = serde_json::from_str(line).unwrap();
            let (name, said) = action.as_object().unwrap().iter().next().unwrap();
            if name != "delete" {
                let document: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
                assert!(document.is_object());
            }
            actions.push((name.clone(), said.clone()));
        }
        actions
    }

    /// The ids, in their order.
    pub fn ids(&self) -> Vec<String> {
        let id = |(_, said): (String, Value)| said["_id"].as_str().unwrap_or("-").to_owned();
        self.actions().into_iter().map(id).collect()
    }

    /// An answer in which each item has the status that `status` gives for its id.
    pub fn answer(&self, status: impl Fn(&str) -> u16) -> Answer {
        let item = |(name, said): (String, Value)| {
            let id = said["_id"].as_str().unwrap_or("given-out").to_owned();
            let status = status(&id);
            let mut item = json!({ "_id": id, "status": status });
            if status >= 300 {
                item["error"] = json!({ "type": "some_exception", "reason": format!("status {status}") });
            }
            json!({ name: item })
        };
        let items: Vec<Value> = self.actions().into_iter().map(item).collect();
        Answer::Say(200, json!({ "errors": true, "items": items }).to_string())
    }
}

impl Double {
    /// Serves; `answer` is given each request with its number, from 0.
    pub fn start(answer: impl Fn(usize, &Bulk) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve("http", answer, Some)
    }

    /// As [`start`](Self::start), over TLS. Connections that do not get that far are left.
    pub fn start_secure(
        tls: Arc<ServerConfig>,
        answer: impl Fn(usize, &Bulk) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::serve("https", answer, move |mut stream| {
            let mut connection = ServerConnection::new(Arc::clone(&tls)).unwrap();
            connection.complete_io(&mut stream).ok()?;
            Some(StreamOwned::new(connection, stream))
        })
    }

    fn serve<S: Read + Write>(
        scheme: &str,
        answer: impl Fn(usize, &Bulk) -> Answer + Send + Sync + 'static,
        begin: impl Fn(TcpStream) -> Option<S> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let begin = Arc::new(begin);
        let (seen, answer) = (Arc::<Mutex<Seen>>::default(), Arc::new(answer));
        let double = Self { url, seen: Arc::clone(&seen) };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer, begin) = (Arc::clone(&seen), Arc::clone(&answer), Arc::clone(&begin));
                seen.lock().unwrap().connections += 1;
                thread::spawn(move || begin(stream).map(|stream| serve(stream, &seen, &*answer)));
            }
        });
        double
    }

    pub fn requests(&self) -> Vec<Bulk> {
        self.seen.lock().unwrap().requests.clone()
    }

    pub fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    pub fn most_under_way(&self) -> usize {
        self.seen.lock().unwrap().most_under_way
    }
}

fn serve<S: Read + Write>(stream: S, seen: &Mutex<Seen>, answer: &dyn Fn(usize, &Bulk) -> Answer) {
    let mut reader = BufReader::new(stream);
    while let Some(bulk) = read(&mut reader) {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.requests.push(bulk.clone());
            seen.under_way += 1;
            seen.most_under_way = seen.most_under_way.max(seen.under_way);
            seen.requests.len() - 1
        };
        let answer = answer(number, &bulk);
        let said = match answer {
            Answer::Say(status, body) => Some((status, body)),
            Answer::Late(wait, status, body) => {
                thread::sleep(wait);
                Some((status, body))
            }
            Answer::BreakOff => None,
        };
        seen.lock().unwrap().under_way -= 1;
        let Some((status, body)) = said else { return };
        let head = format!(
            "HTTP/1.1 {status} As Told\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = reader.get_mut();
        if stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()))
            .and_then(|()| stream.flush())
            .is_err()
        {
            return;
        }
    }
}

fn read(reader: &mut BufReader<impl Read>) -> Option<Bulk> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
    assert!(line.starts_with("POST /_bulk?filter_path=errors%2Citems"), "{line}");
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let header =
        |name: &str| headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.clone());
    let mut body = vec![0; header("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let sent_bytes = body.len();
    let mut text = String::new();
    if header("content-encoding").as_deref() == Some("gzip") {
        GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(body).unwrap();
    }
    Some(Bulk { headers, sent_bytes, body: text })
}
