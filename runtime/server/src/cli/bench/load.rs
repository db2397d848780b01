//! Batches of records to push through: made once, sent many times, so that making them is not measured.
use log_contract::{AppendBatch, BatchBuilder, Headers, PartitionId, Timestamp};

/// What the records of a run are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Of each value.
    pub(super) bytes: usize,
    /// Of one append.
    pub(super) records: usize,
    /// Each record of a batch has a key of its own (8 bytes beside the value) and goes where that says.
    /// All batches have the same keys.
    pub(super) keyed: bool,
}

impl Load {
    /// Text that compresses about as JSON does; no two values are equal.
    pub(super) fn batch(&self, nth: u64, timestamp: Timestamp) -> AppendBatch {
        let mut builder = BatchBuilder::with_capacity(self.records, self.records * self.bytes);
        let mut value = vec![0; self.bytes];
        let mut word = nth.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        for at in 0..self.records as u64 {
            for byte in &mut value {
                word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(at | 1);
                *byte = b' ' + (word >> 58) as u8;
            }
            let key = at.to_be_bytes();
            let key = self.keyed.then_some(key.as_slice());
            builder.push_new(timestamp, key, Some(&value), Headers::NONE);
        }
        builder.build().into()
    }

    /// The same, for one partition.
    pub(super) fn batch_for(&self, to: PartitionId, timestamp: Timestamp) -> AppendBatch {
        let mut batch = self.batch(u64::from(to.0), timestamp);
        batch.partitions.push((0..self.records, to));
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_the_records_that_were_asked_for() {
        let load = Load { bytes: 100, records: 1_000, keyed: false };
        let batch = load.batch_for(PartitionId(3), Timestamp(5));
        assert_eq!(batch.records.len(), 1_000);
        assert_eq!(batch.records.bytes(0..1_000), 100_000);
        assert_eq!(batch.partition(999), Some(PartitionId(3)));
        assert!(batch.records.record(0).value != batch.records.record(1).value);
        let keyed = Load { keyed: true, ..load }.batch(1, Timestamp(5));
        assert_eq!(keyed.partition(0), None);
        assert!(keyed.records.record(0).key != keyed.records.record(1).key);
    }
}
