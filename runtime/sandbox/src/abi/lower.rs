//! A span written straight into a guest's memory: one call of the guest's allocator and one copy for each
//! key, value and header that is not empty, one write for each record's row.
use log_contract::{Headers, Record, Span};
use std::mem::MaybeUninit;
use wasmtime::{
    ValRaw,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext},
        ComponentType, Lower,
    },
};

/// `types.batch`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct BatchIn<'a> {
    pub(crate) trigger: &'a str,
    pub(crate) invocation: &'a str,
    pub(crate) attempt: u32,
    pub(crate) topic: &'a str,
    pub(crate) partition: u32,
    pub(crate) window: Option<WindowIn>,
    pub(crate) records: Records<'a>,
}

/// `types.window`.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct WindowIn {
    #[component(name = "start-ms")]
    pub(crate) start_ms: u64,
    #[component(name = "end-ms")]
    pub(crate) end_ms: u64,
    #[component(name = "final")]
    pub(crate) is_final: bool,
    #[component(name = "early")]
    pub(crate) is_early: bool,
}

/// `list<types.record>`.
pub(crate) struct Records<'a>(pub(crate) &'a Span);

/// What [`Records`] writes by hand, for the check of types and sizes.
#[derive(ComponentType)]
#[component(record)]
#[expect(dead_code, reason = "stands for a type of the component model")]
struct RecordShape {
    offset: u64,
    #[component(name = "timestamp-ms")]
    timestamp_ms: u64,
    #[component(name = "appended-at-ms")]
    appended_at_ms: u64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<HeaderShape>,
}

/// `types.header`.
#[derive(ComponentType)]
#[component(record)]
#[expect(dead_code, reason = "stands for a type of the component model")]
pub(super) struct HeaderShape {
    name: String,
    value: Vec<u8>,
}

const ROW: usize = 56;
const ROW_ALIGN: u32 = 8;
pub(super) const HEADER_ROW: usize = 16;
pub(super) const HEADER_ALIGN: u32 = 4;

const _: () = {
    assert!(RecordShape::SIZE32 == ROW && RecordShape::ALIGN32 == ROW_ALIGN);
    assert!(HeaderShape::SIZE32 == HEADER_ROW && HeaderShape::ALIGN32 == HEADER_ALIGN);
};

// SAFETY: a list is a pointer and a length for every element type; `typecheck` takes the list of records and
// nothing else.
#[expect(unsafe_code, reason = "the engine's trait for types of guests is unsafe to implement")]
unsafe impl ComponentType for Records<'_> {
    type Lower = [ValRaw; 2];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::POINTER_PAIR;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        <[RecordShape] as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: both functions set all of what they are given: a pointer that the guest's allocator gave, checked
// by the engine to lie in the guest's memory, and a length.
#[expect(unsafe_code, reason = "the engine's trait for types of guests is unsafe to implement")]
unsafe impl Lower for Records<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _: InterfaceType,
        dst: &mut MaybeUninit<[ValRaw; 2]>,
    ) -> wasmtime::Result<()> {
        let [at, len] = self.write(cx)?;
        dst.write([ValRaw::i64(i64::from(at)), ValRaw::i64(i64::from(len))]);
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _: InterfaceType,
        offset: usize,
    ) -> wasmtime::Result<()> {
        let pair = self.write(cx)?;
        put(cx, offset, &encode_pair(pair))
    }
}

impl Records<'_> {
    fn write<T>(&self, cx: &mut LowerContext<'_, T>) -> wasmtime::Result<[u32; 2]> {
        let len = self.0.len();
        let start = cx.realloc(0, 0, ROW_ALIGN, len * ROW)?;
        let mut lists = Lists { cx, empty: [Empty::Unknown; 2] };
        for (nth, record) in self.0.records().enumerate() {
            let row = lists.record(&record)?;
            put(lists.cx, start + nth * ROW, &row)?;
        }
        Ok([u32::try_from(start)?, u32::try_from(len)?])
    }
}

/// Where a guest's allocator puts what is empty.
#[derive(Clone, Copy)]
enum Empty {
    Unknown,
    /// The alignment as an address, as Rust and C do: no block of memory, so all empty lists share it and
    /// most calls of the allocator are saved.
    Dangling,
    /// Somewhere: each empty list is a block of its own, as the guest may free each.
    Allocated,
}

struct Lists<'a, 'cx, T: 'static> {
    cx: &'a mut LowerContext<'cx, T>,
    /// For bytes and for rows of headers.
    empty: [Empty; 2],
}

impl<T> Lists<'_, '_, T> {
    fn record(&mut self, record: &Record<'_>) -> wasmtime::Result<[u8; ROW]> {
        let mut row = [0; ROW];
        row[0..8].copy_from_slice(&record.offset.0.to_le_bytes());
        row[8..16].copy_from_slice(&record.timestamp.0.to_le_bytes());
        row[16..24].copy_from_slice(&record.appended_at.0.to_le_bytes());
        for (at, bytes) in [(24, record.key), (36, record.value)] {
            if let Some(bytes) = bytes {
                row[at] = 1;
                row[at + 4..at + 12].copy_from_slice(&encode_pair(self.bytes(bytes)?));
            }
        }
        row[48..56].copy_from_slice(&encode_pair(self.headers(record.headers)?));
        Ok(row)
    }

    fn bytes(&mut self, bytes: &[u8]) -> wasmtime::Result<[u32; 2]> {
        if bytes.is_empty() {
            return self.nothing(0, 1);
        }
        let start = self.cx.realloc(0, 0, 1, bytes.len())?;
        put(self.cx, start, bytes)?;
        Ok([u32::try_from(start)?, u32::try_from(bytes.len())?])
    }

    fn headers(&mut self, headers: Headers<'_>) -> wasmtime::Result<[u32; 2]> {
        if headers.is_empty() {
            return self.nothing(1, HEADER_ALIGN);
        }
        let len = headers.into_iter().count();
        let start = self.cx.realloc(0, 0, HEADER_ALIGN, len * HEADER_ROW)?;
        for (nth, (name, value)) in headers.into_iter().enumerate() {
            let at = start + nth * HEADER_ROW;
            // The engine knows the guest's encoding of texts.
            name.linear_lower_to_memory(self.cx, InterfaceType::String, at)?;
            let pair = self.bytes(value)?;
            put(self.cx, at + 8, &encode_pair(pair))?;
        }
        Ok([u32::try_from(start)?, u32::try_from(len)?])
    }

    fn nothing(&mut self, which: usize, align: u32) -> wasmtime::Result<[u32; 2]> {
        if !matches!(self.empty[which], Empty::Dangling) {
            let start = self.cx.realloc(0, 0, align, 0)?;
            let is_dangling = start == align as usize;
            self.empty[which] = if is_dangling { Empty::Dangling } else { Empty::Allocated };
            return Ok([u32::try_from(start)?, 0]);
        }
        Ok([align, 0])
    }
}

/// Never trusts an address to lie in memory, though the engine has looked.
fn put<T>(cx: &mut LowerContext<'_, T>, at: usize, bytes: &[u8]) -> wasmtime::Result<()> {
    let place = cx.as_slice_mut().get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len()));
    match place {
        Some(place) => {
            place.copy_from_slice(bytes);
            Ok(())
        }
        None => wasmtime::bail!("the guest's allocator gave memory that is not there"),
    }
}

fn encode_pair([at, len]: [u32; 2]) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&at.to_le_bytes());
    bytes[4..].copy_from_slice(&len.to_le_bytes());
    bytes
}
