//! Decides: requests in, the body of one frame and an answer per request out. Pure: the same requests
//! against the same state make the same bytes, and nothing is changed by asking. No I/O, no clock.
mod draft;

use log_contract::{
    AlterTopicError, AppendBatch, AppendError, AppendGuard, Appended, CreateTopicError, CursorName,
    DeleteCursorError, DeleteTopicError, Document, LogLimits, LogUnavailable, Offset, PartitionRef,
    PutDocumentError, Retention, SettleError, Settled, Settlement, Timestamp, TopicId, TopicInfo,
    TopicSpec, TrimError,
    check::{self, Standing},
};
use std::time::Duration;

pub(crate) use draft::Changes;
use draft::Draft;

use crate::{
    entry::{Kind, Put},
    request::{Outcome, Request, Right},
    state::{State, growth},
};

/// How much room there is for a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    Plenty,
    /// Only for what needs no space: it may use the reserve.
    Reserve(LogUnavailable),
    /// For nothing.
    Exhausted(LogUnavailable),
}

/// What holds for all requests of one plan.
pub(crate) struct Rules<'a> {
    pub(crate) now: Timestamp,
    pub(crate) limits: LogLimits,
    pub(crate) storage: Storage,
    /// A frame is full once its body has so many bytes.
    pub(crate) body_bytes_max: usize,
    /// Of all function state.
    pub(crate) state_bytes_max: u64,
    /// Leases that were given back when there was no room to say so. Said with plenty of it, before
    /// all else of the frame.
    pub(crate) unsaid: &'a [Right],
    pub(crate) is_current: &'a dyn Fn(&Right) -> bool,
    pub(crate) is_in_use: &'a dyn Fn(&CursorName) -> bool,
}

/// Plans a frame for the first of `requests`: as many as have an answer. The body is appended to
/// `body`; none at all means that nothing needs to be written. `changes` is for its memory alone.
pub(crate) fn plan<'r>(
    state: &State,
    rules: &Rules<'_>,
    requests: impl Iterator<Item = &'r Request>,
    body: &mut Vec<u8>,
    changes: &mut Changes,
) -> Vec<Outcome> {
    let begin = body.len();
    let draft = Draft::over(state, changes);
    let mut planner = Planner { state, rules, draft, put: Put(body), topics: Vec::new() };
    let mut outcomes = Vec::new();
    if rules.storage == Storage::Plenty {
        rules.unsaid.iter().for_each(|right| planner.release_late(right));
    }
    for request in requests {
        let is_first = outcomes.is_empty();
        let is_full = planner.put.0.len() - begin >= rules.body_bytes_max;
        let must_wait = is_full || request.is_alone() || planner.draft.is_in_the_way(request);
        if must_wait && !is_first {
            break;
        }
        outcomes.push(planner.answer(request));
        if request.is_alone() {
            break;
        }
    }
    outcomes
}

struct Planner<'a> {
    state: &'a State,
    rules: &'a Rules<'a>,
    draft: Draft<'a>,
    put: Put<'a>,
    /// Reused: the topics of one settlement's outputs.
    topics: Vec<TopicId>,
}

