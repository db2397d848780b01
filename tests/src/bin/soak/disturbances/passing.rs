//! What comes and goes while the line works: topics, triggers with their cursors, functions. Each is made,
//! used, checked and deleted, under a name that was never there before.
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use millstream_tests::{id_of, read_all, wait};
use serde_json::json;

use super::Disturber;
use crate::pipeline::{upload, variant};

/// Of one append.
const RECORDS: u64 = 500;
const PARTITIONS_MAX: u64 = 8;

impl Disturber {
    /// Written, read back whole, deleted.
    pub(super) async fn passing_topic(&mut self) -> Result<String> {
        let topic = self.name("topic");
        let partitions = self.dice.within(1, PARTITIONS_MAX);
        self.make_topic(&topic, partitions).await?;
        let records = RECORDS * self.dice.within(1, 3);
        self.fill(&topic, records).await?;
        self.holds_each_once(&topic, records).await?;
        self.gone("topics", &topic).await?;
        Ok(format!("a topic of {partitions} partitions, {records} records"))
    }

    /// Made, caught up, deleted with all that it had.
    pub(super) async fn passing_trigger(&mut self) -> Result<String> {
        let name = self.name("trigger");
        let partitions = self.dice.within(1, PARTITIONS_MAX);
        let (source, output) = (format!("{name}.in"), format!("{name}.out"));
        for topic in [&source, &output] {
            self.make_topic(topic, partitions).await?;
        }
        self.fill(&source, RECORDS).await?;
        let (size, ordering) =
            (self.dice.within(1, RECORDS), self.dice.pick(&["key", "partition"]));
        let spec = json!({
            "source": source, "function": "identity", "output": output, "ordering": ordering,
            "batch": {"records_max": size},
        });
        let path = format!("/v1/triggers/{name}");
        self.scene.call("PUT", &path, Some(&spec), &[201]).await?;
        wait::until("a trigger that was just made catches up", async || {
            let status = self.scene.status(&name).await.ok()?;
            let shown = status["partitions"].as_array().map_or(0, Vec::len) as u64;
            (status["lag_records"] == 0 && shown == partitions).then_some(())
        })
        .await;
        self.holds_each_once(&output, RECORDS).await?;
        self.gone("triggers", &name).await?;
        self.gone("topics", &source).await?;
        self.gone("topics", &output).await?;
        self.scene.call("DELETE", &format!("/v1/cursors/{name}"), None, &[200, 404]).await?;
        let letters = format!("/v1/topics/{name}.dead-letters");
        self.scene.call("DELETE", &letters, None, &[200, 404]).await?;
        Ok(format!("a trigger of {partitions} partitions, by {ordering}"))
    }

    /// Uploaded, invoked by hand, deleted.
    pub(super) async fn passing_function(&mut self) -> Result<String> {
        let name = self.name("function");
        let component = self.dice.pick(&["counter", "describes", "fails-items"]);
        upload(&self.scene, &name, variant(component, self.passed)).await?;
        let records = json!({"records": [{"key": "a", "value": {"id": 1}}]});
        let path = format!("/v1/functions/{name}/invoke");
        let answer = self.scene.call("POST", &path, Some(&records), &[200]).await?.json();
        self.gone("functions", &name).await?;
        ensure!(answer["outcome"] == "handled", "`{component}` by hand: {answer}");
        Ok(format!("a function, {component}"))
    }

    fn name(&mut self, what: &str) -> String {
        self.passed += 1;
        format!("passing-{what}-{}", self.passed)
    }

    async fn make_topic(&self, topic: &str, partitions: u64) -> Result<()> {
        let spec = json!({"partitions": partitions});
        self.scene.call("PUT", &format!("/v1/topics/{topic}"), Some(&spec), &[201]).await?;
        Ok(())
    }

    async fn fill(&self, topic: &str, records: u64) -> Result<()> {
        for first in (0..records).step_by(RECORDS as usize) {
            let ids = first..first + RECORDS;
            let lines: String =
                ids.map(|id| format!("{{\"id\":{id},\"k\":\"k-{}\"}}\n", id % 31)).collect();
            let path = format!("/v1/topics/{topic}/records?key=/k");
            let headers = [("content-type", "application/x-ndjson")];
            self.scene.send("POST", &path, &headers, lines.into_bytes(), &[201]).await?;
        }
        Ok(())
    }

    async fn holds_each_once(&self, topic: &str, records: u64) -> Result<()> {
        let read = read_all(&self.scene.now().client, topic).await;
        let (mut newest, mut ids) = (BTreeMap::new(), BTreeSet::new());
        for record in &read {
            let id = id_of(&record.value);
            let before = newest.insert(&record.key, id);
            ensure!(before < Some(id), "`{topic}`: {id} came after {before:?}");
            ids.insert(id);
        }
        let found = read.len() as u64;
        let is_whole = found == records && ids.into_iter().eq(0..records);
        ensure!(is_whole, "`{topic}`: {found} records, {records} were sent");
        Ok(())
    }

    async fn gone(&self, kind: &str, name: &str) -> Result<()> {
        let path = format!("/v1/{kind}/{name}");
        self.scene.call("DELETE", &path, None, &[200]).await?;
        self.scene.call("GET", &path, None, &[404]).await?;
        Ok(())
    }
}
