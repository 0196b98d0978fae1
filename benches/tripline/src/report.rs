//! What was measured, as a table and as JSON.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{fs, thread};

use anyhow::Context as _;
use serde::Serialize;

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it is of.
    pub name: String,
    /// The median.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The least and the most of all rounds.
    pub range: Option<(f64, f64)>,
    /// What it may be at most.
    pub goal: Option<f64>,
    /// How many times as much the naive function costs, in the same rounds.
    pub naive: Option<f64>,
}

impl Figure {
    /// The median of these.
    #[must_use]
    pub fn of(name: impl Into<String>, unit: &'static str, mut values: Vec<f64>, goal: Option<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let value = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
        let range = values.first().copied().zip(values.last().copied()).filter(|_| values.len() > 1);
        Self { name: name.into(), value, unit, range, goal, naive: None }
    }
}

/// All figures of a run, and what they were measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    machine: String,
    compiler: String,
    commit: String,
    /// The figures.
    pub figures: Vec<Figure>,
}

impl Report {
    /// An empty report of this machine.
    #[must_use]
    pub fn here() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cores = thread::available_parallelism().map_or(0, usize::from);
        Self {
            machine: format!("{}, {cores} cores", model.map_or("unknown", |(_, model)| model)),
            compiler: told_by("rustc", &["--version"]),
            commit: told_by("git", &["describe", "--always", "--dirty"]),
            figures: Vec::new(),
        }
    }

    /// The report as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let Self { machine, compiler, commit, figures } = self;
        let mut text = format!("{machine}; {compiler}; {commit}\n\n");
        text.push_str("| what | median | range | goal | | naive costs |\n|---|---:|---:|---:|---|---:|\n");
        for Figure { name, value, unit, range, goal, naive } in figures {
            let number =
                |value: f64| if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
            let range = range.map(|(least, most)| format!("{}–{}", number(least), number(most)));
            let met = goal.map(|goal| if *value <= goal { "met" } else { "missed" });
            let _ = writeln!(
                text,
                "| {name} | {} {unit} | {} | {} | {} | {} |",
                number(*value),
                range.unwrap_or_default(),
                goal.map(|goal| format!("≤ {goal}")).unwrap_or_default(),
                met.unwrap_or_default(),
                naive.map(|times| format!("{times:.1} x")).unwrap_or_default(),
            );
        }
        text
    }

    /// Writes `report.md` and `report.json` to a folder.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(folder.join("report.md"), self.table())?;
        Ok(fs::write(folder.join("report.json"), serde_json::to_vec_pretty(self)?)?)
    }
}

fn told_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| format!("{program} unknown"))
}
