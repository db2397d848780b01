//! Appends: where records go, what comes back of them, what is refused. Never a cursor.
use super::{
    records::{Fact, Found, batch_of, counted, some_attributes, texts},
    trial::{Trial, begun, first_of, soon},
};
use crate::{
    AppendBatch, AppendError, AppendGuard, AppendedRun, Clock as _, Offset, PartitionId,
    PartitionRef, Timestamp, TopicId, partition_of_key,
};
use std::{collections::BTreeSet, time::Duration};

async fn found_in_all(trial: &Trial, topic: TopicId, partitions: u32) -> Vec<Vec<Found>> {
    let mut found = Vec::new();
    for partition in 0..partitions {
        found.push(trial.read_all(PartitionRef::new(topic, PartitionId(partition))).await);
    }
    found
}

fn facts(found: &[Found]) -> Vec<Fact> {
    found.iter().map(|found| found.fact.clone()).collect()
}

pub async fn a_record_comes_back_as_it_was_given(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let given = [
        Fact { timestamp: Timestamp(5), ..Fact::keyed("key", "value") },
        Fact { timestamp: Timestamp(u64::MAX), key: Some(vec![]), ..Fact::keyless("empty key") },
        Fact { timestamp: Timestamp(0), key: None, ..Fact::keyless("no key") },
        Fact { value: Some(vec![]), ..Fact::keyed("empty value", "") },
        Fact { value: None, ..Fact::keyed("tombstone", "") },
        Fact { key: None, value: None, ..Fact::default() },
        Fact { key: Some(vec![0, 0xff, 0x80]), value: Some(vec![0; 300]), ..Fact::default() },
        Fact {
            headers: vec![
                header("b", b"1"),
                header("a", &[0xff, 0]),
                header("b", b""),
                header("", b"nameless"),
                header("é", b"2"),
            ],
            ..Fact::keyed("headers", "in order, twice too")
        },
    ];
    trial.append(topic, &given).await;
    assert_eq!(facts(&trial.read_all(first_of(topic)).await), given);
}

pub async fn attributes_of_a_batch_come_back_on_each_record(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let attributes = Some(some_attributes());
    let with = |fact: Fact| Fact { attributes: attributes.clone(), ..fact };
    let made: Vec<_> = (0..20).map(|n| with(Fact::keyed(&format!("k{n}"), "made"))).collect();
    trial.append(topic, &made).await;
    trial.append(topic, &counted("plain", 3)).await;
    let found = found_in_all(&trial, topic, 2).await.concat();
    assert_eq!(found.iter().filter(|found| found.fact.attributes == attributes).count(), 20);
    assert!(
        found.iter().all(|found| found.fact.attributes.is_some() == (found.fact.text() == "made"))
    );
}

pub async fn an_append_says_where_its_records_lie(trial: Trial) {
    let topic = trial.topic("t", 3).await;
    trial.append(topic, &counted("before", 4)).await;
    trial.clock.advance(Duration::from_secs(5));
    let given: Vec<_> =
        (0..60).map(|n| Fact::keyed(&format!("k{}", n / 2), &n.to_string())).collect();
    let appended = trial.append(topic, &given).await;
    let mut at = 0;
    for AppendedRun { partition, offset, records } in &appended.runs {
        assert!(*records > 0);
        let found = trial.read_from(PartitionRef::new(topic, *partition), *offset).await;
        let records = *records as usize;
        assert_eq!(found[0].offset, *offset);
        assert_eq!(facts(&found[..records]), given[at..at + records]);
        assert!(found[..records].iter().all(|found| found.appended_at == appended.appended_at));
        at += records;
    }
    assert_eq!(at, given.len(), "each record is in a run");
    let sides = appended.runs.windows(2);
    assert!(sides.into_iter().all(|two| two[0].partition != two[1].partition), "runs are whole");
}

pub async fn a_key_has_its_partition(trial: Trial) {
    let topic = trial.topic("t", 12).await;
    let keys: Vec<_> = (0..200).map(|n| format!("order-{n}")).chain(["".into()]).collect();
    let given: Vec<_> = keys.iter().map(|key| Fact::keyed(key, "v")).collect();
    trial.append(topic, &given).await;
    for (partition, found) in found_in_all(&trial, topic, 12).await.iter().enumerate() {
        for Found { fact, .. } in found {
            let key = fact.key.as_deref().expect("all have keys");
            assert_eq!(partition_of_key(key, 12).0 as usize, partition);
        }
    }
}

