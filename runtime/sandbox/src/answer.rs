//! What a guest's answer means, and whether it keeps to its bounds. Pure: every breach is the guest's.
use crate::{
    abi::{AnswerOut, BlameOut, FailureOut, Gathered, ResponseOut},
    call::{Call, OutputTopics},
    fault::{Fault, failure, shorten},
};
use log_contract::{Entry, RecordBatch, Run, StateWrite, Timestamp, TopicId};
use std::{borrow::Cow, time::Duration};
use trigger::{Blame, FailureKind, HostFault, ItemFailure, Outcome, Response, Targets};

pub(crate) fn outcome(
    answer: AnswerOut,
    state: Vec<StateWrite>,
    call: &Call,
) -> Result<Outcome, HostFault> {
    let failed = |kind, reason: &str| Ok(Outcome::Failed(failure(kind, reason)));
    match answer {
        Ok(response) => match handled(response, state, call) {
            Ok(response) => Ok(Outcome::Handled(response)),
            Err(fault) => fault.into(),
        },
        Err(FailureOut::Rejected(reason)) => failed(FailureKind::Rejected, &reason),
        Err(FailureOut::Permanent(reason)) => failed(FailureKind::Permanent, &reason),
        Err(FailureOut::Unavailable(outage)) => Ok(Outcome::Unavailable {
            reason: shorten(&outage.reason),
            retry_after: outage.retry_after_ms.map(Duration::from_millis),
        }),
    }
}

fn handled(response: ResponseOut, state: Vec<StateWrite>, call: &Call) -> Result<Response, Fault> {
    let ResponseOut { mut outputs, failed } = response;
    check_size(&outputs, call)?;
    let len = call.span.len();
    let mut failures = Vec::with_capacity(failed.len().min(len));
    for item in failed {
        if item.index as usize >= len {
            let index = item.index;
            return Err(Fault::bound(format!(
                "failed record {index} is not in the batch, which has {len} records"
            )));
        }
        if failures.len() == len {
            return Err(Fault::bound(format!("more failed records than the {len} of the batch")));
        }
        let blame = match item.blame {
            BlameOut::Rejected => Blame::Rejected,
            BlameOut::Permanent => Blame::Permanent,
        };
        failures.push(ItemFailure { index: item.index, blame, reason: shorten(&item.reason) });
    }
    let targets = targets(&outputs, &call.outputs)?;
    let sources = std::mem::take(&mut outputs.sources);
    let outputs = batch(outputs, &sources, call)?;
    Ok(Response { outputs, targets, sources, state, failures })
}

fn check_size(outputs: &Gathered, call: &Call) -> Result<(), Fault> {
    let (records, bytes, limits) = (outputs.index.len(), outputs.bytes.len(), &call.limits);
    if records > limits.output_records {
        let most = limits.output_records;
        return Err(Fault::bound(format!("{records} outputs, the most is {most}")));
    }
    if bytes > limits.output_bytes {
        let most = limits.output_bytes;
        return Err(Fault::bound(format!("outputs of {bytes} bytes, the most is {most}")));
    }
    let most = limits.record_bytes;
    // One look at the whole spares most answers the look at each output.
    if bytes > most {
        let starts = outputs.index.iter().map(|entry| entry.start as usize);
        let ends = starts.clone().skip(1).chain([bytes]);
        let sizes = starts.zip(ends).map(|(start, end)| end - start);
        if let Some((output, bytes)) = sizes.enumerate().find(|(_, bytes)| *bytes > most) {
            return Err(Fault::bound(format!(
                "output {output} has {bytes} bytes, the most of one is {most}"
            )));
        }
    }
    Ok(())
}

fn targets(outputs: &Gathered, topics: &OutputTopics) -> Result<Targets, Fault> {
    let default = topics.default.ok_or_else(|| {
        Fault::bound("an output names no topic, and the trigger has no output topic".into())
    });
    if outputs.index.is_empty() {
        return Ok(default.map_or_else(|_| Targets::Each(Vec::new()), Targets::All));
    }
    if outputs.topics.is_empty() {
        return default.map(Targets::All);
    }
    let named =
        outputs.names.iter().map(|name| named(name, topics)).collect::<Result<Vec<_>, _>>()?;
    let each = outputs.topics.iter().map(|place| match *place {
        Gathered::DEFAULT => default.clone(),
        place => Ok(named[place as usize]),
    });
    let each = each.collect::<Result<Vec<_>, _>>()?;
    match each.first() {
        Some(first) if each.iter().all(|topic| topic == first) => Ok(Targets::All(*first)),
        _ => Ok(Targets::Each(each)),
    }
}

fn named(name: &str, topics: &OutputTopics) -> Result<TopicId, Fault> {
    // Also if somebody declared it: topics of the system are closed to guests.
    if name.starts_with('_') {
        return Err(Fault::bound(format!(
            "topic `{name}` is the system's and closed to functions"
        )));
    }
    topics.named.get(name).copied().ok_or_else(|| {
        Fault::bound(format!(
            "topic `{name}` is not among the trigger's outputs: declare it there, or name another"
        ))
    })
}

/// Outputs bear the time of the record that they stem from; without one, that of the newest in the batch.
fn batch(outputs: Gathered, sources: &[Option<u32>], call: &Call) -> Result<RecordBatch, Fault> {
    let Gathered { mut index, bytes, .. } = outputs;
    let newest = call.span.runs().last();
    let newest = newest.map_or(Timestamp(0), |run| run.batch().appended_at(run.range().end - 1));
    let sent: Cow<'_, [Entry]> = match call.span.runs() {
        [run] => run.entries().into(),
        runs => runs.iter().map(Run::entries).collect::<Vec<_>>().concat().into(),
    };
    for (entry, source) in index.iter_mut().zip(sources) {
        entry.timestamp = match *source {
            None => newest,
            Some(source) => sent.get(source as usize).map(|it| it.timestamp).ok_or_else(|| {
                let (output, len) = (entry.offset, sent.len());
                Fault::bound(format!(
                    "output {output} names record {source} as its source, but the batch has {len} records"
                ))
            })?,
        };
    }
    RecordBatch::from_parts(index, bytes.into(), call.attributes.clone()).map_err(|error| {
        Fault::Host(HostFault { reason: format!("gather outputs: {error}").into() })
    })
}
