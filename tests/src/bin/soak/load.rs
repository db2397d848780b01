//! Producers: append orders at a pace, and write down which requests nobody knows the fate of. A request
//! that was certainly not taken is sent again; one whose answer was lost never is.
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use millstream_tests::{Answer, wait};
use tokio::time::timeout;

use crate::{
    dice::Dice,
    orders::{self, KEYS, Order, PRODUCERS, RECORDS},
    scene::{Pace, Scene, Standing},
};

const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Between looks at whether there is room.
const LOOK: Duration = Duration::from_millis(10);
/// A producer that is later than this does not catch up: the rate is what it is told.
const LATE_MAX: Duration = Duration::from_secs(1);

/// What one producer did.
#[derive(Debug)]
pub(crate) struct Sent {
    /// For each key, the first number that was not sent.
    pub(crate) next: Vec<u64>,
    /// Requests whose answer was lost: each is there as a whole, or not at all.
    pub(crate) unknown: Vec<Vec<Order>>,
}

enum Fate {
    Taken,
    NotTaken,
    Unknown,
}

/// Runs until it is told to stop.
pub(crate) async fn produce(scene: Arc<Scene>, producer: u32, mut dice: Dice) -> Sent {
    let mut sent = Sent { next: vec![0; KEYS as usize], unknown: Vec::new() };
    let mut due = Instant::now();
    loop {
        let now = *scene.pace.borrow();
        if now == Pace::Stop {
            return sent;
        }
        if !has_room(&scene, now).await {
            continue;
        }
        if let Pace::Rate { rate, .. } = now {
            let each = (RECORDS as f64 * f64::from(PRODUCERS)) / rate;
            let earliest = Instant::now().checked_sub(LATE_MAX).unwrap_or(due);
            due = (due + Duration::from_secs_f64(each)).max(earliest);
            wait::pass(due.saturating_duration_since(Instant::now())).await;
        }
        let (lines, some) = orders::make(producer, &mut sent.next, &mut dice);
        match deliver(&scene, lines).await {
            Fate::Taken => {
                scene.acknowledged.fetch_add(RECORDS as u64, Ordering::Relaxed);
            }
            Fate::Unknown => sent.unknown.push(some),
            Fate::NotTaken => unreachable!("it is sent again"),
        }
    }
}

/// Waits a moment where too much is on its way. True: there is room.
async fn has_room(scene: &Scene, pace: Pace) -> bool {
    let (Pace::Flood { on_their_way_max: max } | Pace::Rate { on_their_way_max: max, .. }) = pace
    else {
        return true;
    };
    if scene.on_their_way() < max {
        return true;
    }
    wait::pass(LOOK).await;
    scene.held_ms.fetch_add(LOOK.as_millis() as u64 / u64::from(PRODUCERS), Ordering::Relaxed);
    false
}

/// Sends until it is taken, or nobody knows.
async fn deliver(scene: &Scene, lines: String) -> Fate {
    loop {
        let standing = scene.up().await;
        let headers = [("content-type", "application/x-ndjson")];
        let path = "/v1/topics/orders/records?key=/customer";
        let sending = standing.client.try_send("POST", path, &headers, lines.clone());
        let fate = match timeout(ANSWER_MAX, sending).await {
            Ok(answered) => fate_of(scene, &standing, answered),
            Err(_) => {
                scene.problem(format!("an append has no answer after {ANSWER_MAX:?}"));
                Fate::Unknown
            }
        };
        match fate {
            Fate::NotTaken => wait::pass(LOOK).await,
            fate => return fate,
        }
    }
}

fn fate_of(scene: &Scene, standing: &Standing, answered: anyhow::Result<Answer>) -> Fate {
    let (fate, what) = match answered {
        Ok(answer) => match answer.status {
            201 => return Fate::Taken,
            504 => (Fate::Unknown, format!("an append: {}", answer.text().trim())),
            _ => (Fate::NotTaken, format!("an append: {}", answer.text().trim())),
        },
        Err(error) => {
            let refused = error.downcast_ref().is_some_and(reqwest::Error::is_connect);
            let fate = if refused { Fate::NotTaken } else { Fate::Unknown };
            (fate, format!("an append: {error:#}"))
        }
    };
    if !scene.is_excused(standing) {
        scene.problem(what);
    }
    fate
}
