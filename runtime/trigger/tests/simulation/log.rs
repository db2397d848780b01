//! The log's side of the world: pages with holes, settlements that are taken whole or not at all.
use crate::{
    guest,
    scene::{Kind, Planned, STATE_MAX},
    world::World,
};
use log_contract::*;
use std::time::Duration;
use trigger::*;

#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub records_max: usize,
    pub bytes_max: usize,
}

impl World {
    pub fn appended_end(&self) -> u64 {
        let later = self.scene.records.iter().find(|(_, record)| self.now < record.appended_at);
        later.map_or(self.scene.end, |(at, _)| *at)
    }

    pub fn page(&mut self, from: Offset, budget: Budget) -> ReadPage {
        let end = self.appended_end();
        let (mut bytes, mut taken) = (0, Vec::new());
        for (at, record) in self.scene.records.range(from.0..end) {
            let size = record.bytes + record.key.as_ref().map_or(0, Vec::len);
            if taken.len() == budget.records_max
                || (!taken.is_empty() && bytes + size > budget.bytes_max)
            {
                break;
            }
            bytes += size;
            taken.push(*at);
        }
        let follows =
            |at: u64| self.scene.records.range(at + 1..).next().map_or(end, |(at, _)| *at);
        let next = match taken.last() {
            // A log may skip a hole without a record to show for it, or not.
            Some(last) if self.rng.chance(50) => follows(*last).min(end),
            Some(last) => last + 1,
            None => end,
        };
        let parts = 1 + self.rng.below(2) as usize;
        let chunk = taken.len().div_ceil(parts).max(1);
        let batches = taken.chunks(chunk).map(|chunk| self.batch(chunk)).collect();
        ReadPage { batches, next: Offset(next), end: Offset(end) }
    }

    fn batch(&self, offsets: &[u64]) -> RecordBatch {
        let mut builder = BatchBuilder::default();
        for at in offsets {
            let Planned { appended_at, key, bytes, .. } = &self.scene.records[at];
            let value = vec![0; *bytes];
            builder.push(Record {
                offset: Offset(*at),
                timestamp: Timestamp(0),
                appended_at: *appended_at,
                key: key.as_deref(),
                value: Some(&value),
                headers: Headers::NONE,
            });
        }
        builder.build()
    }

    /// All of it or nothing.
    pub fn settle(&mut self, settle: &Settle) -> Event {
        self.model.settling(&self.scene, settle);
        let failed = self.refusal(settle).map(|(output, why)| {
            self.refusals += 1;
            SettleError::Refused { output, why }
        });
        if let Some(error) = failed {
            return Event::SettleFailed(error);
        }
        let faulty = self.is_faulty();
        if faulty && self.rng.chance(8) {
            let wait = if self.rng.chance(50) { 0 } else { self.rng.below(50) };
            let retry_after = Duration::from_millis(wait);
            let why = LogUnavailable::StorageFull { retry_after };
            return Event::SettleFailed(SettleError::NotApplied { retry_after, why });
        }
        if faulty && self.rng.below(1_000) < 2 {
            let why = InvalidSettlement::Inputs { given: 1, inputs: 2 };
            return Event::SettleFailed(SettleError::Invalid(why));
        }
        self.model.apply(self.now, &self.scene, settle);
        // Applied, and nobody will ever know: the lease is void.
        if faulty && self.rng.chance(2) {
            return Event::SettleFailed(SettleError::LeaseVoid);
        }
        Event::Settled
    }

    /// As a driver sends it: dead letters lie behind the outputs.
    fn refusal(&mut self, settle: &Settle) -> Option<(usize, RefusedOutput)> {
        let Settle { settlement, dead_letters, .. } = settle;
        let outputs = settlement.outputs.len() + usize::from(!dead_letters.is_empty());
        if self.is_faulty() && outputs > 0 && self.rng.chance(2) {
            let output = self.rng.below(outputs as u64) as usize;
            return Some((output, RefusedOutput::NoTopic(TopicId(7))));
        }
        let from = |r: &Record<'_>| {
            let value = r.value.expect("outputs have values");
            u64::from_le_bytes(value[..8].try_into().expect("eight"))
        };
        let is_refused =
            |r: Record<'_>| guest::kind(&self.scene, self.is_fixed, from(&r)) == Kind::Refused;
        let mut spans = settlement.outputs.iter().map(|output| &output.span);
        if let Some(output) = spans.position(|span| span.records().any(is_refused)) {
            return Some((output, RefusedOutput::RecordTooLarge { index: 0, bytes: 9, max: 8 }));
        }
        let len = |write: &StateWrite| write.value.as_ref().map_or(0, bytes::Bytes::len);
        if let Some(write) = settlement.state.iter().find(|write| len(write) > STATE_MAX) {
            let (name, bytes) = (write.at.name.to_string(), len(write));
            return Some((outputs, RefusedOutput::StateTooLarge { name, bytes, max: STATE_MAX }));
        }
        let bytes: usize = settlement.outputs.iter().map(|output| output.span.bytes()).sum();
        (bytes > self.scene.settlement_max)
            .then_some((0, RefusedOutput::TooLarge { bytes, max: self.scene.settlement_max }))
    }
}
