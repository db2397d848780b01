//! The server goes down, with a word or without, and comes back on the same directory.
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use millstream_tests::wait;

use super::Disturber;
use crate::{
    pipeline::{TRIGGERS, variant},
    scene::Standing,
};

/// What the server allows itself to end in order, and some.
const END_MAX: Duration = Duration::from_secs(60);
/// For something to be handled again after a start.
const WAKE_MAX: Duration = Duration::from_secs(60);

impl Disturber {
    pub(super) async fn restart(&mut self) -> Result<()> {
        // One of three in a row, so that a run of some minutes has seen both.
        let is_in_order = self.starts_ms.len() as u64 % 3 == self.in_order;
        if is_in_order { self.terminate_and_start().await } else { self.kill_and_start().await }
    }

    /// SIGKILL, every other time in the middle of a deployment.
    pub(crate) async fn kill_and_start(&mut self) -> Result<()> {
        let mut text = "kill -9".to_owned();
        if self.dice.one_in(2) {
            text.push_str(" in a deployment");
            let client = self.scene.now().client;
            let (bytes, after) = (variant("tally", self.versions + 1), self.dice.millis(0, 900));
            let headers = [("content-type", "application/wasm")];
            let upload = client.try_send("PUT", "/v1/functions/tally", &headers, bytes);
            // Whether it answers in time does not matter: the next deployment has the same bytes.
            drop(tokio::time::timeout(after, upload).await);
        }
        self.go_down();
        self.server.kill();
        self.start("kill", text).await
    }

    async fn terminate_and_start(&mut self) -> Result<()> {
        let took = self.terminate().await;
        self.start("terminate", format!("SIGTERM, ended after {took:.1?}")).await
    }

    /// SIGTERM, and an end in order.
    pub(crate) async fn terminate(&mut self) -> Duration {
        self.go_down();
        let begin = Instant::now();
        let status = self.server.terminate(END_MAX).await;
        if !status.success() {
            self.scene.problem(format!("after SIGTERM it ended with {status}"));
        }
        begin.elapsed()
    }

    fn go_down(&self) {
        self.scene.standing.send_modify(|standing| standing.is_up = false);
    }

    async fn start(&mut self, kind: &'static str, text: String) -> Result<()> {
        let begin = Instant::now();
        self.server.restart().await;
        let took = begin.elapsed().as_millis() as u64;
        self.starts_ms.push(took);
        let (client, pid) = (self.server.client(), self.server.pid());
        self.scene.standing.send_modify(|standing| {
            *standing = Standing { client, life: standing.life + 1, pid, is_up: true };
        });
        self.scene.note(kind, format!("{text}, back after {took} ms"));
        self.gets_on().await
    }

    /// Each life gets on. So the poison guard never has a reason to suspect a record.
    async fn gets_on(&self) -> Result<()> {
        let before = self.progress().await?;
        let begin = Instant::now();
        loop {
            let now = self.progress().await?;
            if before.iter().zip(&now).all(|(before, now)| before < now) {
                return Ok(());
            }
            ensure!(begin.elapsed() < WAKE_MAX, "nothing moves after a start: {before:?}, {now:?}");
            wait::pass(Duration::from_millis(100)).await;
        }
    }

    /// For each partition of each trigger, what is done.
    async fn progress(&self) -> Result<Vec<u64>> {
        let mut progress = Vec::new();
        for trigger in TRIGGERS {
            let status = self.scene.status(trigger).await?;
            let partitions = status["partitions"].as_array().context("it has partitions")?;
            progress.extend(partitions.iter().map(|shown| shown["next"].as_u64().unwrap_or(0)));
        }
        Ok(progress)
    }
}
