//! What lies in a segment that is written no more, partition by partition: packed, as there may be many
//! batches, and read from a file of its own or made again from the segment. Derived: wherever it is not
//! what it should be, the segment is the truth.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)
)]

mod keeper;
mod rebuild;
mod store;

pub(crate) use keeper::Keeper;
pub(crate) use store::{Indexes, read};

use log_contract::{Offset, PartitionId, PartitionRef, Timestamp, TopicId};

use crate::{
    state::{BatchAt, Place},
    wire::{
        Malformed, Take, begin_derived, end_derived, len_u32, put_u32, put_u64, put_varint,
        take_derived,
    },
};

/// One batch in so many has all of its numbers written out: whoever looks for one unpacks no more.
const PER_PAGE: usize = 64;
const MAGIC: [u8; 8] = *b"MILLIDX\0";
const VERSION: u32 = 1;
const PAGE_LEN: usize = 56;
const CUT: &str = "an index is cut off";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    pub(crate) segment: u64,
    /// By partition and offset.
    pages: Vec<Page>,
    /// All batches of the pages, packed.
    packed: Vec<u8>,
}

/// Some neighbouring batches of one partition: where the first of them begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    partition: PartitionRef,
    base: Offset,
    appended_at: Timestamp,
    bytes_before: u64,
    frame: u64,
    at: u32,
    batches: u32,
    /// Where they lie in `packed`.
    begin: u32,
}

/// What a batch is packed against.
#[derive(Clone, Copy)]
struct Before {
    base: u64,
    appended_at: u64,
    bytes_before: u64,
    frame: u64,
    at: u32,
}

impl Before {
    fn page(page: &Page) -> Self {
        let Page { base, appended_at, bytes_before, frame, at, .. } = *page;
        Self { base: base.0, appended_at: appended_at.0, bytes_before, frame, at }
    }

    fn put(&mut self, into: &mut Vec<u8>, batch: &BatchAt) {
        let BatchAt { appended_at, place, begin, end, count, bytes, .. } = *batch;
        put_varint(into, appended_at.0 - self.appended_at);
        put_varint(into, place.frame - self.frame);
        put_varint(into, u64::from(place.at - self.at));
        for number in [place.len, begin, end - begin, count, bytes] {
            put_varint(into, u64::from(number));
        }
        *self = Self {
            base: self.base + u64::from(count),
            appended_at: appended_at.0,
            bytes_before: self.bytes_before + u64::from(bytes),
            frame: place.frame,
            at: place.at,
        };
    }

    fn take(&mut self, take: &mut Take<'_>, segment: u64) -> Option<BatchAt> {
        let mut number = || take.varint(CUT).ok();
        let appended_at = self.appended_at.checked_add(number()?)?;
        let frame = self.frame.checked_add(number()?)?;
        let mut narrow = || u32::try_from(number()?).ok();
        let at = self.at.checked_add(narrow()?)?;
        let (len, begin) = (narrow()?, narrow()?);
        let (end, count, bytes) = (begin.checked_add(narrow()?)?, narrow()?, narrow()?);
        let batch = BatchAt {
            base: Offset(self.base),
            appended_at: Timestamp(appended_at),
            place: Place { frame, segment, at, len },
            begin,
            end,
            count,
            bytes,
            bytes_before: self.bytes_before,
        };
        *self = Self {
            base: self.base.checked_add(u64::from(count))?,
            appended_at,
            bytes_before: self.bytes_before.checked_add(u64::from(bytes))?,
            frame,
            at,
        };
        Some(batch)
    }
}

impl SegmentIndex {
    /// Of the batches of each partition, by partition, none of them without any.
    pub(crate) fn new<B: IntoIterator<Item = BatchAt>>(
        segment: u64,
        lists: impl Iterator<Item = (PartitionRef, B)>,
    ) -> Self {
        let (mut pages, mut packed): (Vec<Page>, Vec<u8>) = (Vec::new(), Vec::new());
        for (partition, batches) in lists {
            let mut before = None;
            for (nth, batch) in batches.into_iter().enumerate() {
                if nth.is_multiple_of(PER_PAGE) {
                    let BatchAt { base, appended_at, place, bytes_before, .. } = batch;
                    let Place { frame, at, .. } = place;
                    let begin = len_u32(packed.len());
                    let page = Page {
                        partition,
                        base,
                        appended_at,
                        bytes_before,
                        frame,
                        at,
                        batches: 0,
                        begin,
                    };
                    before = Some(Before::page(&page));
                    pages.push(page);
                }
                if let (Some(before), Some(page)) = (before.as_mut(), pages.last_mut()) {
                    before.put(&mut packed, &batch);
                    page.batches += 1;
                }
            }
        }
        pages.shrink_to_fit();
        packed.shrink_to_fit();
        Self { segment, pages, packed }
    }

