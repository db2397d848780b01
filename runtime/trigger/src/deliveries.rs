//! The deliveries of a feed: some are flying, the others sleep until they are due, or until an operator
//! releases them.
use crate::{age::Ageing, delivery::Delivery, pages::Copied, seam::DeliveryId};
use log_contract::{Offset, RecordBatch, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    flying: BTreeMap<DeliveryId, Delivery>,
    sleeping: BTreeMap<DeliveryId, Sleeper>,
    /// The sleeping ones by when they may fly, and by when their oldest record grows too old.
    due: BTreeSet<(Timestamp, DeliveryId)>,
    expiring: BTreeSet<(Timestamp, DeliveryId)>,
    /// Those that nothing but an operator wakes, by what they hold.
    held: BTreeSet<(Offset, DeliveryId)>,
    held_records: usize,
    ids: u64,
}

#[derive(Debug)]
struct Sleeper {
    delivery: Delivery,
    expires_at: Option<Timestamp>,
}

impl Deliveries {
    pub(crate) fn flying(&self) -> usize {
        self.flying.len()
    }

    pub(crate) fn sleeping(&self) -> usize {
        self.sleeping.len()
    }

    /// All that sleeps waits for an operator.
    pub(crate) fn all_are_held(&self) -> bool {
        self.held.len() == self.sleeping.len()
    }

    /// Records that wait for an operator, without those that wait behind them.
    pub(crate) fn held_records(&self) -> usize {
        self.held_records
    }

    pub(crate) fn sleep(&mut self, delivery: Delivery, ageing: Ageing) {
        let id = DeliveryId(self.ids);
        self.ids += 1;
        let mut expires_at = None;
        if delivery.held().is_some() {
            self.held.insert((delivery.span().head(), id));
            self.held_records += delivery.span().len();
        } else {
            self.due.insert((delivery.not_before(), id));
            // No wait outlasts the age of the record it holds up.
            expires_at = ageing.expires_at(delivery.span().oldest());
            self.expiring.extend(expires_at.map(|at| (at, id)));
        }
        self.sleeping.insert(id, Sleeper { delivery, expires_at });
    }

    pub(crate) fn next_due(&self, now: Timestamp) -> Option<DeliveryId> {
        let (at, id) = self.due.first()?;
        (*at <= now).then_some(*id)
    }

    /// What is tried next, whenever that is.
    pub(crate) fn next(&self) -> Option<&Delivery> {
        let (_, id) = self.due.first()?;
        self.sleeping.get(id).map(|sleeper| &sleeper.delivery)
    }

    /// The oldest that waits for an operator.
    pub(crate) fn first_held(&self) -> Option<&Delivery> {
        let (_, id) = self.held.first()?;
        self.sleeping.get(id).map(|sleeper| &sleeper.delivery)
    }

    pub(crate) fn take_expired(&mut self, now: Timestamp) -> Option<Delivery> {
        let (at, id) = *self.expiring.first()?;
        (at <= now).then(|| self.wake(id))
    }

    pub(crate) fn fly(&mut self, id: DeliveryId) -> &mut Delivery {
        let delivery = self.wake(id);
        self.flying.entry(id).or_insert(delivery)
    }

    /// `None`: it was in flight when the feed rewound.
    pub(crate) fn land(&mut self, id: DeliveryId) -> Option<Delivery> {
        self.flying.remove(&id)
    }

    /// An operator lets all that is held go on at once. The others keep their pauses, but age anew.
    pub(crate) fn release(&mut self, now: Timestamp, ageing: Ageing) {
        let sleepers = std::mem::take(&mut self.sleeping);
        (self.due, self.expiring, self.held) = Default::default();
        self.held_records = 0;
        for Sleeper { mut delivery, .. } in sleepers.into_values() {
            delivery.release(now);
            self.sleep(delivery, ageing);
        }
        self.flying.values_mut().for_each(|delivery| delivery.release(now));
    }

    /// Every record that waits here.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&RecordBatch, usize)> {
        self.sleeping.values().flat_map(|sleeper| sleeper.delivery.places())
    }

    pub(crate) fn moved(&mut self, copied: &Copied) {
        self.sleeping.values_mut().for_each(|sleeper| sleeper.delivery.moved(copied));
    }

    /// Forgets all of them. Ids go on, so late answers are known as such.
    pub(crate) fn clear(&mut self) {
        *self = Self { ids: self.ids, ..Self::default() };
    }

    /// The first instant after `now` at which one is due or too old.
    pub(crate) fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let after = (Bound::Excluded((now, DeliveryId(u64::MAX))), Bound::Unbounded);
        let due = self.due.range(after).next();
        let expiring = self.expiring.range(after).next();
        due.into_iter().chain(expiring).map(|(at, _)| *at).min()
    }

    fn wake(&mut self, id: DeliveryId) -> Delivery {
        let Sleeper { delivery, expires_at } = self.sleeping.remove(&id).expect("it sleeps");
        assert!(delivery.held().is_none(), "only an operator wakes it");
        self.due.remove(&(delivery.not_before(), id));
        if let Some(at) = expires_at {
            self.expiring.remove(&(at, id));
        }
        delivery
    }
}
