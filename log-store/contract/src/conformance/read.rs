//! Reads: pages, budgets, waits; bounds and times. Never a trim.
use super::{
    records::{Fact, Found, batch_of, counted, texts},
    trial::{ALL, Trial, WAIT, assert_wellformed, begun, first_of, is_waiting, meet, soon, to},
};
use crate::{Clock as _, Timestamp, TopicId};
use crate::{Offset, OffsetBounds, PartitionId, PartitionRef, ReadBudget, ReadError, ReadPage};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

fn found_in(page: &ReadPage) -> Vec<Found> {
    page.batches.iter().flat_map(Found::all_of).collect()
}

/// Reads with a small budget, page by page.
async fn read_with(trial: &Trial, at: PartitionRef, budget: ReadBudget) -> Vec<Found> {
    let (mut found, mut from) = (Vec::new(), Offset(0));
    loop {
        let page = trial.read(at, from, budget).await;
        found.extend(found_in(&page));
        if page.next >= page.end {
            return found;
        }
        assert!(from < page.next, "every page goes on, however small the budget");
        from = page.next;
    }
}

pub async fn pages_join_without_gap_or_overlap(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    for nth in 0..12_usize {
        trial.append(topic, &counted(&format!("{nth}/"), nth + 1)).await;
    }
    let whole = trial.read_all(first_of(topic)).await;
    assert_eq!(whole.len(), 78);
    for records_max in [1, 2, 3, 7, 50, 77, 78, 1000] {
        let found = read_with(&trial, first_of(topic), ReadBudget { records_max, ..ALL }).await;
        assert_eq!(found, whole, "{records_max} records a page");
    }
    for bytes_max in [0, 1, 4, 9, 60, 100_000] {
        let found = read_with(&trial, first_of(topic), ReadBudget { bytes_max, ..ALL }).await;
        assert_eq!(found, whole, "{bytes_max} bytes a page");
    }
}

pub async fn a_page_is_as_full_as_its_budget_lets_it(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    trial.append(topic, &vec![Fact::of_bytes(100); 10]).await;
    let count =
        async |budget| found_in(&trial.read(first_of(topic), Offset(0), budget).await).len();
    assert_eq!(count(ReadBudget { records_max: 4, ..ALL }).await, 4);
    assert_eq!(count(ReadBudget { bytes_max: 399, ..ALL }).await, 3);
    assert_eq!(count(ReadBudget { bytes_max: 400, ..ALL }).await, 4);
    assert_eq!(count(ALL).await, 10);
}

pub async fn the_first_record_comes_even_if_it_is_larger(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    trial.append(topic, &[Fact::of_bytes(5), Fact::of_bytes(500), Fact::of_bytes(5)]).await;
    let budget = ReadBudget { bytes_max: 10, ..ALL };
    let first = trial.read(first_of(topic), Offset(0), budget).await;
    assert_eq!(found_in(&first).len(), 1);
    let large = found_in(&trial.read(first_of(topic), first.next, budget).await);
    assert_eq!(
        large.iter().map(|found| found.fact.clone()).collect::<Vec<_>>(),
        [Fact::of_bytes(500)]
    );
}

pub async fn a_read_begins_at_any_record(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    trial.append(topic, &counted("a", 5)).await;
    trial.append(topic, &counted("b", 5)).await;
    let whole = trial.read_all(first_of(topic)).await;
    for (nth, found) in whole.iter().enumerate() {
        assert_eq!(trial.read_from(first_of(topic), found.offset).await, whole[nth..]);
    }
    let budget = ReadBudget { records_max: 2, ..ALL };
    let page = trial.read(first_of(topic), whole[4].offset, budget).await;
    assert_eq!(texts(&found_in(&page)), ["a4", "b0"]);
}

