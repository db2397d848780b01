//! What the demo sets up: topics, functions and triggers, as calls of the HTTP API. Never a record.
use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::client::{Body, Client};

/// A trigger with what it stands on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pipeline {
    /// Of the trigger and of its function.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    component: &'static [u8],
    pub(super) source: &'static str,
    pub(super) output: &'static str,
    partitions: u32,
    /// More of the trigger's spec.
    spec: fn() -> Value,
}

/// Orders in, orders with their sums out; what is no order becomes a dead letter.
pub(super) const ENRICH: Pipeline = Pipeline {
    name: "enrich",
    about: "sums up each order and adds the customer's region",
    component: include_bytes!("../../../../../functions/built/enrich.wasm"),
    source: "orders",
    output: "orders.enriched",
    partitions: 4,
    spec: || json!({ "batch": { "records_max": 500 } }),
};

/// Reads what `enrich` puts out, and keeps a history of each customer in its state.
pub(super) const ALERTS: Pipeline = Pipeline {
    name: "alerts",
    about: "raises an alert where orders look like fraud",
    component: include_bytes!("../../../../../functions/built/alerts.wasm"),
    source: "orders.enriched",
    output: "alerts",
    partitions: 4,
    spec: || json!({ "batch": { "records_max": 500 } }),
};

/// One partition, so that lines keep their order. A file may hold nothing that `log-lines` understands:
/// then every line is a dead letter, which is what the person wants to see, and no reason to halt.
pub(super) const LOG_LINES: Pipeline = Pipeline {
    name: "log-lines",
    about: "parses lines of web servers, syslog and others",
    component: include_bytes!("../../../../../functions/built/log-lines.wasm"),
    source: "lines",
    output: "lines.parsed",
    partitions: 1,
    spec: || json!({ "batch": { "records_max": 1_000 }, "halt_on_failure_share": 1.0 }),
};

impl Pipeline {
    /// Where its dead letters go, as the API makes it by default.
    pub(super) fn dead_letters(&self) -> String {
        format!("{}.dead-letters", self.name)
    }

    /// Creates what is not there; what is there from an earlier run stays and goes on.
    pub(super) async fn set_up(&self, client: &mut Client) -> Result<()> {
        for topic in [self.source, self.output] {
            let spec = Body::json(&json!({ "partitions": self.partitions }));
            let put = client.put(&format!("/v1/topics/{topic}"), spec).await;
            put.with_context(|| format!("create topic `{topic}`"))?;
        }
        let path = format!("/v1/functions/{}", self.name);
        let uploaded = client.put(&path, Body::component(self.component)).await;
        uploaded.with_context(|| format!("deploy function `{}`", self.name))?;
        let mut spec = json!({
            "source": self.source, "function": self.name, "output": self.output
        });
        if let (Value::Object(spec), Value::Object(more)) = (&mut spec, (self.spec)()) {
            spec.extend(more);
        }
        let put = client.put(&format!("/v1/triggers/{}", self.name), Body::json(&spec)).await;
        put.with_context(|| format!("create trigger `{}`", self.name))?;
        Ok(())
    }
}
