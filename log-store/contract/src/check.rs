//! What every log refuses, and refuses alike. Pure questions about what was asked and what is there;
//! never a store, a clock or a wait. Whoever answers `Ok` may go on to write.
use std::collections::BTreeSet;

use crate::{
    AlterTopicError, AppendBatch, AppendError, AppendGuard, AppendedRun, CreateTopicError,
    DOCUMENT_BYTES_MAX, Expect, InvalidSettlement, LogLimits, Memo, Offset, Output, Progress,
    PutDocumentError, RefusedOutput, STATE_NAME_MAX, STATE_VALUE_MAX, SettleError, Settlement,
    Span, StateWrite, TopicId, TopicSpec,
};

/// Whether such a topic can be. That its name is free is for the log to see.
///
/// # Errors
/// `Partitions`.
pub fn new_topic(spec: &TopicSpec) -> Result<(), CreateTopicError> {
    let max = TopicSpec::PARTITIONS_MAX;
    match spec.partitions {
        partitions if (1..=max).contains(&partitions) => Ok(()),
        partitions => Err(CreateTopicError::Partitions { partitions, max }),
    }
}

/// Whether a topic that is `now` may become `to`.
///
/// # Errors
/// `Fixed`, with the field.
pub fn altered_topic(now: &TopicSpec, to: &TopicSpec) -> Result<(), AlterTopicError> {
    let fixed = |field| Err(AlterTopicError::Fixed { field });
    if now.name != to.name {
        return fixed("name");
    }
    if !(now.partitions..=TopicSpec::PARTITIONS_MAX).contains(&to.partitions) {
        return fixed("partitions");
    }
    Ok(())
}

/// Whether a topic of so many partitions takes these records.
///
/// # Errors
/// `Empty`, `NoPartition`, `RecordTooLarge` (of the first such record) or `TooLarge`.
pub fn append(
    topic: TopicId,
    partitions: u32,
    batch: &AppendBatch,
    limits: &LogLimits,
) -> Result<(), AppendError> {
    let records = &batch.records;
    if records.is_empty() {
        return Err(AppendError::Empty);
    }
    if let Some((_, partition)) = batch.partitions.iter().find(|(_, to)| to.0 >= partitions) {
        return Err(AppendError::NoPartition { topic, partition: *partition, partitions });
    }
    let bytes = records.bytes(0..records.len());
    let max = limits.record_bytes_max;
    // One look at the whole spares most appends the look at each record.
    let first = (0..records.len()).find(|at| bytes > max && records.bytes(*at..at + 1) > max);
    if let Some(index) = first {
        let bytes = records.bytes(index..index + 1);
        return Err(AppendError::RecordTooLarge { index, bytes, max });
    }
    if bytes > limits.append_bytes_max {
        return Err(AppendError::TooLarge { bytes, max: limits.append_bytes_max });
    }
    Ok(())
}

/// Whether an append whose records would lie there may be taken.
///
/// # Errors
/// `Scattered` or `EndMoved`.
pub fn guard(guard: AppendGuard, runs: &[AppendedRun]) -> Result<(), AppendError> {
    let (Some(expected), Some(first)) = (guard.expected_end, runs.first()) else { return Ok(()) };
    let partitions: BTreeSet<_> = runs.iter().map(|run| run.partition).collect();
    if partitions.len() > 1 {
        return Err(AppendError::Scattered { partitions: partitions.len() });
    }
    let AppendedRun { partition, offset: end, .. } = *first;
    if end == expected { Ok(()) } else { Err(AppendError::EndMoved { partition, expected, end }) }
}

/// Where a cursor stands in one input of a lease, before a settlement.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// `None`: the cursor has no position there yet.
    pub progress: Option<&'a Progress>,
    /// Of the partition.
    pub end: Offset,
}

