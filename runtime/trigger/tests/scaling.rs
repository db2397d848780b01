//! How the autoscaler must behave, whatever is measured; and a queue that it serves.
use log_contract::Timestamp;
use proptest::prelude::*;
use std::time::Duration;
use trigger::*;

fn policy(min: usize, max: usize) -> ScalingPolicy {
    let lag_target = Duration::from_secs(5);
    ScalingPolicy { concurrency_min: min, concurrency_max: max, lag_target }
}

fn sample(backlog: u64, service_ms: u64, busy: usize) -> PartitionSample {
    PartitionSample {
        backlog,
        oldest: Duration::from_secs(12),
        service_time: Some(Duration::from_millis(service_ms)),
        busy,
        ..PartitionSample::default()
    }
}

fn samples() -> impl Strategy<Value = Vec<PartitionSample>> {
    let numbers = (0_u64..100_000, 0_u64..60_000, 0.0..5_000.0_f64, 0.0..5_000.0_f64);
    let others = (prop::option::of(0_u64..2_000), 0.0..=1.0_f64, 0_usize..40, 0_u8..10);
    let one = (numbers, others).prop_map(|((backlog, age, arrival, done), others)| {
        let (service, cpu_share, busy, blocked) = others;
        PartitionSample {
            backlog: backlog.saturating_sub(20_000),
            oldest: Duration::from_millis(age),
            arrival_rate: arrival,
            throughput: done,
            service_time: service.map(Duration::from_micros),
            cpu_share,
            busy,
            is_blocked: blocked == 0,
        }
    });
    prop::collection::vec(one, 0..12)
}

fn ordering() -> impl Strategy<Value = Ordering> {
    any::<bool>().prop_map(|key| if key { Ordering::Key } else { Ordering::Partition })
}

proptest! {
    #[test]
    fn asked_twice_at_one_instant_it_answers_once(
        history in prop::collection::vec((samples(), 0_u64..5_000), 1..12),
        ordering in ordering(), min in 0_usize..3, max in 3_usize..64,
    ) {
        let mut scaler = Autoscaler::new(policy(min, max), ordering);
        let mut now = 0;
        for (samples, wait) in history {
            now += wait;
            let first = scaler.decide(Timestamp(now), 8.0, &samples);
            let again = scaler.decide(Timestamp(now), 8.0, &samples);
            prop_assert_eq!(first.width, again.width);
            prop_assert_eq!(first.wanted, again.wanted);
            prop_assert_eq!(again.from, again.width);
            prop_assert!((min.max(1)..=max).contains(&first.width));
            prop_assert!(first.width <= (2 * first.from).max(1).max(min), "bounded steps");
            prop_assert!(!first.to_string().is_empty());
        }
    }

    /// No creeping, no swinging: up in steps or down after calm, and there it stays.
    #[test]
    fn unchanged_input_leads_somewhere_and_stays(
        start in samples(), samples in samples(), ordering in ordering(), max in 3_usize..64,
    ) {
        let mut scaler = Autoscaler::new(policy(0, max), ordering);
        for second in 0..8 {
            scaler.decide(Timestamp(second * 1_000), 8.0, &start);
        }
        let widths: Vec<_> = (8..120)
            .map(|second| scaler.decide(Timestamp(second * 1_000), 8.0, &samples).width)
            .collect();
        let turns = widths.windows(2).filter(|pair| pair[0] != pair[1]).map(|pair| pair[0] < pair[1]);
        let turns: Vec<_> = turns.collect();
        prop_assert!(turns.windows(2).all(|pair| pair[0] == pair[1]), "{widths:?}");
        prop_assert!(widths[60..].windows(2).all(|pair| pair[0] == pair[1]), "{widths:?}");
    }

    #[test]
    fn a_blocked_partition_is_left_out(samples in samples(), ordering in ordering(), at in 0_usize..12) {
        let mut with = samples.clone();
        let blocked = PartitionSample {
            is_blocked: true, busy: 5, throughput: 9.0, cpu_share: 1.0, arrival_rate: 50.0,
            ..sample(1_000_000, 900, 5)
        };
        with.insert(at.min(with.len()), blocked);
        let mut one = Autoscaler::new(policy(0, 64), ordering);
        let mut other = one.clone();
        for second in 0..30 {
            let now = Timestamp(second * 1_000);
            prop_assert_eq!(one.decide(now, 8.0, &samples), other.decide(now, 8.0, &with));
        }
    }

    #[test]
    fn one_attempt_per_partition_and_no_more_than_the_cores(samples in samples()) {
        let mut scaler = Autoscaler::new(policy(0, 64), Ordering::Partition);
        let working = |it: &&PartitionSample| !it.is_blocked && (it.backlog > 0 || it.busy > 0);
        let partitions = samples.iter().filter(working).count();
        let mut cpu_bound = samples.clone();
        cpu_bound.iter_mut().for_each(|sample| sample.cpu_share = 1.0);
        let mut bound = Autoscaler::new(policy(0, 64), Ordering::Key);
        for second in 0..30 {
            let now = Timestamp(second * 1_000);
            prop_assert!(scaler.decide(now, 8.0, &samples).width <= partitions.max(1));
            prop_assert!(bound.decide(now, 3.0, &cpu_bound).width <= 3);
        }
    }

    #[test]
    fn measurements_gone_wrong_do_no_harm(
        rate in prop::sample::select(vec![f64::NAN, f64::INFINITY, -1.0, f64::MAX]),
        cores in prop::sample::select(vec![f64::NAN, 0.0, f64::INFINITY]),
        backlog in prop::sample::select(vec![0, u64::MAX]),
    ) {
        let broken = PartitionSample {
            arrival_rate: rate, throughput: rate, cpu_share: rate, backlog,
            oldest: Duration::MAX, service_time: Some(Duration::MAX), busy: 1, is_blocked: false,
        };
        let mut scaler = Autoscaler::new(policy(1, 16), Ordering::Key);
        for second in 0..5 {
            let width = scaler.decide(Timestamp(second * 1_000), cores, &[broken, broken]).width;
            prop_assert!((1..=16).contains(&width));
        }
    }
}

