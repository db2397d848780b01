//! An invocation is a pure function of component, configuration, batch, attempt and state.
use crate::support::{NEWEST_MS, call, handled, invoke, values};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

#[tokio::test]
async fn the_same_invocation_draws_the_same_bytes_and_times() {
    let first = values(&handled(invoke("clock-and-random", call(&["a", "b"])).await));
    let again = values(&handled(invoke("clock-and-random", call(&["a", "b"])).await));
    assert_eq!(first, again);
    assert_ne!(first[0], first[1], "within an invocation they differ");
    assert!(first[0].contains(&NEWEST_MS.to_string()), "{}", first[0]);
    assert!(!first[0].contains(r#""monotonic_ns":"0""#), "{}", first[0]);
}

#[tokio::test]
async fn another_attempt_batch_or_configuration_draws_others() {
    let mut seen = vec![values(&handled(invoke("clock-and-random", call(&["a"])).await))];
    let mut attempt = call(&["a"]);
    attempt.attempt = 2;
    let mut configured = call(&["a"]);
    configured.environment = Arc::new([("A".into(), "1".into())]);
    let mut elsewhere = call(&["a"]);
    elsewhere.partition = log_contract::PartitionId(4);
    for call in [attempt, configured, elsewhere] {
        let drawn = values(&handled(invoke("clock-and-random", call).await));
        assert!(!seen.contains(&drawn));
        seen.push(drawn);
    }
}

#[tokio::test]
async fn a_wait_is_real_and_costs_no_cpu() {
    let started = Instant::now();
    let invoked = invoke("late", call(&["wait:400"])).await;
    assert!(started.elapsed() >= Duration::from_millis(400));
    assert!(invoked.cost.wall >= Duration::from_millis(400));
    assert!(invoked.cost.cpu < Duration::from_millis(200), "{:?}", invoked.cost);
    handled(invoked);
}
