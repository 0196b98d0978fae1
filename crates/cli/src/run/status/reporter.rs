//! Shows how a run goes, beside it.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::Status;
use super::meter::Meter;
use super::render::{View, block, line};

/// Between two pictures on a terminal.
const FRAME: Duration = Duration::from_millis(200);

/// Shows a status until it is dropped.
#[derive(Debug)]
pub(in crate::run) struct Reporter {
    task: Option<JoinHandle<()>>,
    live: MultiProgress,
}

impl Reporter {
    /// A block on a terminal; else a line to standard error as often as asked for, never if zero.
    pub(in crate::run) fn start(status: &Status, every: Duration) -> Self {
        let (status, live) = (status.clone(), MultiProgress::new());
        let task = if stderr().is_terminal() {
            Some(tokio::spawn(draw(status, live.clone())))
        } else if every.is_zero() {
            None
        } else {
            Some(tokio::spawn(write_lines(status, every)))
        };
        Self { task, live }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        // What cannot be cleared is no terminal any more.
        let _ = self.live.clear();
    }
}

async fn draw(status: Status, live: MultiProgress) {
    let style = ProgressStyle::with_template("{wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let (mut meter, mut bars): (Meter, Vec<ProgressBar>) = (Meter::default(), Vec::new());
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        frames.tick().await;
        let lines = block(&status.view(&mut meter));
        while bars.len() > lines.len() {
            if let Some(bar) = bars.pop() {
                live.remove(&bar);
            }
        }
        while bars.len() < lines.len() {
            bars.push(live.add(ProgressBar::new_spinner().with_style(style.clone())));
        }
        for (bar, text) in bars.iter().zip(lines) {
            bar.set_message(text);
            bar.tick();
        }
    }
}

async fn write_lines(status: Status, every: Duration) {
    let mut meter = Meter::default();
    loop {
        tokio::time::sleep(every).await;
        eprintln!("{}", line(&status.view(&mut meter)));
    }
}

impl Status {
    fn view(&self, meter: &mut Meter) -> View {
        let state = self.state().clone();
        let elapsed = state.began.elapsed();
        View {
            elapsed,
            parts: state.parts.into_iter().collect(),
            totals: state.totals,
            rates: meter.rates(elapsed, state.totals),
            given_up: state.given_up,
            newest_ms: state.newest_ms,
            published: state.published.map(|(at, files)| (at.elapsed(), files)),
            is_publishing: state.is_publishing,
            bytes: state.bytes,
            trouble: state.trouble,
        }
    }
}
