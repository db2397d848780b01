//! The batches that are open: fetched, with records that are not settled. Counts the memory they pin
//! and knows which stretch of offsets each record stands for, holes included.
use crate::spec::Bounds;
use log_contract::{BatchBuilder, Offset, RecordBatch, Run, Span, Timestamp};
use std::{collections::VecDeque, ops::Range};

#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// In offset order. Closed ones stay until they are the majority, or at the front.
    pages: VecDeque<Page>,
    closed: usize,
    records: usize,
    bytes: usize,
    /// Records that are open themselves, whatever they pin, and their bytes.
    open: usize,
    live: usize,
    /// Settled since survivors were last looked for.
    settled: usize,
    /// Where the last settled record was: the next is near.
    near: usize,
}

#[derive(Debug)]
struct Page {
    /// Together the batch stands for `from..next`: no other record can lie in there.
    from: Offset,
    next: Offset,
    records: usize,
    bytes: usize,
    open: usize,
    /// Bytes of what is open, at most.
    live: usize,
    /// Gone once it is closed.
    batch: Option<RecordBatch>,
}

impl Pages {
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn open(&mut self, batch: &RecordBatch, stretch: Range<Offset>, open: usize) {
        assert!(0 < open && open <= batch.len());
        assert!(self.pages.back().is_none_or(|page| page.next <= stretch.start));
        let (records, bytes) = (batch.len(), batch.bytes(0..batch.len()));
        self.records += records;
        self.bytes += bytes;
        self.open += open;
        self.live += bytes;
        self.pages.push_back(Page {
            from: stretch.start,
            next: stretch.end,
            records,
            bytes,
            open,
            live: bytes,
            batch: Some(batch.clone()),
        });
    }

    /// What a run stands for: from its first record to the one that follows its last. In a batch of
    /// survivors what lies between them is settled already.
    pub(crate) fn stretch(&self, batch: &RecordBatch, run: Range<usize>) -> Range<Offset> {
        let start = match run.start {
            0 => self.pages[self.find(batch.offset(0))].from,
            at => batch.offset(at),
        };
        let end = match run.end {
            at if at < batch.len() => batch.offset(at),
            at => self.pages[self.find(batch.offset(at - 1))].next,
        };
        start..end
    }

    /// What the records of a span stand for, in order.
    pub(crate) fn stretches(&self, span: &Span) -> impl Iterator<Item = Range<Offset>> {
        span.runs().iter().map(|run| self.stretch(run.batch(), run.range()))
    }

    pub(crate) fn settle(&mut self, run: &Run) {
        let head = run.head();
        let is_near = |page: &Page| page.from <= head && head < page.next;
        let at = match self.pages.get(self.near).is_some_and(is_near) {
            true => self.near,
            false => self.find(head),
        };
        self.near = at;
        self.open -= run.len();
        self.settled += run.len();
        let page = &mut self.pages[at];
        page.open = page.open.checked_sub(run.len()).expect("settled once");
        let settled = if page.open > 0 { run.bytes().min(page.live) } else { page.live };
        page.live -= settled;
        self.live -= settled;
        if page.open > 0 {
            return;
        }
        self.records -= page.records;
        self.bytes -= page.bytes;
        page.batch = None;
        self.closed += 1;
        if self.closed * 2 > self.pages.len() {
            self.pages.retain(|page| page.open > 0);
            self.closed = 0;
        }
    }

    /// When the first open record at or after `next` was appended.
    pub(crate) fn oldest(&self, next: Offset) -> Option<Timestamp> {
        let page = self.pages.iter().find(|page| page.open > 0 && next < page.next)?;
        let batch = page.batch.as_ref()?;
        let at = batch.partition_point(0..batch.len(), |at| next <= batch.offset(at));
        Some(batch.appended_at(at.min(batch.len() - 1)))
    }

