//! Settlements that are refused: why, and that they leave nothing. What is taken: `settle`.
use super::{
    records::{Fact, batch_of, counted},
    trial::{Trial, cursor_name, first_of, gained_all, own_state, soon, to, to_progress},
};
use crate::{
    Generation, GrantId, InvalidSettlement, Lease, Memo, Offset, Output, PartitionId, PartitionRef,
    Progress, RefusedOutput, Release, STATE_NAME_MAX, STATE_VALUE_MAX, SettleError, Settlement,
    StateError, StateWrite, TopicId,
};
use bytes::Bytes;

/// A source with ten records, a sink, and a lease that settled once: what must stay.
struct Stage {
    trial: Trial,
    source: TopicId,
    sink: TopicId,
    lease: Lease,
}

impl Stage {
    const AT: Offset = Offset(5);

    async fn new(trial: Trial) -> Self {
        let (source, sink) = (trial.topic("source", 1).await, trial.topic("sink", 1).await);
        trial.append(source, &counted("in", 10)).await;
        let lease = trial.lease("c", source).await;
        let settlement = to(Self::AT)
            .with_output(sink, &counted("first", 1))
            .with_state("kept", Some("kept"))
            .with_memo("kept");
        trial.settle(&lease, settlement).await.expect("it settles");
        Self { trial, source, sink, lease }
    }

    /// One that would change everything.
    fn settlement(&self) -> Settlement {
        to(Offset(9))
            .with_output(self.sink, &counted("out", 1))
            .with_state("kept", None)
            .with_state("new", Some("new"))
            .with_memo("new")
    }

    /// The settlement is refused like this, everything is as it was, and the lease goes on.
    async fn refuses(&self, settlement: Settlement, why: SettleError) {
        self.refuses_under(&self.lease, settlement, why).await;
    }

    async fn refuses_under(&self, lease: &Lease, settlement: Settlement, why: SettleError) {
        assert_eq!(self.trial.settle(lease, settlement).await, Err(why));
        self.is_as_it_was(0).await;
    }

    async fn is_as_it_was(&self, settled_since: usize) {
        let (trial, at) = (&self.trial, first_of(self.source));
        assert_eq!(trial.read_all(first_of(self.sink)).await.len(), 1 + settled_since);
        assert_eq!(trial.position("c", at).await, Some(Progress::at(Self::AT)));
        let kept = Some(Bytes::from("kept"));
        assert_eq!(trial.state(&self.lease, &["kept", "new"]).await, [kept, None]);
    }

    /// After all refusals: the memo is the old one, too.
    async fn ends(self) {
        let Self { trial, source, lease, .. } = self;
        drop(lease);
        let lease = trial.lease("c", source).await;
        assert_eq!(lease.memo, Memo(Bytes::from("kept")));
        assert_eq!(lease.progress, [Some(Progress::at(Self::AT))]);
        trial.settle(&lease, to(Offset(6))).await.expect("the lease goes on");
    }

    fn refused(output: usize, why: RefusedOutput) -> SettleError {
        SettleError::Refused { output, why }
    }
}

pub async fn an_output_for_no_topic_is_refused(trial: Trial) {
    let stage = Stage::new(trial).await;
    let gone = stage.trial.topic("gone", 1).await;
    stage.trial.log().delete_topic(gone).await.expect("a topic is deleted");
    for topic in [gone, TopicId(u64::MAX)] {
        let settlement = stage
            .settlement()
            .with_output(topic, &counted("lost", 1))
            .with_output(stage.sink, &counted("behind", 1));
        stage.refuses(settlement, Stage::refused(1, RefusedOutput::NoTopic(topic))).await;
    }
    stage.ends().await;
}

pub async fn an_output_record_is_at_most_so_large(trial: Trial) {
    let stage = Stage::new(trial).await;
    let limits = stage.trial.log().limits();
    let max = limits.output_bytes_max();
    assert!(limits.record_bytes_max < max, "a dead letter holds the record and its story");
    let facts = [Fact::keyless("small"), Fact::of_bytes(max + 1)];
    let settlement = stage.settlement().with_output(stage.sink, &facts);
    let why = RefusedOutput::RecordTooLarge { index: 1, bytes: max + 1, max };
    stage.refuses(settlement, Stage::refused(1, why)).await;
    let largest = Fact::of_bytes(max);
    let settlement = to(Stage::AT).with_output(stage.sink, std::slice::from_ref(&largest));
    stage.trial.settle(&stage.lease, settlement).await.expect("exactly so large");
    let found = stage.trial.read_all(first_of(stage.sink)).await;
    assert!(found.last().is_some_and(|last| last.fact == largest), "it comes back whole");
}