pub async fn at_the_end_a_page_is_empty_and_idle(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    for _ in 0..2 {
        let end = trial.end(at).await;
        let page = trial.read(at, end, ALL).await;
        assert!(page.batches.is_empty());
        assert_eq!((page.next, page.end), (end, end));
        let wait = ReadBudget { wait_max: Duration::from_millis(20), ..ALL };
        let page = trial.read(at, end, wait).await;
        assert!(page.batches.is_empty(), "a wait ends");
        assert_eq!((page.next, page.end), (end, end));
        trial.append(topic, &counted("a", 3)).await;
    }
}

pub async fn a_waiting_read_gets_the_first_record(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let at = first_of(topic);
    for nth in 0..20 {
        let end = trial.end(at).await;
        let waiting: Vec<_> = [(); 5].map(|()| trial.log().read(at, end, WAIT)).into();
        let mut readers = Vec::new();
        for reader in waiting {
            readers.push(begun(reader).await);
        }
        trial.fill(at, &counted(&format!("{nth}/"), 2)).await;
        for reader in readers {
            let page = reader.end().await.expect("a page");
            assert_wellformed(&page, end, WAIT);
            assert_eq!(found_in(&page)[0].fact.text(), format!("{nth}/0"));
        }
    }
}

/// Each append races with a reader that is just about to wait for it, and nothing else would wake it.
pub async fn a_record_wakes_whoever_begins_to_wait(trial: Trial) {
    const ROUNDS: u64 = 600;
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    let (log, about_to_wait) = (trial.stores.log.clone(), Arc::new(AtomicU64::new(0)));
    let told = about_to_wait.clone();
    let reader = tokio::spawn(async move {
        let mut from = Offset(0);
        for round in 1..=ROUNDS {
            told.store(round, Ordering::SeqCst);
            let page = log.read(at, from, WAIT).await.expect("a page");
            assert_eq!(found_in(&page).len(), 1, "a wait as long as this ends by a record");
            from = page.next;
        }
    });
    for round in 1..=ROUNDS {
        meet(&about_to_wait, round).await;
        trial.append(topic, &counted("x", 1)).await;
    }
    soon("the reader has them all", reader).await.expect("no panic");
}

pub async fn a_settlement_wakes_readers_of_its_outputs(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    let lease = trial.lease("c", source).await;
    let reader = begun(trial.log().read(first_of(sink), Offset(0), WAIT)).await;
    let settlement = to(Offset(0)).with_output(sink, &counted("out", 1));
    trial.settle(&lease, settlement).await.expect("it settles");
    assert_eq!(texts(&found_in(&reader.end().await.expect("a page"))), ["out0"]);
}

pub async fn a_record_elsewhere_ends_no_wait(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let other = PartitionRef::new(topic, PartitionId(1));
    let mut reader = Box::pin(trial.log().read(first_of(topic), Offset(0), WAIT));
    assert!(is_waiting(&mut reader).await);
    trial.fill(other, &counted("elsewhere", 3)).await;
    assert!(is_waiting(&mut reader).await);
    trial.fill(first_of(topic), &counted("here", 1)).await;
    let page = soon("the wait ends", reader).await.expect("a page");
    assert_eq!(texts(&found_in(&page)), ["here0"]);
}

pub async fn from_beyond_the_end_it_waits_for_that_offset(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    trial.append(topic, &counted("a", 2)).await;
    let from = Offset(trial.end(at).await.0 + 3);
    let page = trial.read(at, from, ALL).await;
    assert!(page.batches.is_empty());
    assert_eq!(page.next, from, "there it would go on");
    let mut reader = Box::pin(trial.log().read(at, from, WAIT));
    assert!(is_waiting(&mut reader).await);
    let earlier = trial.fill(at, &counted("b", 1)).await;
    assert!(is_waiting(&mut reader).await, "{earlier:?} lies before {from}");
    trial.append(topic, &counted("c", 8)).await;
    let page = soon("the wait ends", reader).await.expect("a page");
    assert_wellformed(&page, from, WAIT);
    assert!(!page.batches.is_empty());
}

