//! What was killed, and what came of it.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::watcher::Seen;
use crate::worker::{End, Role, Worker};

const START_UP: &str = "its start";

/// Counts kills by the last step that the process had reached.
pub(crate) struct Report {
    seed: u64,
    began: Instant,
    kills: BTreeMap<(&'static str, String), u64>,
    finished: u64,
    duplicates: u64,
    missing: u64,
}

impl Report {
    pub(crate) fn new(seed: u64) -> Self {
        let (began, kills) = (Instant::now(), BTreeMap::new());
        Self { seed, began, kills, finished: 0, duplicates: 0, missing: 0 }
    }

    pub(crate) fn add(&mut self, worker: &Worker, end: &End) {
        let said = worker.said();
        let numbers = said.lines().filter_map(|line| line.split_once(" duplicates=")?.1.split(' ').next());
        self.duplicates += numbers.map(|number| number.parse::<u64>().unwrap_or_default()).sum::<u64>();
        self.missing += said.matches("a committed file is not there").count() as u64;
        match end {
            End::Finished => self.finished += 1,
            End::Killed { after } => {
                let role = if worker.role() == Role::Ingester { "run" } else { "publish" };
                let after = after.clone().unwrap_or_else(|| START_UP.to_owned());
                *self.kills.entry((role, after)).or_default() += 1;
            }
        }
    }

    /// Kills that hit a process that had not finished.
    pub(crate) fn kills(&self) -> u64 {
        self.kills.values().sum()
    }

    /// Those of them that hit a process after its first step.
    pub(crate) fn kills_at_work(&self) -> u64 {
        self.kills.iter().filter(|((_, after), _)| after != START_UP).map(|(_, count)| count).sum()
    }

    pub(crate) fn print(&self, audit: &Value, seen: &Seen) {
        let seconds = self.began.elapsed().as_secs_f64();
        let (kills, at_work) = (self.kills(), self.kills_at_work());
        println!("seed {}: {kills} kills in {seconds:.1} s, {at_work} of them past the start-up", self.seed);
        println!("{:>6} processes came to their end in between", self.finished);
        for ((role, after), count) in &self.kills {
            println!("{count:>6} killed: {role}, after {after}");
        }
        let sum = |name: &str| {
            let lanes = audit["lanes"].as_array().into_iter().flatten();
            lanes.filter_map(|lane| lane[name].as_u64()).sum::<u64>()
        };
        println!("{:>6} entries of the journal", sum("publishedEntries"));
        println!("{:>6} records delivered again and dropped", self.duplicates);
        println!("{:>6} committed files found missing, and built again", self.missing);
        println!(
            "{:>6} rows in {} files, each trip once; {} looks in between",
            seen.rows, seen.files, seen.looks
        );
    }
}
