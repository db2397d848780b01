//! Running a handler natively, in `cargo test`, with no runtime beside it.
//!
//! What lives here is a partition small enough to be read in a minute: it hands over batches and keeps the state from
//! call to call. It neither retries nor bisects; what the runtime does with an answer is proven by the runtime's tests.
//!
//! ```
//! use millstream::testing::Partition;
//! use millstream::{Record, Reject};
//!
//! fn handle(_: millstream::json::Value, record: Record<'_>) -> Result<Option<u64>, Reject> {
//!     let seen: u64 = record.state().get_json("seen")?.unwrap_or(0) + 1;
//!     record.state().set_json("seen", &seen)?;
//!     Ok(Some(seen))
//! }
//!
//! let mut partition = Partition::new();
//! let answer = partition.hand(handle, [("ann", "{}"), ("bob", "{}"), ("ann", "not json")]).unwrap();
//! assert_eq!(answer.values(), ["1", "1"]);
//! assert_eq!(answer.failed[0].index, 2);
//! assert_eq!(partition.hand(handle, [("ann", "{}")]).unwrap().values(), ["2"]);
//! ```

use std::cell::RefCell;
use std::collections::HashMap;

use crate::bindings::{Batch, FailedRecord, Failure, Output, Record};
use crate::handler::{self, Handler};

/// A partition that hands its records to a handler.
#[derive(Debug, Default)]
pub struct Partition {
    state: Values,
    next: u64,
}

/// What the handler answered, when it answered for the batch as handled.
#[derive(Debug)]
pub struct Answer {
    pub outputs: Vec<Output>,
    pub failed: Vec<FailedRecord>,
}

/// The state by key (`None` is the partition's) and name.
type Values = HashMap<(Option<Vec<u8>>, String), Vec<u8>>;

impl Partition {
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands over records of `(key, value)`; record `n` of the partition is at `n` seconds since 1970. The state that the
    /// handler wrote is kept if it answered that it handled the batch.
    pub fn hand<'a, Shape>(
        &mut self,
        handler: impl Handler<Shape>,
        records: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Answer, Failure> {
        let records: Vec<Record> = records.into_iter().map(|each| self.record(each)).collect();
        let keys = records.iter().map(|record| record.key.clone()).collect();
        INVOCATION.set(Some(Invocation { keys, state: self.state.clone() }));
        let batch = Batch {
            trigger: "test".to_owned(),
            invocation: "test-1".to_owned(),
            attempt: 1,
            topic: "test".to_owned(),
            partition: 0,
            window: None,
            records,
        };
        let answer = handler::run(handler, batch);
        let invocation = INVOCATION.take().expect("it was put there above");
        let response = answer?;
        self.state = invocation.state;
        Ok(Answer { outputs: response.outputs, failed: response.failed })
    }

    fn record(&mut self, (key, value): (&str, &str)) -> Record {
        let offset = self.next;
        self.next += 1;
        Record {
            offset,
            timestamp_ms: offset * 1000,
            appended_at_ms: offset * 1000,
            key: Some(key.into()),
            value: Some(value.into()),
            headers: Vec::new(),
        }
    }
}

impl Answer {
    /// The outputs' values as text.
    pub fn values(&self) -> Vec<String> {
        let text = |output: &Output| {
            String::from_utf8_lossy(output.value.as_deref().unwrap_or_default()).into_owned()
        };
        self.outputs.iter().map(text).collect()
    }
}

#[derive(Debug)]
struct Invocation {
    keys: Vec<Option<Vec<u8>>>,
    state: Values,
}

thread_local! {
    static INVOCATION: RefCell<Option<Invocation>> = const { RefCell::new(None) };
}

/// What the runtime's `state` interface is on wasm.
pub(crate) mod host {
    use super::{INVOCATION, Invocation};
    use crate::state::Scope;

    pub(crate) fn get(scope: Scope, name: &str) -> Option<Vec<u8>> {
        with(scope, name, |invocation, place| invocation.state.get(&place).cloned())
    }

    pub(crate) fn set(scope: Scope, name: &str, value: &[u8]) {
        with(scope, name, |invocation, place| {
            invocation.state.insert(place, value.to_vec());
        });
    }

    pub(crate) fn delete(scope: Scope, name: &str) {
        with(scope, name, |invocation, place| {
            invocation.state.remove(&place);
        });
    }

    fn with<T>(
        scope: Scope,
        name: &str,
        act: impl FnOnce(&mut Invocation, (Option<Vec<u8>>, String)) -> T,
    ) -> T {
        INVOCATION.with_borrow_mut(|invocation| {
            let invocation =
                invocation.as_mut().expect("state exists only within `Partition::hand`");
            let key = match scope {
                Scope::Partition => None,
                Scope::KeyOf(index) => Some(
                    invocation.keys[index as usize]
                        .clone()
                        .expect("the record has no key, so no state"),
                ),
            };
            act(invocation, (key, name.to_owned()))
        })
    }
}
