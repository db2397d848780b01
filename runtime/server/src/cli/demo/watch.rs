//! Looks at the server from outside until everything is handled: what came in, what is done, what lags.
//! Counts are the API's own. Never changes anything there.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use serde_json::Value;

use super::{client::Client, pipelines::Pipeline, progress::Progress};

/// The rate that is shown is that of the last seconds.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// What was seen of one trigger at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) records_in: u64,
    /// Settled: handled or dead-lettered.
    pub(super) settled: u64,
    pub(super) dead_lettered: u64,
    pub(super) out: u64,
    pub(super) lag: u64,
    pub(super) state: String,
    /// Why the trigger is as it is, where it says so.
    pub(super) reason: Option<String>,
}

impl Seen {
    /// Everything that was there when it was looked at is settled.
    pub(super) fn is_done(&self) -> bool {
        self.lag == 0 && self.settled == self.records_in
    }

    /// Nothing will happen any more without a person. What is held or paused may go on by itself, as
    /// soon as a fault of the host is over or its turn comes: that it does not move is told by patience.
    fn is_halted(&self) -> bool {
        self.state == "halted"
    }
}

/// Looks again and again.
#[derive(Debug)]
pub(super) struct Watch {
    client: Client,
    pipelines: Vec<Pipeline>,
    began: Instant,
    /// Settled when it began, per pipeline.
    base: Vec<u64>,
    /// Of the last seconds, oldest first: when, and settled per pipeline.
    history: VecDeque<(Instant, Vec<u64>)>,
    pub(super) seen: Vec<Seen>,
    moved_at: Instant,
}

impl Watch {
    pub(super) async fn begin(mut client: Client, pipelines: Vec<Pipeline>) -> Result<Self> {
        let seen = look(&mut client, &pipelines).await?;
        let base = seen.iter().map(|one| one.settled).collect();
        let now = Instant::now();
        let history = VecDeque::new();
        Ok(Self { client, pipelines, began: now, base, history, seen, moved_at: now })
    }

    /// Looks once more.
    pub(super) async fn look(&mut self) -> Result<()> {
        let seen = look(&mut self.client, &self.pipelines).await?;
        let now = Instant::now();
        let is_resting = seen.iter().all(Seen::is_done);
        if seen != self.seen || is_resting {
            self.moved_at = now;
        }
        self.seen = seen;
        self.history.push_back((now, self.seen.iter().map(|one| one.settled).collect()));
        while self.history.len() > 2 && now - self.history[1].0 > RATE_WINDOW {
            self.history.pop_front();
        }
        Ok(())
    }

