//! The program's own log lines. Never a function's: those are in `drive::function_logs`.
use std::io::IsTerminal as _;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

/// Why there are no log lines.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("`{filter}` is no log filter: give a level, or `target=level,…`")]
    Filter { filter: String, source: tracing_subscriber::filter::ParseError },
    #[error("log lines go elsewhere already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Lines to stderr, from now on. `filter` is what `RUST_LOG` takes: `info`, `warn,server=debug`.
///
/// # Errors
/// The filter, or a second call.
pub fn start(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let levels = EnvFilter::try_new(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.into(), source })?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(levels);
    match format {
        LogFormat::Human => {
            let is_terminal = std::io::stderr().is_terminal();
            registry.with(lines.with_ansi(is_terminal)).try_init()
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }
    .map_err(TelemetryError::Twice)
}

/// An error with all its sources, as one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let words = source.to_string();
        // A transparent error says its source's words already.
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = source.source();
    }
    text
}
