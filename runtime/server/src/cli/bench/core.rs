//! The deciding core alone: pages and answers go in as fast as it asks for them. No log, no guest.
use std::time::Instant;

use log_contract::{Before, Memo, Offset, Progress, ReadPage, RecordBatch, Timestamp, TopicId};
use trigger::{
    BatchPolicy, Bounds, Command, Event, Feed, ItemFailures, OnFailure, Ordering, Outcome,
    Response, RetryPolicy, Targets, TriggerSpec,
};

/// Nanoseconds a record, with batches as large as the page.
pub(super) fn measure(page: &RecordBatch, ordering: Ordering, pages: u64) -> f64 {
    let now = Timestamp(1_000);
    let records = page.len() as u64;
    let mut feed = Feed::new(
        spec(ordering, page.len()),
        4,
        Progress::at(Offset(0)),
        &Memo::default(),
        Before::Nothing,
    );
    let all: Vec<RecordBatch> = (0..pages).map(|nth| at(page, nth * records)).collect();
    let response = Response {
        outputs: page.clone(),
        targets: Targets::All(TopicId(2)),
        sources: (0..page.len() as u32).map(Some).collect(),
        state: Vec::new(),
        failures: Vec::new(),
    };
    let end = Offset(pages * records);
    let began = Instant::now();
    let mut events = std::collections::VecDeque::from([Event::Woke]);
    while let Some(event) = events.pop_front() {
        for command in feed.on_event(now, event) {
            match command {
                Command::Fetch { from, .. } if from < end => {
                    let nth = (from.0 / records) as usize;
                    let next = Offset((nth as u64 + 1) * records);
                    let page = ReadPage { batches: vec![all[nth].clone()], next, end };
                    events.push_back(Event::Fetched { from, page });
                }
                Command::Invoke { delivery, .. } => {
                    let result = Ok(Outcome::Handled(response.clone()));
                    events.push_back(Event::Invoked {
                        delivery,
                        version: 1,
                        jitter: 1_000,
                        result,
                    });
                }
                Command::Settle(_) => events.push_back(Event::Settled),
                // Beyond the end there is nothing to wait for, and no timer is due.
                Command::Fetch { .. } | Command::WakeAt(_) | Command::Stopped => {}
            }
        }
    }
    began.elapsed().as_nanos() as f64 / end.0 as f64
}

fn at(page: &RecordBatch, from: u64) -> RecordBatch {
    let mut builder =
        log_contract::BatchBuilder::with_capacity(page.len(), page.bytes(0..page.len()));
    for (nth, record) in page.records().enumerate() {
        let offset = Offset(from + nth as u64);
        builder.push(log_contract::Record { offset, appended_at: Timestamp(1_000), ..record });
    }
    builder.build()
}

fn spec(ordering: Ordering, records_max: usize) -> TriggerSpec {
    use std::time::Duration;
    TriggerSpec {
        ordering,
        batch: BatchPolicy { records_max, bytes_max: 6 << 20, wait: Duration::ZERO },
        retry: RetryPolicy {
            attempts_max: Some(5),
            bisect: true,
            item_failures: ItemFailures::Each,
            record_age_max: None,
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(60),
        },
        on_failure: OnFailure::DeadLetter(TopicId(3)),
        bounds: Bounds {
            open_records: 100_000,
            open_bytes: 16 << 20,
            page_records: records_max,
            page_bytes: 8 << 20,
            unsettled_pieces: 8,
            unsettled_bytes: 8 << 20,
            settlement_bytes: 64 << 20,
            ranges: 4_096,
            memo_entries: 16,
            fault_pause: Duration::from_millis(100),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::load::Load;

    #[test]
    fn every_page_goes_through() {
        let page = Load { bytes: 10, records: 10, keyed: true }.batch(0, Timestamp(0)).records;
        assert!(measure(&page, Ordering::Partition, 50) > 0.0);
        assert!(measure(&page, Ordering::Key, 50) > 0.0);
    }
}
