//! `tripline inspect`: what one object of a lake is and holds, or where it is damaged.

mod text;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use serde_json::json;
use tripline_lake::inspect::{inspect, rows};

use crate::lake::StoreArguments;

/// Arguments of `tripline inspect`.
#[derive(Clone, Debug, clap::Args)]
pub struct InspectArguments {
    /// A journal entry, a published file, a checkpoint, an identity, a history of schemas or a redrive: a file,
    /// s3://bucket/key, or with --lake a key of that lake.
    #[arg(value_name = "FILE|URL|KEY")]
    object: String,
    /// The lake that keys are of: a folder, file:///folder or s3://bucket/prefix.
    #[arg(long, value_name = "URL", env = "TRIPLINE_LAKE")]
    lake: Option<String>,
    #[command(flatten)]
    stores: StoreArguments,
    /// Print so many rows, of each table, as JSON lines, and nothing else.
    #[arg(long, value_name = "N", conflicts_with = "json")]
    rows: Option<usize>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Says what an object holds. Exit code 1: it is damaged, or nothing of a lake's.
///
/// # Errors
/// When the object cannot be fetched.
pub async fn run(arguments: &InspectArguments) -> anyhow::Result<ExitCode> {
    let name = &arguments.object;
    let bytes = arguments.fetch().await?;
    let told = match arguments.rows {
        Some(limit) => rows(&bytes, limit),
        None => inspect(&bytes).map(|inspected| {
            if arguments.json {
                let found = json!({ "object": name, "bytes": bytes.len(), "inspected": inspected });
                format!("{found:#}\n").into_bytes()
            } else {
                text::of(name, bytes.len() as u64, &inspected).into_bytes()
            }
        }),
    };
    match told {
        Ok(told) => {
            std::io::stdout().lock().write_all(&told)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            if arguments.json {
                println!("{:#}", json!({ "object": name, "bytes": bytes.len(), "fault": error.to_string() }));
            } else {
                println!("{name}: {error}");
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

impl InspectArguments {
    async fn fetch(&self) -> anyhow::Result<Bytes> {
        let name = &self.object;
        if let Some(rest) = name.strip_prefix("s3://") {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            ensure!(!bucket.is_empty() && !key.is_empty(), "'{name}' names no object: give s3://bucket/key");
            return self.get(&format!("s3://{bucket}"), key).await;
        }
        if Path::new(name).is_file() {
            let read = std::fs::read(name).with_context(|| format!("{name} cannot be read"))?;
            return Ok(read.into());
        }
        match &self.lake {
            Some(lake) => self.get(lake, name).await,
            None => Err(anyhow!(
                "there is no file {name}: give a file, s3://bucket/key, or --lake with one of its keys"
            )),
        }
    }

    async fn get(&self, root: &str, key: &str) -> anyhow::Result<Bytes> {
        let store = self.stores.open(root).await?;
        let found = store.get(key).await?;
        let missing = || anyhow!("there is no object {key} at {}", store.location());
        found.map(|object| object.body).ok_or_else(missing)
    }
}
