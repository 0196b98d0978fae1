//! The functions' own processes behind a Runtime API and a search cluster on loopback.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::DeflateEncoder;
use tripline_test_support::{Answer, Function};

use crate::cluster::created;

/// What a process has cost so far.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Processor time of all its threads that live.
    pub cpu: Duration,
    /// Most memory that was ever resident, in bytes.
    pub peak_bytes: u64,
}

/// Where the functions' binaries are, and what they work on.
#[derive(Debug)]
pub struct Bed {
    binaries: PathBuf,
    lake: PathBuf,
    search: String,
    gzip: bool,
}

impl Bed {
    /// A lake at `lake`, which must not be there yet, and a search cluster, to which bodies are compressed if `gzip`
    /// says so.
    ///
    /// # Errors
    /// When there is no port.
    pub fn new(binaries: &Path, lake: &Path, gzip: bool) -> anyhow::Result<Self> {
        let search = serve()?;
        Ok(Self { binaries: binaries.to_owned(), lake: lake.to_owned(), search, gzip })
    }

    /// Starts a function.
    ///
    /// # Errors
    /// When its binary cannot be run.
    pub fn start(&self, name: &str) -> anyhow::Result<Function> {
        let binary = self.binaries.join(name);
        let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline");
        let variables = [
            ("TRIPLINE_PIPELINE", pipeline.to_str().context("the path is no UTF-8")?),
            ("TRIPLINE_LAKE", self.lake.to_str().context("the path is no UTF-8")?),
            ("TRIPLINE_SINKS", "lake,search"),
            ("TRIPLINE_OPENSEARCH_URL", &self.search),
            ("TRIPLINE_OPENSEARCH_AUTH", "none"),
            ("TRIPLINE_OPENSEARCH_GZIP", if self.gzip { "true" } else { "false" }),
        ];
        Function::start(&binary, &variables).with_context(|| format!("cannot run {}", binary.display()))
    }
}

/// Hands an event over; how long the function took to answer, as Lambda would see it.
///
/// # Errors
/// When it fails, or reports records that it has not taken.
pub fn invoke(function: &Function, event: &[u8]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let answer = function.invoke(event).context("the function does not answer")?;
    let took = began.elapsed();
    match answer {
        Answer::Response(_) => Ok(took),
        Answer::Error(error) => anyhow::bail!("the function failed: {}", String::from_utf8_lossy(&error)),
    }
}

/// What a function's process has cost.
///
/// # Errors
/// When the kernel does not tell.
pub fn cost(function: &Function) -> anyhow::Result<Cost> {
    let process = PathBuf::from(format!("/proc/{}", function.process_id()));
    let status = fs::read_to_string(process.join("status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM is not told")?;
    let kibibytes: u64 = peak.trim().trim_end_matches("kB").trim().parse()?;
    let mut cpu = Duration::ZERO;
    for thread in fs::read_dir(process.join("task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        cpu += Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?);
    }
    Ok(Cost { cpu, peak_bytes: kibibytes << 10 })
}

/// How long a file becomes in a zip.
///
/// # Errors
/// When it cannot be compressed.
pub fn packed_size(file: &[u8]) -> io::Result<u64> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(file)?;
    Ok(encoder.finish()?.len() as u64)
}

/// Starts a cluster that takes every document; returns its URL. It ends with the process.
fn serve() -> anyhow::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            // A function that is gone is no concern of the cluster's.
            thread::spawn(move || drop(answer(&connection)));
        }
    });
    Ok(url)
}

fn answer(mut connection: &TcpStream) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(1 << 16, connection);
    while let Some((gzip, body)) = request(&mut reader)? {
        let mut plain = Vec::new();
        let body = if gzip {
            GzDecoder::new(body.as_slice()).read_to_end(&mut plain)?;
            plain
        } else {
            body
        };
        let answer = created(&body);
        write!(
            connection,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        )?;
        connection.write_all(&answer)?;
    }
    Ok(())
}

/// The next request's body, and whether it is compressed; `None` at the connection's end.
fn request(reader: &mut impl BufRead) -> anyhow::Result<Option<(bool, Vec<u8>)>> {
    let (mut length, mut gzip) = (0, false);
    for number in 0.. {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if number == 0 && line.is_empty() {
            return Ok(None);
        }
        let line = line.trim_end().to_ascii_lowercase();
        match line.split_once(": ") {
            Some(("content-length", value)) => length = value.parse()?,
            Some(("content-encoding", value)) => gzip = value == "gzip",
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    let mut body = Vec::with_capacity(usize::try_from(length)?);
    let read = reader.take(length).read_to_end(&mut body)?;
    ensure!(read as u64 == length, io::Error::from(io::ErrorKind::UnexpectedEof));
    Ok(Some((gzip, body)))
}
