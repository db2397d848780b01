//! The records of one partition. Never another partition, nor a cursor.
use log_contract::{
    BatchBuilder, Offset, OffsetBounds, ReadBudget, ReadError, ReadPage, Record, RecordBatch,
    Retention, Timestamp, route::Route,
};
use std::collections::VecDeque;

/// Batches in offset order, without holes between `start` and `end`.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    batches: VecDeque<RecordBatch>,
    start: Offset,
    end: Offset,
    /// The newest stamp that a record got here, also of records that are gone.
    newest: Timestamp,
    /// Keys, values and headers of all that is there.
    bytes: u64,
}

impl Partition {
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    pub(crate) fn newest(&self) -> Timestamp {
        self.newest
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn bounds(&self) -> OffsetBounds {
        let records = self.end.0 - self.start.0;
        OffsetBounds { start: self.start, end: self.end, records, bytes: self.bytes() }
    }

    /// A batch for each stretch of records with the same attributes.
    pub(crate) fn append(&mut self, routes: &[Route<'_>], appended_at: Timestamp) {
        assert!(self.newest <= appended_at, "`appended_at` never goes back");
        for stretch in routes.chunk_by(|a, b| a.batch.attributes() == b.batch.attributes()) {
            let mut builder = BatchBuilder::default();
            if let Some(attributes) = stretch[0].batch.attributes() {
                builder.set_attributes(attributes.clone());
            }
            for record in stretch.iter().flat_map(|to| to.range().map(|at| to.batch.record(at))) {
                builder.push(Record { offset: self.end, appended_at, ..record });
                self.end = Offset(self.end.0 + 1);
            }
            let batch = builder.build();
            self.bytes += bytes(&batch);
            self.batches.push_back(batch);
        }
        self.newest = appended_at;
    }

    pub(crate) fn read(&self, from: Offset, budget: ReadBudget) -> Result<ReadPage, ReadError> {
        if from < self.start {
            return Err(ReadError::Trimmed { start: self.start });
        }
        let (mut records, mut bytes) = (0, 0);
        let mut page = ReadPage { batches: Vec::new(), next: from, end: self.end };
        let first = self.batches.partition_point(|batch| last(batch) < from);
        for batch in self.batches.range(first..) {
            let begin = batch.partition_point(0..batch.len(), |at| batch.offset(at) >= from);
            let fits = (begin..batch.len()).take_while(|at| {
                records += 1;
                bytes += batch.bytes(*at..at + 1);
                records == 1 || records <= budget.records_max && bytes <= budget.bytes_max
            });
            let end = begin + fits.count();
            if begin < end {
                page.batches.push(batch.slice(begin..end));
                page.next = Offset(batch.offset(end - 1).0 + 1);
            }
            if end < batch.len() {
                break;
            }
        }
        Ok(page)
    }

    pub(crate) fn offset_at(&self, time: Timestamp) -> Offset {
        let nth = self.batches.partition_point(|batch| batch.appended_at(batch.len() - 1) < time);
        // All records of a batch here bear one stamp.
        self.batches.get(nth).map_or(self.end, |batch| batch.offset(0))
    }

    /// `before` is not after the end.
    pub(crate) fn trim(&mut self, before: Offset) {
        self.start = self.start.max(before);
        while let Some(batch) = self.batches.pop_front() {
            let begin = batch.partition_point(0..batch.len(), |at| batch.offset(at) >= self.start);
            self.bytes -= batch.bytes(0..begin) as u64;
            if begin < batch.len() {
                self.batches.push_front(batch.slice(begin..batch.len()));
                break;
            }
        }
    }

    /// Takes what retention takes. `unread`: what no cursor has read begins here.
    pub(crate) fn retain(&mut self, retention: &Retention, now: Timestamp, unread: Option<Offset>) {
        let too_old = retention.age.map_or(self.start, |age| self.offset_at(now.before(age)));
        let too_many =
            retention.bytes.map_or(self.start, |bytes| self.with_bytes(self.bytes, bytes));
        let mut to = too_old.max(too_many);
        if let Some(unread) = unread.filter(|unread| *unread < to) {
            let held = self.batches.iter().filter(|batch| batch.offset(0) < to).map(bytes).sum();
            to = unread.max(self.with_bytes(held, Retention::HELD_BYTES_MAX));
        }
        self.trim(to);
    }

    /// The first batch that stays if the oldest of these bytes go as long as so many stay.
    fn with_bytes(&self, mut bytes_there: u64, bytes_kept: u64) -> Offset {
        for batch in &self.batches {
            match bytes_there.checked_sub(bytes(batch)) {
                Some(left) if left >= bytes_kept => bytes_there = left,
                _ => return batch.offset(0),
            }
        }
        self.end
    }
}

fn bytes(batch: &RecordBatch) -> u64 {
    batch.bytes(0..batch.len()) as u64
}

fn last(batch: &RecordBatch) -> Offset {
    batch.offset(batch.len() - 1)
}
