//! A function's process, as Lambda runs it.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::runtime_api::{Answer, RuntimeApi};

/// How long a function may take to start or to answer; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lambda's longest invocation, which most tests allow.
const TIME_OUT: Duration = Duration::from_secs(15 * 60);

/// A function's real binary behind a [`RuntimeApi`] of its own. It is killed when this is dropped.
#[derive(Debug)]
pub struct Function {
    process: Child,
    api: RuntimeApi,
    began: Instant,
    output: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Function {
    /// Starts `binary` with these variables, and none of Tripline's or AWS's that the test's own
    /// environment has.
    ///
    /// # Errors
    /// When there is no port, or the binary cannot be run.
    pub fn start(binary: impl AsRef<Path>, variables: &[(&str, &str)]) -> io::Result<Self> {
        let api = RuntimeApi::start()?;
        let mut command = Command::new(binary.as_ref());
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("TRIPLINE_") || name.starts_with("AWS_")) {
                command.env_remove(name);
            }
        }
        command
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", "test")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let began = Instant::now();
        let mut process = command.spawn()?;
        let output = Arc::default();
        let mut readers = Vec::new();
        readers.extend(process.stdout.take().map(|pipe| gather(pipe, Arc::clone(&output))));
        readers.extend(process.stderr.take().map(|pipe| gather(pipe, Arc::clone(&output))));
        Ok(Self { process, api, began, output, readers })
    }

    /// Hands an event over and waits for the answer. `None`: there was none within a minute, or the
    /// process ended.
    pub fn invoke(&self, event: impl Into<Vec<u8>>) -> Option<Answer> {
        self.api.invoke(event, TIME_OUT).wait(PATIENCE)
    }

    /// The Runtime API, for invocations that overlap or have a deadline of their own.
    pub fn api(&self) -> &RuntimeApi {
        &self.api
    }

    /// How long the process took from its start until it asked for an invocation, which ends Lambda's
    /// init phase; `None` where it has not within a minute.
    pub fn start_up(&self) -> Option<Duration> {
        Some(self.api.first_asked(PATIENCE)?.saturating_duration_since(self.began))
    }

    /// Waits for a process that ends by itself, as one does that cannot start. Returns its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.process.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                Ok(Some(status)) => return status.code(),
                Err(_) => return None,
            }
        }
        None
    }

    /// Process id, for looking at its memory.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Ends the process and returns all lines that it wrote to standard output and standard error.
    pub fn end(mut self) -> Vec<String> {
        self.kill();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        std::mem::take(&mut *self.output.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads lines to the pipe's end on a thread, so that the function never waits for a reader.
fn gather(pipe: impl io::Read + Send + 'static, into: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            into.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    })
}
