//! An ordered choice of records out of batches, without copying one.
use crate::{Entry, Offset, Record, RecordBatch, Timestamp};
use smallvec::SmallVec;
use std::ops::Range;

/// Neighbouring records of one batch. Scattered records are runs of one.
#[derive(Clone, Debug)]
pub struct Run {
    batch: RecordBatch,
    start: u32,
    end: u32,
}

impl Run {
    pub fn new(batch: RecordBatch, range: Range<usize>) -> Self {
        assert!(range.start < range.end && range.end <= batch.len(), "a run holds records");
        Self { batch, start: range.start as u32, end: range.end as u32 }
    }

    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// For codecs: where each of its records lies in the batch's buffer.
    pub fn entries(&self) -> &[Entry] {
        &self.batch.entries()[self.range()]
    }

    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub fn bytes(&self) -> usize {
        self.batch.bytes(self.range())
    }

    pub fn head(&self) -> Offset {
        self.batch.offset(self.start as usize)
    }

    pub fn last(&self) -> Offset {
        self.batch.offset(self.end as usize - 1)
    }

    /// The first `len` records; `self` keeps the others.
    #[inline]
    #[must_use]
    pub fn cut(&mut self, len: usize) -> Self {
        assert!(0 < len && len <= self.len());
        let middle = self.start + len as u32;
        let front = Self { batch: self.batch.clone(), start: self.start, end: middle };
        self.start = middle;
        front
    }

    pub fn skip(&mut self, len: usize) {
        assert!(len <= self.len());
        self.start += len as u32;
    }
}

/// Records in offset order.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// Most spans are one run, and are cloned without an allocation.
    runs: SmallVec<[Run; 1]>,
    len: usize,
}

impl Span {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn bytes(&self) -> usize {
        self.runs.iter().map(Run::bytes).sum()
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.places().map(|(batch, at)| batch.record(at))
    }

    /// Each record as its batch and its index there.
    pub fn places(&self) -> impl Iterator<Item = (&RecordBatch, usize)> {
        self.runs.iter().flat_map(|run| run.range().map(|at| (&run.batch, at)))
    }

    pub fn head(&self) -> Offset {
        self.runs.first().expect("asked of a span with records").head()
    }

    pub fn last(&self) -> Offset {
        self.runs.last().expect("asked of a span with records").last()
    }

    /// When the oldest record was appended.
    pub fn oldest(&self) -> Timestamp {
        let run = self.runs.first().expect("asked of a span with records");
        run.batch.appended_at(run.start as usize)
    }

    #[inline]
    pub fn push(&mut self, run: Run) {
        self.len += run.len();
        match self.runs.last_mut() {
            Some(last) if last.end == run.start && last.batch.is_same(&run.batch) => {
                last.end = run.end;
            }
            _ => self.runs.push(run),
        }
    }

    #[inline]
    pub fn push_one(&mut self, batch: &RecordBatch, at: usize) {
        let at = at as u32;
        self.len += 1;
        match self.runs.last_mut() {
            Some(last) if last.end == at && last.batch.is_same(batch) => last.end += 1,
            _ => self.runs.push(Run { batch: batch.clone(), start: at, end: at + 1 }),
        }
    }

    /// The first `len` records and the others.
    #[must_use]
    pub fn split_at(self, len: usize) -> (Self, Self) {
        assert!(len <= self.len);
        let (mut front, mut back) = (Self::default(), Self::default());
        for mut run in self.runs {
            let wanted = (len - front.len).min(run.len());
            if wanted > 0 {
                front.push(run.cut(wanted));
            }
            if !run.is_empty() {
                back.push(run);
            }
        }
        (front, back)
    }

    /// The records that `chosen` holds for (asked with each record's place in the span), and the others.
    #[must_use]
    pub fn partition(
        self,
        mut chosen: impl FnMut(usize, &RecordBatch, usize) -> bool,
    ) -> (Self, Self) {
        let (mut yes, mut no) = (Self::default(), Self::default());
        for (nth, (batch, at)) in self.places().enumerate() {
            let side = if chosen(nth, batch, at) { &mut yes } else { &mut no };
            side.push_one(batch, at);
        }
        (yes, no)
    }
}

impl From<RecordBatch> for Span {
    fn from(batch: RecordBatch) -> Self {
        let mut span = Self::default();
        if !batch.is_empty() {
            let all = 0..batch.len();
            span.push(Run::new(batch, all));
        }
        span
    }
}

#[cfg(test)]
mod tests;