#[test]
fn a_decision_says_why() {
    let mut scaler = Autoscaler::new(policy(6, 11), Ordering::Key);
    let decision = scaler.decide(Timestamp(0), 64.0, &[sample(10_000, 40, 6)]);
    assert_eq!(decision.to_string(), "lag 12 s, service 40 ms, 6 -> 11, capped by concurrency_max");
    assert_eq!(decision.wanted, 80);
    let decision = scaler.decide(Timestamp(100), 64.0, &[]);
    assert_eq!(decision.to_string(), "lag 0 us, 11, waits for calm");
}

#[test]
fn it_comes_down_to_the_most_that_was_wanted_while_it_was_calm() {
    let mut scaler = Autoscaler::new(policy(0, 16), Ordering::Key);
    for second in 0..6 {
        scaler.decide(Timestamp(second * 1_000), 64.0, &[sample(10_000, 40, 16)]);
    }
    assert_eq!(scaler.width(), 16);
    for second in 10..25 {
        let backlog = if second == 17 { 600 } else { 100 };
        let decision = scaler.decide(Timestamp(second * 1_000), 64.0, &[sample(backlog, 40, 2)]);
        assert_eq!(decision.width, 16, "not yet");
    }
    let decision = scaler.decide(Timestamp(25_000), 64.0, &[sample(100, 40, 2)]);
    assert_eq!((decision.from, decision.width), (16, 5));
}

#[test]
fn a_lowered_maximum_takes_effect_at_once() {
    let mut scaler = Autoscaler::new(policy(0, 16), Ordering::Key);
    for second in 0..6 {
        scaler.decide(Timestamp(second * 1_000), 64.0, &[sample(10_000, 40, 16)]);
    }
    scaler.set_policy(policy(0, 3), Ordering::Key);
    let decision = scaler.decide(Timestamp(6_000), 64.0, &[sample(10_000, 40, 16)]);
    assert_eq!((decision.from, decision.width, decision.cap), (16, 3, Some(Cap::ConcurrencyMax)));
}

/// A queue under a scaler: records come, attempts serve them, and slow each other down beyond `knee`.
struct Queue {
    backlog: f64,
    arrival: f64,
    service: f64,
    knee: f64,
}

