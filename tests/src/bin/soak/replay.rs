//! A line of its own for seeks: one writer, one partition, numbered records. A seek is made while the
//! trigger is paused, so it is known exactly what comes out: up to where it stood, then from where it was
//! moved to.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use millstream_tests::wait;
use serde_json::{Value, json};

use crate::{
    dice::Dice,
    scene::{Pace, Scene},
};

/// Of one append.
const RECORDS: u64 = 200;
const EVERY: Duration = Duration::from_millis(200);
const BACK_MAX: u64 = 20_000;
const AHEAD_MAX: u64 = 300;

/// What came out, and what must.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    appended: u64,
    /// What comes out next.
    expected: u64,
    /// Seeks that are yet to show: from where, to where.
    jumps: VecDeque<(u64, u64)>,
    read: u64,
}

impl State {
    fn jump(&mut self) {
        while let Some((_, to)) = self.jumps.pop_front_if(|(from, _)| *from == self.expected) {
            self.expected = to;
        }
    }
}

impl Replay {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self, id: u64) -> Result<()> {
        let mut state = self.state();
        state.jump();
        let expected = state.expected;
        ensure!(id == expected, "record {id} came out, {expected} is the next");
        (state.expected, state.read) = (id + 1, state.read + 1);
        Ok(())
    }

    pub(crate) fn read(&self) -> u64 {
        self.state().read
    }

    /// How much was read, if that is all and no more.
    pub(crate) fn close(&self) -> Result<u64> {
        let mut state = self.state();
        state.jump();
        let State { appended, expected, read, .. } = *state;
        ensure!(state.jumps.is_empty(), "`replay.out`: a seek never showed: {:?}", state.jumps);
        ensure!(expected == appended, "`replay.out`: {expected} of {appended} came out");
        Ok(read)
    }

    /// Appends until the load stops.
    pub(crate) async fn write(self: Arc<Self>, scene: Arc<Scene>) {
        while *scene.pace.borrow() != Pace::Stop {
            wait::pass(EVERY).await;
            if let Err(error) = self.append(&scene).await {
                return scene.problem(format!("`replay.in`: {error:#}"));
            }
        }
    }

    /// Once, over as many lives of the server as it takes: nobody else writes there, so its end says
    /// whether a request without an answer was taken.
    async fn append(&self, scene: &Scene) -> Result<()> {
        let first = self.state().appended;
        let lines: String =
            (first..first + RECORDS).map(|id| format!("{{\"id\":{id}}}\n")).collect();
        let headers = [("content-type", "application/x-ndjson")];
        loop {
            let standing = scene.up().await;
            let body = lines.clone().into_bytes();
            match scene.send("POST", "/v1/topics/replay.in/records", &headers, body, &[201]).await {
                Ok(_) => break,
                Err(_) if scene.is_excused(&standing) => {}
                Err(error) => return Err(error),
            }
            let end = self.end(scene).await?;
            match end.checked_sub(first) {
                Some(0) => {}
                Some(RECORDS) => break,
                _ => bail!("it ends at {end}, and {first} was the next"),
            }
        }
        self.state().appended = first + RECORDS;
        Ok(())
    }

    async fn end(&self, scene: &Scene) -> Result<u64> {
        let shown = scene.read_json("/v1/topics/replay.in").await?;
        shown["bounds"][0]["end"].as_u64().context("a topic has an end")
    }

    /// Moves the trigger's position, and says how far.
    pub(crate) async fn seek(&self, scene: &Scene, dice: &mut Dice) -> Result<String> {
        let trigger = "/v1/triggers/replay";
        scene.call("POST", &format!("{trigger}/pause"), Some(&json!({})), &[200]).await?;
        // So that there is something to skip, too.
        wait::pass(dice.millis(0, 800)).await;
        let status = scene.status("replay").await?;
        let from = status["partitions"][0]["next"].as_u64().context("it has a position")?;
        let end = self.end(scene).await?;
        let to = match dice.one_in(4) {
            true => dice.within(from, end.min(from + AHEAD_MAX)),
            false => dice.within(from.saturating_sub(BACK_MAX), from),
        };
        self.state().jumps.push_back((from, to));
        let body = json!({"to": {"offsets": {"0": to}}});
        let answer = scene.call("POST", &format!("{trigger}/seek"), Some(&body), &[200]).await?;
        let moved: Value = answer.json()["partitions"][0].clone();
        let says = (moved["from"].as_u64(), moved["to"].as_u64());
        ensure!(says == (Some(from), Some(to)), "from {from} to {to}: {moved}");
        scene.call("POST", &format!("{trigger}/resume"), Some(&json!({})), &[200]).await?;
        Ok(format!("seek {from} to {to}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(appended: u64, jumps: &[(u64, u64)], came: &[u64]) -> Result<u64> {
        let replay = Replay::default();
        *replay.state() = State { appended, jumps: jumps.to_vec().into(), ..State::default() };
        for id in came {
            replay.take(*id)?;
        }
        replay.close()
    }

    #[test]
    fn a_seek_repeats_or_skips_exactly_what_it_says() {
        assert_eq!(replay(3, &[], &[0, 1, 2]).ok(), Some(3));
        assert_eq!(replay(3, &[(2, 0), (1, 2)], &[0, 1, 0, 2]).ok(), Some(4));
        assert_eq!(replay(3, &[(0, 0), (3, 3)], &[0, 1, 2]).ok(), Some(3));
        for came in [&[0, 1, 2][..], &[0, 1, 0, 1], &[0, 1, 0, 2, 2], &[0, 1, 0]] {
            assert!(replay(3, &[(2, 0), (1, 2)], came).is_err(), "{came:?}");
        }
    }
}
