//! A lake with its pipeline and its input, and the tool that works on them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

pub mod careless;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// A lake with its pipeline and its input.
pub struct Desk {
    folder: TempDir,
    /// Variables of the tool's environment.
    pub variables: Vec<(&'static str, String)>,
}

impl Desk {
    pub fn new(pipeline: &str) -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() };
        desk.write("pipeline/pipeline.toml", pipeline);
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What a command prints; it must end with this exit code.
    pub fn tripline(&self, command: &str, more: &[&str], code: i32) -> String {
        let mut process = self.command(command);
        process.arg("--lake").arg(self.path("lake"));
        said(process.args(more), code)
    }

    /// What `setup` prints, which needs no lake.
    pub fn setup(&self, more: &[&str]) -> String {
        said(self.command("setup").args(more), 0)
    }

    /// The tool with the desk's pipeline and variables.
    pub fn command(&self, command: &str) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tripline"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("TRIPLINE_")) {
                process.env_remove(name);
            }
        }
        process.envs(self.variables.iter().map(|(name, value)| (name, value)));
        process.arg(command).arg("--pipeline").arg(self.path("pipeline"));
        process
    }

    /// Runs a file of the desk through the pipeline, and publishes.
    pub fn run(&self, name: &str) {
        self.tripline("run", &["--input", self.path(name).to_str().unwrap()], 0);
    }

    /// Rows of trips and dead letters that a reader sees; the audit is clean.
    pub fn seen(&self) -> (u64, u64) {
        let [trips, dead_letters] = self.rows(["trip", "dead_letter"]);
        (trips, dead_letters)
    }

    /// Rows of these tables that a reader sees; the audit is clean.
    pub fn rows<const N: usize>(&self, tables: [&str; N]) -> [u64; N] {
        let audit: Value = serde_json::from_str(&self.tripline("audit", &["--json"], 0)).unwrap();
        tables.map(|table| audit["tables"][table]["rows"].as_u64().unwrap_or_default())
    }
}

/// The repository's folder.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A desk with the taxi pipeline, whose trips go to this index.
pub fn taxi(index: &str) -> Desk {
    let folder = repository().join("pipelines/taxi");
    let text = fs::read_to_string(folder.join("pipeline.toml")).unwrap();
    let own = text
        .replace("index = \"trips-{pickup_datetime|yyyy}\"", &format!("index = \"{index}\""))
        .replace("allow = [\"trips-20*\"]", "");
    assert_ne!(own, text);
    let desk = Desk::new(&own);
    let zones = fs::read_to_string(folder.join("taxi_zone_lookup.csv")).unwrap();
    desk.write("pipeline/taxi_zone_lookup.csv", &zones);
    desk
}

/// What a process prints on both of its outputs.
pub fn said(process: &mut Command, code: i32) -> String {
    let output = process.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    String::from_utf8(output.stdout).unwrap() + &said
}
