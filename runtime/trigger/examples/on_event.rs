//! `cargo run --release -p trigger --example on_event`: what a record costs in `on_event`, all events
//! of its way counted. The log and the guest do next to nothing, and what they do is counted too. Time
//! on the processor is measured, as Linux tells it, so that other work on the machine does not count.
#![expect(clippy::print_stdout, reason = "a bench's report")]
use log_contract::*;
use std::{collections::VecDeque, hint::black_box, time::Duration};
use trigger::*;

const PAGE: usize = 1_000;
const RECORDS: usize = 2_000_000;

/// A driver whose log and guest take no time.
struct Driver {
    feed: Feed,
    events: VecDeque<Event>,
    batches: Vec<RecordBatch>,
    /// The guest never gets past these.
    stuck: Option<Vec<u8>>,
    handled: usize,
    now: u64,
}

impl Driver {
    fn run(&mut self, records: usize) -> f64 {
        let (mut before, until) = (self.handled, self.handled + records);
        let began = on_processor();
        while self.handled < until {
            let event = self.events.pop_front().unwrap_or(Event::Woke);
            self.now += u64::from(matches!(event, Event::Woke));
            let commands = self.feed.on_event(Timestamp(self.now), event);
            commands.into_iter().for_each(|command| self.perform(command));
        }
        before = self.handled - before;
        (on_processor() - began) as f64 / before as f64
    }

    fn perform(&mut self, command: Command) {
        match command {
            Command::Fetch { from, .. } => {
                let batch = self.batches[from.0 as usize / PAGE].clone();
                let next = Offset(from.0 + PAGE as u64);
                let page = ReadPage { batches: vec![batch], next, end: next };
                self.events.push_back(Event::Fetched { from, page });
            }
            Command::Invoke { delivery, span, .. } => {
                let stuck = self.stuck.as_deref();
                let is_stuck = stuck.is_some() && span.records().any(|r| r.key == stuck);
                let outcome = match is_stuck {
                    true => Outcome::Failed(Failure {
                        kind: FailureKind::Rejected,
                        reason: "stuck".into(),
                    }),
                    false => Outcome::Handled(Response {
                        outputs: BatchBuilder::default().build(),
                        targets: Targets::All(TopicId(1)),
                        sources: Vec::new(),
                        state: Vec::new(),
                        failures: Vec::new(),
                    }),
                };
                self.handled += if is_stuck { 0 } else { span.len() };
                let result = Ok(outcome);
                let event = Event::Invoked { delivery, version: 1, jitter: 1_000, result };
                self.events.push_back(event);
            }
            Command::Settle(settle) => {
                black_box(settle);
                self.events.push_back(Event::Settled);
            }
            Command::WakeAt(_) | Command::Stopped => (),
        }
    }
}

fn spec(ordering: Ordering, records_max: usize, open_records: usize) -> TriggerSpec {
    let retry = RetryPolicy {
        attempts_max: None,
        bisect: true,
        item_failures: ItemFailures::Each,
        record_age_max: None,
        backoff_min: Duration::from_secs(3_600),
        backoff_max: Duration::from_secs(3_600),
    };
    let batch = BatchPolicy { records_max, bytes_max: 6 << 20, wait: Duration::ZERO };
    let bounds = Bounds {
        open_records,
        open_bytes: 256 << 20,
        page_records: PAGE,
        page_bytes: 1 << 20,
        unsettled_pieces: 8,
        unsettled_bytes: 8 << 20,
        settlement_bytes: 64 << 20,
        ranges: Progress::RANGES_MAX,
        memo_entries: 40,
        fault_pause: Duration::from_secs(1),
    };
    let on_failure = OnFailure::DeadLetter(TopicId(9));
    TriggerSpec { ordering, batch, retry, on_failure, bounds }
}

fn driver(case: Case) -> Driver {
    let Case { ordering, width, records_max, keys, stuck, ranges } = case;
    let mut batches = Vec::new();
    let mut mixed = 1_u64;
    for page in 0..(RECORDS + stuck).div_ceil(PAGE) + 400 {
        let mut builder = BatchBuilder::with_capacity(PAGE, PAGE * 115);
        for at in page * PAGE..(page + 1) * PAGE {
            mixed = mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let name = format!("customer-{:06}", (mixed >> 33) as usize % keys);
            let key = if at < stuck { b"stuck".as_slice() } else { name.as_bytes() };
            builder.push(Record {
                offset: Offset(at as u64),
                timestamp: Timestamp(0),
                appended_at: Timestamp(0),
                key: Some(key),
                value: Some(&[7; 100]),
                headers: Headers::NONE,
            });
        }
        batches.push(builder.build());
    }
    let mut spec = spec(ordering, records_max, stuck + 20_000);
    spec.bounds.ranges = ranges;
    let first = Progress::at(Offset(0));
    let feed = Feed::new(spec, width, first, &Memo::default(), Before::Nothing);
    let stuck = (stuck > 0).then(|| b"stuck".to_vec());
    Driver { feed, events: VecDeque::new(), batches, stuck, handled: 0, now: 1 }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    ordering: Ordering,
    width: usize,
    records_max: usize,
    keys: usize,
    /// So many records of one key come first, and that key never gets past its first.
    stuck: usize,
    /// Finished ranges above the watermark, at most: 4,096 in our log, 256 on Kafka.
    ranges: usize,
}

fn main() {
    let show = |case: Case| {
        let mut driver = driver(case);
        driver.run(RECORDS / 10);
        let per_record = driver.run(RECORDS - RECORDS / 10);
        println!("{per_record:>6.1} ns/record  {case:?}");
    };
    for records_max in [1_000, 100, 10] {
        let ordering = Ordering::Partition;
        show(Case { ordering, width: 1, records_max, keys: 1_000, stuck: 0, ranges: 4_096 });
    }
    let cases = [
        (4, 1_000, 0),
        (4, 1_000, 1),
        (4, 1_000, 100_000),
        (16, 1_000, 0),
        (16, 1_000, 100_000),
        (16, 100_000, 0),
        (16, 16, 0),
    ];
    for (width, keys, stuck) in cases {
        for ranges in [256, 4_096] {
            show(Case { ordering: Ordering::Key, width, records_max: 100, keys, stuck, ranges });
        }
    }
}

/// Nanoseconds that this thread has run.
fn on_processor() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}
