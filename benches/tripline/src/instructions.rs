//! Instructions of each stage, counted by callgrind: the same on a busy machine as on a quiet one, so that CI can
//! hold them to a baseline.
//!
//! Every stage runs in a process of its own, once and three times; half the difference is a run. What a process does
//! before is thereby left out, and no symbols are needed. Code is chosen by the processor's features at run time in
//! base64 and memchr: valgrind shows AVX2 and no more.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::stages::{STAGES, Size, Stage};

/// Small, so that valgrind is done in a minute; large enough that a record's cost is what counts.
pub const SIZE: Size = Size { records: 400, small: 400, entries: 4 };

/// How much more a stage may come to.
const TOLERANCE: f64 = 0.05;

/// Runs a stage `times` times: what callgrind looks at.
///
/// # Errors
/// When there is no such stage, or it fails.
pub fn run(name: &str, times: usize) -> anyhow::Result<()> {
    let stage = STAGES.iter().find(|stage| stage.name == name);
    let mut prepared = (stage.with_context(|| format!("there is no stage {name}"))?.prepare)(SIZE)?;
    for _ in 0..times {
        if let Some(before) = &mut prepared.before {
            before()?;
        }
        (prepared.run)()?;
    }
    Ok(())
}

/// Counts all stages.
///
/// # Errors
/// When valgrind is not there, or a stage fails.
pub fn count() -> anyhow::Result<BTreeMap<String, u64>> {
    let once = |stage: &Stage| {
        let (one, three) = (valgrind(stage.name, 1)?, valgrind(stage.name, 3)?);
        Ok((stage.name.to_owned(), three.saturating_sub(one) / 2))
    };
    STAGES.iter().map(once).collect()
}

fn valgrind(stage: &str, times: usize) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args(["instructions", stage, &times.to_string()])
        .output()
        .context("cannot run valgrind: install it (Debian: `apt-get install valgrind`)")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "stage {stage} failed under valgrind:\n{text}");
    let collected = text.lines().find_map(|line| line.split_once("Collected :"));
    let (_, count) = collected.with_context(|| format!("valgrind has not counted:\n{text}"))?;
    Ok(count.trim().parse()?)
}

/// Compares counts with a baseline file; prints both.
///
/// # Errors
/// When a stage has become dearer by more than the tolerance, or is not in the baseline.
pub fn check(counts: &BTreeMap<String, u64>, baseline: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(baseline)
        .with_context(|| format!("cannot read {}: make it with `make bench-baseline`", baseline.display()))?;
    let known: BTreeMap<String, u64> = serde_json::from_str(&text)?;
    let mut dearer = Vec::new();
    for (stage, &count) in counts {
        let before = known.get(stage).copied().with_context(|| format!("{stage} is not in the baseline"))?;
        let change = count as f64 / before as f64 - 1.0;
        println!("{stage:>14} {count:>12} instructions, {:+.1} %", 100.0 * change);
        if change > TOLERANCE {
            dearer.push(stage.as_str());
        }
    }
    if !dearer.is_empty() {
        bail!(
            "more than {:.0} % dearer than {}: {}; if that is meant, say so with `make bench-baseline`",
            100.0 * TOLERANCE,
            baseline.display(),
            dearer.join(", ")
        );
    }
    Ok(())
}

/// Writes counts as the baseline.
///
/// # Errors
/// When the file cannot be written.
pub fn write(counts: &BTreeMap<String, u64>, baseline: &Path) -> anyhow::Result<()> {
    fs::write(baseline, serde_json::to_string_pretty(counts)? + "\n")
        .with_context(|| format!("cannot write {}", baseline.display()))
}
