//! Documents: versions, expectations, lists, changes. Never what a document says.
use super::trial::{Trial, begun, is_waiting, meet, soon};
use crate::{DOCUMENT_BYTES_MAX, Documents, Expect, PutDocumentError};
use bytes::Bytes;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

async fn put(trial: &Trial, key: &str, value: &str) -> u64 {
    let value = Some(Bytes::copy_from_slice(value.as_bytes()));
    let put = trial.stores.documents.put(key, value, Expect::Anything);
    soon("put", put).await.expect("a document is put")
}

async fn delete(trial: &Trial, key: &str) -> u64 {
    let put = trial.stores.documents.put(key, None, Expect::Anything);
    soon("delete", put).await.expect("a document is deleted")
}

async fn get(trial: &Trial, key: &str) -> Option<(u64, Bytes)> {
    let found = soon("get", trial.stores.documents.get(key)).await.expect("documents answer");
    found.map(|document| (document.version, document.value))
}

async fn listed(trial: &Trial, prefix: &str) -> Vec<String> {
    let list = trial.stores.documents.list(prefix).await.expect("documents answer");
    for (key, document) in &list {
        let found = get(trial, key).await;
        assert_eq!(found, Some((document.version, document.value.clone())), "{key}");
    }
    list.into_iter().map(|(key, _)| key).collect()
}

pub async fn a_document_comes_back_until_it_is_deleted(trial: Trial) {
    assert_eq!(get(&trial, "a/b").await, None);
    let first = put(&trial, "a/b", "1").await;
    assert_eq!(get(&trial, "a/b").await, Some((first, Bytes::from("1"))));
    let second = put(&trial, "a/b", "").await;
    assert_eq!(get(&trial, "a/b").await, Some((second, Bytes::new())), "empty is a value");
    delete(&trial, "a/b").await;
    assert_eq!(get(&trial, "a/b").await, None);
    for key in ["", "ключ/with spaces\n", &"long".repeat(200)] {
        let version = put(&trial, key, key).await;
        let value = Bytes::copy_from_slice(key.as_bytes());
        assert_eq!(get(&trial, key).await, Some((version, value)));
    }
}

pub async fn versions_grow_over_all_keys(trial: Trial) {
    let mut last = 0;
    for nth in 0..6 {
        for key in ["a", "b"] {
            for version in [put(&trial, key, &nth.to_string()).await, delete(&trial, key).await] {
                assert!(last < version, "{version} after {last}");
                last = version;
            }
        }
        let same = put(&trial, "same", "content").await;
        assert!(last < same, "also of equal contents");
        last = same;
    }
}

pub async fn a_put_needs_what_it_expects(trial: Trial) {
    let documents = &trial.stores.documents;
    let value = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
    let conflict = |current| Err(PutDocumentError::Conflict { key: "k".into(), current });
    assert_eq!(documents.put("k", value("x"), Expect::Version(1)).await, conflict(None));
    assert_eq!(documents.put("k", None, Expect::Version(1)).await, conflict(None));
    let first = documents.put("k", value("1"), Expect::Nothing).await.expect("nothing is there");
    assert_eq!(documents.put("k", value("x"), Expect::Nothing).await, conflict(Some(first)));
    assert_eq!(documents.put("k", None, Expect::Nothing).await, conflict(Some(first)));
    let second = documents.put("k", value("2"), Expect::Version(first)).await.expect("as expected");
    let stale = Expect::Version(first);
    assert_eq!(documents.put("k", value("x"), stale).await, conflict(Some(second)));
    assert_eq!(documents.put("k", None, stale).await, conflict(Some(second)));
    assert_eq!(get(&trial, "k").await, Some((second, Bytes::from("2"))));
    documents.put("k", None, Expect::Version(second)).await.expect("as expected");
    assert_eq!(get(&trial, "k").await, None);
    assert_eq!(documents.put("k", value("x"), Expect::Version(second)).await, conflict(None));
    documents.put("k", value("3"), Expect::Nothing).await.expect("nothing is there");
}

pub async fn to_delete_nothing_does_nothing(trial: Trial) {
    let version = put(&trial, "a", "1").await;
    assert_eq!(delete(&trial, "b").await, version);
    trial.stores.documents.put("b", None, Expect::Nothing).await.expect("as expected");
    let mut change = Box::pin(trial.stores.documents.changed(version));
    assert!(is_waiting(&mut change).await, "nothing has changed");
    let next = put(&trial, "a", "2").await;
    assert_eq!(soon("a change", change).await, Ok(next));
}

