//! Blobs: kept, fetched, removed by digest. Never what they are for.
use super::trial::{Trial, soon};
use crate::Digest;
use bytes::Bytes;

pub async fn what_was_kept_comes_back_under_its_digest(trial: Trial) {
    let blobs = &trial.stores.blobs;
    for bytes in [Bytes::new(), Bytes::from("abc"), Bytes::from(vec![7; 3 << 20])] {
        let digest = blobs.keep(bytes.clone()).await.expect("it is kept");
        assert_eq!(digest, Digest::of(&bytes));
        assert!(blobs.fetch(digest).await == Ok(Some(bytes)));
    }
    assert_eq!(blobs.fetch(Digest::of(b"never")).await, Ok(None));
}

pub async fn the_same_again_does_nothing(trial: Trial) {
    let blobs = &trial.stores.blobs;
    let first = blobs.keep(Bytes::from("abc")).await.expect("it is kept");
    let second = blobs.keep(Bytes::from("abc")).await.expect("it is kept");
    assert_eq!(first, second);
    assert_eq!(blobs.digests().await, Ok(vec![first]));
    assert_eq!(blobs.fetch(first).await, Ok(Some(Bytes::from("abc"))));
}

pub async fn what_was_removed_is_gone(trial: Trial) {
    let blobs = &trial.stores.blobs;
    let (abc, def) = (Digest::of(b"abc"), Digest::of(b"def"));
    blobs.remove(abc).await.expect("removing what is not here does nothing");
    blobs.keep(Bytes::from("abc")).await.expect("it is kept");
    blobs.keep(Bytes::from("def")).await.expect("it is kept");
    for _ in 0..2 {
        blobs.remove(abc).await.expect("it is removed");
        assert_eq!(blobs.fetch(abc).await, Ok(None));
        assert_eq!(blobs.digests().await, Ok(vec![def]));
    }
    blobs.keep(Bytes::from("abc")).await.expect("it is kept again");
    assert_eq!(blobs.fetch(abc).await, Ok(Some(Bytes::from("abc"))));
}

pub async fn digests_are_sorted(trial: Trial) {
    let blobs = &trial.stores.blobs;
    assert_eq!(blobs.digests().await, Ok(vec![]));
    let mut expected = Vec::new();
    for nth in 0..20 {
        expected.push(blobs.keep(Bytes::from(format!("{nth}"))).await.expect("it is kept"));
    }
    expected.sort_unstable();
    assert_eq!(blobs.digests().await, Ok(expected));
}

pub async fn many_may_keep_the_same(trial: Trial) {
    let bytes = Bytes::from(vec![3; 100_000]);
    let keep = |_| {
        let (blobs, bytes) = (trial.stores.blobs.clone(), bytes.clone());
        tokio::spawn(async move {
            let digest = blobs.keep(bytes.clone()).await.expect("it is kept");
            assert!(blobs.fetch(digest).await == Ok(Some(bytes)));
        })
    };
    for task in (0..8).map(keep).collect::<Vec<_>>() {
        soon("it is kept", task).await.expect("no panic");
    }
    assert_eq!(trial.stores.blobs.digests().await, Ok(vec![Digest::of(&bytes)]));
}
