//! The end of a log: what is told to those who are there still. What remains for the next: `durable`.
use super::{
    records::{batch_of, counted},
    trial::{
        ALL, Trial, WAIT, begun, cursor_name, first_of, gained, is_waiting, own_state, soon, to,
        topic_name,
    },
};
use crate::{
    AppendGuard, Expect, Log, LogUnavailable, Offset, ReadError, SettleError, Timestamp, TopicSpec,
};
use std::{fmt::Debug, sync::Arc};

/// Of errors that wrap it, the one that says that the log is closed.
fn assert_closed<T: Debug, E: From<LogUnavailable> + PartialEq + Debug>(answer: Result<T, E>) {
    assert_eq!(answer.map(|_| ()), Err(E::from(LogUnavailable::Closed)));
}

pub async fn afterwards_everything_answers_closed(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let lease = trial.lease("c", topic).await;
    trial.settle(&lease, to(Offset(0))).await.expect("it settles");
    let (log, at, cursor) = (trial.log(), first_of(topic), cursor_name("c"));
    soon("close", log.close()).await;
    let spec = || TopicSpec::new(topic_name("t"), 2);
    assert_closed(log.create_topic(TopicSpec::new(topic_name("new"), 1)).await);
    assert_closed(log.create_topic(spec()).await);
    assert_closed(log.alter_topic(topic, spec()).await);
    assert_closed(log.delete_topic(topic).await);
    assert_closed(log.topics().await);
    assert_closed(trial.try_append(topic, batch_of(&counted("x", 1))).await);
    assert_closed(trial.try_read(at, Offset(0), ALL).await);
    assert_closed(trial.try_read(at, Offset(0), WAIT).await);
    assert_closed(log.trim(at, Offset(0)).await);
    assert_closed(log.bounds(at).await);
    assert_closed(log.offset_at(at, Timestamp(0)).await);
    assert_closed(log.join(&cursor, &[topic]).await);
    assert_closed(log.state(&lease, &[own_state("n")]).await);
    assert_closed(log.cursors().await);
    assert_closed(log.delete_cursor(&cursor).await);
    let settled = trial.settle(&lease, to(Offset(0))).await;
    let is_closed =
        matches!(settled, Err(SettleError::NotApplied { why: LogUnavailable::Closed, .. }));
    assert!(is_closed, "{settled:?}");
    let put = trial.stores.documents.put("k", Some("v".into()), Expect::Anything);
    assert_closed(soon("put", put).await);
    // Nobody falls over a log that is gone.
    drop(lease);
    soon("close again", log.close()).await;
}

pub async fn those_who_wait_are_told(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let mut first = trial.join("c", topic).await;
    let lease = gained(&mut *first).await;
    let mut second = trial.join("c", topic).await;
    let at = first_of(topic);
    let mut reader = Box::pin(trial.log().read(at, Offset(0), WAIT));
    let mut next = Box::pin(second.next());
    let mut change = Box::pin(trial.stores.documents.changed(u64::MAX));
    assert!(is_waiting(&mut reader).await && is_waiting(&mut next).await);
    assert!(is_waiting(&mut change).await);
    soon("close", trial.log().close()).await;
    let closed = ReadError::Unavailable(LogUnavailable::Closed);
    assert_eq!(soon("the reader", reader).await.expect_err("closed"), closed);
    assert!(soon("the member", next).await.is_none());
    assert!(soon("the other member", first.next()).await.is_none());
    assert!(soon("and again", second.next()).await.is_none());
    assert_eq!(soon("the watcher", change).await, Err(LogUnavailable::Closed));
    drop((lease, first));
}

/// What was taken before is answered; what comes later is refused; nothing hangs.
pub async fn calls_that_race_with_it_get_one_answer_or_the_other(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let append = |log: Arc<dyn Log>| async move {
        loop {
            let batch = batch_of(&counted("x", 1)).into();
            match log.append(topic, batch, AppendGuard::default()).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(append(trial.stores.log.clone()))).collect();
    let before =
        begun(trial.log().append(topic, batch_of(&counted("x", 1)).into(), AppendGuard::default()))
            .await;
    soon("close", trial.log().close()).await;
    before.end().await.expect("it was taken before");
    for task in tasks {
        let error = soon("an append ends", task).await.expect("no panic");
        assert_eq!(error, LogUnavailable::Closed.into());
    }
}