pub async fn a_document_is_at_most_so_large(trial: Trial) {
    let (documents, max) = (&trial.stores.documents, DOCUMENT_BYTES_MAX);
    let large = Bytes::from(vec![b'x'; max + 1]);
    let refused = documents.put("k", Some(large.clone()), Expect::Anything).await;
    let too_large = PutDocumentError::TooLarge { key: "k".into(), bytes: max + 1, max };
    assert_eq!(refused, Err(too_large));
    assert_eq!(get(&trial, "k").await, None);
    let largest = large.slice(1..);
    documents.put("k", Some(largest.clone()), Expect::Anything).await.expect("exactly so large");
    assert!(get(&trial, "k").await.is_some_and(|(_, value)| value == largest));
}

pub async fn a_list_holds_what_begins_so_sorted(trial: Trial) {
    for key in ["f/b", "t/x", "f/a", "f", "f/", "g", "f/a/1", "F/a", "f/é"] {
        put(&trial, key, key).await;
    }
    assert_eq!(listed(&trial, "f/").await, ["f/", "f/a", "f/a/1", "f/b", "f/é"]);
    assert_eq!(listed(&trial, "f/a").await, ["f/a", "f/a/1"]);
    assert_eq!(listed(&trial, "t").await, ["t/x"]);
    assert_eq!(listed(&trial, "nothing").await, [""; 0]);
    assert_eq!(listed(&trial, "").await.len(), 9);
    delete(&trial, "f/a").await;
    assert_eq!(listed(&trial, "f/a").await, ["f/a/1"]);
}

pub async fn a_change_is_told_with_the_newest_version(trial: Trial) {
    let documents = &trial.stores.documents;
    let waiting = begun(documents.changed(0)).await;
    let first = put(&trial, "a", "1").await;
    assert_eq!(waiting.end().await, Ok(first));
    let second = put(&trial, "b", "1").await;
    assert_eq!(soon("it is there", documents.changed(0)).await, Ok(second));
    assert_eq!(soon("it is there", documents.changed(first)).await, Ok(second));
    let mut waiting = Box::pin(documents.changed(second));
    assert!(is_waiting(&mut waiting).await);
    let third = delete(&trial, "a").await;
    assert_eq!(soon("a delete is a change", waiting).await, Ok(third));
}

/// Each put races with a watcher that is just about to wait for it, and nothing else would wake it.
pub async fn no_change_is_missed(trial: Trial) {
    const ROUNDS: u64 = 600;
    let (documents, about_to_wait) = (trial.stores.documents.clone(), Arc::new(AtomicU64::new(0)));
    let told = about_to_wait.clone();
    let watcher = tokio::spawn(async move {
        let mut seen = 0;
        for round in 1..=ROUNDS {
            told.store(round, Ordering::SeqCst);
            let now = documents.changed(seen).await.expect("documents answer");
            assert!(seen < now);
            seen = now;
        }
        seen
    });
    let mut last = 0;
    for round in 1..=ROUNDS {
        meet(&about_to_wait, round).await;
        last = put(&trial, "k", &round.to_string()).await;
    }
    assert_eq!(soon("the watcher sees them all", watcher).await.expect("no panic"), last);
}

pub async fn of_many_who_put_one_version_one_wins(trial: Trial) {
    let add_up = |documents: Arc<dyn Documents>| async move {
        let mut versions = Vec::new();
        while versions.len() < 10 {
            let now = documents.get("sum").await.expect("documents answer");
            let (sum, expect) = now.map_or((0, Expect::Nothing), |now| {
                let text = String::from_utf8_lossy(&now.value).into_owned();
                (text.parse::<u32>().expect("a number"), Expect::Version(now.version))
            });
            let value = Some(Bytes::from((sum + 1).to_string()));
            match documents.put("sum", value, expect).await {
                Ok(version) => versions.push(version),
                Err(PutDocumentError::Conflict { .. }) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
        versions
    };
    let tasks: Vec<_> =
        (0..8).map(|_| tokio::spawn(add_up(trial.stores.documents.clone()))).collect();
    let mut versions = BTreeSet::new();
    for task in tasks {
        versions.extend(soon("they add up", task).await.expect("no panic"));
    }
    assert_eq!(versions.len(), 80);
    assert_eq!(get(&trial, "sum").await.map(|(_, value)| value), Some(Bytes::from("80")));
}
