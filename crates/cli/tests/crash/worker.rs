//! Processes that are killed.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::feed::Feed;
use crate::tool::Tool;

const SIGKILL: i32 = 9;
/// A process lives between these, and one in [`STILLBORN`] at most so long as it takes to start.
const LIFE: (Duration, Duration) = (Duration::from_millis(60), Duration::from_millis(2_000));
const STILLBORN: u64 = 5;
const START: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(80));
/// How long a process may take that is not killed.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `tripline run`: some publish in between, most leave that to others.
    Ingester,
    /// `tripline publish`.
    Publisher,
}

/// How a process ended.
pub(crate) enum End {
    /// By SIGKILL, with its work not done.
    Killed {
        /// The last step of the protocol that it had reached; `None` while it was starting.
        after: Option<String>,
    },
    /// By itself.
    Finished,
}

/// A process, and when it is killed.
pub(crate) struct Worker {
    role: Role,
    child: Child,
    log: PathBuf,
    killed_at: Instant,
}

impl Worker {
    /// Starts a process with batches of a size of its own, so that no two cut the files alike.
    pub(crate) fn start(role: Role, tool: &Tool, feed: &Feed, chance: &mut Chance) -> Self {
        static LIVES: AtomicU64 = AtomicU64::new(0);
        let log = tool.folder().join(format!("{}.log", LIVES.fetch_add(1, Ordering::Relaxed)));
        let mut command = match role {
            Role::Publisher => tool.command("publish"),
            Role::Ingester => {
                let mut command = tool.command("run");
                let mut paths: Vec<_> = feed.paths().collect();
                if chance.below(2) == 0 {
                    paths.reverse();
                }
                let batch_size = 2 + chance.size(200);
                command.arg("--input").args(paths).arg("--batch-size").arg(batch_size.to_string());
                // Files are read from their start: small batches that each publish would never end.
                let publish_every = chance.size(50) + 200 / batch_size;
                match chance.below(4) {
                    0 => command.arg("--publish-every").arg(publish_every.to_string()),
                    _ => command.arg("--no-publish"),
                };
                command
            }
        };
        let output = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let (least, most) = if chance.below(STILLBORN) == 0 { START } else { LIFE };
        let life = chance.duration(least, most);
        let child = command.spawn().unwrap();
        Self { role, child, log, killed_at: Instant::now() + life }
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// What the process wrote.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Kills the process once its time has come. `None` while it lives.
    pub(crate) fn poll(&mut self) -> Option<End> {
        if let Some(status) = self.child.try_wait().unwrap() {
            return Some(self.end(status));
        }
        if Instant::now() < self.killed_at {
            return None;
        }
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        Some(self.end(status))
    }

    /// Lets the process come to its end.
    pub(crate) fn finish(&mut self) -> End {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return self.end(status);
            }
            assert!(Instant::now() < end, "a process does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(&self, status: ExitStatus) -> End {
        if status.signal() == Some(SIGKILL) {
            // A line that the kill cut off is no step.
            let said = self.said();
            let whole = said.rfind('\n').map_or("", |end| &said[..end]);
            let step = |line: &str| Some(line.split_once("reached point=")?.1.trim().to_owned());
            return End::Killed { after: whole.lines().rev().find_map(step) };
        }
        assert!(status.success(), "{status}:\n{}", self.said());
        End::Finished
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
