//! What an operator does to triggers that work: pauses, new versions, moved aliases.
use anyhow::{Result, ensure};
use millstream_tests::wait;
use serde_json::json;

use super::Disturber;
use crate::pipeline::{TRIGGERS, upload, variant};

const PAUSE_MIN_MS: u64 = 100;
const PAUSE_MAX_MS: u64 = 1_500;

impl Disturber {
    /// While a trigger is paused nothing of it is invoked.
    pub(super) async fn pause(&mut self) -> Result<String> {
        let trigger = self.dice.pick(&TRIGGERS);
        let length = self.dice.millis(PAUSE_MIN_MS, PAUSE_MAX_MS);
        let path = format!("/v1/triggers/{trigger}");
        self.scene.call("POST", &format!("{path}/pause"), Some(&json!({})), &[200]).await?;
        let before = self.invocations(trigger).await?;
        wait::pass(length).await;
        let after = self.invocations(trigger).await?;
        let status = self.scene.status(trigger).await?;
        self.scene.call("POST", &format!("{path}/resume"), Some(&json!({})), &[200]).await?;
        ensure!(before == after, "`{trigger}` is paused, and invoked: {before:?}, {after:?}");
        let (state, busy) = (&status["state"], &status["concurrency"]["busy"]);
        ensure!(*state == "paused" && *busy == 0, "`{trigger}` is paused: {status}");
        Ok(format!("pause of {trigger} for {length:.1?}"))
    }

    /// What /metrics says of a trigger's invocations, outcome by outcome.
    async fn invocations(&self, trigger: &str) -> Result<Vec<String>> {
        let text = self.metrics().await?;
        let label = format!("trigger=\"{trigger}\"");
        let series = text.lines().filter(|line| {
            line.starts_with("millstream_trigger_invocations_total{") && line.contains(&label)
        });
        Ok(series.map(str::to_owned).collect())
    }

    /// A new version: of the function that is named with an alias, and of the one whose newest counts.
    pub(super) async fn redeploy(&mut self) -> Result<String> {
        self.versions += 1;
        let nth = self.versions;
        upload(&self.scene, "identity", variant("identity", nth)).await?;
        let version = upload(&self.scene, "tally", variant("tally", nth)).await?;
        self.point_at(version).await?;
        Ok(format!("tally@live is version {version}, and a new identity"))
    }

    pub(super) async fn move_alias(&mut self) -> Result<String> {
        let newest = self.scene.call("GET", "/v1/functions/tally/versions", None, &[200]).await?;
        let versions = newest.json()["versions"].as_array().map_or(0, Vec::len) as u64;
        ensure!(versions > 0, "`tally` has versions");
        let version = self.dice.within(1, versions);
        self.point_at(version).await?;
        Ok(format!("tally@live is version {version}"))
    }

    async fn point_at(&self, version: u64) -> Result<()> {
        let aliases = json!({"aliases": {"live": version}});
        self.scene.call("PATCH", "/v1/functions/tally", Some(&aliases), &[200]).await?;
        Ok(())
    }

    pub(super) async fn read_metrics(&self) -> Result<String> {
        let text = self.metrics().await?;
        let mut series = 0;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
            ensure!(value.is_some(), "/metrics: {line}");
            series += 1;
        }
        Ok(format!("/metrics has {series} series"))
    }

    pub(crate) async fn metrics(&self) -> Result<String> {
        Ok(self.scene.call("GET", "/metrics", None, &[200]).await?.text())
    }
}