pub async fn a_chosen_partition_goes_before_the_key(trial: Trial) {
    let topic = trial.topic("t", 4).await;
    let given: Vec<_> = (0..10).map(|n| Fact::keyed("same", &n.to_string())).collect();
    let partitions = vec![(0..2, PartitionId(3)), (2..3, PartitionId(1)), (6..10, PartitionId(3))];
    let batch = AppendBatch { records: batch_of(&given), partitions };
    trial.try_append(topic, batch).await.expect("an append is taken");
    let by_key = partition_of_key(b"same", 4).0 as usize;
    let mut expected = vec![vec![]; 4];
    for (at, fact) in given.iter().enumerate() {
        let partition = match at {
            2 => 1,
            0 | 1 | 6.. => 3,
            _ => by_key,
        };
        expected[partition].push(fact.clone());
    }
    let found = found_in_all(&trial, topic, 4).await;
    assert_eq!(found.iter().map(|found| facts(found)).collect::<Vec<_>>(), expected);
}

pub async fn records_of_one_append_are_neighbours_in_order(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let append = |task: usize| {
        let log = trial.stores.log.clone();
        async move {
            for nth in 0..10 {
                let value = |at| format!("{task}/{nth}/{at}");
                let facts: Vec<_> =
                    (0..8).map(|at| Fact::keyed(&format!("{at}"), &value(at))).collect();
                let batch = AppendBatch::from(batch_of(&facts));
                log.append(topic, batch, AppendGuard::default()).await.expect("it is taken");
            }
        }
    };
    let tasks: Vec<_> = (0..8).map(|task| tokio::spawn(append(task))).collect();
    for task in tasks {
        soon("appends", task).await.expect("no panic");
    }
    for found in found_in_all(&trial, topic, 2).await {
        let texts = texts(&found);
        let append_of = |text: &str| text.rsplit_once('/').expect("three parts").0.to_owned();
        let appends: Vec<_> = texts.chunk_by(|a, b| append_of(a) == append_of(b)).collect();
        assert_eq!(appends.len(), 80, "each append is one stretch");
        assert!(appends.iter().all(|one| one.is_sorted()), "in the order of the request");
    }
}

pub async fn records_of_one_key_keep_the_order_of_their_appends(trial: Trial) {
    let topic = trial.topic("t", 3).await;
    let append = |task: usize| {
        let log = trial.stores.log.clone();
        async move {
            for nth in 0..50_usize {
                let fact = Fact::keyed(&format!("key {task}"), &nth.to_string());
                let batch = AppendBatch::from(batch_of(&[fact]));
                log.append(topic, batch, AppendGuard::default()).await.expect("it is taken");
            }
        }
    };
    let tasks: Vec<_> = (0..16).map(|task| tokio::spawn(append(task))).collect();
    for task in tasks {
        soon("appends", task).await.expect("no panic");
    }
    let found = found_in_all(&trial, topic, 3).await.concat();
    assert_eq!(found.len(), 16 * 50);
    for task in 0..16 {
        let key = format!("key {task}").into_bytes();
        let of_key = found.iter().filter(|found| found.fact.key.as_ref() == Some(&key));
        let values: Vec<_> = of_key.map(|found| found.fact.text()).collect();
        assert_eq!(values, (0..50).map(|nth| nth.to_string()).collect::<Vec<_>>());
    }
}

pub async fn appends_that_overtake_nothing_keep_the_order_of_the_calls(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let mut calls = Vec::new();
    for nth in 0..40_usize {
        let batch = AppendBatch::from(batch_of(&[Fact::keyed("k", &nth.to_string())]));
        calls.push(begun(trial.log().append(topic, batch, AppendGuard::default())).await);
    }
    for call in calls {
        call.end().await.expect("an append is taken");
    }
    let expected: Vec<_> = (0..40).map(|nth| nth.to_string()).collect();
    assert_eq!(texts(&trial.read_all(first_of(topic)).await), expected);
}

