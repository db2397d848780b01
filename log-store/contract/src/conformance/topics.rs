//! Topics: made, altered, listed, deleted. Never their records' contents.
use super::{
    records::{Fact, counted, texts},
    trial::{ALL, Trial, WAIT, begun, first_of, soon, topic_name},
};
use crate::{
    AlterTopicError, AppendError, CreateTopicError, DeleteTopicError, Offset, PartitionId,
    PartitionRef, ReadError, Retention, Timestamp, TopicId, TopicInfo, TopicSpec, TrimError,
};
use std::{sync::Arc, time::Duration};

async fn names(trial: &Trial) -> Vec<String> {
    let topics = trial.log().topics().await.expect("topics are listed");
    topics.iter().map(|topic| topic.spec.name.to_string()).collect()
}

pub async fn a_topic_is_listed_with_all_that_was_set(trial: Trial) {
    let retention = Retention {
        age: Some(Duration::from_millis(1_234_567)),
        bytes: Some(u64::MAX / 3),
        hold_for_triggers: false,
    };
    let spec = TopicSpec { name: topic_name("orders"), partitions: 3, retention, compacted: true };
    let id = trial.log().create_topic(spec.clone()).await.expect("a topic is made");
    let forever = Retention { age: None, bytes: None, hold_for_triggers: true };
    let plain = TopicSpec { retention: forever, ..TopicSpec::new(topic_name("plain"), 1) };
    let other = trial.log().create_topic(plain.clone()).await.expect("a topic is made");
    let expected = vec![TopicInfo { id, spec }, TopicInfo { id: other, spec: plain }];
    assert_eq!(trial.log().topics().await, Ok(expected));
}

pub async fn topics_are_listed_by_name(trial: Trial) {
    assert_eq!(names(&trial).await, [""; 0]);
    for name in ["b", "a.z", "c", "a", "B", "a-"] {
        trial.topic(name, 1).await;
    }
    assert_eq!(names(&trial).await, ["B", "a", "a-", "a.z", "b", "c"]);
}

pub async fn a_name_that_is_taken_is_refused_with_its_id(trial: Trial) {
    let id = trial.topic("orders", 2).await;
    let again = trial.log().create_topic(TopicSpec::new(topic_name("orders"), 5)).await;
    assert_eq!(again, Err(CreateTopicError::Exists { name: topic_name("orders"), id }));
    let topics = trial.log().topics().await.expect("topics are listed");
    assert_eq!(topics, [TopicInfo { id, spec: TopicSpec::new(topic_name("orders"), 2) }]);
}

