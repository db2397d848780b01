//! All figures, in a registry of our own. Each struct belongs to the part that counts; what is many is
//! read from the statuses at the scrape. Names: `millstream_<noun>_<unit>[_total]`.
use prometheus::{Encoder as _, Registry, TextEncoder};

/// The registry and what has no better owner.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    #[must_use]
    pub fn new() -> Self {
        Self { registry: Registry::new() }
    }

    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Prometheus text, and its content type.
    #[must_use]
    pub fn render(&self) -> (String, &'static str) {
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        if let Err(error) = encoder.encode(&self.registry.gather(), &mut text) {
            tracing::error!(error = &error as &dyn std::error::Error, "metrics do not encode");
        }
        (String::from_utf8_lossy(&text).into_owned(), prometheus::TEXT_FORMAT)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
