//! What a feed's commands do outside: read, invoke, settle. Each future resolves to one event. Never a
//! choice of what comes next.
use super::{
    board::Cell,
    context::Context,
    function_logs::Origin as LogOrigin,
    letters,
    permits::{Bytes as HeldBytes, Pass, Purses},
    plan::{Binding, Plan},
    running::RunningTrigger,
};
use async_trait::async_trait;
use bytes::Bytes;
use log_contract::{
    Attributes, Lease, LogUnavailable, Memo, Offset, Output, PartitionId, PartitionRef, Progress,
    ReadBudget, ReadError, ReadPage, RefusedOutput, SettleError, Span, StateError, StateKey,
    StateWrite, TopicId, TriggerName,
};
use sandbox::{Call, StateReader};
use std::{
    io::{Cursor, Write as _},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use trigger::{DeadLetter, DeliveryId, Event, Failure, FailureKind, HostFault, Outcome, Settle};

/// What the effects of one feed share.
#[derive(Debug)]
pub(super) struct Hands {
    pub(super) context: Arc<Context>,
    pub(super) running: Arc<RunningTrigger>,
    pub(super) plan: Arc<Plan>,
    pub(super) lease: Arc<Lease>,
    pub(super) place: PartitionRef,
    pub(super) cell: Arc<Cell>,
    pub(super) purses: Purses,
    /// The trigger's name, and the durable state of its partition, as calls take them.
    pub(super) trigger: Arc<str>,
    pub(super) state: Arc<LeaseState>,
    /// What has not begun does not begin any more.
    pub(super) draining: CancellationToken,
}

/// What takes time.
#[derive(Debug)]
pub(super) enum Effect {
    /// One attempt.
    Invoke {
        delivery: DeliveryId,
        span: Span,
        attempt: u32,
        overlay: Vec<StateWrite>,
    },
    Settle(Settle),
}

/// What came of an effect.
#[derive(Debug)]
pub(super) enum Done {
    /// With the right to hold the page's bytes, or why there is no page.
    Fetched {
        event: Event,
        held: HeldBytes,
        fault: Option<Arc<str>>,
    },
    Invoked(Event),
    /// `durable`: what a feed that begins now begins with.
    Settled {
        event: Event,
        durable: Option<(Progress, Memo)>,
    },
}

/// What an invocation's name has beyond the trigger's, at most: four numbers and as many marks.
const INVOCATION_BYTES: usize = 64;
/// How long an idle feed's read stays open: it costs a timer that never fires in between.
const POLL: Duration = Duration::from_secs(600);

impl Hands {
    /// A page, as soon as there is one. While it waits it holds no bytes.
    pub(super) async fn fetch(
        self: Arc<Self>,
        from: Offset,
        records_max: usize,
        bytes_max: usize,
    ) -> Done {
        let log = &self.context.log;
        loop {
            let mut held = self.context.budget.take(&self.purses, bytes_max).await;
            let bytes_max = bytes_max.min(held.amount());
            let at_once = ReadBudget { records_max, bytes_max, wait_max: Duration::ZERO };
            match log.read(self.place, from, at_once).await {
                Ok(page) if page.batches.is_empty() && page.next == from => drop(held),
                Ok(page) => {
                    // A batch is read whole, so a page may be larger than was asked for.
                    held.grow_to(bytes_of(&page));
                    held.shrink_to(bytes_of(&page));
                    let event = Event::Fetched { from, page };
                    return Done::Fetched { event, held, fault: None };
                }
                Err(error) => return not_fetched(from, error),
            }
            let poll = ReadBudget { records_max: 1, bytes_max: 1, wait_max: POLL };
            if let Err(error) = log.read(self.place, from, poll).await {
                return not_fetched(from, error);
            }
        }
    }

    pub(super) async fn perform(self: Arc<Self>, effect: Effect) -> Done {
        match effect {
            Effect::Invoke { delivery, span, attempt, overlay } => {
                self.invoke(delivery, span, attempt, overlay).await
            }
            Effect::Settle(settle) => self.settle(settle).await,
        }
    }

    /// One attempt, by the newest version.
    async fn invoke(
        &self,
        delivery: DeliveryId,
        span: Span,
        attempt: u32,
        overlay: Vec<StateWrite>,
    ) -> Done {
        let jitter = self.context.jitter.draw();
        let binding = self.running.orders().binding;
        let (version, result) = match binding {
            Err(reason) => (0, Err(HostFault { reason })),
            Ok(binding) => (binding.version, self.call(&binding, span, attempt, overlay).await),
        };
        Done::Invoked(Event::Invoked { delivery, version, jitter, result })
    }

    async fn call(
        &self,
        binding: &Binding,
        span: Span,
        attempt: u32,
        overlay: Vec<StateWrite>,
    ) -> Result<Outcome, HostFault> {
        let hops = hops(&span) + 1;
        let hops_max = self.context.limits.hops_max;
        if hops > hops_max {
            let reason = format!("the data has passed {hops_max} functions: triggers form a loop");
            let kind = FailureKind::Permanent;
            return Ok(Outcome::Failed(Failure { kind, reason: reason.into() }));
        }
        let Some(_turn) = self.turn(binding).await else {
            return Err(HostFault { reason: "the feed ends before its turn has come".into() });
        };
        let _running = Running::count(&self.cell);
        let loaded = binding.function(&self.context.artifacts).await;
        let function =
            loaded.map_err(|error| HostFault { reason: crate::telemetry::chain(&error).into() })?;
        let invocation = self.invocation(&span, attempt);
        let attributes = Attributes {
            trigger: Arc::clone(&self.trigger),
            function: Arc::clone(&binding.name),
            version: binding.version,
            invocation: Arc::clone(&invocation),
            hops,
        };
        let records = span.len();
        let call = Call {
            trigger: Arc::clone(&self.trigger),
            invocation: Arc::clone(&invocation),
            attempt,
            topic: Arc::clone(&self.plan.topic),
            partition: self.place.partition,
            window: None,
            span,
            ordering: self.plan.spec.ordering,
            outputs: Arc::clone(&self.plan.outputs),
            limits: binding.limits,
            environment: Arc::clone(&binding.environment),
            overlay,
            state: Arc::<LeaseState>::clone(&self.state),
            share: Arc::clone(&self.running.share),
            attributes: Some(Arc::new(attributes)),
        };
        let invoked = self.context.sandbox.invoke(function, call).await;
        self.running.spent(records, &invoked.cost);
        let origin = LogOrigin {
            function: &binding.function,
            version: binding.version,
            trigger: Some(&self.running.name),
            invocation: &invocation,
        };
        self.context.logs.keep(self.context.now(), &origin, &invoked.logs);
        invoked.result
    }

    /// The right to run one attempt: of the trigger's width first, so that who waits there holds nothing
    /// that others want. `None`: the feed is about to end.
    async fn turn(&self, binding: &Binding) -> Option<[Option<Pass>; 3]> {
        let function = self.context.gates.gate(&binding.function, binding.concurrency_max);
        let turn = async {
            let width = self.running.gate.pass().await;
            let function = match function {
                Some(gate) => Some(gate.pass().await),
                None => None,
            };
            [Some(width), function, Some(self.context.guests.pass().await)]
        };
        tokio::select! {
            biased;
            turn = turn => Some(turn),
            () = self.draining.cancelled() => None,
        }
    }

    /// The same for the same attempt, so that it can be run again exactly.
    fn invocation(&self, span: &Span, attempt: u32) -> Arc<str> {
        let (trigger, partition) = (&self.running.name, self.place.partition);
        let (head, records) = (span.head(), span.len());
        let mut text = Cursor::new([0; TriggerName::LEN_MAX + INVOCATION_BYTES]);
        write!(text, "{trigger}:{partition}:{head}+{records}:{attempt}").expect("it finds room");
        let bytes = &text.get_ref()[..text.position() as usize];
        str::from_utf8(bytes).expect("it was written as text").into()
    }

    /// One settlement, its dead letters with it.
    async fn settle(&self, settle: Settle) -> Done {
        let Settle { mut settlement, dead_letters, .. } = settle;
        let letters_from = settlement.outputs.len();
        if !dead_letters.is_empty() {
            let span = self.render(&dead_letters);
            settlement.outputs.push(Output { topic: self.dead_letter_topic(), span });
        }
        let progress = settlement.progress.first().cloned();
        let memo = settlement.memo.clone();
        match self.context.log.settle(&self.lease, settlement).await {
            Ok(_) => {
                let durable = progress.map(|progress| (progress, memo));
                Done::Settled { event: Event::Settled, durable }
            }
            Err(error) => {
                let error = not_settled(error, letters_from, !dead_letters.is_empty());
                Done::Settled { event: Event::SettleFailed(error), durable: None }
            }
        }
    }

    fn render(&self, dead_letters: &[DeadLetter]) -> Span {
        let binding = self.running.orders().binding.ok();
        let origin = letters::Origin {
            trigger: self.running.name.as_str(),
            function: binding.as_ref().map_or("", |binding| binding.function.as_str()),
            version: binding.as_ref().map_or(0, |binding| binding.version),
            topic: &self.plan.topic,
            partition: self.place.partition,
            now: self.context.now(),
        };
        letters::render(dead_letters, &origin).into()
    }

    fn dead_letter_topic(&self) -> TopicId {
        match self.plan.spec.on_failure {
            trigger::OnFailure::DeadLetter(topic) => topic,
            // A feed that holds or drops makes no dead letters.
            trigger::OnFailure::Hold | trigger::OnFailure::Drop => self.place.topic,
        }
    }
}

fn hops(span: &Span) -> u32 {
    let attributes = span.runs().iter().filter_map(|run| run.batch().attributes());
    attributes.map(|attributes| attributes.hops).max().unwrap_or(0)
}

fn bytes_of(page: &ReadPage) -> usize {
    page.batches.iter().map(|batch| batch.buffer().len()).sum()
}

fn not_fetched(from: Offset, error: ReadError) -> Done {
    let (event, fault) = match error {
        ReadError::Trimmed { start } => (Event::Trimmed { from, start }, None),
        error => (Event::FetchFailed { from }, Some(Arc::from(error.to_string()))),
    };
    Done::Fetched { event, held: HeldBytes::default(), fault }
}

/// That dead letters are refused is no fault of the function: then the settlement waits.
fn not_settled(error: SettleError, letters_from: usize, has_letters: bool) -> SettleError {
    match error {
        SettleError::Refused { output, why }
            if has_letters
                && output == letters_from
                && !matches!(why, RefusedOutput::StateTooLarge { .. }) =>
        {
            let why = LogUnavailable::Away {
                why: format!("dead letters are refused: {why}"),
                retry_after: Duration::from_secs(1),
            };
            SettleError::NotApplied { retry_after: Duration::from_secs(1), why }
        }
        // The feed counts its own outputs only.
        SettleError::Refused { output, why } if has_letters && output > letters_from => {
            SettleError::Refused { output: output - 1, why }
        }
        other => other,
    }
}

/// One attempt that has its turn.
struct Running<'a>(&'a Cell);

