//! `tripline schema`: whether a pipeline's columns fit beside those that are in a lake, before they are deployed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};
use tripline_lake::clock::{Clock as _, SystemClock};
use tripline_lake::identity::{self, IdentityError};
use tripline_lake::schemas;
use tripline_model::pipeline::Pipeline;
use tripline_model::schema::{Change, Definition, Fit, History, Refused, Version, changes};
use tripline_model::time::rfc3339;

use crate::lake::StoreArguments;

/// Arguments of `tripline schema`.
#[derive(Clone, Debug, clap::Args)]
pub struct SchemaArguments {
    /// Folder that holds the pipeline file.
    #[arg(long, value_name = "DIR", env = "TRIPLINE_PIPELINE")]
    pipeline: PathBuf,
    /// The lake that its rows are to go into: a folder, file:///folder or s3://bucket/prefix.
    #[arg(long, value_name = "URL", env = "TRIPLINE_LAKE", required_unless_present = "against")]
    lake: Option<String>,
    /// In place of a lake, the folder of the pipeline as it was.
    #[arg(long, value_name = "DIR", conflicts_with = "lake")]
    against: Option<PathBuf>,
    #[command(flatten)]
    stores: StoreArguments,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What a pipeline's columns are beside those that are known.
struct Judged {
    definition: Definition,
    history: History,
    /// What differs from the newest of the versions before it.
    changes: Vec<Change>,
    verdict: Result<Fit, Refused>,
}

/// Says whether the columns fit. Exit code 1: they do not. Nothing is written.
///
/// # Errors
/// When the pipeline, or what it is compared with, cannot be read.
pub async fn run(arguments: &SchemaArguments) -> anyhow::Result<ExitCode> {
    let pipeline = load(&arguments.pipeline)?;
    let history = match (&arguments.against, &arguments.lake) {
        (Some(older), _) => alone(Definition::of(&load(older)?)),
        (None, Some(lake)) => {
            let store = arguments.stores.open(lake).await?;
            match identity::expect(&*store, &pipeline.id).await {
                // The first batch makes it.
                Ok(()) | Err(IdentityError::NoLake { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            schemas::history(&*store).await?
        }
        (None, None) => History::default(),
    };
    let judged = judge(Definition::of(&pipeline), history);
    if arguments.json {
        println!("{:#}", judged.json());
    } else {
        print!("{}", judged.text());
    }
    Ok(if judged.verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn load(folder: &Path) -> anyhow::Result<Pipeline> {
    Pipeline::load(folder).with_context(|| format!("the pipeline in {} cannot be used", folder.display()))
}

/// A history of one version.
fn alone(definition: Definition) -> History {
    History { versions: vec![Version { seen_at_ms: SystemClock.now_ms(), definition }] }
}

fn judge(definition: Definition, history: History) -> Judged {
    let mut newest_first = history.versions.iter().rev().map(|version| &version.definition);
    let before = newest_first.find(|known| known.version < definition.version);
    let changes = before.map(|before| changes(before, &definition)).unwrap_or_default();
    let verdict = history.check(&definition);
    Judged { definition, history, changes, verdict }
}

impl Judged {
    fn text(&self) -> String {
        let mut out = String::new();
        let mut before: Option<&Definition> = None;
        for known in &self.history.versions {
            let (version, seen) = (known.definition.version, rfc3339(known.seen_at_ms));
            let _ = writeln!(out, "version {version}, seen first at {seen}");
            match before {
                Some(before) => list(&mut out, &changes(before, &known.definition)),
                None => {
                    let tables: Vec<&str> = known.definition.tables.keys().map(String::as_str).collect();
                    let _ = writeln!(out, "  tables {}", tables.join(", "));
                }
            }
            before = Some(&known.definition);
        }
        let version = self.definition.version;
        match &self.verdict {
            Ok(Fit::Known) => {
                let _ = writeln!(out, "the pipeline has version {version}, which is known");
            }
            Ok(Fit::New) => {
                let _ = writeln!(out, "the pipeline has version {version}, which is new and fits");
                list(&mut out, &self.changes);
            }
            Err(refused) => {
                let _ = writeln!(out, "the pipeline has version {version}, which is REFUSED");
                for reason in reasons(refused) {
                    let _ = writeln!(out, "  {reason}");
                }
            }
        }
        out
    }

    fn json(&self) -> Value {
        let (verdict, reasons) = match &self.verdict {
            Ok(Fit::Known) => ("known", Vec::new()),
            Ok(Fit::New) => ("fits", Vec::new()),
            Err(refused) => ("refused", reasons(refused)),
        };
        let changes: Vec<String> = self.changes.iter().map(Change::to_string).collect();
        json!({
            "version": self.definition.version,
            "verdict": verdict,
            "changes": changes,
            "reasons": reasons,
            "known": self.history.versions,
        })
    }
}

/// Everything that stands against a version, a line each.
fn reasons(refused: &Refused) -> Vec<String> {
    match refused {
        Refused::Redefined { changes, .. } => {
            let told =
                changes.iter().map(|change| format!("{change}, under the same schema_version: raise it"));
            told.collect()
        }
        Refused::Incompatible { conflicts, .. } => conflicts.iter().map(ToString::to_string).collect(),
    }
}

fn list(out: &mut String, changes: &[Change]) {
    for change in changes {
        let _ = writeln!(out, "  {change}");
    }
}
