//! Tripline as one of the contestants of a comparison: files of Kinesis events in, Parquet out, by the real
//! functions. Documents are built, and taken by a cluster in this process.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use serde_json::json;
use tripline_benches::{cpu, input::event_files, world::World, world::pipeline};
use tripline_lake::store::{FolderStore, MemoryStore, ObjectStore};

/// Kinesis events into Parquet and bulk bodies, by Tripline's functions.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder of events, one a file (`*.json`); they are taken in the order of their names.
    #[arg(long = "in")]
    events: Option<PathBuf>,
    /// Where files go: with `both`, folders of partitions; else it is the lake.
    #[arg(long)]
    out: PathBuf,
    /// Compresses bulk bodies.
    #[arg(long)]
    gzip: bool,
    /// With `both` the journal is in memory, in the place of the object store.
    #[arg(long, value_enum, default_value = "both")]
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Stage {
    Ingest,
    Publish,
    Both,
}

// As the functions run.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Arguments { events, out, gzip, stage } = Arguments::parse();
    let store: Arc<dyn ObjectStore> = match stage {
        Stage::Both => Arc::new(MemoryStore::default()),
        Stage::Ingest | Stage::Publish => Arc::new(FolderStore::new(&out)?),
    };
    let world = World::over(pipeline()?, store, gzip).await?;
    let (mut count, mut records) = (0, 0);
    let began = cpu::of_thread();
    if stage != Stage::Publish {
        for path in event_files(&events.context("--in says where the events are")?)? {
            let event = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            records += world.ingest(&event).await.with_context(|| path.display().to_string())?;
            count += 1;
        }
    }
    let between = cpu::of_thread();
    if stage != Stage::Ingest {
        let report = world.publish().await?;
        if stage == Stage::Both {
            world.write_out(&report, &out).await?;
        } else {
            records = report.files.iter().map(|file| file.rows).sum();
        }
    }
    let ended = cpu::of_thread();
    let (requests, bytes) = world.cluster.taken();
    let seconds =
        json!({ "ingest": (between - began).as_secs_f64(), "publish": (ended - between).as_secs_f64() });
    let told = json!({
        "events": count, "records": records, "cpu_s": seconds, "bulk_requests": requests, "bulk_bytes": bytes,
    });
    println!("{told}");
    Ok(())
}