impl Queue {
    /// One second; the width is used as far as there is work.
    fn serve(&mut self, width: usize) -> PartitionSample {
        let running = (width as f64).min(self.backlog + self.arrival);
        let service = self.service * (running / self.knee).max(1.0);
        let capacity = running / service;
        let done = capacity.min(self.backlog + self.arrival);
        self.backlog += self.arrival - done;
        PartitionSample {
            backlog: self.backlog as u64,
            oldest: Duration::from_secs_f64(self.backlog / self.arrival.max(1.0)),
            arrival_rate: self.arrival,
            throughput: done,
            service_time: Some(Duration::from_secs_f64(service)),
            cpu_share: 0.0,
            busy: running as usize,
            is_blocked: false,
        }
    }
}

fn run(mut queue: Queue, seconds: u64, max: usize) -> (Vec<usize>, f64) {
    let mut scaler = Autoscaler::new(policy(0, max), Ordering::Key);
    let mut widths = vec![scaler.width()];
    for second in 0..seconds {
        let sample = queue.serve(scaler.width());
        widths.push(scaler.decide(Timestamp(second * 1_000), 64.0, &[sample]).width);
    }
    (widths, queue.backlog / queue.arrival.max(1.0))
}

#[test]
fn a_backlog_is_worked_off_and_the_target_held() {
    let queue = Queue { backlog: 20_000.0, arrival: 200.0, service: 0.05, knee: 1e9 };
    let (widths, lag) = run(queue, 180, 64);
    assert!(lag < 5.0, "{lag} s at {widths:?}");
    let steady = &widths[120..];
    assert!(steady.iter().all(|width| (10..=24).contains(width)), "{steady:?}");
}

#[test]
fn width_that_brings_no_throughput_stops_growing() {
    // Eight at a time are all that a database bears: more only make each other slower.
    let queue = Queue { backlog: 20_000.0, arrival: 400.0, service: 0.05, knee: 8.0 };
    let (widths, _) = run(queue, 300, 1_000);
    let most = widths.iter().max().copied().unwrap_or_default();
    assert!((8..=32).contains(&most), "{widths:?}");
}

#[test]
fn at_zero_work_nothing_is_wanted_and_the_first_record_waits_for_no_decision() {
    let mut scaler = Autoscaler::new(policy(0, 16), Ordering::Key);
    for second in 0..30 {
        let decision = scaler.decide(Timestamp(second * 1_000), 64.0, &[sample(0, 40, 0)]);
        assert_eq!((decision.wanted, decision.width, decision.cap), (0, 1, None));
    }
}

#[test]
fn problems_are_named_by_field() {
    let fields = |policy: ScalingPolicy| -> Vec<_> {
        policy.validate().err().unwrap_or_default().iter().map(|problem| problem.field).collect()
    };
    assert!(fields(policy(0, 16)).is_empty());
    assert_eq!(fields(policy(17, 16)), ["scaling.concurrency_min"]);
    assert_eq!(fields(policy(0, 0)), ["scaling.concurrency_max"]);
    assert_eq!(fields(policy(0, 20_000)), ["scaling.concurrency_max"]);
    let broken = ScalingPolicy { lag_target: Duration::ZERO, ..policy(0, 1) };
    assert_eq!(fields(broken), ["scaling.lag_target"]);
}

#[test]
fn cpu_bound_work_is_capped_by_the_cores() {
    let bound = PartitionSample { cpu_share: 1.0, ..sample(10_000, 40, 16) };
    let waits = PartitionSample { cpu_share: 0.1, ..bound };
    for (sample, width, cap) in [(bound, 3, Cap::Cores), (waits, 16, Cap::ConcurrencyMax)] {
        let mut scaler = Autoscaler::new(policy(0, 16), Ordering::Key);
        for second in 0..6 {
            scaler.decide(Timestamp(second * 1_000), 3.0, &[sample]);
        }
        let decision = scaler.decide(Timestamp(6_000), 3.0, &[sample]);
        assert_eq!((decision.width, decision.cap), (width, Some(cap)));
    }
}