impl<'a> Running<'a> {
    fn count(cell: &'a Cell) -> Self {
        cell.running.fetch_add(1, Ordering::Relaxed);
        Self(cell)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A function's durable state, as its lease sees it.
#[derive(Debug)]
pub(super) struct LeaseState {
    context: Arc<Context>,
    lease: Arc<Lease>,
}

impl LeaseState {
    pub(super) fn new(context: &Arc<Context>, lease: &Arc<Lease>) -> Arc<Self> {
        Arc::new(Self { context: Arc::clone(context), lease: Arc::clone(lease) })
    }
}

#[async_trait]
impl StateReader for LeaseState {
    async fn read(&self, at: &StateKey) -> Result<Option<Bytes>, HostFault> {
        let read = self.context.log.state(&self.lease, std::slice::from_ref(at)).await;
        let fault = |reason: String| HostFault { reason: reason.into() };
        let values = read.map_err(|error: StateError| fault(error.to_string()))?;
        values.into_iter().next().ok_or_else(|| fault("the log answered no value".into()))
    }
}

/// The partition's number and its topic, as one word of a span.
pub(super) fn place_of(lease: &Lease) -> Option<PartitionRef> {
    let partition: PartitionId = lease.partition;
    lease.inputs.first().map(|topic| PartitionRef::new(*topic, partition))
}