    /// About what it takes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.len() * size_of::<Page>() + self.packed.len()
    }

    /// The batches of a partition that hold its records from `from` on.
    pub(crate) fn from(
        &self,
        partition: PartitionRef,
        from: Offset,
    ) -> impl Iterator<Item = BatchAt> + '_ {
        let behind =
            self.pages.partition_point(|page| (page.partition, page.base) <= (partition, from));
        let pages = self.pages.get(behind.saturating_sub(1)..).unwrap_or_default();
        self.batches_of(partition, pages).skip_while(move |batch| batch.end() <= from)
    }

    /// Where the last batch of a partition ends.
    pub(crate) fn end(&self, partition: PartitionRef) -> Option<Offset> {
        let behind = self.pages.partition_point(|page| page.partition <= partition);
        let last = self.pages.get(behind.checked_sub(1)?)?;
        let last = (last.partition == partition).then_some(last)?;
        self.of_page(last).last().map(|batch| batch.end())
    }

    /// The first batch of a partition that was not stamped before `at`.
    pub(crate) fn at_time(&self, partition: PartitionRef, at: Timestamp) -> Option<BatchAt> {
        let behind =
            self.pages.partition_point(|page| (page.partition, page.appended_at) < (partition, at));
        let pages = self.pages.get(behind.saturating_sub(1)..).unwrap_or_default();
        self.batches_of(partition, pages).find(|batch| batch.appended_at >= at)
    }

    /// The last batch of a partition with at most so many bytes of its records in this segment before it.
    pub(crate) fn at_bytes(&self, partition: PartitionRef, bytes: u64) -> Option<BatchAt> {
        let behind = self
            .pages
            .partition_point(|page| (page.partition, page.bytes_before) <= (partition, bytes));
        let page = self.pages.get(behind.checked_sub(1)?)?;
        let page = (page.partition == partition).then_some(page)?;
        self.of_page(page).take_while(|batch| batch.bytes_before <= bytes).last()
    }

    /// Those of the first page may be another partition's.
    fn batches_of<'a>(
        &'a self,
        partition: PartitionRef,
        pages: &'a [Page],
    ) -> impl Iterator<Item = BatchAt> + 'a {
        let of_others = usize::from(pages.first().is_some_and(|page| page.partition != partition));
        let pages = pages.iter().skip(of_others);
        let pages = pages.take_while(move |page| page.partition == partition);
        pages.flat_map(|page| self.of_page(page))
    }

    /// All batches, by partition and offset.
    pub(crate) fn all(&self) -> impl Iterator<Item = (PartitionRef, BatchAt)> + '_ {
        self.pages.iter().flat_map(|page| self.of_page(page).map(|batch| (page.partition, batch)))
    }

    fn of_page(&self, page: &Page) -> impl Iterator<Item = BatchAt> + '_ {
        let packed = self.packed.get(page.begin as usize..).unwrap_or_default();
        let (mut take, mut before) = (Take::new(packed), Before::page(page));
        let segment = self.segment;
        (0..page.batches).map_while(move |_| before.take(&mut take, segment))
    }

    /// As it lies in a file. `salt`: of the segment.
    pub(crate) fn encode(&self, salt: u64) -> Vec<u8> {
        let mut file = begin_derived(MAGIC, VERSION);
        put_u64(&mut file, self.segment);
        put_u64(&mut file, salt);
        put_u32(&mut file, len_u32(self.pages.len()));
        put_u32(&mut file, len_u32(self.packed.len()));
        for page in &self.pages {
            put_u64(&mut file, page.partition.topic.0);
            put_u64(&mut file, page.base.0);
            put_u64(&mut file, page.appended_at.0);
            put_u64(&mut file, page.bytes_before);
            put_u64(&mut file, page.frame);
            for number in [page.partition.partition.0, page.at, page.batches, page.begin] {
                put_u32(&mut file, number);
            }
        }
        file.extend_from_slice(&self.packed);
        end_derived(&mut file);
        file
    }

    /// What such a file holds, if it is of this segment.
    pub(crate) fn parse(file: &[u8], segment: u64, salt: u64) -> Result<Self, Malformed> {
        let mut take = take_derived(file, MAGIC, VERSION)?;
        if (take.u64(CUT)?, take.u64(CUT)?) != (segment, salt) {
            return Err(Malformed("it is of another segment"));
        }
        let (count, packed) = (take.u32(CUT)? as usize, take.u32(CUT)? as usize);
        if take.left() != count.saturating_mul(PAGE_LEN).saturating_add(packed) {
            return Err(Malformed(CUT));
        }
        let mut pages = Vec::with_capacity(count);
        for _ in 0..count {
            let topic = TopicId(take.u64(CUT)?);
            let (base, appended_at) = (Offset(take.u64(CUT)?), Timestamp(take.u64(CUT)?));
            let (bytes_before, frame) = (take.u64(CUT)?, take.u64(CUT)?);
            let partition = PartitionRef::new(topic, PartitionId(take.u32(CUT)?));
            let (at, batches, begin) = (take.u32(CUT)?, take.u32(CUT)?, take.u32(CUT)?);
            pages.push(Page {
                partition,
                base,
                appended_at,
                bytes_before,
                frame,
                at,
                batches,
                begin,
            });
        }
        Ok(Self { segment, pages, packed: take.bytes(packed, CUT)?.to_vec() })
    }
}

#[cfg(test)]
mod tests;
