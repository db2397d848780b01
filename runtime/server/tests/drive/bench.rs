//! What the tests stand on: a program in process, topics, functions, triggers, and waiting.
use bytes::Bytes;
use log_contract::{
    AppendGuard, BatchBuilder, CursorName, FunctionName, Headers, Offset, PartitionId,
    PartitionRef, ReadBudget, RecordBatch, Timestamp, TopicId, TopicName, TopicSpec, TriggerName,
};
use server::{
    app::App,
    catalog::{Guard, OnFailure, PutTrigger, Scaling, Start, TriggerDefinition},
    config::{Config, Storage},
    drive::{State, TriggerStatus},
};
use std::{future::Future, sync::Arc, time::Duration};
use trigger::{BatchPolicy, ItemFailures, Ordering, RetryPolicy};

pub(crate) struct Bench {
    pub(crate) app: Arc<App>,
}

/// Long enough for a machine that does much else.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::parse(name).expect("a topic's name")
}

pub(crate) fn trigger(name: &str) -> TriggerName {
    TriggerName::parse(name).expect("a trigger's name")
}

pub(crate) fn config(storage: Storage) -> Config {
    let mut config = Config::new(storage, env!("CARGO_BIN_EXE_millstream").into());
    config.guest_threads = 1;
    config.guest_slots = 8;
    config
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::start_with(config(Storage::Ephemeral)).await
    }

    pub(crate) async fn start_with(config: Config) -> Self {
        Self { app: App::start(config).await.expect("the program starts") }
    }

    pub(crate) async fn topic(&self, name: &str, partitions: u32) -> TopicId {
        let spec = TopicSpec::new(topic(name), partitions);
        let put = self.app.catalog.topics().put(spec, Guard::Any).await;
        put.expect("the topic is put").topic.id
    }

    /// Uploads one of the components that the functions' build made, under any name.
    pub(crate) async fn function(&self, name: &str, component: &str) -> u32 {
        let path = format!("{}/../../functions/built/{component}.wasm", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).expect(&path);
        let name = FunctionName::parse(name).expect("a function's name");
        let put = self.app.catalog.put_version(&name, Bytes::from(bytes)).await;
        put.expect("the component fits").version.version
    }

    pub(crate) async fn put(&self, name: &str, definition: TriggerDefinition) -> PutTrigger {
        let put = self.app.catalog.put_trigger(&trigger(name), definition, Guard::Any).await;
        put.expect("the trigger is put")
    }

    pub(crate) async fn append(&self, to: &str, values: &[&str]) {
        let records: Vec<_> = values.iter().map(|value| (None, *value)).collect();
        self.append_keyed(to, &records).await;
    }

    pub(crate) async fn append_keyed(&self, to: &str, records: &[(Option<&str>, &str)]) {
        let mut builder = BatchBuilder::default();
        for (key, value) in records {
            let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
            builder.push_new(Timestamp(7), key, value, Headers::NONE);
        }
        self.append_batch(to, builder.build()).await;
    }

    pub(crate) async fn append_batch(&self, to: &str, batch: RecordBatch) {
        let id = self.app.catalog.topics().get(&topic(to)).expect("the topic is there").id;
        let guard = AppendGuard::default();
        self.app.log.append(id, batch.into(), guard).await.expect("the append is taken");
    }

    /// Everything in partition 0, as it lies there.
    pub(crate) async fn batches(&self, of: &str) -> Vec<RecordBatch> {
        let Some(info) = self.app.catalog.topics().get(&topic(of)) else { return Vec::new() };
        let mut all = Vec::new();
        for partition in (0..info.spec.partitions).map(PartitionId) {
            let place = PartitionRef::new(info.id, partition);
            let mut from = Offset(0);
            loop {
                let budget = ReadBudget {
                    records_max: 10_000,
                    bytes_max: 1 << 24,
                    wait_max: Duration::ZERO,
                };
                let page = self.app.log.read(place, from, budget).await.expect("it reads");
                if page.batches.is_empty() {
                    break;
                }
                all.extend(page.batches);
                from = page.next;
            }
        }
        all
    }

    pub(crate) async fn values(&self, of: &str) -> Vec<String> {
        let text = |value: Option<&[u8]>| {
            String::from_utf8(value.unwrap_or_default().to_vec()).expect("text")
        };
        let batches = self.batches(of).await;
        batches.iter().flat_map(|batch| batch.records().map(|record| text(record.value))).collect()
    }

    pub(crate) async fn status(&self, name: &str) -> TriggerStatus {
        self.app.supervisor.status(&trigger(name)).await.expect("the trigger is there")
    }

    /// Until the topic holds so many records.
    pub(crate) async fn until_records(&self, topic: &str, count: usize) -> Vec<String> {
        until(&format!("{count} records in `{topic}`"), async || {
            let values = self.values(topic).await;
            (values.len() >= count).then_some(values)
        })
        .await
    }

    pub(crate) async fn until_state(&self, name: &str, state: State) -> TriggerStatus {
        until(&format!("`{name}` is {}", state.name()), async || {
            let status = self.status(name).await;
            (status.state == state).then_some(status)
        })
        .await
    }

    /// Until everything is done and settled.
    pub(crate) async fn until_caught_up(&self, name: &str) -> TriggerStatus {
        until(&format!("`{name}` has caught up"), async || {
            let status = self.status(name).await;
            let is_idle = status.state == State::Idle && status.lag_records == 0;
            (is_idle && !status.partitions.is_empty()).then_some(status)
        })
        .await
    }
}

/// What `look` finds, looking again until it does.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn definition(name: &str, source: &str, function: &str) -> TriggerDefinition {
    TriggerDefinition {
        source: topic(source),
        function: function.parse().expect("a function's name"),
        output: None,
        outputs: Vec::new(),
        cursor: CursorName::parse(name).expect("a cursor's name"),
        enabled: true,
        start: Start::Earliest,
        batch: BatchPolicy { records_max: 100, bytes_max: 6 << 20, wait: Duration::ZERO },
        ordering: Ordering::Partition,
        retry: RetryPolicy {
            attempts_max: Some(3),
            bisect: true,
            item_failures: ItemFailures::Each,
            record_age_max: None,
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(50),
        },
        on_failure: OnFailure::DeadLetter,
        dead_letters: None,
        halt_on_failure_share: 0.5,
        filter: None,
        window: None,
        scaling: Scaling {
            concurrency_min: 0,
            concurrency_max: 16,
            lag_target: Duration::from_secs(5),
        },
    }
}