pub async fn keyless_records_are_spread_append_by_append(trial: Trial) {
    let topic = trial.topic("t", 4).await;
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        let appended = trial.append(topic, &counted("x", 3)).await;
        assert_eq!(appended.runs.len(), 1, "one append stays together");
        seen.insert(appended.runs[0].partition);
    }
    assert_eq!(seen.len(), 4, "every partition gets its share");
    for found in found_in_all(&trial, topic, 4).await {
        assert!(found.len() >= 12, "no partition is left behind: {}", found.len());
    }
}

pub async fn what_is_refused_leaves_nothing(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let empty = trial.try_append(topic, batch_of(&[])).await;
    assert_eq!(empty, Err(AppendError::Empty));
    let nowhere = trial.try_append(TopicId(u64::MAX), batch_of(&counted("x", 1))).await;
    assert_eq!(nowhere, Err(AppendError::NoTopic(TopicId(u64::MAX))));
    let partitions = vec![(0..1, PartitionId(1)), (2..3, PartitionId(2))];
    let batch = AppendBatch { records: batch_of(&counted("x", 5)), partitions };
    let beyond = trial.try_append(topic, batch).await;
    let no_partition = AppendError::NoPartition { topic, partition: PartitionId(2), partitions: 2 };
    assert_eq!(beyond, Err(no_partition));
    assert_eq!(found_in_all(&trial, topic, 2).await, [[], []]);
}

pub async fn a_record_is_at_most_so_large(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let max = trial.log().limits().record_bytes_max;
    // Headers and key count, too.
    let headers = vec![("h".to_owned(), vec![0; 7])];
    let of = |bytes: usize| Fact {
        key: Some(vec![b'k'; 10]),
        headers: headers.clone(),
        ..Fact::of_bytes(bytes - 10 - 16)
    };
    let larger = [Fact::keyless("small"), of(max + 1)];
    let refused = trial.try_append(topic, batch_of(&larger)).await;
    assert_eq!(refused, Err(AppendError::RecordTooLarge { index: 1, bytes: max + 1, max }));
    assert_eq!(trial.read_all(first_of(topic)).await, []);
    let largest = [of(max)];
    trial.append(topic, &largest).await;
    assert!(facts(&trial.read_all(first_of(topic)).await) == largest, "it comes back whole");
}

pub async fn an_append_is_at_most_so_large(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let max = trial.log().limits().append_bytes_max;
    let of = |bytes: usize| {
        let half = bytes / 2;
        [Fact::of_bytes(half), Fact::of_bytes(bytes - half)]
    };
    let refused = trial.try_append(topic, batch_of(&of(max + 1))).await;
    assert_eq!(refused, Err(AppendError::TooLarge { bytes: max + 1, max }));
    assert_eq!(trial.read_all(first_of(topic)).await, []);
    trial.append(topic, &of(max)).await;
    assert_eq!(trial.log().bounds(first_of(topic)).await.expect("it is there").bytes, max as u64);
}

pub async fn ten_thousand_records_come_back(trial: Trial) {
    let topic = trial.topic("t", 3).await;
    let given: Vec<_> =
        (0..10_000).map(|n| Fact::keyed(&format!("k{}", n % 97), &n.to_string())).collect();
    let appended = trial.append(topic, &given).await;
    assert_eq!(appended.runs.iter().map(|run| run.records as usize).sum::<usize>(), 10_000);
    let mut values = Vec::new();
    for found in found_in_all(&trial, topic, 3).await {
        let of: Vec<usize> =
            texts(&found).iter().map(|text| text.parse().expect("a number")).collect();
        assert!(of.is_sorted());
        values.extend(of);
    }
    values.sort_unstable();
    assert_eq!(values, (0..10_000).collect::<Vec<_>>());
}

