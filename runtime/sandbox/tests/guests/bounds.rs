//! A bound that a guest breaks fails its invocation, is named, and touches no neighbour.
use crate::support::{
    call, component, failed, function, function_on, handled, invoke, own_sandbox, shared,
};
use std::time::{Duration, Instant};
use trigger::FailureKind;

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_guest_that_sleeps_ends_at_its_deadline() {
    let function = function("sleeps").await;
    let mut call = call(&["sleep"]);
    call.limits.timeout = 300 * MS;
    let started = Instant::now();
    let invoked = shared().invoke(&function, call).await;
    let took = started.elapsed();
    // It would sleep for an hour. The upper bounds leave room for a machine that is busy elsewhere.
    assert!((300 * MS..2_000 * MS).contains(&took), "took {took:?}");
    assert!(invoked.cost.cpu < 150 * MS, "sleeping costs no CPU time: {:?}", invoked.cost);
    let (kind, reason) = failed(invoked);
    assert_eq!((kind, reason.as_str()), (FailureKind::TimedOut, "ran longer than 300ms"));
}

#[tokio::test]
async fn a_guest_that_spins_ends_at_its_deadline_with_all_workers_busy() {
    let function = function("spins").await;
    let spinning = (0..4).map(|_| {
        let mut call = call(&["spin"]);
        call.limits.timeout = 200 * MS;
        let function = function.clone();
        tokio::spawn(async move {
            let started = Instant::now();
            let invoked = shared().invoke(&function, call).await;
            (started.elapsed(), invoked.cost.cpu, failed(invoked).0)
        })
    });
    for task in spinning.collect::<Vec<_>>() {
        let (took, cpu, kind) = task.await.expect("no panic");
        assert_eq!(kind, FailureKind::TimedOut);
        assert!((200 * MS..10_000 * MS).contains(&took), "took {took:?}");
        assert!(cpu >= 190 * MS, "time in which others had the workers is not billed: {cpu:?}");
    }
}

#[tokio::test]
async fn neighbours_go_on_while_guests_spin() {
    let (spins, identity) = (function("spins").await, function("identity").await);
    let spinning: Vec<_> = (0..2)
        .map(|_| {
            let mut call = call(&["spin"]);
            call.limits.timeout = 3_000 * MS;
            let spins = spins.clone();
            tokio::spawn(async move { shared().invoke(&spins, call).await })
        })
        .collect();
    tokio::time::sleep(50 * MS).await;
    for _ in 0..5 {
        handled(shared().invoke(&identity, call(&["x"])).await);
    }
    assert!(!spinning.iter().any(tokio::task::JoinHandle::is_finished), "both workers were busy");
    for task in spinning {
        assert_eq!(failed(task.await.expect("no panic")).0, FailureKind::TimedOut);
    }
}

#[tokio::test]
async fn memory_beyond_the_limit_is_told_from_a_panic() {
    let mut hungry = call(&["eat"]);
    hungry.limits.memory_bytes = 8 << 20;
    let invoked = invoke("eats-memory", hungry).await;
    let peak = invoked.cost.memory_peak_bytes;
    assert!((4 << 20..=8 << 20).contains(&peak), "peak {peak}");
    let (kind, reason) = failed(invoked);
    assert_eq!(kind, FailureKind::OutOfMemory);
    assert!(reason.starts_with("asked for more than 8388608 bytes of memory"), "{reason}");
    let mut none = call(&["x"]);
    none.limits.memory_bytes = 65_536;
    let (kind, _) = failed(invoke("eats-memory", none).await);
    assert_eq!(kind, FailureKind::OutOfMemory, "also if it cannot even start");
    handled(invoke("eats-memory", call(&["x"])).await);
}

#[tokio::test]
async fn outputs_beyond_the_limits_are_refused() {
    let (kind, reason) = failed(invoke("floods-outputs", call(&["flood"])).await);
    assert_eq!(kind, FailureKind::BoundBroken);
    assert!(reason.contains("10000") || reason.contains("larger than 16777216 bytes"), "{reason}");
    let (kind, reason) = failed(invoke("floods-outputs", call(&["flood-bytes"])).await);
    assert_eq!(kind, FailureKind::BoundBroken);
    assert!(reason.contains("16777216 bytes"), "{reason}");
    let (kind, _) = failed(invoke("floods-outputs", call(&["flood-many"])).await);
    assert!(matches!(kind, FailureKind::BoundBroken | FailureKind::OutOfMemory), "{kind:?}");
    let mut narrow = call(&["a", "b"]);
    narrow.limits.output_records = 1;
    let (_, reason) = failed(invoke("identity", narrow).await);
    assert_eq!(reason, "2 outputs, the most is 1");
    let mut narrow = call(&["aaaa", "b"]);
    narrow.limits.output_bytes = 8;
    let (_, reason) = failed(invoke("identity", narrow).await);
    assert!(reason.ends_with("bytes, the most is 8"), "{reason}");
    let mut narrow = call(&["a", &"b".repeat(100), "c"]);
    narrow.limits.record_bytes = 90;
    let (kind, reason) = failed(invoke("identity", narrow).await);
    assert_eq!(kind, FailureKind::BoundBroken);
    assert!(reason.starts_with("output 1 has 1"), "{reason}");
    assert!(reason.ends_with("the most of one is 90"), "{reason}");
}

#[tokio::test]
async fn a_flood_of_logs_is_taken_and_forgotten() {
    let invoked = invoke("floods-logs", call(&["flood"])).await;
    let kept: usize = invoked.logs.lines().map(|line| line.text.len() + 1).sum();
    assert!((200_000..=256 << 10).contains(&kept), "kept {kept}");
    assert!(invoked.logs.dropped_bytes() > 60 << 20, "{}", invoked.logs.dropped_bytes());
    assert_eq!(handled(invoked).outputs.len(), 1, "the guest is none the wiser");
}

#[tokio::test]
async fn beyond_the_pool_guests_run_on_demand() {
    let (sandbox, _dir) = own_sandbox(|config| config.slots = 1);
    let late = function_on(&sandbox, component("late")).await;
    let (mut first, mut second) = (call(&["wait:200"]), call(&["wait:200"]));
    first.limits.timeout = 10_000 * MS;
    second.limits.timeout = 10_000 * MS;
    let (first, second) = tokio::join!(sandbox.invoke(&late, first), sandbox.invoke(&late, second));
    handled(first);
    handled(second);
    let stats = sandbox.stats();
    assert_eq!((stats.pooled_total, stats.on_demand_total), (1, 1));
    assert_eq!((stats.instances_live, stats.guest_memory_bytes), (0, 0));
    assert_eq!((stats.functions_loaded, stats.compiles_total), (1, 1));
    drop(late);
    assert_eq!(sandbox.stats().functions_loaded, 0);
}

#[tokio::test]
async fn without_a_pool_guests_run_all_the_same() {
    // More address space than there is.
    let (sandbox, _dir) = own_sandbox(|config| config.slots = 1_000_000);
    let identity = function_on(&sandbox, component("identity")).await;
    handled(sandbox.invoke(&identity, call(&["x"])).await);
    assert_eq!(sandbox.stats().on_demand_total, 1);
}
