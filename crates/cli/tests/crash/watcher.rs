//! Another reader, which looks at the lake while it is written: `tests/readers/watch.py`.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tripline_test_support::S3Server;

use crate::tool::{PREFIX, Tool, repository};

/// The reader's process.
pub(crate) struct Watcher {
    child: Child,
}

/// What the reader saw.
pub(crate) struct Seen {
    /// How often it looked while the lake was written.
    pub(crate) looks: u64,
    /// Files in the end.
    pub(crate) files: u64,
    /// Rows in the end; each trip is there once, with its source's columns.
    pub(crate) rows: u64,
}

impl Watcher {
    /// Starts to look. At the end the lake is compared with the files in `source`.
    pub(crate) fn start(python: &Path, server: &S3Server, tool: &Tool, source: &Path) -> Self {
        let child = Command::new(python)
            .arg(repository().join("tests/readers/watch.py"))
            .args([server.bucket(), PREFIX])
            .arg(server.folder())
            .arg(source)
            .envs(server.environment())
            .current_dir(tool.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { child }
    }

    /// Fails if the reader has seen what it must not see.
    pub(crate) fn check(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "the reader ended ({ended:?}); above it says why");
    }

    /// Lets the reader compare the lake with its source.
    pub(crate) fn compare(mut self) -> Seen {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the reader finds fault ({status}): {said}");
        let seen: Value = serde_json::from_str(&said).unwrap();
        let number = |name: &str| seen[name].as_u64().unwrap_or_else(|| panic!("{seen}"));
        Seen { looks: number("looks"), files: number("files"), rows: number("rows") }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
