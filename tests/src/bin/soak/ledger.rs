//! What was read of a topic, in one number a key: enough to see at once what is doubled or out of order,
//! and at the end what is missing. Never what was sent: `check` compares.
use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use crate::orders::{KEYS, Order, is_bad};

/// More missing in a row is no gap, but nonsense.
const GAP_MAX: u64 = 1_000_000;
/// Of all gaps together. A kill leaves one of a request's length for each producer.
const MISSING_MAX: usize = 2_000_000;

/// Which orders end in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// With the count of those of its key that were handled so far, itself included.
    Good,
    Bad,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    topic: &'static str,
    holds: Holds,
    keys: Vec<Seen>,
    missing: BTreeSet<Order>,
    pub(crate) records: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The first that was not read yet.
    next: u64,
    records: u64,
}

impl Ledger {
    pub(crate) fn new(topic: &'static str, holds: Holds) -> Self {
        let keys = vec![Seen::default(); KEYS as usize];
        Self { topic, holds, keys, missing: BTreeSet::new(), records: 0 }
    }

    /// Takes the next order that was read, with its count where the topic has one.
    pub(crate) fn take(&mut self, order: Order, count: Option<u64>) -> Result<()> {
        let ((key, id), topic) = (order, self.topic);
        let at = || format!("`{topic}`: order {id} of key {key}");
        let is_ours = (self.holds == Holds::Bad) == is_bad(order);
        ensure!(is_ours, "{} does not belong here", at());
        let Seen { next, records } = self.keys[key as usize];
        ensure!(next <= id, "{} came twice or late, {next} is the next", at());
        ensure!(id - next <= GAP_MAX, "{} came, and {next} is the next", at());
        self.miss(key, next..id).with_context(at)?;
        if self.holds == Holds::Good {
            let count = count.with_context(|| format!("{} has no count", at()))?;
            ensure!(count == records + 1, "{} was counted as {count} after {records}", at());
        }
        self.keys[key as usize] = Seen { next: id + 1, records: records + 1 };
        self.records += 1;
        Ok(())
    }

    /// All that is missing when so many of each key were sent.
    pub(crate) fn close(mut self, sent: &[u64]) -> Result<BTreeSet<Order>> {
        let topic = self.topic;
        for (key, sent) in (0_u32..).zip(sent) {
            let next = self.keys[key as usize].next;
            ensure!(next <= *sent, "`{topic}`: key {key} has {next} orders, {sent} were sent");
            self.miss(key, next..*sent)?;
        }
        Ok(self.missing)
    }

    fn miss(&mut self, key: u32, ids: std::ops::Range<u64>) -> Result<()> {
        let ours = ids.map(|id| (key, id));
        self.missing.extend(ours.filter(|order| (self.holds == Holds::Bad) == is_bad(*order)));
        ensure!(self.missing.len() <= MISSING_MAX, "more than {MISSING_MAX} are missing");
        Ok(())
    }
}

/// What is missing beyond requests whose answer was lost: of each of those all is missing, or nothing.
/// Answers how many of them are there and how many are not.
pub(crate) fn explain(
    mut missing: BTreeSet<Order>,
    unknown: &[Vec<Order>],
) -> Result<(u64, u64), String> {
    let (mut there, mut absent) = (0, 0);
    for request in unknown {
        let gone = request.iter().filter(|order| missing.contains(order)).count();
        match gone {
            0 => there += 1,
            all if all == request.len() => absent += 1,
            some => {
                let of = request.len();
                return Err(format!("{some} of {of} of a request without an answer are missing"));
            }
        }
        for order in request {
            missing.remove(order);
        }
    }
    match missing.first() {
        None => Ok((there, absent)),
        Some((key, id)) => Err(format!(
            "{} acknowledged records are missing, order {id} of key {key} among them",
            missing.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(orders: &[(Order, u64)]) -> Result<Ledger> {
        let mut ledger = Ledger::new("final", Holds::Good);
        for (order, count) in orders {
            ledger.take(*order, Some(*count))?;
        }
        Ok(ledger)
    }

    fn sent(first: u64) -> Vec<u64> {
        let mut sent = vec![0; KEYS as usize];
        sent[0] = first;
        sent
    }

    #[test]
    fn each_once_in_order_and_counted_is_fine() {
        let ledger = ledger(&[((0, 0), 1), ((0, 1), 2), ((1, 0), 1)]).expect("fine");
        let mut sent = sent(2);
        sent[1] = 1;
        assert_eq!(explain(ledger.close(&sent).expect("as sent"), &[]), Ok((0, 0)));
    }

    #[test]
    fn twice_late_miscounted_or_never_sent_is_not() {
        for orders in [
            &[((0, 0), 1), ((0, 0), 2)][..],
            &[((0, 1), 1), ((0, 0), 2)],
            &[((0, 0), 2)],
            &[((0, 37), 1)],
            &[((0, GAP_MAX + 1), 1)],
        ] {
            assert!(ledger(orders).is_err(), "{orders:?}");
        }
        let more = ledger(&[((0, 0), 1)]).expect("fine").close(&sent(0));
        assert!(more.is_err(), "nobody sent it");
    }

    #[test]
    fn a_gap_needs_a_request_without_an_answer_and_all_of_it() {
        let missing = || ledger(&[((0, 2), 1)]).expect("fine").close(&sent(4)).expect("as sent");
        let lost = |ids: &[u64]| ids.iter().map(|id| (0, *id)).collect::<Vec<_>>();
        assert_eq!(explain(missing(), &[lost(&[0, 1]), lost(&[2]), lost(&[3])]), Ok((1, 2)));
        assert!(explain(missing(), &[lost(&[0, 1])]).is_err(), "the last is not explained");
        assert!(
            explain(missing(), &[lost(&[0, 1, 2]), lost(&[3])]).is_err(),
            "it is there in part"
        );
    }
}
