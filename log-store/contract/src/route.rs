//! Which record of a request goes to which partition, and where it comes to lie. Pure, and the same
//! for every log; never an offset for a log that has holes.
use crate::{AppendBatch, AppendedRun, Offset, PartitionId, RecordBatch, Span, partition_of_key};
use std::{collections::BTreeMap, ops::Range};

/// Neighbouring records of one batch that go to one partition.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    pub partition: PartitionId,
    pub batch: &'a RecordBatch,
    /// Index in the batch.
    pub start: usize,
    /// Half-open.
    pub end: usize,
}

impl Route<'_> {
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    #[must_use]
    pub fn records(&self) -> u32 {
        u32::try_from(self.end - self.start).expect("a batch has fewer than 2^32 records")
    }
}

/// Where an append's records go, in the order of the request: to the partition that the producer
/// chose, or by key, or (neither) to `keyless`. To spread appends, give `keyless` round robin; all
/// keyless records of one append stay together.
#[must_use]
pub fn append(batch: &AppendBatch, partitions: u32, keyless: PartitionId) -> Vec<Route<'_>> {
    let mut routes = Vec::new();
    let records = &batch.records;
    extend(&mut routes, records, 0..records.len(), |at| {
        batch.partition(at).unwrap_or_else(|| by_key(records, at, partitions, keyless))
    });
    routes
}

/// Where the records of a settlement's output go, in their order.
#[must_use]
pub fn span(span: &Span, partitions: u32, keyless: PartitionId) -> Vec<Route<'_>> {
    let mut routes = Vec::new();
    for run in span.runs() {
        let batch = run.batch();
        extend(&mut routes, batch, run.range(), |at| by_key(batch, at, partitions, keyless));
    }
    routes
}

/// Sorted by partition; the order within each stays.
pub fn by_partition(routes: &mut [Route<'_>]) {
    routes.sort_by_key(|route| route.partition);
}

/// For a log without holes: where the records of `routes` (in the order of the request) lie, when each
/// partition goes on at its `end`. Neighbours of a request that lie side by side are one run.
#[must_use]
pub fn placed(
    routes: &[Route<'_>],
    mut end: impl FnMut(PartitionId) -> Offset,
) -> Vec<AppendedRun> {
    let mut ends = BTreeMap::new();
    let mut runs: Vec<AppendedRun> = Vec::new();
    for route in routes {
        let (partition, records) = (route.partition, route.records());
        let at = ends.entry(partition).or_insert_with(|| end(partition).0);
        let offset = Offset(*at);
        *at += u64::from(records);
        match runs.last_mut() {
            Some(last) if last.partition == partition => last.records += records,
            _ => runs.push(AppendedRun { partition, offset, records }),
        }
    }
    runs
}

fn by_key(batch: &RecordBatch, at: usize, partitions: u32, keyless: PartitionId) -> PartitionId {
    batch.record(at).key.map_or(keyless, |key| partition_of_key(key, partitions))
}

fn extend<'a>(
    routes: &mut Vec<Route<'a>>,
    batch: &'a RecordBatch,
    range: Range<usize>,
    partition_of: impl Fn(usize) -> PartitionId,
) {
    for at in range {
        let partition = partition_of(at);
        match routes.last_mut() {
            Some(last)
                if last.partition == partition && last.end == at && last.batch.is_same(batch) =>
            {
                last.end += 1;
            }
            _ => routes.push(Route { partition, batch, start: at, end: at + 1 }),
        }
    }
}

#[cfg(test)]
mod tests;
