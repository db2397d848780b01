//! A full store: what is refused, what goes on, and that service returns by itself. For logs that can
//! be filled up.
use super::{
    records::{batch_of, counted, texts},
    trial::{Trial, WAIT, begun, first_of, soon, to},
};
use crate::{
    AppendError, LogUnavailable, Memo, Offset, OffsetBounds, Progress, SettleError, Settled,
};
use bytes::Bytes;
use std::time::Duration;

fn assert_full(why: &LogUnavailable) {
    let LogUnavailable::StorageFull { retry_after } = why else { panic!("{why}") };
    assert!(*retry_after > Duration::ZERO, "to try again at once helps nobody");
}

fn assert_not_applied(settled: Result<Settled, SettleError>) {
    match settled {
        Err(SettleError::NotApplied { retry_after, why }) => {
            assert!(retry_after > Duration::ZERO);
            assert_full(&why);
        }
        other => panic!("{other:?}"),
    }
}

pub async fn a_full_log_refuses_records_and_leaves_nothing_of_them(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    let offsets = trial.fill(first_of(source), &counted("in", 5)).await;
    let lease = trial.lease("c", source).await;
    let first = to(offsets[1]).with_state("n", Some("old")).with_memo("old");
    trial.settle(&lease, first).await.expect("there is room");
    trial.fixture.fill_up().await;
    for _ in 0..3 {
        match trial.try_append(source, batch_of(&counted("lost", 2))).await {
            Err(AppendError::Unavailable(why)) => assert_full(&why),
            other => panic!("{other:?}"),
        }
        let settlement = to(offsets[4])
            .with_output(sink, &counted("lost", 1))
            .with_state("n", Some("new"))
            .with_memo("new");
        assert_not_applied(trial.settle(&lease, settlement).await);
    }
    assert_eq!(trial.read_all(first_of(source)).await.len(), 5);
    assert_eq!(trial.read_all(first_of(sink)).await, []);
    assert_eq!(trial.position("c", first_of(source)).await, Some(Progress::at(offsets[1])));
    assert_eq!(trial.state(&lease, &["n"]).await, [Some(Bytes::from("old"))]);
    drop(lease);
    assert_eq!(trial.lease("c", source).await.memo, Memo("old".into()));
}

pub async fn progress_alone_trims_deletes_and_reads_go_on(trial: Trial) {
    let (source, gone) = (trial.topic("source", 1).await, trial.topic("gone", 1).await);
    let at = first_of(source);
    let offsets = trial.fill(at, &counted("in", 5)).await;
    let done = trial.lease("done", source).await;
    trial.settle(&done, to(Offset(0))).await.expect("there is room");
    drop(done);
    trial.fixture.fill_up().await;
    assert_eq!(texts(&trial.read_all(at).await), ["in0", "in1", "in2", "in3", "in4"]);
    let lease = trial.lease("c", source).await;
    for offset in &offsets[1..] {
        trial.settle(&lease, to(*offset).with_memo("memo")).await.expect("progress alone");
    }
    assert_eq!(trial.position("c", at).await, Some(Progress::at(offsets[4])));
    trial.log().trim(at, offsets[3]).await.expect("a trim goes on");
    let OffsetBounds { start, records, .. } = trial.log().bounds(at).await.expect("bounds");
    assert_eq!((start, records), (offsets[3], 2));
    trial.delete_cursor("done").await;
    trial.log().delete_topic(gone).await.expect("a delete goes on");
    assert_eq!(trial.log().topics().await.expect("listed").len(), 1);
}

pub async fn service_returns_by_itself(trial: Trial) {
    let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
    let offsets = trial.fill(first_of(source), &counted("in", 3)).await;
    let lease = trial.lease("c", source).await;
    let settlement = || to(offsets[2]).with_output(sink, &counted("out", 1));
    let reader = begun(trial.log().read(first_of(sink), Offset(0), WAIT)).await;
    for _ in 0..2 {
        trial.fixture.fill_up().await;
        assert_not_applied(trial.settle(&lease, settlement()).await);
        trial.fixture.free().await;
        soon("room is found", async {
            while let Err(SettleError::NotApplied { why, .. }) =
                trial.settle(&lease, settlement()).await
            {
                assert_full(&why);
                tokio::task::yield_now().await;
            }
        })
        .await;
        trial.append(source, &counted("more", 1)).await;
    }
    assert!(!reader.end().await.expect("it waited on").batches.is_empty());
    assert_eq!(texts(&trial.read_all(first_of(sink)).await), ["out0", "out0"]);
    let expected = ["in0", "in1", "in2", "more0", "more0"];
    assert_eq!(texts(&trial.read_all(first_of(source)).await), expected);
}
