//! Structured logs: one JSON object a line, to standard output, where Lambda collects them.

use tracing_subscriber::EnvFilter;

/// Starts logging at the level of `TRIPLINE_LOG`, `info` where it is not set. A second call changes
/// nothing.
pub fn start_logs() {
    // The runtime's layer would log every failed invocation a second time.
    let default = "info,lambda_runtime::layers::panic=off";
    let filter = EnvFilter::try_from_env("TRIPLINE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(std::io::stdout)
        .try_init();
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started before");
    }
}
