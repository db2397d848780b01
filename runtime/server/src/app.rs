//! The composition root: builds all parts, and stops them in their order. The only place that knows
//! which log there is.
use crate::{
    catalog::Catalog,
    config::{Config, Limits},
    drive::Supervisor,
    metrics::Metrics,
};
use log_contract::{Blobs, Clock, Documents, Log};
use sandbox::Sandbox;
use std::sync::Arc;

/// All parts of a running program, for whoever serves it.
#[derive(Debug)]
pub struct App {
    pub log: Arc<dyn Log>,
    pub documents: Arc<dyn Documents>,
    pub blobs: Arc<dyn Blobs>,
    pub clock: Arc<dyn Clock>,
    pub sandbox: Arc<Sandbox>,
    pub catalog: Arc<Catalog>,
    pub supervisor: Arc<Supervisor>,
    pub metrics: Arc<Metrics>,
    pub config: Config,
}

impl App {
    /// Opens the log, reads the catalogue, and starts the feeds. Serving is the caller's.
    ///
    /// # Errors
    /// What does not open, and why.
    pub async fn start(config: Config) -> anyhow::Result<Arc<Self>> {
        let _ = config;
        unimplemented!("follows")
    }

    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// The end, after the listener has stopped: drains the feeds within the deadline, then closes the
    /// log. Says whether everything came to rest in time.
    pub async fn stop(&self) -> bool {
        unimplemented!("follows")
    }
}
