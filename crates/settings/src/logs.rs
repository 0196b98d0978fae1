//! Logs: what of them is wanted, and a function's own.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What `TRIPLINE_LOG` lets through, as in `info,tripline_lake=debug`: a level, and levels by target. Where it is
/// not set or cannot be read, `default`.
#[must_use]
pub fn log_filter(default: &str) -> Targets {
    let wanted = std::env::var("TRIPLINE_LOG").ok().filter(|text| !text.trim().is_empty());
    let filter = wanted.and_then(|text| text.parse().ok()).or_else(|| default.parse().ok());
    filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}

/// Starts logging at the level of `TRIPLINE_LOG`, `info` where it is not set: one JSON object a line, to standard
/// output, where Lambda collects them. A second call changes nothing.
pub fn start_logs() {
    // The runtime's layer would log every failed invocation a second time.
    let filter = log_filter("info,lambda_runtime::layers::panic=off");
    let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    let started =
        tracing_subscriber::registry().with(lines.with_writer(std::io::stdout)).with(filter).try_init();
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started before");
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_is_a_level_and_levels_by_target() {
        let filter = log_filter("info,tripline_lake=debug,lambda_runtime::layers::panic=off");
        assert!(filter.would_enable("tripline_lake::journal", &Level::DEBUG));
        assert!(!filter.would_enable("tripline_search", &Level::DEBUG));
        assert!(filter.would_enable("tripline_search", &Level::INFO));
        assert!(!filter.would_enable("lambda_runtime::layers::panic", &Level::ERROR));
    }
}