pub async fn of_many_who_make_one_topic_one_does_and_all_learn_its_id(trial: Trial) {
    let log = &trial.stores.log;
    let make = |log: Arc<dyn crate::Log>| async move {
        log.create_topic(TopicSpec::new(topic_name("one"), 1)).await
    };
    let tasks: Vec<_> = (0..16).map(|_| tokio::spawn(make(log.clone()))).collect();
    let mut made = Vec::new();
    let mut existing = Vec::new();
    for task in tasks {
        match soon("create a topic", task).await.expect("no panic") {
            Ok(id) => made.push(id),
            Err(CreateTopicError::Exists { id, .. }) => existing.push(id),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(made.len(), 1);
    assert!(existing.iter().all(|id| *id == made[0]));
}

pub async fn an_id_never_comes_back(trial: Trial) {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let id = trial.topic("orders", 1).await;
        assert!(!seen.contains(&id), "topic id {id} came back");
        seen.push(id);
        trial.log().delete_topic(id).await.expect("a topic is deleted");
    }
    assert_eq!(names(&trial).await, [""; 0]);
}

pub async fn a_topic_has_a_partition_and_no_more_than_the_most(trial: Trial) {
    let max = TopicSpec::PARTITIONS_MAX;
    for partitions in [0, max + 1, u32::MAX] {
        let made = trial.log().create_topic(TopicSpec::new(topic_name("t"), partitions)).await;
        assert_eq!(made, Err(CreateTopicError::Partitions { partitions, max }));
    }
    assert_eq!(names(&trial).await, [""; 0]);
    let topic = trial.topic("t", 3).await;
    trial.log().bounds(PartitionRef::new(topic, PartitionId(2))).await.expect("the last one");
    let beyond = PartitionRef::new(topic, PartitionId(3));
    assert_eq!(trial.log().bounds(beyond).await, Err(ReadError::NoPartition(beyond)));
}

pub async fn retention_and_partitions_may_change(trial: Trial) {
    let id = trial.topic("orders", 1).await;
    trial.append(id, &counted("a", 3)).await;
    let retention = Retention { age: None, bytes: Some(5), hold_for_triggers: false };
    let spec = TopicSpec { retention, ..TopicSpec::new(topic_name("orders"), 4) };
    trial.log().alter_topic(id, spec.clone()).await.expect("it may change");
    assert_eq!(trial.log().topics().await, Ok(vec![TopicInfo { id, spec: spec.clone() }]));
    trial.log().alter_topic(id, spec.clone()).await.expect("equal: nothing happens");
    assert_eq!(trial.log().topics().await, Ok(vec![TopicInfo { id, spec }]));
}

pub async fn partitions_that_were_added_are_empty_and_take_records(trial: Trial) {
    let id = trial.topic("orders", 1).await;
    trial.append(id, &counted("old", 3)).await;
    let spec = TopicSpec::new(topic_name("orders"), 3);
    trial.log().alter_topic(id, spec).await.expect("partitions may grow");
    assert_eq!(texts(&trial.read_all(first_of(id)).await), ["old0", "old1", "old2"]);
    let last = PartitionRef::new(id, PartitionId(2));
    assert_eq!(trial.read_all(last).await, []);
    trial.fill(last, &[Fact::keyless("new")]).await;
    assert_eq!(texts(&trial.read_all(last).await), ["new"]);
}

pub async fn the_name_stays_and_partitions_never_shrink(trial: Trial) {
    let id = trial.topic("orders", 3).await;
    let alter = |name: &str, partitions| {
        trial.log().alter_topic(id, TopicSpec::new(topic_name(name), partitions))
    };
    let fixed = |field| Err(AlterTopicError::Fixed { field });
    assert_eq!(alter("orders2", 3).await, fixed("name"));
    assert_eq!(alter("orders", 2).await, fixed("partitions"));
    assert_eq!(alter("orders", TopicSpec::PARTITIONS_MAX + 1).await, fixed("partitions"));
    let spec = TopicSpec::new(topic_name("orders"), 3);
    assert_eq!(trial.log().topics().await, Ok(vec![TopicInfo { id, spec }]));
}

pub async fn what_is_not_there_is_neither_altered_nor_deleted(trial: Trial) {
    let id = trial.topic("orders", 1).await;
    trial.log().delete_topic(id).await.expect("a topic is deleted");
    for gone in [id, TopicId(u64::MAX)] {
        let alter = trial.log().alter_topic(gone, TopicSpec::new(topic_name("orders"), 1)).await;
        assert_eq!(alter, Err(AlterTopicError::NoTopic(gone)));
        let delete = trial.log().delete_topic(gone).await;
        assert_eq!(delete, Err(DeleteTopicError::NoTopic(gone)));
    }
}

pub async fn records_of_a_deleted_topic_are_gone(trial: Trial) {
    let gone = trial.topic("orders", 1).await;
    let other = trial.topic("other", 1).await;
    trial.append(gone, &counted("gone", 3)).await;
    trial.append(other, &counted("kept", 2)).await;
    trial.log().delete_topic(gone).await.expect("a topic is deleted");
    let at = first_of(gone);
    let no_partition = || ReadError::NoPartition(at);
    assert_eq!(trial.try_read(at, Offset(0), ALL).await.expect_err("gone"), no_partition());
    assert_eq!(trial.log().bounds(at).await, Err(no_partition()));
    assert_eq!(trial.log().offset_at(at, Timestamp(0)).await, Err(no_partition()));
    assert_eq!(trial.log().trim(at, Offset(0)).await, Err(TrimError::NoPartition(at)));
    let append = trial.try_append(gone, super::records::batch_of(&counted("x", 1))).await;
    assert_eq!(append, Err(AppendError::NoTopic(gone)));
    assert_eq!(names(&trial).await, ["other"]);
    assert_eq!(texts(&trial.read_all(first_of(other)).await), ["kept0", "kept1"]);
    let anew = trial.topic("orders", 1).await;
    assert_eq!(trial.read_all(first_of(anew)).await, []);
}

pub async fn waiting_readers_of_a_deleted_topic_are_told(trial: Trial) {
    let id = trial.topic("orders", 1).await;
    let other = trial.topic("other", 1).await;
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(begun(trial.log().read(first_of(id), Offset(0), WAIT)).await);
    }
    let unconcerned = begun(trial.log().read(first_of(other), Offset(0), WAIT)).await;
    trial.log().delete_topic(id).await.expect("a topic is deleted");
    for reader in waiting {
        let page = reader.end().await;
        assert_eq!(page.expect_err("gone"), ReadError::NoPartition(first_of(id)));
    }
    trial.append(other, &counted("a", 1)).await;
    assert_eq!(unconcerned.end().await.expect("it waits on").batches.len(), 1);
}
