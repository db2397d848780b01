//! Reads on from places in one or all partitions of a topic, oldest first. Never a shape.
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use log_contract::{
    Log, Offset, PartitionId, PartitionRef, ReadBudget, ReadError, ReadPage, RecordBatch, TopicInfo,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    append::known_partition,
    places::{From, Places},
};
use crate::http::{
    error::{ApiError, ApiResult, Code, topic_not_found},
    params::invalid,
};

/// Bytes of records in one page, over all partitions. One record alone may be larger.
pub(crate) const PAGE_BYTES_MAX: usize = 4 << 20;
/// Of these a page takes at least so many from each partition, however many there are.
const PARTITION_BYTES_MIN: usize = 16 << 10;

/// Reads a topic page by page.
#[derive(Debug)]
pub(crate) struct Reader {
    log: Arc<dyn Log>,
    topic: Arc<TopicInfo>,
    places: Places,
    /// Of one page.
    bytes_max: usize,
    /// Ends a wait: the program ends.
    stop: CancellationToken,
}

/// Records in the order of `appended_at`, and of their offsets within a partition.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) records: Vec<Found>,
    /// What retention had taken when this page was read.
    pub(crate) gone: Vec<Gone>,
}

/// One record, held by its batch.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) partition: PartitionId,
    pub(crate) batch: RecordBatch,
    pub(crate) at: usize,
}

/// Records that were asked for and are not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) partition: PartitionId,
    pub(crate) from: Offset,
    /// Reading went on here.
    pub(crate) start: Offset,
}

impl Page {
    pub(crate) fn bytes(&self) -> usize {
        self.records.iter().map(|found| found.batch.bytes(found.at..found.at + 1)).sum()
    }
}

impl Reader {
    /// Finds the places that `from` means.
    pub(crate) async fn start(
        log: Arc<dyn Log>,
        topic: Arc<TopicInfo>,
        partition: Option<PartitionId>,
        from: From,
        stop: CancellationToken,
    ) -> ApiResult<Self> {
        if let Some(partition) = partition {
            known_partition(&topic, partition)?;
        }
        let all = match partition {
            Some(partition) => partition.0..partition.0 + 1,
            None => 0..topic.spec.partitions,
        };
        let (places, bytes_max) = (Places::default(), PAGE_BYTES_MAX);
        let mut reader = Self { log, topic, places, bytes_max, stop };
        match &from {
            From::Offset(_) if all.len() > 1 => {
                let message = "an offset is of one partition: give `partition`, too";
                return Err(invalid("from", message));
            }
            From::Places(given) => reader.check(given, partition)?,
            _ => {}
        }
        for partition in all.map(PartitionId) {
            let place = reader.place(partition);
            let bounds = async || reader.log.bounds(place).await;
            let next = match &from {
                From::Earliest => bounds().await.map(|bounds| bounds.start),
                From::Latest => bounds().await.map(|bounds| bounds.end),
                From::At(at) => reader.log.offset_at(place, *at).await,
                From::Offset(offset) => Ok(*offset),
                From::Places(given) => match given.0.get(&partition) {
                    Some(next) => Ok(*next),
                    // A partition that was added since.
                    None => bounds().await.map(|bounds| bounds.start),
                },
            };
            let next = next.map_err(|error| reader.refused(error))?;
            reader.places.0.insert(partition, next);
        }
        Ok(reader)
    }