    /// Whether all that had come in when it last looked is settled, down to the last trigger.
    pub(super) fn is_done(&self) -> bool {
        self.seen.iter().all(Seen::is_done)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Fails if a trigger is halted, or nothing has moved for `patience` though there is work.
    pub(super) fn check(&self, patience: Duration) -> Result<()> {
        for (pipeline, seen) in self.pipelines.iter().zip(&self.seen) {
            if seen.is_halted() {
                let reason = seen.reason.as_deref().unwrap_or("no reason given");
                bail!("trigger `{}` is halted: {reason}", pipeline.name);
            }
        }
        if self.moved_at.elapsed() < patience {
            return Ok(());
        }
        let waiting = self.pipelines.iter().zip(&self.seen).filter(|(_, seen)| !seen.is_done());
        let waiting = waiting.map(|(pipeline, seen)| {
            let reason = seen.reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
            format!("`{}` is {}{reason} and lags {} records", pipeline.name, seen.state, seen.lag)
        });
        bail!(
            "nothing has moved for {} s: {}",
            patience.as_secs(),
            waiting.collect::<Vec<_>>().join(", ")
        );
    }

    /// For the table, with the rate of the last seconds.
    pub(super) fn progress(&self) -> Vec<Progress> {
        let (since, before) = match self.history.front() {
            Some((at, settled)) => (*at, settled.as_slice()),
            None => (self.began, self.base.as_slice()),
        };
        let until = self.history.back().map_or(since, |(at, _)| *at);
        self.rows(until - since, before)
    }

    /// The same with the rate of the whole run, which took so long.
    pub(super) fn summary(&self, took: Duration) -> Vec<Progress> {
        self.rows(took, &self.base)
    }

    fn rows(&self, time: Duration, before: &[u64]) -> Vec<Progress> {
        let rows = self.pipelines.iter().zip(&self.seen).zip(before);
        rows.map(|((pipeline, seen), before)| Progress {
            trigger: pipeline.name.to_owned(),
            records_in: seen.records_in,
            handled: seen.settled.saturating_sub(seen.dead_lettered),
            out: seen.out,
            dead_lettered: seen.dead_lettered,
            lag: seen.lag,
            rate: rate(seen.settled.saturating_sub(*before), time),
            state: seen.state.clone(),
        })
        .collect()
    }
}

fn rate(records: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { records as f64 / time.as_secs_f64() }
}

/// In the order of the pipelines, which is that of the data: what a trigger has settled is in its output
/// topic, so a source that is looked at after its trigger's settled count holds all of that.
async fn look(client: &mut Client, pipelines: &[Pipeline]) -> Result<Vec<Seen>> {
    let mut seen = Vec::with_capacity(pipelines.len());
    for pipeline in pipelines {
        let source = client.get(&format!("/v1/topics/{}", pipeline.source)).await?;
        let trigger = client.get(&format!("/v1/triggers/{}", pipeline.name)).await?;
        let output = client.get(&format!("/v1/topics/{}", pipeline.output)).await?;
        let dead = client.find(&format!("/v1/topics/{}", pipeline.dead_letters())).await?;
        let status = &trigger["status"];
        seen.push(Seen {
            records_in: ends(&source),
            settled: settled(status),
            dead_lettered: dead.as_ref().map_or(0, ends),
            out: ends(&output),
            lag: status["lag_records"].as_u64().unwrap_or(0),
            state: status["state"].as_str().unwrap_or("unknown").to_owned(),
            reason: reason(status),
        });
    }
    Ok(seen)
}

/// What a topic ever took: the log has no holes, so the ends of its partitions say it, also when retention
/// has taken records away.
fn ends(topic: &Value) -> u64 {
    let bounds = topic["bounds"].as_array();
    bounds.into_iter().flatten().filter_map(|bounds| bounds["end"].as_u64()).sum()
}

fn settled(status: &Value) -> u64 {
    let settled = |partition: &Value| {
        partition["end"].as_u64()?.checked_sub(partition["lag_records"].as_u64()?)
    };
    status["partitions"].as_array().into_iter().flatten().filter_map(settled).sum()
}

fn reason(status: &Value) -> Option<String> {
    let partitions = status["partitions"].as_array().into_iter().flatten();
    let reasons = std::iter::once(status).chain(partitions);
    reasons.filter_map(|one| one["reason"].as_str()).next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_come_from_bounds_and_from_what_the_trigger_says() {
        let topic = json!({"bounds": [
            {"partition": 0, "start": 10, "end": 1200, "records": 1190},
            {"partition": 1, "start": 0, "end": 300, "records": 300}
        ]});
        assert_eq!(ends(&topic), 1_500);
        let status = json!({"state": "waiting_for_retry", "reason": null, "lag_records": 100,
        "partitions": [
            {"partition": 0, "next": 1100, "end": 1200, "lag_records": 100, "reason": "`rejected`"},
            {"partition": 1, "next": 300, "end": 300, "lag_records": 0, "reason": null}
        ]});
        assert_eq!(settled(&status), 1_400);
        assert_eq!(reason(&status).as_deref(), Some("`rejected`"));
    }

    fn seen(state: &str, records_in: u64, settled: u64) -> Seen {
        let lag = records_in - settled;
        Seen { records_in, settled, lag, state: state.into(), ..Seen::default() }
    }

    fn watch(seen: Seen, idle: Duration) -> Watch {
        let now = Instant::now();
        Watch {
            client: Client::new("127.0.0.1:1".parse().unwrap()),
            pipelines: vec![super::super::pipelines::ENRICH],
            began: now,
            base: vec![0],
            history: VecDeque::new(),
            seen: vec![seen],
            moved_at: now.checked_sub(idle).unwrap(),
        }
    }

    #[test]
    fn a_trigger_that_needs_a_person_or_does_not_move_is_told() {
        let minute = Duration::from_secs(60);
        let check = |state: &str, idle: u64| {
            let watch = watch(seen(state, 10, 4), Duration::from_secs(idle));
            watch.check(minute).map_err(|error| error.to_string())
        };
        assert_eq!(check("running", 59), Ok(()));
        assert_eq!(check("paused", 59), Ok(()));
        assert_eq!(check("halted", 0), Err("trigger `enrich` is halted: no reason given".into()));
        assert_eq!(
            check("running", 61),
            Err("nothing has moved for 60 s: `enrich` is running and lags 6 records".into())
        );
    }

    #[test]
    fn what_is_counted_adds_up() {
        let done = Seen { dead_lettered: 3, ..seen("idle", 10, 10) };
        assert!(done.is_done() && !seen("idle", 10, 9).is_done());
        let row = &watch(done, Duration::ZERO).summary(Duration::from_secs(2))[0];
        assert_eq!((row.records_in, row.handled, row.dead_lettered), (10, 7, 3));
        assert_eq!((row.done(), row.rate), (10, 5.0));
    }
}
