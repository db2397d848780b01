//! Trims: what is gone, what stays, what is counted. Never retention, which only calls them.
use super::{
    records::{Fact, counted, texts},
    trial::{ALL, Trial, first_of, to},
};
use crate::{Offset, PartitionId, PartitionRef, ReadError, Timestamp, TopicId, TrimError};
use std::time::Duration;

pub async fn what_lies_before_is_gone(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    // In the middle of one append, and of several.
    let offsets = trial.fill(at, &counted("a", 10)).await;
    trial.log().trim(at, offsets[4]).await.expect("it is trimmed");
    let bounds = trial.log().bounds(at).await.expect("bounds");
    assert_eq!((bounds.start, bounds.records, bounds.bytes), (offsets[4], 6, 6 * 2));
    for gone in &offsets[..4] {
        let error = trial.try_read(at, *gone, ALL).await.expect_err("it is gone");
        assert_eq!(error, ReadError::Trimmed { start: offsets[4] });
    }
    assert_eq!(texts(&trial.read_from(at, offsets[4]).await), ["a4", "a5", "a6", "a7", "a8", "a9"]);
    let more = trial.fill(at, &counted("b", 3)).await;
    trial.log().trim(at, more[1]).await.expect("it is trimmed");
    assert_eq!(texts(&trial.read_all(at).await), ["b1", "b2"]);
}

pub async fn to_trim_what_is_trimmed_does_nothing(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    let offsets = trial.fill(at, &counted("a", 10)).await;
    trial.log().trim(at, offsets[5]).await.expect("it is trimmed");
    let before = trial.log().bounds(at).await;
    for again in [offsets[5], offsets[2], Offset(0)] {
        trial.log().trim(at, again).await.expect("nothing to do");
        assert_eq!(trial.log().bounds(at).await, before);
    }
    assert_eq!(trial.read_all(at).await.len(), 5);
}

pub async fn a_trim_to_the_end_leaves_nothing_and_offsets_go_on(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    trial.append(topic, &counted("a", 3)).await;
    let end = trial.end(at).await;
    trial.log().trim(at, end).await.expect("it is trimmed");
    let bounds = trial.log().bounds(at).await.expect("bounds");
    assert_eq!((bounds.start, bounds.end, bounds.records, bounds.bytes), (end, end, 0, 0));
    assert!(trial.read(at, end, ALL).await.batches.is_empty());
    let offsets = trial.fill(at, &counted("b", 1)).await;
    assert!(end <= offsets[0], "an offset came back");
    assert_eq!(texts(&trial.read_all(at).await), ["b0"]);
}

pub async fn a_trim_beyond_the_end_is_refused_and_takes_nothing(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    trial.append(topic, &counted("a", 3)).await;
    let end = trial.end(at).await;
    let before = Offset(end.0 + 1);
    let refused = trial.log().trim(at, before).await;
    assert_eq!(refused, Err(TrimError::BeyondEnd { before, end }));
    assert_eq!(trial.read_all(at).await.len(), 3);
}

pub async fn a_trim_is_of_one_partition(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let (at, other) = (first_of(topic), PartitionRef::new(topic, PartitionId(1)));
    trial.fill(at, &counted("a", 3)).await;
    trial.fill(other, &counted("b", 3)).await;
    trial.log().trim(at, trial.end(at).await).await.expect("it is trimmed");
    assert_eq!(texts(&trial.read_all(other).await), ["b0", "b1", "b2"]);
    let gone = PartitionRef::new(TopicId(u64::MAX), PartitionId(0));
    for nowhere in [PartitionRef::new(topic, PartitionId(2)), gone] {
        let trim = trial.log().trim(nowhere, Offset(0)).await;
        assert_eq!(trim, Err(TrimError::NoPartition(nowhere)));
    }
}

pub async fn a_time_before_a_trim_finds_the_start(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    let mut offsets = Vec::new();
    for _ in 0..4 {
        trial.clock.advance(Duration::from_secs(1));
        offsets.extend(trial.fill(at, &[Fact::keyless("x")]).await);
    }
    trial.log().trim(at, offsets[2]).await.expect("it is trimmed");
    assert_eq!(trial.log().offset_at(at, Timestamp(0)).await, Ok(offsets[2]));
    let end = trial.end(at).await;
    trial.log().trim(at, end).await.expect("it is trimmed");
    assert_eq!(trial.log().offset_at(at, Timestamp(0)).await, Ok(end));
}

pub async fn a_trim_moves_no_cursor(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    let offsets = trial.fill(at, &counted("a", 6)).await;
    let lease = trial.lease("c", topic).await;
    trial.settle(&lease, to(offsets[1])).await.expect("it settles");
    trial.log().trim(at, offsets[4]).await.expect("it is trimmed");
    assert_eq!(trial.position("c", at).await, Some(crate::Progress::at(offsets[1])));
    // A consumer settles the trimmed stretch, too.
    trial.settle(&lease, to(offsets[3])).await.expect("progress may lie in what is gone");
    trial.settle(&lease, to(offsets[5])).await.expect("and go on");
}