/// Whether a settlement may be applied under a lease that is current. First what breaks the contract
/// (`Invalid`), then what a function did (`Refused`): a bug of ours is never billed to a guest.
///
/// # Errors
/// `Invalid`, or `Refused` with the first output that cannot be (of the number of outputs: the state).
pub fn settlement(
    settlement: &Settlement,
    inputs: &[Standing<'_>],
    has_topic: impl Fn(TopicId) -> bool,
    limits: &LogLimits,
) -> Result<(), SettleError> {
    validity(settlement, inputs, limits).map_err(SettleError::Invalid)?;
    let mut bytes = 0;
    for (output, Output { topic, span }) in settlement.outputs.iter().enumerate() {
        bytes += span.bytes();
        let why = if has_topic(*topic) {
            span_fits(span, limits).and_then(|()| all_fits(bytes, limits))
        } else {
            Err(RefusedOutput::NoTopic(*topic))
        };
        why.map_err(|why| SettleError::Refused { output, why })?;
    }
    for write in &settlement.state {
        bytes += bytes_of_state(write);
        state_fits(write)
            .and_then(|()| all_fits(bytes, limits))
            .map_err(|why| SettleError::Refused { output: settlement.outputs.len(), why })?;
    }
    Ok(())
}

fn validity(
    settlement: &Settlement,
    inputs: &[Standing<'_>],
    limits: &LogLimits,
) -> Result<(), InvalidSettlement> {
    let (given, memo) = (settlement.progress.len(), settlement.memo.0.len());
    if given != inputs.len() {
        return Err(InvalidSettlement::Inputs { given, inputs: inputs.len() });
    }
    if memo > Memo::LEN_MAX {
        return Err(InvalidSettlement::Memo { bytes: memo, max: Memo::LEN_MAX });
    }
    for (input, (to, standing)) in settlement.progress.iter().zip(inputs).enumerate() {
        let (ranges, max) = (to.ahead().len(), limits.progress_ranges_max);
        if ranges > max {
            return Err(InvalidSettlement::Ranges { input, ranges, max });
        }
        if to.end() > standing.end {
            return Err(InvalidSettlement::BeyondEnd { input, end: standing.end });
        }
        if !settlement.rewind && standing.progress.is_some_and(|now| !to.includes(now)) {
            return Err(InvalidSettlement::GoesBack { input, to: to.clone() });
        }
    }
    Ok(())
}

fn span_fits(span: &Span, limits: &LogLimits) -> Result<(), RefusedOutput> {
    let max = limits.output_bytes_max();
    let mut index = 0;
    for run in span.runs() {
        if run.bytes() > max {
            for (nth, at) in run.range().enumerate() {
                let bytes = run.batch().bytes(at..at + 1);
                if bytes > max {
                    return Err(RefusedOutput::RecordTooLarge { index: index + nth, bytes, max });
                }
            }
        }
        index += run.len();
    }
    Ok(())
}

fn state_fits(write: &StateWrite) -> Result<(), RefusedOutput> {
    let value = write.value.as_ref().map_or(0, bytes::Bytes::len);
    for (bytes, max) in [(write.at.name.len(), STATE_NAME_MAX), (value, STATE_VALUE_MAX)] {
        if bytes > max {
            let name = write.at.name.as_ref().into();
            return Err(RefusedOutput::StateTooLarge { name, bytes, max });
        }
    }
    Ok(())
}

fn all_fits(bytes: usize, limits: &LogLimits) -> Result<(), RefusedOutput> {
    let max = limits.settlement_bytes_max;
    if bytes > max { Err(RefusedOutput::TooLarge { bytes, max }) } else { Ok(()) }
}

/// What a state entry counts for: its key, name and value.
#[must_use]
pub fn bytes_of_state(write: &StateWrite) -> usize {
    let StateWrite { at, value } = write;
    let len = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
    len(&at.key) + at.name.len() + len(value)
}

/// Whether a settlement adds bytes to the log: a full disk refuses only those.
#[must_use]
pub fn needs_space(settlement: &Settlement) -> bool {
    settlement.outputs.iter().any(|output| !output.span.is_empty())
        || settlement.state.iter().any(|write| write.value.is_some())
}

/// Whether a document that is at version `current` may be put (or deleted).
///
/// # Errors
/// `TooLarge`, then `Conflict`.
pub fn document(
    key: &str,
    value: Option<&bytes::Bytes>,
    current: Option<u64>,
    expect: Expect,
) -> Result<(), PutDocumentError> {
    let (bytes, max) = (value.map_or(0, bytes::Bytes::len), DOCUMENT_BYTES_MAX);
    if bytes > max {
        return Err(PutDocumentError::TooLarge { key: key.into(), bytes, max });
    }
    let is_met = match expect {
        Expect::Anything => true,
        Expect::Nothing => current.is_none(),
        Expect::Version(version) => current == Some(version),
    };
    if is_met { Ok(()) } else { Err(PutDocumentError::Conflict { key: key.into(), current }) }
}
