//! Makes an index from its segment. Goes over the frames as recovery does, and takes nothing that it
//! would not take.
use std::{collections::BTreeMap, path::PathBuf};

use super::SegmentIndex;
use crate::{
    entry::{Entries, Entry},
    journal::Segment,
    options::OpenError,
    recovery::{Found, Scan},
    segment,
    state::{Batches, Place},
};

pub(super) fn rebuild(segment: &Segment, path: PathBuf) -> Result<SegmentIndex, OpenError> {
    let mut scan = Scan::new(segment, path.clone());
    let mut lists: BTreeMap<_, Batches> = BTreeMap::new();
    let (mut position, mut next) = (segment::HEADER_LEN as u64, None);
    loop {
        let is_next = |header: &crate::frame::Header| {
            next.is_none_or(|(number, epoch)| header.number == number && header.epoch >= epoch)
        };
        let Found::Frame(header, body) = scan.frame_at(position, is_next)? else { break };
        let damaged = |why: &str| OpenError::Damaged {
            file: path.clone(),
            at: position,
            why: format!("frame {}: {why}", header.number),
        };
        let narrow =
            |number: u64| u32::try_from(number).map_err(|_| damaged("a segment is too long"));
        let place = Place {
            frame: header.number,
            segment: segment.id,
            at: narrow(position)?,
            len: narrow(header.total() as u64)?,
        };
        for entry in Entries::of(body) {
            let (at, entry) = entry.map_err(|why| damaged(why.0))?;
            let at = narrow(at.start as u64)?..narrow(at.end as u64)?;
            let blocks = match entry {
                Entry::Appended(blocks) => blocks,
                Entry::Settled(settled) => settled.outputs,
                _ => continue,
            };
            for block in blocks {
                let block = block.map_err(|why| damaged(why.0))?;
                let pushed = lists.entry(block.partition).or_default().push(&block, place, &at);
                pushed.ok_or_else(|| damaged("a batch is too large"))?;
            }
        }
        next = Some((header.number + 1, header.epoch));
        position += header.total() as u64;
    }
    Ok(SegmentIndex::new(segment.id, lists.into_iter()))
}
