//! Cursors as an operator sees, lists and deletes them. Never how leases are shared out.
use super::{
    records::counted,
    trial::{Trial, cursor_name, eventually, first_of, gained, gained_all, to, to_progress},
};
use crate::{
    Before, CursorInfo, CursorPosition, DeleteCursorError, Memo, Offset, PartitionId, PartitionRef,
    Progress,
};

async fn infos(trial: &Trial) -> Vec<CursorInfo> {
    trial.log().cursors().await.expect("cursors are listed")
}

pub async fn a_cursor_exists_from_its_first_settlement_on(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    assert_eq!(infos(&trial).await, []);
    let member = trial.join("c", topic).await;
    drop(member);
    let lease = trial.lease("c", topic).await;
    assert_eq!(infos(&trial).await, [], "none has settled");
    trial.settle(&lease, to(Offset(0))).await.expect("it settles");
    let position =
        CursorPosition { topic, partition: PartitionId(0), progress: Progress::at(Offset(0)) };
    let info =
        |in_use| CursorInfo { name: cursor_name("c"), positions: vec![position.clone()], in_use };
    assert_eq!(infos(&trial).await, [info(true)]);
    drop(lease);
    let given_back = async || (infos(&trial).await == [info(false)]).then_some(());
    eventually("it is not in use any more", given_back).await;
    let member = trial.join("c", topic).await;
    assert_eq!(infos(&trial).await, [info(true)], "a member uses it, too");
    drop(member);
    eventually("it is not in use any more", given_back).await;
}

pub async fn cursors_and_their_positions_are_sorted(trial: Trial) {
    let topic = trial.topic("t", 12).await;
    for partition in (0..12).map(PartitionId) {
        trial.fill(PartitionRef::new(topic, partition), &counted("in", 20)).await;
    }
    for cursor in ["b", "a", "C", "a.x", "_own"] {
        let name = crate::CursorName::parse_internal(cursor).expect("a fine name");
        let mut member = trial.log().join(&name, &[topic]).await.expect("it is joined");
        for lease in gained_all(&mut *member, 12).await.into_iter().rev() {
            let at = Offset(u64::from(lease.partition.0));
            let progress = Progress::from_parts(at, vec![Offset(15)..Offset(17)]).expect("sorted");
            trial.settle(&lease, to_progress(progress)).await.expect("it settles");
        }
    }
    let infos = infos(&trial).await;
    let names: Vec<_> = infos.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["C", "_own", "a", "a.x", "b"]);
    for info in &infos {
        let at = |position: &CursorPosition| (position.topic, position.partition);
        assert_eq!(info.positions.len(), 12);
        assert!(info.positions.is_sorted_by_key(at));
        let as_settled = |position: &CursorPosition| {
            position.progress.next().0 == u64::from(position.partition.0)
                && position.progress.ahead() == [Offset(15)..Offset(17)]
        };
        assert!(info.positions.iter().all(as_settled));
    }
}

pub async fn a_deleted_cursor_begins_anew(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let at = first_of(topic);
    let offsets = trial.fill(at, &counted("in", 5)).await;
    for cursor in ["c", "other"] {
        let lease = trial.lease(cursor, topic).await;
        trial.settle(&lease, to(offsets[3]).with_memo("old")).await.expect("it settles");
    }
    trial.delete_cursor("c").await;
    assert_eq!(trial.position("c", at).await, None);
    let lease = trial.lease("c", topic).await;
    assert_eq!((&lease.progress[..], &lease.memo), (&[None][..], &Memo::default()));
    assert_eq!(lease.before, Before::Nothing);
    trial.settle(&lease, to(offsets[1])).await.expect("nothing holds it ahead");
    assert_eq!(trial.position("other", at).await, Some(Progress::at(offsets[3])));
    let other = trial.lease("other", topic).await;
    assert_eq!(other.memo, Memo("old".into()));
}

pub async fn a_cursor_in_use_is_not_deleted(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let name = cursor_name("c");
    let mut member = trial.join("c", topic).await;
    let lease = gained(&mut *member).await;
    trial.settle(&lease, to(Offset(0))).await.expect("it settles");
    let in_use = || Err(DeleteCursorError::InUse(name.clone()));
    assert_eq!(trial.log().delete_cursor(&name).await, in_use());
    drop(member);
    assert_eq!(trial.log().delete_cursor(&name).await, in_use(), "a lease is held");
    let waiting = trial.join("c", topic).await;
    drop(lease);
    assert_eq!(trial.log().delete_cursor(&name).await, in_use(), "a member is there");
    assert_eq!(trial.position("c", first_of(topic)).await, Some(Progress::at(Offset(0))));
    drop(waiting);
    trial.delete_cursor("c").await;
}

pub async fn what_is_not_there_is_not_deleted(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let no_cursor = Err(DeleteCursorError::NoCursor(cursor_name("c")));
    assert_eq!(trial.log().delete_cursor(&cursor_name("c")).await, no_cursor);
    let lease = trial.lease("c", topic).await;
    trial.settle(&lease, to(Offset(0))).await.expect("it settles");
    drop(lease);
    trial.delete_cursor("c").await;
    assert_eq!(trial.log().delete_cursor(&cursor_name("c")).await, no_cursor);
}

pub async fn a_cursor_of_a_deleted_topic_does_not_bind_its_namesake(trial: Trial) {
    let (topic, other) = (trial.topic("t", 1).await, trial.topic("other", 1).await);
    trial.append(topic, &counted("in", 5)).await;
    for (cursor, topic) in [("c", topic), ("d", other)] {
        let lease = trial.lease(cursor, topic).await;
        trial.settle(&lease, to(Offset(0)).with_memo("old")).await.expect("it settles");
    }
    trial.log().delete_topic(topic).await.expect("a topic is deleted");
    let names: Vec<_> = infos(&trial).await.into_iter().map(|info| info.name).collect();
    assert_eq!(names, [cursor_name("d")], "it had no position but there");
    let anew = trial.topic("t", 1).await;
    let lease = trial.lease("c", anew).await;
    assert_eq!((&lease.progress[..], &lease.memo), (&[None][..], &Memo::default()));
    assert_eq!(lease.before, Before::Nothing);
    assert_eq!(trial.lease("d", other).await.memo, Memo("old".into()));
}
