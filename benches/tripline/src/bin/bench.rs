//! `make bench`, `make bench-check` and `make bench-baseline`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tripline_benches::input::{
    FULL_EVENT_RECORDS, Trips, aggregated_event, kinesis_event, msk_event, small_records,
};
use tripline_benches::report::{Figure, Report};
use tripline_benches::stages::{Prepared, STAGES, Size};
use tripline_benches::whole::{Bed, cost, invoke};
use tripline_benches::{cpu, instructions};

/// What Tripline costs, stage by stage and as a whole.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measures times, memory and sizes; prints a table.
    Run {
        /// Rounds in which all stages take their turns.
        #[arg(long, default_value_t = 9)]
        rounds: usize,
        /// Only stages whose names hold this, and no processes.
        #[arg(long)]
        only: Option<String>,
        /// Events that a warm function is handed.
        #[arg(long, default_value_t = 100)]
        events: usize,
        /// Folder of the functions' binaries; without it, this program's.
        #[arg(long)]
        binaries: Option<PathBuf>,
        /// Memory disk for lakes.
        #[arg(long, default_value = "/dev/shm")]
        scratch: PathBuf,
        /// Where report.md and report.json go.
        #[arg(long)]
        report: Option<PathBuf>,
    },
    /// Counts the instructions of each stage and compares them with a baseline.
    Check {
        /// The baseline.
        #[arg(long)]
        baseline: PathBuf,
        /// Writes it in place of comparing.
        #[arg(long)]
        write: bool,
    },
    /// Runs one stage: what valgrind looks at.
    #[command(hide = true)]
    Instructions { stage: String, times: usize },
}

/// A full event, and a publisher's hour at one a minute.
const SIZE: Size = Size { records: FULL_EVENT_RECORDS, small: 10_000, entries: 60 };

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Instructions { stage, times } => instructions::run(&stage, times),
        Task::Check { baseline, write } => {
            let counts = instructions::count()?;
            if write {
                instructions::write(&counts, &baseline)
            } else {
                instructions::check(&counts, &baseline)
            }
        }
        Task::Run { rounds, only, events, binaries, scratch, report } => {
            let mut measured = Report::here();
            stages(&mut measured, rounds, only.as_deref())?;
            if only.is_none() {
                let own = || Some(env::current_exe().ok()?.parent()?.to_owned());
                let binaries = binaries.or_else(own).context("there is no folder of binaries")?;
                let scratch = scratch.join(format!("tripline-bench-{}", std::process::id()));
                let done = processes(&mut measured, &binaries, &scratch, events);
                fs::remove_dir_all(&scratch)?;
                done?;
            }
            println!("{}", measured.table());
            report.map_or(Ok(()), |folder| measured.write(&folder))
        }
    }
}

/// All stages, in turns, so that what else the machine does meets them all alike.
fn stages(report: &mut Report, rounds: usize, only: Option<&str>) -> anyhow::Result<()> {
    let wanted = STAGES.iter().filter(|stage| only.is_none_or(|only| stage.name.contains(only)));
    let mut ready = Vec::new();
    for stage in wanted {
        let mut prepared = (stage.prepare)(SIZE).with_context(|| stage.name)?;
        timed(&mut prepared).with_context(|| stage.name)?;
        ready.push((stage, prepared, Vec::new()));
    }
    for _ in 0..rounds {
        for (_, prepared, times) in &mut ready {
            times.push(timed(prepared)?);
        }
    }
    let mut figures: Vec<Figure> = ready
        .into_iter()
        .map(|(stage, _, times)| Figure::of(stage.name, "µs/record", times, stage.goal))
        .collect();
    let naive = figures.iter().find(|figure| figure.name == "naive").map(|figure| figure.value);
    let of = |name: &str| figures.iter().find(|figure| figure.name == name).map(|figure| figure.value);
    let sum = of("ingest").zip(of("publish")).map(|(ingest, publish)| ingest + publish);
    figures.extend(sum.map(|sum| Figure {
        naive: naive.map(|naive| naive / sum),
        ..Figure::of("ingest + publish", "µs/record", vec![sum], None)
    }));
    report.figures.extend(figures);
    Ok(())
}

/// Microseconds of processor time a record.
fn timed(prepared: &mut Prepared) -> anyhow::Result<f64> {
    if let Some(before) = &mut prepared.before {
        before()?;
    }
    let began = cpu::of_thread();
    (prepared.run)()?;
    let took = cpu::of_thread().saturating_sub(began);
    Ok(took.as_secs_f64() * 1e6 / prepared.records as f64)
}

