//! `tripline audit`: each record once, proved from what lies in the lake.

use std::process::ExitCode;

use tripline_lake::audit::{Audit, audit};
use tripline_model::batch::DEAD_LETTER_TABLE;

use crate::lake::LakeArguments;
use crate::text::grouped;

/// Arguments of `tripline audit`.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditArguments {
    #[command(flatten)]
    lake: LakeArguments,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Audits a lake and prints what it finds. Exit code 0: proved; 1: something is wrong.
///
/// # Errors
/// When the lake cannot be read.
pub async fn run(arguments: &AuditArguments) -> anyhow::Result<ExitCode> {
    let (pipeline, store) = arguments.lake.open().await?;
    let audit = audit(&*store, &pipeline.id, &|table| pipeline.schema(table)).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&audit))?);
    } else {
        print(&audit);
    }
    Ok(if audit.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn dead_letters(audited: &tripline_lake::audit::AuditedLane) -> u64 {
    audited.totals.tables.get(DEAD_LETTER_TABLE).map_or(0, |table| table.rows)
}

/// Prints an audit for people.
pub fn print(audit: &Audit) {
    for audited in &audit.lanes {
        let totals = &audited.totals;
        let dead = dead_letters(audited);
        println!("{}", audited.lane);
        println!(
            "  {} records = {} rows + {dead} dead letters + {} watermarks + {} ignored; {} duplicates dropped beside them",
            grouped(totals.records),
            grouped(totals.rows() - dead),
            grouped(totals.watermarks),
            grouped(totals.ignored),
            grouped(totals.duplicates),
            dead = grouped(dead),
        );
        println!(
            "  {} journal entries published, {} waiting; last position {}",
            audited.published_entries, audited.waiting_entries, audited.last
        );
    }
    for (name, table) in &audit.tables {
        println!(
            "table {name}: {} rows in {} files where {} were committed",
            grouped(table.found.rows),
            grouped(table.files),
            grouped(table.expected.rows)
        );
    }
    if audit.marks > 0 {
        println!("{} partitions are complete and say so", grouped(audit.marks));
    }
    if audit.pending > 0 {
        println!(
            "{} files are committed and not visible yet; the next publish completes them",
            audit.pending
        );
    }
    for key in &audit.foreign {
        println!("not published by this pipeline: {key}");
    }
    for fault in &audit.faults {
        println!("FAULT {fault}");
    }
    if audit.is_clean() {
        println!("audit: every committed record is there exactly once");
    } else {
        println!("audit: {} faults", audit.faults.len());
    }
}

fn as_json(audit: &Audit) -> serde_json::Value {
    let lanes: Vec<_> = audit
        .lanes
        .iter()
        .map(|audited| {
            serde_json::json!({
                "lane": audited.lane, "totals": audited.totals, "deadLetters": dead_letters(audited),
                "publishedEntries": audited.published_entries, "waitingEntries": audited.waiting_entries,
                "last": audited.last,
            })
        })
        .collect();
    let tables: serde_json::Map<_, _> = audit
        .tables
        .iter()
        .map(|(name, table)| {
            let value = serde_json::json!({
                "files": table.files, "bytes": table.bytes, "rows": table.found.rows,
                "committedRows": table.expected.rows,
            });
            (name.clone(), value)
        })
        .collect();
    serde_json::json!({
        "clean": audit.is_clean(), "lanes": lanes, "tables": tables, "pendingFiles": audit.pending,
        "completePartitions": audit.marks,
        "foreign": audit.foreign, "faults": audit.faults,
    })
}