    /// Whether few open records pin much: at least a page of what is counted is settled, and enough
    /// was settled since the last look, which looks at all that waits, to pay for another. An
    /// idle feed may be starving: nothing would settle any more.
    pub(crate) fn is_worth_copying(&self, bounds: &Bounds, is_idle: bool) -> bool {
        let pins_records = bounds.page_records <= self.records - self.open;
        let pins_bytes = bounds.page_bytes <= self.bytes - self.live;
        let pays = 2 * self.open <= self.settled || is_idle;
        (pins_records || pins_bytes) && pays && self.settled > 0
    }

    /// Copies the survivors of batches that they pin to more than double their own size, if all of
    /// them wait. `waiting`: every record that waits and that nobody else holds. Answers where each
    /// went.
    pub(crate) fn copy_survivors<'a>(
        &mut self,
        waiting: impl Iterator<Item = (&'a RecordBatch, usize)>,
    ) -> Copied {
        self.settled = 0;
        let mut places: Vec<(usize, usize)> = Vec::new();
        for (batch, at) in waiting {
            let nth = self.find(batch.offset(at));
            if self.pages[nth].batch.as_ref().is_some_and(|of| of.is_same(batch)) {
                places.push((nth, at));
            }
        }
        places.sort_unstable();
        let mut copied = Copied::default();
        for of_page in places.chunk_by(|one, other| one.0 == other.0) {
            self.copy_page(of_page, &mut copied);
        }
        copied
    }

    fn copy_page(&mut self, places: &[(usize, usize)], copied: &mut Copied) {
        let page = &self.pages[places[0].0];
        let Some(batch) = page.batch.clone().filter(|_| places.len() == page.open) else { return };
        let bytes: usize = places.iter().map(|(_, at)| batch.bytes(*at..at + 1)).sum();
        if places.len() * 2 > page.records && bytes * 2 > page.bytes {
            return;
        }
        let mut builder = BatchBuilder::with_capacity(places.len(), bytes);
        batch.attributes().into_iter().for_each(|of| builder.set_attributes(of.clone()));
        places.iter().for_each(|(_, at)| builder.push(batch.record(*at)));
        let survivors = builder.build();
        self.records = self.records - page.records + places.len();
        self.bytes = self.bytes - page.bytes + bytes;
        let page = &mut self.pages[places[0].0];
        self.live = self.live - page.live + bytes;
        (page.records, page.bytes, page.live) = (places.len(), bytes, bytes);
        page.batch = Some(survivors.clone());
        copied.batches.push((batch, survivors));
    }

    fn find(&self, offset: Offset) -> usize {
        // Most work is at the back.
        match self.pages.back() {
            Some(last) if last.from <= offset => self.pages.len() - 1,
            _ => self.pages.partition_point(|page| page.from <= offset) - 1,
        }
    }
}

/// Batches whose survivors were copied, in offset order: before and after.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    batches: Vec<(RecordBatch, RecordBatch)>,
}

impl Copied {
    pub(crate) fn len(&self) -> usize {
        self.batches.len()
    }

    /// Where a record lies now, if it was copied.
    pub(crate) fn place(&self, batch: &RecordBatch, at: usize) -> Option<(&RecordBatch, usize)> {
        let offset = batch.offset(at);
        let nth = self.batches.partition_point(|(_, after)| after.offset(0) <= offset);
        let (before, after) = self.batches.get(nth.checked_sub(1)?)?;
        let place = || after.partition_point(0..after.len(), |at| offset <= after.offset(at));
        before.is_same(batch).then(|| (after, place()))
    }

    pub(crate) fn span(&self, span: &Span) -> Option<Span> {
        let first =
            span.runs().iter().any(|run| self.place(run.batch(), run.range().start).is_some());
        first.then(|| {
            let mut moved = Span::default();
            for (batch, at) in span.places() {
                let (batch, at) = self.place(batch, at).unwrap_or((batch, at));
                moved.push_one(batch, at);
            }
            moved
        })
    }
}
