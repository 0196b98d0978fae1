//! The tool under test, and where its lake is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tripline_test_support::S3Server;

/// Prefix of the lake in the server's bucket.
pub(crate) const PREFIX: &str = "lakes/taxi";

/// Levels that the crash test leaves out of the taxi pipeline: files are read and listed again and
/// again while there are ever more of them.
const FINE_LEVELS: [&str; 2] = ["day", "hour"];

/// How to call `tripline`.
pub(crate) struct Tool {
    environment: Vec<(&'static str, String)>,
    folder: PathBuf,
    lake: String,
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Tool {
    /// For a lake on `server`; its pipeline and logs go to `folder`.
    pub(crate) fn new(server: &S3Server, folder: &Path) -> Self {
        let (from, to) = (repository().join("pipelines/taxi"), folder.join("pipeline"));
        fs::create_dir(&to).unwrap();
        let mut text = fs::read_to_string(from.join("pipeline.toml")).unwrap();
        for level in FINE_LEVELS {
            let line = format!("  {{ name = \"{level}\", time = \"{level}\" }},\n");
            assert_eq!(text.matches(&line).count(), 1, "{line}");
            text = text.replace(&line, "");
        }
        fs::write(to.join("pipeline.toml"), text).unwrap();
        fs::copy(from.join("taxi_zone_lookup.csv"), to.join("taxi_zone_lookup.csv")).unwrap();
        let lake = format!("s3://{}/{PREFIX}", server.bucket());
        Self { environment: server.environment(), folder: folder.to_owned(), lake }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `tripline <name>` on the lake, with a log of every step of the protocol.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("TRIPLINE_") || name.starts_with("AWS_")) {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("TRIPLINE_LOG", "tripline_lake=trace,tripline_ingest=info");
        command.arg(name).arg("--pipeline").arg(self.folder.join("pipeline")).args(["--lake", &self.lake]);
        command
    }

    /// Audits the lake, which must be sound and have nothing left to publish.
    pub(crate) fn audit(&self) -> Value {
        let output = self.command("audit").arg("--json").output().unwrap();
        let audit: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_eq!(output.status.code(), Some(0), "{audit:#}");
        assert_eq!(audit["pendingFiles"], 0, "{audit:#}");
        for lane in audit["lanes"].as_array().unwrap() {
            assert_eq!(lane["waitingEntries"], 0, "{audit:#}");
        }
        audit
    }
}
