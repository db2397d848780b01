//! Where the journal goes on, as the frames say that were applied.
use super::Place;
use crate::aligned::in_block;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JournalEnd {
    /// Of the last frame. 0: there is none.
    pub(crate) number: u64,
    /// Its segment.
    pub(crate) segment: u64,
    /// Where it ends there.
    pub(crate) at: u64,
    /// Frames that reach into the block in which that is, the last frame always.
    pub(crate) in_block: Vec<Place>,
}

impl JournalEnd {
    pub(super) fn push(&mut self, place: Place) {
        if place.segment != self.segment {
            self.in_block.clear();
        }
        self.number = place.frame;
        self.segment = place.segment;
        self.at = u64::from(place.at) + u64::from(place.len);
        let block = self.at - in_block(self.at) as u64;
        self.in_block.retain(|place| u64::from(place.at) + u64::from(place.len) > block);
        self.in_block.push(place);
    }
}
