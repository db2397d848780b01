//! The import `state`: a guest's own state, addressed by the records it was given. Writes are gathered for
//! the answer. Never a write to the log.
//!
//! **Invariant:** under `ordering: key` a guest reaches no state but that of the keys in its span.
use super::{Host, WaitsFor, trap};
use crate::{admit::STATE, call::Call, fault::Fault};
use bytes::Bytes;
use log_contract::{Record, STATE_NAME_MAX, STATE_VALUE_MAX, StateKey, StateWrite};
use std::{collections::HashMap, sync::Arc};
use trigger::Ordering;
use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, Linker, WasmList},
};

/// Whose state.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(variant)]
enum Scope {
    #[component(name = "partition")]
    Partition,
    #[component(name = "key-of")]
    KeyOf(u32),
}

/// What a guest knows and wrote.
pub(crate) struct GuestState {
    call: Arc<Call>,
    writes: Vec<StateWrite>,
    bytes: usize,
    /// Of the call's overlay and the writes the newest for each key. `None` until somebody asks.
    newest: Option<HashMap<StateKey, Option<Bytes>>>,
}

impl GuestState {
    pub(super) fn new(call: &Arc<Call>) -> Self {
        Self { call: Arc::clone(call), writes: Vec::new(), bytes: 0, newest: None }
    }

    pub(super) fn take_writes(&mut self) -> Vec<StateWrite> {
        std::mem::take(&mut self.writes)
    }

    fn key(&self, of: Scope, name: &str) -> Result<StateKey, Fault> {
        if name.len() > STATE_NAME_MAX {
            let len = name.len();
            return Err(Fault::bound(format!(
                "a state name has {len} bytes, the most is {STATE_NAME_MAX}"
            )));
        }
        let key = match of {
            Scope::Partition if self.call.ordering == Ordering::Key => {
                return Err(Fault::trap(
                    "state of the partition does not exist under `ordering: key`: use the state of a record's key".into(),
                ));
            }
            Scope::Partition => None,
            Scope::KeyOf(index) => Some(self.key_of(index)?),
        };
        Ok(StateKey { key, name: name.into() })
    }

    fn key_of(&self, index: u32) -> Result<Bytes, Fault> {
        let record = self.record(index as usize).ok_or_else(|| {
            let len = self.call.span.len();
            Fault::trap(format!("state of record {index}, but the batch has {len} records"))
        })?;
        let key = record.key.ok_or_else(|| {
            Fault::trap(format!("state of record {index}, but that record has no key"))
        })?;
        // A copy, so that a write does not pin the whole batch.
        Ok(Bytes::copy_from_slice(key))
    }

    fn record(&self, mut nth: usize) -> Option<Record<'_>> {
        for run in self.call.span.runs() {
            if nth < run.len() {
                return Some(run.batch().record(run.range().start + nth));
            }
            nth -= run.len();
        }
        None
    }

    fn newest(&mut self) -> &mut HashMap<StateKey, Option<Bytes>> {
        let overlay = &self.call.overlay;
        self.newest.get_or_insert_with(|| {
            overlay.iter().map(|write| (write.at.clone(), write.value.clone())).collect()
        })
    }

    fn write(&mut self, at: StateKey, value: Option<Bytes>) -> Result<(), Fault> {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        self.bytes += len(&at.key) + at.name.len() + len(&value);
        if self.writes.len() >= self.call.limits.state_writes {
            let most = self.call.limits.state_writes;
            return Err(Fault::bound(format!("more than {most} state writes")));
        }
        if self.bytes > self.call.limits.state_bytes {
            let most = self.call.limits.state_bytes;
            return Err(Fault::bound(format!("state writes of more than {most} bytes")));
        }
        self.newest().insert(at.clone(), value.clone());
        self.writes.push(StateWrite { at, value });
        Ok(())
    }
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut state = linker.instance(STATE)?;
    state.func_wrap_async("get", |store, (of, name): (Scope, String)| {
        Box::new(async move { Ok((get(store, of, &name).await?.map(Vec::from),)) })
    })?;
    state.func_wrap("set", |mut store, (of, name, value): (Scope, String, WasmList<u8>)| {
        let bytes = value.as_le_slice(&store);
        if bytes.len() > STATE_VALUE_MAX {
            let len = bytes.len();
            return trap(Fault::bound(format!(
                "state `{name}` would have {len} bytes, the most is {STATE_VALUE_MAX}"
            )));
        }
        let bytes = Bytes::copy_from_slice(bytes);
        write(&mut store, of, &name, Some(bytes))
    })?;
    state.func_wrap("delete", |mut store, (of, name): (Scope, String)| {
        write(&mut store, of, &name, None)
    })
}

async fn get(
    mut store: StoreContextMut<'_, Host>,
    of: Scope,
    name: &str,
) -> wasmtime::Result<Option<Bytes>> {
    let host = store.data_mut();
    let at = host.state.key(of, name)?;
    if let Some(value) = host.state.newest().get(&at) {
        return Ok(value.clone());
    }
    let reader = Arc::clone(&host.state.call.state);
    host.waits_for = WaitsFor::State;
    let value = reader.read(&at).await;
    store.data_mut().waits_for = WaitsFor::Guest;
    value.or_else(|fault| trap(Fault::Host(fault)))
}

fn write(
    store: &mut StoreContextMut<'_, Host>,
    of: Scope,
    name: &str,
    value: Option<Bytes>,
) -> wasmtime::Result<()> {
    let state = &mut store.data_mut().state;
    let at = state.key(of, name)?;
    Ok(state.write(at, value)?)
}
