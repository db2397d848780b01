//! An append while it is being read from a body: records go straight into the batch. Never a content
//! type.
use std::ops::Range;

use log_contract::{AppendBatch, BatchBuilder, Headers, PartitionId, Timestamp};

use crate::http::{
    error::{ApiError, ApiResult, Code},
    wire::Problems,
};

/// What holds for all records of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) now: Timestamp,
    /// `?partition=`: wins over what a record says.
    pub(super) partition: Option<PartitionId>,
    /// Of the topic.
    pub(super) partitions: u32,
    pub(super) records_max: usize,
}

#[derive(Debug)]
pub(super) struct Draft {
    terms: Terms,
    batch: BatchBuilder,
    partitions: Vec<(Range<usize>, PartitionId)>,
    pub(super) problems: Problems,
}

/// One record on its way in.
#[derive(Debug)]
pub(super) struct New<'a> {
    pub(super) timestamp: Option<Timestamp>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Headers<'a>,
    pub(super) partition: Option<PartitionId>,
}

impl<'a> New<'a> {
    pub(super) fn value(value: &'a [u8]) -> Self {
        Self {
            timestamp: None,
            key: None,
            value: Some(value),
            headers: Headers::NONE,
            partition: None,
        }
    }
}

impl Draft {
    /// `bytes` is the body's length: a batch is about as large.
    pub(super) fn new(terms: Terms, bytes: usize) -> Self {
        let records = (bytes / 128 + 1).min(terms.records_max);
        Self {
            terms,
            batch: BatchBuilder::with_capacity(records, bytes),
            partitions: Vec::new(),
            problems: Problems::default(),
        }
    }

    /// Whether one more fits.
    pub(super) fn has_room(&self) -> bool {
        self.batch.len() < self.terms.records_max
    }

    /// `path` names the record in a problem.
    pub(super) fn push(&mut self, record: &New<'_>, path: &dyn Fn() -> String) {
        let partition = self.terms.partition.or(record.partition);
        if let Some(partition) = partition {
            if partition.0 >= self.terms.partitions {
                let last = self.terms.partitions - 1;
                let message = format!("the topic has no partition {partition}, only 0 to {last}");
                self.problems.add(format!("{}.partition", path()), message);
                return;
            }
            let at = self.batch.len();
            match self.partitions.last_mut() {
                Some((range, last)) if *last == partition && range.end == at => range.end += 1,
                _ => self.partitions.push((at..at + 1, partition)),
            }
        }
        let timestamp = record.timestamp.unwrap_or(self.terms.now);
        self.batch.push_new(timestamp, record.key, record.value, record.headers);
    }

    /// The append, if nothing is wrong with it.
    pub(super) fn finish(self) -> ApiResult<AppendBatch> {
        let mut problems = self.problems;
        if problems.is_empty() && self.batch.is_empty() {
            problems.add("records", "there are none: an append holds at least one record");
        }
        problems.or(())?;
        Ok(AppendBatch { records: self.batch.build(), partitions: self.partitions })
    }

    pub(super) fn too_many(&self) -> ApiError {
        let max = self.terms.records_max;
        ApiError::new(Code::TooManyRecords, format!("the body holds more than {max} records"))
            .hint(format!("send at most {max} records in one request"))
    }
}
