//! Shows how a run goes, beside it.

use std::io::{IsTerminal as _, stderr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Status;
use super::meter::Meter;
use super::render::{View, block, line};

/// Between two pictures on a terminal.
const FRAME: Duration = Duration::from_millis(200);

/// Shows a status until it is dropped. On a thread of its own: the run's may be busy for long.
#[derive(Debug)]
pub(in crate::run) struct Reporter {
    thread: Option<JoinHandle<()>>,
    /// Closed, it ends the thread.
    end: Option<Sender<()>>,
}

impl Reporter {
    /// A block on a terminal; else a line to standard error as often as asked for, never if zero.
    pub(in crate::run) fn start(status: &Status, every: Duration) -> Self {
        let (status, (end, ended)) = (status.clone(), channel());
        let spawn = |show: fn(&Status, Duration, &Receiver<()>), every| {
            thread::Builder::new().name("status".to_owned()).spawn(move || show(&status, every, &ended)).ok()
        };
        let thread = if stderr().is_terminal() {
            spawn(draw, FRAME)
        } else if every.is_zero() {
            None
        } else {
            spawn(write_lines, every)
        };
        Self { thread, end: Some(end) }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was told by itself.
            let _ = thread.join();
        }
    }
}

/// Whether it goes on after this wait.
fn goes_on(ended: &Receiver<()>, wait: Duration) -> bool {
    ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
}

fn draw(status: &Status, every: Duration, ended: &Receiver<()>) {
    let style = ProgressStyle::with_template("{wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let (live, mut meter) = (MultiProgress::new(), Meter::default());
    let mut bars: Vec<ProgressBar> = Vec::new();
    while goes_on(ended, every) {
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
    // What cannot be cleared is no terminal any more.
    let _ = live.clear();
}

fn write_lines(status: &Status, every: Duration, ended: &Receiver<()>) {
    let mut meter = Meter::default();
    while goes_on(ended, every) {
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
            watermark_ms: state.watermark_ms,
            is_publishing: state.is_publishing,
            bytes: state.bytes,
            trouble: state.trouble,
        }
    }
}
