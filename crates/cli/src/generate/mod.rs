//! `tripline generate`: made-up events, the same for the same seed, for as long as they are wanted.

mod chance;
mod maker;
mod plan;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use tripline_lake::clock::{Clock, SystemClock};
use tripline_model::pipeline::Pipeline;
use tripline_model::time;

use maker::Maker;

/// Arguments of `tripline generate`.
#[derive(Clone, Debug, clap::Args)]
pub struct GenerateArguments {
    /// Folder of the pipeline file; `generate.toml` in it says what to make up.
    #[arg(long, value_name = "FOLDER", env = "TRIPLINE_PIPELINE")]
    pipeline: PathBuf,
    /// File to write events into, one a line; - is standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Stop after so many events. Without it, they come until the tool is stopped.
    #[arg(long, value_name = "EVENTS")]
    limit: Option<u64>,
    /// Events a second; 0 is as fast as possible.
    #[arg(long, value_name = "EVENTS", default_value_t = 0.0, value_parser = rate)]
    rate: f64,
    /// The same seed, --start and --step give the same events.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Time of the first event, as in 2026-01-01T00:00:00Z; now if not given.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    start: Option<i64>,
    /// Milliseconds of event time between two events; without it, those that --rate makes of it, or 100.
    #[arg(long, value_name = "MILLISECONDS")]
    step: Option<f64>,
    /// Events of a type that later ones may refer to.
    #[arg(long, value_name = "EVENTS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    history: u32,
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate >= 0.0)
        .ok_or_else(|| "0 or more".to_owned())
}

fn instant(text: &str) -> Result<i64, String> {
    time::parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// Between two events, in milliseconds, where nothing says it.
const STEP_MS: f64 = 100.0;

/// Writes events until there are enough, or nobody reads them any more.
///
/// # Errors
/// When the pipeline or its plan is wrong, or the output cannot be written.
pub fn run(arguments: &GenerateArguments) -> anyhow::Result<ExitCode> {
    let pipeline = Pipeline::load(&arguments.pipeline)?;
    let plans = plan::load(&arguments.pipeline)?;
    for plan in &plans {
        pipeline.event_of_type(&plan.name).with_context(|| {
            format!("generate.toml makes up events of type `{}`, which the pipeline does not know", plan.name)
        })?;
    }
    let start_ms = arguments.start.unwrap_or_else(|| SystemClock.now_ms());
    let of_rate = if arguments.rate > 0.0 { 1_000.0 / arguments.rate } else { STEP_MS };
    let step_ms = arguments.step.unwrap_or(of_rate);
    let history = usize::try_from(arguments.history).unwrap_or(usize::MAX);
    let mut maker = Maker::new(&pipeline.type_field, plans, arguments.seed, history);
    let output: Box<dyn Write> = if arguments.output.as_os_str() == "-" {
        Box::new(io::stdout().lock())
    } else {
        let place = || format!("cannot write {}", arguments.output.display());
        Box::new(File::create(&arguments.output).with_context(place)?)
    };
    let mut output = BufWriter::with_capacity(1 << 16, output);
    let began = Instant::now();
    for number in 0..arguments.limit.unwrap_or(u64::MAX) {
        if arguments.rate > 0.0 {
            let due = Duration::from_secs_f64(number as f64 / arguments.rate);
            let left = due.saturating_sub(began.elapsed());
            if !left.is_zero() {
                output.flush()?;
                std::thread::sleep(left);
            }
        }
        // Whole milliseconds, cut.
        let now_ms = start_ms.saturating_add((number as f64 * step_ms) as i64);
        let event = maker.make(now_ms);
        let written = serde_json::to_writer(&mut output, &event).map_err(io::Error::from);
        match written.and_then(|()| output.write_all(b"\n")) {
            // Who reads has had enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            written => written.with_context(|| format!("cannot write {}", arguments.output.display()))?,
        }
    }
    match output.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
