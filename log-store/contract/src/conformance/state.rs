//! Function state: what a settlement wrote is what a lease reads. Never an overlay, which is the feed's.
use super::trial::{Trial, cursor_name, gained_all, own_state, soon, to};
use crate::{Lease, Offset, PartitionId, Settlement, StateError, StateKey, StateWrite};
use bytes::Bytes;

fn key(key: Option<&str>, name: &str) -> StateKey {
    let key = key.map(|key| Bytes::copy_from_slice(key.as_bytes()));
    StateKey { key, name: name.into() }
}

async fn write(trial: &Trial, lease: &Lease, writes: &[(StateKey, Option<&str>)]) {
    let write = |(at, value): &(StateKey, Option<&str>)| StateWrite {
        at: at.clone(),
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
    };
    let state = writes.iter().map(write).collect();
    let settlement = Settlement { state, ..to(Offset(0)) };
    trial.settle(lease, settlement).await.expect("it settles");
}

async fn read(trial: &Trial, lease: &Lease, keys: &[StateKey]) -> Vec<Option<String>> {
    let values = soon("state", trial.log().state(lease, keys)).await.expect("a lease has state");
    let text = |value: Bytes| String::from_utf8_lossy(&value).into_owned();
    values.into_iter().map(|value| value.map(text)).collect()
}

pub async fn values_come_in_the_order_of_the_keys(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let lease = trial.lease("c", topic).await;
    let (a, b, c) = (own_state("a"), own_state("b"), own_state("c"));
    assert_eq!(read(&trial, &lease, std::slice::from_ref(&a)).await, [None]);
    assert_eq!(read(&trial, &lease, &[]).await, []);
    write(&trial, &lease, &[(a.clone(), Some("1")), (b.clone(), Some("2"))]).await;
    let values = read(&trial, &lease, &[b.clone(), c, a.clone(), b]).await;
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(values, [some("2"), None, some("1"), some("2")]);
    let many: Vec<_> = (0..1_000).map(|nth| own_state(&format!("n{nth}"))).collect();
    let writes: Vec<_> = many.iter().map(|at| (at.clone(), Some(&*at.name))).collect();
    write(&trial, &lease, &writes).await;
    let names: Vec<_> = many.iter().map(|at| some(&at.name)).collect();
    assert_eq!(read(&trial, &lease, &many).await, names);
}

pub async fn of_two_writes_to_one_key_the_later_stays(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let lease = trial.lease("c", topic).await;
    let (a, b, c) = (own_state("a"), own_state("b"), own_state("c"));
    let writes = [
        (a.clone(), Some("1")),
        (b.clone(), Some("1")),
        (a.clone(), Some("2")),
        (b.clone(), None),
        (c.clone(), None),
        (c.clone(), Some("3")),
    ];
    write(&trial, &lease, &writes).await;
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(read(&trial, &lease, &[a, b, c]).await, [some("2"), None, some("3")]);
}

pub async fn none_deletes_and_empty_is_a_value(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let lease = trial.lease("c", topic).await;
    let (a, b) = (own_state("a"), own_state("b"));
    let both = [a.clone(), b.clone()];
    write(&trial, &lease, &[(a.clone(), Some("1")), (b.clone(), Some(""))]).await;
    assert_eq!(read(&trial, &lease, &both).await, [Some("1".into()), Some(String::new())]);
    write(&trial, &lease, &[(a.clone(), None), (own_state("never"), None)]).await;
    assert_eq!(read(&trial, &lease, &both).await, [None, Some(String::new())]);
    write(&trial, &lease, &[(b, None), (a, Some("again"))]).await;
    assert_eq!(read(&trial, &lease, &both).await, [Some("again".into()), None]);
}

pub async fn each_key_and_name_has_a_value_of_its_own(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let lease = trial.lease("c", topic).await;
    // The partition's own, an empty key, and pairs that run together if they are glued.
    let keys = [
        key(None, "n"),
        key(Some(""), "n"),
        key(Some("n"), "n"),
        key(Some("a"), "bc"),
        key(Some("ab"), "c"),
        key(None, ""),
        key(Some(""), ""),
        key(Some("\0"), ""),
        key(Some(""), "\0"),
        key(Some("é"), "n"),
    ];
    let values: Vec<_> = (0..keys.len()).map(|nth| nth.to_string()).collect();
    let writes: Vec<_> =
        keys.iter().zip(&values).map(|(key, value)| (key.clone(), Some(&**value))).collect();
    write(&trial, &lease, &writes).await;
    let expected: Vec<_> = values.into_iter().map(Some).collect();
    assert_eq!(read(&trial, &lease, &keys).await, expected);
}

pub async fn state_belongs_to_the_cursor_and_the_partition(trial: Trial) {
    let topic = trial.topic("t", 2).await;
    let mut member = trial.join("c", topic).await;
    let mut other = trial.join("other", topic).await;
    let mut leases = gained_all(&mut *member, 2).await;
    leases.extend(gained_all(&mut *other, 2).await);
    let name = own_state("n");
    for (nth, lease) in leases.iter().enumerate() {
        assert_eq!(read(&trial, lease, std::slice::from_ref(&name)).await, [None]);
        write(&trial, lease, &[(name.clone(), Some(&nth.to_string()))]).await;
    }
    for (nth, lease) in leases.iter().enumerate() {
        let value = Some(nth.to_string());
        assert_eq!(read(&trial, lease, std::slice::from_ref(&name)).await, [value]);
    }
    assert_eq!(leases[1].partition, PartitionId(1));
}

pub async fn state_comes_back_with_the_next_lease(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let lease = trial.lease("c", topic).await;
    let name = key(Some("k"), "n");
    write(&trial, &lease, &[(name.clone(), Some("1"))]).await;
    drop(lease);
    let lease = trial.lease("c", topic).await;
    assert_eq!(read(&trial, &lease, &[name]).await, [Some("1".into())]);
}

pub async fn state_goes_with_its_cursor(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let name = own_state("n");
    for cursor in ["c", "other"] {
        let lease = trial.lease(cursor, topic).await;
        write(&trial, &lease, &[(name.clone(), Some(cursor))]).await;
    }
    trial.delete_cursor("c").await;
    let lease = trial.lease("c", topic).await;
    assert_eq!(read(&trial, &lease, std::slice::from_ref(&name)).await, [None]);
    let other = trial.lease("other", topic).await;
    assert_eq!(read(&trial, &other, &[name]).await, [Some("other".into())]);
}

pub async fn state_goes_with_its_topic(trial: Trial) {
    let topic = trial.topic("t", 1).await;
    let name = own_state("n");
    let lease = trial.lease("c", topic).await;
    write(&trial, &lease, &[(name.clone(), Some("1"))]).await;
    trial.log().delete_topic(topic).await.expect("a topic is deleted");
    let state = trial.log().state(&lease, std::slice::from_ref(&name)).await;
    assert_eq!(state, Err(StateError::LeaseVoid));
    let anew = trial.topic("t", 1).await;
    let lease = trial.lease("c", anew).await;
    assert_eq!(read(&trial, &lease, &[name]).await, [None]);
    assert_eq!(lease.cursor, cursor_name("c"));
}
