//! What the tests of behaviours share: a spec to vary, pages, answers, a feed that is told.
use log_contract::*;
use std::time::Duration;
use trigger::*;

pub const SECOND: Duration = Duration::from_secs(1);
pub const DEAD: TopicId = TopicId(99);

pub fn spec(ordering: Ordering, records_max: usize, wait: Duration) -> TriggerSpec {
    let retry = RetryPolicy {
        attempts_max: Some(3),
        bisect: true,
        item_failures: ItemFailures::Each,
        record_age_max: None,
        backoff_min: 60 * SECOND,
        backoff_max: 60 * SECOND,
    };
    let batch = BatchPolicy { records_max, bytes_max: 1 << 20, wait };
    let bounds = Bounds {
        open_records: 100,
        open_bytes: 1 << 20,
        page_records: 100,
        page_bytes: 1 << 20,
        unsettled_pieces: 8,
        unsettled_bytes: 8 << 20,
        settlement_bytes: 64 << 20,
        ranges: 256,
        memo_entries: 40,
        fault_pause: SECOND,
    };
    TriggerSpec { ordering, batch, retry, on_failure: OnFailure::DeadLetter(DEAD), bounds }
}

pub fn batch(from: u64, keys: &[&str], appended_at: u64) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for (nth, key) in keys.iter().enumerate() {
        builder.push(Record {
            offset: Offset(from + nth as u64),
            timestamp: Timestamp(0),
            appended_at: Timestamp(appended_at),
            key: Some(key.as_bytes()),
            value: Some(b"v"),
            headers: Headers::NONE,
        });
    }
    builder.build()
}

pub fn page(from: u64, keys: &[&str]) -> Event {
    page_at(from, keys, 0)
}

pub fn page_at(from: u64, keys: &[&str], appended_at: u64) -> Event {
    let next = Offset(from + keys.len() as u64);
    let batches = vec![batch(from, keys, appended_at)];
    Event::Fetched { from: Offset(from), page: ReadPage { batches, next, end: next } }
}

pub fn handled() -> Outcome {
    Outcome::Handled(response(Vec::new(), &[]))
}

/// One output of eight bytes for each (source, topic).
pub fn response(failures: Vec<ItemFailure>, outputs: &[(Option<u32>, u64)]) -> Response {
    let mut builder = BatchBuilder::default();
    for _ in outputs {
        builder.push_new(Timestamp(0), None, Some(b"eightby."), Headers::NONE);
    }
    let sources = outputs.iter().map(|(source, _)| *source).collect();
    let topics: Vec<_> = outputs.iter().map(|(_, topic)| TopicId(*topic)).collect();
    let targets = match topics.first() {
        None => Targets::All(TopicId(0)),
        Some(first) if topics.iter().all(|topic| topic == first) => Targets::All(*first),
        Some(_) => Targets::Each(topics),
    };
    Response { outputs: builder.build(), targets, sources, state: Vec::new(), failures }
}

pub fn failed(kind: FailureKind, reason: &str) -> Outcome {
    Outcome::Failed(Failure { kind, reason: reason.into() })
}

pub fn rejected() -> Outcome {
    failed(FailureKind::Rejected, "no field `total`")
}

pub fn item(index: u32, blame: Blame) -> ItemFailure {
    ItemFailure { index, blame, reason: "named".into() }
}

pub fn invoked(delivery: DeliveryId, outcome: Outcome) -> Event {
    Event::Invoked { delivery, version: 7, jitter: 1_000, result: Ok(outcome) }
}

pub fn offsets(span: &Span) -> Vec<u64> {
    span.records().map(|record| record.offset.0).collect()
}

pub type Invoked = Vec<(DeliveryId, Vec<u64>)>;

/// A feed past its mark; settlements succeed at once, and are kept.
pub struct Told {
    pub feed: Feed,
    pub settled: Vec<Settle>,
    /// Commands of the last event besides.
    pub fetches: Vec<Offset>,
    pub attempts: Vec<u32>,
    pub overlays: Vec<Vec<StateWrite>>,
    /// All that was ever invoked.
    pub out: Invoked,
    /// As the log had it before.
    began: (Progress, Memo),
}

impl Told {
    pub fn new(spec: TriggerSpec, width: usize) -> Self {
        Self::resume(spec, width, Progress::at(Offset(0)), &Memo::default(), Before::Nothing)
    }

    pub fn resume(
        spec: TriggerSpec,
        width: usize,
        progress: Progress,
        memo: &Memo,
        before: Before,
    ) -> Self {
        let began = (progress.clone(), memo.clone());
        let feed = Feed::new(spec, width, progress, memo, before);
        let (settled, fetches, attempts, overlays, out) = Default::default();
        let mut told = Self { feed, settled, fetches, attempts, overlays, out, began };
        told.tell(0, Event::Woke);
        told
    }

    /// What is invoked, and until when the feed sleeps.
    pub fn tell(&mut self, now: u64, event: Event) -> (Invoked, Option<u64>) {
        let (mut told, mut wake, mut events) = (Vec::new(), None, vec![event]);
        self.fetches.clear();
        while let Some(event) = events.pop() {
            for command in self.feed.on_event(Timestamp(now), event) {
                match command {
                    Command::Invoke { delivery, span, attempt, overlay } => {
                        self.attempts.push(attempt);
                        self.overlays.push(overlay);
                        self.out.push((delivery, offsets(&span)));
                        told.push((delivery, offsets(&span)));
                    }
                    Command::Settle(settle) => {
                        self.settled.push(settle);
                        events.push(Event::Settled);
                    }
                    Command::WakeAt(at) => wake = Some(at.0),
                    Command::Fetch { from, .. } => self.fetches.push(from),
                    Command::Stopped => (),
                }
            }
        }
        (told, wake)
    }

    pub fn answer(&mut self, now: u64, delivery: DeliveryId, outcome: Outcome) -> Invoked {
        self.tell(now, invoked(delivery, outcome)).0
    }

    /// Dead letters so far: offset, condition, attempts.
    pub fn dead(&self) -> Vec<(u64, Condition, u32)> {
        let letters = self.settled.iter().flat_map(|settle| &settle.dead_letters);
        letters.map(|one| (one.record.head().0, one.condition, one.attempts)).collect()
    }

    pub fn stand(&self, now: u64) -> Stand {
        self.feed.stand(Timestamp(now))
    }

    /// What the log remembers.
    pub fn restart(&self, spec: TriggerSpec, before: Before) -> Self {
        let last = self.settled.last().map(|settle| &settle.settlement);
        let last = last.map(|last| (last.progress[0].clone(), last.memo.clone()));
        let (progress, memo) = last.unwrap_or_else(|| self.began.clone());
        Self::resume(spec, 1, progress, &memo, before)
    }
}

pub fn heads(invoked: &Invoked) -> Vec<u64> {
    invoked.iter().map(|(_, span)| span[0]).collect()
}

pub fn key_spec(records_max: usize) -> TriggerSpec {
    spec(Ordering::Key, records_max, Duration::ZERO)
}