fn processes(report: &mut Report, binaries: &Path, scratch: &Path, events: usize) -> anyhow::Result<()> {
    const STARTS: usize = 9;
    fs::create_dir_all(scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let figures = &mut report.figures;
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    let first = kinesis_event(&mut Trips::new(1), 0, SIZE.records);
    for number in 0..STARTS {
        let bed = Bed::new(binaries, &scratch.join(format!("cold-{number}")), true)?;
        let function = bed.start("ingest")?;
        let start = function.start_up().context("ingest does not start")?;
        let took = invoke(&function, &first)?;
        asked.push(ms(start));
        answered.push(ms(start + took));
    }
    figures.push(Figure::of("ingest: start → /next", "ms", asked, Some(20.0)));
    figures.push(Figure::of("ingest: start → first full event answered", "ms", answered, Some(80.0)));

    let full = Events { name: "full event", records: SIZE.records, goals: true, make: full_event };
    let others = [
        Events {
            name: "10,000 small records",
            records: SIZE.small,
            goals: false,
            make: |_, index| small_records(index * SIZE.small, SIZE.small),
        },
        Events {
            name: "aggregated records",
            records: SIZE.records,
            goals: false,
            make: |trips, index| aggregated_event(trips, index * SIZE.records, SIZE.records),
        },
        Events {
            name: "MSK, 8 partitions",
            records: SIZE.records,
            goals: false,
            make: |trips, index| msk_event(trips, index * SIZE.records, SIZE.records, 8),
        },
    ];
    for (number, kind) in others.iter().enumerate() {
        let bed = Bed::new(binaries, &scratch.join(format!("other-{number}")), true)?;
        warm(figures, &bed, kind, events.min(OTHER_EVENTS), "")?;
    }
    warm(
        figures,
        &Bed::new(binaries, &scratch.join("plain"), false)?,
        &full,
        events,
        ", bodies not compressed",
    )?;
    let bed = Bed::new(binaries, &scratch.join("warm"), true)?;
    warm(figures, &bed, &full, events, "")?;

    let function = bed.start("publish")?;
    let wall = invoke(&function, b"{}")?;
    let published = cost(&function)?;
    let records = (events * SIZE.records) as f64;
    let per_record = published.cpu.as_secs_f64() * 1e6 / records;
    let name = format!("publish: {events} entries, process");
    figures.push(Figure::of(name, "µs/record", vec![per_record], None));
    figures.push(Figure::of("publish: wall time of that", "ms", vec![ms(wall)], None));
    figures.push(Figure::of(
        "publish: peak memory",
        "MB",
        vec![megabytes(published.peak_bytes)],
        Some(512.0),
    ));
    drop(function);

    for name in ["ingest", "publish"] {
        let binary = fs::read(binaries.join(name))?;
        let packed = tripline_benches::whole::packed_size(&binary)?;
        figures.push(Figure::of(format!("{name}: binary"), "MB", vec![megabytes(binary.len() as u64)], None));
        figures.push(Figure::of(
            format!("{name}: binary, deflated"),
            "MB",
            vec![megabytes(packed)],
            Some(7.0),
        ));
    }
    let puts = tripline_benches::world::puts_per_batch()?;
    figures.push(Figure::of("PUTs for a full batch, warm", "", vec![puts], Some(1.0)));
    Ok(())
}

/// Events that a warm function is handed one after another.
struct Events {
    name: &'static str,
    /// Records of each.
    records: usize,
    /// There are goals for how long it may take.
    goals: bool,
    /// The one of this number.
    make: fn(&mut Trips, usize) -> Vec<u8>,
}

/// Of each kind for which there is no goal.
const OTHER_EVENTS: usize = 30;

fn full_event(trips: &mut Trips, index: usize) -> Vec<u8> {
    kinesis_event(trips, index * SIZE.records, SIZE.records)
}

/// Events through a warm `ingest`, one after another.
fn warm(figures: &mut Vec<Figure>, bed: &Bed, kind: &Events, events: usize, how: &str) -> anyhow::Result<()> {
    let Events { name, records, goals, make } = *kind;
    let mut trips = Trips::new(1);
    let function = bed.start("ingest")?;
    invoke(&function, &make(&mut trips, 0))?;
    let before = cost(&function)?.cpu;
    let mut walls = Vec::with_capacity(events);
    for index in 1..events {
        walls.push(invoke(&function, &make(&mut trips, index))?);
    }
    let after = cost(&function)?;
    walls.sort();
    let at = |share: f64| walls.get((walls.len() as f64 * share) as usize).copied().map_or(f64::NAN, ms);
    let per_record = (after.cpu.saturating_sub(before)).as_secs_f64() * 1e6 / ((events - 1) * records) as f64;
    let figure = |what: &str, unit, value, most: Option<f64>| {
        Figure::of(format!("ingest, {name}{how}: {what}"), unit, vec![value], most.filter(|_| goals))
    };
    figures.push(figure("p50", "ms", at(0.5), Some(20.0)));
    figures.push(figure("p99", "ms", at(0.99), Some(30.0)));
    figures.push(figure("peak memory", "MB", megabytes(after.peak_bytes), Some(64.0)));
    figures.push(figure("process, HTTP included", "µs/record", per_record, None));
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
