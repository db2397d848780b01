//! The embedded log passes what every log must pass: also over restarts, crashes and a full disk.
mod fixture;

use fixture::Store;

log_contract::conformance!(Store::new());
log_contract::conformance_durable!(Store::new());
log_contract::conformance_full!(Store::new());

/// What was opened while there is no room goes on as it did before.
mod full_disk {
    use std::{sync::Arc, time::Duration};

    use log_contract::{
        AppendError, AppendGuard, BatchBuilder, CursorName, Headers, Log, LogUnavailable,
        MembershipEvent, Memo, Offset, Progress, Settlement, SystemClock, Timestamp, TopicId,
        TopicName, TopicSpec, conformance::Fixture,
    };

    use super::Store;

    async fn append(log: &dyn Log, topic: TopicId) -> Result<(), AppendError> {
        let mut batch = BatchBuilder::default();
        batch.push_new(Timestamp(0), None, Some(b"value"), Headers::NONE);
        log.append(topic, batch.build().into(), AppendGuard::default()).await.map(drop)
    }

    #[tokio::test]
    async fn a_full_store_is_opened_again_and_service_returns() {
        let store = Store::new();
        let log = store.open(Arc::new(SystemClock::start())).await.log;
        let name = TopicName::parse("t").expect("a name");
        let topic = log.create_topic(TopicSpec::new(name, 1)).await.expect("it is made");
        append(&*log, topic).await.expect("there is room");
        store.fill_up().await;
        drop(log);
        for _ in 0..3 {
            store.crash().await;
            let log = store.open(Arc::new(SystemClock::start())).await.log;
            let refused = append(&*log, topic).await;
            let is_full = matches!(
                refused,
                Err(AppendError::Unavailable(LogUnavailable::StorageFull { .. }))
            );
            assert!(is_full, "{refused:?}");
            let cursor = CursorName::parse("c").expect("a name");
            let mut member = log.join(&cursor, &[topic]).await.expect("it is joined");
            let Some(MembershipEvent::Gained(lease)) = member.next().await else { panic!() };
            let settlement = Settlement {
                outputs: Vec::new(),
                state: Vec::new(),
                progress: vec![Progress::at(Offset(1))],
                memo: Memo::default(),
                rewind: false,
            };
            log.settle(&lease, settlement).await.expect("progress alone needs no room");
        }
        store.free().await;
        store.crash().await;
        let log = store.open(Arc::new(SystemClock::start())).await.log;
        let returned = async { while append(&*log, topic).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(30), returned).await.expect("room is found");
    }
}