pub async fn a_settlement_is_at_most_so_large(trial: Trial) {
    let stage = Stage::new(trial).await;
    let max = stage.trial.log().limits().settlement_bytes_max;
    let mut settlement = stage.settlement();
    let records = batch_of(&[Fact::of_bytes(10 << 20)]);
    // Shared: only the log would copy it.
    for _ in 0..=max / (10 << 20) {
        settlement.outputs.push(Output { topic: stage.sink, span: records.clone().into() });
    }
    let last = settlement.outputs.len() - 1;
    let bytes = 4 + last * (10 << 20);
    let why = RefusedOutput::TooLarge { bytes, max };
    stage.refuses(settlement, Stage::refused(last, why)).await;
    stage.ends().await;
}

pub async fn a_state_entry_is_at_most_so_large(trial: Trial) {
    let stage = Stage::new(trial).await;
    let write = |name: usize, value: usize| StateWrite {
        at: own_state(&"n".repeat(name)),
        value: Some(vec![b'v'; value].into()),
    };
    let large = |name: usize, bytes, max| {
        let name = "n".repeat(name);
        Stage::refused(1, RefusedOutput::StateTooLarge { name, bytes, max })
    };
    let with = |write| {
        let mut settlement = stage.settlement();
        settlement.state.push(write);
        settlement
    };
    let (name, value) = (STATE_NAME_MAX, STATE_VALUE_MAX);
    stage.refuses(with(write(1, value + 1)), large(1, value + 1, value)).await;
    stage.refuses(with(write(name + 1, 1)), large(name + 1, name + 1, name)).await;
    let settlement = Settlement { state: vec![write(name, value)], ..to(Stage::AT) };
    stage.trial.settle(&stage.lease, settlement).await.expect("exactly so large");
    let read = stage.trial.state(&stage.lease, &[&"n".repeat(name)]).await;
    assert!(read == [write(name, value).value], "it comes back whole");
}

pub async fn what_breaks_the_contract_is_invalid(trial: Trial) {
    let stage = Stage::new(trial).await;
    let invalid = SettleError::Invalid;
    let with = |progress: Vec<Progress>| Settlement { progress, ..stage.settlement() };
    let at = Progress::at;
    let inputs = |given| invalid(InvalidSettlement::Inputs { given, inputs: 1 });
    stage.refuses(with(vec![]), inputs(0)).await;
    stage.refuses(with(vec![at(Offset(9)); 2]), inputs(2)).await;

    let (memo, max) = (vec![0; Memo::LEN_MAX + 1], Memo::LEN_MAX);
    let settlement = Settlement { memo: Memo(memo.into()), ..stage.settlement() };
    stage.refuses(settlement, invalid(InvalidSettlement::Memo { bytes: max + 1, max })).await;

    let to_four = at(Offset(4));
    let back = invalid(InvalidSettlement::GoesBack { input: 0, to: to_four.clone() });
    stage.refuses(with(vec![to_four]), back).await;

    let end = stage.trial.end(first_of(stage.source)).await;
    let beyond = || invalid(InvalidSettlement::BeyondEnd { input: 0, end });
    let after = |by| Offset(end.0 + by);
    stage.refuses(with(vec![at(after(1))]), beyond()).await;
    let ahead = Progress::from_parts(Offset(6), vec![end..after(1)]).expect("sorted");
    stage.refuses(with(vec![ahead]), beyond()).await;
    stage.refuses(with(vec![at(after(1))]).with_rewind(), beyond()).await;
    stage.ends().await;
}

/// A memo may be exactly so large.
pub async fn a_memo_may_be_as_large_as_it_says(trial: Trial) {
    let stage = Stage::new(trial).await;
    let memo = Memo(vec![7; Memo::LEN_MAX].into());
    let settlement = Settlement { memo: memo.clone(), ..to(Stage::AT) };
    stage.trial.settle(&stage.lease, settlement).await.expect("exactly so large");
    let Stage { trial, source, lease, .. } = stage;
    drop(lease);
    assert_eq!(trial.lease("c", source).await.memo, memo);
}

pub async fn progress_forgets_no_range_that_was_finished(trial: Trial) {
    let source = trial.topic("source", 1).await;
    let at = first_of(source);
    trial.append(source, &counted("in", 20)).await;
    let lease = trial.lease("c", source).await;
    let range = |start, end| Offset(start)..Offset(end);
    let progress = |next, ahead| Progress::from_parts(Offset(next), ahead).expect("sorted");
    let first = progress(2, vec![range(5, 8), range(10, 12)]);
    trial.settle(&lease, to_progress(first.clone())).await.expect("it settles");
    let forgetful = [
        progress(3, vec![range(5, 8)]),
        progress(3, vec![range(5, 7), range(10, 12)]),
        progress(4, vec![range(6, 12)]),
        progress(9, vec![range(11, 12)]),
        progress(1, vec![range(2, 12)]),
    ];
    for to in forgetful {
        let refused = trial.settle(&lease, to_progress(to.clone())).await;
        let why = InvalidSettlement::GoesBack { input: 0, to };
        assert_eq!(refused, Err(SettleError::Invalid(why)));
        assert_eq!(trial.position("c", at).await, Some(first.clone()));
    }
    let grown = progress(3, vec![range(5, 12), range(15, 16)]);
    trial.settle(&lease, to_progress(grown.clone())).await.expect("it grew");
    assert_eq!(trial.position("c", at).await, Some(grown));
}