impl Planner<'_> {
    fn answer(&mut self, request: &Request) -> Outcome {
        match &self.rules.storage {
            Storage::Reserve(why) if request.needs_space() => {
                return request.unavailable(why.clone());
            }
            Storage::Exhausted(why) => return request.unavailable(why.clone()),
            Storage::Plenty | Storage::Reserve(_) => {}
        }
        match request {
            Request::Append { topic, batch, guard } => {
                Outcome::Append(self.append(*topic, batch, *guard))
            }
            Request::Settle { right, settlement } => {
                Outcome::Settle(self.settle(right, settlement))
            }
            Request::Trim { partition, before, bytes_before, given } => {
                if given.is_some_and(|given| self.retention_of(*partition) != Some(given)) {
                    return Outcome::Trim(Ok(()));
                }
                Outcome::Trim(self.trim(*partition, *before, *bytes_before))
            }
            Request::Release(right) => {
                self.release(right);
                Outcome::Release
            }
            Request::CreateTopic(spec) => Outcome::CreateTopic(self.create_topic(spec)),
            Request::AlterTopic { topic, spec } => {
                Outcome::AlterTopic(self.alter_topic(*topic, spec))
            }
            Request::DeleteTopic(topic) => Outcome::DeleteTopic(self.delete_topic(*topic)),
            Request::DeleteCursor(cursor) => Outcome::DeleteCursor(self.delete_cursor(cursor)),
            Request::PutDocument { key, value, expect } => {
                Outcome::PutDocument(self.put_document(key, value.as_ref(), *expect))
            }
            Request::Close => {
                self.put.entry(Kind::Closed, |_| {});
                Outcome::Close
            }
        }
    }

    fn append(
        &mut self,
        topic: TopicId,
        batch: &AppendBatch,
        guard: AppendGuard,
    ) -> Result<Appended, AppendError> {
        let there = self.state.topics.get(&topic).ok_or(AppendError::NoTopic(topic))?;
        check::append(topic, there.spec.partitions, batch, &self.rules.limits)?;
        let mut routed = self.draft.route_append(topic, batch);
        let runs = self.draft.placed(&routed);
        if let Err(refused) = check::guard(guard, &runs) {
            self.draft.give_back_turn(topic);
            return Err(refused);
        }
        let stamp = self.draft.stamp(self.rules.now, std::iter::once(&routed));
        self.put.entry(Kind::Appended, |into| self.draft.write(into, &mut routed, stamp));
        Ok(Appended { runs, appended_at: stamp })
    }

    fn settle(&mut self, right: &Right, settlement: &Settlement) -> Result<Settled, SettleError> {
        if !(self.rules.is_current)(right) {
            return Err(SettleError::LeaseVoid);
        }
        let Right { seat, inputs, generation, .. } = right;
        let positions = self.state.cursors.get(&seat.cursor).map(|cursor| &cursor.positions);
        let mut standings = Vec::with_capacity(inputs.len());
        for topic in inputs {
            if !self.state.topics.contains_key(topic) {
                return Err(SettleError::LeaseVoid);
            }
            let partition = self.state.partition(PartitionRef::new(*topic, seat.partition));
            let end = partition.map_or(Offset(0), |partition| partition.end);
            let progress = positions.and_then(|all| all.get(&(*topic, seat.partition)));
            standings.push(Standing { progress, end });
        }
        let has_topic = |topic| self.state.topics.contains_key(&topic);
        check::settlement(settlement, &standings, has_topic, &self.rules.limits)?;
        self.draft.grow_state(
            growth(self.state.part(seat), &settlement.state),
            self.rules.state_bytes_max,
        )?;

        self.draft.takes(seat);
        self.topics.clear();
        let outputs = settlement.outputs.iter().filter(|output| !output.span.is_empty());
        self.topics.extend(outputs.clone().map(|output| output.topic));
        self.topics.sort_unstable();
        self.topics.dedup();
        // One topic after another, as blocks of one topic are neighbours.
        let mut routed: Vec<_> = self
            .topics
            .iter()
            .map(|topic| {
                let spans = outputs.clone().filter(|output| output.topic == *topic);
                self.draft.route_spans(*topic, spans.map(|output| &output.span))
            })
            .collect();
        let stamp = self.draft.stamp(self.rules.now, routed.iter());
        let progress = inputs.iter().copied().zip(settlement.progress.iter().cloned());
        let Settlement { memo, state, .. } = settlement;
        self.put.settled(seat, *generation, progress, memo, state, |into| {
            for routed in &mut routed {
                self.draft.write(into, routed, stamp);
            }
        });
        Ok(Settled { appended_at: stamp })
    }

    fn retention_of(&self, partition: PartitionRef) -> Option<Retention> {
        self.state.topics.get(&partition.topic).map(|topic| topic.spec.retention)
    }

    fn trim(
        &mut self,
        partition: PartitionRef,
        before: Offset,
        bytes_before: u64,
    ) -> Result<(), TrimError> {
        let there = self.state.partition(partition).ok_or(TrimError::NoPartition(partition))?;
        if before > there.end {
            return Err(TrimError::BeyondEnd { before, end: there.end });
        }
        if self.draft.trims(partition, there.start, before) {
            self.put.trimmed(partition, before, bytes_before);
        }
        Ok(())
    }

    fn release(&mut self, right: &Right) {
        self.draft.takes(&right.seat);
        // Of this lease or one whose process crashed: whichever it was, this one was handed over.
        let is_held = self.state.part(&right.seat).is_some_and(|part| part.is_held);
        if is_held && (self.rules.is_current)(right) {
            self.put.released(&right.seat);
        }
    }

    /// Unless a later lease has settled since, whose word it is then.
    fn release_late(&mut self, right: &Right) {
        let part = self.state.part(&right.seat);
        if part.is_some_and(|part| part.is_held && part.generation <= right.generation) {
            self.put.released(&right.seat);
        }
    }

    fn create_topic(&mut self, spec: &TopicSpec) -> Result<TopicId, CreateTopicError> {
        check::new_topic(spec)?;
        if let Some(id) = self.state.names.get(&spec.name) {
            return Err(CreateTopicError::Exists { name: spec.name.clone(), id: *id });
        }
        let id = TopicId(self.state.topics_ever + 1);
        self.put.topic(Kind::TopicCreated, &TopicInfo { id, spec: spec.clone() });
        Ok(id)
    }

    fn alter_topic(&mut self, id: TopicId, spec: &TopicSpec) -> Result<(), AlterTopicError> {
        let there = self.state.topics.get(&id).ok_or(AlterTopicError::NoTopic(id))?;
        check::altered_topic(&there.spec, spec)?;
        if there.spec != *spec {
            self.put.topic(Kind::TopicAltered, &TopicInfo { id, spec: spec.clone() });
        }
        Ok(())
    }

    fn delete_topic(&mut self, id: TopicId) -> Result<(), DeleteTopicError> {
        if !self.state.topics.contains_key(&id) {
            return Err(DeleteTopicError::NoTopic(id));
        }
        self.put.topic_deleted(id);
        Ok(())
    }

    fn delete_cursor(&mut self, cursor: &CursorName) -> Result<(), DeleteCursorError> {
        if !self.state.cursors.contains_key(cursor) {
            return Err(DeleteCursorError::NoCursor(cursor.clone()));
        }
        if (self.rules.is_in_use)(cursor) {
            return Err(DeleteCursorError::InUse(cursor.clone()));
        }
        self.put.cursor_deleted(cursor);
        Ok(())
    }

    fn put_document(
        &mut self,
        key: &str,
        value: Option<&bytes::Bytes>,
        expect: log_contract::Expect,
    ) -> Result<u64, PutDocumentError> {
        let current = self.state.documents.get(key).map(|Document { version, .. }| *version);
        check::document(key, value, current, expect)?;
        if value.is_none() && current.is_none() {
            return Ok(self.state.document_version);
        }
        let version = self.state.document_version + 1;
        self.put.document(key, version, value.map(|value| &**value));
        Ok(version)
    }
}

/// When to ask again for what only a person or the passing of time can help.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
