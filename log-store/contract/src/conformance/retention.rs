//! Retention: what a log takes away by itself, and what it must not. Times stay under an hour: a log may
//! distrust a clock that jumps further.
use super::{
    records::{counted, texts},
    trial::{Trial, eventually, first_of, to, topic_name},
};
use crate::{Offset, PartitionRef, Retention, TopicId, TopicSpec};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const NONE: Retention = Retention { age: None, bytes: None, hold_for_triggers: true };

async fn topic(trial: &Trial, name: &str, retention: Retention) -> TopicId {
    let spec = spec(name, retention);
    trial.log().create_topic(spec).await.expect("a topic is made")
}

fn spec(name: &str, retention: Retention) -> TopicSpec {
    TopicSpec { retention, ..TopicSpec::new(topic_name(name), 1) }
}

async fn starts_at(trial: &Trial, at: PartitionRef, start: Offset) {
    eventually(&format!("{at} starts at {start}"), async || {
        let found = trial.log().bounds(at).await.expect("bounds").start;
        assert!(found <= start, "{at} starts at {found}, beyond {start}");
        (found == start).then_some(())
    })
    .await;
}

/// A topic for which something goes, after whatever might go of others.
async fn looked(trial: &Trial) {
    let name = format!("looked-{}", trial.log().topics().await.expect("topics").len());
    let at = first_of(topic(trial, &name, Retention { bytes: Some(0), ..NONE }).await);
    // The first may be under way when this topic comes.
    for _ in 0..2 {
        let first = append(trial, at, 1).await;
        starts_at(trial, at, Offset(first.0 + 1)).await;
    }
}

/// So many records of two bytes each; the offset of the first. They may be gone at once.
async fn append(trial: &Trial, at: PartitionRef, count: usize) -> Offset {
    trial.append(at.topic, &counted("r", count)).await.runs[0].offset
}

/// Ten appends of ten records of two bytes each, a minute apart: the offset of the first of each.
async fn fill(trial: &Trial, at: PartitionRef) -> Vec<Offset> {
    let mut offsets = Vec::new();
    for _ in 0..10 {
        offsets.push(append(trial, at, 10).await);
        trial.clock.advance(MINUTE);
    }
    offsets
}

pub async fn what_is_older_than_the_age_goes(trial: Trial) {
    let age = Retention { age: Some(7 * MINUTE), ..NONE };
    let at = first_of(topic(&trial, "t", age).await);
    let other = first_of(topic(&trial, "other", NONE).await);
    append(&trial, other, 10).await;
    let offsets = fill(&trial, at).await;
    // The last one is a minute old, so that of the fourth is seven.
    starts_at(&trial, at, offsets[3]).await;
    assert_eq!(trial.read_all(at).await.len(), 70);
    trial.clock.advance(3 * MINUTE);
    starts_at(&trial, at, offsets[6]).await;
    trial.clock.advance(30 * MINUTE);
    let end = trial.end(at).await;
    starts_at(&trial, at, end).await;
    assert_eq!(trial.read_all(other).await.len(), 10, "no other topic's");
    assert_eq!(texts(&trial.read_all(at).await), Vec::<String>::new());
    assert!(append(&trial, at, 1).await >= end, "offsets go on");
}

pub async fn the_oldest_go_as_long_as_enough_bytes_stay(trial: Trial) {
    for (name, bytes, first) in
        [("a", 50, 7), ("b", 60, 7), ("c", 61, 6), ("d", 1, 9), ("e", 0, 10)]
    {
        let bytes = Retention { bytes: Some(bytes), ..NONE };
        let at = first_of(topic(&trial, name, bytes).await);
        let offsets = fill(&trial, at).await;
        let end = trial.end(at).await;
        starts_at(&trial, at, offsets.get(first).copied().unwrap_or(end)).await;
        looked(&trial).await;
        assert_eq!(trial.read_all(at).await.len(), 100 - 10 * first);
    }
}

pub async fn what_a_cursor_has_not_read_stays(trial: Trial) {
    let age = Retention { age: Some(MINUTE), bytes: Some(40), ..NONE };
    let at = first_of(topic(&trial, "t", age).await);
    let unheld = Retention { hold_for_triggers: false, ..age };
    let other = first_of(topic(&trial, "unheld", unheld).await);
    let mut leases = Vec::new();
    for at in [at, other] {
        for cursor in ["fast", "slow"] {
            // A cursor has its position from its first settlement on.
            let lease = trial.lease(cursor, at.topic).await;
            trial.settle(&lease, to(Offset(0))).await.expect("it settles");
            leases.push(lease);
        }
    }
    let offsets = fill(&trial, at).await;
    let of_other = fill(&trial, other).await;
    starts_at(&trial, other, of_other[9]).await;
    looked(&trial).await;
    assert_eq!(trial.log().bounds(at).await.expect("bounds").start, offsets[0]);
    trial.settle(&leases[0], to(offsets[9])).await.expect("it settles");
    trial.settle(&leases[1], to(Offset(offsets[4].0 + 3))).await.expect("it settles");
    // Record by record, and of all cursors the last.
    starts_at(&trial, at, Offset(offsets[4].0 + 3)).await;
    leases.truncate(1);
    trial.delete_cursor("slow").await;
    starts_at(&trial, at, offsets[9]).await;
}

pub async fn retention_holds_from_when_it_is_said(trial: Trial) {
    let at = first_of(topic(&trial, "t", NONE).await);
    let offsets = fill(&trial, at).await;
    looked(&trial).await;
    assert_eq!(trial.log().bounds(at).await.expect("bounds").start, offsets[0]);
    let alter = async |retention| {
        trial.log().alter_topic(at.topic, spec("t", retention)).await.expect("it is altered");
    };
    alter(Retention { bytes: Some(100), ..NONE }).await;
    starts_at(&trial, at, offsets[5]).await;
    alter(Retention { age: Some(3 * MINUTE), ..NONE }).await;
    starts_at(&trial, at, offsets[7]).await;
    alter(NONE).await;
    trial.clock.advance(30 * MINUTE);
    looked(&trial).await;
    assert_eq!(trial.log().bounds(at).await.expect("bounds").start, offsets[7]);
}
