//! Lambda's Runtime API, as a function's process sees it: a small HTTP server on loopback.
//!
//! Only what a custom runtime needs (AWS Lambda: "Using the Lambda runtime API for custom runtimes"):
//! the next invocation, its response or error, and a failed start. Any number of connections, so that a
//! function may handle several invocations at once.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PATH: &str = "/2018-06-01/runtime/";

/// A Runtime API for one function. Dropping it closes all its connections.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What the function made of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its response.
    Response(Vec<u8>),
    /// Its error, as JSON with `errorType` and `errorMessage`: to an event source mapping, a failed
    /// batch.
    Error(Vec<u8>),
}

impl Answer {
    /// The response as text; `None` for an error.
    pub fn response(&self) -> Option<String> {
        match self {
            Self::Response(body) => Some(String::from_utf8_lossy(body).into_owned()),
            Self::Error(_) => None,
        }
    }

    /// The error as text; `None` for a response.
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Error(body) => Some(String::from_utf8_lossy(body).into_owned()),
            Self::Response(_) => None,
        }
    }
}

/// An invocation on its way.
#[derive(Debug)]
#[must_use = "an invocation is answered some time; wait for it"]
pub struct Invocation {
    id: String,
    shared: Arc<Shared>,
}

impl Invocation {
    /// The answer, or `None` when there is none within `patience`.
    pub fn wait(self, patience: Duration) -> Option<Answer> {
        self.shared.wait(patience, |state| state.answers.remove(&self.id))
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Event>,
    answers: HashMap<String, Answer>,
    invocations: u64,
    first_asked: Option<Instant>,
    start_error: Option<Vec<u8>>,
    connections: Vec<TcpStream>,
    closed: bool,
}

#[derive(Debug)]
struct Event {
    id: String,
    deadline_ms: u128,
    body: Vec<u8>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `take` finds something.
    fn wait<T>(&self, patience: Duration, mut take: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let end = Instant::now() + patience;
        let mut state = self.state();
        loop {
            if let Some(found) = take(&mut state) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now()).filter(|_| !state.closed)?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl RuntimeApi {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is none.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let of_listener = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&of_listener);
                let mut state = shared.state();
                if state.closed {
                    return;
                }
                state.connections.extend(connection.try_clone());
                drop(state);
                // A function that was killed in the middle of a request is no concern of the API's.
                thread::spawn(move || drop(serve(&connection, &shared)));
            }
        });
        Ok(Self { address, shared })
    }

    /// Host and port: the value of `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Queues an event, to be answered within `time_out` from now.
    pub fn invoke(&self, body: impl Into<Vec<u8>>, time_out: Duration) -> Invocation {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.invoke_until((now + time_out).as_millis(), body)
    }

    /// Queues an event with a deadline in milliseconds since 1970 UTC, as the function gets it.
    pub fn invoke_until(&self, deadline_ms: u128, body: impl Into<Vec<u8>>) -> Invocation {
        let mut state = self.shared.state();
        state.invocations += 1;
        let id = format!("00000000-0000-0000-0000-{:012}", state.invocations);
        state.waiting.push_back(Event { id: id.clone(), deadline_ms, body: body.into() });
        drop(state);
        self.shared.changed.notify_all();
        Invocation { id, shared: Arc::clone(&self.shared) }
    }

    /// When the function first asked for an invocation; waits for it.
    pub fn first_asked(&self, patience: Duration) -> Option<Instant> {
        self.shared.wait(patience, |state| state.first_asked)
    }

    /// The error by which the function said that it cannot start; `None` where it has not.
    pub fn start_error(&self) -> Option<Vec<u8>> {
        self.shared.state().start_error.clone()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers a connection's requests until it ends.
fn serve(connection: &TcpStream, shared: &Shared) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection);
    while let Some(request) = Request::read(&mut reader)? {
        let action = request.path.strip_prefix(PATH).unwrap_or_default();
        let parts: Vec<&str> = action.split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["invocation", "next"]) => {
                shared.state().first_asked.get_or_insert_with(Instant::now);
                shared.changed.notify_all();
                let forever = Duration::from_secs(24 * 60 * 60);
                let Some(event) = shared.wait(forever, |state| state.waiting.pop_front()) else {
                    return Ok(());
                };
                reply_event(connection, &event)?;
            }
            ("POST", ["invocation", id, how @ ("response" | "error")]) => {
                let answer = match *how {
                    "response" => Answer::Response(request.body),
                    _ => Answer::Error(request.body),
                };
                // The function's reply comes first: it may be killed as soon as the answer is known.
                reply(connection, "202 Accepted")?;
                shared.state().answers.insert((*id).to_owned(), answer);
                shared.changed.notify_all();
            }
            ("POST", ["init", "error"]) => {
                reply(connection, "202 Accepted")?;
                shared.state().start_error = Some(request.body);
            }
            _ => reply(connection, "404 Not Found")?,
        }
    }
    Ok(())
}

fn reply(mut connection: &TcpStream, status: &str) -> io::Result<()> {
    write!(connection, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
}

fn reply_event(mut connection: &TcpStream, event: &Event) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         lambda-runtime-aws-request-id: {}\r\nlambda-runtime-deadline-ms: {}\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:123456789012:function:test\r\n\
         lambda-runtime-trace-id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n\r\n",
        event.body.len(),
        event.id,
        event.deadline_ms,
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(&event.body)
}

struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
}

impl Request {
    /// `None` at the connection's end.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let line = read_line(reader)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = read_line(reader)?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
                "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
                _ => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            read_chunks(reader, &mut body)?;
        } else {
            reader.take(length).read_to_end(&mut body)?;
        }
        Ok(Some(Self { method, path, body }))
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(reader)?;
        let length = line.split(';').next().unwrap_or_default();
        let length = u64::from_str_radix(length, 16).map_err(io::Error::other)?;
        reader.by_ref().take(length).read_to_end(body)?;
        if length == 0 {
            // Trailers, and the empty line after them.
            while !read_line(reader)?.is_empty() {}
            return Ok(());
        }
        read_line(reader)?;
    }
}