pub async fn a_record_bears_the_logs_time_and_it_never_goes_back(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let at = first_of(topic);
    trial.clock.advance(Duration::from_secs(1));
    let now = trial.clock.now();
    let first = trial.append(topic, &[Fact::keyed("k", "1")]).await;
    assert_eq!(first.appended_at, now);
    trial.fill(at, &counted("now", 1)).await;
    trial.clock.set(Timestamp(now.0 - 60_000));
    trial.fill(at, &counted("earlier", 2)).await;
    trial.clock.set(now.after(Duration::from_secs(9)));
    trial.fill(at, &counted("later", 1)).await;
    let found = trial.read_all(at).await;
    assert!(found.is_sorted_by_key(|found| found.appended_at), "it never goes back");
    let last = found.last().expect("four records");
    assert_eq!(last.appended_at, now.after(Duration::from_secs(9)));
    assert!(found[..found.len() - 1].iter().all(|found| found.appended_at == now));
}

pub async fn a_call_that_is_dropped_leaves_all_or_nothing(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    for nth in 0..20 {
        let facts: Vec<_> =
            (0..6).map(|at| Fact::keyed(&at.to_string(), &nth.to_string())).collect();
        let batch = AppendBatch::from(batch_of(&facts));
        drop(begun(trial.log().append(topic, batch, AppendGuard::default())).await);
    }
    // What was asked for earlier is done earlier.
    let last: Vec<_> = (0..6).map(|at| Fact::keyed(&at.to_string(), "last")).collect();
    trial.append(topic, &last).await;
    let found = found_in_all(&trial, topic, 2).await.concat();
    for nth in 0..20 {
        let count = found.iter().filter(|found| found.fact.text() == nth.to_string()).count();
        assert!(count == 0 || count == 6, "{count} of 6 records");
    }
}

pub async fn an_append_that_expects_an_end_is_taken_there_or_not_at_all(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let at = PartitionRef::new(topic, PartitionId(1));
    let to_one = |value: &str, count: usize| {
        let records = batch_of(&counted(value, count));
        AppendBatch { partitions: vec![(0..count, at.partition)], records }
    };
    let expecting = async |end: Offset, batch: AppendBatch| {
        let guard = AppendGuard::expecting(end);
        soon("append", trial.log().append(topic, batch, guard)).await
    };
    let taken = expecting(Offset(0), to_one("a", 3)).await.expect("it ends there");
    assert_eq!(
        taken.runs,
        [AppendedRun { partition: at.partition, offset: Offset(0), records: 3 }]
    );
    let end = trial.end(at).await;
    for expected in [Offset(0), Offset(end.0 - 1), Offset(end.0 + 1)] {
        let refused = expecting(expected, to_one("b", 1)).await;
        assert_eq!(refused, Err(AppendError::EndMoved { partition: at.partition, expected, end }));
    }
    // Neither is there if one of them is not in that partition.
    let records = batch_of(&counted("c", 2));
    let partitions = vec![(0..1, at.partition), (1..2, PartitionId(0))];
    let scattered = expecting(end, AppendBatch { records, partitions }).await;
    assert_eq!(scattered, Err(AppendError::Scattered { partitions: 2 }));
    assert_eq!(trial.end(at).await, end);
    assert_eq!(trial.end(first_of(topic)).await, Offset(0));
    // By key, too.
    let one_key = batch_of(&[Fact::keyed("k", "d"), Fact::keyed("k", "e")]);
    let partition = crate::partition_of_key(b"k", 2);
    let end = trial.end(PartitionRef::new(topic, partition)).await;
    expecting(end, one_key.into()).await.expect("it ends there");
    assert_eq!(texts(&trial.read_all(at).await)[..3], ["a0", "a1", "a2"]);
}

pub async fn of_many_who_expect_the_same_end_one_is_taken(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    for round in 0..20 {
        let end = trial.end(first_of(topic)).await;
        let calls = (0..8).map(|nth| {
            let batch = batch_of(&[Fact::keyless(&format!("{round}-{nth}"))]);
            let guard = AppendGuard::expecting(end);
            trial.log().append(topic, batch.into(), guard)
        });
        let mut begun_calls = Vec::new();
        for call in calls {
            begun_calls.push(begun(call).await);
        }
        let mut taken = 0;
        for call in begun_calls {
            match call.end().await {
                Ok(_) => taken += 1,
                Err(AppendError::EndMoved { expected, end: now, .. }) => {
                    assert_eq!((expected, now), (end, Offset(end.0 + 1)));
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(taken, 1);
        assert_eq!(trial.end(first_of(topic)).await, Offset(end.0 + 1));
    }
}
