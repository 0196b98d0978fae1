//! A server's process: started by its script, ended with the test.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Unavailable;

/// How long a server has to end by itself.
const GOODBYE: Duration = Duration::from_secs(15);

/// The exit code by which a script says so (`tests/servers/lib.sh`).
const CANNOT_BE_HAD: i32 = 69;

/// A running server. It ends when this is dropped, and also when the test's process dies in any way
/// (a `static` is never dropped): its script watches a pipe that the system then closes.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pipe: Option<ChildStdin>,
    data: PathBuf,
}

impl Server {
    /// Runs `tests/servers/<name>/start.sh attend` with these variables, and returns when the server
    /// answers. The first start on a machine may fetch and compile it, for minutes.
    pub fn start(name: &str, variables: &[(&str, &str)]) -> Result<Self, Unavailable> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../servers").join(name).join("start.sh");
        let mut command = Command::new(&script);
        command.arg("attend").envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: an interrupt at the terminal ends the test, and that ends the server.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let cannot = |why: String| Unavailable::new(format!("cannot run {}: {why}", script.display()));
        let mut child = command.spawn().map_err(|error| cannot(error.to_string()))?;
        let said = child.stderr.take().map(gather).unwrap_or_default();
        let pipe = child.stdin.take();
        let mut first = String::new();
        if let Some(output) = child.stdout.take() {
            let mut output = BufReader::new(output);
            output.read_line(&mut first).map_err(|error| cannot(error.to_string()))?;
        }
        match first.trim_end().strip_prefix("ready ") {
            Some(data) => Ok(Self { child, pipe, data: PathBuf::from(data) }),
            None => {
                let code = child.wait().ok().and_then(|status| status.code());
                // The gathering thread sees the end of the pipe at about the same moment.
                thread::sleep(Duration::from_millis(50));
                let said = said.lock().unwrap_or_else(PoisonError::into_inner);
                let last = said.lines().rev().find(|line| !line.trim().is_empty());
                let reason = last.unwrap_or("it did not start").to_owned();
                Err(Unavailable { reason, for_good: code == Some(CANNOT_BE_HAD) })
            }
        }
    }

    /// Kills the server as it stands, as a power cut would.
    ///
    /// # Errors
    /// When its process cannot be found.
    pub fn kill(&self) -> io::Result<()> {
        let pid = fs::read_to_string(self.data.join("pid"))?;
        Command::new("kill").args(["-9", pid.trim()]).status()?;
        Ok(())
    }

    /// The folder of the server's data, removed when it ends.
    pub fn data(&self) -> &Path {
        &self.data
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let end = Instant::now() + GOODBYE;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server on a port that nothing listens on; `start` is given the port. Tried a few times, as
/// another process may take the port before the server does.
pub(crate) fn on_free_port<T>(start: impl Fn(u16) -> Result<T, Unavailable>) -> Result<T, Unavailable> {
    let mut last = Unavailable::new("it was not tried");
    for _ in 0..3 {
        match start(free_port()?) {
            Err(error) if !error.for_good => last = error,
            result => return result,
        }
    }
    Err(last)
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16, Unavailable> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Unavailable::new(format!("no free port on 127.0.0.1: {error}")))
}

/// Reads a pipe to its end on a thread, so that the writer never waits for a reader.
fn gather(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            let piece = String::from_utf8_lossy(buffer.get(..read).unwrap_or_default()).into_owned();
            into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&piece);
        }
    });
    text
}