    /// With smaller pages: for who reads for ever.
    #[must_use]
    pub(crate) fn in_pages_of(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// Whether the program ends: nothing is waited for any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The next records, at most `limit`, waiting up to `wait` for the first. What it gives is behind the
    /// reader then.
    pub(crate) async fn next(&mut self, limit: usize, wait: Duration) -> ApiResult<Page> {
        let deadline = Instant::now() + wait;
        loop {
            let page = self.take(limit).await?;
            let is_late = Instant::now() >= deadline || self.stop.is_cancelled();
            if !page.records.is_empty() || !page.gone.is_empty() || is_late {
                return Ok(page);
            }
            self.wait(deadline).await?;
        }
    }

    /// What is there now.
    async fn take(&mut self, limit: usize) -> ApiResult<Page> {
        let share = (self.bytes_max / self.places.0.len().max(1)).max(PARTITION_BYTES_MIN);
        let budget = ReadBudget { records_max: limit, bytes_max: share, wait_max: Duration::ZERO };
        let mut page = Page::default();
        let mut pages = BTreeMap::new();
        let mut bytes = 0;
        let places: Vec<_> =
            self.places.0.iter().map(|(partition, next)| (*partition, *next)).collect();
        for (partition, from) in places {
            let mut from = from;
            let read = loop {
                match self.log.read(self.place(partition), from, budget).await {
                    Ok(read) => break read,
                    Err(ReadError::Trimmed { start }) if from < start => {
                        page.gone.push(Gone { partition, from, start });
                        self.places.0.insert(partition, start);
                        from = start;
                    }
                    Err(error) => return Err(self.refused(error)),
                }
            };
            bytes += read.batches.iter().map(|batch| batch.bytes(0..batch.len())).sum::<usize>();
            pages.insert(partition, read);
            // The rest waits for the next page; what is older goes first anyway.
            if bytes > 4 * self.bytes_max {
                break;
            }
        }
        self.merge(pages, limit, &mut page);
        Ok(page)
    }

    fn merge(&mut self, pages: BTreeMap<PartitionId, ReadPage>, limit: usize, into: &mut Page) {
        let mut heads: BTreeMap<PartitionId, (usize, usize)> = BTreeMap::new();
        let mut queue = BinaryHeap::new();
        for (partition, page) in &pages {
            heads.insert(*partition, (0, 0));
            match page.batches.first() {
                Some(batch) => queue.push(Reverse((batch.appended_at(0), *partition))),
                None => {
                    self.places.0.insert(*partition, page.next);
                }
            }
        }
        let mut bytes = 0;
        while let Some(Reverse((_, partition))) = queue.pop() {
            let page = &pages[&partition];
            let (nth, at) = heads[&partition];
            let batch = &page.batches[nth];
            let size = batch.bytes(at..at + 1);
            if into.records.len() >= limit || (bytes > 0 && bytes + size > self.bytes_max) {
                self.places.0.insert(partition, batch.offset(at));
                continue;
            }
            bytes += size;
            into.records.push(Found { partition, batch: batch.clone(), at });
            let head = if at + 1 < batch.len() { (nth, at + 1) } else { (nth + 1, 0) };
            heads.insert(partition, head);
            match page.batches.get(head.0) {
                Some(batch) => queue.push(Reverse((batch.appended_at(head.1), partition))),
                None => {
                    self.places.0.insert(partition, page.next);
                }
            }
        }
    }

    /// Until there is something in one of the partitions, the deadline, or the end of the program.
    async fn wait(&self, deadline: Instant) -> ApiResult<()> {
        let wait_max = deadline.saturating_duration_since(Instant::now());
        let budget = ReadBudget { records_max: 1, bytes_max: 1, wait_max };
        let polls = self.places.0.iter().map(|(partition, next)| {
            let place = self.place(*partition);
            async move { self.log.read(place, *next, budget).await }
        });
        let mut polls: FuturesUnordered<_> = polls.collect();
        let first = async {
            while let Some(answer) = polls.next().await {
                match answer {
                    Ok(page) if page.batches.is_empty() => {}
                    Ok(_) | Err(ReadError::Trimmed { .. }) => return Ok(()),
                    Err(error) => return Err(self.refused(error)),
                }
            }
            Ok(())
        };
        tokio::select! {
            answer = first => answer,
            () = self.stop.cancelled() => Ok(()),
        }
    }

    fn check(&self, given: &Places, partition: Option<PartitionId>) -> ApiResult<()> {
        let strange = given.0.keys().find(|found| match partition {
            Some(partition) => **found != partition,
            None => found.0 >= self.topic.spec.partitions,
        });
        match strange {
            None => Ok(()),
            Some(found) => {
                let message = format!("it names partition {found}, which this call does not read");
                Err(invalid("from", message))
            }
        }
    }

    fn place(&self, partition: PartitionId) -> PartitionRef {
        PartitionRef::new(self.topic.id, partition)
    }

    fn refused(&self, error: ReadError) -> ApiError {
        refused(error, &self.topic)
    }
}

/// What a read that failed tells the caller.
pub(crate) fn refused(error: ReadError, topic: &TopicInfo) -> ApiError {
    match error {
        ReadError::NoPartition(_) => topic_not_found(topic.spec.name.as_str()),
        ReadError::Unavailable(why) => why.into(),
        ReadError::Damaged(_) => ApiError::new(Code::Damaged, error.to_string()),
        ReadError::Trimmed { .. } => ApiError::new(Code::RecordNotFound, error.to_string()),
    }
}