pub async fn a_read_that_is_dropped_while_it_waits_takes_nothing_along(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    let log = trial.stores.log.clone();
    let writer = tokio::spawn(async move {
        for nth in 0..200 {
            let batch = batch_of(&[Fact::keyless(&nth.to_string())]);
            log.append(topic, batch.into(), crate::AppendGuard::default()).await.expect("taken");
            tokio::task::yield_now().await;
        }
    });
    let (mut found, mut from) = (Vec::new(), Offset(0));
    while found.len() < 200 {
        let read = trial.log().read(at, from, WAIT);
        // Most of these are cancelled; what they would have read comes with the next.
        if let Ok(page) = tokio::time::timeout(Duration::from_micros(200), read).await {
            let page = page.expect("a page");
            found.extend(found_in(&page));
            from = page.next;
        }
    }
    soon("the writer ends", writer).await.expect("no panic");
    let expected: Vec<_> = (0..200).map(|nth| nth.to_string()).collect();
    assert_eq!(texts(&found), expected);
}

pub async fn what_is_not_there_cannot_be_read(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let gone = PartitionRef::new(TopicId(u64::MAX), PartitionId(0));
    for at in [PartitionRef::new(topic, PartitionId(2)), gone] {
        let error = ReadError::NoPartition(at);
        assert_eq!(trial.try_read(at, Offset(0), ALL).await.expect_err("not there"), error);
        assert_eq!(trial.try_read(at, Offset(0), WAIT).await.expect_err("not there"), error);
        assert_eq!(trial.log().bounds(at).await.expect_err("not there"), error);
        assert_eq!(trial.log().offset_at(at, Timestamp(0)).await.expect_err("not there"), error);
    }
}

pub async fn bounds_count_records_and_their_bytes(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let at = first_of(topic);
    let empty = trial.log().bounds(at).await.expect("bounds");
    assert_eq!(empty.start, empty.end);
    assert_eq!((empty.records, empty.bytes), (0, 0));
    let headers = vec![("name".to_owned(), b"value".to_vec())];
    let fact = Fact { headers, ..Fact::keyed("key", "12345") };
    let offsets = trial.fill(at, &[fact, Fact::keyless("1234567")]).await;
    let OffsetBounds { start, end, records, bytes } = trial.log().bounds(at).await.expect("bounds");
    assert_eq!((start, records), (offsets[0], 2));
    assert!(offsets[1] < end);
    let headers = 4 + 4 + 4 + 5;
    assert_eq!(bytes, 3 + 5 + headers + 7);
    let other = PartitionRef::new(topic, PartitionId(1));
    assert_eq!(trial.log().bounds(other).await.expect("bounds").records, 0);
}

/// One record a second, from one second after the start; its offsets.
async fn one_a_second(trial: &Trial, topic: TopicId, count: usize) -> Vec<(Timestamp, Offset)> {
    let mut placed = Vec::new();
    for nth in 0..count {
        trial.clock.advance(Duration::from_secs(1));
        // The producer's time must not matter.
        let fact = Fact { timestamp: Timestamp(99 - nth as u64), ..Fact::keyless("x") };
        let offsets = trial.fill(first_of(topic), &[fact.clone(), fact]).await;
        placed.push((trial.clock.now(), offsets[0]));
    }
    placed
}

pub async fn an_offset_is_found_by_when_it_was_appended(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    let offset_at = async |time| trial.log().offset_at(at, time).await.expect("an offset");
    let end = trial.end(at).await;
    assert_eq!(offset_at(Timestamp(0)).await, end, "there is none");
    let placed = one_a_second(&trial, topic, 6).await;
    assert_eq!(offset_at(Timestamp(0)).await, placed[0].1);
    for (time, offset) in &placed {
        assert_eq!(offset_at(*time).await, *offset, "the first of equals");
        assert_eq!(offset_at(Timestamp(time.0 - 1)).await, *offset);
        assert_eq!(offset_at(Timestamp(time.0 - 999)).await, *offset);
    }
    let end = trial.end(at).await;
    let last = placed[5].0;
    assert_eq!(offset_at(Timestamp(last.0 + 1)).await, end);
    assert_eq!(offset_at(Timestamp(u64::MAX)).await, end);
}