pub async fn progress_has_at_most_so_many_ranges(trial: Trial) {
    let source = trial.topic("source", 1).await;
    trial.append(source, &vec![Fact::keyless("x"); 9_000]).await;
    let lease = trial.lease("c", source).await;
    let max = trial.log().limits().progress_ranges_max;
    let ranges = max + 1;
    let ahead = (1..=ranges as u64).map(|nth| Offset(2 * nth)..Offset(2 * nth + 1)).collect();
    let progress = Progress::from_parts(Offset(0), ahead).expect("sorted");
    let refused = trial.settle(&lease, to_progress(progress)).await;
    let why = InvalidSettlement::Ranges { input: 0, ranges, max };
    assert_eq!(refused, Err(SettleError::Invalid(why)));
    assert_eq!(trial.position("c", first_of(source)).await, None);
}

/// A lease that says what `lease` says: what a consumer that was overtaken still holds.
fn image_of(lease: &Lease) -> Lease {
    Lease {
        cursor: lease.cursor.clone(),
        partition: lease.partition,
        inputs: lease.inputs.clone(),
        generation: lease.generation,
        grant: lease.grant,
        progress: lease.progress.clone(),
        memo: lease.memo.clone(),
        before: lease.before,
        release: Release::new(|| {}),
    }
}

pub async fn a_lease_that_is_not_current_settles_nothing(trial: Trial) {
    let mut stage = Stage::new(trial).await;
    let old = image_of(&stage.lease);
    drop(stage.lease);
    let void = || SettleError::LeaseVoid;
    // Nobody has it now.
    let refused = stage.trial.settle(&old, to(Offset(9))).await;
    assert_eq!(refused, Err(void()));
    stage.lease = stage.trial.lease("c", stage.source).await;
    // Now another has it.
    let settlement = stage.settlement();
    stage.refuses_under(&old, settlement, void()).await;
    let state = stage.trial.log().state(&old, &[own_state("kept")]).await;
    assert_eq!(state, Err(StateError::LeaseVoid));
    let made_up = Lease { grant: GrantId(u64::MAX), ..image_of(&stage.lease) };
    let settlement = stage.settlement();
    stage.refuses_under(&made_up, settlement, void()).await;
    let elsewhere = Lease { partition: PartitionId(7), ..image_of(&stage.lease) };
    let settlement = stage.settlement();
    stage.refuses_under(&elsewhere, settlement, void()).await;
    let other = Lease { cursor: cursor_name("other"), ..image_of(&stage.lease) };
    let settlement = stage.settlement();
    stage.refuses_under(&other, settlement, void()).await;
    assert!(Generation(0) < stage.lease.generation);
    stage.ends().await;
}

/// They may be made durable together; each gets an answer of its own.
pub async fn one_refused_settlement_fails_no_other(trial: Trial) {
    let (source, sink) = (trial.topic("source", 6).await, trial.topic("sink", 1).await);
    for partition in (0..6).map(PartitionId) {
        trial.fill(PartitionRef::new(source, partition), &counted("in", 30)).await;
    }
    let mut member = trial.join("c", source).await;
    let mut tasks = Vec::new();
    for lease in gained_all(&mut *member, 6).await {
        let log = trial.stores.log.clone();
        // Odd ones are void, refused, or invalid, by turns.
        tasks.push(tokio::spawn(async move {
            let void = Lease { grant: GrantId(u64::MAX), ..image_of(&lease) };
            for nth in 1..=20 {
                let good = || to(Offset(nth)).with_output(sink, &counted("good", 1));
                let bad = |topic| to(Offset(nth)).with_output(topic, &counted("bad", 1));
                let answer = match (lease.partition.0 % 2, nth % 3) {
                    (1, 0) => log.settle(&void, bad(sink)).await,
                    (1, 1) => log.settle(&lease, bad(TopicId(u64::MAX))).await,
                    (1, _) => {
                        log.settle(&lease, Settlement { progress: vec![], ..bad(sink) }).await
                    }
                    _ => log.settle(&lease, good()).await,
                };
                assert_eq!(answer.is_ok(), lease.partition.0 % 2 == 0, "{lease:?} {answer:?}");
            }
        }));
    }
    for task in tasks {
        soon("settlements", task).await.expect("each has its own answer");
    }
    let found = trial.read_all(first_of(sink)).await;
    assert_eq!(found.len(), 3 * 20);
    assert!(found.iter().all(|found| found.fact.text().starts_with("good")));
}
