//! What happens to the server while it works, one thing at a time, by the roll of the dice. Each checks
//! what it was promised; what went wrong is a problem of the run, and the run goes on.
mod passing;
mod restarts;
mod triggers;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use millstream_tests::{Server, wait};

use crate::{dice::Dice, replay::Replay, scene::Scene};

/// A life lasts at least so long: memory is looked at when it has settled, and each life gets on, so that
/// the poison guard has no reason to suspect a record.
const LIFE_MIN_MS: u64 = 25_000;
const LIFE_MAX_MS: u64 = 40_000;
const FIRST_LIFE_MAX_MS: u64 = 12_000;
/// Between two disturbances.
const REST_MIN_MS: u64 = 200;
const REST_MAX_MS: u64 = 2_000;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Pause,
    Seek,
    Redeploy,
    MoveAlias,
    PassingTopic,
    PassingTrigger,
    PassingFunction,
    Metrics,
}

/// Each as often as it stands here. Compiling takes a core for a second.
const KINDS: [Kind; 16] = [
    Kind::Pause,
    Kind::Pause,
    Kind::Pause,
    Kind::Seek,
    Kind::Seek,
    Kind::Seek,
    Kind::Redeploy,
    Kind::MoveAlias,
    Kind::MoveAlias,
    Kind::PassingTopic,
    Kind::PassingTopic,
    Kind::PassingTopic,
    Kind::PassingTrigger,
    Kind::PassingTrigger,
    Kind::PassingFunction,
    Kind::Metrics,
];

/// Who disturbs.
#[derive(Debug)]
pub(crate) struct Disturber {
    pub(crate) scene: Arc<Scene>,
    pub(crate) server: Server,
    pub(crate) replay: Arc<Replay>,
    pub(crate) dice: Dice,
    /// How long each start took until the server was live, in milliseconds.
    pub(crate) starts_ms: Vec<u64>,
    /// Which of three restarts in a row is in order.
    pub(crate) in_order: u64,
    /// Versions of each function that is deployed again and again.
    pub(crate) versions: u64,
    /// Of what comes and goes.
    pub(crate) passed: u64,
}

impl Disturber {
    /// For the whole load. Its first half sees restarts; its second is one life, so that what grows with
    /// the process shows.
    pub(crate) async fn disturb(&mut self, load: Duration) {
        let begin = Instant::now();
        let mut restart = begin + self.dice.millis(REST_MAX_MS, FIRST_LIFE_MAX_MS);
        while begin.elapsed() < load && !self.scene.is_broken() {
            let is_young = begin.elapsed() < load / 2;
            let done = if is_young && Instant::now() >= restart {
                let done = self.restart().await;
                restart = Instant::now() + self.dice.millis(LIFE_MIN_MS, LIFE_MAX_MS);
                done
            } else {
                let kind = self.dice.pick(&KINDS);
                self.one(kind).await
            };
            if let Err(error) = done {
                self.scene.problem(format!("{error:#}"));
            }
            self.look_after();
            wait::pass(self.dice.millis(REST_MIN_MS, REST_MAX_MS)).await;
        }
    }

    async fn one(&mut self, kind: Kind) -> Result<()> {
        let (kind, text) = match kind {
            Kind::Pause => ("pause", self.pause().await?),
            Kind::Seek => ("seek", self.replay.seek(&self.scene, &mut self.dice).await?),
            Kind::Redeploy => ("redeploy", self.redeploy().await?),
            Kind::MoveAlias => ("move_alias", self.move_alias().await?),
            Kind::PassingTopic => ("passing_topic", self.passing_topic().await?),
            Kind::PassingTrigger => ("passing_trigger", self.passing_trigger().await?),
            Kind::PassingFunction => ("passing_function", self.passing_function().await?),
            Kind::Metrics => ("metrics", self.read_metrics().await?),
        };
        self.scene.note(kind, text);
        Ok(())
    }

    /// A server that ends by itself has nothing more to say.
    fn look_after(&mut self) {
        assert!(self.server.is_running(), "the server ended by itself");
    }
}
