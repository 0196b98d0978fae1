//! The naive function as one of the contestants of a comparison.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use serde_json::json;
use tripline_benches::naive::Naive;

/// Kinesis events into Parquet and bulk bodies, as a function is written with the crates that come to hand first.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder of events, one a file (`*.json`).
    #[arg(long = "in")]
    events: PathBuf,
    /// Where the folders of partitions go.
    #[arg(long)]
    out: PathBuf,
    /// Compresses bulk bodies.
    #[arg(long)]
    gzip: bool,
}

fn main() -> anyhow::Result<()> {
    let Arguments { events, out, gzip } = Arguments::parse();
    let naive = Naive::new(gzip)?;
    let (mut count, mut bytes) = (0, 0);
    for path in tripline_benches::input::event_files(&events)? {
        let event = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let body = naive.handle(&event, |folder, file| {
            let folder = out.join(folder);
            std::fs::create_dir_all(&folder)?;
            Ok(std::fs::write(folder.join(format!("{count:05}.parquet")), file)?)
        });
        bytes += body.with_context(|| path.display().to_string())?.len();
        count += 1;
    }
    println!("{}", json!({ "events": count, "bulk_bytes": bytes }));
    Ok(())
}
