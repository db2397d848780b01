//! What may be fetched and handed out, and when.
use super::{Flight, Model};
use crate::{log::Budget, scene::Scene};
use log_contract::*;
use std::collections::BTreeSet;
use trigger::*;

impl Model {
    pub fn fetch(&mut self, scene: &Scene, from: Offset, budget: Budget, stand: &Stand) {
        let bounds = scene.policy.bounds;
        let open: Vec<_> = self
            .pages
            .iter()
            .filter(|page| page.offsets.iter().any(|at| !self.is_settled(*at)))
            .collect();
        let (records, bytes) = match scene.policy.ordering {
            // A batch counts whole while any of it is open.
            Ordering::Partition => {
                let records: usize = open.iter().map(|page| page.offsets.len()).sum();
                (records, open.iter().map(|page| page.bytes).sum::<usize>())
            }
            // Unless its survivors were copied out: then the feed's word counts, which what is
            // pinned in memory must bear out.
            Ordering::Key => {
                let offsets = open.iter().flat_map(|page| &page.offsets);
                let open = offsets.filter(|at| !self.is_settled(**at)).count();
                assert!(open <= stand.open_records, "what is open is counted");
                (stand.open_records, stand.open_bytes)
            }
        };
        assert!(records + budget.records_max <= bounds.open_records, "open records are bounded");
        assert!(bytes + budget.bytes_max <= bounds.open_bytes, "open bytes are bounded");
        assert!(0 < budget.records_max && budget.records_max <= bounds.page_records);
        let before = self.pages.last().and_then(|page| page.offsets.last().copied());
        assert!(before.is_none_or(|before| before < from.0), "reading goes on");
        assert!(self.awaits.is_none_or(|_| self.pages.is_empty()), "one fetch at a time");
        self.awaits = Some(from);
    }

    pub fn invoke(
        &mut self,
        now: Timestamp,
        scene: &Scene,
        width: usize,
        delivery: DeliveryId,
        span: &Span,
        attempt: u32,
    ) {
        let TriggerSpec { batch, retry, .. } = scene.policy;
        assert!(self.strays.is_empty(), "after a rewind all must have landed first");
        assert!(!self.broken, "nothing starts while a bug of ours waits for an operator");
        assert!(self.flights.len() < width, "attempts at once are bounded");
        assert!(!span.is_empty() && span.len() <= batch.records_max);
        assert!(span.len() == 1 || span.bytes() <= batch.bytes_max);
        let offsets: Vec<_> = span.records().map(|record| record.offset.0).collect();
        assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "in offset order");
        for (record, at) in span.records().zip(&offsets) {
            let planned = &self.kinds[at];
            assert_eq!(record.key, planned.key.as_deref(), "a record is what it was");
            assert_eq!(record.appended_at, planned.appended_at);
            assert_eq!(record.value.map(<[u8]>::len), Some(planned.bytes));
            assert!(!self.is_settled(*at), "what is settled is not tried again");
            assert!(!self.good.contains_key(at), "what is handled is not tried again");
            assert!(!self.is_too_old(now, scene, *at), "what is too old is not tried");
            assert!(!self.has_used_up(scene, *at) || !retry.bisect, "the budget is used up");
            self.check_order(now, scene, *at, &offsets);
        }
        if let ([one], true) = (&offsets[..], retry.bisect) {
            let billed = self.billed.get(one).copied().unwrap_or(0);
            assert_eq!(attempt, billed + 1, "the guest is told which attempt this is");
        }
        for at in &offsets {
            assert!(!self.hopeless.contains(at), "what is permanent is not tried again");
            let is_billed = self.billed.get(at).is_some_and(|billed| *billed > 0);
            assert!(!(is_billed && retry.bisect) || offsets.len() == 1, "the suspect goes alone");
            let retry_at = self.retry_at.get(at).filter(|_| retry.bisect);
            assert!(retry_at.is_none_or(|retry_at| *retry_at <= now), "a retry backs off");
        }
        self.handed.extend(&offsets);
        if let Some(away) = &mut self.away {
            assert!(away.probe.is_none() && offsets.len() == 1, "one record probes");
            assert!(away.not_before <= now, "not before the circuit lets it");
            away.probe = Some(delivery);
        }
        let flight = Flight { offsets };
        assert!(self.flights.insert(delivery, flight).is_none(), "ids are never used twice");
    }

    /// An attempt sees its keys' state, or the whole partition's, and nothing twice.
    pub fn check_overlay(&self, scene: &Scene, span: &Span, overlay: &[StateWrite]) {
        let seen: BTreeSet<_> = overlay.iter().map(|write| &write.at).collect();
        assert_eq!(seen.len(), overlay.len(), "each entry once");
        if scene.policy.ordering == Ordering::Key {
            let keys: BTreeSet<_> = span.records().map(|record| record.key).collect();
            let is_own = |at: &&StateKey| at.key.is_some() && keys.contains(&at.key.as_deref());
            assert!(seen.iter().all(is_own), "another key's state is out of reach");
        }
    }

    /// One key is never in two flights, and no record is handed out while an earlier one of its key
    /// is undecided, save in the same invocation.
    fn check_order(&self, now: Timestamp, scene: &Scene, at: u64, together: &[u64]) {
        let Some(key) = self.key(scene, at) else { return };
        for other in self.flights.values().flat_map(|flight| &flight.offsets) {
            assert_ne!(self.key(scene, *other), Some(key), "one key in two flights");
        }
        for (before, _) in self.kinds.range(self.progress.next().0.min(at)..at) {
            let is_out = self.is_settled(*before)
                || together.contains(before)
                || *before < self.start
                || self.key(scene, *before) != Some(key)
                || self.may_be_decided(now, scene, *before);
            assert!(is_out, "{at} overtakes {before} of its key");
        }
    }
}
