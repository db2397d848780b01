//! Follows the ends of the line over HTTP, while the load goes on: one reader a partition. What it reads
//! goes to a ledger at once and is forgotten.
use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use millstream_tests::wait;
use serde::Deserialize;

use crate::{
    ledger::{Holds, Ledger},
    options::Fault,
    orders,
    replay::Replay,
    scene::Scene,
};

/// Few large pages cost less than many small ones.
const PAGE: u64 = 10_000;
const REST: Duration = Duration::from_millis(60);
/// The record with which a fault is made.
const FAULTY: u64 = 5_000;

/// A record as the server shows it.
#[derive(Debug, Deserialize)]
struct Shown<'a> {
    offset: u64,
    key: Option<&'a str>,
    value: Value,
}

#[derive(Debug, Deserialize)]
struct Value {
    id: u64,
    n: Option<u64>,
}

/// Who checks what a reader reads.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    Orders(Arc<Mutex<Ledger>>),
    Replay(Arc<Replay>),
}

/// One partition of one topic.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) scene: Arc<Scene>,
    pub(crate) topic: &'static str,
    pub(crate) partition: u32,
    pub(crate) check: Check,
    pub(crate) fault: Option<Fault>,
}

impl Reader {
    /// Until all is read. What is wrong ends it: the first word says most.
    pub(crate) async fn follow(self) -> u64 {
        let (mut next, mut read) = (0, 0);
        while !*self.scene.is_over.borrow() {
            match self.page(&mut next).await {
                Ok(records) => read += records,
                Err(error) => {
                    self.scene.problem(format!("{}/{}: {error:#}", self.topic, self.partition));
                    self.scene.is_broken.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        read
    }

    /// Reads and checks what comes next. Answers how many records that was.
    async fn page(&self, next: &mut u64) -> Result<u64> {
        let Self { topic, partition, .. } = self;
        let path = format!(
            "/v1/topics/{topic}/records?partition={partition}&from={next}&limit={PAGE}&wait=500ms"
        );
        let answer = self.scene.read_lines(&path).await?;
        let text = std::str::from_utf8(&answer.body).context("the answer is text")?;
        let mut records = 0;
        for line in text.lines() {
            let shown: Shown<'_> = serde_json::from_str(line).with_context(|| line.to_owned())?;
            ensure!(shown.offset >= *next, "offset {} came after {next}", shown.offset);
            *next = shown.offset + 1;
            records += 1;
            self.take(&shown)?;
        }
        let token = answer.header("millstream-next").and_then(|token| token.rsplit_once(':'));
        let (_, told) = token.context("the answer says where to go on")?;
        ensure!(told.parse() == Ok(*next), "to go on at {told}, and {next} is the next");
        if records < PAGE / 2 {
            wait::pass(REST).await;
        }
        Ok(records)
    }

    fn take(&self, shown: &Shown<'_>) -> Result<()> {
        let Shown { offset, key, value } = shown;
        let ledger = match &self.check {
            Check::Replay(replay) => return replay.take(value.id),
            Check::Orders(ledger) => ledger,
        };
        let is_faulty = *offset == FAULTY && self.partition == 0;
        if is_faulty && self.fault == Some(Fault::LostRecord) {
            return Ok(());
        }
        let key = key.and_then(orders::key_of).with_context(|| format!("key {key:?}"))?;
        let order = (key, value.id);
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.take(order, value.n)?;
        self.scene.verified.fetch_add(1, Ordering::Relaxed);
        if is_faulty && self.fault == Some(Fault::DoubledRecord) {
            ledger.take(order, value.n)?;
        }
        Ok(())
    }
}

pub(crate) fn ledger(topic: &'static str, holds: Holds) -> Arc<Mutex<Ledger>> {
    Arc::new(Mutex::new(Ledger::new(topic, holds)))
}
